"""Large pictures, read back by tifffile and Pillow, and the page to zoom into, in a browser; FITS files know of none of them."""

from __future__ import annotations

import errno
import json
import math
import re
import shutil
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from scipy import ndimage

from browser import browse, seen
from zemosaic.chunks import opened, save
from zemosaic.errors import OutputError
from zemosaic.events import Silent, Warned
from zemosaic.imaging.projection import grid_to_sky
from zemosaic.imaging.stretch import Style
from zemosaic.messages import Messages, sentence
from zemosaic.model import Grid, Mosaic
from zemosaic.phases.export import Outputs, Pictures, Provenance, export

GRID = Grid(187.5, 41.1, 6.6e-4, 320, 280, 150.0, 125.0)
TILE = 256  # px
TOLD = Provenance(
    1, 12, "linear_fit", "noise_variance", "kappa_sigma", 4.0, 4.0, "mean", "incremental", "lanczos3", 1.0, False,
    20.0, 0.1, "0", "ab", (), 0.2, 0.05,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zemosaic.phases._export_pictures.BAND", TILE)
        patch.setattr("zemosaic.phases._export_zoom.TILE", TILE)
        yield


ALL = Pictures(tiff=True, jpeg=True, zoom=True)
SKY = (842.0, 996.0, 794.0)


def mosaic(folder: Path, grid: Grid = GRID, channels: int = 3, tilt: float = 0.0) -> Mosaic:
    """Stars on a raw sky whose red tilts by `tilt` ADU; columns in the east have no data, the north has less noise."""
    rng, shape = np.random.default_rng(4), (grid.height, grid.width)
    points = np.zeros(shape)
    for flux in 10 ** rng.uniform(3.5, 5.3, 50):
        points[rng.integers(10, shape[0] - 10), rng.integers(40, shape[1] - 10)] += flux
    light = ndimage.gaussian_filter(points, 1.5)
    weight = np.full(shape, 0.01, np.float32)
    weight[: shape[0] // 2] = 0.004
    data = np.stack([sky + response * light for sky, response in zip(SKY, (0.93, 1.32, 0.75))][:channels])
    data += rng.normal(0.0, 1.0, data.shape) / np.sqrt(weight)
    data[0] += tilt * np.linspace(-0.5, 0.5, shape[1])
    data[..., :25], weight[:, :25] = np.nan, 0.0
    planes = {
        "data": data.astype(np.float32),
        "weight": np.broadcast_to(weight, data.shape),
        "coverage": np.where(weight > 0, 12, 0).astype(np.uint16),
        "rejected": np.zeros(shape, np.uint16),
    }
    folder.mkdir(exist_ok=True)
    for name, values in planes.items():
        save(folder / name, values, (*values.shape[:-2], 256, 256))
    return Mosaic(grid, *(folder / name for name in planes), frames=())


class Listener(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def emit(self, event: object) -> None:
        if isinstance(event, Warned):
            self.warnings.append(event.text)


def shown(folder: Path, source: Mosaic, pictures: Pictures = ALL, reporter: Silent | None = None) -> Outputs:
    folder.mkdir(exist_ok=True)
    return export(source, [], TOLD, folder, reporter or Silent(), pictures=pictures)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    return mosaic(tmp_path_factory.mktemp("planes"))


@pytest.fixture(scope="module")
def made(source: Mosaic, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    return shown(tmp_path_factory.mktemp("made"), source)


def pixels(path: Path | None) -> np.ndarray:
    assert path is not None
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_tiff_is_the_preview_in_sixteen_bits(made: Outputs) -> None:
    assert made.tiff is not None
    with tifffile.TiffFile(made.tiff) as file:
        (page,) = file.pages
        assert (page.dtype, page.shape, page.photometric.name) == (np.uint16, (280, 320, 3), "RGB")
        profile = page.tags["InterColorProfile"].value
        data = page.asarray()
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    assert np.abs(np.rint(data / 257.0) - pixels(made.preview)).max() <= 1
    assert not data[:, :25].any() and np.unique(data).size > 5000
    with Image.open(made.preview) as image:
        assert image.info["icc_profile"] == profile


def test_jpeg_and_thumbnail_are_the_preview(made: Outputs) -> None:
    assert made.jpeg is not None and made.thumbnail is not None
    with Image.open(made.jpeg) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (320, 280), "RGB") and image.info["icc_profile"]
    off = np.abs(pixels(made.jpeg) - pixels(made.preview))
    assert off.mean() < 3 and np.quantile(off, 0.999) < 20
    assert pixels(made.thumbnail).shape == (280, 320, 3)
    assert not list(made.preview.parent.glob(".*"))  # what the JPEG was collected in is gone


def test_the_room_that_is_kept_for_them_is_enough(made: Outputs) -> None:
    """Of each, on a sky of little else than grain; and no more than the pixels themselves take."""
    assert made.tiff and made.jpeg and made.zoom
    of_zoom = [path for path in made.and_tiles if path not in made.files] + [made.zoom]
    for kind, files in (("tiff", [made.tiff]), ("jpeg", [made.jpeg]), ("zoom", of_zoom)):
        size = sum(path.stat().st_size for path in files) - 65536 * (kind == "zoom")  # page and texts
        assert size <= Pictures(**{kind: True}).disk(GRID, 3) <= 6 * GRID.width * GRID.height
    assert len(of_zoom) > 4 and Pictures(clear=True).disk(GRID, 3) == 0


def test_what_has_no_data_can_be_transparent(source: Mosaic, tmp_path: Path) -> None:
    outputs = shown(tmp_path, source, Pictures(clear=True, tiff=True))
    tiff, preview = tifffile.imread(outputs.tiff), pixels(outputs.preview)
    for picture, opaque in ((tiff, 65535), (preview, 255)):
        assert picture.shape == (280, 320, 4)
        assert not picture[:, :25, 3].any() and (picture[:, 25:, 3] == opaque).all()


def test_parts_do_not_show(source: Mosaic, made: Outputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bands and columns: the same picture, to a step of 16 bits or two."""
    monkeypatch.setattr("zemosaic.phases._export_pictures.BAND", 64)
    monkeypatch.setattr("zemosaic.phases._export_pictures.COLUMNS", 90)
    parts = tifffile.imread(shown(tmp_path, source, Pictures(tiff=True)).tiff).astype(int)
    assert np.abs(parts - tifffile.imread(made.tiff)).max() <= 3


def test_a_large_mosaic_has_the_tone_of_its_preview(
    source: Mosaic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its noise is measured on pieces, its sky and balance on the preview."""
    monkeypatch.setattr("zemosaic.phases._export_preview.PREVIEW_PIXELS", 20_000)
    monkeypatch.setattr("zemosaic.phases._export_pictures.PIECE", 64)
    outputs = shown(tmp_path, source, Pictures(tiff=True))
    large, small = tifffile.imread(outputs.tiff) / 257.0, pixels(outputs.preview)
    assert small.shape[0] < 120
    for half in (slice(10, 130), slice(150, 270)):  # more and less noise
        sky = np.median(large[half, 60:], axis=(0, 1))
        assert np.ptp(sky) < 2.5 and sky.mean() == pytest.approx(255 * 0.14, abs=4)
    assert np.median(small[:, 20:], axis=(0, 1)).mean() == pytest.approx(255 * 0.14, abs=4)


def test_a_narrow_band_across_a_large_mosaic_is_no_black_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No piece of it is half full. What a run that was killed has left goes."""
    monkeypatch.setattr("zemosaic.phases._export_preview.PREVIEW_PIXELS", 20_000)
    monkeypatch.setattr("zemosaic.phases._export_pictures.PIECE", 64)
    source = mosaic(tmp_path / "planes")
    y, x = np.mgrid[: GRID.height, : GRID.width]
    band = np.abs(y + x - 300) < 12
    for path in (source.data, source.weight):
        values = opened(path).read((slice(None), slice(0, GRID.height), slice(0, GRID.width)))
        save(path, np.where(band, values, np.nan).astype(np.float32), (3, 256, 256))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".zemosaic_MT9_R9.jpg.pixels").write_bytes(b"left")
    outputs = shown(folder, source, Pictures(tiff=True))
    sky = np.median(tifffile.imread(outputs.tiff)[::-1][band & (x > 30)] / 257.0)
    assert sky == pytest.approx(255 * 0.14, abs=8) and not list(folder.glob(".*"))


def test_styles_and_the_gradient_change_pictures_and_no_fits(tmp_path: Path) -> None:
    source = mosaic(tmp_path / "planes", tilt=160.0)
    style = Style(linked=False, star_white=False)
    plain = shown(tmp_path / "a", source, Pictures(tiff=True))
    other = shown(tmp_path / "b", source, Pictures(style, flat=True, clear=True, tiff=True, jpeg=True))
    for one, two in ((plain.mosaic, other.mosaic), (plain.weight, other.weight), (plain.coverage, other.coverage)):
        assert one.read_bytes() == two.read_bytes()

    def cast(path: Path | None) -> float:
        """Redness of the western sky over that of the eastern one, in steps of 8 bits."""
        data = tifffile.imread(path)[..., :3] / 257.0
        red = [np.median(data[:, part, 0]) - np.median(data[:, part, 1]) for part in (slice(30, 80), slice(270, 320))]
        return float(red[1] - red[0])

    assert cast(plain.tiff) > 15 and abs(cast(other.tiff)) < 3


def test_stars_are_grey_on_average_in_both_stretches(source: Mosaic, tmp_path: Path) -> None:
    """All of them are of one colour here: green, as the sensor has them."""
    greens = {}
    for name, style in {"sensor": Style(star_white=False), "linked": Style(), "unlinked": Style(linked=False)}.items():
        data = tifffile.imread(shown(tmp_path / name, source, Pictures(style, tiff=True)).tiff)[:, 30:] / 257.0
        bright = data.mean(axis=2) > 90
        greens[name] = float(np.median(data[bright, 1] - 0.5 * (data[bright, 0] + data[bright, 2])))
        assert np.ptp(np.median(data, axis=(0, 1))) < 3  # the sky is neutral in all
    assert greens["sensor"] > 25 and abs(greens["linked"]) < 5 and abs(greens["unlinked"]) < 5, greens


def test_a_jpeg_cannot_hold_everything(source: Mosaic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zemosaic.phases._export_pictures.LONGEST_JPEG", 150)
    listener = Listener()
    outputs = shown(tmp_path, source, Pictures(jpeg=True), listener)
    assert pixels(outputs.jpeg).shape == (70, 80, 3)
    (said,) = listener.warnings
    assert "320 x 280" in said and "1/4" in said and sentence(said, Messages("fr")) != said


def test_a_jpeg_that_finds_no_room_is_told_and_ends_nothing_else(
    source: Mosaic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mapped into memory would end the process when it finds no room later: it is reserved before."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match=r"jpg\.pixels.*No space left") as caught:
        shown(tmp_path, source, Pictures(jpeg=True))
    assert sentence(str(caught.value), Messages("fr")) != str(caught.value)
    assert not list(tmp_path.glob(".*")) and list(tmp_path.glob("*_preview.png"))


def test_mono(tmp_path: Path) -> None:
    outputs = shown(tmp_path, mosaic(tmp_path / "planes", channels=1))
    assert tifffile.imread(outputs.tiff).shape == (280, 320)
    assert pixels(outputs.jpeg).shape == pixels(outputs.preview).shape == (280, 320)


def test_nothing_but_sky_that_nobody_saw(tmp_path: Path) -> None:
    source = mosaic(tmp_path / "planes")
    save(source.data, np.full((3, 280, 320), np.nan, np.float32), (3, 256, 256))
    outputs = shown(tmp_path / "out", source)
    assert not tifffile.imread(outputs.tiff).any() and not pixels(outputs.jpeg).any()


def test_memory_does_not_grow_with_the_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("preview.PREVIEW_PIXELS", 20_000), ("strips.STRIP_BYTES", 100_000), ("pictures.PIECE", 64), ("pictures.PIECES", 4),
        ("pictures.BAND", 64),
    ):  # fmt: skip
        monkeypatch.setattr(f"zemosaic.phases._export_{name}", value)
    peaks = []
    for height in (400, 1200):
        source = mosaic(tmp_path / f"{height}", replace(GRID, height=height))
        tracemalloc.start()
        shown(tmp_path / f"out{height}", source, replace(ALL, zoom=False))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.15 * peaks[0], peaks


# ---- the page to zoom into


def tiles(outputs: Outputs) -> dict[str, np.ndarray]:
    assert outputs.zoom is not None
    return {str(path.relative_to(outputs.zoom.parent)): pixels(path) for path in outputs.zoom.parent.rglob("*.jpg")}


def test_tiles_are_the_picture_at_all_sizes(made: Outputs) -> None:
    found = tiles(made)
    assert {name: each.shape[:2] for name, each in found.items()} == {
        "tiles/0/0_0.jpg": (256, 256),
        "tiles/0/1_0.jpg": (256, 64),
        "tiles/0/0_1.jpg": (24, 256),
        "tiles/0/1_1.jpg": (24, 64),
        "tiles/1/0_0.jpg": (140, 160),
    }
    picture = pixels(made.preview)
    assert np.abs(found["tiles/0/1_0.jpg"] - picture[:256, 256:]).mean() < 5
    half = picture.reshape(140, 2, 160, 2, 3).mean(axis=(1, 3))
    assert np.abs(found["tiles/1/0_0.jpg"] - half).mean() < 4


def told(outputs: Outputs) -> dict[str, object]:
    assert outputs.zoom is not None
    html = outputs.zoom.read_text(encoding="utf-8")
    assert "http://" not in html and "https://" not in html
    return json.loads(html.split('id="data">')[1].split("</script>")[0])


def test_the_page_knows_where_the_sky_is(made: Outputs) -> None:
    """Between the points of its table to a tenth of a pixel."""
    sky = told(made)["sky"]
    step, columns, rows = (sky[key] for key in ("step", "columns", "rows"))
    table = np.array(sky["xyz"]).reshape(rows, columns, 3)
    worst = 0.0
    for x, y in ((3.0, 5.0), (161.5, 140.2), (319.0, 279.0), (50.4, 275.0)):
        u, v = x / step, y / step
        i, j = min(int(u), columns - 2), min(int(v), rows - 2)
        a, b = u - i, v - j
        upper = table[j, i] * (1 - a) + table[j, i + 1] * a
        lower = table[j + 1, i] * (1 - a) + table[j + 1, i + 1] * a
        vector = upper * (1 - b) + lower * b
        ra, dec = (math.radians(float(each)) for each in grid_to_sky(GRID, x, 279.0 - y))
        true = np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])
        worst = max(worst, float(np.linalg.norm(np.cross(vector / np.linalg.norm(vector), true))))
    assert math.degrees(worst) < 0.1 * GRID.scale


def test_another_run_puts_new_tiles_in_the_place_of_the_old(source: Mosaic, tmp_path: Path) -> None:
    outputs = shown(tmp_path, source, Pictures(zoom=True))
    assert outputs.zoom is not None
    old, mine = outputs.zoom.parent / "tiles" / "0" / "7_7.jpg", outputs.zoom.parent / "notes.txt"
    old.write_bytes(b"of a larger mosaic")
    mine.write_text("of the user")
    shown(tmp_path, source, Pictures(zoom=True))
    assert not old.exists() and mine.exists() and outputs.zoom.exists()


def test_the_page_opens_from_the_disk(made: Outputs, tmp_path: Path) -> None:
    """At one pixel to one: the sky in the middle of the picture is told, and its stars are on the screen."""
    assert made.zoom is not None
    html, screen = seen(made.zoom, tmp_path, "#x=160.5&y=140.5&zoom=1", (900, 700))
    ra, dec = (float(each) for each in grid_to_sky(GRID, 160.0, 279.0 - 140.0))
    hours, degrees = ra / 15, abs(dec)
    place = f"{int(hours):02d}h {int(hours * 60) % 60:02d}m"
    assert place in html and f"+{int(degrees)}° {int(degrees * 60) % 60:02d}′" in html and "100 %" in html
    picture = pixels(made.preview)
    there = screen[350 - 100 : 350 + 100, 450 - 100 : 450 + 100].astype(int)
    expected = picture[140 - 100 : 140 + 100, 160 - 100 : 160 + 100]
    assert np.corrcoef(there.mean(axis=2).ravel(), expected.mean(axis=2).ravel())[0, 1] > 0.9


def test_the_page_is_worked_with_keys_mouse_and_fingers(made: Outputs, tmp_path: Path) -> None:
    """What it tells after each step: the place in the middle of the window, and the zoom."""
    assert made.zoom is not None
    steps = """<script>addEventListener("load", () => {
      const sky = document.getElementById("sky"), told = [];
      const key = (name) => dispatchEvent(new KeyboardEvent("keydown", { key: name, cancelable: true }));
      const point = (what, x, y, pointerId, pointerType) =>
        sky.dispatchEvent(new PointerEvent(what, { clientX: x, clientY: y, pointerId, pointerType, bubbles: true }));
      const say = () => { point("pointerleave", 0, 0, 1, "mouse"); told.push(document.getElementById("place").textContent); };
      sky.setPointerCapture = () => {}; // there is no real pointer
      say();
      for (const name of ["+", "+", "ArrowLeft", "0"]) { key(name); say(); }
      sky.dispatchEvent(new WheelEvent("wheel", { deltaY: -100, clientX: 450, clientY: 350, cancelable: true }));
      say();
      point("pointerdown", 400, 300, 1, "mouse");
      for (const what of ["pointermove", "pointerup"]) point(what, 450, 300, 1, "mouse");
      say();
      key("0");
      point("pointerdown", 400, 350, 5, "touch"); point("pointerdown", 500, 350, 6, "touch");
      point("pointermove", 380, 350, 5, "touch"); point("pointermove", 620, 350, 6, "touch");
      say();
      document.title = told.join("|");
    });</script></body>"""
    folder = tmp_path / "page"
    shutil.copytree(made.zoom.parent, folder)
    page = folder / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", steps), encoding="utf-8")
    html = browse(page, tmp_path, "", "--window-size=900,700", "--dump-dom")
    title = re.search("<title>(.*?)</title>", html)
    assert title is not None
    told = [re.fullmatch(r"(\d+)h (\d+)m ([\d.]+)s +(\S+)° (\d+)′ (\d+)″(\d+) %", text) for text in title[1].split("|")]
    assert all(told) and len(told) == 8, title[1]
    ra = [15.0 * (float(t[1]) + float(t[2]) / 60 + float(t[3]) / 3600) for t in told if t]
    zoom = [int(t[7]) / 100 for t in told if t]
    first, once, twice, left, whole, wheel, drag, pinch = zoom
    assert once / first == pytest.approx(1.5, rel=0.01) and twice / first == pytest.approx(2.25, rel=0.01)
    assert left == twice and whole == first and wheel / first == pytest.approx(math.exp(0.25), rel=0.01)
    assert drag == wheel and pinch / first == pytest.approx(2.0, rel=0.01)
    assert ra[3] > ra[2] + 0.01 and ra[4] == ra[0]  # east is left
    pixels_moved = (ra[6] - ra[5]) * math.cos(math.radians(GRID.dec)) / GRID.scale
    assert pixels_moved * wheel == pytest.approx(
        50, abs=2
    )  # the sky goes with the mouse: what is east comes into the middle

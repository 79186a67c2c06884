"""HiPS, read as other programs read them: places by the HPX projection of astropy, coverage by the definition of MOC."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix
from PIL import Image

from nights import Recorder
from zemosaic import recipes
from zemosaic.chunks import save
from zemosaic.errors import Cancelled, SettingsError
from zemosaic.events import PhaseProgress, Silent
from zemosaic.imaging.projection import angular_separation, grid_to_sky, sky_to_grid
from zemosaic.leftovers import clear_away
from zemosaic.messages import Messages, sentence
from zemosaic.model import Grid, Mosaic
from zemosaic.names import stamp
from zemosaic.phases._export_healpix import SIDE, deepest_order, places, tiles_of
from zemosaic.phases.export import Outputs, Pictures, Provenance, export
from zemosaic.pipeline import make_mosaic
from zemosaic.settings import Settings

GRID = Grid(83.6, 22.0, 6.6e-4, 420, 360, 150.0, 125.0, rotation=30.0)
ORDER = 8  # the first with pixels below 2.4"
SKY, FLUXES, SIGMA = (842.0, 996.0, 794.0), (60000.0, 80000.0, 45000.0), 1.5
EMPTY = 40  # columns without data
TOLD = Provenance(
    1, 12, "linear_fit", "noise_variance", "kappa_sigma", 4.0, 4.0, "mean", "incremental", "lanczos3", 1.0, False,
    20.0, 0.1, "0", "ab", (), 0.2, 0.05,
)  # fmt: skip


def star_places() -> tuple[np.ndarray, np.ndarray]:
    """A lattice of stars that lie anywhere within a pixel."""
    x, y = np.meshgrid(np.arange(70.0, 400, 43), np.arange(30.0, 340, 39))
    rng = np.random.default_rng(3)
    return (each.ravel() + rng.uniform(-0.5, 0.5, each.size) for each in (x, y))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    folder, shape = tmp_path_factory.mktemp("planes"), (GRID.height, GRID.width)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    light = np.zeros(shape)
    for sx, sy in zip(*star_places()):
        light += np.exp(-0.5 * ((x - sx) ** 2 + (y - sy) ** 2) / SIGMA**2) / (2 * np.pi * SIGMA**2)
    noise = np.random.default_rng(4).normal(0.0, 3.0, shape)
    data = np.stack([sky + flux * light + noise for sky, flux in zip(SKY, FLUXES)]).astype(np.float32)
    weight = np.full(data.shape, 0.1, np.float32)
    data[..., :EMPTY], weight[..., :EMPTY] = np.nan, 0.0
    planes = {"data": data, "weight": weight, "coverage": (weight[0] > 0).astype(np.uint16)}
    for name, values in planes.items():
        save(folder / name, values, (*values.shape[:-2], 256, 256))
    return Mosaic(GRID, *(folder / name for name in planes), folder / "coverage", frames=())


def shown(folder: Path, source: Mosaic, kind: str, reporter: Silent | Recorder | None = None) -> Outputs:
    folder.mkdir(exist_ok=True)
    return export(source, [], TOLD, folder, reporter or Silent(), pictures=Pictures(hips=kind))


@pytest.fixture(scope="module")
def told() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def linear(source: Mosaic, tmp_path_factory: pytest.TempPathFactory, told: Recorder) -> Outputs:
    return shown(tmp_path_factory.mktemp("fits"), source, "fits", told)


@pytest.fixture(scope="module")
def stretched(source: Mosaic, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    return shown(tmp_path_factory.mktemp("png"), source, "png")


def about(mark: Path) -> dict[str, str]:
    return {key.strip(): value.strip() for key, value in (line.split("=", 1) for line in mark.read_text().splitlines())}


def tiles(mark: Path, order: int) -> Iterator[tuple[int, Path]]:
    for path in sorted(mark.parent.glob(f"Norder{order}/Dir*/Npix*")):
        number = int(path.stem.removeprefix("Npix"))
        assert path.parent.name == f"Dir{number // 10000 * 10000}"
        yield number, path


def sky_of(order: int, tile: int) -> WCS:
    """Of the pixels of a tile inside of a base cell, rows from the bottom: HPX, turned by 45 degrees."""
    wcs, step = WCS(naxis=2), 45.0 / SIDE / 2**order
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---HPX", "DEC--HPX"], [0.0, 0.0]
    wcs.wcs.cd = [[-step, -step], [step, -step]]
    wcs.wcs.set_pv([(2, 1, 4), (2, 2, 3)])
    middle = healpix_to_lonlat(tile, 2**order, dx=0.5, dy=0.5, order="nested")
    x, y = wcs.wcs_world2pix(middle[0].deg, middle[1].deg, 0)
    wcs.wcs.crpix = [0.5 * (SIDE - 1) - x, 0.5 * (SIDE - 1) - y]
    return wcs


@pytest.mark.parametrize("order", [ORDER, ORDER - 1])
def test_stars_lie_where_they_are_with_their_light(linear: Outputs, order: int) -> None:
    """Centroids and sums in an aperture, of tiles of the two deepest orders, against what the mosaic was made with."""
    ra, dec = grid_to_sky(GRID, *star_places())
    off, ratio = [], []
    radius = 12 if order == ORDER else 6
    for mark, sky, flux in zip(linear.hips, SKY, FLUXES, strict=True):
        for number, path in tiles(mark, order):
            data, header = fits.getdata(path), fits.getheader(path)
            assert (data.shape, header["ORDER"], header["NPIX"]) == ((SIDE, SIDE), order, number)
            wcs, rows = sky_of(order, number), np.arange(SIDE)
            for sx, sy in zip(*wcs.wcs_world2pix(ra, dec, 0)):
                if not (radius < min(sx, sy) and max(sx, sy) < SIDE - radius - 1):
                    continue
                inside = np.hypot(rows - sx, rows[:, None] - sy) < radius
                light = np.where(inside, data - sky, 0.0)
                assert np.isfinite(light).all()
                total = light.sum()
                x, y = (light * rows).sum() / total, (light * rows[:, None]).sum() / total
                near = int(np.argmin(np.hypot(*(each - s for each, s in zip(wcs.wcs_world2pix(ra, dec, 0), (sx, sy))))))
                found = wcs.wcs_pix2world(x, y, 0)
                off.append(float(angular_separation(found[0], found[1], ra[near], dec[near])) / GRID.scale)
                area = (np.pi / 3 / SIDE**2 / 4**order) / np.radians(GRID.scale) ** 2
                ratio.append(total * area / flux)
    assert len(off) > 100
    assert np.median(off) < 0.05 and max(off) < 0.25
    assert abs(np.median(ratio) - 1.0) < 0.002 and np.abs(np.array(ratio) - 1.0).max() < 0.01


def test_empty_sky_is_no_number_and_no_tile(source: Mosaic, linear: Outputs) -> None:
    for mark in linear.hips:
        for number, path in tiles(mark, ORDER):
            y, x = np.mgrid[:SIDE, :SIDE]
            column, row = sky_to_grid(GRID, *sky_of(ORDER, number).wcs_pix2world(x, y, 0))
            known = np.isfinite(fits.getdata(path))
            inside = (column > EMPTY) & (column < GRID.width - 1) & (row > 0) & (row < GRID.height - 1)
            outside = (column < EMPTY - 1) | (column > GRID.width) | (row < -1) | (row > GRID.height)
            assert known.any() and known[inside].all() and not known[outside].any()


def test_pictures_are_the_preview_and_transparent_where_there_is_no_data(stretched: Outputs) -> None:
    (mark,) = stretched.hips
    with Image.open(stretched.preview) as image:
        preview = np.asarray(image).astype(int)
    off, seen = list[np.ndarray](), 0
    for number, path in tiles(mark, ORDER):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (SIDE, SIDE))
            tile = np.asarray(image).astype(int)[::-1]
        y, x = np.mgrid[:SIDE, :SIDE]
        column, row = sky_to_grid(GRID, *sky_of(ORDER, number).wcs_pix2world(x, y, 0))
        inside = (column > EMPTY) & (column < GRID.width - 1) & (row > 0) & (row < GRID.height - 1)
        assert (tile[inside, 3] == 255).all()
        assert not tile[(column < EMPTY - 1) | (row < -1) | (row > GRID.height), 3].any()
        near = inside & (np.abs(column - np.rint(column)) < 0.1) & (np.abs(row - np.rint(row)) < 0.1)
        there = GRID.height - 1 - np.rint(row[near]).astype(int), np.rint(column[near]).astype(int)
        off.append(np.abs(tile[near, :3] - preview[there]))
        seen += int(near.sum())
    assert seen > 1000
    assert np.concatenate(off).mean() < 3.0  # noise, bilinear a tenth of a pixel away


def test_each_order_is_made_of_the_one_below(stretched: Outputs) -> None:
    (mark,) = stretched.hips
    deep = {number for number, _ in tiles(mark, ORDER)}
    for order in range(ORDER, -1, -1):
        found = {number for number, _ in tiles(mark, order)}
        assert found == {number >> 2 * (ORDER - order) for number in deep}
    number, path = next(tiles(mark, ORDER - 1))
    with Image.open(path) as image:
        tile = np.asarray(image).astype(int)[::-1]
    star = sky_of(ORDER - 1, number).wcs_world2pix(*grid_to_sky(GRID, *star_places()), 0)
    inside = [(x, y) for x, y in np.rint(np.stack(star, -1)).astype(int) if min(x, y) > 9 and max(x, y) < SIDE - 10]
    sky = np.median(tile[tile[..., 3] == 255, 1])
    assert len(inside) > 3 and all(tile[y, x, 1] > sky + 50 for x, y in inside)


def test_a_map_of_the_whole_sky_has_all_tiles_and_a_small_one_few() -> None:
    """Coarse pixels too: a tile is 36 of them wide there."""
    whole = Grid(40.0, 0.0, 0.2, 1800, 900, 899.5, 449.5, projection="CAR")
    assert deepest_order(whole) == 3 and len(tiles_of(whole, 3)) == 12 * 4**3
    assert 4 <= len(tiles_of(GRID, ORDER)) <= 25


def test_another_form_replaces_the_tiles_and_nothing_of_others(
    source: Mosaic, stretched: Outputs, tmp_path: Path
) -> None:
    """JPEG after PNG, black where that is transparent."""
    (clear,) = stretched.hips
    shutil.copytree(clear.parent, tmp_path / clear.parent.name)
    mine = tmp_path / clear.parent.name / "Norder8" / "notes.txt"
    mine.write_text("mine")
    (mark,) = shown(tmp_path, source, "jpeg").hips
    assert about(mark)["hips_tile_format"] == "jpeg"
    for (number, path), (same, other) in zip(tiles(mark, ORDER), tiles(clear, ORDER), strict=True):
        with Image.open(path) as one, Image.open(other) as two:
            assert number == same and path.suffix == ".jpg" and (one.format, one.mode) == ("JPEG", "RGB")
            tile, png = np.asarray(one).astype(int), np.asarray(two).astype(int)
        assert np.abs(tile - png[..., :3] * (png[..., 3:] > 0)).mean() < 4
    assert not list(tmp_path.glob(".*"))  # what the picture was collected in is gone
    assert {path.suffix for path in mark.parent.rglob("Npix*")} == {".jpg"}
    assert clear_away({mark: stamp(mark)}, Recorder()) == (1, [])
    assert [path for path in mark.parent.rglob("*") if path.is_file()] == [mine]


def test_properties_say_what_it_is(linear: Outputs, stretched: Outputs) -> None:
    (mark,) = stretched.hips
    found = about(mark)
    for key in (
        "creator_did", "obs_title", "dataproduct_type", "hips_version", "hips_release_date", "hips_status", "hips_frame",
        "hips_order", "hips_tile_width", "hips_tile_format",
    ):  # fmt: skip
        assert found[key], f"HiPS 1.0, table 4: {key} is required"
    assert found["creator_did"].startswith("ivo://zemosaic/") and " " not in found["creator_did"]
    assert (found["hips_frame"], found["hips_order"], found["hips_tile_width"]) == ("equatorial", "8", "512")
    assert float(found["hips_pixel_scale"]) <= GRID.scale < 2 * float(found["hips_pixel_scale"])
    middle = grid_to_sky(GRID, 0.5 * (GRID.width - 1), 0.5 * (GRID.height - 1))
    assert [float(found[f"hips_initial_{key}"]) for key in ("ra", "dec")] == pytest.approx(middle, abs=1e-5)
    assert float(found["hips_initial_fov"]) == pytest.approx(420 * 6.6e-4, rel=1e-4)
    assert len(linear.hips) == 3 and len({about(each)["creator_did"] for each in linear.hips}) == 3
    for each, sky in zip(linear.hips, SKY):
        low, high = map(float, about(each)["hips_pixel_cut"].split())
        assert sky - 15 < low < sky < high
    assert not list(mark.parent.glob("*.html"))  # nothing that asks a network


def test_coverage_is_a_moc_of_the_sky_that_was_seen(stretched: Outputs) -> None:
    (mark,) = stretched.hips
    with fits.open(mark.with_name("Moc.fits")) as file:
        header, uniq = file[1].header, file[1].data["UNIQ"].astype(np.int64)
    assert (header["PIXTYPE"], header["ORDERING"], header["COORDSYS"]) == ("HEALPIX", "NUNIQ", "C")
    order = (np.log2(uniq // 4) // 2).astype(int)
    cells = uniq - 4 * 4**order
    assert order.max() <= header["MOCORDER"] and len(np.unique(order)) > 1
    share = float((4.0**-order).sum()) / 12
    seen = (GRID.width - EMPTY) * GRID.height * np.radians(GRID.scale) ** 2 / (4 * np.pi)
    assert seen < share < 1.4 * seen and float(about(mark)["moc_sky_fraction"]) == pytest.approx(share, rel=1e-4)

    def holds(x: float, y: float) -> bool:
        ra, dec = grid_to_sky(GRID, x, y)
        at = [int(lonlat_to_healpix(ra * u.deg, dec * u.deg, 2**k, order="nested")) for k in range(order.max() + 1)]
        return any(at[k] == cell for k, cell in zip(order, cells))

    assert all(holds(x, y) for x, y in zip(*star_places()))
    assert not any(holds(x, y) for x, y in ((-60, 100), (480, 100), (200, -60), (200, 420)))


@pytest.mark.parametrize(("ra", "dec"), [(0.003, 3.0), (89.997, -2.0), (33.0, 70.0), (266.0, -55.0)])
def test_places_agree_with_the_projection_of_fits(ra: float, dec: float) -> None:
    """Across RA 0, between base cells, at the equator and in the caps."""
    grid = Grid(ra, dec, 6.6e-4, 500, 500, 250.0, 250.0)
    order = deepest_order(grid)
    tile = int(lonlat_to_healpix(ra * u.deg, dec * u.deg, 2**order, order="nested"))
    y, x = np.mgrid[:SIDE, :SIDE]
    expected = sky_to_grid(grid, *sky_of(order, tile).wcs_pix2world(x, y, 0))
    for found, wanted in zip(places(grid, order, tile), expected, strict=True):
        assert np.abs(found[::-1] - wanted).max() < 1e-6


def test_while_it_is_written_nothing_says_that_it_is_whole(source: Mosaic, stretched: Outputs, tmp_path: Path) -> None:
    class Stops(Silent):
        stop = False

        def emit(self, event: object) -> None:
            self.stop = self.stop or (isinstance(event, PhaseProgress) and "_hips" in event.item)

        def cancelled(self) -> bool:
            return self.stop

    (before,) = stretched.hips
    mark = shutil.copytree(before.parent, tmp_path / before.parent.name) / before.name
    with pytest.raises(Cancelled):
        shown(tmp_path, source, "png", Stops())
    assert not mark.exists() and not list(tmp_path.glob(".*"))


def test_the_room_that_is_kept_for_it_is_enough(stretched: Outputs, linear: Outputs) -> None:
    for outputs, kind, least in (
        (stretched, "png", 1.0),
        (linear, "fits", 0.8),
    ):  # tiles on the border of a small one: by chance
        tiles = [path for path in outputs.and_tiles if path.name.startswith("Npix")]
        size, expected = sum(path.stat().st_size for path in tiles), Pictures(hips=kind).disk(GRID, 3)
        assert len(tiles) > 12 * len(outputs.hips) and least * size < expected < 3 * size


def test_a_mosaic_without_data_has_no_tiles_and_still_says_what_it_is(tmp_path: Path) -> None:
    grid, shape = Grid(10.0, 10.0, 6.6e-4, 100, 80, 50.0, 40.0), (1, 80, 100)
    save(tmp_path / "data", np.full(shape, np.nan, np.float32), (1, 256, 256))
    save(tmp_path / "weight", np.zeros(shape, np.float32), (1, 256, 256))
    save(tmp_path / "coverage", np.zeros(shape[1:], np.uint16), (256, 256))
    empty = Mosaic(grid, *(tmp_path / name for name in ("data", "weight", "coverage", "coverage")), frames=())
    (mark,) = shown(tmp_path / "out", empty, "fits").hips  # of one plane: one folder
    assert about(mark)["moc_sky_fraction"] == "0" and not list(mark.parent.rglob("Npix*"))


def test_progress_comes_to_its_end(linear: Outputs, told: Recorder) -> None:
    last = [event for event in told.events if isinstance(event, PhaseProgress)][-1]
    assert len(linear.hips) == 3
    assert last.done == last.total and last.item == ", ".join(f"zemosaic_MT1_R0_hips_{colour}" for colour in "RGB")


def test_without_the_library_it_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "has_healpix", lambda: False)
    with pytest.raises(SettingsError, match=r'picture_hips.*pip install "zemosaic\[hips\]"') as caught:
        make_mosaic([tmp_path / "nowhere"], tmp_path / "out", Settings(picture_hips="png"), Silent())
    assert sentence(str(caught.value), Messages("fr")) != str(caught.value)
    recipes.check_extras(Settings())

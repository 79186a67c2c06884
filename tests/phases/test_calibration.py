"""Which darks, biases and flats go with which lights, the masters made of them, and the pixels that come out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from zemosaic.calibrated import full_levels, read_calibrated
from zemosaic.errors import Cancelled
from zemosaic.events import Event, MasterUsed, Silent
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.masters import smooth_flat, smooth_part
from zemosaic.imaging.sky import damaged_pixels
from zemosaic.model import CalibrationFrame, CalibrationKind, Frame, FrameKind, FrameState
from zemosaic.phases._calibrate_rules import Choice, Pool, choose, described, flat_pedestal, refusal, sets_of
from zemosaic.phases.calibrate import CalibrateResult, calibrate
from zemosaic.phases.measure import MeasureTask, measure_one
from zemosaic.phases.scan import scan
from zemosaic.tables import load_mesh, load_stars

NAN = float("nan")
LIGHT = Frame(
    id=0, path=Path("light.fit"), size=0, mtime_ns=0, digest="", kind=FrameKind.BAYER, width=300, height=200, bayer="RGGB",
    instrument="x", camera="ZWO ASI533MC Pro", telescope="FRA400", target="", filter="L-eNhance", exposure=60.0, gain=101.0,
    offset=30.0, temperature=-10.0, date_obs="2025-04-09T22:00:00", ra=0.0, dec=0.0, scale=1.9, saturation=65520.0,
)  # fmt: skip
DARK = CalibrationFrame(
    kind=CalibrationKind.DARK, path=Path("dark.fit"), size=0, mtime_ns=0, camera="ZWO ASI533MC Pro", telescope="", width=300,
    height=200, bayer="RGGB", binning=1, exposure=60.0, gain=101.0, offset=30.0, temperature=-10.0, filter="", date_obs="",
    saturation=65520.0, master=False,
)  # fmt: skip


def kind(name: str, **more: object) -> CalibrationFrame:
    times = {"bias": 0.0, "flat": 2.0, "dark flat": 2.0}
    return replace(DARK, **{"kind": CalibrationKind(name), "exposure": times.get(name, 60.0)} | more)


def one(name: str = "dark", **more: object):
    (found,) = sets_of([kind(name, **more)])
    return found


# ---- rules


@pytest.mark.parametrize(
    ("name", "difference", "reason"),
    [
        (
            "dark",
            {"camera": "ZWO ASI2600MC Pro"},
            "it is of the camera ZWO ASI2600MC Pro, the lights are of ZWO ASI533",
        ),
        ("dark", {"width": 302}, "it has 302 x 200 px, the lights have 300 x 200"),
        ("dark", {"binning": 2}, "its binning is 2, that of the lights 1"),
        ("dark", {"bayer": "GRBG"}, "its colour filter array is GRBG, that of the lights RGGB"),
        ("dark", {"gain": 0.0}, "its gain is 0, that of the lights 101"),
        ("dark", {"offset": 10.0}, "its offset is 10, that of the lights 30"),
        ("dark", {"exposure": 20.0}, "it has 20 s, the lights have 60 s"),
        ("dark", {"exposure": 64.0}, "it has 64 s, the lights have 60 s"),
        ("dark", {"exposure": NAN}, "the exposure of the dark is not known"),
        ("dark", {"temperature": -5.0}, "it was taken at -5 C, the lights at -10 C"),
        ("bias", {"gain": 0.0}, "its gain is 0, that of the lights 101"),
        ("flat", {"filter": "UV/IR cut"}, "it was taken through UV/IR cut, the lights through L-eNhance"),
        ("flat", {"telescope": "EdgeHD"}, "it is of the telescope EdgeHD, the lights are of FRA400"),
    ],
)
def test_refusals_name_the_reason(name, difference, reason):
    assert refusal(one(name), LIGHT) == ""
    assert refusal(one(name, **difference), LIGHT).startswith(reason)
    assert choose(LIGHT, Pool((one(name, **difference),))).nothing


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("dark", {"camera": ""}),
        ("dark", {"camera": "zwo  asi533mc pro"}),
        ("dark", {"telescope": "another scope"}),  # the same camera may sit on two telescopes
        ("dark", {"gain": NAN}),
        ("dark", {"offset": NAN}),
        ("dark", {"bayer": None}),
        ("dark", {"exposure": 61.0}),
        ("dark", {"temperature": NAN}),
        ("dark", {"temperature": -7.5}),
        ("bias", {"temperature": 20.0}),
        ("flat", {"gain": 0.0}),
        ("flat", {"temperature": 20.0}),
        ("flat", {"filter": "l-enhance"}),
        ("flat", {"filter": ""}),
    ],
)
def test_what_is_not_known_or_does_not_matter_is_no_reason(name, difference):
    assert refusal(one(name, **difference), LIGHT) == ""


def test_darks_of_another_smart_telescope_have_other_hot_pixels():
    light = replace(LIGHT, camera="Seestar S50", telescope="S50_1d3fe189")
    assert refusal(one(camera="Seestar S50", telescope="S50_1d3fe189"), light) == ""
    reason = "it is of the telescope S50_12d98769, the lights are of S50_1d3fe189"
    assert refusal(one(camera="Seestar S50", telescope="S50_12d98769"), light) == reason


def test_debayered_lights_take_nothing():
    assert "debayered already" in refusal(one(), replace(LIGHT, kind=FrameKind.RGB, bayer=None))


def test_sets_hold_what_may_be_combined():
    frames = [
        *(kind("dark", path=Path(f"a{k}"), temperature=-10.2 + 0.1 * k, exposure=60.0 + 0.1 * k) for k in range(4)),
        kind("dark", path=Path("b"), exposure=120.0),
        kind("dark", path=Path("c"), temperature=0.0),
        kind("dark", path=Path("d"), master=True),
        *(kind("flat", path=Path(f"e{k}"), date_obs=f"2025-04-10T0{k}:00:00") for k in range(2)),
        kind("flat", path=Path("f"), date_obs="2025-04-10T22:00:00"),  # the next evening
        kind("bias", path=Path("g")),
    ]
    found = sorted("".join(f.path.name[0] for f in s.frames) for s in sets_of(frames))
    assert found == ["aaaa", "b", "c", "d", "ee", "f", "g"]


def test_best_of_several():
    near, far, exact = one(temperature=-9.0), one(temperature=-12.5), one(exposure=60.0, temperature=-9.5)
    longer = one(exposure=62.0, temperature=-10.0)
    assert choose(LIGHT, Pool((far, near))).dark is near
    assert choose(LIGHT, Pool((longer, near, exact))).dark is exact
    master = one(master=True)
    assert choose(LIGHT, Pool((one(), master))).dark is master
    today, before = one("flat", date_obs="2025-04-10T05:00:00"), one("flat", date_obs="2025-03-01T05:00:00")
    plain = one("flat", date_obs="2025-04-10T05:00:00")
    named = one("flat", filter="L-eNhance", date_obs="2025-03-01T05:00:00")
    assert choose(LIGHT, Pool((before, today))).flat is today
    assert choose(LIGHT, Pool((plain, named))).flat is named


def test_darks_are_scaled_only_with_a_bias():
    dark, bias = one(exposure=20.0), one("bias")
    assert choose(LIGHT, Pool((dark,))) == Choice()
    assert choose(LIGHT, Pool((dark, bias))) == Choice(dark, bias, None, 3.0)
    too_short = one(exposure=5.0)
    assert choose(LIGHT, Pool((too_short, bias))) == Choice(None, bias)
    assert choose(LIGHT, Pool((one(exposure=20.0, temperature=0.0), bias))) == Choice(None, bias)


def test_what_is_taken_off_flats():
    flat, bias, long, short = one("flat"), one("bias"), one(exposure=60.0), one(exposure=10.0)
    dark_flat, other = one("dark flat"), one("dark flat", exposure=30.0)
    assert flat_pedestal(flat, Pool((long, bias, other, dark_flat))) is dark_flat
    assert flat_pedestal(flat, Pool((long, bias, other))) is bias
    assert flat_pedestal(flat, Pool((long, short, one("bias", gain=0.0)))) is short
    assert flat_pedestal(flat, Pool((one("bias", gain=0.0),))) is None


def test_descriptions():
    darks = sets_of([kind("dark", path=Path(str(k))) for k in range(20)])[0]
    assert described(darks) == "20 darks of 60 s at -10 C"
    assert described(one(master=True, temperature=NAN)) == "the master dark of 60 s"
    assert described(one("flat", filter="LP")) == "1 flat through LP"
    assert described(sets_of([kind("bias", path=Path(str(k))) for k in range(3)])[0]) == "3 biases"


# ---- files

SHAPE = (200, 300)
BIAS, CURRENT, READ, GAIN = 500.0, 0.3, 5.0, 0.5  # ADU, ADU/s, ADU, e-/ADU
SKY = (900.0, 1500.0, 1100.0)
LAMP = (15000.0, 30000.0, 20000.0)
NINA = {"INSTRUME": "ZWO ASI533MC Pro", "GAIN": 101, "OFFSET": 30, "CCD-TEMP": -10.0, "XBINNING": 1, "BAYERPAT": "RGGB"}
WORDS = {  # IMAGETYP of two programs
    "nina": {"light": "LIGHT", "dark": "DARK", "flat": "FLAT", "bias": "BIAS", "dark flat": "DARKFLAT"},
    "asiair": {"light": "Light", "dark": "Dark", "flat": "Flat", "bias": "Bias", "dark flat": "DarkFlat"},
}


@dataclass
class Camera:
    """A sensor with a truth, and a folder of what it took."""

    folder: Path
    program: str = "nina"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))

    def __post_init__(self) -> None:
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        u, v = (x - 120) / 180, (y - 110) / 180  # the optical axis is not in the middle
        self.flat = 1 - 0.25 * (u * u + v * v)
        self.flat *= 1 - 0.06 * np.exp(-0.5 * ((np.hypot(x - 200, y - 60) - 12) / 3) ** 2)  # dust
        self.flat *= self.rng.normal(1, 0.008, SHAPE)
        self.flat /= self.flat[98:102, 148:152].mean()
        self.current = self.rng.exponential(CURRENT, SHAPE) + 2.0 * np.exp(-x / 30)  # a glowing amplifier
        places = self.rng.choice(SHAPE[0] * SHAPE[1], 140, replace=False)
        self.hot, self.dead = places[:100], places[100:]
        self.current.ravel()[self.hot] = 10 ** self.rng.uniform(1.3, 2.9, 100)  # ADU/s
        self.flat.ravel()[self.dead] *= 0.1
        self.colour = cfa_colours("RGGB")[y % 2, x % 2]

    def write(self, name: str, what: str, light: np.ndarray | float, exposure: float, **cards: object) -> Path:
        electrons = self.rng.poisson((self.flat * light + self.current * exposure) * GAIN)
        raw = BIAS + electrons / GAIN + self.rng.normal(0, READ, SHAPE)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = NINA | {"IMAGETYP": WORDS[self.program][what], "EXPTIME": exposure, "FILTER": "LP"} | cards
        header = fits.Header({k: v for k, v in values.items() if v is not None})
        fits.writeto(path, np.clip(np.rint(raw), 0, 65535).astype(np.uint16), header)
        return path

    def lights(self, n: int = 2, light: np.ndarray | float | None = None, **cards: object) -> None:
        sky = np.array(SKY)[self.colour] if light is None else light
        for k in range(n):
            when = f"2025-04-09T22:0{k}:00"
            self.write(f"lights/l{k}.fit", "light", sky, 30.0, **{"DATE-OBS": when} | cards)

    def series(self, what: str, n: int = 9, exposure: float = 30.0, **cards: object) -> None:
        light = np.array(LAMP)[self.colour] if what == "flat" else 0.0
        for k in range(n):
            self.write(f"{what}s {exposure:g}/{k}.fit", what, light, exposure, **cards)

    def run(self, workspace: Path, reporter: Silent | None = None) -> tuple[Sequence[Frame], CalibrateResult]:
        found = scan([self.folder], workspace, Silent())
        with ThreadPoolExecutor(1) as executor:
            frames = found.frames
            return frames, calibrate(frames, found.calibration, workspace / "masters", executor, reporter or Silent())


class Listener(Silent):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def masters(self) -> list[MasterUsed]:
        return [e for e in self.events if isinstance(e, MasterUsed)]


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    return Camera(tmp_path / "in")


def reasons(result: CalibrateResult) -> set[str]:
    assert all(each.state is FrameState.NOT_A_LIGHT for each in result.left_out)
    return {each.reason for each in result.left_out}


@pytest.mark.parametrize("program", ["nina", "asiair"])
def test_calibrated_frames_are_the_truth(tmp_path, program):
    camera = Camera(tmp_path / "in", program)
    camera.lights(4)
    for what, exposure in (("dark", 30.0), ("bias", 0.001), ("flat", 1.0), ("dark flat", 1.0)):
        camera.series(what, 16, exposure)
    listener = Listener()
    frames, result = camera.run(tmp_path / "work", listener)
    masters = result.masters[0]
    assert set(result.masters) == {0, 1, 2, 3} and len({m.key for m in result.masters.values()}) == 1
    mean = np.mean([read_calibrated(f, masters) for f in frames], axis=0)
    bad = np.isnan(mean)
    # every planted pixel, and few others: the longest tail of the dark current
    assert bad.ravel()[camera.hot].all() and bad.ravel()[camera.dead].all()
    assert bad.sum() <= 140 + 1e-3 * bad.size
    total = mean / smooth_flat(SHAPE, masters.response)
    for c, sky in enumerate(SKY):
        values = total[(camera.colour == c) & ~bad]
        assert values.mean() == pytest.approx(sky, rel=1e-2)  # of the level in the centre, which is known to that
        # photons, what flats and darks add, and no structure
        noise = np.sqrt((sky / GAIN + READ**2) / 4 * 1.35)
        assert 0.8 * noise < values.std() < 1.15 * noise
    blocks = (total / np.array(SKY)[camera.colour])[:192, :288].reshape(12, 16, 18, 16)
    assert np.nanmean(blocks, axis=(1, 3)).std() < 2.5e-3 + np.sqrt((1 / 1200 / GAIN) / 4 / 256)
    assert {(m.what, m.lights, m.note) for m in listener.masters} == {
        ("16 darks of 30 s at -10 C", 4, ""), ("16 flats through LP", 4, ""), ("16 dark flats of 1 s", 4, ""),
    }  # fmt: skip
    assert reasons(result) == {"The bias is not used: the dark holds the bias already."}
    assert len(result.used) == 48 and all(u.state is FrameState.CALIBRATION for u in result.used)


def test_flat_recovers_the_vignetting(camera, tmp_path):
    """What the pixels are divided by, with the part that the model takes: true to 0.25 % rms on 10 px."""
    camera.lights()
    camera.series("flat", 16, 1.0)
    camera.series("bias", 16, 0.001)
    _, result = camera.run(tmp_path / "work")
    masters = result.masters[0]
    found = np.load(masters.flat) * smooth_flat(SHAPE, masters.response)
    ratio = found / camera.flat
    ratio.ravel()[camera.dead] = np.nan
    cells = np.nanmean(ratio.reshape(20, 10, 30, 10), axis=(1, 3))
    assert np.std(cells / cells.mean()) < 2.5e-3
    # what is divided out has lost its slope from the middle to the corners: the noise stays even
    assert abs(sum(masters.response)) > 0.1 and abs(sum(smooth_part(np.load(masters.flat))[1])) < 5e-3


def test_measuring_sees_no_hot_pixel_and_the_right_saturation(camera, tmp_path):
    """Damaged pixels are out of the mesh and make stars blended; full is what the raw file says."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = np.array(SKY)[camera.colour]
    rng = np.random.default_rng(3)
    stars = [(float(a), float(b)) for a, b in zip(rng.uniform(20, 280, 40), rng.uniform(20, 180, 40))]
    for k, (sx, sy) in enumerate(stars):
        peak = 90000.0 if k == 0 else 4000.0 + 400 * k
        light = light + peak * np.exp(-0.5 * ((x - sx) ** 2 + (y - sy) ** 2) / 1.5**2)
    camera.lights(2, light)
    camera.series("dark", 9)
    camera.series("flat", 9, 1.0)
    frames, result = camera.run(tmp_path / "work")
    masters = result.masters[0]
    full = full_levels(frames[0], masters)
    assert np.nanmedian(full) < 65520 - 500 and np.isnan(full).sum() >= 100
    measured = measure_one(MeasureTask(frames[0], tmp_path / "m.npz", masters))
    assert (measured.masters, measured.flat, measured.clipped) == (masters.key, masters.response, 0.0)
    found, mesh = load_stars(measured.path), load_mesh(measured.path)
    brightest = np.argmin(np.hypot(found.x - stars[0][0], found.y - stars[0][1]))
    assert found.saturated[brightest] and found.saturated.sum() == 1
    # no hot pixel is taken for a star
    from_hot = np.hypot(found.x[:, None] - camera.hot % SHAPE[1], found.y[:, None] - camera.hot // SHAPE[1]).min(axis=1)
    from_star = np.hypot(*(np.array(found_axis)[:, None] - np.array(true) for found_axis, true in zip(
        (found.x, found.y), zip(*stars)))).min(axis=1)  # fmt: skip
    assert not np.any((from_hot < 1.5) & (from_star > 3))
    assert np.nanmedian(mesh.mean[..., 1]) == pytest.approx(
        SKY[1] * np.median(smooth_flat(SHAPE, masters.response)), rel=0.02
    )
    assert np.isfinite(measured.sigma).all()


def test_scaled_darks_and_biases_alone(camera, tmp_path):
    camera.lights()
    camera.series("bias", 16, 0.001)
    camera.series("dark", 16, 120.0)
    frames, result = camera.run(tmp_path / "work")
    sky = read_calibrated(frames[0], result.masters[0])
    good = ~np.isnan(sky)
    glow = (sky - camera.flat * np.array(SKY)[camera.colour])[:, :20][good[:, :20]]
    assert abs(glow.mean()) < 4.0  # of 36 ADU
    assert any("scaled by 0.25 with the bias" in each.reason for each in result.used)
    for path in (tmp_path / "in" / "darks 120").iterdir():
        path.unlink()
    frames, result = camera.run(tmp_path / "work")
    glow = (read_calibrated(frames[0], result.masters[0]) - camera.flat * np.array(SKY)[camera.colour])[:, :20]
    assert np.nanmedian(glow) > 20.0


@pytest.mark.parametrize(("divisor", "note"), [(1.0, ""), (65535.0, "normalised")])
def test_masters_of_others(camera, tmp_path, divisor, note):
    """16 bit values, or 0 to 1 in floating point; a flat of theirs has its bias off."""
    camera.lights()
    dark = (BIAS + camera.current * 30.0) / divisor
    flat = camera.flat * np.array(LAMP)[camera.colour] / 65535.0
    cards = {k: v for k, v in NINA.items() if k != "BAYERPAT"}  # which some leave out
    masters = tmp_path / "in" / "masters"
    masters.mkdir()
    header = fits.Header(cards | {"IMAGETYP": "Master Dark", "EXPTIME": 30.0, "STACKCNT": 40})
    fits.writeto(masters / "masterDark.fits", dark.astype(np.float32), header)
    header = fits.Header(cards | {"IMAGETYP": "masterFlat", "FILTER": "LP"})
    fits.writeto(masters / "masterFlat.fits", flat.astype(np.float32), header)
    listener = Listener()
    frames, result = camera.run(tmp_path / "work", listener)
    assert {(m.what, m.note) for m in listener.masters} == {
        ("the master dark of 30 s at -10 C", note), ("the master flat through LP", ""),
    }  # fmt: skip
    sky = read_calibrated(frames[0], result.masters[0]) / smooth_flat(SHAPE, result.masters[0].response)
    for c in range(3):
        assert np.nanmean(sky[camera.colour == c]) == pytest.approx(SKY[c], rel=6e-3)


def test_a_dark_without_its_bias_gets_it(camera, tmp_path):
    camera.lights()
    camera.series("bias", 9, 0.001)
    header = fits.Header(NINA | {"IMAGETYP": "Master Dark", "EXPTIME": 30.0})
    fits.writeto(tmp_path / "in" / "masterDark.fits", (camera.current * 30.0).astype(np.float32), header)
    frames, result = camera.run(tmp_path / "work")
    assert len(result.used) == 10
    sky = read_calibrated(frames[0], result.masters[0])
    assert np.nanmedian(sky / camera.flat / np.array(SKY)[camera.colour]) == pytest.approx(1.0, rel=0.01)


def test_masters_are_made_once(camera, tmp_path):
    camera.lights()
    camera.series("dark")
    camera.series("flat", 5, 1.0)
    work = tmp_path / "work"
    _, before = camera.run(work)
    stamps = {p.name: p.stat().st_mtime_ns for p in (work / "masters").iterdir()}
    assert {p.suffix for p in (work / "masters").iterdir()} == {".fits", ".npy", ".json"} and len(stamps) == 6
    _, again = camera.run(work)
    assert again == before
    assert {p.name: p.stat().st_mtime_ns for p in (work / "masters").iterdir()} == stamps
    next((tmp_path / "in" / "darks 30").iterdir()).unlink()
    _, changed = camera.run(work)
    assert changed.masters[0].key != before.masters[0].key
    # the flats have the darks taken off: both are new, and the old ones are gone
    assert len(list((work / "masters").iterdir())) == 6
    assert not stamps.keys() & {p.name for p in (work / "masters").iterdir()}


def test_master_as_fits(camera, tmp_path):
    """For other programs, and good enough to be used as a master again."""
    camera.lights()
    camera.series("dark")
    _, result = camera.run(tmp_path / "work")
    (path,) = (tmp_path / "work" / "masters").glob("*.fits")
    header = fits.getheader(path)
    assert (header["IMAGETYP"], header["NCOMBINE"], header["EXPTIME"], header["GAIN"]) == ("Master Dark", 9, 30.0, 101)
    other = Camera(tmp_path / "other")
    other.lights()
    (tmp_path / "other" / "master.fits").write_bytes(path.read_bytes())
    _, second = other.run(tmp_path / "work 2")
    np.testing.assert_array_equal(np.load(second.masters[0].dark), np.load(result.masters[0].dark))


# ---- what would do harm


def test_lights_cut_at_0_keep_their_own_dark(camera, tmp_path):
    """Firmware that subtracts a dark and cuts at 0 leaves no room for another; a flat is welcome."""
    camera.lights()
    for path in (tmp_path / "in" / "lights").iterdir():
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = (np.maximum(np.random.default_rng(1).normal(95, 59, SHAPE), 0)).astype(np.uint16)
    camera.series("dark")
    camera.series("flat", 5, 1.0)
    frames, result = camera.run(tmp_path / "work")
    masters = result.masters[0]
    assert masters.dark is None and masters.flat is not None
    raw = fits.getdata(frames[0].path)
    sky = read_calibrated(frames[0], masters)
    assert ((sky == 0) == (raw == 0))[~np.isnan(sky)].all()
    measured = measure_one(MeasureTask(frames[0], tmp_path / "m.npz", masters))
    assert measured.clipped == pytest.approx(np.mean(raw == 0))


def test_a_dark_brighter_than_the_lights_is_refused(camera, tmp_path):
    camera.lights(2, 0.0)
    for path in (tmp_path / "in" / "lights").iterdir():
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = np.rint(np.random.default_rng(1).normal(120, 20, SHAPE)).astype(np.uint16)
    camera.series("dark")
    _, result = camera.run(tmp_path / "work")
    assert not result.masters
    (reason,) = reasons(result)
    assert reason.startswith("The dark is not used: its level is 5") and reason.endswith("the lights have only 120.")


def test_a_dark_cut_at_0_is_refused(camera, tmp_path):
    camera.lights()
    for k in range(3):
        path = camera.write(f"d{k}.fit", "dark", 0.0, 30.0)
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = np.maximum(np.random.default_rng(k).normal(0, 20, SHAPE), 0).astype(np.uint16)
    _, result = camera.run(tmp_path / "work")
    assert not result.masters
    assert all("of its pixels are 0: the camera cuts there" in reason for reason in reasons(result))


def test_flats_alone_are_refused(camera, tmp_path):
    camera.lights()
    camera.series("flat", 5, 1.0)
    _, result = camera.run(tmp_path / "work")
    assert not result.masters
    (reason,) = reasons(result)
    assert "their level without light is not known: add biases of the same gain" in reason


def test_overexposed_and_damaged_flats_are_left_out_one_by_one(camera, tmp_path):
    camera.lights()
    camera.series("bias", 9, 0.001)
    camera.series("flat", 5, 1.0)
    camera.write("flats 1/over.fit", "flat", 70000.0, 1.0)
    broken = camera.write("flats 1/broken.fit", "flat", 20000.0, 1.0)
    listener = Listener()
    found = scan([camera.folder], tmp_path / "work", Silent())
    broken.write_bytes(broken.read_bytes()[:20000])
    with ThreadPoolExecutor(1) as executor:
        result = calibrate(found.frames, found.calibration, tmp_path / "work" / "masters", executor, listener)
    states = {each.path.name: each for each in result.left_out}
    assert "its brightest colour is at 100 % of the full scale" in states["over.fit"].reason
    assert states["broken.fit"].state is FrameState.DAMAGED
    assert sum("flat" in str(u.path) for u in result.used) == 5


def test_every_file_is_accounted_for(camera, tmp_path):
    camera.lights()
    camera.series("dark", 3, 30.0)
    camera.series("dark", 3, 10.0)
    camera.series("bias", 3, 0.001, GAIN=0)
    camera.series("flat", 3, 1.0, FILTER="Ha")
    camera.series("dark flat", 3, 1.0)
    _, result = camera.run(tmp_path / "work")
    assert len(result.used) == 3 and len(result.left_out) == 12
    assert reasons(result) == {
        "The dark is not used: it has 10 s, the lights have 30 s.",
        "The bias is not used: its gain is 0, that of the lights 101.",
        "The flat is not used: it was taken through Ha, the lights through LP.",
        "The dark flat is not used: no raw flats of its exposure are used.",
    }


def test_stopping(camera, tmp_path):
    camera.lights()
    camera.series("dark", 3)

    class Impatient(Silent):
        def cancelled(self) -> bool:
            return True

    found = scan([camera.folder], tmp_path / "work", Silent())
    with ThreadPoolExecutor(1) as executor, pytest.raises(Cancelled):
        calibrate(found.frames, found.calibration, tmp_path / "work" / "masters", executor, Impatient())


def test_inputs_are_only_read(camera, tmp_path):
    camera.lights()
    camera.series("dark", 3)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in camera.folder.rglob("*.fit")}
    frames, result = camera.run(tmp_path / "work")
    read_calibrated(frames[0], result.masters[0])
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in camera.folder.rglob("*.fit")} == before


def test_rows_are_rows_of_the_whole(camera, tmp_path):
    camera.lights(1)
    camera.series("dark", 3)
    camera.series("flat", 3, 1.0)
    frames, result = camera.run(tmp_path / "work")
    whole = read_calibrated(frames[0], result.masters[0])
    np.testing.assert_array_equal(read_calibrated(frames[0], result.masters[0], slice(31, 77)), whole[31:77])
    raw = read_calibrated(frames[0], None)
    assert damaged_pixels(raw, "RGGB", (40.0, 50.0, 45.0)).sum() > 20  # which the dark has turned into no data
    assert np.isnan(whole).sum() >= 100

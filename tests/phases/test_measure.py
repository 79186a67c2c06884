"""The measure phase on files."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from zemosaic.events import PhaseProgress
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.model import Frame, FrameKind, FrameState, LeftOut, Measurement
from zemosaic.phases.measure import MeasureTask, measure, measure_one, trailed
from zemosaic.tables import load_mesh, load_stars

SKY = np.array([845.0, 996.0, 795.0])
SIGMA = np.array([78.0, 89.0, 73.0])


class Listener:
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)

    def cancelled(self):
        return False


def frame(path, identity=0, shape=(320, 400), kind=FrameKind.BAYER):
    return Frame(
        id=identity, path=path, size=0, mtime_ns=0, digest="", kind=kind, width=shape[1], height=shape[0],
        bayer="GRBG" if kind is FrameKind.BAYER else None, instrument="", camera="", telescope="", target="", filter="",
        exposure=10.0, gain=80.0, temperature=20.0, date_obs="", ra=0.0, dec=0.0, scale=2.4, saturation=65535.0,
    )  # fmt: skip


def stars(shape, seed, trail=0.0, fwhm=3.4, n=60):
    """(h, w) light of Gaussian stars, drawn out along x by `trail` px."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    light = np.zeros(shape)
    for x, y, flux in zip(rng.uniform(0, shape[1], n), rng.uniform(0, shape[0], n), 10 ** rng.uniform(4, 5.3, n)):
        at = np.s_[max(int(y) - 12, 0) : int(y) + 13, max(int(x) - 30, 0) : int(x) + 31]
        s = fwhm / 2.3548
        for shift in np.linspace(-trail / 2, trail / 2, int(trail) + 1):
            profile = np.exp(-0.5 * ((xx[at] - x - shift) ** 2 + (yy[at] - y) ** 2) / s**2)
            light[at] += flux / (int(trail) + 1) * profile / (2 * np.pi * s * s)
    return light


def write(path, data):
    fits.writeto(path, data)
    return path


def bayer_frame(light, seed=0, sky=SKY, sigma=SIGMA):
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    colour = cfa_colours("GRBG")[y % 2, x % 2]
    raw = light + sky[colour] + sigma[colour] * np.random.default_rng(seed).normal(size=light.shape)
    return np.clip(np.round(raw), 0, 65535).astype(np.uint16)


def test_each_frame_in_order(tmp_path):
    frames = [
        frame(write(tmp_path / f"{k}.fit", bayer_frame(stars((320, 400), k), k)), 10 + k) for k in range(3)
    ]  # fmt: skip
    frames[1].path.write_bytes(frames[1].path.read_bytes()[:50_000])
    listener = Listener()
    with ThreadPoolExecutor(2) as executor:
        results = list(measure(frames, tmp_path / "work" / "stars", executor, listener))
    assert [type(result) for result in results] == [Measurement, LeftOut, Measurement]
    assert listener.events == [PhaseProgress("measure", k + 1, 3, f"{k}.fit") for k in range(3)]
    assert results[1].state is FrameState.DAMAGED
    assert "1.fit" in results[1].reason
    for result, identity in ((results[0], 10), (results[2], 12)):
        assert result.frame_id == identity
        assert result.path == tmp_path / "work" / "stars" / f"{identity}.npz"
        found, mesh = load_stars(result.path), load_mesh(result.path)
        assert len(found) == result.n_stars > 40
        assert found.flux.shape == (result.n_stars, 3)
        assert mesh.mean.shape == (20, 25, 3)
        assert result.fwhm == pytest.approx(3.4, rel=0.03)
        assert result.elongation < 1.15
        assert result.clipped == 0.0
        np.testing.assert_allclose(result.sigma, SIGMA, rtol=0.03)
        np.testing.assert_allclose(result.sky, SKY, atol=8)


def test_files_are_named_by_what_is_in_the_frame_unless_that_name_is_taken(tmp_path):
    path = write(tmp_path / "a.fit", bayer_frame(stars((200, 240), 0)))
    new = [replace(frame(path, k, shape=(200, 240)), digest=digest) for k, digest in enumerate(("a", "b", "b", "c"))]
    (tmp_path / "c.npz").touch()
    with ThreadPoolExecutor(1) as executor:
        results = list(measure(new, tmp_path, executor, Listener()))
    assert [result.path.name for result in results] == ["a.npz", "1.npz", "2.npz", "3.npz"]
    assert (tmp_path / "c.npz").stat().st_size == 0


def one(tmp_path, data, **how):
    path = write(tmp_path / "a.fit", data)
    return measure_one(MeasureTask(frame(path, shape=data.shape[-2:], **how), tmp_path / "a.npz"))


def test_cut_frame(tmp_path):
    sky, sigma = np.full(3, 95.0), np.full(3, 59.0)
    result = one(tmp_path, bayer_frame(stars((320, 400), 3), 3, sky, sigma))
    assert result.clipped == pytest.approx(0.054, abs=0.01)
    np.testing.assert_allclose(result.sigma, 59, rtol=0.03)
    np.testing.assert_allclose(result.sky, 95, atol=4)


def test_mono_and_three_planes(tmp_path):
    light = stars((320, 400), 4)
    noise = np.random.default_rng(4).normal(900, 60, (3, 320, 400))
    mono = one(tmp_path, (light + noise[0]).astype(np.float32), kind=FrameKind.MONO)
    assert load_stars(mono.path).flux.shape == (mono.n_stars, 1)
    assert len(mono.sky) == len(mono.sigma) == load_mesh(mono.path).mean.shape[2] == 1
    (tmp_path / "a.fit").unlink()
    data = (light + noise).astype(np.float32)
    data[:, :, :40] = np.nan
    colour = one(tmp_path, data, kind=FrameKind.RGB)
    assert load_stars(colour.path).flux.shape == (colour.n_stars, 3)
    assert np.isfinite(load_stars(colour.path).flux).all()
    np.testing.assert_allclose(colour.sky, 900, atol=8)
    assert np.isnan(load_mesh(colour.path).mean[:, 0]).all()


@pytest.mark.parametrize("trail", [12.0, 25.0])
def test_trailed_frame_is_left_out(tmp_path, trail):
    measured = one(tmp_path, bayer_frame(stars((320, 400), 5, trail)))
    result = trailed(frame(tmp_path / "a.fit"), measured, 2.0)
    assert result.state is FrameState.TRAILED
    assert "times as long as wide, at most 2 is used" in result.reason
    assert trailed(frame(tmp_path / "a.fit"), measured, 0.99 * measured.elongation) is not None
    assert trailed(frame(tmp_path / "a.fit"), measured, 1.01 * measured.elongation) is None


def test_slightly_long_stars_are_kept(tmp_path):
    result = one(tmp_path, bayer_frame(stars((320, 400), 6, trail=4.0)))
    assert 1.2 < result.elongation < 1.8
    assert trailed(frame(tmp_path / "a.fit"), result, 2.0) is None


def test_hardly_a_star_stays_measured(tmp_path):
    result = one(tmp_path, bayer_frame(stars((320, 400), 7, n=2)))
    assert isinstance(result, Measurement)
    assert result.n_stars <= 3
    assert trailed(frame(tmp_path / "a.fit"), replace(result, elongation=9.0), 2.0) is None


def test_no_star_at_all(tmp_path):
    result = one(tmp_path, bayer_frame(np.zeros((320, 400))))
    assert result.n_stars == 0
    assert np.isnan(result.fwhm)
    assert len(load_stars(result.path)) == 0


@pytest.mark.parametrize("value", [0, 500])
def test_a_frame_without_noise_is_refused(tmp_path, value):
    result = one(tmp_path, np.full((64, 64), value, np.uint16))
    assert result.state is FrameState.DAMAGED
    assert "no noise" in result.reason


def test_memory_is_as_stated(tmp_path):
    """75 bytes a pixel; numpy's share only, sep's own buffers (about 10) are not seen here."""
    data = bayer_frame(stars((960, 1000), 8, n=150))
    one(tmp_path, data)
    (tmp_path / "a.fit").unlink()
    tracemalloc.start()
    one(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 65 * data.size


def test_a_tiny_frame_is_refused(tmp_path):
    assert one(tmp_path, bayer_frame(np.zeros((20, 64)))).state is FrameState.UNSUPPORTED


def test_a_file_that_went_away(tmp_path):
    result = measure_one(MeasureTask(frame(Path(tmp_path / "gone.fit")), tmp_path / "a.npz"))
    assert result.state is FrameState.DAMAGED

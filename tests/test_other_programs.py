"""Every form in which a mosaic can be written, opened by programs that are not ours: Siril, SWarp, wcsinfo, wcslint, tifffile.

What they say is compared with the planes that the forms were made from; the table in `docs/outputs.md` is what is tested here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from zemosaic.catalogue import load_catalogue
from zemosaic.chunks import save
from zemosaic.events import Silent
from zemosaic.imaging.projection import grid_to_sky, sky_to_grid
from zemosaic.model import Grid, Mosaic
from zemosaic.phases.export import Format, Outputs, Provenance, export

GRID = Grid(ra=305.0, dec=40.0, scale=10.0 / 3600, width=480, height=360, x=230.0, y=190.0)
SKY, NOISE, WIDTH = (842.0, 996.0, 794.0), 6.0, 1.6  # ADU, ADU, px
NOTHING = slice(0, 40)  # columns that no sub has seen
FORMS = {
    "cube": Format(),
    "zero": Format(zero=True),
    "planes": Format(planes=True, zero=True),
    "packed": Format(packed=True, zero=True),
    "integer": Format(integer=True),
    "interleaved": Format(interleaved=True),
}
TOLD = Provenance(
    1, 12, "linear_fit", "noise_variance", "kappa_sigma", 4.0, 4.0, "mean", "incremental", "lanczos3", 1.0, False,
    20.0, 0.1, "0", "ab", (), 0.2, 0.05,
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """One mosaic in all forms, and what it was made from."""

    data: np.ndarray  # (3, h, w) ADU; NaN is no data
    outputs: dict[str, Outputs]
    ra: np.ndarray  # deg, of its stars
    dec: np.ndarray


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Stars of Tycho-2 on a sky of three colours."""
    stars = load_catalogue().cone(GRID.ra, GRID.dec, 0.8, 11.0)
    x, y = sky_to_grid(GRID, stars.ra, stars.dec)
    inside = (stars.vt > 7.5) & (x > 60) & (y > 20) & (x < GRID.width - 20) & (y < GRID.height - 20)
    near = np.hypot(x[:, None] - x, y[:, None] - y) + 99.0 * np.eye(x.size)
    alone = inside & (near.min(axis=1) > 12)
    rng = np.random.default_rng(3)
    data = np.array(SKY)[:, None, None] + rng.normal(0.0, NOISE, (3, GRID.height, GRID.width))
    rows, columns = np.mgrid[: GRID.height, : GRID.width]
    for sx, sy, mag in zip(x[inside], y[inside], stars.vt[inside]):
        peak = 3000.0 * 10 ** (-0.4 * (mag - 10.0))
        data += peak * np.exp(-((columns - sx) ** 2 + (rows - sy) ** 2) / (2 * WIDTH**2))
    data = data.astype(np.float32)
    data[..., NOTHING] = np.nan
    folder = tmp_path_factory.mktemp("forms")
    coverage = np.where(np.isnan(data[0]), 0, 12).astype(np.uint16)
    planes = {
        "data": data,
        "weight": np.isfinite(data) / np.float32(36.0),
        "coverage": coverage,
        "rejected": coverage * 0,
    }
    for name, values in planes.items():
        save(folder / name, values, (*values.shape[:-2], 64, 64))
    mosaic = Mosaic(GRID, *(folder / name for name in planes), frames=())
    outputs = {}
    for name, form in FORMS.items():
        (folder / "out" / name).mkdir(parents=True)
        outputs[name] = export(mosaic, [], TOLD, folder / "out" / name, Silent(), form=form)
    return Written(data, outputs, stars.ra[alone], stars.dec[alone])


def run(*command: object, folder: Path, home: Path | None = None) -> str:
    """What a program says; the test is skipped where it is not installed."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = os.environ | ({"HOME": str(home)} if home else {})
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---- Siril


@pytest.fixture(scope="module")
def siril(written: Written, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, Path]]:
    """For every form Siril's statistics, rows of mean, median, least and most by channel, and what it saved again."""
    home = tmp_path_factory.mktemp("siril")
    files = {name: path for name, each in written.outputs.items() for path in mosaics(name, each)}
    lines = ["requires 1.0.0"]
    for name, path in files.items():
        lines += [f"cd {path.parent}", f"load {path.name}", "stat", f"save {home / name}"]
    script = home / "all.ssf"
    script.write_text("\n".join([*lines, "close", ""]), encoding="utf-8")
    said = run("siril-cli", "-d", home, "-s", script, folder=home, home=home)
    told = re.findall(r"Mean: (\S+), Median: (\S+), .*?Min: (\S+), Max: (\S+)", said)
    figures, found = [[float(value) for value in row] for row in told], {}
    for name in files:
        channels = 1 if name == "planes" else 3
        found[name] = np.array(figures[:channels]), home / f"{name}.fit"
        figures = figures[channels:]
    assert not figures, said
    return found


def mosaics(name: str, outputs: Outputs) -> tuple[Path, ...]:
    """The file of a form that is looked at: green, where each colour has its own."""
    return (outputs.planes[0],) if name == "planes" else (outputs.mosaic,)


def known(written: Written, name: str) -> np.ndarray:
    """(channels, n) the pixels with data of the planes in a form."""
    data = written.data[1:2] if name == "planes" else written.data
    return np.asarray(data[:, np.isfinite(data[0])], float)


@pytest.mark.parametrize("name", ["zero", "planes", "packed"])
def test_siril_counts_what_we_count(written: Written, siril: dict[str, tuple[np.ndarray, Path]], name: str) -> None:
    """Siril leaves pixels of 0 out of its means, so that `no_data` = `zero` is no value for it."""
    values, (figures, _) = known(written, name), siril[name]
    np.testing.assert_allclose(figures[:, 0], values.mean(axis=1), atol=0.06)  # it tells one decimal
    np.testing.assert_allclose(figures[:, 1], np.median(values, axis=1), atol=0.5)  # from a histogram of 65536 bins
    np.testing.assert_allclose(figures[:, 3], values.max(axis=1), atol=0.06)


def test_siril_has_no_statistics_of_nan(siril: dict[str, tuple[np.ndarray, Path]]) -> None:
    """What the docs say of Siril 1.0: with NaN it shows no figures. Where that changes, so does the table."""
    assert np.isnan(siril["cube"][0]).all()


def test_siril_takes_sixteen_bits_as_steps(written: Written, siril: dict[str, tuple[np.ndarray, Path]]) -> None:
    """It shows BSCALE no respect: what it counts are steps above the least value, linear as they are."""
    (path,) = mosaics("integer", written.outputs["integer"])
    header, figures = fits.getheader(path), siril["integer"][0]
    physical = (figures[:, :2] - 32768.0) * header["BSCALE"] + header["BZERO"]
    values = known(written, "integer")
    np.testing.assert_allclose(physical[:, 0], values.mean(axis=1), atol=0.06 * header["BSCALE"])
    np.testing.assert_allclose(physical[:, 1], np.median(values, axis=1), atol=header["BSCALE"])


@pytest.mark.parametrize("name", ["cube", "zero", "planes", "packed"])
def test_siril_saves_what_it_read(written: Written, siril: dict[str, tuple[np.ndarray, Path]], name: str) -> None:
    """Values above 1 become parts of 65535 in Siril 1.0; places stay, since we say EQUINOX."""
    with fits.open(siril[name][1]) as hdus:
        data, header = np.asarray(hdus[0].data, np.float32), hdus[0].header
    expected = written.data[1] if name == "planes" else written.data
    there, unit = np.isfinite(expected), 65535.0
    np.testing.assert_allclose(data[there] * unit, expected[there], rtol=1e-6)
    assert not np.isfinite(data[~there]).any() if name == "cube" else not data[~there].any()
    assert off_the_stars(written, data if data.ndim == 2 else data[1], header) < 0.05


# ---- SWarp


@pytest.mark.parametrize("name", ["cube", "planes", "packed"])
def test_swarp_puts_it_onto_itself(written: Written, tmp_path: Path, name: str) -> None:
    """Twice the same, coadded: stars stay where they are, as bright as they were. Of a cube it takes the first plane."""
    (path,) = mosaics(name, written.outputs[name])
    grid = written.data.shape[:0:-1]
    run(
        "SWarp", path, path, "-IMAGEOUT_NAME", "sum.fits", "-WEIGHTOUT_NAME", "weight.fits", "-SUBTRACT_BACK", "N",
        "-COMBINE_TYPE", "AVERAGE", "-IMAGE_SIZE", f"{grid[0] + 60},{grid[1] + 60}", "-WRITE_XML", "N", "-NTHREADS", "1",
        "-VERBOSE_TYPE", "QUIET", folder=tmp_path,
    )  # fmt: skip
    data, header = fits.getdata(tmp_path / "sum.fits", header=True)
    plane = written.data[1 if name == "planes" else 0]
    assert off_the_stars(written, data, header) < 0.05
    mine, theirs = light(written, plane, WCS(GRID_CARDS)), light(written, data, WCS(header).celestial)
    np.testing.assert_allclose(theirs, mine, rtol=0.03)


# ---- coordinates


@pytest.mark.parametrize("name", ["cube", "zero", "planes", "packed", "integer"])
def test_wcsinfo_finds_centre_scale_and_orientation(written: Written, name: str) -> None:
    (path,) = mosaics(name, written.outputs[name])
    said = run("wcsinfo", "-e", 1 if path.suffix == ".fz" else 0, path, folder=path.parent)
    told = {line.split()[0]: float(line.split()[1]) for line in said.splitlines() if re.match(r"\w+ [-\d.]+$", line)}
    ra, dec = grid_to_sky(GRID, 0.5 * (GRID.width - 1), 0.5 * (GRID.height - 1))
    assert told["ra_center"] == pytest.approx(float(ra), abs=1e-6)
    assert told["dec_center"] == pytest.approx(float(dec), abs=1e-6)
    assert told["pixscale"] == pytest.approx(3600.0 * GRID.scale, rel=1e-6)
    assert (told["orientation"], told["parity"]) == (0.0, -1.0)
    assert name != "packed" or (told["imagew"], told["imageh"]) == (GRID.width, GRID.height)


@pytest.mark.parametrize("name", ["cube", "packed", "interleaved"])
def test_wcslint_finds_no_issue(written: Written, name: str) -> None:
    (path,) = mosaics(name, written.outputs[name])
    lint = Path(sys.executable).with_name("wcslint")  # comes with astropy
    assert "No issues" in run(lint, path, folder=path.parent)


@pytest.mark.parametrize("name", list(FORMS))
def test_catalogue_stars_are_on_the_stars_of_the_reopened_file(written: Written, name: str) -> None:
    (path,) = mosaics(name, written.outputs[name])
    with fits.open(path) as hdus:
        hdu = hdus[-1]
        data = np.asarray(hdu.data, np.float32)
        green = data[..., 1] if name == "interleaved" else data if data.ndim == 2 else data[1]
        assert off_the_stars(written, green, hdu.header) < 0.05


GRID_CARDS = fits.Header({
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": GRID.ra, "CRVAL2": GRID.dec, "CRPIX1": GRID.x + 1,
    "CRPIX2": GRID.y + 1, "CD1_1": -GRID.scale, "CD2_2": GRID.scale, "CD1_2": 0.0, "CD2_1": 0.0,
})  # fmt: skip


def places(written: Written, wcs: WCS) -> tuple[np.ndarray, np.ndarray]:
    """px of the catalogue's stars."""
    x, y = wcs.world_to_pixel(SkyCoord(written.ra, written.dec, unit="deg"))
    return np.asarray(x), np.asarray(y)


def ready(plane: np.ndarray) -> np.ndarray:
    """For sep: the sky taken off, nothing where there is no data."""
    there = np.isfinite(plane) & (plane != 0)
    values = np.where(there, plane, np.nan)
    return np.ascontiguousarray(np.nan_to_num(values - np.nanmedian(values)), np.float32)


def off_the_stars(written: Written, plane: np.ndarray, header: fits.Header) -> float:
    """px, median distance of the catalogue's places from the stars that are there."""
    x, y = places(written, WCS(header).celestial)
    at_x, at_y, _ = sep.winpos(ready(plane), x, y, WIDTH)
    assert x.size > 25
    return float(np.median(np.hypot(at_x - x, at_y - y)))


def light(written: Written, plane: np.ndarray, wcs: WCS) -> np.ndarray:
    """ADU, of each star."""
    flux, _, _ = sep.sum_circle(ready(plane), *places(written, wcs), 4.0 * WIDTH)
    return np.asarray(flux)

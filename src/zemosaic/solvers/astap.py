"""ASTAP, where it is installed: the frame's luminance in, a solution out, verified like any other.

ASTAP gets an image that we write: the luminance of the repaired frame, on the frame's own pixels. So raw, colour and
compressed frames are all alike to it, and nothing is ever written beside an input.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from zemosaic.catalogue import Catalogue, load_catalogue
from zemosaic.errors import FrameError
from zemosaic.fits import read_raw
from zemosaic.fits_writer import write_fits
from zemosaic.imaging.demosaic import luminance
from zemosaic.imaging.noise import sky_noise
from zemosaic.imaging.sky import damaged_pixels, repaired
from zemosaic.imaging.verification import FEWEST
from zemosaic.model import Frame, FrameKind, Solution, Stars
from zemosaic.solvers import Hint
from zemosaic.solvers.claim import check_claim
from zemosaic.solvers.programs import Finished, find_program, run_program, scratch_folder

__all__ = ["Astap", "AstapSolver", "Database", "astap_files", "find_astap", "find_database"]

NAMES = ("astap_cli", "astap")
FIRST_FILES = ("*_0101.1476", "*_0101.290", "*_0101.001")
HEADER_BYTES, RECORD_BYTES = 110, 5  # of a database's files
SKY = 41253.0  # square degrees
DEEP = 150.0  # stars per square degree of a database from which ASTAP's own choice of stars serves
# Of a shallower one only as many image stars help as it has in the frame, brightest first; where colours and filters
# shift the order a few more or fewer do better. Each try takes 0.05 to 0.2 s.
SHARES = (1.0, 0.9, 1.1, 1.2, 1.4, 0.75)
OWN_CHOICE = 500  # stars, ASTAP's default
FEWEST_STARS = 8  # ASTAP needs three quads of four stars in common
SKEWED = 0.1  # of a matrix against one with square pixels; no telescope has that
LAST_SHIFTED = 2022  # versions until then place the solution of a binned image half a binned pixel off
EXIT_CODES = {
    1: "no solution",
    2: "not enough stars",
    16: "it cannot read the image",
    32: "no star database was found",
    33: "the star database cannot be read",
    34: "it cannot write its result",
}


@dataclass(frozen=True)
class Database:
    """A star database of ASTAP."""

    folder: Path
    name: str  # h18, d50 ...
    density: float  # stars per square degree, mean


@dataclass(frozen=True)
class Astap:
    """ASTAP as it is installed and set."""

    program: Path
    database: Database
    downsample: int  # 0 automatic, else 1..4
    timeout: float  # s
    scratch: Path  # folder for what passes between the programs


def find_astap(setting: str) -> Path | None:
    """The program, from its setting or from where it is usually found."""
    return find_program(setting, NAMES, _places())


def find_database(setting: str, program: Path) -> Database | None:
    """The star database, from its setting or from where it is usually found; the deepest of a folder."""
    folders = [Path(setting).expanduser()] if setting else [program.parent, program.resolve().parent, *_places()]
    for folder in folders:
        found = _databases(folder.absolute()) if folder.is_dir() else []
        if found:
            return max(found, key=lambda database: database.density)
    return None


def astap_files(astap: Astap) -> list[Path]:
    """Its program and the files of its star database."""
    return [astap.program, *astap.database.folder.glob(f"{astap.database.name}_*")]


def _places() -> list[Path]:
    """Where installers of ASTAP and of its databases put them."""
    if sys.platform == "win32":
        roots = [
            os.environ.get(name, "") for name in ("ProgramFiles", "ProgramFiles(x86)", "ProgramData", "LOCALAPPDATA")
        ]
        return [Path(root) / "astap" for root in roots if root] + [Path("C:/astap")]
    if sys.platform == "darwin":
        applications = [Path("/Applications"), Path.home() / "Applications"]
        inside = [
            folder / "ASTAP.app" / "Contents" / part for folder in applications for part in ("MacOS", "Resources")
        ]
        return [*inside, Path("/usr/local/opt/astap"), Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
    home = Path.home()
    shared = ["/opt/astap", "/usr/share/astap/data", "/usr/share/astap", "/usr/local/share/astap", "/usr/local/bin"]
    return [*map(Path, shared), home / "astap", home / ".local/share/astap", home / ".local/bin"]


def _databases(folder: Path) -> list[Database]:
    found = []
    for first in (path for pattern in FIRST_FILES for path in folder.glob(pattern)):
        name = first.name.split("_")[0]
        files = [path.stat().st_size - HEADER_BYTES for path in folder.glob(f"{name}_*{first.suffix}")]
        found.append(Database(folder, name, sum(files) / RECORD_BYTES / SKY))
    return found


@lru_cache(maxsize=4)
def version(program: Path, folder: Path) -> int:
    """Year of the version; 0 when it does not say."""
    said = run_program([program, "-h"], folder, 20.0).output
    match = re.search(r"version\D*(\d{4})\.\d\d", said)
    return int(match[1]) if match else 0


class AstapSolver:
    """Runs ASTAP and verifies what it says."""

    name = "astap"

    def __init__(self, astap: Astap, catalogue: Catalogue | None = None) -> None:
        self.astap = astap
        self.catalogue = catalogue or load_catalogue()

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`."""
        if not hint.complete:
            raise FrameError("ASTAP: needs position and pixel scale to begin with.")
        if len(stars) < FEWEST:
            raise FrameError(f"ASTAP: {len(stars)} stars were found, at least {FEWEST} are needed.")
        reason = ""
        for claim in self.claims(frame, hint):
            if isinstance(claim, Solution):
                checked = check_claim(self.catalogue, claim, stars, frame)
                if checked.holds:
                    return replace(checked.solution, solver=self.name)
                reason = f"its solution matches only {checked.matched} of {checked.expected} catalogue stars"
            else:
                reason = reason or claim
        raise FrameError(f"ASTAP: {reason}.")

    def claims(self, frame: Frame, hint: Hint) -> Iterator[Solution | str]:
        """What ASTAP says with different numbers of stars: a solution, not yet verified, or why there is none."""
        with scratch_folder(self.astap.scratch) as folder:
            image = _luminance(frame)
            write_fits(folder / "frame.fits", Header(), image.shape, [image], np.uint16)
            for count in self._counts(frame, hint):
                yield from self._claims(folder, frame, hint, count)

    def _counts(self, frame: Frame, hint: Hint) -> list[int]:
        if self.astap.database.density >= DEEP:
            return [OWN_CHOICE]
        near = self.catalogue.cone(hint.ra, hint.dec, hint.radius)
        mean = len(self.catalogue) / SKY
        local = len(near) / (SKY * math.sin(math.radians(0.5 * min(hint.radius, 180.0))) ** 2)
        area = frame.width * frame.height * (hint.scale / 3600.0) ** 2
        expected = area * local * self.astap.database.density / mean
        return list(dict.fromkeys(max(FEWEST_STARS, min(OWN_CHOICE, round(expected * share))) for share in SHARES))

    def _claims(self, folder: Path, frame: Frame, hint: Hint, stars: int) -> Sequence[Solution | str]:
        for old in ("frame.ini", "frame.wcs"):
            (folder / old).unlink(missing_ok=True)
        finished = run_program(_command(self.astap, frame, hint, stars), folder, self.astap.timeout)
        result = folder / "frame.ini"
        said = _cards(result.read_text(errors="replace")) if result.is_file() else {}
        if finished.code != 0 or said.get("PLTSOLVD") != "T":
            return [_in_words(finished, said)]
        shift = 0.0
        if self.astap.downsample != 1 and 0 < version(self.astap.program, folder) <= LAST_SHIFTED:
            shift = 0.5 * (_binning(finished.output, self.astap.downsample) - 1)
        found = [replace(solution, x=solution.x + shift, y=solution.y + shift) for solution in _solutions(said)]
        return found or ["its result cannot be read"]


def _command(astap: Astap, frame: Frame, hint: Hint, stars: int) -> list[str]:
    return [
        str(astap.program),
        *("-f", "frame.fits", "-o", "frame", "-wcs"),
        *("-d", str(astap.database.folder) + os.sep, "-D", astap.database.name),
        *("-ra", f"{hint.ra / 15.0:.6f}", "-spd", f"{hint.dec + 90.0:.5f}", "-r", f"{hint.radius:.2f}"),
        *("-fov", f"{frame.height * hint.scale / 3600.0:.5f}"),
        *("-z", str(astap.downsample), "-s", str(stars)),
    ]


def _luminance(frame: Frame) -> NDArray[np.float32]:
    """(h, w) float32, 0 to 65535: what ASTAP looks at."""
    data = read_raw(frame).astype(np.float32)
    data[~np.isfinite(data)] = np.nan
    if frame.kind is FrameKind.RGB:
        image = data.mean(axis=0)
    else:
        pattern = frame.bayer if frame.kind is FrameKind.BAYER else None
        image = repaired(data, pattern, damaged_pixels(data, pattern, sky_noise(data, pattern)) | np.isnan(data))
        image = luminance(image) if pattern else image
    low, high = np.nanmin(image), np.nanmax(image)
    if low < 0.0 or high > 65535.0 or high < 100.0:  # float frames of any scale; 16 bits are as they are
        image = (image - low) * (60000.0 / max(float(high - low), 1e-30))
    return np.asarray(np.nan_to_num(image, nan=float(np.nanmedian(image))), np.float32)


def _cards(text: str) -> dict[str, str]:
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}


def _solutions(said: Mapping[str, str]) -> list[Solution]:
    """The solution in ASTAP's result; none when it cannot be read.

    The 2022 version takes differences of right ascension without their wrap: within a pixel of RA 0 the first row of its
    matrix is hundreds of degrees or has a wrong sign. It follows from the second one, but for the parity: both are returned.
    """
    try:
        ra, dec, x, y = (float(said[key]) for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"))
        a, b, c, d = (float(said[key]) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    except (KeyError, ValueError):
        return []
    usual, mirrored = (d, -c, c, d), (-d, c, c, d)
    skew = min(math.hypot(a - e, b - f) for e, f, _, _ in (usual, mirrored)) / max(math.hypot(c, d), 1e-12)
    matrices = [(a, b, c, d)] if skew < SKEWED else [usual, mirrored]
    usable = all(map(math.isfinite, (ra, dec, x, y, a, b, c, d)))
    return [
        Solution(ra=ra % 360.0, dec=dec, x=x - 1.0, y=y - 1.0, cd=cd)
        for cd in matrices
        if usable and cd[0] * cd[3] != cd[1] * cd[2]
    ]


def _binning(output: str, asked: int) -> int:
    """What ASTAP binned by: with 0 it chooses, and says so."""
    match = re.search(r"Binning: (\d)x", output)
    return int(match[1]) if match else max(asked, 1)


def _in_words(finished: Finished, said: Mapping[str, str]) -> str:
    why = EXIT_CODES.get(finished.code, f"it ended with code {finished.code}")
    told = " ".join(filter(None, (said.get("ERROR", ""), said.get("WARNING", "")))).strip(" .!")
    return f"{why} ({told})" if told else why

"""astrometry.net: `solve-field` on this machine, or the web service for those who ask for it with a key.

Both get the frame's own star list instead of an image: exact, small, and alike for every kind of frame. What they
answer is verified like any other solution.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits

from zemosaic.catalogue import Catalogue, load_catalogue
from zemosaic.errors import FrameError
from zemosaic.fits import cards
from zemosaic.imaging.verification import FEWEST
from zemosaic.model import Frame, Solution, Stars
from zemosaic.solvers import Hint
from zemosaic.solvers.claim import check_claim
from zemosaic.solvers.programs import find_program, run_program, scratch_folder

__all__ = [
    "AstrometryNetSolver",
    "SolveField",
    "WebService",
    "WebSolver",
    "find_solve_field",
    "has_web_client",
    "solve_field_files",
    "web_client",
    "web_request",
]

BRIGHTEST = 200  # stars that are handed over
SIZES = (0.05, 180.0)  # deg, width of frames whose scale is unknown
CONFIG = "astrometry.cfg"
LAST_SECONDS = 10.0  # that solve-field has beyond the limit that it keeps by itself


@dataclass(frozen=True)
class SolveField:
    """solve-field as it is installed and set."""

    program: Path
    indexes: tuple[Path, ...]  # folders; empty: those of its own configuration
    config: Path | None
    timeout: float  # s
    scratch: Path


@dataclass(frozen=True)
class WebService:
    """What the web service needs to know."""

    key: str = field(repr=False)  # nobody's business
    timeout: float  # s


def find_solve_field(setting: str) -> tuple[Path | None, tuple[Path, ...], Path | None]:
    """The program, folders of index files and configuration file that a setting names; usual places when it is empty.

    The setting may be the program or its folder, a folder of index files, or a configuration file of astrometry.net.
    """
    given = Path(setting).expanduser() if setting else None
    if given is not None and given.suffix in (".cfg", ".conf") and given.is_file():
        return find_program("", ("solve-field",), _places()), (), given.absolute()
    if given is not None and given.is_dir() and any(given.glob("index-*.fits")):
        return find_program("", ("solve-field",), _places()), (given.absolute(),), None
    return find_program(setting, ("solve-field",), _places()), (), None


def solve_field_files(solve_field: SolveField) -> list[Path]:
    """Its program, its configuration and all its index files."""
    folders, configs = list(solve_field.indexes), [solve_field.config] if solve_field.config else []
    if not folders and not configs:  # where it looks by itself
        configs = [solve_field.program.resolve().parent.parent / "etc" / CONFIG, Path("/etc") / CONFIG]
    for config in configs:
        with suppress(OSError):
            words = [line.split(None, 1) for line in config.read_text(errors="replace").splitlines()]
            folders += [
                config.parent / rest[0].strip() for word, *rest in filter(None, words) if word == "add_path" and rest
            ]
    return [solve_field.program, *configs, *(path for folder in folders for path in folder.glob("index-*"))]


def _places() -> list[Path]:
    common = [Path("/usr/bin"), Path("/usr/local/bin"), Path("/usr/local/astrometry/bin")]
    return [*common, Path("/opt/homebrew/bin")] if sys.platform == "darwin" else common


class AstrometryNetSolver:
    """Runs solve-field on the star list and verifies what it says."""

    name = "astrometry_net"

    def __init__(self, solve_field: SolveField, catalogue: Catalogue | None = None) -> None:
        self.solve_field = solve_field
        self.catalogue = catalogue or load_catalogue()

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`; position and scale may be unknown, which takes longer."""
        _check_number(stars)
        return _accepted(self.catalogue, self.claim(stars, frame, hint), stars, frame, self.name)

    def claim(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """What solve-field says, not yet verified."""
        with scratch_folder(self.solve_field.scratch) as folder:
            _write_list(folder / "stars.xyls", stars)
            arguments = _command(self.solve_field, folder, frame, hint)
            finished = run_program(arguments, folder, self.solve_field.timeout + LAST_SECONDS)
            result = folder / "stars.wcs"
            if result.is_file():
                return _linear(cards(result.read_text(encoding="latin-1")), frame)
        if finished.code != 0:
            raise FrameError(f"astrometry.net: solve-field ended with code {finished.code} ({_last(finished.output)}).")
        raise FrameError("astrometry.net: no solution.")


def _check_number(stars: Stars) -> None:
    if len(stars) < FEWEST:
        raise FrameError(f"astrometry.net: {len(stars)} stars were found, at least {FEWEST} are needed.")


def _accepted(catalogue: Catalogue, claim: Solution, stars: Stars, frame: Frame, name: str) -> Solution:
    checked = check_claim(catalogue, claim, stars, frame)
    if not checked.holds:
        raise FrameError(
            f"astrometry.net: its solution matches only {checked.matched} of {checked.expected} catalogue stars."
        )
    return replace(checked.solution, solver=name)


def _write_list(path: Path, stars: Stars) -> None:
    """Positions as FITS counts pixels, from 1, brightest first."""
    x, y = stars.x[:BRIGHTEST] + 1.0, stars.y[:BRIGHTEST] + 1.0
    flux = stars.flux[:BRIGHTEST].sum(axis=1)
    columns = [fits.Column(name, "1D", array=values) for name, values in (("X", x), ("Y", y), ("FLUX", flux))]
    fits.BinTableHDU.from_columns(columns).writeto(path)


def _command(program: SolveField, folder: Path, frame: Frame, hint: Hint) -> list[str | Path]:
    limit = max(1, math.ceil(program.timeout))
    config = program.config
    if config is None and program.indexes:
        config = Path("engine.cfg")
        lines = [f"cpulimit {limit}", *(f"add_path {index}" for index in program.indexes), "autoindex"]
        (folder / config).write_text("\n".join([*lines, ""]), encoding="utf-8")
    low, high, units = _scale_range(hint)
    arguments: list[str | Path] = [program.program, "--no-plots", "--overwrite", "--cpulimit", str(limit)]
    arguments += ["--dir", ".", "--temp-dir", "."]
    arguments += ["--config", config] if config else []
    arguments += ["--width", str(frame.width), "--height", str(frame.height), "--x-column", "X", "--y-column", "Y"]
    arguments += ["--sort-column", "FLUX", "--no-remove-lines", "--uniformize", "0", "--no-tweak", "--crpix-center"]
    arguments += ["--scale-units", units, "--scale-low", f"{low:.5f}", "--scale-high", f"{high:.5f}"]
    if math.isfinite(hint.ra) and math.isfinite(hint.dec) and hint.radius < 180.0:
        arguments += ["--ra", f"{hint.ra:.6f}", "--dec", f"{hint.dec:.6f}", "--radius", f"{hint.radius:.3f}"]
    if hint.parity:
        arguments += ["--parity", "neg" if hint.parity > 0 else "pos"]
    for output in ("--new-fits", "--solved", "--match", "--rdls", "--corr", "--index-xyls"):
        arguments += [output, "none"]
    return [*arguments, "stars.xyls"]


def _scale_range(hint: Hint) -> tuple[float, float, str]:
    """Lowest and highest scale, and the unit that both solve-field and the web service call it."""
    if math.isfinite(hint.scale) and hint.scale > 0.0:
        return hint.scale * (1.0 - hint.scale_tolerance), hint.scale * (1.0 + hint.scale_tolerance), "arcsecperpix"
    return (*SIZES, "degwidth")


def _linear(header: Mapping[str, Any], frame: Frame) -> Solution:
    """The linear part of a WCS; distortion is fitted to all frames of an instrument together, later."""
    try:
        x, y, ra, dec = (float(header[key]) for key in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2"))
        a, b, c, d = (float(header[key]) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    except (KeyError, ValueError, TypeError) as error:
        raise FrameError(f"astrometry.net: its result has no usable {error}.") from error
    width, height = (int(header.get(key, size)) for key, size in (("IMAGEW", frame.width), ("IMAGEH", frame.height)))
    if (width, height) != (frame.width, frame.height):
        raise FrameError(f"astrometry.net: its result is for {width} x {height} px, not for this frame.")
    return Solution(ra=ra, dec=dec, x=x - 1.0, y=y - 1.0, cd=(a, b, c, d))


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


class Client(Protocol):
    """What is used of astroquery's `AstrometryNetClass`."""

    def solve_from_source_list(self, x: Any, y: Any, image_width: int, image_height: int, **kwargs: Any) -> Any: ...


def has_web_client() -> bool:
    """Whether astroquery is installed, which the web service needs."""
    return importlib.util.find_spec("astroquery") is not None


def web_client(service: WebService) -> Client:
    """astroquery's client with the user's key."""
    from astroquery.astrometry_net import AstrometryNetClass

    client: Any = AstrometryNetClass()
    client.api_key = service.key
    return client  # type: ignore[no-any-return]


class WebSolver:
    """Sends the star list, never an image, to nova.astrometry.net and verifies what comes back."""

    name = "astrometry_net"

    def __init__(self, service: WebService, client: Client | None = None, catalogue: Catalogue | None = None) -> None:
        self.service = service
        self.catalogue = catalogue or load_catalogue()
        self._client = client or web_client(service)

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`."""
        _check_number(stars)
        x, y = np.asarray(stars.x[:BRIGHTEST]) + 1.0, np.asarray(stars.y[:BRIGHTEST]) + 1.0
        try:
            header = self._client.solve_from_source_list(
                x, y, frame.width, frame.height, solve_timeout=self.service.timeout, verbose=False, **web_request(hint)
            )
        except (OSError, RuntimeError, TimeoutError, ValueError) as error:
            raise FrameError(f"astrometry.net: the web service gave no solution ({error}).") from error
        if not header:
            raise FrameError("astrometry.net: no solution from the web service.")
        return _accepted(self.catalogue, _linear(header, frame), stars, frame, self.name)


def web_request(hint: Hint) -> dict[str, Any]:
    """The hints in the words of the web service."""
    low, high, units = _scale_range(hint)
    request: dict[str, Any] = {
        "publicly_visible": "n",
        "allow_commercial_use": "n",
        "allow_modifications": "n",
        "crpix_center": True,
        "tweak_order": 0,
        "parity": {1: 1, -1: 0}.get(hint.parity, 2),
        "scale_type": "ul",
        "scale_units": units,
        "scale_lower": low,
        "scale_upper": high,
    }
    if math.isfinite(hint.ra) and math.isfinite(hint.dec) and hint.radius < 180.0:
        request |= {"center_ra": hint.ra, "center_dec": hint.dec, "radius": hint.radius}
    return request

"""The truth file of a simulated night: everything that its raw frames were made from.

`truth.json` holds the plan, the instruments and the subs; `truth.npz` beside it the stars, the nebula, the hot pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from zemosaic.errors import InputError
from zemosaic.model import Solution
from zemosaic.simulate.plan import NightPlan
from zemosaic.simulate.sky import Nebula, SkyStars

__all__ = ["HotPixels", "Instrument", "Sub", "Trail", "Truth", "load_truth", "save_truth"]

FORMAT = 1


@dataclass(frozen=True)
class Trail:
    """A satellite's trail: a straight line right across the sensor."""

    x: float  # px, a point of the line
    y: float
    angle: float  # rad, direction of the line from the x axis
    brightness: float  # ADU at the ridge, green


@dataclass(frozen=True)
class Instrument:
    """One telescope and its sensor."""

    serial: str  # TELESCOP
    response: tuple[
        float, ...
    ]  # F = 1 + r1 rho^2 + r2 rho^4, rho = distance to the centre of the frame / half-diagonal
    sensitivity: float  # factor on all light of the sky
    colours: tuple[float, ...] = (1.0, 1.0, 1.0)  # factor on that light, R G B
    scale: float = 1.0  # pixel size over the plan's


@dataclass(frozen=True)
class HotPixels:
    """Fixed hot and warm pixels of an instrument."""

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    brightness: NDArray[np.float64]  # ADU


@dataclass(frozen=True)
class Sub:
    """One sub: what was true when it was taken."""

    name: str  # file, without folder
    panel: int
    instrument: int
    date_obs: str  # UTC
    header_ra: float  # deg, equinox of date, as the header has it
    header_dec: float
    solution: Solution
    transparency: float  # a at the centre of the frame, with the instrument's sensitivity
    cloud: tuple[float, float]  # a = transparency (1 + cu u + cv v)
    sky: tuple[
        tuple[float, ...], ...
    ]  # B per channel, ADU: c0 + c1 u + c2 v, and c3 u^2 + c4 u v + c5 v^2 where it is curved
    noise: tuple[float, ...]  # ADU, of a raw sky pixel per channel at the centre of the frame
    fwhm: float  # px
    trail: Trail | None = None
    smear: tuple[float, float] = (0.0, 0.0)  # px, movement of the stars during the exposure
    # (x, y) px per channel, where its light falls against the solution; () is nowhere else
    shift: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class NebulaPlace:
    ra: float
    dec: float
    pitch: float


@dataclass(frozen=True)
class TruthRecord:
    """What `truth.json` holds."""

    format: int
    plan: NightPlan
    instruments: tuple[Instrument, ...]
    subs: tuple[Sub, ...]
    nebula: NebulaPlace


@dataclass(frozen=True)
class Truth:
    """The whole truth of a night."""

    plan: NightPlan
    instruments: tuple[Instrument, ...]
    subs: tuple[Sub, ...]
    stars: SkyStars
    nebula: Nebula
    hot: tuple[HotPixels, ...] = field(default=())  # one per instrument


def save_truth(path: Path, truth: Truth) -> None:
    """Write `path` (.json) and its .npz."""
    arrays: dict[str, NDArray[np.generic]] = {
        "star_ra": truth.stars.ra,
        "star_dec": truth.stars.dec,
        "star_flux": truth.stars.flux,
        "star_catalogued": truth.stars.catalogued,
        "nebula": truth.nebula.data,
    }
    for k, hot in enumerate(truth.hot):
        arrays |= {f"hot{k}_x": hot.x, f"hot{k}_y": hot.y, f"hot{k}_brightness": hot.brightness}
    with path.with_suffix(".npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    place = NebulaPlace(truth.nebula.ra, truth.nebula.dec, truth.nebula.pitch)
    record = TruthRecord(FORMAT, truth.plan, truth.instruments, truth.subs, place)
    path.write_bytes(TypeAdapter(TruthRecord).dump_json(record, indent=1))


def load_truth(path: Path) -> Truth:
    """Read the truth file; `path` is the .json or the folder of the night.

    Raises
    ------
    InputError
        There is no truth file, or another version of the program wrote it.
    """
    if path.is_dir():
        path = path / "truth.json"
    if not path.is_file():
        raise InputError(f"{path}: there is no truth file here; give the folder that `zemosaic simulate` wrote.")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, stamp: int) -> Truth:
    """A worker reads the truth once for all its subs; `stamp` tells a rewritten file."""
    del stamp
    try:
        record = TypeAdapter(TruthRecord).validate_json(path.read_bytes())
    except ValidationError as error:
        what = error.errors()[0]
        raise InputError(
            f"{path}: not a truth file of this version ({what['msg']}); simulate into a new folder."
        ) from error
    if record.format != FORMAT:
        raise InputError(f"{path}: truth of format {record.format}, expected {FORMAT}; simulate into a new folder.")
    with np.load(path.with_suffix(".npz")) as table:
        stars = SkyStars(table["star_ra"], table["star_dec"], table["star_flux"], table["star_catalogued"])
        nebula = Nebula(record.nebula.ra, record.nebula.dec, record.nebula.pitch, table["nebula"])
        hot = tuple(
            HotPixels(table[f"hot{k}_x"], table[f"hot{k}_y"], table[f"hot{k}_brightness"])
            for k in range(len(record.instruments))
        )
    return Truth(record.plan, record.instruments, record.subs, stars, nebula, hot)

"""Small simulated nights, and runs of the whole path over them in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from zemosaic.events import Event, FrameLeftOut, PhaseFinished, PhaseStarted, Silent
from zemosaic.ledger import FrameRow, Ledger
from zemosaic.model import LeftOut
from zemosaic.phases.export import Outputs
from zemosaic.pipeline import make_mosaic
from zemosaic.settings import Settings
from zemosaic.simulate import Night, NightPlan, load_truth, simulate_night
from zemosaic.simulate.camera import raw_frame
from zemosaic.simulate.truth import Sub

# As much sky as an S50 sees, so that the catalogue solves it, on an eleventh of the pixels.
FIELD = NightPlan(width=360, height=480, scale=6.0, panels_x=1, panels_y=1, subs=6)
# Brighter stars and finer photons than an S50 has: a small field then holds stars of S/N > 200.
BRIGHT = replace(FIELD, width=420, height=560, scale=5.0, zero_point=24.0, gain=0.5, star_density=900.0)


class Inline(ThreadPoolExecutor):
    """One worker in this process: a spawned one needs seconds to import the libraries."""

    workers = 1

    def __init__(self, workers: int = 1) -> None:
        super().__init__(1)

    def peak(self) -> int:
        return 0


@dataclass
class Recorder:
    """Keeps the events; asks to stop once the phase `stop_after` has ended."""

    stop_after: str = ""
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def cancelled(self) -> bool:
        return any(isinstance(e, PhaseFinished) and e.phase == self.stop_after for e in self.events)

    @property
    def items(self) -> dict[str, int]:
        """How much each phase that began had to do."""
        return {e.phase: e.total for e in self.events if isinstance(e, PhaseStarted)}

    @property
    def outcomes(self) -> list[object]:
        """What the phases that ended say of themselves."""
        return [e.outcome for e in self.events if isinstance(e, PhaseFinished)]

    @property
    def left_out(self) -> dict[str, LeftOut]:
        return {e.what.path.name: e.what for e in self.events if isinstance(e, FrameLeftOut)}


def simulated(folder: Path, plan: NightPlan) -> Night:
    return simulate_night(folder, plan, Silent())


def assembled(
    inputs: Path | Sequence[Path],
    output: Path,
    recorder: Recorder | None = None,
    pool: bool = False,
    **settings: object,
) -> Outputs:
    """Run the whole path for one target."""
    (outputs,) = all_assembled(inputs, output, recorder, pool, **settings)
    return outputs


def all_assembled(
    inputs: Path | Sequence[Path],
    output: Path,
    recorder: Recorder | None = None,
    pool: bool = False,
    **settings: object,
) -> tuple[Outputs, ...]:
    """Run the whole path; with `pool` on spawned workers, as users do, else in this process."""
    chosen = Settings.model_validate(
        {"num_processing_workers": 2 if pool else 1, "memory_limit": 2.0, "report": False} | settings
    )
    with pytest.MonkeyPatch.context() as patch:
        if not pool:
            patch.setattr("zemosaic.workers.open_executor", Inline)
        return make_mosaic([inputs] if isinstance(inputs, Path) else inputs, output, chosen, recorder or Recorder())


def rows(output: Path) -> list[FrameRow]:
    with Ledger(output) as ledger:
        return ledger.rows()


def pixels(path: Path) -> np.ndarray:
    return np.asarray(fits.getdata(path), np.float32)


def same_bits(first: Outputs, second: Outputs) -> bool:
    """Whether mosaic, weight and coverage are equal to the last bit, NaN where NaN."""
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("mosaic", "weight", "coverage")]
    return all(fits.getdata(a).tobytes() == fits.getdata(b).tobytes() for a, b in pairs)


def listing(folder: Path) -> dict[str, tuple[int, str]]:
    """Everything under a folder: modification time and hash."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted([folder, *folder.rglob("*")])
    }


def retaken(night: Night, index: int, **changes: object) -> Path:
    """Take one sub again under other circumstances (fields of `Sub`); the header stays."""
    truth = load_truth(night.truth)
    sub: Sub = replace(truth.subs[index], **changes)  # type: ignore[arg-type]
    rewrite(night.subs[index], raw_frame(truth, sub, np.random.default_rng(index)))
    return night.subs[index]


def rewrite(path: Path, data: np.ndarray, **cards: object) -> None:
    """Replace the pixels of a sub, and cards of its header (None removes one)."""
    header = fits.getheader(path)
    for key in ("BZERO", "BSCALE", "NAXIS3"):
        header.remove(key, ignore_missing=True)
    for key, value in cards.items():
        if value is None:
            header.remove(key, ignore_missing=True)
        else:
            header[key] = value
    fits.writeto(path, data, header, overwrite=True, output_verify="silentfix")

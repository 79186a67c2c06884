"""What a run takes over from the one before without doing it again: the solutions of all frames, and why some have none.

The global refinement makes each solution depend on all frames, so the outcome of the phase is kept as a whole, under one
hash of all that it was found from. Parts of it are never reused: the same frames have the same solutions, however they arrived.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zemosaic import __version__
from zemosaic.ledger import Ledger, to_json
from zemosaic.model import Frame, FrameState, Measurement
from zemosaic.phases.solve import SOLVE_VERSION, SolveResult
from zemosaic.settings import Settings
from zemosaic.solvers.external import External, installed
from zemosaic.tables import MEASURE_VERSION

__all__ = ["forget_solved", "keep_solved", "solve_key", "solved_before"]

KEPT = "solved"  # what the ledger calls it


@dataclass(frozen=True)
class _Kept:
    """The outcome of the phase and the hash of all that it was found from."""

    key: str
    result: SolveResult


def solve_key(
    frames: Sequence[Frame], measurements: Mapping[int, Measurement], settings: Settings, external: External
) -> str:
    """Hash of all that solving depends on; the place of the output folder is none of it.

    Frames in their order, with headers and what was measured; the settings; programs of others with their files (a new
    version, a new star database). A key of the web service goes into the hash only, from which nobody gets it back.
    """
    how = (settings.solver_method, settings.astap_default_search_radius, installed(external))
    state = hashlib.sha256(to_json((__version__, SOLVE_VERSION, MEASURE_VERSION, how)).encode())
    for frame in frames:
        state.update(to_json((frame, replace(measurements[frame.id], path=Path(), border=None))).encode())
    return state.hexdigest()


def solved_before(ledger: Ledger, key: str) -> SolveResult | None:
    """What an earlier run found from the same; None when there is none."""
    kept = ledger.get(KEPT, _Kept)
    return kept.result if kept is not None and kept.key == key else None


def forget_solved(ledger: Ledger) -> None:
    """Before the frames are solved anew: what belongs to the old solutions, their header files too, holds no more."""
    ledger.put(KEPT, None)


def keep_solved(ledger: Ledger, key: str, result: SolveResult, external: External) -> None:
    """Keep the outcome for the next run: not where the web service left a frame unsolved, which may have been the network."""
    unsolved = any(each.state is FrameState.UNSOLVED for each in result.left_out)
    if external.web is None or not unsolved:
        ledger.put(KEPT, _Kept(key, result))

"""What is in a folder and what a run of it will need, as far as the headers tell: before anything is measured.

A field is laid out from the positions and pixel sizes that the headers state, north up; the run itself forecasts again when it
knows better (`forecast`).
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from zemosaic.errors import InputError
from zemosaic.events import Reporter
from zemosaic.execution import MAIN_MEMORY
from zemosaic.filters import by_filter
from zemosaic.folders import existing_parent
from zemosaic.forecast import COMPILED_IN, COMPILING, GUESSED_SPREAD, KNOWN_SPREAD, LOOK, MEGA, USUAL, Pace
from zemosaic.kernel_cache import is_compiled
from zemosaic.ledger import WORKSPACE, Ledger
from zemosaic.model import Frame, Grid, Lights, Outlook, Plan, Solution
from zemosaic.nights import DAYTIME
from zemosaic.patterns import patterns
from zemosaic.phases.assemble import Finished, assembly_looks
from zemosaic.phases.plan import OutsideError, group_frames, make_grid, make_plan, reaching, stays
from zemosaic.phases.scan import scan
from zemosaic.recipes import ANEW, check_extras, layout, layout_told, pictures, side_by_side
from zemosaic.settings import Settings
from zemosaic.survey import PACE, ledger_key
from zemosaic.targets import Target, find_targets, target_gap
from zemosaic.workers import local_workers, memory_for_tasks

__all__ = ["Layout", "free_disk", "layouts", "look_ahead", "look_at_headers", "panels_ahead"]

S50_PIXELS = 1080 * 1920  # of the frame that takes USUAL to measure
S50_SCALE = 2.37  # arcsec/px, where headers state none
STARTING = 10.0  # s of a run, whatever it is of: processes start, libraries are loaded
OTHER_PHASES = 0.12  # s a frame of solving, matching and planning (one core)
Parts = tuple[tuple[str, tuple[Frame, ...]], ...]  # frames by filter, as in the names of files
WRITTEN = 1.2e-7  # s a pixel and channel of the mosaic, of writing the files


@dataclass(frozen=True)
class Layout:
    """A mosaic as it would be laid out from what headers say."""

    target: str
    filter: str  # "" where all filters share it
    frames: tuple[Frame, ...]
    places: Mapping[int, Solution]  # of those that know where they are
    plan: Plan
    told: tuple[str, ...] = ()  # what the program chose of its pixels, and what a window leaves out


def look_at_headers(inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter) -> Lights:
    """Count what a run would find.

    Raises
    ------
    InputError
        An input does not exist, or there is no light.
    """
    folders = [Path(each.strip()) for each in settings.calibration_folder.split(";") if each.strip()]
    found = scan(inputs, output, reporter, folders, settings.stacks == "use", patterns(settings.exclude_files))
    frames = found.frames
    exposures = [f.exposure for f in frames if f.exposure == f.exposure]
    return Lights(
        frames,
        found.left_out,
        len(found.calibration),
        tuple((target.title or _object(target.frames), len(target.frames)) for target in _targets(frames, settings)),
        tuple(Counter(f.telescope or f.camera for f in frames).most_common()),
        tuple((name, len(members)) for name, members in by_filter(frames)),
        _nights([f.date_obs for f in frames if f.date_obs]),
        sum(exposures),
        tuple(sorted(set(exposures))),
        excluded=found.excluded,
    )


def _object(frames: Sequence[Frame]) -> str:
    return Counter(f.target for f in frames).most_common(1)[0][0]


def _nights(dates: Sequence[str]) -> int:
    times = sorted(datetime.fromisoformat(date.rstrip("Z")) for date in dates)
    return sum(later - sooner > DAYTIME for sooner, later in pairwise(times)) + bool(times)


def _places(frames: Sequence[Frame]) -> dict[int, Solution]:
    """Where frames lie, as their headers say: north up where these know no rotation."""
    result = {}
    for f in frames:
        if f.wcs is not None:
            result[f.id] = f.wcs
        elif f.ra == f.ra and f.dec == f.dec:
            scale = (f.scale if f.scale == f.scale else S50_SCALE) / 3600.0
            result[f.id] = Solution(f.ra, f.dec, 0.5 * (f.width - 1), 0.5 * (f.height - 1), (-scale, 0.0, 0.0, scale))
    return result


def _targets(frames: Sequence[Frame], settings: Settings) -> tuple[Target, ...]:
    """Which frames will share a mosaic, as far as their positions are known; all in one where none is."""
    places = _places(frames)
    usable = [f for f in frames if f.id in places]
    if not usable:
        return (Target("", math.nan, math.nan, tuple(frames)),)
    gap = 360.0 if settings.targets == "one" else target_gap(usable, places, settings.target_gap)
    return find_targets(usable, places, gap)


def panels_ahead(frames: Sequence[Frame], settings: Settings) -> dict[str, tuple[str, int]]:
    """Target and panel of each file whose place its header tells, as a run finds them if that is right."""
    places = _places(frames)
    result: dict[str, tuple[str, int]] = {}
    for target in _targets(frames, settings):
        there = {f.id: f for f in target.frames if f.id in places}
        groups = group_frames(tuple(there.values()), places, settings.cluster_panel_threshold) if there else ()
        result |= {str(there[i].path): (target.name, group.id) for group in groups for i in group.frames}
    return result


def layouts(lights: Lights, settings: Settings, output: Path | None = None) -> tuple[Layout, ...]:
    """How each mosaic would be laid out, as far as headers tell where frames lie.

    output : where earlier ones may lie, whose pixels stay or are made anew

    Raises
    ------
    MosaicError
        As `look_ahead`.
    """
    places = _places(lights.frames)
    made, outside = list[Layout](), list[OutsideError]()
    with _ledger_of(output) as ledger:
        for target in _targets(lights.frames, settings):
            try:
                made += _of_one_target(target, places, settings, ledger)
            except OutsideError as error:
                outside.append(error)
    if outside and not made:
        raise InputError("; ".join(map(str, outside)))
    return tuple(made)


def _ledger_of(output: Path | None) -> AbstractContextManager[Ledger | None]:
    """That of earlier runs, where there is one."""
    return Ledger(output) if output is not None and (output / WORKSPACE).is_dir() else nullcontext()


def _of_one_target(
    target: Target, places: Mapping[int, Solution], settings: Settings, ledger: Ledger | None
) -> list[Layout]:
    """A mosaic of each filter that has something in the window, all on one grid. Raises OutsideError when none has."""
    usable = [f for f in target.frames if f.id in places]
    if not usable:
        return []
    grid = make_grid(usable, places, layout(settings))
    there = reaching(usable, places, grid) if settings.output_size else {f.id for f in usable}
    parts = _parts(target.frames, settings)
    told = tuple(_told(target, parts, grid, usable, places, settings, ledger))
    return [
        Layout(
            target.title or _object(target.frames),
            name if settings.filters == "separate" else "",
            part,
            {f.id: places[f.id] for f in part if f.id in places},
            _plan([f for f in part if f.id in there], places, grid, settings),
            told,
        )
        for name, part in parts
        if any(f.id in there for f in part)
    ]


def _told(
    target: Target,
    parts: Parts,
    grid: Grid,
    frames: Sequence[Frame],
    places: Mapping[int, Solution],
    settings: Settings,
    ledger: Ledger | None,
) -> Iterator[str]:
    """What a run will say of the pixels; of a rotation along the frames only where all headers tell theirs."""
    known = (
        settings if all(f.wcs is not None for f in frames) else settings.model_copy(update={"output_rotation": "north"})
    )
    yield from layout_told(known, grid, frames, places)
    if ledger is None:
        return
    for name, _ in parts:
        key = replace(target, filter=name if len(parts) > 1 else "").key
        before = ledger.get(ledger_key("made_from", key), Finished)
        if before is not None:
            if not stays(before.grid, frames, places, layout(settings)):
                yield ANEW
            return


def look_ahead(lights: Lights, output: Path | None, settings: Settings) -> Outlook | None:
    """What a run will need; None where the headers state no positions. Without an output nobody knows what is free there.

    Raises
    ------
    MosaicError
        The settings cannot be combined, or the frames lie too far apart for one mosaic: so would the run.
    """
    known, measured, pace = _known(output, lights.frames)
    size = sum(f.width * f.height for f in lights.frames) / len(lights.frames) / S50_PIXELS
    each = USUAL * size if measured is None else measured.frame
    workers = local_workers(settings, memory_for_tasks(settings))
    laid_out = layouts(lights, settings, output)
    plans = [(layout.frames, layout.plan) for layout in laid_out]
    if not plans:
        return None
    looks = sum(assembly_looks(plan, part, reject=_rejects(settings)) for part, plan in plans)
    busy = [min(workers, len(plan.superblocks)) for _, plan in plans]
    assembly = looks * (each if pace is None else pace) / min(busy)
    written = WRITTEN * sum(p.grid.width * p.grid.height * p.channels for _, p in plans)
    total = (
        STARTING
        + (len(lights.frames) - known) * each / workers
        + OTHER_PHASES * len(lights.frames)
        + assembly
        + written
    )
    spread = GUESSED_SPREAD if pace is None else KNOWN_SPREAD
    largest = max((plan.grid for _, plan in plans), key=lambda grid: grid.width * grid.height)
    need = MAIN_MEMORY + max(n * plan.memory for n, (_, plan) in zip(busy, plans))
    shown = pictures(settings)
    disk = sum(2 * p.disk + shown.disk(p.grid, p.channels) for _, p in plans)
    compiling = 0.0 if is_compiled("resample") else COMPILED_IN * (1.0 + 1.0 / COMPILING)
    return Outlook(
        len(plans), largest.width, largest.height, need / MEGA, disk / MEGA, total / spread, total * spread + compiling, known,
        math.nan if output is None else free_disk(output) / MEGA, compiling,
        tuple(dict.fromkeys(told for layout in laid_out for told in layout.told)),
    )  # fmt: skip


def _rejects(settings: Settings) -> bool:
    return settings.stacking_rejection_algorithm != "none"


def _parts(frames: Sequence[Frame], settings: Settings) -> Parts:
    return (("", tuple(frames)),) if settings.filters == "together" else by_filter(frames)


def _plan(frames: Sequence[Frame], places: Mapping[int, Solution], grid: Grid, settings: Settings) -> Plan:
    memory = memory_for_tasks(settings)
    groups = group_frames(frames, places, settings.cluster_panel_threshold)
    samples = side_by_side(settings)
    check_extras(settings)
    workers = settings.assembly_process_workers or local_workers(settings, memory)
    return make_plan(frames, places, groups, grid, memory=memory, workers=workers, samples=samples)


def _known(output: Path | None, frames: Sequence[Frame]) -> tuple[int, Pace | None, float | None]:
    """Frames that were measured, the pace of that and of assembling, from the ledger where there is one."""
    with _ledger_of(output) as ledger:
        if ledger is None:
            return 0, None, None
        return len(ledger.measured(frames)), ledger.get(PACE, Pace), ledger.get(LOOK, float)


def free_disk(output: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    return shutil.disk_usage(existing_parent(output)).free

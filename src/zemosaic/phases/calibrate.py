"""Calibrate: masters from the user's darks, biases and flats, and which of them each light gets.

Masters lie in the workspace as FITS for people and as .npy for the workers, which map them. One is made again only when
a file behind it has changed.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zemosaic.errors import FrameError
from zemosaic.events import MasterUsed, PhaseProgress, Reporter
from zemosaic.execution import run_each
from zemosaic.fits import read_raw
from zemosaic.imaging.masters import scaled_dark
from zemosaic.ledger import to_json
from zemosaic.model import CalibrationFrame, CalibrationKind, Frame, FrameState, LeftOut, Masters
from zemosaic.phases._calibrate_masters import Master, MasterTask, make_master, save_array
from zemosaic.phases._calibrate_rules import (
    CalibrationSet,
    Choice,
    Pool,
    choose,
    described,
    flat_pedestal,
    refusal,
    sets_of,
)

__all__ = ["CalibrateResult", "calibrate"]

VERSION = 1  # raise it with any change of how masters are made: all are then made anew
LIGHTS_CUT = 1e-3  # share of pixels at exactly 0 from which lights count as cut there
SAMPLES = 3  # lights of a kind that are looked at
SAMPLE_STEP = 3  # px; odd, so that all colours of the filter array take part
TOLERANCE = 0.02  # relative, of the level of a dark above that of the lights
BIAS_TAKEN_OFF = 0.5  # a dark whose level is less than this of the bias had its bias taken off already


@dataclass(frozen=True)
class CalibrateResult:
    """What each light gets, and what became of the calibration frames."""

    masters: dict[int, Masters]  # by frame id; no entry: nothing
    used: tuple[LeftOut, ...]  # calibration frames that went into a master in use, and which
    left_out: tuple[LeftOut, ...]  # the others, and why


@dataclass(frozen=True)
class _Grant:
    """What is applied to lights of one kind, and why sets that were chosen are not."""

    choice: Choice
    denied: tuple[tuple[CalibrationSet, str], ...] = ()


def calibrate(
    frames: Sequence[Frame],
    calibration: Sequence[CalibrationFrame],
    folder: Path,
    executor: Executor,
    reporter: Reporter,
) -> CalibrateResult:
    """Make the masters that the lights need, in `folder`, and say what each light gets."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = sets_of(_with_pattern(calibration, frames))
    pool, made, kinds = Pool(sets), dict[CalibrationSet, Master](), _kinds(frames)
    while True:
        chosen = {kind: choose(kind, pool) for kind in kinds}
        wanted = {s for c in chosen.values() for s in (c.dark, c.bias, c.flat) if s is not None} - made.keys()
        if not wanted:
            break
        made |= _make(wanted, pool, folder, made, executor, reporter)
        pool = Pool(tuple(s for s in pool.sets if s not in made or not made[s].useless))
    grants = {kind: _granted(choice, kinds[kind], made) for kind, choice in chosen.items()}
    masters: dict[int, Masters] = {}
    for kind, grant in grants.items():
        if not grant.choice.nothing:
            masters |= dict.fromkeys((f.id for f in kinds[kind]), _together(grant.choice, made, folder))
    _tidy(folder, made.values(), masters.values())
    lights = _lights_of(grants, kinds, made)
    for item, count in lights.items():
        reporter.emit(MasterUsed(described(item), count, made[item].note, made[item].stem.with_suffix(".fits")))
    return CalibrateResult(masters, *_accounts(sets, grants, kinds, made, lights))


def _with_pattern(calibration: Sequence[CalibrationFrame], frames: Sequence[Frame]) -> list[CalibrationFrame]:
    """Calibration frames that say nothing of a colour filter array have that of the lights of their camera and size."""
    patterns = {(f.camera, f.width, f.height): f.bayer for f in frames}
    return [c if c.bayer else replace(c, bayer=patterns.get((c.camera, c.width, c.height))) for c in calibration]


def _kinds(frames: Sequence[Frame]) -> dict[Frame, list[Frame]]:
    """Lights that get the same: one of each kind, and all of that kind."""
    kinds: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for f in frames:
        numbers = (f.gain, f.offset, f.exposure, f.temperature)
        known = tuple(None if math.isnan(n) else n for n in numbers)
        kinds[(f.instrument, f.camera, f.kind, f.bayer, f.filter, f.date_obs[:10], *known)].append(f)
    return {members[0]: members for members in kinds.values()}


# ---- masters


def _make(
    wanted: Iterable[CalibrationSet],
    pool: Pool,
    folder: Path,
    made: Mapping[CalibrationSet, Master],
    executor: Executor,
    reporter: Reporter,
) -> dict[CalibrationSet, Master]:
    """Masters of the wanted sets and of what flats need, flats last."""
    result = dict(made)
    pedestals = {s: None if s.master else flat_pedestal(s, pool) for s in wanted if s.kind is CalibrationKind.FLAT}
    first = {s for s in wanted if s not in pedestals} | {p for p in pedestals.values() if p is not None}
    waves = ([s for s in pool.sets if s in first and s not in result], [s for s in pool.sets if s in pedestals])
    total, done = sum(map(len, waves)), 0
    for wave in waves:
        tasks = []
        for item in wave:
            pedestal = pedestals.get(item)
            below = result[pedestal] if pedestal is not None and not result[pedestal].useless else None
            tasks.append(_task(item, below, folder))
        for item, master in zip(wave, run_each(executor, make_master, tasks, cancelled=reporter.cancelled)):
            result[item] = master
            done += 1
            reporter.emit(PhaseProgress("calibrate", done, total, item.first.path.name))
    return result


def _task(item: CalibrationSet, below: Master | None, folder: Path) -> MasterTask:
    name_below = below.stem.name if below else ""
    parts = [(str(f.path), f.size, f.mtime_ns, f.kind.value, f.bayer) for f in item.frames]
    name = f"{item.kind.value.replace(' ', '_')}_{_hash(VERSION, parts, name_below)}"
    return MasterTask(item, below.array if below else None, name_below, folder / name)


def _hash(*what: object) -> str:
    return hashlib.sha256(to_json(what).encode()).hexdigest()[:16]


# ---- what each light gets


def _granted(choice: Choice, lights: Sequence[Frame], made: Mapping[CalibrationSet, Master]) -> _Grant:
    """A choice after a look at some of the lights: what would do harm is left off."""
    if choice.nothing:
        return _Grant(choice)
    samples = list(_samples(lights))
    cut = bool(samples) and max(zeros for zeros, _ in samples) > LIGHTS_CUT
    level = min((middle for _, middle in samples), default=math.inf)
    below = choice.dark or choice.bias
    reason = ""
    if below is not None and cut:
        reason = "the lights are cut at 0: the telescope has taken a dark off already"
    elif below is not None and made[below].level > (1.0 + TOLERANCE) * level:
        reason = f"its level is {made[below].level:.0f} ADU and the lights have only {level:.0f}"
    denied = []
    if reason:
        denied = [(each, reason) for each in (choice.dark, choice.bias) if each is not None]
        choice = replace(choice, dark=None, bias=None, factor=1.0)
    if choice.flat is not None and choice.dark is None and choice.bias is None and not cut:
        why = (
            "no dark and no bias is taken off the lights, so their level without light is not known: "
            "add biases of the same gain"
        )
        denied.append((choice.flat, why))
        choice = replace(choice, flat=None)
    return _Grant(choice, tuple(denied))


def _samples(lights: Sequence[Frame]) -> Iterator[tuple[float, float]]:
    """Share of pixels at 0 and median, ADU, of some lights; those that cannot be read say so when they are measured."""
    for light in lights[:: max(1, len(lights) // SAMPLES)][:SAMPLES]:
        try:
            raw = read_raw(light)[..., ::SAMPLE_STEP, ::SAMPLE_STEP]
        except FrameError:
            continue
        yield float(np.mean(raw == 0)), float(np.nanmedian(raw))


def _together(choice: Choice, made: Mapping[CalibrationSet, Master], folder: Path) -> Masters:
    """The arrays of a choice, made where no master is one already."""
    dark, bias, flat = (made[s] if s is not None else None for s in (choice.dark, choice.bias, choice.flat))
    path = None if dark is None else dark.array
    if dark is None and bias is not None:
        path = bias.array
    elif dark is not None and bias is not None and (choice.factor != 1.0 or _without_bias(dark, bias)):
        path = folder / f"scaled_{_hash(VERSION, dark.stem.name, bias.stem.name, choice.factor)}.npy"
        if not path.is_file():
            current, zero = np.load(dark.array), np.load(bias.array)
            current = current + zero if _without_bias(dark, bias) else current
            save_array(path, scaled_dark(current, zero, choice.factor))
    names = (path.name if path else "", flat.stem.name if flat else "")
    response = None if flat is None else flat.response
    return Masters(_hash(VERSION, names, response), path, None if flat is None else flat.array, response)


def _without_bias(dark: Master, bias: Master) -> bool:
    return dark.level < BIAS_TAKEN_OFF * bias.level


def _tidy(folder: Path, made: Iterable[Master], masters: Iterable[Masters]) -> None:
    """Remove masters that no file of this run stands behind."""
    kept = {m.stem.name for m in made} | {path.stem for m in masters for path in (m.dark, m.flat) if path is not None}
    for path in folder.iterdir():
        if path.suffix in (".fits", ".npy", ".json") and path.stem not in kept:
            path.unlink()


# ---- what became of each file


def _lights_of(
    grants: Mapping[Frame, _Grant], kinds: Mapping[Frame, Sequence[Frame]], made: Mapping[CalibrationSet, Master]
) -> dict[CalibrationSet, int]:
    """How many lights each set in use serves, also through another master."""
    by_name = {master.stem.name: item for item, master in made.items()}
    counts: Counter[CalibrationSet] = Counter()
    for kind, grant in grants.items():
        choice = grant.choice
        serving = {s for s in (choice.dark, choice.flat) if s is not None}
        if choice.bias is not None and _uses_bias(choice, made):
            serving.add(choice.bias)
        if choice.flat is not None and made[choice.flat].below:
            serving.add(by_name[made[choice.flat].below])
        for item in serving:
            counts[item] += len(kinds[kind])
    return dict(sorted(counts.items(), key=lambda entry: (entry[0].kind.value, entry[0].first.path.as_posix())))


def _uses_bias(choice: Choice, made: Mapping[CalibrationSet, Master]) -> bool:
    if choice.dark is None or choice.bias is None:
        return choice.bias is not None
    return choice.factor != 1.0 or _without_bias(made[choice.dark], made[choice.bias])


def _accounts(
    sets: Sequence[CalibrationSet],
    grants: Mapping[Frame, _Grant],
    kinds: Mapping[Frame, Sequence[Frame]],
    made: Mapping[CalibrationSet, Master],
    lights: Mapping[CalibrationSet, int],
) -> tuple[tuple[LeftOut, ...], tuple[LeftOut, ...]]:
    """The calibration frames in use, and those that are not, each with a sentence."""
    used: list[LeftOut] = []
    left_out: list[LeftOut] = []
    for item in sets:
        if item in made:
            left_out += made[item].refused
        if item in lights:
            scaled = sorted({g.choice.factor for g in grants.values() if g.choice.dark is item} - {1.0})
            how = f", scaled by {', '.join(f'{factor:g}' for factor in scaled)} with the bias" if scaled else ""
            what = f"Of {described(item)}, for {lights[item]} lights{how}."
            used += [LeftOut(path, FrameState.CALIBRATION, what) for path in made[item].used]
            continue
        known = {each.path for each in made[item].refused} if item in made else set()
        why = f"The {item.kind.value} is not used: {_reason(item, grants, kinds, made)}."
        left_out += [LeftOut(f.path, FrameState.NOT_A_LIGHT, why) for f in item.frames if f.path not in known]
    return tuple(used), tuple(left_out)


def _reason(
    item: CalibrationSet,
    grants: Mapping[Frame, _Grant],
    kinds: Mapping[Frame, Sequence[Frame]],
    made: Mapping[CalibrationSet, Master],
) -> str:
    """Why a set serves no light: the reason of most of the lights."""
    if item in made and made[item].useless:
        return made[item].useless
    reasons: Counter[str] = Counter()
    for kind, grant in grants.items():
        denied = dict(grant.denied).get(item)
        reasons[denied or refusal(item, kind) or _nearer(item, grant.choice)] += len(kinds[kind])
    return reasons.most_common(1)[0][0]


def _nearer(item: CalibrationSet, choice: Choice) -> str:
    """What is used in the place of a set that would do."""
    if item.kind is CalibrationKind.DARK_FLAT:
        return "no raw flats of its exposure are used"
    if item.kind is CalibrationKind.BIAS and choice.dark is not None:
        return "the dark holds the bias already"
    other = {CalibrationKind.DARK: choice.dark, CalibrationKind.FLAT: choice.flat}.get(item.kind, choice.bias)
    return f"{described(other)} fit better" if other is not None else "nothing that it goes with fits the lights"

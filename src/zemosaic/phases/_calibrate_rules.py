"""Which darks, biases and flats belong to which lights, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from zemosaic.model import CalibrationFrame, CalibrationKind, Frame, FrameKind

__all__ = ["CalibrationSet", "Choice", "Pool", "choose", "described", "flat_pedestal", "refusal", "sets_of", "standing"]

SAME_EXPOSURE = 0.05  # relative
SAME_TEMPERATURE = 3.0  # deg C; dark current doubles in about 6
SCALABLE = (0.2, 5.0)  # exposure of the lights over that of a dark; beyond, its noise or its glow is not theirs
NIGHT = timedelta(hours=12)  # flats of one session have one date when counted from noon
UNKNOWN_DATE = 1e6  # days
SMART = ("s50", "s30", "seestar", "dwarf")  # telescope and camera are one: their names hold for the sensor, too


@dataclass(frozen=True)
class CalibrationSet:
    """Calibration frames that are combined to one master, or a master of the user's."""

    kind: CalibrationKind
    frames: tuple[CalibrationFrame, ...]
    exposure: float  # s, mean; NaN when unknown
    temperature: float  # deg C, mean; NaN when unknown

    @property
    def first(self) -> CalibrationFrame:
        return self.frames[0]

    @property
    def master(self) -> bool:
        return self.first.master


@dataclass(frozen=True)
class Choice:
    """What is applied to a light."""

    dark: CalibrationSet | None = None
    bias: CalibrationSet | None = None
    flat: CalibrationSet | None = None
    factor: float = 1.0  # on the dark current of `dark`

    @property
    def nothing(self) -> bool:
        return self.dark is None and self.bias is None and self.flat is None


@dataclass(frozen=True)
class Pool:
    """All sets of a run."""

    sets: tuple[CalibrationSet, ...]

    def of(self, kind: CalibrationKind) -> list[CalibrationSet]:
        return [each for each in self.sets if each.kind is kind]


def sets_of(frames: Iterable[CalibrationFrame]) -> tuple[CalibrationSet, ...]:
    """Sort calibration frames into sets that may be combined; each master is a set of its own."""
    found = []
    for _, members in groupby(sorted(frames, key=_exact), key=_exact):
        for same_time in _clusters(list(members), lambda f: f.exposure, lambda a, b: _same_exposure(a, b)):
            warm = same_time[0].kind in (CalibrationKind.DARK, CalibrationKind.DARK_FLAT)
            near = (lambda a, b: abs(a - b) <= SAME_TEMPERATURE) if warm else (lambda _a, _b: True)
            for members_of_set in _clusters(same_time, lambda f: f.temperature, near):
                found.append(_set(members_of_set))
    return tuple(found)


def _exact(frame: CalibrationFrame) -> tuple[str, ...]:
    """What is equal within a set, as text: unknown numbers are equal to each other."""
    night = _night(frame.date_obs) if frame.kind is CalibrationKind.FLAT else ""
    filters = _plain(frame.filter) if frame.kind in (CalibrationKind.FLAT, CalibrationKind.DARK_FLAT) else ""
    own = str(frame.path) if frame.master else ""
    size = f"{frame.width}x{frame.height} {frame.binning} {frame.bayer}"
    setting = f"{frame.gain} {frame.offset}"
    return frame.kind.value, _plain(frame.camera), _plain(frame.telescope), size, setting, filters, night, own


def _night(date: str) -> str:
    return (datetime.fromisoformat(date) - NIGHT).date().isoformat() if date else ""


def _clusters(
    frames: list[CalibrationFrame], value: Callable[[CalibrationFrame], float], near: Callable[[float, float], bool]
) -> list[list[CalibrationFrame]]:
    """Frames in groups whose values are near the group's smallest; unknown ones together."""
    known = sorted((f for f in frames if not math.isnan(value(f))), key=lambda f: (value(f), f.path.as_posix()))
    unknown = [f for f in frames if math.isnan(value(f))]
    groups: list[list[CalibrationFrame]] = []
    for frame in known:
        if groups and near(value(groups[-1][0]), value(frame)):
            groups[-1].append(frame)
        else:
            groups.append([frame])
    return groups + ([unknown] if unknown else [])


def _set(frames: Sequence[CalibrationFrame]) -> CalibrationSet:
    ordered = tuple(sorted(frames, key=lambda f: f.path.as_posix()))
    n = len(ordered)
    return CalibrationSet(
        ordered[0].kind, ordered, sum(f.exposure for f in ordered) / n, sum(f.temperature for f in ordered) / n
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _same_exposure(a: float, b: float) -> bool:
    return abs(a - b) <= SAME_EXPOSURE * max(a, b)


def described(item: CalibrationSet) -> str:
    """A set in a few words: "20 darks of 10 s at 20 C"."""
    n, kind = len(item.frames), item.kind.value
    what = f"the master {kind}" if item.master else f"{n} {kind}{'es' if kind == 'bias' else 's'}"
    what = f"1 {kind}" if n == 1 and not item.master else what
    if item.exposure > 0 and item.kind is not CalibrationKind.FLAT:
        what += f" of {item.exposure:g} s"
    if item.kind is CalibrationKind.DARK and not math.isnan(item.temperature):
        what += f" at {item.temperature:.0f} C"
    if item.kind is CalibrationKind.FLAT and item.first.filter:
        what += f" through {item.first.filter}"
    return what


def standing(item: CalibrationSet, light: Frame) -> str:
    """Why a set was not taken with the sensor and the settings of a light; "" when it was."""
    first = item.first
    if light.kind is FrameKind.RGB:
        return "the lights are debayered already; calibration needs them as the camera wrote them"
    if first.camera and light.camera and _plain(first.camera) != _plain(light.camera):
        return f"it is of the camera {first.camera}, the lights are of {light.camera}"
    smart = _plain(light.telescope).startswith(SMART)
    telescopes = first.telescope and light.telescope and _plain(first.telescope) != _plain(light.telescope)
    if telescopes and (smart or item.kind is CalibrationKind.FLAT):
        return f"it is of the telescope {first.telescope}, the lights are of {light.telescope}"
    if (first.width, first.height) != (light.width, light.height):
        return f"it has {first.width} x {first.height} px, the lights have {light.width} x {light.height}"
    if first.binning != light.binning:
        return f"its binning is {first.binning}, that of the lights {light.binning}"
    if first.bayer and light.bayer and first.bayer != light.bayer:
        return f"its colour filter array is {first.bayer}, that of the lights {light.bayer}"
    return ""


def refusal(item: CalibrationSet, light: Frame) -> str:
    """Why a set does not fit a light as it is; "" when it does."""
    reason = standing(item, light)
    if reason:
        return reason
    first = item.first
    if item.kind is CalibrationKind.FLAT:
        if first.filter and light.filter and _plain(first.filter) != _plain(light.filter):
            return f"it was taken through {first.filter}, the lights through {light.filter}"
        return ""
    for name, own, theirs in (("gain", first.gain, light.gain), ("offset", first.offset, light.offset)):
        if own != theirs and not (math.isnan(own) or math.isnan(theirs)):
            return f"its {name} is {own:g}, that of the lights {theirs:g}"
    return _dark_refusal(item, light) if item.kind is CalibrationKind.DARK else ""


def _dark_refusal(item: CalibrationSet, light: Frame) -> str:
    if abs(item.temperature - light.temperature) > SAME_TEMPERATURE:
        return f"it was taken at {item.temperature:.0f} C, the lights at {light.temperature:.0f} C"
    if math.isnan(item.exposure) or math.isnan(light.exposure):
        return f"the exposure of {'the dark' if math.isnan(item.exposure) else 'the lights'} is not known"
    if not _same_exposure(item.exposure, light.exposure):
        return f"it has {item.exposure:g} s, the lights have {light.exposure:g} s"
    return ""


def choose(light: Frame, pool: Pool) -> Choice:
    """The best sets for a light.

    A dark of the same exposure; else, with a bias, one of another exposure that is scaled; else the bias alone. A flat
    goes with them, or alone: whether it may is for the pixels to say.
    """
    fitting = [d for d in pool.of(CalibrationKind.DARK) if not refusal(d, light)]
    biases = [b for b in pool.of(CalibrationKind.BIAS) if not refusal(b, light)]
    bias = min(biases, key=lambda b: (not b.master, -len(b.frames)), default=None)
    dark = min(fitting, key=lambda d: _distance(d, light), default=None)
    factor = 1.0
    if dark is None and bias is not None:
        dark = min(
            (d for d in pool.of(CalibrationKind.DARK) if _scalable(d, light)),
            key=lambda d: _distance(d, light),
            default=None,
        )
        factor = light.exposure / dark.exposure if dark is not None else 1.0
    flats = [f for f in pool.of(CalibrationKind.FLAT) if not refusal(f, light)]
    flat = min(flats, key=lambda f: _flat_distance(f, light), default=None)
    return Choice(dark, bias, flat, round(factor, 4))


def _distance(dark: CalibrationSet, light: Frame) -> tuple[float, float, bool, int]:
    warmer = abs(dark.temperature - light.temperature)
    return (
        abs(math.log(dark.exposure / light.exposure)),
        SAME_TEMPERATURE if math.isnan(warmer) else warmer,
        not dark.master,
        -len(dark.frames),
    )


def _scalable(dark: CalibrationSet, light: Frame) -> bool:
    """Whether the exposure is all that keeps a dark from fitting, and not by far."""
    if not (dark.exposure > 0 and light.exposure > 0):
        return False
    if not SCALABLE[0] <= light.exposure / dark.exposure <= SCALABLE[1]:
        return False
    return refusal(dark, light) == f"it has {dark.exposure:g} s, the lights have {light.exposure:g} s"


def _flat_distance(flat: CalibrationSet, light: Frame) -> tuple[bool, float, bool, int]:
    days = UNKNOWN_DATE
    if flat.first.date_obs and light.date_obs:
        apart = datetime.fromisoformat(flat.first.date_obs) - datetime.fromisoformat(light.date_obs)
        days = abs(apart.total_seconds()) // 86400.0
    return _plain(flat.first.filter) != _plain(light.filter), days, not flat.master, -len(flat.frames)


def flat_pedestal(flat: CalibrationSet, pool: Pool) -> CalibrationSet | None:
    """What is taken off raw flats: dark flats of their exposure, else a bias, else the shortest dark; of their gain."""
    first = flat.first

    def suits(item: CalibrationSet) -> bool:
        own = item.first
        same_camera = _plain(own.camera) == _plain(first.camera) or not (own.camera and first.camera)
        same_size = (own.width, own.height, own.binning) == (first.width, first.height, first.binning)
        settings = ((own.gain, first.gain), (own.offset, first.offset))
        return same_camera and same_size and all(a == b or math.isnan(a + b) for a, b in settings)

    def same_time(item: CalibrationSet) -> bool:
        unknown = math.isnan(item.exposure) or math.isnan(flat.exposure)
        return unknown or _same_exposure(item.exposure, flat.exposure)

    dark_flats = [d for d in pool.of(CalibrationKind.DARK_FLAT) if suits(d) and same_time(d)]
    darks = [d for d in pool.of(CalibrationKind.DARK) if suits(d)]
    dark_flats += [d for d in darks if same_time(d)]
    biases = [b for b in pool.of(CalibrationKind.BIAS) if suits(b)]
    shortest = sorted(darks, key=lambda d: d.exposure if d.exposure > 0 else math.inf)
    return next(iter([*dark_flats, *biases, *shortest]), None)

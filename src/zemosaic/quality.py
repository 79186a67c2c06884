"""How good each frame is: what was measured on it, next to what its neighbours lead one to expect.

Nothing here decides. A frame is left out by the phases, when it cannot be solved, is trailed or clouded (settings under
"frame quality"); all others are weighted, and the remarks say why a weight is low.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from zemosaic.catalogue import Catalogue
from zemosaic.imaging.projection import pixel_scale, pixel_to_sky, sky_to_pixel
from zemosaic.ledger import FrameRow
from zemosaic.model import Frame, Measurement, Solution

__all__ = ["FrameQuality", "Matching", "frame_table", "in_words"]

NAN = math.nan
ENOUGH = 3  # frames of a place, for their median to be an expectation
FEWEST_STARS = 5  # of the catalogue in a frame, likewise
SOFT, LONG, BRIGHT, NOISY = 1.4, 1.5, 1.5, 1.5  # times the median frame of the telescope (LONG: as long as wide)
THIN, SPARSE = 0.6, 0.6  # of the median frame; of the stars that are expected
PATCHY = 100.0  # mmag


@dataclass(frozen=True)
class Matching:
    """What matching found out about a frame."""

    panel: int
    uneven: float  # mmag, scatter of its bright stars; NaN when too few
    common: int  # stars that other frames or the catalogue know


@dataclass(frozen=True)
class FrameQuality:
    """One file of the input; NaN and -1 are unknown."""

    file: str
    state: str  # FrameState
    reason: str  # why it is left out
    target: str
    filter: str
    instrument: str
    panel: int
    date_obs: str
    exposure: float  # s
    fwhm: float  # px
    fwhm_arcsec: float
    roundness: float  # minor over major axis of its stars
    stars: int
    expected: float  # stars that a frame of this telescope has at this place
    sky: float  # ADU, green
    noise: float  # ADU, of a sky pixel, green
    clipped: float  # %, of the pixels, at exactly 0
    transparency: float  # starlight over that of the median frame of the same telescope and exposure
    uneven: float  # mmag, scatter of its bright stars
    common: int  # stars that other frames or the catalogue know too
    catalogue: int  # stars of the catalogue that its solution rests on
    residual: float  # arcsec, of these
    weight: float  # in the mosaic, over that of the median frame of its filter, per square arcsecond
    remarks: tuple[tuple[str, float], ...]  # what stands out, and its figure


def in_words(remarks: Iterable[tuple[str, float]]) -> str:
    """Remarks in plain English."""
    return ", ".join(f"{name} {value:.3g}" for name, value in remarks)


@dataclass(frozen=True)
class _Known:
    """A frame that was measured, with all that is known of it."""

    frame: Frame
    measurement: Measurement
    solution: Solution | None
    target: str  # panels are numbered anew in each
    gain: float  # green; NaN before matching
    quality: float  # factor on its weight

    @property
    def sensor(self) -> Hashable:
        """Frames that are alike but for the weather and the place."""
        exposure = 0.0 if math.isnan(self.frame.exposure) else self.frame.exposure
        return self.frame.instrument, self.frame.filter, exposure

    @property
    def sigma(self) -> float:
        return self.measurement.sigma[self.frame.reference]

    @property
    def scale(self) -> float:
        """arcsec/px; NaN when unknown"""
        return self.frame.scale if self.solution is None else pixel_scale(self.solution)


def frame_table(
    rows: Iterable[FrameRow], matching: Mapping[int, Matching], catalogue: Catalogue, *, equal_weights: bool
) -> tuple[FrameQuality, ...]:
    """The quality of every file.

    matching : by frame id, of the frames that came so far. equal_weights : the weighting is `none`.
    """
    rows = list(rows)
    known = {row.frame.id: _known(row) for row in rows if row.frame is not None and row.measurement is not None}
    expected = _expected_stars(known, matching, catalogue)
    fwhm = _relative(known.values(), lambda k: k.measurement.fwhm)
    light = _relative(known.values(), lambda k: k.gain)
    sky = _relative(known.values(), lambda k: k.measurement.sky[k.frame.reference])
    noise = _relative(known.values(), lambda k: k.sigma)
    weights = {i: 1.0 if equal_weights else _weight(k) for i, k in known.items() if not math.isnan(k.gain)}
    mosaics: dict[Hashable, list[float]] = defaultdict(list)
    for row in rows:
        if row.frame is not None and row.frame.id in weights:
            mosaics[row.target, row.frame.filter].append(weights[row.frame.id])
    table = []
    for row in rows:
        i = row.frame.id if row.frame is not None else -1
        told = [fwhm.get(i, NAN), light.get(i, NAN), sky.get(i, NAN), noise.get(i, NAN)]
        weight = weights[i] / median(mosaics[row.target, known[i].frame.filter]) if i in weights else NAN
        table.append(_quality(row, known.get(i), matching.get(i), expected.get(i, NAN), told, weight))
    return tuple(table)


def _known(row: FrameRow) -> _Known:
    if row.frame is None or row.measurement is None:
        raise ValueError(f"{row.path} was not measured")
    gain = NAN if row.correction is None else row.correction.gain[row.frame.reference]
    quality = NAN if row.correction is None else row.correction.weight
    return _Known(row.frame, row.measurement, row.solution, row.target, gain, quality)


def _weight(k: _Known) -> float:
    """Inverse variance of a square arcsecond: a^2 Omega / sigma^2, times the frame's own factor."""
    return k.quality * (k.gain * k.scale / k.sigma) ** 2


def _relative(known: Iterable[_Known], value: Callable[[_Known], float]) -> dict[int, float]:
    """A figure of each frame over the median of the frames of its sensor, by id."""
    groups: dict[Hashable, list[tuple[int, float]]] = defaultdict(list)
    for k in known:
        if math.isfinite(figure := value(k)):
            groups[k.sensor].append((k.frame.id, figure))
    result = {}
    for members in groups.values():
        middle = median(figure for _, figure in members)
        result.update({i: figure / middle if middle > 0 else NAN for i, figure in members})
    return result


def _expected_stars(
    known: Mapping[int, _Known], matching: Mapping[int, Matching], catalogue: Catalogue
) -> dict[int, float]:
    """Stars that a frame should show: the median of the frames of its panel, telescope and exposure.

    Of a panel with fewer frames: the stars of the catalogue in the frame, times the median of stars over catalogue stars.
    Of a frame without a place: the median of its telescope.
    """
    place = {i: (known[i].sensor, known[i].target, matching[i].panel) for i in known if i in matching}
    places: dict[Hashable, list[int]] = defaultdict(list)
    sensors: dict[Hashable, list[int]] = defaultdict(list)
    for i, k in known.items():
        sensors[k.sensor].append(k.measurement.n_stars)
        if i in place:
            places[place[i]].append(k.measurement.n_stars)
    lonely = {known[i].sensor for i in place if len(places[place[i]]) < ENOUGH}
    listed = {
        i: n
        for i, k in known.items()
        if k.sensor in lonely and k.solution is not None and (n := _catalogued(k.frame, k.solution, catalogue))
    }
    richness: dict[Hashable, list[float]] = defaultdict(list)
    for i, n in listed.items():
        richness[known[i].sensor].append(known[i].measurement.n_stars / n)
    expected = {}
    for i, k in known.items():
        here = places[place[i]] if i in place else []
        if len(here) >= ENOUGH:
            expected[i] = float(median(here))
        elif listed.get(i, 0) >= FEWEST_STARS:
            expected[i] = listed[i] * median(richness[k.sensor])
        else:
            expected[i] = float(median(sensors[k.sensor]))
    return expected


def _catalogued(frame: Frame, solution: Solution, catalogue: Catalogue) -> int:
    """Catalogue stars inside a frame."""
    corner = pixel_to_sky(solution, 0.5 * (frame.width - 1), 0.5 * (frame.height - 1))
    radius = 0.5 * math.hypot(frame.width, frame.height) * pixel_scale(solution) / 3600.0
    stars = catalogue.cone(float(corner[0]), float(corner[1]), radius)
    x, y = sky_to_pixel(solution, stars.ra, stars.dec)
    return int(np.count_nonzero((x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)))


def _quality(
    row: FrameRow, known: _Known | None, matched: Matching | None, expected: float, told: Sequence[float], weight: float
) -> FrameQuality:
    frame, solution = row.frame, row.solution
    measured = known.measurement if known else None
    reference = known.frame.reference if known else 0
    roundness = 1.0 / measured.elongation if measured and measured.elongation > 0 else NAN
    uneven = matched.uneven if matched else NAN
    return FrameQuality(
        file=str(row.path),
        state=row.state.value,
        reason=row.reason,
        target=row.target,
        filter=frame.filter if frame else "",
        instrument=frame.instrument if frame else "",
        panel=matched.panel if matched else -1,
        date_obs=frame.date_obs if frame else "",
        exposure=frame.exposure if frame else NAN,
        fwhm=measured.fwhm if measured else NAN,
        fwhm_arcsec=measured.fwhm * known.scale if measured and known else NAN,
        roundness=roundness,
        stars=measured.n_stars if measured else -1,
        expected=expected,
        sky=measured.sky[reference] if measured else NAN,
        noise=measured.sigma[reference] if measured else NAN,
        clipped=100.0 * measured.clipped if measured else NAN,
        transparency=told[1],
        uneven=uneven,
        common=matched.common if matched else -1,
        catalogue=solution.n_matched if solution else -1,
        residual=solution.rms if solution else NAN,
        weight=weight,
        remarks=tuple(_remarks(measured, told, expected, uneven)) if measured else (),
    )


def _remarks(
    measured: Measurement, told: Sequence[float], expected: float, uneven: float
) -> Iterable[tuple[str, float]]:
    """What stands out, each with its figure: times the median frame, or the share of it."""
    fwhm, light, sky, noise = told
    if fwhm > SOFT:
        yield "soft", fwhm
    if measured.elongation > LONG:
        yield "elongated", measured.elongation
    if light < THIN:
        yield "dim", light
    if uneven > PATCHY:
        yield "uneven", uneven
    if measured.n_stars < SPARSE * expected:
        yield "few_stars", measured.n_stars / expected
    if sky > BRIGHT:
        yield "bright_sky", sky
    if noise > NOISY:
        yield "noisy", noise

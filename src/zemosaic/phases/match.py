"""match: what brings every frame onto one photometric scale and one sky: D = F (a S Omega + B).

Works on star lists and sky meshes only; no pixel is read. Memory: about 1 kB per binned sky cell (2000 of 32 px in a
Seestar frame; larger ones from 400 frames on keep them below 800 000 up to 53 000 frames), 120 bytes per detection
(at most 4 million, or 40 a frame) and 400 per star measurement (at most 500 000, or 30 a frame).

`weighting` and `Correction.weight`: the assembly multiplies by the inverse variance (a^2 / sigma^2) itself unless weighting is
"none"; the correction's weight carries the rest: the frame's own quality (chi^2 of its stars, FWHM), or 1 for "none".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from zemosaic.catalogue import Catalogue, load_catalogue
from zemosaic.errors import InputError
from zemosaic.events import Reporter, SkiesCurved, Vignetting, Warned, together
from zemosaic.imaging.cloud import cloud_planes, cloud_shape, without_cloud
from zemosaic.imaging.gains import GainFit, fit_gains
from zemosaic.imaging.response import RADIAL_TERMS, half_diagonal, radial_powers
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit, fit_sky
from zemosaic.imaging.skyorder import LEAST_CURVATURE, curvature_seen
from zemosaic.imaging.skyresponse import COMMON_CURVATURE, Sensors, refine_response, shows_response, with_sensors
from zemosaic.imaging.starlight import SkyStars
from zemosaic.imaging.startable import StarTable, median_by
from zemosaic.model import (
    Correction,
    Frame,
    FrameState,
    Group,
    LeftOut,
    Measurement,
    Solution,
    short_names,
)
from zemosaic.phases._match_cells import Brightness, Ground, Listed, listed_stars, sky_cells, with_light
from zemosaic.phases._match_result import Basis, MatchResult
from zemosaic.phases._match_seams import with_seams
from zemosaic.phases._match_second import Left, second_skies
from zemosaic.phases._match_stars import (
    Item,
    link_stars_of,
    load_detections,
    star_table,
    times_of,
    usable_items,
)
from zemosaic.spread import Spread, one_by_one

__all__ = ["Left", "Limits", "MatchResult", "match", "second_skies"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LARGEST_GAIN = 10.0  # of the median frame: no weather does that
FEWEST_TO_JUDGE = 5  # common stars
TOLERATED_CHI2 = (1.5, 5.0)  # times the median before a frame loses weight: first + second / sqrt(stars), 3 sigma of it
# planes that are missing spoil the stars that they are found by; change that is left
CLOUD_ROUNDS, CLOUD_FOUND = 4, 0.005
RESPONSE_ROUNDS, RESPONSE_FOUND = 6, 0.02  # what is off by more spoils the gains and skies that it is found by
# of the curvature of skies: what is left of it averages over frames, the noise of free surfaces bends the mosaic. 2 x 2 panels
# under 3 %: background 0.46 % of the nebula with planes, 0.36 with 1.0, 0.33 with 0.5 and 0.25, as without any curvature
BENT_PRIOR = 0.5


@dataclass(frozen=True)
class Limits:
    """Beyond which a frame counts as clouded; all others only lose weight."""

    # starlight over that of the median frame of the same telescope and exposure: thick cloud, dew, a roof
    faintest: float
    uneven: float  # relative scatter of bright stars: cloud in pieces


@dataclass(frozen=True)
class _Photometry:
    """Gains and what goes with them, for the frames that stay."""

    gain: FloatArray  # (frames, channels)
    response: tuple[tuple[float, ...], ...]  # per frame
    pedestal: FloatArray  # (frames,) ADU
    pedestal_error: FloatArray  # (frames,) ADU
    quality: FloatArray  # (frames,) factor on the weight
    cloud: FloatArray  # (frames, 2) plane of thin cloud
    fit: GainFit | None


def match(
    frames: Sequence[Frame],
    measurements: Sequence[Measurement],
    solutions: Mapping[int, Solution],
    groups: Sequence[Group],
    *,
    normalize: str,
    weighting: str,
    limits: Limits,
    reporter: Reporter,
    catalogue: Catalogue | None = None,
    sky_order: str = "auto",
    spread: Spread = one_by_one,
) -> MatchResult:
    """Corrections of all solved frames.

    measurements : of these frames; frames without one, or without a solution, are ignored.
    normalize : "linear_fit" gain, response and sky; "sky_mean" constants only; "none" nothing (a = 1, B = 0, F = 1).
    weighting : "none", "noise_variance", "noise_fwhm" (see the module).
    sky_order : of each frame's sky with "linear_fit": "1", "2", or "auto", 2 where planes leave a curvature beyond doubt.
    spread : who does what can be done side by side; the result is the same to the last bit.

    Raises InputError when no frame is left, Cancelled when the user asked to stop.
    """
    measured = {measurement.frame_id: measurement for measurement in measurements}
    inputs = usable_items(frames, measured, solutions)
    if not inputs:
        raise InputError("match: no frame has both star measurements and an astrometric solution; nothing to combine")
    table, listed = _stars(inputs, groups, catalogue or load_catalogue())
    photometry, clouded, table = _photometry(inputs, table, normalize, limits)
    left_out = tuple(LeftOut(inputs[i].frame.path, FrameState.CLOUDED, reason) for i, reason in clouded.items())
    kept = [i for i in range(len(inputs)) if i not in clouded]
    if not kept:
        raise InputError("match: every frame was left out as clouded; see the reasons above")
    used = [inputs[i] for i in kept]
    photometry = _with_flats(photometry, used)
    cells, sky, ground, basis = None, None, None, None
    if normalize != "none":
        brightness = Brightness(photometry.gain, photometry.response, photometry.cloud)
        if photometry.fit is None:  # of frames whose gains nobody knows no star can be taken off
            stars = SkyStars(listed.mask, np.zeros((len(listed.mask.ra), inputs[0].frame.channels)))
        else:
            stars = with_light(listed, np.array(kept), brightness)
        cells, ground = sky_cells(used, brightness, stars, reporter)
        omega = cells.omega * cloud_shape(photometry.cloud[cells.frame], cells.u, cells.v)
        cells = replace(cells, omega=omega)  # light is dimmed there as if the pixels were smaller
        if normalize == "linear_fit":
            photometry, cells, sky, bent = _skies(
                np.array(kept), used, table, photometry, cells, ground.spacing, sky_order, spread
            )
            basis = _basis(np.array(kept), used, table, cells, sky, ground, _curvature(sky_order, bent))
            if bent is not None:
                reporter.emit(SkiesCurved(100.0 * bent))
        else:
            sky = fit_sky(cells, photometry.gain, ground.spacing, order=0, time=times_of(used), spread=spread)
    result = replace(_result(inputs, kept, photometry, sky, weighting, left_out, table), basis=basis)
    if cells is not None and sky is not None and ground is not None:
        result = with_seams(result, cells, sky, ground.spacing, photometry.gain, used, groups)
    _report(result, photometry, sky, reporter)
    return result


def _skies(
    kept: IntArray,
    used: Sequence[Item],
    table: StarTable,
    photometry: _Photometry,
    cells: SkyCells,
    spacing: float,
    order: str,
    spread: Spread,
) -> tuple[_Photometry, SkyCells, SkyFit, float | None]:
    """Photometry and cells with responses that stars and sky told, the skies, and what was seen of a curvature over their level.

    The last is None for planes, and 0 where nothing but `order` asks for more.
    """
    instrument, times = table.instrument[kept], times_of(used)
    night = None if times is None else table.night[kept]
    photometry, cells, planes = _sharpened(kept, used, table, photometry, cells, spacing, spread)
    again = partial(
        fit_sky, cells, photometry.gain, spacing, instrument=instrument, time=times, night=night, before=planes,
        spread=spread,
    )  # fmt: skip
    sky = again()
    bent = 0.0 if order == "1" else curvature_seen(cells, sky)
    if bent == 0.0 and order != "2":
        return photometry, cells, sky, None
    return photometry, cells, again(order=2, curvature=_curvature(order, bent)), bent


def _curvature(order: str, bent: float | None) -> float:
    """Standard deviation of the second order of skies over their level; 0 where planes suffice (`bent` is None)."""
    if bent is None:
        return 0.0
    return BENT_PRIOR * (max(bent, LEAST_CURVATURE) if order == "2" else bent)


def _basis(
    kept: IntArray,
    used: Sequence[Item],
    table: StarTable,
    cells: SkyCells,
    sky: SkyFit,
    ground: Ground,
    curvature: float,
) -> Basis:
    """What the second iteration goes on from, `kept` being the places in the table of the frames that are used."""
    frames, count = tuple(i.frame.id for i in used), np.bincount(cells.frame, minlength=len(used))
    known = np.where(cells.variance > 0, sky.residual**2 / np.maximum(cells.variance, 1e-30), np.nan)
    misfit = np.maximum(1.4826**2 * np.nanmedian(known, axis=0), 1.0)
    return Basis(frames, count, ground, times_of(used), table.instrument[kept], table.night[kept], curvature, misfit)


def _photometry(
    inputs: Sequence[Item], table: StarTable, normalize: str, limits: Limits
) -> tuple[_Photometry, dict[int, str], StarTable]:
    """Gains for the frames that stay, the reasons of those that do not, and the table without thin cloud."""
    n, channels = len(inputs), inputs[0].frame.channels
    if normalize != "linear_fit" or not len(table.frame):
        return (
            _Photometry(
                np.ones((n, channels)), ((),) * n, np.zeros(n), np.zeros(n), np.ones(n), np.zeros((n, 2)), None
            ),
            {},
            table,
        )
    seen, fit, cloud = table, fit_gains(table), np.zeros((n, 2))
    for _ in range(CLOUD_ROUNDS):
        former, cloud = cloud, cloud_planes(seen, fit, cloud)
        if np.abs(cloud - former).max() < CLOUD_FOUND:
            break
        flux, error = without_cloud(seen, cloud)
        table = replace(seen, flux=flux, error=error)
        fit = fit_gains(table)
    clouded = _clouded(inputs, fit, table.instrument, limits)
    kept = np.array([i for i in range(n) if i not in clouded], dtype=np.int64)
    return _judged(table, fit, kept, cloud[kept]), clouded, table


def _judged(table: StarTable, fit: GainFit, kept: IntArray, cloud: FloatArray) -> _Photometry:
    """Gains with median 1 over the frames that stay, and weights that fall with the chi^2 of their stars."""
    if not len(kept):
        return _Photometry(fit.gain[kept], (), np.zeros(0), np.zeros(0), np.ones(0), cloud, fit)
    middle = np.median(fit.gain[kept], axis=0)
    fit = replace(fit, gain=fit.gain / middle, star_flux=fit.star_flux * middle)
    typical = float(np.nanmedian(fit.chi2[kept])) if np.isfinite(fit.chi2[kept]).any() else 1.0
    excess = np.nan_to_num(fit.chi2[kept] / max(typical, 1e-9), nan=1.0)
    tolerated = TOLERATED_CHI2[0] + TOLERATED_CHI2[1] / np.sqrt(np.maximum(fit.common[kept], 1))
    quality = tolerated / np.maximum(excess, tolerated)
    response = tuple(fit.response[table.instrument[i]] for i in kept)
    none = np.zeros(len(kept))
    return _Photometry(fit.gain[kept], response, none, none, quality, cloud, fit)


def _with_flats(photometry: _Photometry, used: Sequence[Item]) -> _Photometry:
    """With the response that is still in the pixels of flat-fielded frames."""
    flats = (i.measurement.flat for i in used)
    return replace(photometry, response=tuple(r if f is None else f for r, f in zip(photometry.response, flats)))


def _sharpened(
    kept: IntArray,
    used: Sequence[Item],
    table: StarTable,
    photometry: _Photometry,
    cells: SkyCells,
    spacing: float,
    spread: Spread,
) -> tuple[_Photometry, SkyCells, SkyFit | None]:
    """Responses from stars and sky together; gains and cells with these responses, and a fit of planes to the cells."""
    if photometry.fit is None:
        return photometry, cells, None
    stars = photometry.fit
    flat = [item.measurement.flat is not None for item in used]
    free = np.ones(len(stars.response), bool)
    free[table.instrument[kept][flat]] = False
    before = Sensors(_by_stars(stars), np.zeros(len(free)))
    for _ in range(RESPONSE_ROUNDS):
        planes = fit_sky(cells, photometry.gain, spacing, spread=spread)
        after, photometry, cells = _refined(
            kept, table, photometry, stars, cells, planes, spacing, before, free, spread
        )
        change = np.abs(after.response - before.response).sum(axis=1).max()
        raised = np.abs(after.pedestal - before.pedestal).max() / max(float(np.median(planes.level)), 1.0)
        before = after
        if max(change, raised) < RESPONSE_FOUND:
            break
    return _with_flats(photometry, used), cells, planes


def _refined(
    kept: IntArray,
    table: StarTable,
    photometry: _Photometry,
    stars: GainFit,
    cells: SkyCells,
    sky: SkyFit,
    spacing: float,
    before: Sensors,
    free: BoolArray,
    spread: Spread,
) -> tuple[Sensors, _Photometry, SkyCells]:
    """The sensors `before` improved by the sky; gains and cells with them.

    stars : the fit of gains and responses to the stars alone. free : (instruments,) those that no flat has told.
    """
    shown = np.array([bool(r) for r in stars.response])
    covariance = np.where(free[:, None, None], stars.response_covariance, 1e-12 * np.eye(RADIAL_TERMS))
    instrument = table.instrument[kept]
    raised = shown & free  # where only the sky shows a response, a pedestal cannot be told from a weaker one
    after, known = refine_response(
        cells, sky, photometry.gain, spacing, instrument, before, _by_stars(stars), covariance, raised, spread
    )
    by_stars, shown = shown, shown | (free & [shows_response(*each) for each in zip(after.response, known)])
    after = replace(after, response=np.where(shown[:, None], after.response, 0.0))
    known = np.where(by_stars[:, None, None], known, known + COMMON_CURVATURE)
    known = np.where(free[:, None, None], known, stars.response_covariance)
    if not (after.response.any() or before.response.any()):
        return after, replace(photometry, fit=replace(stars, response_covariance=known)), cells
    rho2, number = table.rho2, table.instrument[table.frame]
    shape = 1.0 + np.einsum("nk,nk->n", radial_powers(rho2), after.response[number])
    flat = replace(table, flux=table.flux / shape[:, None], error=table.error / shape[:, None])
    response = tuple(tuple(map(float, c)) if s else () for c, s in zip(after.response, shown))
    again = replace(fit_gains(flat, with_response=False), response=response, response_covariance=known)
    judged = replace(
        _judged(table, again, kept, photometry.cloud),
        pedestal=after.pedestal[instrument],
        pedestal_error=after.pedestal_error[instrument],
    )
    return after, judged, with_sensors(cells, instrument, before, after)


def _by_stars(fit: GainFit) -> FloatArray:
    """(instruments, terms) of the responses that the stars have shown, 0 where they have not."""
    return np.array([r or (0.0,) * RADIAL_TERMS for r in fit.response])


def _clouded(inputs: Sequence[Item], fit: GainFit, instrument: IntArray, limits: Limits) -> dict[int, str]:
    """Frames whose stars say that they are no use, with the figures."""
    exposure = np.array([i.frame.exposure for i in inputs])
    exposure = np.where(np.isfinite(exposure) & (exposure > 0), exposure, 1.0)
    rate = fit.gain[:, inputs[0].frame.reference] / exposure
    alike = instrument * (int(fit.component.max()) + 1) + fit.component
    typical = median_by(alike, rate, int(alike.max()) + 1)[alike]
    reasons = {}
    for i in np.flatnonzero(fit.common >= FEWEST_TO_JUDGE):
        share = rate[i] / typical[i]
        if not limits.faintest <= share <= LARGEST_GAIN:
            reasons[int(i)] = (
                f"its {fit.common[i]} stars in common have {100 * share:.0f} % of the light that they have on the median frame "
                f"of the same telescope; {100 * limits.faintest:.0f} % is needed: cloud, dew or an obstruction"
            )
        elif fit.scatter[i] > limits.uneven:
            reasons[int(i)] = (
                f"the brightness of its {fit.common[i]} stars in common is uneven by {100 * fit.scatter[i]:.0f} % "
                f"({100 * limits.uneven:.0f} % is allowed): cloud in pieces"
            )
    return reasons


def _stars(inputs: Sequence[Item], groups: Sequence[Group], catalogue: Catalogue) -> tuple[StarTable, Listed]:
    """Star measurements for the gains, and the list of stars that no sky may use."""
    detections = load_detections(inputs)
    linked = link_stars_of(detections, inputs[0].frame.reference)
    return star_table(inputs, detections, linked, groups, catalogue), listed_stars(inputs, detections, linked)


def _result(
    inputs: Sequence[Item],
    kept: Sequence[int],
    photometry: _Photometry,
    sky: SkyFit | None,
    weighting: str,
    left_out: tuple[LeftOut, ...],
    table: StarTable,
) -> MatchResult:
    fit = photometry.fit
    used = [inputs[i] for i in kept]
    weight = _weights(used, photometry.quality, weighting)
    corrections = {}
    for k, item in enumerate(used):
        surfaces = np.zeros((item.frame.channels, 3)) if sky is None else sky.sky[k]
        corrections[item.frame.id] = Correction(
            frame_id=item.frame.id,
            gain=tuple(map(float, photometry.gain[k])),
            sky=tuple(tuple(map(float, surface)) for surface in surfaces),
            response=photometry.response[k],
            radius=half_diagonal(item.frame.width, item.frame.height),
            weight=float(weight[k]),
            flat_fielded=item.measurement.flat is not None,
            cloud=(float(photometry.cloud[k, 0]), float(photometry.cloud[k, 1])),
            pedestal=float(photometry.pedestal[k]),
        )
    zero_point, scatter, count = _zero_point(table, fit)
    scatters = np.full(len(inputs), np.nan) if fit is None else fit.scatter
    common = np.zeros(len(inputs), int) if fit is None else fit.common
    names = {int(table.instrument[i]): item.sensor for i, item in enumerate(inputs) if item.measurement.flat is None}
    return MatchResult(
        corrections=corrections,
        left_out=left_out,
        overlaps=(),
        frame_steps={},
        sky_level=(0.0,) * inputs[0].frame.channels if sky is None else tuple(sky.level.tolist()),
        zero_point=zero_point,
        zero_point_scatter=scatter,
        zero_point_stars=count,
        zero_point_channel="green" if inputs[0].frame.channels == 3 else "luminance",
        gain_residual_mmag={item.frame.id: float(1085.7 * s) for item, s in zip(inputs, scatters)},
        common_stars={item.frame.id: int(c) for item, c in zip(inputs, common)},
        response={name: () if fit is None else fit.response[k] for k, name in names.items()},
        pedestal={name: _of(k, photometry.pedestal, table.instrument[kept]) for k, name in names.items()},
        pedestal_error={name: _of(k, photometry.pedestal_error, table.instrument[kept]) for k, name in names.items()},
        response_error={
            name: float("nan") if fit is None else float(fit.response_error[k]) for k, name in names.items()
        },
        star_groups=1 if fit is None else int(fit.component.max()) + 1,
        sky_groups=1 if sky is None else int(sky.component.max()) + 1,
    )


def _of(which: int, values: FloatArray, instrument: IntArray) -> float:
    """What all frames of an instrument have in common; 0 without frames."""
    return float(values[instrument == which].max(initial=0.0))


def _weights(inputs: Sequence[Item], quality: FloatArray, weighting: str) -> FloatArray:
    """Factor on the inverse variance of each frame."""
    if weighting == "none":
        return np.ones(len(inputs))
    if weighting != "noise_fwhm":
        return quality
    fwhm = np.array([i.measurement.fwhm * i.scale for i in inputs])
    if not np.isfinite(fwhm).any():
        return quality
    sharpness: FloatArray = quality * np.nan_to_num((np.nanmedian(fwhm) / fwhm) ** 2, nan=1.0)
    return sharpness


def _zero_point(table: StarTable, fit: GainFit | None) -> tuple[float, float, int]:
    """VT magnitude of 1 ADU, robust scatter of single stars, number of stars."""
    if fit is not None:
        flux = fit.star_flux[:, table.reference]
    else:
        flux = median_by(table.star, table.flux[:, table.reference], len(table.vt))
    good = np.isfinite(table.vt) & np.isfinite(flux) & (flux > 0)
    if np.count_nonzero(good) < 3:
        return float("nan"), float("nan"), int(np.count_nonzero(good))
    zero = table.vt[good] + 2.5 * np.log10(flux[good])
    middle = float(np.median(zero))
    return middle, 1.4826 * float(np.median(np.abs(zero - middle))), len(zero)


def _report(result: MatchResult, photometry: _Photometry, sky: SkyFit | None, reporter: Reporter) -> None:
    told, short = list[Vignetting](), short_names(tuple(result.response))
    for name, coefficients in result.response.items() if photometry.fit is not None else ():
        error = 100.0 * result.response_error[name]
        corners = 100.0 * (1.0 + sum(coefficients)) if coefficients else math.nan
        told.append(Vignetting(short[name], corners, error, result.pedestal[name], result.pedestal_error[name]))
    for event in together(told):
        reporter.emit(event)
    if result.sky_groups > 1:
        reporter.emit(
            Warned(f"{result.sky_groups} groups of frames share no sky: only their median sky levels were made equal")
        )
    if (photometry.fit is not None and not photometry.fit.converged) or (sky is not None and not sky.converged):
        reporter.emit(Warned("the photometric equations did not converge fully; check the overlaps in the report"))

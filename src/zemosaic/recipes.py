"""The user's settings, and what the phases found, in the words of the phases that come after."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic import __version__, geometry
from zemosaic.errors import SettingsError
from zemosaic.events import Assembled, BlocksKept
from zemosaic.imaging.calibrate import Feather
from zemosaic.imaging.change import How, Look
from zemosaic.imaging.gauge import held, stepped
from zemosaic.imaging.lines import LineMix, flux_ratio, hydrogen, oxygen
from zemosaic.imaging.projection import pixel_scale
from zemosaic.imaging.stretch import Style
from zemosaic.model import Correction, Frame, Grid, Group, Measurement, Overlap, Plan, Solution
from zemosaic.patterns import Patterns, weights_by_pattern
from zemosaic.phases.assemble import Exposure, Fate, Finished, Ingredient, Recipe, Result, Verdict
from zemosaic.phases.export import Format, Pictures, Provenance, has_healpix
from zemosaic.phases.match import MatchResult
from zemosaic.phases.plan import Layout, SideBySide, natural_scale, reaching, share_inside
from zemosaic.phases.solve import SolveResult
from zemosaic.settings import Settings, declared, fractions, lacks_side_by_side
from zemosaic.sides import sides_of
from zemosaic.tables import load_stars

__all__ = [
    "ANEW",
    "as_assembled",
    "as_kept",
    "assembly_recipe",
    "check_extras",
    "crop",
    "held_matching",
    "layout",
    "layout_told",
    "line_mixes",
    "measured_alike",
    "median",
    "output_format",
    "pictures",
    "provenance",
    "side_by_side",
    "unlike_profiles",
    "used_corrections",
    "weighted_by_hand",
]

SEEING = 0.2  # of a star's light, that seeing moves anyway and the rejection tolerates
HELD = 1.15  # times the frames that the sky was found from, up to which it is held when frames join
CHANGING = (
    "calibration",
    "frame quality",
    "stacking",
    "cropping",
    "assembly",
    "mosaic",
    "plate solver",
)  # groups of settings
CHANGE_TOO = ("save_final_as_uint16", "no_data")  # of others
CHANGE_NOTHING = (
    "many_left_out", "rejection_maps", "assembly_process_workers", "winsor_worker_limit", "solver_timeout",
    "astrometry_local_path",
)  # fmt: skip
ANEW = "its pixels have another size, place or projection now: the mosaic is made anew"
OTHER_SCALE = 0.03  # of the pixel size, beyond which another one than the frames' is told
KAPPA = 3.0  # sigma that a difference between two telescopes may amount to


def provenance(
    settings: Settings,
    plan: Plan,
    frames: Sequence[Frame],
    used: Sequence[int],
    solved: SolveResult,
    matched: MatchResult,
) -> Provenance:
    """What the export headers say about how the mosaic was made; `frames` of its target, `used` their ids in the picture."""
    s = settings
    kept = set(used)
    digests = "".join(f.digest for f in frames if f.id in kept)
    solutions = [solved.solutions[i] for i in used]
    return Provenance(
        groups=len(plan.groups),
        listed=len(frames),
        normalization=s.stacking_normalize_method,
        weighting=s.stacking_weighting_method,
        rejection=s.stacking_rejection_algorithm,
        kappa_low=s.stacking_kappa_low,
        kappa_high=s.stacking_kappa_high,
        combine=s.stacking_final_combine_method,
        assembly=s.final_assembly_method,
        resampling=s.resampling,
        pixfrac=s.drizzle_pixfrac if s.resampling == "cfa" else math.nan,
        radial_weight=s.apply_radial_weight,
        zero_point=matched.zero_point,
        zero_point_scatter=matched.zero_point_scatter,
        version=__version__,
        input_hash=hashlib.sha256(digests.encode()).hexdigest()[:32],
        solvers=tuple(Counter(each.solver for each in solutions).most_common()),
        astrometric_rms=solved.catalogue_rms,
        relative_rms=median(solved.residuals.get(i, math.nan) for i in used),
        changed=tuple(_changed(s)),
    )


def _changed(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings that change the mosaic's pixels, where they differ from their defaults; of a path its name only."""
    given = settings.model_dump()  # without what is secret
    for name, about in declared().items():
        changes = name in CHANGE_TOO or (about.group in CHANGING and name not in CHANGE_NOTHING)
        if changes and name in given and given[name] != about.default:
            value = given[name]
            text = f"{value:g}" if isinstance(value, float) else str(value)
            yield name, Path(text).name if about.unit == "path" else text


def crop(settings: Settings) -> float:
    """Share of a frame's width and height that is left out on each side."""
    return settings.master_tile_crop_percent / 100.0 if settings.apply_master_tile_crop else 0.0


def layout(settings: Settings) -> Layout:
    """What is wanted of the mosaic's pixels."""
    size = geometry.size(settings.output_size)
    return Layout(
        settings.output_projection,
        settings.output_scale,
        geometry.angle(settings.output_rotation),
        geometry.place(settings.output_center),
        size[:2] if size else None,
        bool(size and size[2]),
        crop(settings),
    )


def assembly_recipe(settings: Settings, level: tuple[float, ...], unlike: float) -> Recipe:
    """How frames are weighted and clipped; level: (channels,) ADU, mean sky that the corrections take off.

    unlike : largest share of a star's light by which frames differ, see `unlike_profiles`
    """
    feather = Feather(
        taper=float(settings.edge_taper),
        crop=crop(settings),
        radial_fraction=settings.radial_feather_fraction if settings.apply_radial_weight else 0.0,
        radial_power=settings.radial_shape_power,
        radial_floor=settings.min_radial_weight_floor,
    )
    return Recipe(
        feather,
        level,
        equal_weights=settings.stacking_weighting_method == "none",
        rejection=settings.stacking_rejection_algorithm,
        kappa_low=settings.stacking_kappa_low,
        kappa_high=settings.stacking_kappa_high,
        winsor=fractions(settings.stacking_winsor_limits),
        combine=settings.stacking_final_combine_method,
        resampling=settings.resampling,
        pixfrac=settings.drizzle_pixfrac if settings.resampling == "cfa" else 1.0,
        maps=settings.rejection_maps,
        unlike=unlike,
    )


def measured_alike(finished: Finished, exposures: Mapping[int, Exposure]) -> dict[str, int]:
    """The frames of today, ids by name, that were in the finished mosaic with the same noise, sky and calibration.

    None of them counts when more than half of those that were there have been measured anew: with other darks or flats, the
    sky that was found has nothing to say any more.
    """
    before = {each.name: each.measured for each in finished.frames}
    now = {i: Ingredient.of(exposure) for i, exposure in exposures.items()}
    there = {i: each for i, each in now.items() if each.name in before}
    same = {each.name: i for i, each in there.items() if before[each.name] == each.measured}
    return same if 2 * len(same) >= len(there) else {}


def used_corrections(finished: Finished, exposures: Mapping[int, Exposure]) -> dict[int, Correction]:
    """The corrections with which the frames of today went into the finished mosaic, by their ids of today."""
    before = {each.name: each.correction for each in finished.frames}
    names = {i: Ingredient.of(exposure).name for i, exposure in exposures.items()}
    return {i: replace(before[name], frame_id=i) for i, name in names.items() if name in before}


def held_matching(
    matched: MatchResult,
    finished: Finished,
    exposures: Mapping[int, Exposure],
    recipe: Recipe,
    settings: Settings,
    groups: Sequence[Group],
) -> tuple[MatchResult, int]:
    """The corrections held to those of the mosaic that was finished before (`imaging.gauge`), and how many frames found its sky.

    The steps between panels are those that the held corrections leave.

    Panels are held against each other only while there are few new frames: many more find a better sky than was there.
    """
    method = settings.stacking_normalize_method
    before = {each.name: each for each in finished.frames}
    names = {Ingredient.of(exposure).name: i for i, exposure in exposures.items()}
    common = {name: exposures[i] for name, i in measured_alike(finished, exposures).items()}
    if method == "none" or not common:
        return matched, len(exposures)
    closely = len(exposures) <= HELD * finished.solved
    now = {n: Look(exposures[i].solution, exposures[i].correction, *_pixels(exposures[i])) for n, i in names.items()}
    then = {n: Look(before[n].solution, before[n].correction, *_pixels(e)) for n, e in common.items()}
    how = How(recipe.feather, equal=False)  # the noise is looked at
    corrections, factor = held(then, now, finished.grid, how, tilted=method == "linear_fit", closely=closely)
    brighter = factor[1 if len(factor) == 3 else 0]
    kept = any(
        replace(corrections[n], frame_id=-1) == before[n].correction for n in common
    )  # through the second iteration
    result = replace(
        matched,
        corrections={names[name]: correction for name, correction in corrections.items()},
        sky_level=finished.level,
        overlaps=_held_overlaps(
            matched.overlaps, now, corrections, groups, matched.sets, names, finished.grid, how, factor
        ),
        zero_point=matched.zero_point + 2.5 * math.log10(brighter),
        basis=None if kept else matched.basis,
    )
    return result, finished.solved if kept else len(exposures)


def _held_overlaps(
    overlaps: Sequence[Overlap],
    now: Mapping[str, Look],
    corrections: Mapping[str, Correction],
    groups: Sequence[Group],
    sets: Mapping[int, str],
    names: Mapping[str, int],
    grid: Grid,
    how: How,
    factor: Sequence[float],
) -> tuple[Overlap, ...]:
    """Steps in the unit of the held corrections, with what these change; errors and ripples are those of today's equations."""
    known, called = {group.id: group for group in groups}, {i: name for name, i in names.items()}
    sides = [sides_of(overlap, known, sets) for overlap in overlaps]
    number = {side: k for k, side in enumerate(dict.fromkeys(chain.from_iterable(sides)))}
    members = {k: [called[i] for i in side if i in called] for side, k in number.items()}
    held_looks = {n: replace(look, correction=corrections[n]) for n, look in now.items()}
    pairs = [(number[one], number[other]) for one, other in sides]
    steps = stepped(now, held_looks, members, pairs, grid, how) if pairs else []
    return tuple(
        replace(o, difference=tuple((np.array(o.difference) * factor + step).tolist()))
        for o, step in zip(overlaps, steps, strict=True)
    )


def _pixels(exposure: Exposure) -> tuple[tuple[float, ...], tuple[int, int]]:
    return exposure.white_sigma, exposure.shape


def weighted_by_hand(
    matched: MatchResult, frames: Sequence[Frame], settings: Settings
) -> tuple[MatchResult, tuple[str, ...]]:
    """The corrections with the user's own weights of files, and the patterns that fit none."""
    given = weights_by_pattern(settings.file_weights)
    weights = dict(reversed(given))  # of a pattern that is given twice, and of several that fit, the first counts
    known, factors, busy = Patterns(pattern for pattern, _ in given), dict[int, float](), set[str]()
    for f in frames:
        if found := known.of(str(f.path)):
            factors[f.id] = weights[min(found, key=known.all.index)]
            busy.update(found)
    idle = [pattern for pattern, _ in given if pattern not in busy]
    corrections = {i: replace(c, weight=c.weight * factors.get(i, 1.0)) for i, c in matched.corrections.items()}
    return replace(matched, corrections=corrections), tuple(idle)


def output_format(settings: Settings) -> Format:
    """How the files of a mosaic lie on the disk."""
    return Format(
        interleaved=settings.axis_order == "interleaved",
        planes=settings.fits_layout == "planes",
        integer=settings.save_final_as_uint16,
        zero=settings.no_data == "zero",
        packed=settings.fits_compression,
    )


def pictures(settings: Settings) -> Pictures:
    """What pictures of a mosaic there are, and how they look."""
    return Pictures(
        style=Style(linked=settings.picture_stretch == "linked", star_white=settings.picture_colour == "stars"),
        flat=settings.picture_gradient,
        clear=settings.picture_no_data == "transparent",
        tiff=settings.picture_tiff,
        jpeg=settings.picture_jpeg,
        zoom=settings.picture_zoom,
        hips=settings.picture_hips,
    )


def check_extras(settings: Settings) -> None:
    """Raises SettingsError when pictures are asked for whose library is not there."""
    if settings.picture_hips != "none" and not has_healpix():
        raise SettingsError('picture_hips: HiPS needs astropy-healpix; pip install "zemosaic[hips]"')


def layout_told(
    settings: Settings, grid: Grid, frames: Sequence[Frame], solutions: Mapping[int, Solution]
) -> Iterator[str]:
    """What the program chose of a mosaic's pixels, and what a window leaves out, of frames that know where they are."""
    if settings.output_projection == "auto" and grid.projection != "TAN":
        yield f"so wide a mosaic is laid out in {grid.projection} (output_projection)"
    natural = natural_scale(frames, solutions)
    if not settings.output_scale and 3600.0 * grid.scale < (1.0 - OTHER_SCALE) * natural:
        yield (
            f"{grid.projection} crowds the sky here: pixels are {3600.0 * grid.scale:.2f} arcsec, where those of the subs "
            f"are {natural:.2f}"
        )
    if geometry.angle(settings.output_rotation) is None and abs(grid.rotation) >= 0.05:
        yield f"along the subs the picture is turned by {grid.rotation:+.1f} degrees (output_rotation)"
    if settings.output_size:
        seen, there = share_inside(frames, solutions, grid), reaching(frames, solutions, grid)
        yield (
            f"the window of output_center and output_size holds {100.0 * seen:.0f} % of what the subs saw; "
            f"{len(frames) - len(there)} of {len(frames)} subs lie outside of it"
        )


def side_by_side(settings: Settings) -> SideBySide | None:
    """Where samples lie side by side; None: nowhere.

    Raises SettingsError when the median of running means is asked for.
    """
    if lacks_side_by_side(settings):
        raise SettingsError(
            "stacking_final_combine_method = median needs all samples of a pixel side by side: choose "
            "final_assembly_method = reproject_coadd, or mean"
        )
    if settings.final_assembly_method == "incremental":
        return None
    needed = settings.stacking_final_combine_method == "median"
    return SideBySide(settings.max_raw_per_master_tile, not settings.auto_limit_frames_per_master_tile, needed)


def median(values: Iterable[float]) -> float:
    """Median of the known values; NaN when none is known."""
    known = [value for value in values if value == value]
    return statistics.median(known) if known else math.nan


def line_mixes(
    frames: Sequence[Frame], measurements: Mapping[int, Measurement], corrections: Mapping[int, Correction],
    level: tuple[float, ...],
) -> tuple[LineMix, ...]:  # fmt: skip
    """H-alpha and OIII of a mosaic of three planes, calibrated by the stars of its frames."""
    used = [f for f in frames if f.id in corrections]
    columns = np.concatenate([_green_and_blue(measurements[f.id], corrections[f.id]) for f in used], axis=1)
    information = [0.0, 0.0]
    for f in used:
        gain, sigma = corrections[f.id].gain, measurements[f.id].sigma
        for k, share in ((0, 0.5), (1, 0.25)):  # of the pixels
            information[k] += share * (gain[k + 1] / sigma[k + 1]) ** 2
    ratio, stars = flux_ratio(*columns)
    return hydrogen(), oxygen(ratio, stars, (information[0], information[1]), (level[1], level[2]))


def _green_and_blue(measurement: Measurement, correction: Correction) -> NDArray[np.float64]:
    """(4, n) of the clean stars of a frame: green and blue light on the mosaic's scale, and their errors."""
    stars = load_stars(measurement.path)
    clean = ~(stars.saturated | stars.blended)
    gain = np.array(correction.gain[1:])
    return np.concatenate([stars.flux[clean, 1:] / gain, stars.flux_err[clean, 1:] / gain], axis=1).T


def unlike_profiles(
    frames: Sequence[Frame], measurements: Mapping[int, Measurement], solutions: Mapping[int, Solution]
) -> dict[int, float]:
    """Share of a star's light by which each frame may differ from a mosaic of several telescopes, by frame id.

    The stars of an S30 are 1.7 times as wide as those of an S50. A model of such stars has less light in a core, in proportion to
    the square, and one of sharper stars more; without this, an S50 among S30 lost a fifth of its starlight to the rejection.
    """
    widths = defaultdict(list)
    for f in frames:
        if math.isfinite(width := measurements[f.id].fwhm * pixel_scale(solutions[f.id])):
            widths[f.instrument].append(width)
    own = {name: statistics.median(each) for name, each in widths.items()}
    if len(own) < 2:
        return {f.id: 0.0 for f in frames}
    widest, narrowest = max(own.values()), min(own.values())
    result = {}
    for f in frames:
        width = own.get(f.instrument, widest)
        apart = max((widest / width) ** 2 - 1.0, 1.0 - (narrowest / width) ** 2)
        result[f.id] = max(apart - SEEING, 0.0) / KAPPA
    return result


def as_kept(verdict: Verdict) -> BlocksKept:
    """What is told of the blocks that stay."""
    b = verdict.blocks
    return BlocksKept(
        b[Fate.KEPT], sum(b.values()), b[Fate.FRAMES], b[Fate.MOVED], b[Fate.SENSOR], b[Fate.ABSENT],
        max(verdict.kept, verdict.moved),
    )  # fmt: skip


def as_assembled(result: Result) -> Assembled:
    """What is told of an assembly."""
    total = sum(r.total for r in result.rejected)
    share = sum(r.pixels for r in result.rejected) / total if total else 0.0
    return Assembled(len(result.mosaic.frames), 100.0 * share, sum(r.streaks > 0 for r in result.rejected))

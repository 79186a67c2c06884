"""How true the astrometry is: nights of several cameras in rich, poor and dark fields, their headers wrong by a degree.

    python benchmarks/astrometry.py WORK_FOLDER [--subs 40] [--only "S50,Taurus cloud"] [--catalogue-error 0.1] [--jitter 0]

Star lists are made from the truth of simulated nights (`zemosaic.simulate.lists`), solved by the real phase and compared
with the truth over whole frames. `--rendered` makes real frames instead and measures them (10 s a frame of an S50).
Prints a markdown table for `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from astropy.io.fits import Header

from zemosaic.catalogue import load_catalogue
from zemosaic.events import Silent
from zemosaic.fits_writer import write_fits
from zemosaic.imaging.projection import tan_deproject
from zemosaic.model import Frame, FrameKind, Measurement, SkyMesh, Solution
from zemosaic.phases.measure import MeasureTask, measure_one
from zemosaic.phases.solve import SolveResult, solve
from zemosaic.score.astrometry import solution_errors
from zemosaic.simulate import NightPlan, Truth
from zemosaic.simulate.camera import raw_frame
from zemosaic.simulate.lists import star_list
from zemosaic.simulate.night import imagine
from zemosaic.tables import save_measurement

CAMERAS: dict[str, dict[str, object]] = {
    "S50": {"width": 1080, "height": 1920, "scale": 2.374},
    "S30": {"width": 1080, "height": 1920, "scale": 3.99, "zero_point": 21.1},
    "S30 Pro": {"width": 2160, "height": 3840, "scale": 3.74, "zero_point": 21.1},
    "Dwarf 3": {"width": 3856, "height": 2180, "scale": 2.75, "bayer": "RGGB", "zero_point": 21.4},
}
FIELDS: dict[str, dict[str, object]] = {
    "galactic pole": {"ra": 192.86, "dec": 27.13, "star_density": 500.0},
    "Cygnus": {"ra": 312.75, "dec": 44.2, "star_density": 4000.0},
    "Taurus cloud": {"ra": 67.0, "dec": 27.0, "star_density": 300.0},
}
OFF = 1.0  # deg, headers from the truth
REFRACTION = 2.9e-4  # compression along the vertical 1 + tan^2 z, along the horizon 1
HEIGHTS = (70.0, 35.0)  # deg above the horizon, first and second half of the subs
ZENITH = (-40.0, 35.0)  # deg, its direction from north then
FOCUS = 1e-3  # relative: scale of the second half over the first
LATER = timedelta(hours=3)  # the second half
GOALS = (0.05, 0.05, 0.08, 0.25)  # px between two frames, px from a frame to the others, arcsec median, p95


@dataclass(frozen=True)
class Case:
    """A night and what its headers say."""

    truth: Truth
    frames: tuple[Frame, ...]


def make_case(plan: NightPlan, folder: Path, jitter: float) -> Case:
    """Two spells under real air, the second hours later: fields are squeezed towards the horizon, focus moves the scale.

    jitter : relative, rms of the scale from sub to sub.
    """
    truth = imagine(plan, load_catalogue())
    rng = np.random.default_rng([plan.seed, 9])
    subs = tuple(
        replace(sub, solution=_through_air(sub.solution, int(2 * k >= plan.subs), jitter * rng.standard_normal()))
        for k, sub in enumerate(truth.subs)
    )
    truth = replace(truth, subs=subs)
    wrong = {panel: rng.uniform(0.0, 2.0 * math.pi) for panel in range(plan.panels_x * plan.panels_y)}
    centre = {sub.panel: (sub.solution.ra, sub.solution.dec) for sub in reversed(subs)}
    frames = []
    for number, sub in enumerate(subs):
        xi, eta = OFF * math.sin(wrong[sub.panel]), OFF * math.cos(wrong[sub.panel])
        ra, dec = tan_deproject(xi, eta, *centre[sub.panel])
        frame = _frame(plan, number, folder / sub.name, truth.instruments[sub.instrument].serial, ra, dec)
        later = LATER * int(2 * number >= plan.subs)
        frames.append(replace(frame, date_obs=(datetime.fromisoformat(sub.date_obs) + later).isoformat()))
    return Case(truth, tuple(frames))


def _through_air(solution: Solution, spell: int, focus: float) -> Solution:
    """The same pointing with its field compressed towards the zenith."""
    height, way = math.radians(HEIGHTS[spell]), math.radians(ZENITH[spell])
    up = np.array([math.sin(way), math.cos(way)])
    # the sky looks smaller on the sensor: a pixel holds more of it
    stretch = np.eye(2) * (1.0 + REFRACTION + FOCUS * spell + focus)
    stretch += REFRACTION / math.tan(height) ** 2 * np.outer(up, up)
    cd = stretch @ np.reshape(solution.cd, (2, 2))
    return replace(solution, cd=tuple(float(value) for value in cd.ravel()))


def _frame(plan: NightPlan, number: int, path: Path, instrument: str, ra: float, dec: float) -> Frame:
    return Frame(
        id=number, path=path, size=1, mtime_ns=1, digest=f"{number:016x}", kind=FrameKind.BAYER, width=plan.width,
        height=plan.height, bayer=plan.bayer, instrument=instrument, camera="", telescope="", target="", filter="",
        exposure=plan.exposure, gain=80.0, temperature=20.0, date_obs="", ra=float(ra), dec=float(dec),
        scale=1.008 * plan.scale, saturation=65535.0,
    )  # fmt: skip


def listed(case: Case, folder: Path) -> list[Measurement]:
    """Measurement files with star lists made from the truth."""
    nothing = SkyMesh(np.zeros((1, 1, 3), np.float32), 64)
    measurements = []
    for frame, sub in zip(case.frames, case.truth.subs, strict=True):
        stars = star_list(case.truth, sub, np.random.default_rng([case.truth.plan.seed, 8, frame.id]))
        path = folder / f"{frame.digest}.npz"
        save_measurement(path, stars, nothing)
        measurements.append(Measurement(frame.id, path, (0.0,) * 3, (1.0,) * 3, sub.fwhm, 1.1, len(stars), 0.0))
    return measurements


def rendered(case: Case, folder: Path) -> list[Measurement]:
    """Real frames of the same truth, measured; each is deleted again."""
    measurements = []
    for frame, sub in zip(case.frames, case.truth.subs, strict=True):
        data = raw_frame(case.truth, sub, np.random.default_rng([case.truth.plan.seed, 1, frame.id]))
        write_fits(frame.path, Header(), data.shape, [data], np.uint16)
        found = measure_one(MeasureTask(frame, folder / f"{frame.digest}.npz"))
        if isinstance(found, Measurement):
            measurements.append(found)
        frame.path.unlink()
    return measurements


def solved(case: Case, measurements: Sequence[Measurement]) -> SolveResult:
    """What the phase makes of it, with the default search radius."""
    with ThreadPoolExecutor(1) as executor:
        return solve(case.frames, measurements, method="auto", search_radius=1.5, executor=executor, reporter=Silent())


def row(name: str, case: Case, measurements: Sequence[Measurement]) -> str:
    """One line of the table; what misses its goal is bold."""
    began = time.process_time()
    result = solved(case, measurements)
    seconds = time.process_time() - began
    found = [frame for frame in case.frames if frame.id in result.solutions]
    errors = solution_errors(
        [result.solutions[frame.id] for frame in found],
        [case.truth.subs[frame.id].solution for frame in found],
        [(frame.height, frame.width) for frame in found],
    )
    stars = sorted(measurement.n_stars for measurement in measurements)
    solvers = sorted({solution.solver for solution in result.solutions.values()})
    figures = (errors.relative, errors.to_ensemble, errors.median, errors.p95)
    shown = [f"{v:.3f}" if v <= goal else f"**{v:.3f}**" for v, goal in zip(figures, GOALS, strict=True)]
    how = f"{', '.join(solvers)} | {len(found)} of {len(case.frames)} | {errors.false}"
    return f"| {name} | {stars[len(stars) // 2]} | {how} | {' | '.join(shown)} | {seconds / len(case.frames):.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--subs", type=int, default=40)
    parser.add_argument("--only", default="", help="cameras and fields, separated by commas")
    parser.add_argument("--catalogue-error", type=float, default=0.1, help="arcsec per axis")
    parser.add_argument(
        "--jitter", type=float, default=5e-5, help="of the scale from sub to sub; at most 7e-5 on real subs"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rendered", action="store_true", help="real frames, measured, instead of star lists")
    given = parser.parse_args()
    wanted = set(filter(None, given.only.split(",")))
    print(
        "| camera | field | mirrored | stars | solved by | solved | false | two frames | to the others | median | p95 | s a sub |"
    )
    print("|---|---|---|---:|---|---|---:|---:|---:|---:|---:|---:|")
    for camera, optics in CAMERAS.items():
        for field, sky in FIELDS.items():
            if any(wanted & set(names) and not wanted & {name} for names, name in ((CAMERAS, camera), (FIELDS, field))):
                continue
            for mirrored in (True, False):
                other = {"subs": given.subs, "catalogue_error": given.catalogue_error, "seed": given.seed}
                plan = NightPlan(mirrored=mirrored, **(optics | sky | other))  # type: ignore[arg-type]
                folder = given.work / "astrometry"
                folder.mkdir(parents=True)
                case = make_case(plan, folder, given.jitter)
                measurements = (rendered if given.rendered else listed)(case, folder)
                print(row(f"{camera} | {field} | {'yes' if mirrored else 'no'}", case, measurements), flush=True)
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()

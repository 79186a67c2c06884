"""How long each plate solver takes and how far each is from the truth, on simulated fields and on real subs.

    python benchmarks/solving.py WORK_FOLDER [--real FOLDER] [--subs 4] [--database DIR]

Simulated Seestar S50 subs with 1.5 px of distortion in the corners, position in the header 0.5 degrees off. Without a
database of ASTAP the built-in catalogue is written as one. Prints a markdown table for `docs/solving.md`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zemosaic.astap_database import LAYOUTS, write_astap_database
from zemosaic.catalogue import load_catalogue
from zemosaic.errors import FrameError
from zemosaic.events import Silent
from zemosaic.execution import open_executor
from zemosaic.imaging.projection import angular_separation, pixel_to_sky, tan_deproject
from zemosaic.model import Frame, Solution, Stars
from zemosaic.phases.measure import MeasureTask, measure_one
from zemosaic.phases.scan import scan
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, simulate_night
from zemosaic.solvers import Solver, frame_hint
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.solvers.external import external_solvers, find_external
from zemosaic.tables import load_stars

FIELDS = {
    "Cygnus": (312.75, 44.2),
    "galactic pole": (192.86, 27.13),
    "RA 0h": (0.0, 20.0),
    "declination +88": (40.0, 88.0),
}
OFF = 0.5  # deg


@dataclass(frozen=True)
class Sub:
    frame: Frame
    stars: Stars


def subs_of(folder: Path, work: Path) -> Iterator[Sub]:
    """Lights of a folder, scanned and measured."""
    work.mkdir(parents=True, exist_ok=True)
    for frame in scan([folder], work / "no-output", Silent()).frames:
        path = work / f"{frame.digest}.npz"
        measure_one(MeasureTask(frame, path))
        yield Sub(frame, load_stars(path))


def moved(sub: Sub) -> Sub:
    """The same with its header's position `OFF` degrees away."""
    ra, dec = tan_deproject(0.6 * OFF, 0.8 * OFF, sub.frame.ra, sub.frame.dec)
    return replace(sub, frame=replace(sub.frame, ra=float(ra), dec=float(dec)))


def apart(a: Solution, b: Solution, frame: Frame) -> float:
    """Largest distance, arcsec, of two solutions over centre and corners."""
    x = np.array([0.0, frame.width - 1.0, 0.0, frame.width - 1.0, 0.5 * frame.width])
    y = np.array([0.0, 0.0, frame.height - 1.0, frame.height - 1.0, 0.5 * frame.height])
    return 3600.0 * float(np.max(angular_separation(*pixel_to_sky(a, x, y), *pixel_to_sky(b, x, y))))


def row(name: str, solver: Solver, subs: list[Sub]) -> str:
    """One line of the table."""
    reference, seconds, distances = CatalogueSolver(), [], []
    for sub in subs:
        hint = frame_hint(sub.frame, 1.5)
        began = time.perf_counter()
        try:
            solution = solver.solve(sub.stars, sub.frame, hint)
        except FrameError:
            seconds.append(time.perf_counter() - began)
            continue
        seconds.append(time.perf_counter() - began)
        distances.append(apart(solution, reference.solve(sub.stars, sub.frame, hint), sub.frame))
    agreement = f'{max(distances):.3f}"' if distances else "-"
    time_taken = f"{statistics.median(seconds):.3f} s | {max(seconds):.2f} s"
    return f"| {name} | {solver.name} | {len(distances)} of {len(subs)} | {time_taken} | {agreement} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--real", type=Path, help="folder of folders of real subs")
    parser.add_argument("--subs", type=int, default=4, help="simulated subs per field")
    parser.add_argument("--database", type=Path, help="star database of ASTAP")
    given = parser.parse_args()
    work = given.work.absolute()
    database = given.database or work / "database"
    if not given.database:
        write_astap_database(load_catalogue(), database, LAYOUTS["1476"])
    external, notes = find_external(Settings(astap_data_directory_path=str(database)), work / "scratch")
    solvers = [CatalogueSolver(), *external_solvers(external)]
    print(*notes, "| field | solver | solved | median | longest | from the built-in solution |", sep="\n")
    print("|---|---|---|---|---|---|")
    warm_up = True
    for name, subs in _sets(work, given.subs, given.real):
        for solver in solvers:
            if warm_up:
                row(name, solver, subs[:1])
            print(row(name, solver, subs), flush=True)
        warm_up = False


def _sets(work: Path, n: int, real: Path | None) -> Iterator[tuple[str, list[Sub]]]:
    for name, (ra, dec) in FIELDS.items():
        night = work / name.replace(" ", "-")
        plan = NightPlan(ra=ra, dec=dec, panels_x=1, panels_y=1, subs=n)
        with open_executor(2) as executor:
            made = simulate_night(night, plan, Silent(), executor)
        yield f"simulated, {name}", [moved(sub) for sub in subs_of(made.lights, night / "measured")]
    for folder in sorted(real.iterdir()) if real else ():
        if folder.is_dir():
            yield f"real, {folder.name}", list(subs_of(folder, work / "measured"))


if __name__ == "__main__":
    main()

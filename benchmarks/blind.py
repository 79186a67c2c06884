"""Blind solving over the whole sky: share solved, false ones and time by size of field, on generated star lists.

python benchmarks/blind.py 60 [300]

A fifth of the catalogue stars is missing, a third of the bright detections is spurious; any turn, both parities. By the
number of true matches a field holds. With a second number, so many lists that are nowhere on the sky are looked for too.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from star_lists import corner_error, frame_at, seen, solution_at, stars_from
from zemosaic.catalogue import load_catalogue
from zemosaic.errors import FrameError
from zemosaic.imaging.projection import sky_to_pixel
from zemosaic.imaging.verification import match_nearest
from zemosaic.solvers import frame_hint
from zemosaic.solvers.blind import BlindSolver, index_folder, load_index, make_index

FIELDS = (
    (0.7, (1080, 1920)),
    (0.7, (1920, 1920)),
    (1.27, (1920, 1080)),  # Seestar S50
    (2.5, (2160, 3840)),
    (5.0, (3000, 4000)),
)  # deg, long side; px
MATCHES = ((0, 6), (7, 7), (8, 9), (10, 14), (15, 19), (20, 10**9))  # classes of true matches
NEAR = 2.0  # px, a true match
SKIES = 2000  # random fields for the shares of the sky


@dataclass(frozen=True)
class Trial:
    """One field of a known place."""

    matches: int  # true ones, of its brighter detections
    found: bool
    false: bool
    seconds: float  # of the processor


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    nowhere = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    _open_index()
    for degrees, shape in FIELDS:
        for known in (False, True):
            rng = np.random.default_rng(5)
            done = [_trial(rng, degrees, shape, known) for _ in range(trials)]
            print(
                f"{degrees} degrees, {shape[1]} x {shape[0]}, {'scale known' if known else 'scale unknown'}:",
                _told(done),
            )
            for low, high in MATCHES:
                part = [one for one in done if low <= one.matches <= high]
                if part:
                    print(f"    {low} to {high} matches:", _told(part), flush=True)
        print("    share of the sky with so many catalogue stars:", _sky_shares(degrees, shape), flush=True)
    _nowhere(nowhere)


def _open_index() -> None:
    folder = index_folder()
    if not folder.is_dir():
        start = time.perf_counter()
        make_index(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        print(f"index of {size:.0f} MB made in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    load_index()
    print(f"index opened in {time.perf_counter() - start:.3f} s")
    print(
        "first junk frame, kernels and all:",
        _look_for(stars_from(*np.random.default_rng(0).uniform(1, 1000, (3, 60))))[1],
    )


def _look_for(stars, shape=(1080, 1920), scale=math.nan):
    """The solution or None, and the seconds of the processor."""
    frame = replace(frame_at(shape=shape), scale=scale)
    start = time.process_time()
    try:
        found = BlindSolver().solve(stars, frame, frame_hint(frame, 1.5))
    except FrameError:
        found = None
    return found, time.process_time() - start


def _anywhere(rng, degrees, shape):
    ra, dec = rng.uniform(0.0, 360.0), math.degrees(math.asin(rng.uniform(-1.0, 1.0)))
    scale, sign = 3600.0 * degrees / max(shape), rng.choice([-1, 1])
    return solution_at(ra, dec, scale=scale, turn=rng.uniform(0, 6.28), parity=sign, shape=shape)


def _stars_on(true, shape, reach):
    """Pixel positions of the catalogue stars on a frame."""
    sky = load_catalogue().cone(true.ra, true.dec, reach)
    x, y = sky_to_pixel(true, sky.ra, sky.dec)
    inside = (x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1)
    return x[inside], y[inside]


def _trial(rng, degrees, shape, known) -> Trial:
    true = _anywhere(rng, degrees, shape)
    stars = seen(rng, true, shape=shape, faint=int(rng.choice([20, 80, 400])))
    x, y = _stars_on(true, shape, 0.8 * degrees)
    matches = len(match_nearest(stars.x[: 3 * len(x) + 20], stars.y[: 3 * len(x) + 20], x, y, NEAR)[0])
    scale = 3600.0 * degrees / max(shape) * rng.uniform(0.98, 1.02)
    found, seconds = _look_for(stars, shape, scale if known else math.nan)
    right = found is not None and corner_error(found, true, shape) < 6.0
    return Trial(matches, right, found is not None and not right, seconds)


def _told(done: list[Trial]) -> str:
    seconds = [one.seconds for one in done]
    return (
        f"{sum(one.found for one in done)} of {len(done)} solved, {sum(one.false for one in done)} false; "
        f"median {np.median(seconds):.2f} s, p95 {np.percentile(seconds, 95):.1f} s, longest {max(seconds):.1f} s"
    )


def _sky_shares(degrees, shape) -> str:
    """Shares of the sky below certain numbers of catalogue stars a field."""
    rng = np.random.default_rng(6)
    counts = np.array([len(_stars_on(_anywhere(rng, degrees, shape), shape, 0.8 * degrees)[0]) for _ in range(SKIES)])
    return ", ".join(f"< {n}: {100.0 * np.mean(counts < n):.1f} %" for n in (6, 8, 10, 12, 15, 20))


def _nowhere(number: int) -> None:
    """Star lists that are nowhere: coordinates of a real field shuffled, or stretched by a tenth in one direction."""
    rng = np.random.default_rng(7)
    false, times = 0, []
    for k in range(number):
        degrees, shape = FIELDS[k % len(FIELDS)]
        stars = seen(rng, _anywhere(rng, degrees, shape), shape=shape, faint=int(rng.choice([20, 80, 400])))
        y = rng.permutation(stars.y) if k % 2 else 0.9 * stars.y
        found, seconds = _look_for(stars_from(stars.x, y, stars.flux[:, 0]), shape)
        false += found is not None
        times.append(seconds)
        if (k + 1) % 50 == 0 or k + 1 == number:
            text = f"median {np.median(times):.1f} s, p95 {np.percentile(times, 95):.1f} s, longest {max(times):.1f} s"
            print(f"nowhere: {false} of {k + 1} false; {text}", flush=True)


if __name__ == "__main__":
    main()

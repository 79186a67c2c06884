"""A simulated night of smart-telescope subs, with its truth: for the demo, the tests and the benchmarks.

plan.py     what to simulate: NightPlan
sky.py      stars and nebula on the sky
camera.py   what a sensor makes of them: one raw frame
calibration.py  darks, biases and flats of the same sensors
night.py    pointing, weather and accidents of every sub; headers; simulate_night()
truth.py    the truth file: everything that the raw frames were made from
"""

from __future__ import annotations

from zemosaic.simulate.night import Night, simulate_night
from zemosaic.simulate.plan import NightPlan
from zemosaic.simulate.truth import Truth, load_truth

__all__ = ["Night", "NightPlan", "Truth", "load_truth", "simulate_night"]

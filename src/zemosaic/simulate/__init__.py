"""A simulated night of smart-telescope subs, with its truth: for the demo, the tests and the benchmarks.

plan.py     what to simulate: NightPlan
sky.py      stars and nebula on the sky
camera.py   what a sensor makes of them: one raw frame
calibration.py  darks, biases and flats of the same sensors
night.py    pointing, weather and accidents of every sub; headers; simulate_night()
truth.py    the truth file: everything that the raw frames were made from

What is named here is loaded when it is first asked for: the command line needs only NightPlan to tell of its flags.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zemosaic.simulate.night import Night, simulate_night
    from zemosaic.simulate.plan import NightPlan
    from zemosaic.simulate.truth import Truth, load_truth

__all__ = ["Night", "NightPlan", "Truth", "load_truth", "simulate_night"]

_PLACES = {"Night": "night", "simulate_night": "night", "NightPlan": "plan", "Truth": "truth", "load_truth": "truth"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)

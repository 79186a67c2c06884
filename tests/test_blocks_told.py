"""What a run tells those who show it: blocks as they are made, and a clock that stands while it is held."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from nights import FIELD, Recorder, assembled, pixels, simulated
from zemosaic.events import BlockMade, Note, Planned, Timed
from zemosaic.gui.pictures import Growing
from zemosaic.imaging.display import block_mean


def test_blocks_cover_the_mosaic_the_provisional_ones_first(tmp_path: Path) -> None:
    night, recorder = simulated(tmp_path / "night", FIELD), Recorder()
    outputs = assembled(night.lights, tmp_path / "out", recorder)
    told = [event for event in recorder.events if isinstance(event, BlockMade)]
    plan = next(outcome for outcome in recorder.outcomes if isinstance(outcome, Planned))
    kinds = [made.final for made in told]
    assert len(told) == 2 * plan.blocks and kinds == sorted(kinds)
    seen = np.zeros((plan.height, plan.width), int)
    for made in told[plan.blocks :]:
        assert (made.height, made.width) == seen.shape
        seen[made.y0 : made.y1, made.x0 : made.x1] += 1
    data = pixels(outputs.mosaic)
    there = np.isfinite(data).all(axis=0)
    assert seen.max() == 1 and seen[there].all()
    growing = Growing()
    assert growing.paint(400, 300) is None
    for made in (*told[plan.blocks :], *told[: plan.blocks]):  # provisional ones never cover final ones
        growing.add(made)
    shown = growing.paint(400, 300)
    assert shown is not None and shown.width <= 400 and shown.height <= 300 and shown.data.startswith(b"P6 ")
    small = growing._canvas[1]
    whole, _ = block_mean(data[1], np.ones(there.shape, np.float32), -(-max(there.shape) // max(small.shape)))
    same = np.isfinite(small) & np.isfinite(whole)
    assert np.allclose(small[same], whole[same], rtol=1e-4) and same.sum() > 0.95 * np.isfinite(whole).sum()


def test_the_clock_stands_while_a_run_is_held() -> None:
    class Slow:
        def __init__(self) -> None:
            self.said: list[object] = []

        def emit(self, event: object) -> None:
            self.said.append(event)

        def cancelled(self) -> bool:
            time.sleep(0.2)
            return True

    slow = Slow()
    timed = Timed(slow)
    began = timed.clock()
    timed.emit(Note("x"))
    assert timed.cancelled() and timed.held >= 0.2 and timed.clock() - began < 0.15 and slow.said == [Note("x")]

"""The phases on one page: scan, measure, solve, match, plan, assemble, export.

What looks at all frames is in `survey`, a mosaic of each target and filter in `mosaics`, the making of one in `picture`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from zemosaic.catalogue import load_catalogue
from zemosaic.errors import InputError
from zemosaic.events import Made, Reporter, RunFinished, Warned
from zemosaic.forecast import Pace
from zemosaic.ledger import Ledger
from zemosaic.model import Frame
from zemosaic.mosaics import Mosaics
from zemosaic.names import base_name
from zemosaic.phases.export import Outputs
from zemosaic.phases.plan import check_scale
from zemosaic.picture import Night
from zemosaic.quality import FrameQuality, frame_table
from zemosaic.recipes import check_extras, side_by_side
from zemosaic.report import report_path
from zemosaic.settings import Settings
from zemosaic.survey import PACE, Survey
from zemosaic.taken_over import done_before, is_final, keep_done, run_key
from zemosaic.workers import memory_of, open_workers
from zemosaic.written import Written

__all__ = ["MADE", "inspect_frames", "make_mosaic"]

MADE = "made"  # what the ledger calls the mosaics of the last run that came to its end


def make_mosaic(inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter) -> tuple[Outputs, ...]:
    """Make a mosaic of each target in `inputs` and write it, its companions and its preview into `output`.

    One target: the files lie in `output`; several: each in a folder of its own there. Several filters of a target: a
    mosaic each, all on the same pixels, with the filter in the names of the files. Inputs are only read. What is known
    about each frame is kept in a ledger under `output`, so that the same command goes on where an earlier run stopped.

    Raises
    ------
    MosaicError
        The run cannot go on: the input gives nothing to work with, the output cannot be written, a worker died
        twice on the same task, or the user asked to stop. When one of several targets fails, those that do not are
        finished first.
    """
    began = time.monotonic()
    with Ledger(output) as ledger:
        run = Mosaics(ledger, settings, reporter)
        side_by_side(settings)  # what cannot be combined is told before hours of work
        check_extras(settings)
        external = run.external()
        found = run.scan(inputs, output)
        key = run_key(found, settings, external)
        done = done_before(ledger, key)
        if done is not None:
            run.tell_again(done)
            reporter.emit(RunFinished(done.made, len(done.left_out), time.monotonic() - began))
            return done.outputs
        run.begin(found)
        frames, calibration = found.frames, found.calibration
        check_scale(frames, settings.output_scale)
        with open_workers(settings, ledger.workspace) as executor:
            memory = memory_of(settings, executor)
            masters = run.calibrate(frames, calibration, executor)
            measurements = run.measure(frames, masters, executor)
            solved = run.solve(frames, measurements, external, executor)
            night = Night(measurements, masters, solved, memory, executor, ledger.get(PACE, Pace))
            targets = run.targets(frames, solved.solutions)
            made, failed = run.mosaics(targets, night, output)
            run.warn_of_unplaced(frames, targets)
        told, outputs = (
            tuple(_told(name, each, frames, settings) for name, each in made),
            tuple(w.outputs for _, w in made),
        )
        ledger.put(MADE, told)
        whole = not failed and is_final(solved, external) and all(m.report or not settings.report for m in told)
        if whole:
            keep_done(ledger, key, told, outputs, run.left_out, run.heard.kept())
    if made:
        reporter.emit(RunFinished(told, len(run.left_out), time.monotonic() - began))
    if failed:
        raise InputError(f"no mosaic of {len(failed)} of {len(failed) + len(made)} targets: {'; '.join(failed)}")
    return outputs


def _told(name: str, made: Written, frames: Sequence[Frame], settings: Settings) -> Made:
    """What the edges are told of a mosaic."""
    o = made.outputs
    report = report_path(o.preview)
    written = report if settings.report and report.is_file() else None
    earlier = tuple(base_name(path) for path in made.earlier if path.is_file())
    used = set(made.used)
    objects = Counter(f.target for f in frames if f.target and f.id in used).most_common(1)
    return Made(
        name, o.mosaic, o.preview, len(used), written, o.coverage, o.weight, o.planes, earlier,
        objects[0][0] if objects else "", o.exposure, o.rejected, o.lines, o.thumbnail, o.tiff, o.jpeg, o.zoom, o.hips,
    )  # fmt: skip


def inspect_frames(
    inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter
) -> tuple[FrameQuality, ...]:
    """All files of the input with what a run finds out about them, without a mosaic: scanned, measured, solved, matched.

    Inputs are only read. What was measured is kept in the ledger under `output`, where a later run takes it over.

    Raises
    ------
    MosaicError
        As `make_mosaic`; frames that cannot be solved or matched are no error here.
    """
    with Ledger(output) as ledger:
        survey = Survey(ledger, settings, reporter)
        external = survey.external()
        found = survey.scan(inputs, output)
        survey.begin(found)
        frames, calibration = found.frames, found.calibration
        with open_workers(settings, ledger.workspace) as executor:
            masters = survey.calibrate(frames, calibration, executor)
            measurements = survey.measure(frames, masters, executor)
            try:
                solutions = survey.solve(frames, measurements, external, executor).solutions
                targets = survey.targets(frames, solutions)
            except InputError as error:  # the table says why
                reporter.emit(Warned(str(error)))
                solutions, targets = {}, ()
        matching = survey.matching(targets, measurements, solutions)
        survey.warn_of_unplaced(frames, targets)
        equal = settings.stacking_weighting_method == "none"
        return frame_table(ledger.rows(), matching, load_catalogue(), equal_weights=equal)

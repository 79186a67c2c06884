"""A run as the window knows it: its states, its ends in words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from zemosaic import errors
from zemosaic.events import (
    BlockMade,
    FrameLeftOut,
    Made,
    Note,
    PhaseProgress,
    PhaseStarted,
    RunFinished,
    SeamsGraded,
    Warned,
)
from zemosaic.gui.engine import Crashed, End, Failed, Finished, Held, Stopped
from zemosaic.gui.state import ENDS, LogLines, Run, Status, end_in_words
from zemosaic.messages import LANGUAGES, Messages
from zemosaic.model import FrameState, LeftOut

LOST = LeftOut(Path("a.fit"), FrameState.TRAILED, "elongation 2.1")


def test_pause_waits_for_the_engine_and_resume_goes_on() -> None:
    run = Run()
    assert not run.ask(Status.PAUSING) and not run.at_work
    run.begin()
    assert run.ask(Status.PAUSING) and not run.ask(Status.PAUSING)
    run.take(Held(True))
    assert run.status is Status.PAUSED and run.at_work
    assert run.ask(Status.RUNNING)
    run.take(Held(False))
    assert run.status is Status.RUNNING


def test_a_resume_before_the_engine_paused_is_no_pause() -> None:
    run = Run()
    run.begin()
    run.ask(Status.PAUSING)
    run.ask(Status.RUNNING)
    run.take(Held(True))
    assert run.status is Status.RUNNING


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (Finished(None), Status.DONE),
        (Stopped(), Status.STOPPED),
        (Failed("InputError", "no light"), Status.FAILED),
        (Crashed(-9), Status.CRASHED),
    ],
)
def test_the_end_is_the_true_one(end: End, status: Status) -> None:
    for asked in (None, Status.STOPPING):  # what was asked for does not decide
        run = Run()
        run.begin()
        if asked:
            run.ask(asked)
        run.take(end)
        assert run.status is status and run.status in ENDS and not run.at_work
        assert not run.ask(Status.STOPPING)


def test_what_a_run_says_is_kept_apart() -> None:
    run, made = Run(), (Made("", Path("m.fits"), Path("p.png"), 2),)
    block = BlockMade(Path("data"), 10, 10, 0, 5, 0, 5, final=True)
    grade = SeamsGraded("A", 0.0, 0, 1, 1, 1.0, ())
    for each in (Note("x"), PhaseStarted("scan", 1), PhaseProgress("scan", 1, 1), block, FrameLeftOut(LOST), grade):
        run.take(each)
    run.take(RunFinished(made, 1, 5.0))
    assert run.made == made and run.left_out == [LOST] and run.grades == {"": grade}
    assert [type(each).__name__ for each in run.said] == [
        "Note", "PhaseStarted", "FrameLeftOut", "SeamsGraded", "RunFinished",
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_of_the_log_have_levels(language: str) -> None:
    lines = LogLines(language).lines([Note("x"), FrameLeftOut(LOST), Warned("few stars"), PhaseProgress("scan", 1, 2)])
    assert [line.level for line in lines] == ["note", "left_out", "warning"]
    assert "elongation 2.1" in lines[1].text and Messages(language).word("state", "trailed") in lines[1].text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_end_is_told_with_what_to_do(language: str) -> None:
    say = Messages(language)
    ends: list[End] = [
        Finished(None),
        Stopped(),
        Failed("memory", ""),
        Failed("unexpected", "ValueError: x", Path("z.log")),
    ]
    ends += [Failed(name, "some words") for name in errors.__all__]
    ends += [Crashed(-signal.SIGKILL), Crashed(-signal.SIGSEGV), Crashed(1), Crashed(None)]
    texts = [end_in_words(end, say) for end in ends]
    assert all(text and "{" not in text and "gui." not in text for text in texts)
    assert "z.log" in texts[3]
    assert texts[-4] != texts[-3] and ("memory" in texts[-4] or "mémoire" in texts[-4])

"""Events as sentences in the user's language."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from zemosaic import events
from zemosaic.events import Event
from zemosaic.messages import Messages, sentence

__all__ = ["SERIOUS", "Sentences"]

SERIOUS = events.Warned | events.ManyLeftOut | events.FrameLeftOut | events.StrayTarget | events.TargetFailed

LEFT_OUT_LINES = 10  # frames that are named where there is a log, which names all


class Sentences:
    """Says what happened; counts frames that are left out by state.

    log : where all of them are named, if somewhere else
    """

    def __init__(self, messages: Messages, log: Path | None) -> None:
        self.messages = messages
        self._log = log
        self._left_out: Counter[str] = Counter()
        self._unit = ""
        self._headlines: list[str] = []  # warnings that the summary begins with
        self._bad_seams: dict[str, str] = {}  # likewise, of each mosaic

    def phase(self, name: str) -> str:
        return self.messages.word("phase", name)

    def unit(self) -> str:
        return self.messages.word("unit", self._unit)

    def outcome(self, outcome: events.Outcome) -> str:
        """The figures of a phase in one sentence; another one where a figure is unknown (NaN)."""
        figures = vars(outcome)
        unknown = any(value != value for value in figures.values())
        return self.messages(f"outcome.{type(outcome).__name__}" + (".unknown" if unknown else ""), **figures)

    def line(self, event: Event) -> str | None:
        """The text of an event, None where nothing is to be said."""
        match event:
            case events.PhaseStarted():
                return self._phase_started(event)
            case events.PhaseFinished():
                return self._phase_finished(event)
            case events.ManyLeftOut():
                return self._many_left_out(event)
            case events.SeamsGraded():
                return self._seams(event)
            case events.Vignetting():
                return self._vignetting(event)
            case events.SkiesCurved():
                key = "event.SkiesCurved" + ("" if event.curvature > 0.0 else ".asked")
                return self.messages(key, curvature=event.curvature)
            case events.MasterUsed():
                key = "event.MasterUsed" + (f".{event.note}" if event.note else "")
                return self.messages(key, what=event.what, lights=event.lights, file=event.file)
            case events.SensorLearnt():
                key = "event.SensorLearnt" + (".bad" if round(event.pattern) == 0 else "")
                return self.messages(key, **vars(event))
            case events.FrameLeftOut():
                return self._left_out_line(event)
            case events.TargetsFound():
                return self._targets_found(event)
            case events.StrayTarget():
                return self._target("event.StrayTarget", event.target, lights=event.lights)
            case events.FiltersFound():
                parts = ", ".join(f"{name} ({frames})" for name, frames in event.filters)
                return self.messages("event.FiltersFound", count=len(event.filters), filters=parts)
            case events.TargetStarted():
                return self._target("event.TargetStarted", event.target, number=event.number, of=event.of)
            case events.TargetFailed():
                return self._target("event.TargetFailed", event.target, reason=sentence(event.reason, self.messages))
            case events.Forecast():
                return self._forecast(event)
            case events.BlocksKept():
                return self._kept(event)
            case events.Outturn():
                return self._outturn(event)
            case events.Note():
                return self.messages("event.Note", text=sentence(event.text, self.messages))
            case events.Warned():
                return self.messages("event.Warned", text=sentence(event.text, self.messages))
            case events.RunFinished():
                return self._finished(event)
            case events.PhaseProgress() | events.BlockMade():
                return None

    def _phase_started(self, event: events.PhaseStarted) -> str:
        self._unit = event.unit
        return self.messages("event.PhaseStarted", phase=self.phase(event.phase))

    def _phase_finished(self, event: events.PhaseFinished) -> str:
        seconds = self.messages.duration(event.seconds)
        phase, summary = self.phase(event.phase), self.outcome(event.outcome)
        return self.messages("event.PhaseFinished", phase=phase, summary=summary, seconds=seconds)

    def _many_left_out(self, event: events.ManyLeftOut) -> str:
        states = self._counts(Counter(dict(event.states)))
        key = "event.ManyLeftOut" + (".mosaic" if event.mosaic else "")
        text = self.messages(key, **(vars(event) | {"states": states}))
        self._headlines.append(text)
        return text

    def _targets_found(self, event: events.TargetsFound) -> str:
        targets = "\n".join(self._target("event.TargetsFound.each", each) for each in event.targets)
        return self.messages("event.TargetsFound", count=len(event.targets), gap=event.gap, targets=targets)

    def _forecast(self, event: events.Forecast) -> str:
        least, most = map(self.messages.duration, (event.least, event.most))
        return self.messages("event.Forecast", memory=event.memory, disk=event.disk, least=least, most=most)

    def _outturn(self, event: events.Outturn) -> str:
        say, before = self.messages, event.forecast
        return say(
            "event.Outturn" + (".unknown" if event.memory != event.memory else ""),
            memory=event.memory,
            disk=event.disk,
            seconds=say.duration(event.seconds),
            memory_before=before.memory,
            disk_before=before.disk,
            least=say.duration(before.least),
            most=say.duration(before.most),
        )

    def _left_out_line(self, event: events.FrameLeftOut) -> str | None:
        what = event.what
        self._left_out[what.state] += 1
        if self._log is not None and sum(self._left_out.values()) > LEFT_OUT_LINES:
            more = sum(self._left_out.values()) == LEFT_OUT_LINES + 1
            return self.messages("event.FrameLeftOut.more") if more else None
        state = self.messages.word("state", what.state)
        return self.messages(
            "event.FrameLeftOut", path=what.path, state=state, reason=sentence(what.reason, self.messages)
        )

    def _vignetting(self, event: events.Vignetting) -> str:
        key = "event.Vignetting" + (".unknown" if event.unknown else ".none" if math.isnan(event.corners) else "")
        text = self.messages(key, **vars(event))
        if event.pedestal > 0.0:
            text += self.messages("event.Vignetting.pedestal", **vars(event))
        if event.unknown:
            self._headlines.append(self.messages("event.Vignetting.end", **vars(event)))
        return text

    def _kept(self, event: events.BlocksKept) -> str:
        say = self.messages
        reasons = [
            say(f"event.BlocksKept.{why}", count=count, largest=event.largest)
            for why in ("frames", "moved", "sensor", "absent")
            if (count := getattr(event, why))
        ]
        key = "event.BlocksKept" + ("" if reasons else ".all")
        return say(key, kept=event.kept, blocks=event.blocks, largest=event.largest, reasons=", ".join(reasons))

    def _seams(self, event: events.SeamsGraded) -> str:
        word = self.messages(f"grade.{event.grade}")
        place = self.messages.seam_place(event.first, event.second, event.sets)
        text = self.messages("event.SeamsGraded", **(vars(event) | {"word": word, "place": place}))
        self._bad_seams.pop(event.mosaic, None)
        if event.grade == "D":
            frames = "\n  ".join(event.frames)
            text = self._bad_seams[event.mosaic] = self.messages("event.SeamsGraded.bad", text=text, frames=frames)
        return text

    def _finished(self, event: events.RunFinished) -> str:
        made = [self._made(each, several=len(event.mosaics) > 1) for each in event.mosaics]
        lines = [*self._headlines, *self._bad_seams.values(), *made]
        seconds = self.messages.duration(event.seconds)
        lines.append(
            self.messages(
                "event.RunFinished",
                used=sum(each.used for each in event.mosaics),
                left_out=event.left_out,
                seconds=seconds,
            )
        )
        text = "\n".join(lines)
        if not self._left_out:
            return text
        states = self._counts(self._left_out)
        if self._log is None:
            return f"{text}\n{states}"
        return f"{text}\n{self.messages('event.RunFinished.states', states=states, log=self._log)}"

    def _made(self, made: events.Made, *, several: bool) -> str:
        key = "event.RunFinished.made" + (".target" if several else "")
        text = self.messages(key, name=made.name, mosaic=made.mosaic, preview=made.preview, used=made.used)
        if made.report is not None:
            text += "\n" + self.messages("event.RunFinished.made.report", report=made.report)
        for picture in filter(None, (made.tiff, made.jpeg)):
            text += "\n" + self.messages("event.RunFinished.made.picture", picture=picture)
        if made.zoom is not None:
            text += "\n" + self.messages("event.RunFinished.made.zoom", zoom=made.zoom)
        for tiles in made.hips:
            text += "\n" + self.messages("event.RunFinished.made.hips", folder=tiles.parent)
        if made.earlier:
            text += "\n" + self.messages("event.RunFinished.made.earlier", names=", ".join(made.earlier))
        return text

    def _target(self, key: str, target: events.TargetSeen, **more: object) -> str:
        return self.messages(key, name=target.name, frames=target.frames, ra=target.ra, dec=target.dec, **more)

    def _counts(self, states: Counter[str]) -> str:
        return ", ".join(f"{n} × {self.messages.word('state', state)}" for state, n in states.most_common())

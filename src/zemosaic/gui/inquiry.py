"""Looking at headers in a process of its own: what was asked, how far it is, what came of it. No widget."""

from __future__ import annotations

from zemosaic.events import PhaseProgress
from zemosaic.gui.engine import Crashed, Engine, Failed, Finished, Result
from zemosaic.gui.frames import Frames
from zemosaic.gui.headers import Fact, facts_of_lights, facts_of_outlook
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.gui.translator import Translator
from zemosaic.gui.work import Question, look
from zemosaic.messages import sentence
from zemosaic.model import Lights, Outlook
from zemosaic.quality import FrameQuality

__all__ = ["Inquiry"]


class Inquiry:
    """One look at a time; a new question ends the one before."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._progress: PhaseProgress | None = None
        self._failure: Failed | Crashed | None = None
        self.lights: Lights | None = None
        self.outlook: Outlook | None = None
        self.earlier: Result | None = None  # of a run into the same folder
        self.frames: Frames | None = None  # all of them
        self._rows: list[FrameQuality] = []
        self._places: list[SkyFrame] = []

    def ask(self, question: Question) -> None:
        self.forget()
        self._engine = Engine(look, question)

    def forget(self, *, keep: bool = False) -> None:
        """End what is under way; what was found goes too, unless it is to be kept."""
        if self._engine is not None:
            self._engine.kill()
            self._engine = None
        self._progress = None
        if not keep:
            self._failure = self.lights = self.outlook = self.earlier = self.frames = None

    @property
    def busy(self) -> bool:
        return self._engine is not None

    @property
    def failed(self) -> bool:
        return self._failure is not None

    def take(self, seconds: float) -> bool:
        """Whether there is something new."""
        if self._engine is None:
            return False
        news = self._engine.news(seconds)
        for value in news:
            if isinstance(value, PhaseProgress):
                self._progress = value
            elif isinstance(value, Lights):
                self.lights = value
            elif isinstance(value, Result):
                self.earlier = value
            elif isinstance(value, Frames):
                self._collect(value)
            elif isinstance(value, Finished):
                self.outlook = value.result
            elif isinstance(value, Failed | Crashed):
                self._failure = value
        if self._engine.end is not None:
            self._engine = None
        return bool(news)

    def _collect(self, some: Frames) -> None:
        if some.first:
            self._rows, self._places = [], []
        self._rows += some.rows
        self._places += some.places
        if some.last:
            self.frames = Frames(tuple(self._rows), tuple(self._places), first=True, last=True)

    def words(self, tr: Translator) -> str:
        """What is going on, or went wrong."""
        if isinstance(self._failure, Failed):
            return sentence(self._failure.text, tr) or tr("error.memory")
        if self._failure is not None:
            return tr("gui.start.look_crashed")
        if self.busy and self.lights is None:
            p = self._progress
            return tr("gui.start.looking") if p is None else tr("gui.start.looking_at", done=p.done, total=p.total)
        if self.busy:
            return tr("gui.start.forecasting")
        if self.lights is None:
            return tr("gui.start.nothing_chosen")
        return "" if self.outlook else tr("gui.start.no_forecast")

    def facts(self, tr: Translator) -> tuple[list[Fact], list[Fact]]:
        """Of what was found, and of what a run will need."""
        return (
            [] if self.lights is None else facts_of_lights(self.lights, tr),
            [] if self.outlook is None else facts_of_outlook(self.outlook, tr),
        )

"""What the headers in the chosen folders say, and what a run will need, as lines for people. No widget."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from zemosaic.gui.translator import Translator
from zemosaic.messages import sentence
from zemosaic.model import Count, LeftOut, Lights, Outlook

__all__ = ["Fact", "facts_of_lights", "facts_of_outlook", "left_out_by_state"]

NAMED = 4  # telescopes, targets or filters
SHORT = 1.25  # of the disk that is needed: with less than that free there is a warning


@dataclass(frozen=True)
class Fact:
    """A label and a value."""

    key: str  # of the label's text
    value: str
    bad: bool = False


def facts_of_lights(lights: Lights, tr: Translator) -> list[Fact]:
    single = ", ".join(f"{seconds:g} s" for seconds in lights.single[:NAMED])
    exposure = tr.span(lights.exposure) if lights.exposure else tr("gui.start.unknown")
    found = [
        Fact("gui.start.subs", str(lights.subs)),
        Fact("gui.start.exposure", f"{exposure} ({single})" if single else exposure),
        Fact("gui.start.targets", _named(lights.targets, tr)),
        Fact("gui.start.nights", str(lights.nights) if lights.nights else tr("gui.start.unknown")),
        Fact("gui.start.telescopes", _named(lights.telescopes, tr)),
        Fact("gui.start.filters", _named(lights.filters, tr)),
    ]
    if lights.others:
        found.append(Fact("gui.start.calibration", str(lights.others)))
    if lights.left_out:
        found.append(Fact("gui.start.left_out", left_out_by_state(lights.left_out, tr)))
    return found


def facts_of_outlook(outlook: Outlook, tr: Translator) -> list[Fact]:
    size = tr("gui.start.pixels", width=outlook.width, height=outlook.height)
    if outlook.mosaics > 1:
        size = tr("gui.start.mosaics", count=outlook.mosaics, size=size)
    disk = tr.size(outlook.disk)
    if outlook.free_disk == outlook.free_disk:
        disk = tr("gui.start.disk_value", needed=disk, free=tr.size(outlook.free_disk))
    time = tr("gui.start.time_value", least=tr.span(outlook.least), most=tr.span(outlook.most))
    if outlook.compiling:
        time = tr("gui.start.time_first", time=time, more=tr.span(outlook.compiling))
    found = [
        Fact("gui.start.size", size),
        Fact("gui.start.memory", tr.size(outlook.memory)),
        Fact("gui.start.disk", disk, bad=outlook.free_disk < SHORT * outlook.disk),
        Fact("gui.start.time", time),
    ]
    found += [Fact("gui.start.told", sentence(told, tr)) for told in outlook.told]
    if outlook.known:
        found.append(Fact("gui.start.known", str(outlook.known)))
    return found


def left_out_by_state(left_out: tuple[LeftOut, ...], tr: Translator) -> str:
    counts = Counter(each.state.value for each in left_out)
    return ", ".join(f"{n} {tr.messages.word('state', state)}" for state, n in counts.most_common())


def _named(counts: Count, tr: Translator) -> str:
    """Names with their numbers where there are several; the rest as a number."""
    shown = [(name or tr("gui.start.nameless"), n) for name, n in counts[:NAMED]]
    text = ", ".join(name if len(counts) == 1 else f"{name} ({n})" for name, n in shown)
    more = len(counts) - len(shown)
    return text + (tr("gui.start.more", count=more) if more > 0 else "")

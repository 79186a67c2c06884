"""Every text of the window is in each language, and every text that is there is used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from zemosaic.gui.headers import facts_of_lights, facts_of_outlook
from zemosaic.gui.pictures import KINDS
from zemosaic.gui.remembered import THEMES
from zemosaic.gui.state import Status
from zemosaic.gui.translator import Texts, Translator, system_language
from zemosaic.messages import LANGUAGES, load_locale
from zemosaic.model import FrameState, LeftOut, Lights, Outlook

SOURCE = Path(__file__).parents[2] / "src" / "zemosaic" / "gui"
KEY = re.compile(r'"(gui\.[a-z0-9_.]*[a-z0-9_])"')
MADE = re.compile(r'f"(gui\.[a-z0-9_.]*)\{')  # keys of which a part comes from elsewhere
OWN = re.compile(
    r"gui\.(absent|page|language|theme|size|trouble|not_remembered|start|status|run|log|end|close|result)\b"
)


def in_source(pattern: re.Pattern[str]) -> set[str]:
    return {key for path in SOURCE.glob("*.py") for key in pattern.findall(path.read_text(encoding="utf-8"))}


def test_every_key_that_is_used_is_there() -> None:
    keys = load_locale("en").keys()
    assert in_source(KEY) - keys == set()
    for prefix in in_source(MADE):
        assert any(key.startswith(prefix) for key in keys), prefix
    made = [f"gui.status.{each}" for each in Status] + [f"gui.theme.{each}" for each in THEMES]
    made += [f"gui.result.{kind}" for kind in KINDS] + [f"gui.language.{each}" for each in LANGUAGES]
    assert set(made) <= keys


def test_every_key_that_is_there_is_used() -> None:
    used, prefixes = in_source(KEY), in_source(MADE)
    for key in filter(OWN.match, load_locale("en")):
        plain = key.removesuffix(".one")
        assert plain in used or any(plain.startswith(prefix) for prefix in prefixes), key


def test_french_is_not_english() -> None:
    english, french = load_locale("en"), load_locale("fr")
    same = {key for key in filter(OWN.match, english) if english[key] == french[key]}
    assert same == {
        "gui.language.en", "gui.language.fr", "gui.run.pause", "gui.result.saturation",
        "gui.start.pixels",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "language"), [("fr_CA.UTF-8", "fr"), ("en_GB", "en"), ("de_DE", "en"), ("C", "en")]
)
def test_the_language_of_the_system(monkeypatch: pytest.MonkeyPatch, variable: str, language: str) -> None:
    monkeypatch.setenv("LC_ALL", variable)
    assert system_language() == language


def test_widgets_change_with_the_language() -> None:
    class Widget:
        text = ""

        def configure(self, **options: str) -> None:
            self.text = options["text"]

    tr, widget = Translator("en"), Widget()
    texts = Texts(tr)
    texts.bind(widget, "gui.start.go")
    before = widget.text
    tr.use("fr")
    texts.retranslate()
    assert before == "Start Hierarchical Mosaic" and widget.text == "Lancer la mosaïque hiérarchique"


def test_facts_are_short_and_say_what_is_short() -> None:
    left_out = (LeftOut(Path("a"), FrameState.STACK, "x"), LeftOut(Path("b"), FrameState.STACK, "x"))
    many = tuple((f"T{k}", 9 - k) for k in range(6))
    lights = Lights((), left_out, 3, (("M 31", 5),), many, (("", 7),), 2, 7200.0, (10.0, 20.0), 7)
    english = Translator("en")
    facts = {fact.key.rpartition(".")[2]: fact.value for fact in facts_of_lights(lights, english)}
    assert facts == {
        "subs": "7", "exposure": "2 h 00 min (10 s, 20 s)", "targets": "M 31", "nights": "2",
        "telescopes": "T0 (9), T1 (8), T2 (7), T3 (6) and 2 more", "filters": "unnamed", "calibration": "3",
        "left_out": "2 a stack",
    }  # fmt: skip
    outlook = Outlook(2, 4000, 3000, 2048.0, 9000.0, 61.2, 300.0, 4, 10000.0)
    forecast = {fact.key.rpartition(".")[2]: fact for fact in facts_of_outlook(outlook, Translator("fr"))}
    assert forecast["disk"].bad and forecast["disk"].value == "8,8 Go (9,8 Go libres)"
    assert forecast["time"].value == "1 min 01 s à 5 min 00 s" and not forecast["memory"].bad
    assert forecast["size"].value == "2 mosaïques, la plus grande 4000 x 3000 px"
    wide = replace(outlook, told=("so wide a mosaic is laid out in ZEA (output_projection)",))
    assert "une mosaïque aussi large est mise à plat en ZEA (output_projection)" in [
        fact.value for fact in facts_of_outlook(wide, Translator("fr"))
    ]
    first = facts_of_outlook(replace(outlook, compiling=77.1), english)
    assert "1 min 17 s of it to compile kernels" in first[3].value and first[3].value.startswith("1 min 01 s to 5 min")

"""What the engine says in English reaches people in their language: every reason why a frame is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from zemosaic.messages import Messages, load_locale, recognised, sentence

SOURCE = Path(__file__).parents[1] / "src" / "zemosaic"
ENGLISH, FRENCH = Messages("en"), Messages("fr")
SOLVERS = sorted((SOURCE / "solvers").glob("*.py"))
PHASES = [SOURCE / "phases" / name for name in ("scan.py", "measure.py", "solve.py", "match.py")]
MODULES = [*PHASES, *SOLVERS, SOURCE / "fits.py", SOURCE / "wcs.py", SOURCE / "picture.py"]
NOT_REASONS = {"InputError", "SettingsError", "OutputError", "Cancelled", "Warned", "Note", "ValueError"}


def skeleton(node: ast.AST) -> str:
    """A text, or a formatted one with something in its places; "" for other things."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
    return ""


def reasons(path: Path) -> Iterator[str]:
    """Sentences of a module that can become the reason of a frame: those of `FrameError`, `LeftOut`, and what is called so."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name, values = node.func.id, [*node.args]
        elif isinstance(node, ast.Assign):
            name = ast.unparse(node.targets[0]).split("[")[0]
            values = [node.value, *(node.value.values if isinstance(node.value, ast.Dict) else [])]
        if name in ("FrameError", "LeftOut", "reason", "reasons", "words", "REASONS"):
            for value in values:
                for each in value.elts if isinstance(value, ast.Tuple) else [value]:
                    if " " in skeleton(each):
                        yield skeleton(each)


CASES = sorted({(path.name, text) for path in MODULES for text in reasons(path)})


@pytest.mark.parametrize(("module", "text"), CASES)
def test_every_reason_of_a_frame_is_said_in_french(module: str, text: str) -> None:
    without = text.removeprefix("7: ")
    text = without if text == without else f"/night 1/a.fit: {without}"
    assert sentence(text, FRENCH) != text and recognised(without) is not None
    assert sentence(text, ENGLISH) == text


def test_enough_was_found_to_be_tested() -> None:
    assert len(CASES) > 45 and len({module for module, _ in CASES}) >= 8


@pytest.mark.parametrize(
    ("english", "french"),
    [
        (
            "The stars are 2.4 times as long as wide, at most 2.0 is used: the telescope moved or was shaken during the exposure",
            "Les étoiles sont 2.4 fois plus longues que larges, au plus 2.0 est accepté : le télescope a bougé ou tremblé "
            "pendant la pose",
        ),
        (
            "/n/a b.fit.gz: the gzip file is cut short or damaged (CRC); copy it again.",
            "/n/a b.fit.gz: le fichier gzip est coupé ou endommagé (CRC) ; recopiez-le.",
        ),
        (
            "There is no WCS in its header. ASTAP: it ended with code 7.",
            "Son en-tête ne contient pas de WCS. ASTAP : il s'est terminé avec le code 7.",
        ),
        (
            "The WCS in its header is not used: CRVAL1 = CRVAL2 = 0 says that nobody knew the position.",
            "Le WCS de son en-tête n'est pas utilisé : CRVAL1 = CRVAL2 = 0 dit que personne ne connaissait la position.",
        ),
        ("Something that nobody has translated.", "Something that nobody has translated."),
        ("", ""),
    ],
)
def test_sentences(english: str, french: str) -> None:
    assert sentence(english, FRENCH) == french and sentence(english, ENGLISH) == english


def test_each_sentence_is_recognised_as_itself() -> None:
    for key, text in load_locale("en").items():
        if key.startswith("said."):
            found = recognised(re.sub(r"{\w+}", "7", text))
            assert found is not None and found[0] == key

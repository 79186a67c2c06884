"""What the engine says in English reaches people in their language: every reason why a frame is left out."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from zemosaic.errors import OutputError, SettingsError
from zemosaic.events import Note, Warned
from zemosaic.messages import Messages, load_locale, recognised, sentence
from zemosaic.phases import scan
from zemosaic.sentences import Sentences
from zemosaic.settings_files import load_settings

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


DEVELOPERS = ("score", "simulate")  # whose commands are for developers, and speak English
TOLD_MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in DEVELOPERS)
TELLERS = ("why_no_output", "_nothing_found", "no_lines")
TESTED_BELOW = ("7: 7 = 7 7: 7", "7: there is no setting 7; it is ignored7", "7: no effect of 7: 7")
ERRORS = {*NOT_REASONS, "MosaicError", "WorkerError", "FrameError"} - {"ValueError", "Cancelled"}


def told(path: Path) -> Iterator[str]:
    """Sentences of a module that a person reads in the log or when a run ends: warnings, notes, and errors that stop it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in (*ERRORS, "notes.append"):
            for value in node.args:
                if " " in skeleton(value):
                    yield skeleton(value)
        elif isinstance(node, ast.FunctionDef) and (node.name in TELLERS or path.name == "_calibrate_rules.py"):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None and " " in skeleton(inner.value):
                    yield skeleton(inner.value)


TOLD = sorted({(path.name, text) for path in TOLD_MODULES for text in told(path)})


@pytest.mark.parametrize(("module", "text"), TOLD)
def test_every_note_warning_and_error_of_a_run_is_said_in_french(module: str, text: str) -> None:
    if text not in TESTED_BELOW:
        without = text.removeprefix("7: ")  # the file
        assert recognised(text) or recognised(without), text
        assert sentence(text if recognised(text) else without, FRENCH) != text
        assert sentence(text, ENGLISH) == text


def test_enough_is_told() -> None:
    assert len(TOLD) > 40 and len({module for module, _ in TOLD}) >= 12


def test_wrong_settings_are_told_in_french_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "zemosaic_config.json"
    wrong = {
        "language": "de", "max_elongation": 99, "edge_taper": "wide", "num_processing_workers": 1.5, "report": "perhaps",
        "stacking_winsor_limits": "0.7", "memory_limit": 0.1, "file_weights": "a=-1", "winsor_worker_limit": 5000,
    }  # fmt: skip
    file.write_text(json.dumps(wrong))
    with pytest.raises(SettingsError) as told:
        load_settings(files=[file], folder=tmp_path)
    lines = sentence(str(told.value), FRENCH).split("\n")
    assert len(lines) == 1 + len(wrong) and sentence(str(told.value), ENGLISH) == str(told.value)
    english = {"must", "be", "from", "to", "or", "for", "got", "number", "memory", "than", "less", "whole", "expected"}
    assert not english & {word.strip("(),:;") for line in lines for word in line.split()}, lines
    assert "  language doit être l'un de en, fr (et non 'de')" in lines
    assert (
        "  memory_limit doit être compris entre 1 et 4096 GB, ou 0 : 60 % de la mémoire libre au départ (et non 0.1)"
        in lines
    )
    file.write_text('{"edge_taper": 3,\n "memory_limit" 4}')
    with pytest.raises(SettingsError) as told:
        load_settings(files=[file], folder=tmp_path)
    assert sentence(str(told.value), FRENCH) == f"{file}, ligne 2, colonne 17 : il manque deux-points"


def test_all_parts_of_an_input_without_lights_are_told_in_french() -> None:
    said = "/in: no light frame among 9 FITS files ({}); for example /in/a.fit: The file is a flat, not a light."
    for state, words in scan.WORDS.items():
        for number, word in ((2, words), (1, words[:-1])):
            text = sentence(said.format(f"{number} {word}, 5 stacks, 1 calibration file"), FRENCH)
            reason = "/in/a.fit : Le fichier est un flat, pas une brute de ciel."
            assert text.endswith(f", 5 empilements, 1 fichier de calibration) ; par exemple {reason}"), (state, text)
            assert f"({number} {word}," not in text


def test_a_full_disk_and_an_unused_flat_are_told_in_french() -> None:
    full = OutputError.writing(Path("/no such/a.fits"), OSError(28, "No space left on device"), 5 * 2**20)
    assert sentence(str(full), FRENCH).startswith("/no such/a.fits : écriture impossible (Plus de place sur le disque")
    lights = sentence("The flat is not used: it was taken through LP, the lights through IRCUT.", FRENCH)
    assert lights == "Le flat n'est pas utilisé : il a été pris avec LP, les brutes avec IRCUT."
    note = "a.json: no effect of use_gpu_phase5: there is no GPU path"
    assert (
        Sentences(FRENCH, None).line(Note(note))
        == "a.json : sans effet : use_gpu_phase5 : il n'y a pas de calcul sur GPU"
    )
    astap = "ASTAP was not found: install it, or set astap_executable_path, or use solver_method = auto"
    warned = Sentences(FRENCH, None).line(Warned(f"{astap}; the run goes on without it"))
    assert warned is not None and warned.startswith("Attention : ASTAP est introuvable") and "the" not in warned.split()


def test_notes_on_settings_of_the_first_release_are_told_in_french(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    old = {"solver_method": "ansvr", "use_gpu_phase5": True, "memory_limitt": 3, "zzz": 1}
    file.write_text(json.dumps(old))
    _, notes = load_settings(files=[file], folder=tmp_path)
    assert len(notes) == 5
    for note in notes:
        assert sentence(note, FRENCH) != note and not {"the", "is", "no", "read"} & set(
            sentence(note, FRENCH).split()
        ), note


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
        (
            'No part of the sky within 1 degrees of RA 10.0 Dec 41.0 fits its 30 stars at 2.4"/px (+-10 %); none. '
            "ASTAP: it ended with code 7. astrometry.net: no solution.",
            'Aucune partie du ciel à moins de 1 degrés de AD 10.0 Déc 41.0 ne convient à ses 30 étoiles à 2.4"/px '
            "(+-10 %) ; none. ASTAP : il s'est terminé avec le code 7. astrometry.net : pas de solution.",
        ),
        ("Something that nobody has translated.", "Something that nobody has translated."),
        ("", ""),
    ],
)
def test_sentences(english: str, french: str) -> None:
    assert sentence(english, FRENCH) == french and sentence(english, ENGLISH) == english


def test_one_of_a_kind_is_singular_and_french_fractions_have_commas() -> None:
    lost = {"share": "4", "time": "10 s"}
    assert ENGLISH("report.advice.lost.trailed", lost="1", **lost).startswith("1 frame (4 %, 10 s) has trailed")
    assert ENGLISH("report.advice.lost.trailed", lost="12", **lost).startswith("12 frames (")
    seams = {"grade": "A", "word": "good", "visible": 0.05, "place": "here", "residual": 1.0}
    assert "; 1 overlap," in ENGLISH("event.SeamsGraded", overlaps=1, **seams)
    assert "0,05 fois" in FRENCH("event.SeamsGraded", overlaps=3, **seams) and FRENCH.duration(8.25).startswith("8,2")
    assert FRENCH("event.TargetStarted", number=1, of=2, name="M 31", frames=3).endswith("3 brutes")


def test_each_sentence_is_recognised_as_itself() -> None:
    for key, text in load_locale("en").items():
        if key.startswith("said."):
            found = recognised(re.sub(r"{\w+}", "7", text))
            assert found is not None and found[0] == key

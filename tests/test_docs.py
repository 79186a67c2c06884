"""What the docs say is so: links lead somewhere, commands parse, settings exist, quoted messages are the program's."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from zemosaic import settings_files
from zemosaic.cli import COMMANDS, main
from zemosaic.cli.session import DONE
from zemosaic.first_release import NO_EFFECT, RENAMED, RENAMED_VALUES
from zemosaic.ledger import WORKSPACE
from zemosaic.model import FrameState
from zemosaic.settings import Settings, declared
from zemosaic.settings_files import load_settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GENERATED = ("settings.md", "commands.md")
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"^(?:\S*[/\\])?(?:zemosaic|python run_zemosaic\.py) .*$")
NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get on the usual forges."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def spans(page: Path) -> list[str]:
    return SPAN.findall(FENCE.sub("", text_of(page)))


def commands(page: Path) -> list[str]:
    """Command lines of the program in fences and in the running text."""
    fences = FENCE.findall(text_of(page))
    lines = [
        line.strip()
        for language, block in fences
        if language or page.name != "commands.md"
        for line in block.splitlines()
    ]
    return [each for each in (*lines, *spans(page)) if COMMAND.match(each)]


def every(what: Sequence[tuple[Path, str]]) -> list[object]:
    return [pytest.param(page, item, id=f"{page.name}: {item}"[:90]) for page, item in dict.fromkeys(what)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", text_of(page))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


@pytest.fixture
def dry_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The command line up to the point where work would begin; the list receives the notes of each session."""
    notes: list[list[str]] = []

    def session(_: Settings, said: Sequence[str], *__: object, **___: object) -> int:
        notes.append(list(said))
        return DONE

    for module in ("making", "looking", "trying"):
        monkeypatch.setattr(f"zemosaic.cli.{module}.session", session)
    for module in ("making", "looking"):  # the folders of examples are not there
        monkeypatch.setattr(f"zemosaic.cli.{module}.check_folders", lambda *_: None)
    monkeypatch.setattr("zemosaic.cli.checkup.examined", lambda *_: ())
    monkeypatch.setattr("zemosaic.gui.launch.open_window", lambda opening: not notes.append(list(opening.notes)))
    monkeypatch.setattr("zemosaic.score.score", lambda *_: SimpleNamespace(ok=True, table=lambda: ""))
    monkeypatch.setattr(settings_files, "user_file", lambda: tmp_path / "none.json")
    monkeypatch.chdir(tmp_path)
    return notes


def arguments(command: str) -> list[str]:
    """What the shell (PowerShell keeps backslashes) would hand over."""
    words = [word.strip("\"'") for word in shlex.split(command.replace("[flags]", ""), posix=False)]
    if words[0] == "python":
        return ["run" if len(words) > 2 else "gui", *words[2:]]
    return words[1:]


@pytest.mark.parametrize(("page", "command"), every([(page, line) for page in PAGES for line in commands(page)]))
def test_commands_parse(page: Path, command: str, dry_run: list[list[str]]) -> None:
    given = arguments(command)
    given = given[: given.index("|")] if "|" in given else given
    about_a_command = {*COMMANDS} - {"doctor", "gui"} | {"--help"}
    if given[-1] in about_a_command:  # and gives no input
        assert given[0] in {*COMMANDS, "COMMAND", "--help"}
        return
    assert main(given) == DONE


FLAGS = [(page, span) for page in PAGES if page.name not in GENERATED for span in spans(page) if span.startswith("--")]


@pytest.mark.parametrize(("page", "flags"), every(FLAGS))
def test_flags_are_accepted(page: Path, flags: str, dry_run: list[list[str]]) -> None:
    given = flags.split()
    if len(given) == 1:  # named without a value
        name = given[0][2:].replace("-", "_")
        assert name in {*declared(), "config", "fresh", "json", "panels", "picture", "subs", "version"}
        return
    if given[0] == "--config":
        return  # FILE stands for a file
    assert main(["run", "INPUT", "OUTPUT", *given]) == DONE
    assert not any("no effect" in note for notes in dry_run for note in notes)


def test_names_of_settings_exist() -> None:
    values = {new for names in RENAMED_VALUES.values() for new in names}
    choices = {choice for about in declared().values() for choice in about.choices}
    known = {*declared(), *NO_EFFECT, *RENAMED, *values, *choices, *(state.value for state in FrameState), WORKSPACE}
    known |= {"make_mosaic", "exit_code"}
    for page in PAGES:
        if page.name == "CONTRIBUTING.md":
            continue  # speaks of the code
        for span in spans(page):
            assert not NAME.fullmatch(span) or span in known, f"{page.name}: {span}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_settings_files_are_good(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_files, "user_file", lambda: tmp_path / "none.json")
    for language, block in FENCE.findall(text_of(page)):
        if language == "json":
            file = tmp_path / "example.json"
            file.write_text(block, encoding="utf-8")
            _, notes = load_settings(files=[file], folder=tmp_path)
            assert notes == [f"settings read from {file}"]


def fragments(message: str) -> list[str]:
    """The fixed words of a quoted message: without the state before it, figures, quoted values and paths."""
    message = re.sub(r"^(Stopped|Warning): |^\([^)]*\):? ?", "", message)
    message = re.sub(r"\S+ [\d.]+um \d+mm \dx\d \d+x\d+", "...", message)  # an instrument
    pieces = re.split(r"\.\.\.|'[^']*'|[A-Z]:\\[^:]*|[+-]?\b\d[\d.]*(?!\w)|\w+_\w+|[();]|, |\. (?=[A-Z])", message)
    return [piece.strip(" ,.:()") for piece in pieces]


@pytest.fixture(scope="module")
def said() -> str:
    """All that the program can say, with the places that it fills in."""
    package = ROOT / "src" / "zemosaic"
    sources = "\n".join(path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py")))
    joined = re.sub(r"""["']\s*\n\s*f?["']""", "", sources)  # texts that go on in the next line
    return joined + "\n".join(json.loads((package / "locales" / "en.json").read_text(encoding="utf-8")).values())


def unsaid(quoted: Sequence[str], said: str, fewest: int) -> list[str]:
    """Messages whose longest fixed words the program never says; at least so many have to be long enough to tell."""
    longest = {message: max(fragments(message), key=len) for message in quoted}
    checked = {message: words for message, words in longest.items() if len(words) >= 15}
    assert len(checked) >= fewest
    return [message for message, words in checked.items() if words not in said]


def test_quoted_messages_are_those_of_the_program(said: str) -> None:
    page = ROOT / "docs" / "troubleshooting.md"
    quoted = [span for span in spans(page) if " " in span and not COMMAND.match(span) and span[:2] != "--"]
    assert unsaid(quoted, said, 25) == []


def test_quoted_output_is_that_of_the_program(said: str) -> None:
    """What pages show as printed by a run; the tutorial's is compared with a run of its own."""
    pages = [ROOT / "docs" / "first-run.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
    blocks = re.findall(r"(?<=\n\n)((?:    \S.*\n)+)", "".join(FENCE.sub("", text_of(page)) for page in pages))
    lines = [line.strip() for block in blocks for line in block.splitlines() if "MyWorks" not in line]
    assert unsaid(lines, said, 12) == []


NAMED = re.compile(r"`((?:src|tests|tools|docs|benchmarks|compile)/[\w./-]+)`")
WORDS = re.compile(r"`(_?[A-Za-z]\w*)(?:\([^`]*)?`")


def test_contributing_names_files_and_words_that_exist() -> None:
    text = text_of(ROOT / "CONTRIBUTING.md")
    files = {ROOT / name for name in NAMED.findall(text)}
    assert len(files) > 15 and [file for file in files if not file.exists()] == []
    recipes = text[text.index("## How to add a solver") :]
    sources = "\n".join(
        path.read_text(encoding="utf-8") for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py")
    )
    named = {word for word in WORDS.findall(recipes) if word not in ("make",)}
    assert len(named) > 15 and [word for word in named if not re.search(rf"\b{word}\b", sources)] == []


def test_readmes_are_in_step() -> None:
    """The French one has the headings, links, pictures, files and commands of the English one, and a little more."""
    english, french = (text_of(ROOT / name) for name in ("README.md", "README.fr.md"))

    def of(text: str) -> tuple[int, list[str], list[str], list[str]]:
        flat = FENCE.sub("", text)
        links = sorted(link for link in LINK.findall(flat) if not link.startswith("README"))
        blocks = [block.replace(" --language fr", "").replace("mosaique", "mosaic") for _, block in FENCE.findall(text)]
        files = re.findall(r"^\| `([^`]+)`", flat, re.MULTILINE)
        return (
            len(re.findall(r"^#+ ", flat, re.MULTILINE)),
            [re.sub("-(en|fr)-", "-xx-", each) for each in links],
            blocks,
            files,
        )

    assert of(french) == of(english)
    texts = set(json.loads((ROOT / "src" / "zemosaic" / "locales" / "fr.json").read_text(encoding="utf-8")).values())
    said = [
        re.sub(r"\s+", " ", words)
        for words in re.findall(r"« ([^»]+) »|cliquez sur \*([^*]+)\*", french)
        for words in words
        if words
    ]
    assert len(said) >= 2 and [words for words in said if words not in texts] == []


def test_the_layout_of_contributing_names_every_module() -> None:
    layout = text_of(ROOT / "CONTRIBUTING.md").partition("## Layout")[2].partition("## House rules")[0]
    package = ROOT / "src" / "zemosaic"
    modules = {path.name for path in package.glob("*.py") if path.name != "__main__.py"}
    folders = {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [name for name in sorted(modules | folders) if not re.search(rf"(?<!\w){re.escape(name)}", layout)] == []

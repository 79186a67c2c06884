"""The tutorial as it stands: its commands are run one after the other, and print what it says they print, but for figures."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nights import Inline
from zemosaic import settings_files
from zemosaic.cli import main
from zemosaic.cli.session import DONE

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
PART = re.compile(r"^```(sh|text)\n(.*?)^```$|((?:^    \S[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
PROGRESS = re.compile(r"^[A-Z][\w ]+(?: \.\.\.|: \d+ of \d+ (?:subs|frames|visits|rows).*)$")  # how far it has come
FIGURE = re.compile(r"(?:\d+ h \d+ min|\d+ min \d+ s|\d+(?:\.\d+)?)(?: (?:s|kB|MB|GB)\b)?")


class Worker(Inline):
    """In this process, with a memory that is known as that of a worker process is."""

    def peak(self) -> float:
        return 1e9


@dataclass
class Told:
    """What the page has run so far, and where."""

    folder: Path
    quoted: list[tuple[str, list[str], list[str]]]  # command, the lines that the page quotes, those that were printed


def parts() -> Iterator[tuple[str, str]]:
    """Commands, files and quoted output in the order of the page."""
    for language, block, quoted in PART.findall(PAGE.read_text(encoding="utf-8")):
        yield (language, block) if language else ("quoted", quoted)


def alike(line: str, folder: Path) -> str:
    """A line without its figures, and without the folder that it speaks of."""
    return FIGURE.sub("#", line.strip().replace(str(folder), "/home/you"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The whole page, run in this process; of Siril's part only the file is written."""
    told = Told(tmp_path_factory.mktemp("you"), [])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(told.folder)
        patch.setattr(settings_files, "user_file", lambda: told.folder / "none.json")
        for module in ("workers", "execution"):
            patch.setattr(f"zemosaic.{module}.open_executor", Worker)
        for kind, text in parts():
            if kind == "text":
                (told.folder / "finish.ssf").write_text(text, encoding="utf-8")
            elif kind == "quoted":
                told.quoted[-1][1].extend(text.strip().splitlines())
            elif text.startswith("zemosaic "):
                told.quoted.append((text.strip(), [], printed(text)))
        yield told


def printed(command: str) -> list[str]:
    """Run a command of the page; the lines that it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        assert main(shlex.split(command)[1:]) == DONE, out.getvalue()
    return out.getvalue().splitlines()


def test_commands_print_what_the_page_says(told: Told) -> None:
    assert [command.split()[1] for command, *_ in told.quoted] == ["simulate", "plan", "run", "run"]
    for command, quoted, printed in told.quoted:
        said = [alike(line, told.folder) for line in printed if line and not PROGRESS.match(line)]
        assert [alike(line, told.folder) for line in quoted] == said, command


def test_files_that_the_page_names_are_there(told: Told) -> None:
    names = set(re.findall(r"`((?:zemosaic|Light)_[^`]+\.\w+)`", PAGE.read_text(encoding="utf-8")))
    there = {path.name for path in told.folder.rglob("*")}
    assert len(names) >= 4 and names <= there, names - there


def test_siril_finishes_the_mosaic(told: Told) -> None:
    program = shutil.which("siril-cli")
    if program is None:
        pytest.skip("no siril-cli here")
    (command,) = (text for kind, text in parts() if text.startswith("siril-cli"))
    words = shlex.split(command.replace("$PWD", str(told.folder)))
    said = subprocess.run(
        [program, *words[1:]],
        cwd=told.folder,
        env={"HOME": str(told.folder), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout
    with Image.open(told.folder / "Sim 1 mosaic" / "finished.png") as picture:
        assert picture.size == (540, 400)
        assert 10 < np.median(np.asarray(picture.convert("RGB"))) < 120  # neither black nor washed out

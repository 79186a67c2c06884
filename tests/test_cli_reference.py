"""Every command and flag is explained, with an example that works; shells complete them."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zemosaic.cli import COMMANDS, main
from zemosaic.cli.examples import COMMAND_EXAMPLES, SETTING_VALUES
from zemosaic.cli.flags import parsed, setting_switches, spelled_out
from zemosaic.cli.serving import CELLS, SHELLS
from zemosaic.cli.session import EXIT_CODES
from zemosaic.settings import declared
from zemosaic.settings_files import load_settings

ROOT = Path(__file__).parents[1]
PARSERS = {name: command.parser() for name, command in COMMANDS.items()}
FLAGS = [
    pytest.param(name, action, id=f"{name} {action.option_strings[0]}")
    for name, parser in PARSERS.items()
    for action in parser._actions
    if action.option_strings and action.help is not argparse.SUPPRESS and action.dest != "help"
]


def words(example: str) -> list[str]:
    """What a shell makes of an example (backslashes as PowerShell has them)."""
    return [each.strip("\"'") for each in shlex.split(example, posix=False)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_text_and_examples_that_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS[name].text and PARSERS[name].description
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert all(example in shown for example in COMMAND_EXAMPLES[name]) and f"zemosaic {name}" in shown
    for example in COMMAND_EXAMPLES[name]:
        program, command, *given = words(example)
        assert (program, command) == ("zemosaic", name)
        assert parsed(PARSERS[name], spelled_out(given, setting_switches())) is not None


def test_no_help_waits_for_libraries() -> None:
    """numpy, astropy and numba take a second to load."""
    code = "import contextlib, sys\nfrom zemosaic.cli import COMMANDS, main\nfor name in COMMANDS:\n"
    code += "    with contextlib.suppress(SystemExit): main([name, '--help'])\n"
    code += "print({'numpy', 'astropy', 'numba', 'PIL', 'tkinter'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n" and done.stdout.count("exit codes:") == len(COMMANDS)


def test_the_overview_names_each_command_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert command.text in shown and f"$ {COMMAND_EXAMPLES[name][0]}" in shown and f"{command.group}:" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained(name: str) -> None:
    for action in PARSERS[name]._actions:
        assert action.help, action


@pytest.mark.parametrize(("name", "action"), FLAGS)
def test_every_flag_has_an_example_that_parses(name: str, action: argparse.Action, tmp_path: Path) -> None:
    text = (action.help or "").replace("%%", "%")
    example = re.search(r"Example: (--.+?)\.?$", text)
    assert example, text
    given = words(example[1])
    assert given[0] in action.option_strings
    positional = {"catalogue": ["export", "D", "--format", "astap"], "completion": ["bash"], "doctor": []}.get(
        name, ["A", "B"]
    )
    if name == "simulate":
        positional = ["A"]
    if name == "catalogue" and given[0] == "--format":
        positional = positional[:2]
    switches = [*setting_switches(), *(a.dest for a in PARSERS[name]._actions if isinstance(a.default, bool))]
    switches += ["mirrored", "clipped"] if name == "simulate" else []
    found = parsed(PARSERS[name], spelled_out([*positional, *given], switches))
    assert action.dest in found
    if action.dest in declared() and action.container.title != "the night":
        settings, notes = load_settings({action.dest: found[action.dest]}, folder=tmp_path)
        assert notes == [] and action.dest in settings.model_fields_set


def test_the_table_of_examples_holds_only_settings() -> None:
    assert set(SETTING_VALUES) <= set(declared()) and set(COMMAND_EXAMPLES) == set(COMMANDS)


def test_areas_of_the_astap_database_are_those_that_are_written() -> None:
    from zemosaic.astap_database import LAYOUTS

    assert tuple(LAYOUTS) == CELLS


def test_the_reference_of_the_command_line_is_current() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "build_docs.py"))
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == tool["commands_page"](), "run `make docs`"
    for name in COMMANDS:
        assert f"\n## {name}\n" in page
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page


# ---- completion


def completions(line: str) -> list[str]:
    """What a shell is told may follow a line."""
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_IFS": "\n",
    }
    code = "import os; os.dup2(1, 8); from zemosaic.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [word.strip() for word in done.stdout.split("\n")]


@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("zemosaic ", {*COMMANDS}),
        ("zemosaic ru", {"run"}),
        ("zemosaic run IN OUT --edge", {"--edge-taper"}),
        ("zemosaic run IN OUT --final-assembly-method ", {"incremental", "reproject_coadd"}),
        ("zemosaic inspect IN --rejection-maps ", {"true", "false"}),
        ("zemosaic completion ", {*SHELLS}),
    ],
)
def test_a_shell_is_told_what_may_follow(line: str, among: set[str]) -> None:
    found = set(completions(line))
    assert among <= found and len(found) < len(among) + 3


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_reads_is_for_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "zemosaic" in script and "_ARGCOMPLETE" in script
    program = shutil.which(shell)
    if program and shell in ("bash", "zsh", "fish"):
        assert subprocess.run([program, "-n"], input=script, text=True).returncode == 0

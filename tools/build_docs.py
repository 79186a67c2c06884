"""Write what is made from the declaration of the settings and from the commands' parsers.

`docs/settings.md`, `docs/commands.md`, the sample `zemosaic_config.json`, and the English texts of the settings in
`locales/en.json`; the other locales get the order of that one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections import defaultdict
from itertools import groupby
from pathlib import Path

from zemosaic.cli import COMMANDS
from zemosaic.cli.examples import COMMAND_EXAMPLES, value_for
from zemosaic.cli.flags import flag
from zemosaic.cli.serving import SHELLS, TRIED
from zemosaic.cli.session import EXIT_CODES
from zemosaic.declaration import Declared
from zemosaic.first_release import NO_EFFECT, RENAMED, RENAMED_VALUES
from zemosaic.messages import LANGUAGES, load_locale
from zemosaic.settings import declared
from zemosaic.settings_files import CONFIG_NAME

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "src" / "zemosaic" / "locales"
INTRODUCTION = """\
# Settings

This page is made by `tools/build_docs.py` from the declaration in `src/zemosaic/settings.py`.

Every setting is a key of a JSON file and a flag of `zemosaic run` (`edge_taper` is `--edge-taper` or `--edge_taper`).
Later sources win:

1. what is built in
2. the user's file `zemosaic_config.json` in the folder for such files
   (Linux `~/.config/zemosaic`, macOS `~/Library/Application Support/zemosaic`, Windows `%LOCALAPPDATA%\\zemosaic`)
3. `zemosaic_config.json` in the working folder
4. the file named by `--config FILE`
5. flags

Comments (`//`, `#`, `/* */`) and trailing commas are accepted in the files. A key that nobody knows is a warning with the
nearest known name; a value that cannot be used stops the run before it begins, with all errors of that file at once.
"""


def settings_page() -> str:
    """The reference page, Markdown."""
    lines = [INTRODUCTION]
    for group, members in groupby(declared().values(), key=lambda about: about.group):
        lines += [f"## {_title(group)}", "", "| setting | default | values | meaning |", "|---|---|---|---|"]
        lines += [_row(about) for about in members]
        lines.append("")
    lines += ["## Names of the first release", "", "Other names for the same:", ""]
    lines += [f"- `{old}` is `{new}`" for old, new in RENAMED.items()]
    lines += [
        "",
        "Values that are taken as another one:",
        "",
        "| setting | value | taken as | because |",
        "|---|---|---|---|",
    ]
    for name, values in RENAMED_VALUES.items():
        for old, (new, why) in values.items():
            meant = f"`{new}`" if new else "not set"
            lines.append(f"| `{name}` | `{old}` | {meant} | {why or 'the same'} |")
    lines += ["", "Accepted without effect:", "", "| names | because |", "|---|---|"]
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in NO_EFFECT.items():
        reasons[why].append(f"`{name}`")
    lines += [f"| {', '.join(names)} | {why} |" for why, names in reasons.items()]
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {text} |" for code, text in EXIT_CODES.items()]
    return "\n".join([*lines, ""])


COMMANDS_INTRODUCTION = """\
# Commands

This page is made by `tools/build_docs.py` from the program's own parsers; `zemosaic COMMAND --help` shows the same.

Flags may stand anywhere, with hyphens or underscores, as `--flag VALUE` or `--flag=VALUE`. A switch may stand
alone. Every command that takes settings reads the settings files too ([settings.md](settings.md)).

With `--json` every end is told to programs: what stops a command, wrong use too, is `error`, beside the `exit_code`; `run`
has its other keys then as well. A FILE is not written after wrong use where it lies in a folder that the command names.

| command | what it does |
|---|---|
"""


def commands_page() -> str:
    """The reference of the command line, Markdown."""
    lines = [COMMANDS_INTRODUCTION + "\n".join(_overview_rows())]
    for name, command in COMMANDS.items():
        parser = command.parser()
        usage = str(parser.usage).replace("%%", "%")
        lines += ["", f"## {name}", "", f"```\n{usage}\n```", "", _paragraph(parser.description or ""), ""]
        lines += ["For example:", "", "```sh", *COMMAND_EXAMPLES[name], "```", ""]
        lines += ["| argument | meaning | example |", "|---|---|---|", *_argument_rows(parser)]
        given = [action.dest for action in parser._actions if action.dest in declared()]
        if len(given) == len(declared()):
            lines += ["", "Besides: every setting, [as a flag](#settings-as-flags)."]
        elif given:
            lines += [
                "",
                "Besides: " + ", ".join(f"`{flag(each)}`" for each in given) + ", [as a flag](#settings-as-flags).",
            ]
    lines += ["", "## Settings as flags", "", "What each does, and its default: [settings.md](settings.md).", ""]
    lines += ["| flag | example |", "|---|---|"]
    lines += [
        f"| `{flag(each.name)}` | `{f'{flag(each.name)} {value_for(each)}'.strip()}` |" for each in declared().values()
    ]
    lines += ["", "## Completion", "", "To have commands, flags and their values completed at the Tab key:", ""]
    for shell, how in SHELLS.items():
        line, where = re.split(" {3,}", how)
        place, _, file = where.rpartition(" ")
        lines.append(f"- {shell}: `{line}` {place} `{file}`")
    lines += ["", " ".join(TRIED.split())]
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {text} |" for code, text in EXIT_CODES.items()]
    return "\n".join([*lines, ""])


def _overview_rows() -> list[str]:
    rows = []
    for group, members in itertools.groupby(COMMANDS.items(), key=lambda item: item[1].group):
        rows.append(f"| *{group}* | |")
        rows += [f"| [{name}](#{name}) | {command.text} |" for name, command in members]
    return rows


def _paragraph(description: str) -> str:
    """A description, whose indented lines are a block."""
    text, _, block = description.partition("\n\n  ")
    return " ".join(text.split()) + (f"\n\n    {block.replace(chr(10), chr(10) + '  ')}" if block else "")


def _argument_rows(parser: argparse.ArgumentParser) -> list[str]:
    """The arguments of a command but its settings and what only the first release knew."""
    rows = []
    for action in parser._actions:
        if action.help is argparse.SUPPRESS or action.dest in {*declared(), "help"}:
            continue
        text, _, example = str(action.help).replace("%%", "%").partition(" Example: ")
        name = action.option_strings[0] if action.option_strings else str(action.metavar)
        shown = f"`{example.removesuffix('.')}`" if example else ""
        rows.append(f"| `{name}` | {text.replace('|', chr(92) + '|')} | {shown} |")
    return rows


def _title(group: str) -> str:
    return group[:1].upper() + group[1:]


def _row(about: Declared) -> str:
    values = " ".join(f"`{choice}`" for choice in about.choices)
    if about.kind is bool:
        values = "`true` `false`"
    elif about.limits:
        values = ("whole number " if about.kind is int else "") + about.range_text()
    elif about.kind is str and not about.choices:
        values = about.unit
    return f"| `{about.name}` | `{json.dumps(about.default)}` | {values} | {about.text} |"


def sample_config() -> str:
    """A settings file with every default, commented out: what is not touched stays with the other sources."""
    lines = [
        "// Settings of ZeMosaic; docs/settings.md explains them. Remove the // before a line to make it count.",
        "{",
    ]
    for group, members in groupby(declared().values(), key=lambda about: about.group):
        lines.append(f"  // --- {group}")
        lines += [f'  // "{about.name}": {json.dumps(about.default)},' for about in members]
    return "\n".join([*lines, "}", ""])


def locale(language: str) -> str:
    """The texts of a language; the English ones of the settings come from the declaration, last, and give all their order."""
    texts = {key: text for key, text in load_locale("en").items() if not key.startswith(("setting.", "group."))}
    for about in declared().values():
        texts |= {f"group.{about.group}": _title(about.group)}
        texts |= {f"setting.{about.name}": about.label, f"setting.{about.name}.help": about.text}
        if about.zero:
            texts[f"setting.{about.name}.zero"] = about.zero
    if language != "en":
        own = load_locale(language)
        texts = {key: own[key] for key in texts if key in own}
    return json.dumps(texts, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    for language in LANGUAGES:
        (LOCALES / f"{language}.json").write_text(locale(language), encoding="utf-8")
    (ROOT / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (ROOT / "docs" / "commands.md").write_text(commands_page(), encoding="utf-8")
    (ROOT / CONFIG_NAME).write_text(sample_config(), encoding="utf-8")


if __name__ == "__main__":
    main()

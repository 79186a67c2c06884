"""Flags, made from the declaration of the settings, and what people write on a command line."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zemosaic.cli.examples import COMMAND_EXAMPLES, value_for
from zemosaic.cli.session import USAGE, exit_code_text
from zemosaic.folders import absolute

if TYPE_CHECKING:
    from zemosaic.declaration import Declared
    from zemosaic.settings import Settings

__all__ = [
    "JSON_TO_OUTPUT",
    "Parser",
    "WrongUse",
    "add_json",
    "add_settings",
    "flag",
    "json_named",
    "json_target",
    "new_parser",
    "offer",
    "parsed",
    "put_json",
    "reader_of",
    "refuse_doubtful",
    "setting_switches",
    "settings_of",
    "spelled_out",
]

JSON_TO_OUTPUT = Path("-")  # JSON goes to standard output, alone
YES_OR_NO = ("true", "false", "yes", "no", "on", "off", "1", "0")


class WrongUse(SystemExit):
    """A command line that cannot be understood; it has been said on standard error."""

    def __init__(self, text: str) -> None:
        super().__init__(USAGE)
        self.text = text


class Parser(argparse.ArgumentParser):
    """Whose errors still know their words when they end the program."""

    def error(self, message: str) -> NoReturn:
        try:
            super().error(message)
        except SystemExit:
            raise WrongUse(message) from None


def new_parser(command: str, usage: str, text: str) -> argparse.ArgumentParser:
    return Parser(
        prog=f"zemosaic {command}",
        usage=f"zemosaic {command} {usage}",
        description=text,
        epilog="\n".join(["examples:", *(f"  {line}" for line in COMMAND_EXAMPLES[command]), "", exit_code_text()]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )


def add_settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Flags for these settings, and unseen those that only the first release knew."""
    from zemosaic.first_release import NO_EFFECT, RENAMED
    from zemosaic.settings import declared

    config = "settings file (JSON, comments allowed). Example: --config M31.json."
    parser.add_argument("--config", type=Path, metavar="FILE", help=config)
    parser.add_argument(flag("solver_settings"), type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("-W", dest="winsor_workers", help=argparse.SUPPRESS)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name in names:
        about = declared()[name]
        group = groups.get(about.group) or groups.setdefault(about.group, parser.add_argument_group(about.group))
        action = group.add_argument(flag(name), dest=name, metavar=_metavar(about), help=_help(about))
        words = about.choices or (("true", "false") if about.kind is bool else ())
        if words:  # what is given is checked with the other settings, capitals or not
            offer(action, words)
    for name in (*NO_EFFECT, *RENAMED):
        parser.add_argument(flag(name), dest=name, help=argparse.SUPPRESS)


def offer(action: argparse.Action, words: Sequence[str] | Mapping[str, str]) -> None:
    """What shells complete there, with what each word means where that is known."""
    setattr(action, "completer", lambda **_: words)  # noqa: B010 - argcomplete looks for it


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    about = f"{what}: into FILE, which ends in .json, or alone to standard output (put it last then). Example: --json."
    parser.add_argument("--json", nargs="?", const=JSON_TO_OUTPUT, metavar="FILE", type=Path, help=about)


def json_target(parser: argparse.ArgumentParser, given: dict[str, Any]) -> Path | None:
    """Where JSON is wanted; what was given has it no more."""
    target: Path | None = given.pop("json", None)
    if target is None or target == JSON_TO_OUTPUT:
        return target
    if target.suffix.lower() != ".json":
        parser.error(
            f"--json takes a file name that ends in .json, or nothing (got '{target}'); put it last for nothing"
        )
    return absolute(target)


def json_named(arguments: Sequence[str]) -> Path | None:
    """Where a command line that may be wrong wants its JSON; None where it wants none, or where that could be an input."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    if "--json" not in words:
        return None
    after = words.index("--json") + 1
    file = Path(words[after]) if after < len(words) else JSON_TO_OUTPUT
    if file.suffix.lower() != ".json":
        return JSON_TO_OUTPUT
    file, others = absolute(file), {absolute(Path(word)) for word in (*words[: after - 1], *words[after + 1 :])}
    return None if others & {file, *file.parents} else file


def put_json(target: Path, text: str) -> None:
    from zemosaic.frame_report import write_report

    if target == JSON_TO_OUTPUT:
        print(text)
    else:
        write_report(target, text.rstrip() + "\n")


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _metavar(about: Declared) -> str:
    if about.choices:
        return "{" + ",".join(about.choices) + "}"
    return {bool: "{true,false}", int: "N", float: "X", str: about.unit.upper()}[about.kind]


def _help(about: Declared) -> str:
    limits = f" Expected: {about.range_text()}." if about.limits else ""
    default = str(about.default).lower() or "none"
    example = f"Example: {flag(about.name)} {value_for(about)}".rstrip()
    return f"{about.text}{limits} Default: {default}. {example}".replace("%", "%%")


def setting_switches() -> list[str]:
    """Settings whose flag may stand alone, today or in the first release."""
    from zemosaic.first_release import SWITCHES
    from zemosaic.settings import declared

    return [*SWITCHES, *(about.name for about in declared().values() if about.kind is bool)]


def spelled_out(arguments: Sequence[str], switches: Sequence[str]) -> list[str]:
    """Flags with hyphens; `--switch` alone is `--switch=true`, what follows is its value only if it says yes or no."""
    known = {flag(name) for name in switches}
    result: list[str] = []
    for argument in (*arguments, ""):
        if result and result[-1] in known:
            said = argument.lower() in YES_OR_NO
            result[-1] += f"={argument}" if said else "=true"
            if said:
                continue
        name, equals, value = argument.partition("=")
        result.append(flag(name[2:]) + equals + value if name.startswith("--") else argument)
    return result[:-1]


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    """What was given, by name; flags may stand between the paths."""
    from zemosaic.refusals import suggestion
    from zemosaic.settings import declared

    known, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        if not unknown[0].startswith("-"):
            _refuse_value(parser, arguments, unknown[0])
        name = unknown[0].lstrip("-").split("=")[0].replace("-", "_")
        hint = re.sub(r"'(\w+)'", lambda found: flag(found[1]), suggestion(name, declared()))
        if name.startswith("no_") and name[3:] in setting_switches():
            hint = f"; write {flag(name[3:])} false"
        parser.error(f"there is no flag {unknown[0]}{hint}")
    return vars(known)


def _refuse_value(parser: argparse.ArgumentParser, arguments: Sequence[str], value: str) -> NoReturn:
    """An argument that nothing takes: as a rule the value of a switch, which says neither yes nor no."""
    before = arguments[max(0, arguments.index(value) - 1)]
    hint = "a name with spaces needs quotes"
    if before.endswith("=true"):
        hint = f"{before.removesuffix('=true')} takes true, false or nothing"
    parser.error(f"{value!r} is one argument too many; {hint}")


def refuse_doubtful(
    parser: argparse.ArgumentParser, arguments: Sequence[str], switches: Sequence[str], paths: Sequence[Path]
) -> None:
    """Refuse a word after a switch that says neither yes nor no, where input and output are there without it.

    It may be a path where more follow and it exists, or where less than two paths came before.
    """
    known = {flag(name) for name in switches}
    for switch, word in itertools.pairwise(arguments):
        if switch[:2] != "--" or flag(switch[2:]) not in known or word.lower() in YES_OR_NO:
            continue
        if Path(word) in paths[2:] and (word == arguments[-1] or not Path(word).exists()):
            parser.error(
                f"{switch} takes true, false or nothing (got {word!r}); if that is a path, write {switch}=true before it"
            )


def settings_of(given: dict[str, Any]) -> tuple[Settings, list[str]]:
    from zemosaic.settings_files import load_settings

    files = [given.pop(name) for name in ("config", "solver_settings") if name in given]
    return load_settings(given, files=files)


def reader_of(kind: type) -> Callable[[str], object]:
    """What turns the text of a flag into a value; argparse tells its errors."""

    if kind is tuple:
        return lambda text: tuple(map(float, text.split(",", 1)))
    if kind is bool:
        return _yes_or_no
    return kind


def _yes_or_no(text: str) -> bool:
    if text.lower() not in YES_OR_NO:
        raise argparse.ArgumentTypeError(f"must be true or false (got {text!r})")
    return YES_OR_NO.index(text.lower()) % 2 == 0

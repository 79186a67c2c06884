"""Settings from files and flags: found, read, translated from the first release's words, checked; each failure in words.

Order of precedence: built in < the user's file < `zemosaic_config.json` in the working folder < `--config` < `--solver-settings`
< flags.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from zemosaic.errors import SettingsError
from zemosaic.first_release import NO_EFFECT, RENAMED, RENAMED_VALUES
from zemosaic.refusals import suggestion
from zemosaic.settings import Settings

__all__ = ["CONFIG_NAME", "load_settings", "parse_json", "refused", "user_file"]

CONFIG_NAME = "zemosaic_config.json"


def user_file() -> Path:
    """The user's own configuration file, in the folder where the system keeps such files."""
    return platformdirs.user_config_path("zemosaic", appauthor=False) / CONFIG_NAME


def load_settings(
    flags: Mapping[str, object] | None = None, *, files: Sequence[Path] = (), folder: Path | None = None
) -> tuple[Settings, list[str]]:
    """The settings of a run, and one line for each thing that the user should know about them.

    Parameters
    ----------
    flags : values by name, from the command line
    files : files named by the user, later ones win; they must exist
    folder : folder whose `zemosaic_config.json` is read when there is one (default: the working folder)

    Raises
    ------
    SettingsError
        With all that is wrong in the first source that has something wrong.
    """
    found = [path for path in (user_file(), (folder or Path.cwd()) / CONFIG_NAME) if path.is_file()]
    values: dict[str, object] = {}
    notes: list[str] = []
    for path in dict.fromkeys([*found, *files]):
        given = _read(path)
        values |= _translated(given, str(path), notes)
        if given:
            notes.append(f"settings read from {path}")
    if flags:
        values |= _translated(flags, "command line", notes)
    return _checked(values, "settings"), list(dict.fromkeys(notes))


def _translated(given: Mapping[str, object], source: str, notes: list[str]) -> dict[str, object]:
    """The values of one source in today's words, all checked; what cannot be used is noted."""
    values: dict[str, object] = {}
    without_effect: dict[str, list[str]] = defaultdict(list)
    for key, value in given.items():
        name = key.replace("-", "_")
        name = RENAMED.get(name, name)
        if name in NO_EFFECT:
            without_effect[NO_EFFECT[name]].append(name)
        elif name not in Settings.model_fields:
            notes.append(
                f"{source}: there is no setting {key!r}; it is ignored{suggestion(name, Settings.model_fields)}"
            )
        else:
            words = RENAMED_VALUES.get(key.replace("-", "_"), RENAMED_VALUES.get(name, {}))
            new, why = words.get("" if value is None else str(value).strip().lower(), (value, ""))
            if new != "" or value == "":
                values[name] = new
            if why:
                meant = f"is taken as {new}" if new else "sets nothing"
                notes.append(f"{source}: {name} = {value} {meant}: {why}")
    for why, names in without_effect.items():
        notes.append(f"{source}: no effect of {', '.join(names)}: {why}")
    _checked(values, source)
    return values


def _checked(values: Mapping[str, object], source: str) -> Settings:
    return Settings.model_validate(values, context=source)


def refused(name: str, value: object) -> str:
    """Why a value cannot be the setting `name`, in a word that the texts for people have a sentence for; "" when it can.

    `choice`: none of the words that it may be; `bool`, `int`, `float`, `str`: not of that kind; `limits`: outside of them; the
    name of the setting: not in the form that this one has.
    """
    try:
        Settings.model_validate({name: value})
    except SettingsError as error:
        return error.wrong[0].kind
    return ""


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"there is no settings file {path}; look at its name and folder") from None
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error}") from error
    try:
        values = parse_json(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg.lower()}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected an object in braces, {{...}}, got {type(values).__name__}")
    return values


_STRING = r'"(?:\\.|[^"\\\n])*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|\#[^\n]*|/\*.*?\*/|^[ \t]*```[^\n]*", re.DOTALL | re.MULTILINE)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[\]}}])")


def parse_json(text: str) -> Any:
    """JSON with comments (`//`, `#`, `/* */`), code fences (```` ``` ````) and trailing commas.

    All of these become spaces, so that an error's line and column are those of the file.
    """

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])

    return json.loads(_TRAILING_COMMA.sub(blank, _COMMENT.sub(blank, text)))

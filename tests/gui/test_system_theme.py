"""Whether the system is dark: the answers of Windows, macOS and GNOME, as these give them."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zemosaic.gui.system_theme import paint_frame, system_is_dark


class Key:
    def __enter__(self) -> Key:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def registry(values: dict[str, int]) -> SimpleNamespace:
    """As much of `winreg` as is needed."""

    def query(key: Key, name: str) -> tuple[int, int]:
        if name not in values:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return values[name], 4

    def open_key(root: str, path: str) -> Key:
        assert (root, path) == ("user", r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize")
        return Key()

    return SimpleNamespace(HKEY_CURRENT_USER="user", OpenKey=open_key, QueryValueEx=query)


@pytest.mark.parametrize(
    ("values", "dark"), [({"AppsUseLightTheme": 0}, True), ({"AppsUseLightTheme": 1}, False), ({}, False)]
)
def test_windows(monkeypatch: pytest.MonkeyPatch, values: dict[str, int], dark: bool) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "winreg", registry(values))
    assert system_is_dark() is dark


@pytest.mark.parametrize(
    ("platform", "program", "asked", "script", "dark"),
    [
        ("darwin", "defaults", "read -g AppleInterfaceStyle", "echo Dark", True),
        # in light mode there is no such key
        ("darwin", "defaults", "read -g AppleInterfaceStyle", "echo 'The domain/default pair does not exist' >&2; exit 1", False),
        ("linux", "gsettings", "get org.gnome.desktop.interface color-scheme", "echo \"'prefer-dark'\"", True),
        ("linux", "gsettings", "get org.gnome.desktop.interface color-scheme", "echo \"'default'\"", False),
        ("linux", "gsettings", "", "exit 1", False),
        ("linux", "none", "", "echo dark", False),
    ],
)  # fmt: skip
def test_systems_that_are_asked_by_a_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, program: str, asked: str, script: str, dark: bool
) -> None:
    said = tmp_path / "said"
    file = tmp_path / program
    file.write_text(f'#!/bin/sh\necho "$@" > "{said}"\n{script}\n')
    file.chmod(0o755)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system_is_dark() is dark
    assert not asked or said.read_text().strip() == asked


def test_the_title_bar_follows_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, int, int]] = []

    def set_attribute(window: int, attribute: int, value: Any, size: int) -> None:
        told.append((window, attribute, value._obj.value, size))

    libraries = SimpleNamespace(
        user32=SimpleNamespace(GetParent=lambda window: window + 1),
        dwmapi=SimpleNamespace(DwmSetWindowAttribute=set_attribute),
    )
    paint_frame(7, dark=True)  # elsewhere nothing happens
    monkeypatch.setattr(sys, "platform", "win32")
    paint_frame(7, dark=True)  # no such library
    assert not told
    monkeypatch.setattr(ctypes, "windll", libraries, raising=False)
    paint_frame(7, dark=True)
    paint_frame(7, dark=False)
    assert told == [(8, 20, 1, 4), (8, 20, 0, 4)]

"""Opening the window, or saying in words why there is none."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from zemosaic.messages import Messages
from zemosaic.settings import Settings

__all__ = ["Opening", "open_window"]

PACKAGES = ("sv_ttk",)  # of the extra "gui"


@dataclass(frozen=True)
class Opening:
    """What the window is filled in with."""

    inputs: tuple[Path, ...]
    output: Path | None
    settings: Settings
    kept: Settings  # the same without flags: those of the user's files
    notes: tuple[str, ...]  # a line for each thing to know about the settings


def open_window(opening: Opening) -> bool:
    """Show the window until it is closed; False when there can be none, and standard error says why."""
    say = Messages(opening.settings.language)
    try:
        import tkinter
    except ImportError:
        print(say("gui.absent.tkinter", python=sys.executable), file=sys.stderr)
        return False
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            print(say("gui.absent.package", name=name, python=sys.executable), file=sys.stderr)
            return False
    from zemosaic.gui.icon import show_icon
    from zemosaic.gui.sizes import follow_desktop
    from zemosaic.gui.theme import Theme, be_sharp
    from zemosaic.gui.window import Window

    be_sharp()
    try:
        root = tkinter.Tk(className="ZeMosaic")
    except tkinter.TclError as error:
        print(say("gui.absent.screen", reason=error), file=sys.stderr)
        return False
    follow_desktop(root)
    show_icon(root)
    Window(root, Theme(root), opening).run()
    return True

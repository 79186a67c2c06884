"""Opening the window, or saying in words why there is none."""

from __future__ import annotations

import importlib.util
import sys

from zemosaic.gui.opening import Opening
from zemosaic.messages import Messages

__all__ = ["open_window"]

PACKAGES = ("sv_ttk",)  # of the extra "gui"


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

"""Letters that press a button together with Alt, underlined in its text, as is usual on Windows and Linux.

They follow from the texts, so that every language has its own: of each text the first letter of a word that is still free, else
any letter of it. Buttons of the bar come first and keep theirs on all pages. On macOS Option types letters: there are none.
"""

from __future__ import annotations

import re
import string
import sys
import tkinter as tk
from collections.abc import Callable, Iterator, Sequence, Set
from tkinter import ttk

from zemosaic.gui.scrolled import Scrolled

__all__ = ["answer_alt", "pressable", "underline"]

KINDS = ttk.Button | ttk.Checkbutton | ttk.Radiobutton
USUAL = sys.platform != "darwin"
CONTROL = 0x0004  # of an event's state; AltGr is Control and Alt on Windows


def pressable(parent: tk.Misc) -> Iterator[KINDS]:
    """Buttons in the order in which they were made, shown or not; none of what scrolls, as the rows of settings."""
    for child in parent.winfo_children():
        if isinstance(child, KINDS):
            yield child
        elif not isinstance(child, Scrolled):
            yield from pressable(child)


def underline(*parents: tk.Misc) -> None:
    """Underline a letter of each button; the buttons of a parent leave those before it theirs.

    No letter means two things: buttons of a page with the same text do the same, and share one.
    """
    if not USUAL:
        return
    taken = set[str]()
    for parent in parents:
        buttons = [(button, str(button.cget("text"))) for button in pressable(parent)]
        texts = list(dict.fromkeys(text for _, text in buttons))
        places = dict(zip(texts, _places(texts, taken), strict=True))
        for button, text in buttons:
            button.configure(underline=places[text])
        taken |= {text[place].lower() for text, place in places.items() if place >= 0}


def _places(texts: Sequence[str], taken: Set[str]) -> list[int]:
    """Where in each text its letter is, none twice and none of `taken`; -1 where none is left for it.

    A letter that two texts want goes to the first one, unless it has another choice and the second has none (augmenting paths,
    Kuhn 1955, Naval Research Logistics Quarterly 2, 83).
    """
    owner: dict[str, int] = {}  # of letters, by number of a text
    wanted = [_wishes(text) for text in texts]

    def find(text: int, asked: set[str]) -> bool:
        for letter in wanted[text]:
            if letter not in taken and letter not in asked:
                asked.add(letter)
                if letter not in owner or find(owner[letter], asked):
                    owner[letter] = text
                    return True
        return False

    for text in range(len(texts)):
        find(text, set())
    found = {text: wanted[text][letter] for letter, text in owner.items()}
    return [found.get(text, -1) for text in range(len(texts))]


def _wishes(text: str) -> dict[str, int]:
    """Letters without accent and where they are, those at the beginning of words first."""
    starts = [found.start() for found in re.finditer(r"\b\w", text)]
    wishes: dict[str, int] = {}
    for place in (*starts, *range(len(text))):
        if text[place].lower() in string.ascii_lowercase:
            wishes.setdefault(text[place].lower(), place)
    return wishes


def answer_alt(root: tk.Tk, parents: Callable[[], tuple[tk.Misc, ...]]) -> None:
    """Alt and a letter press the button of the bar or of the page in sight that has it underlined.

    parents : whose buttons count now, as `underline` takes them; texts may have changed since, so Alt underlines anew
    """
    if not USUAL:
        return
    for key in ("Alt_L", "Alt_R"):
        root.bind(f"<KeyPress-{key}>", lambda _: underline(*parents()), add=True)
    root.bind("<Alt-KeyPress>", lambda event: _press(event, parents()))


def _press(event: tk.Event[tk.Misc], parents: tuple[tk.Misc, ...]) -> str | None:
    letter = event.keysym.lower()
    if isinstance(event.state, int) and event.state & CONTROL:
        return None
    for button in (button for parent in parents for button in pressable(parent)):
        place, text = int(str(button.cget("underline"))), str(button.cget("text"))
        if place >= 0 and text[place : place + 1].lower() == letter and button.winfo_viewable():
            if button.instate(["!disabled"]):
                button.focus_set()
                button.invoke()
            return "break"
    return None

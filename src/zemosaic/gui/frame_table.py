"""The table of frames: sort, search, filter by state, select, leave out. Only the rows in view are known to Tk."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Iterable, Sequence
from functools import partial
from tkinter import ttk
from typing import Literal

import numpy as np

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.frame_columns import COLUMNS, Column, cells, reason_words
from zemosaic.gui.frame_model import ALL, EXCLUDED, GOOD, LEFT_OUT, USABLE, FrameModel
from zemosaic.gui.shades import follow_theme
from zemosaic.gui.sizes import px
from zemosaic.gui.slices import Sliced
from zemosaic.gui.table_bar import TableBar
from zemosaic.gui.words import Words
from zemosaic.quality import FrameQuality

__all__ = ["FrameTable"]

MARK = "mark"  # the column that says whether a frame takes part
IN, OUT = "☑", "☐"
WHEEL = 3  # rows
SHIFT, CONTROL = 0x1, 0x4  # bits of an event's state


class FrameTable(ttk.Frame):
    """Table of frames.

    Parameters
    ----------
    choice : what is selected and left out, shared with the sky view
    """

    def __init__(self, parent: tk.Misc, tr: Words, choice: FrameChoice) -> None:
        super().__init__(parent)
        self._tr, self.choice = tr, choice
        self.model = FrameModel(tr)
        self._top, self._cursor, self._anchor = 0, 0, 0  # places in the model's order
        self._followed: frozenset[str] = frozenset()
        self._choosing = Sliced(self)
        follow_theme(self)
        self.bar = TableBar(self, tr, choice, self._choose)
        self.bar.grid(row=0, column=0, columnspan=2, sticky="ew", padx=px(self, 12), pady=px(self, 8))
        self._make_tree()
        self.rowconfigure(1, weight=1)
        self.columnconfigure(0, weight=1)
        choice.listen(self._choice_changed)
        self.bind("<<ThemeChanged>>", lambda _: self._themed(), add=True)
        self.retranslate()

    # ---- what the rest of the window asks

    def set_rows(self, rows: Sequence[FrameQuality]) -> None:
        """Show these; selection, order and filter stay."""
        self.model.set_rows(rows)
        self._list_states()
        self._choose()

    def show(self, file: str) -> None:
        """Bring a file into view, when it is among those shown."""
        number = self.model.place.get(file, -1)
        places = (self.model.order == number).nonzero()[0]
        if len(places):
            self._cursor = self._anchor = int(places[0])
            self._see(self._cursor)

    def finish(self) -> None:
        """Do at once what is being filtered."""
        self._choosing.finish()

    def search(self, words: str, state: str = ALL) -> None:
        """Show the rows in which all words appear (or whose numbers fit, as in fwhm>4) and that are in this state."""
        self.bar.look_for(words, state)
        self._choose()

    def sort(self, key: str) -> None:
        """Sort by a column; once more: the other way round."""
        again = key == self.model.sorted_by
        self.model.sort(key, reverse=again and not self.model.reverse)
        self._head()
        self._go(0)

    def _sort_beside(self, step: int, _: tk.Event[ttk.Treeview]) -> str:
        """By the next column, or the one before."""
        keys = [column.key for column in COLUMNS]
        at = keys.index(self.model.sorted_by) + step if self.model.sorted_by else 0
        self.sort(keys[at % len(keys)])
        self.tree.xview_moveto(max(at % len(keys) - 1, 0) / len(keys))
        return "break"

    def _sort_towards(self, reverse: bool, _: tk.Event[ttk.Treeview]) -> str:
        """Upwards or downwards."""
        if self.model.sorted_by and self.model.reverse is not reverse:
            self.sort(self.model.sorted_by)
        return "break"

    def retranslate(self) -> None:
        self.bar.retranslate()
        self._list_states()
        self.model.forget_words()
        self._head()
        if self.model.sorted_by:
            self.model.sort(self.model.sorted_by, reverse=self.model.reverse)
        self._refresh()

    # ---- widgets

    def _make_tree(self) -> None:
        keys = [MARK, *(column.key for column in COLUMNS)]
        self.tree = ttk.Treeview(
            self, columns=keys, show="headings", selectmode="none", height=4, style="Frames.Treeview"
        )
        self.tree.column(MARK, width=px(self, 40), stretch=False, anchor="center")
        for column in COLUMNS:
            self.tree.column(column.key, width=px(self, column.width), stretch=False, anchor=_side(column))
        self._bar = ttk.Scrollbar(self, orient="vertical", command=self._bar_moved, takefocus=False)
        along = ttk.Scrollbar(self, orient="horizontal", command=self.tree.xview, takefocus=False)
        self.tree.configure(xscrollcommand=along.set)
        self.tree.grid(row=1, column=0, sticky="nsew", padx=(px(self, 12), 0))
        self._bar.grid(row=1, column=1, sticky="ns", padx=(0, px(self, 12)))
        along.grid(row=2, column=0, sticky="ew", padx=(px(self, 12), 0))
        self._about = ttk.Label(self, style="Dim.TLabel", justify="left")
        self._about.grid(row=3, column=0, columnspan=2, sticky="ew", padx=px(self, 12), pady=px(self, 8))
        self._about.bind("<Configure>", lambda event: self._about.configure(wraplength=event.width))
        self.tree.bind("<Configure>", lambda _: self._resized())
        self.tree.bind("<Button-1>", self._clicked)
        self.tree.bind("<B1-Motion>", self._dragged)
        for event, rows in (("<Button-4>", -WHEEL), ("<Button-5>", WHEEL)):
            self.tree.bind(event, partial(self._wheel, rows))
        self.tree.bind("<MouseWheel>", lambda event: self._scroll(-WHEEL if event.delta > 0 else WHEEL))
        for key, rows in (("Up", -1), ("Down", 1)):
            self.tree.bind(f"<{key}>", partial(self._step, rows))
        self.tree.bind("<Prior>", lambda event: self._key(event, self._cursor - self._page()))
        self.tree.bind("<Next>", lambda event: self._key(event, self._cursor + self._page()))
        self.tree.bind("<Home>", lambda event: self._key(event, 0))
        self.tree.bind("<End>", lambda event: self._key(event, len(self.model.order) - 1))
        self.tree.bind("<Control-a>", lambda _: self._select_all())
        self.tree.bind("<space>", lambda _: self._toggle())
        for key, step in (("Left", -1), ("Right", 1)):
            self.tree.bind(f"<Control-{key}>", partial(self._sort_beside, step))
        for key, reverse in (("Up", False), ("Down", True)):
            self.tree.bind(f"<Control-{key}>", partial(self._sort_towards, reverse))
        self._themed()

    def _themed(self) -> None:
        colours = follow_theme(self)
        self.tree.tag_configure("out", foreground=colours.dim)
        self.tree.tag_configure("excluded", foreground=colours.wrong)

    def _head(self) -> None:
        self.tree.heading(MARK, text=IN)
        for column in COLUMNS:
            arrow = ("  ▼" if self.model.reverse else "  ▲") if column.key == self.model.sorted_by else ""
            sort = partial(self.sort, column.key)
            self.tree.heading(column.key, text=self._tr(column.heading) + arrow, anchor=_side(column), command=sort)

    def _list_states(self) -> None:
        counts = {ALL: len(self.model.rows), USABLE: None, LEFT_OUT: None, EXCLUDED: None}
        self.bar.list_states({**counts, **dict(self.model.states())})

    # ---- choosing and showing

    def _choose(self) -> None:
        self._choosing.start(
            self.model.choose(self.bar.words.get(), self.bar.state_wanted, self.choice.excluded), self._chosen
        )

    def _chosen(self) -> None:
        last = max(len(self.model.order) - 1, 0)
        self._cursor, self._anchor = min(self._cursor, last), min(self._anchor, last)
        self._resized()

    def _page(self) -> int:
        """Rows that are in view as a whole."""
        height = int(ttk.Style(self).lookup("Treeview", "rowheight") or 20)
        head = 0
        first = next(iter(self.tree.get_children()), "")
        box = self.tree.bbox(first) if first else ""
        if box:
            head, height = int(box[1]), int(box[3])
        return max((self.tree.winfo_height() - head) // max(height, 1), 1)

    def _resized(self) -> None:
        """Have as many items as rows fit."""
        wanted = min(self._page() + 1, len(self.model.order))
        have = len(self.tree.get_children())
        for number in range(have, wanted):
            self.tree.insert("", "end", str(number))
        if wanted < have:
            self.tree.delete(*(str(number) for number in range(wanted, have)))
        self._go(self._top)

    def _go(self, top: int) -> None:
        self._top = min(max(top, 0), max(len(self.model.order) - self._page(), 0))
        self._refresh()

    def _see(self, place: int) -> None:
        page = self._page()
        if not self._top <= place < self._top + page:
            self._top = place if place < self._top else place - page + 1
        self._go(self._top)

    def _refresh(self) -> None:
        """Write the rows in view, and how many there are."""
        shown, chosen = self.model.order, []
        for offset, item in enumerate(self.tree.get_children()):
            place = self._top + offset
            if place >= len(shown):
                self.tree.item(item, values=("",) * (len(COLUMNS) + 1), tags=())
                continue
            row = self.model.rows[int(shown[place])]
            out = row.file in self.choice.excluded
            tag = "excluded" if out else "" if row.state in GOOD else "out"
            self.tree.item(item, values=(OUT if out else IN, *cells(row, self._tr)), tags=(tag,))
            if row.file in self.choice.selected:
                chosen.append(item)
        self.tree.selection_set(chosen)
        total, page = max(len(shown), 1), self._page()
        self._bar.set(self._top / total, min((self._top + page) / total, 1.0))
        self.bar.tell(len(shown), len(self.model.rows), len(self.choice.selected))
        self._about.configure(text=self._told())

    def _told(self) -> str:
        """The whole path and reason of the row at the cursor when it is selected, always two lines."""
        if not self._cursor < len(self.model.order):
            return "\n"
        row = self.model.rows[int(self.model.order[self._cursor])]
        if row.file not in self.choice.selected:
            return "\n"
        return f"{row.file}\n{reason_words(row, self._tr)}"

    def _bar_moved(self, what: str, amount: str, unit: str = "") -> None:
        if what == "moveto":
            self._go(round(float(amount) * len(self.model.order)))
        else:
            self._scroll(int(amount) * (self._page() if unit == "pages" else 1))

    def _wheel(self, rows: int, _: tk.Event[ttk.Treeview]) -> str:
        return self._scroll(rows)

    def _step(self, rows: int, event: tk.Event[ttk.Treeview]) -> str:
        return self._key(event, self._cursor + rows)

    def _scroll(self, rows: int) -> str:
        self._go(self._top + rows)
        return "break"

    # ---- selecting

    def _place_at(self, y: int) -> int | None:
        item = self.tree.identify_row(y)
        place = self._top + int(item) if item else -1
        return place if 0 <= place < len(self.model.order) else None

    def _file(self, place: int) -> str:
        return self.model.rows[int(self.model.order[place])].file

    def _clicked(self, event: tk.Event[ttk.Treeview]) -> str | None:
        self.tree.focus_set()
        place = self._place_at(event.y)
        if self.tree.identify_region(event.x, event.y) != "cell" or place is None:
            return None
        file = self._file(place)
        if self.tree.identify_column(event.x) == "#1":
            self.choice.toggle(self.choice.selected if file in self.choice.selected else (file,))
            return "break"
        state = int(event.state)
        if state & SHIFT:
            self._extend(place)
        elif state & CONTROL:
            self._cursor = self._anchor = place
            self._select(self.choice.selected ^ {file})
        else:
            self._cursor = self._anchor = place
            self._select((file,))
        return "break"

    def _dragged(self, event: tk.Event[ttk.Treeview]) -> str | None:
        place = self._place_at(event.y)
        if self.tree.identify_region(event.x, event.y) != "cell" or place is None or place == self._cursor:
            return None
        self._extend(place)
        return "break"

    def _select(self, files: Iterable[str]) -> None:
        self._followed = frozenset(files)
        self.choice.select(self._followed)

    def _extend(self, place: int) -> None:
        """Select all from the anchor to there."""
        self._cursor = place
        first, last = sorted((self._anchor, place))
        self._select(self._file(each) for each in range(first, last + 1))

    def _key(self, event: tk.Event[ttk.Treeview], place: int) -> str:
        if len(self.model.order):
            place = min(max(place, 0), len(self.model.order) - 1)
            if int(event.state) & SHIFT:
                self._extend(place)
            else:
                self._cursor = self._anchor = place
                self._select((self._file(place),))
            self._see(place)
        return "break"

    def _select_all(self) -> str:
        self._select(self.model.rows[number].file for number in self.model.order)
        return "break"

    def _toggle(self) -> str:
        self.choice.toggle(self.choice.selected)
        return "break"

    def _choice_changed(self) -> None:
        self._follow()
        if self.bar.state_wanted in (USABLE, LEFT_OUT, EXCLUDED):
            self._choose()
        self._refresh()

    def _follow(self) -> None:
        """Bring what was selected elsewhere into view."""
        selected = self.choice.selected
        if selected == self._followed:
            return
        self._followed = selected
        order = self.model.order
        if not selected or (self._cursor < len(order) and self._file(self._cursor) in selected):
            return
        numbers = [number for file in selected if (number := self.model.place.get(file, -1)) >= 0]
        places = np.flatnonzero(np.isin(order, numbers))
        if len(places):
            self._cursor = self._anchor = int(places[0])
            if not ((places >= self._top) & (places < self._top + self._page())).any():
                self._see(self._cursor)


def _side(column: Column) -> Literal["e", "w"]:
    """Numbers stand at the right, words at the left."""
    return "e" if column.is_number else "w"

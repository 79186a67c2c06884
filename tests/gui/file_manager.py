"""A file manager that drops files onto another window, as the XDND protocol (version 5) of freedesktop.org says.

python file_manager.py X Y PATH...

X Y : px of the screen. Ends with 0 when the window has taken them, with 1 when it refused.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from Xlib import X, Xatom
from Xlib.display import Display
from Xlib.protocol import event
from Xlib.xobject.drawable import Window

VERSION = 5
PATIENCE = 10.0  # s


def main(x: int, y: int, paths: list[str]) -> int:
    display = Display()
    root = display.screen().root
    atom = display.intern_atom
    selection, uris, copying = map(atom, ("XdndSelection", "text/uri-list", "XdndActionCopy"))
    source = root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
    data = "".join(f"{Path(path).as_uri()}\r\n" for path in paths).encode()
    target = under(root, x, y, atom("XdndAware"))
    source.set_selection_owner(selection, X.CurrentTime)

    def tell(name: str, *numbers: int) -> None:
        five = [source.id, *numbers, *[0] * (4 - len(numbers))]
        message = event.ClientMessage(window=target, client_type=atom(name), data=(32, five))
        target.send_event(message)
        display.flush()

    tell("XdndEnter", VERSION << 24, uris)
    tell("XdndPosition", 0, x << 16 | y, X.CurrentTime, copying)
    until, dropped = time.monotonic() + PATIENCE, False
    while time.monotonic() < until:
        if not display.pending_events():
            select.select([display], [], [], 0.05)
            continue
        heard = display.next_event()
        if heard.type == X.SelectionRequest:
            heard.requestor.change_property(heard.property, uris, 8, data)
            answer = event.SelectionNotify(
                time=heard.time, requestor=heard.requestor, selection=heard.selection, target=heard.target,
                property=heard.property,
            )  # fmt: skip
            heard.requestor.send_event(answer)
        elif heard.type == X.ClientMessage and heard.client_type == atom("XdndStatus"):
            if not heard.data[1][1] & 1:
                tell("XdndLeave")
                return 1
            if not dropped:
                tell("XdndDrop", 0, X.CurrentTime)
                dropped = True
        elif heard.type == X.ClientMessage and heard.client_type == atom("XdndFinished"):
            return 0 if heard.data[1][2] == copying else 1  # tkdnd names what it did, and sets no flag
    return 1


def under(root: Window, x: int, y: int, aware: int) -> Window:
    """The uppermost window at a place that takes drops."""
    found = root
    while found := found.translate_coords(root, x, y).child:
        if found.get_full_property(aware, Xatom.ATOM) is not None:
            return found
    raise LookupError(f"no window at {x} {y} takes drops")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))

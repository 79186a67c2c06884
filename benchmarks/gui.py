"""Longest time that the window does not answer, with many frames: single events of Tk, by what is done.

    python benchmarks/gui.py [FRAMES]

Opens a window; without a screen: `xvfb-run -a -s "-screen 0 1280x720x24" python benchmarks/gui.py`. Times are of this process's
processor, so that other work on the machine counts little; with them the wall clock's.
"""

from __future__ import annotations

import math
import random
import sys
import time
import tkinter as tk
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from tkinter import ttk

import numpy as np
import sv_ttk

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.frame_table import FrameTable
from zemosaic.gui.presets import Presets
from zemosaic.gui.settings_form import SettingsForm
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.gui.skyview import SkyView
from zemosaic.imaging.projection import tan_deproject
from zemosaic.messages import Messages
from zemosaic.quality import FrameQuality

PANELS = 5, 4
WIDTH, HEIGHT = 0.711, 1.264  # deg, of an S50 frame
CENTRE = 10.68, 41.27
QUIET = 0.4  # s without an event: what was asked for is done
ROW = FrameQuality(
    file="", state="used", reason="", target="M 31", filter="LP", instrument="S50_1d3f 2.90um 250mm 1x1 1080x1920", panel=0,
    date_obs="", exposure=10.0, fwhm=3.5, fwhm_arcsec=8.3, roundness=0.9, stars=200, expected=210.0, sky=900.0, noise=21.0,
    clipped=0.0, transparency=1.0, uneven=30.0, common=60, catalogue=25, residual=0.5, weight=1.0, remarks=(),
)  # fmt: skip


def made_up(count: int) -> tuple[list[FrameQuality], list[SkyFrame]]:
    """A night of an alt-azimuth telescope over some panels."""
    chance, rows, places = random.Random(1), [], []
    for k in range(count):
        panel = k % (PANELS[0] * PANELS[1])
        file = f"/night/Light_mosaic_M 31_10.0s_LP_20250114-{k:06d}.fit"
        rows.append(
            replace(
                ROW,
                file=file,
                state="clouded" if k % 19 == 0 else "used",
                reason="Its stars have 9 % of the usual light." if k % 19 == 0 else "",
                panel=panel,
                date_obs=f"2025-01-14T20:{k // 60 % 60:02d}:{k % 60:02d}",
                fwhm_arcsec=chance.gauss(8.5, 0.8),
                stars=chance.randint(80, 400),
            )
        )
        turn, x, y = (
            chance.uniform(-0.35, 0.35),
            np.array([-1, 1, 1, -1]) * WIDTH / 2,
            np.array([-1, -1, 1, 1]) * HEIGHT / 2,
        )
        u = (panel % PANELS[0] - 2) * 0.75 * WIDTH + chance.gauss(0, 0.03) + x * math.cos(turn) - y * math.sin(turn)
        v = (panel // PANELS[0] - 1.5) * 0.75 * HEIGHT + chance.gauss(0, 0.03) + x * math.sin(turn) + y * math.cos(turn)
        ra, dec = (tuple(each.tolist()) for each in tan_deproject(u, v, *CENTRE))
        places.append(SkyFrame(file, panel, "M 31", ra, dec, True))  # type: ignore[arg-type]
    return rows, places


class Watch:
    """Serves events one at a time and keeps the longest."""

    def __init__(self, root: tk.Tk) -> None:
        self.root = root

    def __call__(self, what: str, act: Callable[[], object]) -> None:
        times = [self._timed(act)]
        quiet = time.perf_counter()
        while time.perf_counter() - quiet < QUIET:
            took = self._timed(lambda: self.root.tk.dooneevent(2))  # 2: do not wait
            if took[2]:
                times.append(took)
                quiet = time.perf_counter()
            else:
                time.sleep(0.002)
        busy, wall = max(each[0] for each in times), max(each[1] for each in times)
        print(f"| {what} | {len(times)} | {1000 * busy:.0f} | {1000 * wall:.0f} |")

    def _timed(self, act: Callable[[], object]) -> tuple[float, float, object]:
        cpu, wall = time.thread_time(), time.perf_counter()
        result = act()
        return time.thread_time() - cpu, time.perf_counter() - wall, result


def main(count: int) -> None:
    rows, places = made_up(count)
    root = tk.Tk()
    root.geometry("1280x720+0+0")
    sv_ttk.set_theme("dark", root)
    root.update()
    watch, tr = Watch(root), Messages()
    print(f"{count} frames\n\n| what | events | longest, ms of processor | ms |\n|---|---|---|---|")
    form = SettingsForm(root, tr, presets=Presets(Path(mkdtemp()) / "presets.json"))
    watch("settings: open", lambda: form.pack(fill="both", expand=True))
    watch("settings: type a value", lambda: form.row("edge_taper").variable.set("40"))
    watch("settings: search", lambda: form.search("memory"))
    watch("settings: all again", lambda: form.search(""))
    watch("settings: other theme", lambda: sv_ttk.set_theme("light", root))
    watch("settings: other language", form.retranslate)
    form.destroy()
    page, choice = ttk.PanedWindow(root, orient="vertical"), FrameChoice()
    sky, table = SkyView(page, tr, choice), FrameTable(page, tr, choice)
    page.add(sky, weight=3)
    page.add(table, weight=2)
    page.pack(fill="both", expand=True)
    watch("frames: open", root.update_idletasks)
    watch("table: show", lambda: table.set_rows(rows))
    watch("sky: show", lambda: sky.set_frames(places))
    watch("table: sort by number", lambda: table.sort("fwhm"))
    watch("table: sort by name", lambda: table.sort("file"))
    watch("table: search", lambda: table.search("fwhm>9 clouds"))
    watch("table: all again", lambda: table.search(""))
    watch("table: focus", table.tree.focus_force)
    watch("table: to the end", lambda: table.tree.event_generate("<End>"))
    watch("select all", lambda: table.tree.event_generate("<Control-a>"))
    watch("leave out all selected", lambda: choice.exclude(choice.selected))
    watch("take all back", lambda: choice.include(choice.excluded))
    watch("sky: wheel", lambda: sky.canvas.event_generate("<Button-4>", x=300, y=150))
    watch("sky: drag", lambda: _drag(sky.canvas))
    watch("sky: lasso", lambda: _drag(sky.canvas, "Shift-"))
    watch("sky: one panel", lambda: sky.look_at(*CENTRE, 1.5))
    watch("sky: 80 degrees", lambda: sky.look_at(*CENTRE, 80.0))
    watch("other theme", lambda: sv_ttk.set_theme("dark", root))
    watch("table: other language", table.retranslate)
    watch("sky: other language", sky.retranslate)
    root.destroy()


def _drag(canvas: tk.Canvas, key: str = "") -> None:
    canvas.event_generate(f"<{key}ButtonPress-1>", x=400, y=20)
    for x, y in ((500, 30), (700, 60), (720, 250), (420, 260)):
        canvas.event_generate(f"<{key}B1-Motion>", x=x, y=y)
    canvas.event_generate(f"<{key}ButtonRelease-1>", x=420, y=260)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

"""Pictures of every page of the window, in both languages and both themes, of a real run on a screen of its own (Xvfb).

python tools/make_screenshots.py NIGHT/lights [FOLDER]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tkinter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageGrab

from zemosaic import settings_files
from zemosaic.gui.opening import Opening
from zemosaic.gui.state import ENDS
from zemosaic.gui.theme import Theme
from zemosaic.gui.window import Window
from zemosaic.messages import LANGUAGES
from zemosaic.settings import Settings

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = "1280x720"
COLOURS = 256  # of a picture, with dither for the sky in it: a third of the size
PATIENCE = 1200.0  # s for the run


@contextmanager
def screen() -> Iterator[str]:
    """A screen without a monitor."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp"], pass_fds=[writer]
    )
    os.close(writer)
    with os.fdopen(reader) as answer:
        name = f":{answer.readline().strip()}"
    try:
        yield name
    finally:
        server.terminate()
        server.wait(10)


def until(root: tkinter.Tk, happened: Callable[[], object], seconds: float = 120.0) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {seconds:g} s for {happened}")
        root.update()
        time.sleep(0.01)


def rest(root: tkinter.Tk, seconds: float = 0.6) -> None:
    end = time.monotonic() + seconds
    until(root, lambda: time.monotonic() > end)


def take(window: Window, page: str, folder: Path, name: str) -> None:
    """The page in each language and theme."""
    for theme in ("light", "dark"):
        window.theme.use(theme)
        for language in LANGUAGES:
            window.use_language(language)
            window.show_page(page)
            rest(window.root)
            picture = ImageGrab.grab(xdisplay=os.environ["DISPLAY"])
            palette = picture.quantize(COLOURS, Image.Quantize.FASTOCTREE)  # which keeps the greys of letters
            small = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
            small.save(folder / f"window-{name}-{language}-{theme}.png", optimize=True)


def pictures(lights: Path, folder: Path, output: Path) -> None:
    root = tkinter.Tk(className="ZeMosaic")
    settings = Settings(memory_limit=1.2)  # small blocks, so that the mosaic is seen to grow
    window = Window(root, Theme(root), Opening((lights,), output, settings, Settings(), ()))
    root.geometry(f"{SIZE}+0+0")
    window.form.finish()
    until(root, lambda: window._inquiry.outlook is not None)
    take(window, "start", folder, "start")
    take(window, "settings", folder, "settings")
    window._start_run(fresh=False)
    assemble = window._run.progress.phases
    until(root, lambda: assemble["assemble"].share > 0.7 or window._run.status in ENDS, PATIENCE)
    until(root, lambda: window.running._view.has_picture)
    take(window, "run", folder, "run")
    until(root, lambda: window._run.status in ENDS, PATIENCE)
    until(root, lambda: window.result._view.has_picture)
    until(root, lambda: window._inquiry.outlook is not None)  # the frames as the run left them
    rest(root, 2.0)
    take(window, "result", folder, "result")
    take(window, "sky", folder, "sky")
    root.destroy()


def main() -> int:
    lights, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2]) if len(sys.argv) > 2 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    there = Path(tempfile.gettempdir()) / "Astro"  # what the pictures show
    there.mkdir()
    try:
        (there / "Sim 1 subs").symlink_to(lights)
        settings_files.user_file = lambda: there / "config" / settings_files.CONFIG_NAME
        with screen() as display:
            os.environ["DISPLAY"] = display
            pictures(there / "Sim 1 subs", folder, there / "Sim 1 mosaic")
    finally:
        shutil.rmtree(there)
    size = sum(path.stat().st_size for path in folder.glob("window-*.png"))
    print(f"{len(list(folder.glob('window-*.png')))} pictures in {folder}, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

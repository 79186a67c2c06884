"""The theme sv-ttk on screens of high resolution: its pictures and borders are for 96 dpi and would be half as large at 192."""

from __future__ import annotations

import io
import re
import tkinter as tk
from base64 import b64encode
from pathlib import Path

import sv_ttk
from PIL import Image

__all__ = ["load_scaled"]

ENOUGH = 1.2  # below that scale it is shown as it is
LENGTHS = re.compile(r"(-(?:width|height|border|padding|sashthickness|gripcount)\s+)(\d+|\{[\d ]+\})")
SPRITE = re.compile(r"([a-z-]+) (\d+) (\d+) (\d+) (\d+)")
SOURCE = re.compile(r"^source .*$", re.MULTILINE)
FROM_FILE = "-file $imgfile -format png"
INFO = "::spriteinfo"  # where it looks for its pictures
LOADED = "_sv_ttk_loaded"  # what it asks of a root window before it loads itself


def load_scaled(root: tk.Tk, scale: float) -> bool:
    """Load both themes with all lengths times `scale`; False where that is not needed, or the package is not as it was known."""
    folder = Path(sv_ttk.__file__).parent
    if scale < ENOUGH or hasattr(root, LOADED):
        return False
    try:
        parts = [_theme(folder / "theme", name, scale) for name in ("light", "dark")]
        rest = SOURCE.sub("", (folder / "sv.tcl").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another version: it then loads itself, at its own size
        return False
    for script in (*parts, rest):
        root.tk.eval(script)
    setattr(root, LOADED, True)
    return True


def _theme(folder: Path, name: str, scale: float) -> str:
    """The script of one theme."""
    script = (folder / f"{name}.tcl").read_text(encoding="utf-8")
    sprites = SPRITE.findall((folder / f"sprites_{name}.tcl").read_text(encoding="utf-8"))
    if FROM_FILE not in script or not sprites:
        raise ValueError(f"{folder / name}.tcl: not as it was known")
    with Image.open(folder / f"spritesheet_{name}.png") as file:
        info, sheet = _enlarged(file.convert("RGBA"), sprites, scale)
    script = LENGTHS.sub(lambda found: found[1] + _times(found[2], scale), SOURCE.sub("", script))
    return f"set {INFO} [list {info}]\n" + script.replace(FROM_FILE, f"-data {sheet}")


def _times(lengths: str, scale: float) -> str:
    return re.sub(r"\d+", lambda each: str(round(int(each[0]) * scale)), lengths)


def _enlarged(sheet: Image.Image, sprites: list[tuple[str, ...]], scale: float) -> tuple[str, str]:
    """Where each picture lies on a new sheet, as Tcl reads it, and that sheet, PNG in base 64."""
    made, top = [], 0
    for name, *numbers in sprites:
        x, y, width, height = map(int, numbers)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        made.append((name, top, sheet.crop((x, y, x + width, y + height)).resize(size, Image.Resampling.LANCZOS)))
        top += size[1]
    whole = Image.new("RGBA", (max(picture.width for _, _, picture in made), top))
    for _, place, picture in made:
        whole.paste(picture, (0, place))
    data = io.BytesIO()
    whole.save(data, "PNG")
    info = " ".join(f"{name} 0 {place} {picture.width} {picture.height}" for name, place, picture in made)
    return info, b64encode(data.getvalue()).decode("ascii")

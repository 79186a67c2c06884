"""A page in a real browser, without a screen: what it becomes, and what it looks like."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def seen(page: Path, scratch: Path, query: str = "", size: tuple[int, int] = (1400, 900)) -> tuple[str, np.ndarray]:
    """The page as the browser has it after a moment, and its window, (height, width, 3) uint8; skipped without a browser."""
    shot = scratch / "shot.png"
    wide, high = size
    wait = "--virtual-time-budget=4000"
    html = browse(page, scratch, query, f"--window-size={wide},{high}", wait, "--dump-dom")
    browse(page, scratch, query, f"--window-size={wide},{high}", wait, f"--screenshot={shot}")
    with Image.open(shot) as image:
        return html, np.asarray(image.convert("RGB"))


def browse(page: Path, scratch: Path, query: str, *flags: str) -> str:
    """What the browser prints of a page."""
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={scratch / 'profile'}", f"{page.as_uri()}{query}"]
    environment = os.environ | {"LANG": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True).stdout

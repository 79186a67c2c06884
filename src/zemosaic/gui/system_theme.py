"""Whether the system shows dark windows: Windows, macOS, desktops that keep GNOME's setting. The title bar on Windows."""

from __future__ import annotations

import contextlib
import subprocess
import sys

__all__ = ["paint_frame", "system_is_dark"]

PATIENCE = 2.0  # s
GNOME = ("gsettings", "get", "org.gnome.desktop.interface", "color-scheme")
MACOS = ("defaults", "read", "-g", "AppleInterfaceStyle")
DARK_FRAME = 20  # DWMWA_USE_IMMERSIVE_DARK_MODE, since Windows 10 20H1
WINDOWS = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"


def system_is_dark() -> bool:
    """False where nobody tells. It may ask a program: not for the Tk thread."""
    if sys.platform == "win32":
        return _windows_is_dark()
    command = MACOS if sys.platform == "darwin" else GNOME
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return answer.returncode == 0 and "dark" in answer.stdout.lower()
    return False


def _windows_is_dark() -> bool:
    if sys.platform != "win32":
        return False
    import winreg

    with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_CURRENT_USER, WINDOWS) as key:
        return winreg.QueryValueEx(key, "AppsUseLightTheme")[0] == 0
    return False


def paint_frame(window: int, *, dark: bool) -> None:
    """On Windows: give the title bar of a window (its id, as Tk knows it) the brightness of the theme; elsewhere nothing."""
    if sys.platform != "win32":
        return
    import ctypes

    value = ctypes.c_int(int(dark))
    with contextlib.suppress(AttributeError, OSError):  # an older Windows keeps its bright one
        frame = ctypes.windll.user32.GetParent(window)
        ctypes.windll.dwmapi.DwmSetWindowAttribute(frame, DARK_FRAME, ctypes.byref(value), ctypes.sizeof(value))

"""Whether the system shows dark windows: Windows, macOS, and the desktops of Linux that keep GNOME's setting."""

from __future__ import annotations

import contextlib
import subprocess
import sys

__all__ = ["system_is_dark"]

PATIENCE = 2.0  # s
GNOME = ("gsettings", "get", "org.gnome.desktop.interface", "color-scheme")
MACOS = ("defaults", "read", "-g", "AppleInterfaceStyle")
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

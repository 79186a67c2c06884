"""ZeMosaic: raw smart-telescope subs in, one seamless linear mosaic out.

The names here are what scripts and notebooks use (docs/python.md); they are loaded when they are first asked for, so that
`import zemosaic` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zemosaic.api import inspect_frames, make_mosaic, printing
    from zemosaic.errors import Cancelled, InputError, MosaicError, OutputError, SettingsError, ZeMosaicError
    from zemosaic.events import Event, Made, Reporter
    from zemosaic.quality import FrameQuality
    from zemosaic.settings import Settings
    from zemosaic.settings_files import load_settings

__version__ = "0.1.0"
__all__ = [
    "Cancelled",
    "Event",
    "FrameQuality",
    "InputError",
    "Made",
    "MosaicError",
    "OutputError",
    "Reporter",
    "Settings",
    "SettingsError",
    "ZeMosaicError",
    "__version__",
    "inspect_frames",
    "load_settings",
    "make_mosaic",
    "printing",
]

_MODULES = {
    "api": ("inspect_frames", "make_mosaic", "printing"),
    "errors": ("Cancelled", "InputError", "MosaicError", "OutputError", "SettingsError", "ZeMosaicError"),
    "events": ("Event", "Made", "Reporter"),
    "quality": ("FrameQuality",),
    "settings": ("Settings",),
    "settings_files": ("load_settings",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Sets of settings under a name: three that are built in, and the user's own in the configuration folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from zemosaic import settings_files
from zemosaic.errors import SettingsError
from zemosaic.settings import declared
from zemosaic.settings_files import parse_json, refused

__all__ = ["BUILT_IN", "PERSONAL", "Presets", "completed"]

FILE_NAME = "presets.json"
LONGEST = 60  # characters of a name

# What belongs to the machine or to one night: no preset has it or touches it.
PERSONAL = frozenset(
    {
        "language",
        "astap_executable_path",
        "astap_data_directory_path",
        "astrometry_local_path",
        "astrometry_api_key",
        "scheduler",
        "calibration_folder",
        "coadd_memmap_dir",
        "exclude_files",
        "file_weights",
    }
)

# By the key of their name; what is not named has its default.
BUILT_IN: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "fast_look": {"resampling": "bilinear", "stacking_rejection_algorithm": "none", "sky_order": "1"},
        "best_quality": {
            "final_assembly_method": "reproject_coadd",
            "stacking_rejection_algorithm": "winsorized_sigma_clip",
            "stacking_weighting_method": "noise_fwhm",
        },
        "low_memory": {"memory_limit": 2.0, "num_processing_workers": 2},
    }
)


def completed(preset: Mapping[str, object], now: Mapping[str, object]) -> dict[str, object]:
    """Every setting with a preset chosen: what it names, what is personal as it is now, the default of all others."""
    own = {name: value for name, value in now.items() if name in PERSONAL}
    return {name: about.default for name, about in declared().items()} | own | dict(preset)


class Presets:
    """The user's own presets, kept in a JSON file.

    Parameters
    ----------
    path : the file; by default in the folder where the system keeps the user's configuration
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or settings_files.user_file().with_name(FILE_NAME)

    def load(self) -> dict[str, dict[str, object]]:
        """All of them by name, in the order in which they were saved; values that no longer mean anything are left out.

        Raises
        ------
        SettingsError
            The file is there and cannot be read.
        """
        if not self.path.exists():
            return {}
        try:
            found = parse_json(self.path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"cannot read the presets in {self.path}: {error}") from error
        if not isinstance(found, dict) or not all(isinstance(values, dict) for values in found.values()):
            raise SettingsError(f"{self.path}: expected presets by name, each with its settings in braces")
        known = declared().keys() - PERSONAL
        return {
            name: {key: value for key, value in values.items() if key in known and not refused(key, value)}
            for name, values in found.items()
        }

    def save(self, name: str, values: Mapping[str, object]) -> None:
        """Add or replace one; of the values those that differ from the defaults and are not personal are kept.

        Raises
        ------
        SettingsError
            The name is empty or too long, or the file cannot be read or written.
        """
        if not name or len(name) > LONGEST:
            raise SettingsError(f"a preset needs a name of 1 to {LONGEST} characters")
        defaults = {key: about.default for key, about in declared().items() if key not in PERSONAL}
        kept = {key: value for key, value in values.items() if key in defaults and value != defaults[key]}
        self._write(self.load() | {name: kept})

    def remove(self, name: str) -> None:
        """Forget one.

        Raises
        ------
        SettingsError
            The file cannot be read or written.
        """
        self._write({key: values for key, values in self.load().items() if key != name})

    def _write(self, presets: Mapping[str, Mapping[str, object]]) -> None:
        temporary = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(presets, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            raise SettingsError(f"cannot write the presets into {self.path}: {error.strerror}") from error

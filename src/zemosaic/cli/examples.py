"""An example of each command and flag; tests parse them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zemosaic.declaration import Declared

__all__ = ["COMMAND_EXAMPLES", "value_for"]

COMMAND_EXAMPLES = {
    "doctor": ("zemosaic doctor", 'zemosaic doctor "M 31 mosaic" --json doctor.json'),
    "plan": ('zemosaic plan "M 31 subs" "M 31 mosaic"',),
    "inspect": ('zemosaic inspect "M 31 subs"', 'zemosaic inspect "night 1" "night 2" --csv subs.csv'),
    "run": (
        'zemosaic run "M 31 subs" "M 31 mosaic"',
        'zemosaic run "night 1" "night 2" "M 31 mosaic" --final-assembly-method reproject_coadd --fresh',
    ),
    "gui": ("zemosaic gui", 'zemosaic gui "M 31 subs" "M 31 mosaic"'),
    "simulate": ("zemosaic simulate demo/night --panels 2x2 --subs 60",),
    "score": ("zemosaic score demo/mosaic/zemosaic_MT4_R60.fits demo/night/truth.json",),
    "catalogue": ("zemosaic catalogue export --format astap stars",),
    "completion": ("zemosaic completion bash",),
}

# Values of settings for which none can be made from their declaration.
SETTING_VALUES = {
    "astap_data_directory_path": "C:\\astap",
    "astap_executable_path": "C:\\astap\\astap_cli.exe",
    "astrometry_api_key": "KEY",
    "astrometry_local_path": "/usr/share/astrometry",
    "calibration_folder": '"darks; flats"',
    "coadd_memmap_dir": "D:\\scratch",
    "exclude_files": '"*cloudy*; *_0007.fit"',
    "file_weights": '"old_panel*=0.5"',
    "output_center": '"10.68 +41.27"',
    "output_size": '"3 x 2.5 deg"',
    "scheduler": "tcp://host:8786",
}


def value_for(about: Declared) -> str:
    """A value that a setting can be given, as it is typed after its flag; "" for one that needs none."""
    if about.name in SETTING_VALUES:
        return SETTING_VALUES[about.name]
    if about.kind is bool:
        return "false" if about.default else ""
    if about.choices:
        return next(choice for choice in about.choices if choice != about.default)
    if about.default and about.default != -1:
        return str(about.default)
    least, most = about.limits or (0.0, 2.0)
    return f"{max(least, min(2.0, 0.5 * most)):g}"

"""Names and values of the first release that are something else today, as data."""

from __future__ import annotations

__all__ = ["NO_EFFECT", "RENAMED", "RENAMED_VALUES", "SWITCHES"]

# Other names of settings, of the first release and of its solver_settings.json.
RENAMED = {
    "cluster_threshold": "cluster_panel_threshold",
    "solver_choice": "solver_method",
    "api_key": "astrometry_api_key",
    "timeout": "solver_timeout",
    "downsample": "astap_default_downsample",
    "no_auto_limit_frames": "auto_limit_frames_per_master_tile",
    "winsor_workers": "winsor_worker_limit",
}

# Values that mean something else today: the new value ("" where it sets nothing), and why ("" where it is only another word
# for the same).
RENAMED_VALUES: dict[str, dict[str, tuple[str, str]]] = {
    "stacking_weighting_method": {"noise_plus_fwhm": ("noise_fwhm", "")},
    "no_auto_limit_frames": {"true": ("false", ""), "false": ("true", "")},
    "solver_method": {
        "ansvr": ("", "the first release wrote it into every file and never read it"),
        "astrometry": ("astrometry_net", ""),
        "none": ("header", ""),
    },
    "solver_choice": {"ansvr": ("astrometry_net", ""), "astrometry": ("astrometry_net", ""), "none": ("header", "")},
}

# Names of the first release that are accepted and have no effect (yet), and why.
NO_EFFECT = {
    "astap_default_sensitivity": "ASTAP has no such option",
    "force_lum": "solvers get the luminance or the list of stars, never one colour",
    "use_gpu_phase5": "there is no GPU path",
    "gpu_id_phase5": "there is no GPU path",
    "gpu_selector": "there is no GPU path",
}

# Its flags that took no value.
SWITCHES = (
    "coadd_use_memmap",
    "coadd_cleanup_memmap",
    "no_auto_limit_frames",
    "auto_limit_frames_per_master_tile",
    "use_gpu_phase5",
    "save_final_as_uint16",
    "force_lum",
)

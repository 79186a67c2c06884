"""Every setting, declared once: type, default, unit, limits, help.

The command line, the JSON files (`settings_files`) and the reference in `docs/settings.md` come from this one declaration.
How a setting is declared is in `declaration`; names and values of the first release that are something else today in
`first_release`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from zemosaic import geometry
from zemosaic.declaration import Declared, choices, of_field, setting
from zemosaic.patterns import weights_by_pattern
from zemosaic.refusals import in_words

__all__ = ["Settings", "declared", "fractions", "lacks_side_by_side"]


class Settings(BaseModel):
    """The settings of a run; every field has an effect.

    Raises
    ------
    SettingsError
        Values that cannot be, and names that are none: all of them, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    language: Literal["en", "fr"] = setting(
        "en",
        "language",
        "Language",
        "Language of the messages and of the window.",
    )
    solver_method: Literal["auto", "header", "catalogue", "astap", "astrometry_net"] = setting(
        "auto",
        "plate solver",
        "Plate solver",
        "Where positions come from: `header` takes only a WCS that the file brings along and the stars confirm, "
        "`catalogue` solves every frame with the built-in star catalogue, `astap` and `astrometry_net` ask these "
        "programs, `auto` tries all of them in this order as far as they are there.",
    )
    solver_timeout: float = setting(
        60.0,
        "plate solver",
        "Time limit per frame",
        "How long a program of others may look at one frame before it is stopped.",
        unit="s",
        limits=(1, 3600),
    )
    astrometry_local_path: str = setting(
        "",
        "plate solver",
        "astrometry.net on this machine",
        "astrometry.net on this machine, when it is not found by itself: solve-field or its folder, a folder of index "
        "files, or a configuration file.",
        unit="path",
    )
    astrometry_api_key: str = setting(
        "",
        "plate solver",
        "Key of nova.astrometry.net",
        "Key of nova.astrometry.net; with `solver_method` = `astrometry_net` and no solve-field on this machine the star "
        "lists of the frames (never images) are sent there.",
        unit="text",
        secret=True,
    )
    astap_executable_path: str = setting(
        "",
        "ASTAP paths",
        "ASTAP program",
        "ASTAP, when it is not found by itself: the program or its folder.",
        unit="path",
    )
    astap_data_directory_path: str = setting(
        "",
        "ASTAP paths",
        "ASTAP star database",
        "Folder of ASTAP's star database, when it is not found by itself.",
        unit="path",
    )
    astap_default_search_radius: float = setting(
        1.5,
        "astrometry parameters",
        "Search radius",
        "How far from the position in its header a frame is searched for, by every solver.",
        unit="deg",
        limits=(0.1, 180),
    )
    astap_default_downsample: int = setting(
        2,
        "astrometry parameters",
        "Downsample",
        "Binning of the image inside ASTAP; 0 leaves it to ASTAP.",
        limits=(0, 4),
    )
    cluster_panel_threshold: float = setting(
        0.0,
        "astrometry parameters",
        "Panel threshold",
        "Frames whose centres are closer than this belong to one panel.",
        unit="deg",
        limits=(0.001, 180),
        zero="chosen from the footprints",
    )
    calibration_folder: str = setting(
        "",
        "calibration",
        "Darks, flats, biases",
        "Folders or files with darks, flats, biases and masters, parted by `;`; those among the lights are found anyway.",
        unit="path",
    )
    exclude_files: str = setting(
        "",
        "frame quality",
        "Files to leave out",
        "Files that you do not want in the mosaic, parted by `;`: names or patterns of names (`*` and `?`, capitals or not), or "
        "ends of paths, as in `*cloudy*; 2025-01-14/*; M31/Light_0007.fit`; a name that itself has `;` or `*` in double quotes.",
        unit="text",
    )
    max_elongation: float = setting(
        2.0,
        "frame quality",
        "Longest stars",
        "Frames whose stars are more than so many times as long as wide are left out as trailed (useful subs in alt-azimuth "
        "mode go up to 1.5).",
        limits=(1.1, 10),
    )
    min_transparency: float = setting(
        0.15,
        "frame quality",
        "Least transparency",
        "Frames whose stars have less than this share of the light that they have on the median frame of the same telescope "
        "are left out as clouded; all others are weighted.",
        limits=(0, 0.95),
    )
    max_unevenness: float = setting(
        0.35,
        "frame quality",
        "Largest unevenness",
        "Frames whose star brightnesses scatter by more than this share are left out as clouded in pieces.",
        limits=(0.02, 10),
    )
    many_left_out: float = setting(
        20.0,
        "frame quality",
        "Many frames left out",
        "When more of the subs than this are left out, the run says so in a warning, and again at the top of its summary.",
        unit="%",
        limits=(0, 100),
    )
    stacking_normalize_method: Literal["linear_fit", "sky_mean", "none"] = setting(
        "linear_fit",
        "stacking",
        "Normalisation",
        "How frames are brought to a common level: `linear_fit` matches transparency (from the fluxes of shared stars) "
        "and sky, `sky_mean` the sky only, `none` nothing.",
    )
    sky_order: Literal["auto", "1", "2"] = setting(
        "auto",
        "stacking",
        "Sky surface",
        "Surface that is taken for the sky of each frame with `linear_fit`: `1` a plane, `2` one of second order, for twilight, "
        "moonlight and domes of light, `auto` the second where planes leave a curvature beyond doubt.",
    )
    stacking_weighting_method: Literal["noise_variance", "noise_fwhm", "none"] = setting(
        "noise_variance",
        "stacking",
        "Weighting",
        "Weight of a frame: `noise_variance` by its noise after matching, `noise_fwhm` by noise and sharpness, "
        "`none` all alike.",
    )
    file_weights: str = setting(
        "",
        "stacking",
        "Weights of files",
        "Weights of your own, as in `old_panel*=0.5; S30/*=2`: the weight of a file that fits a pattern (as for "
        "`exclude_files`: names, or ends of paths; the first that fits counts) is multiplied by that number.",
        unit="text",
    )
    stacking_rejection_algorithm: Literal["kappa_sigma", "winsorized_sigma_clip", "linear_fit_clip", "none"] = setting(
        "kappa_sigma",
        "stacking",
        "Rejection",
        "Rejection of satellites, aircraft, cosmic rays and hot pixels. All leave out raw pixels farther from a provisional "
        "mosaic than the noise model explains; where samples lie side by side (`reproject_coadd`) the name says how its "
        "pixels are found: `kappa_sigma` the mean of what lies within kappa sigma of it, `winsorized_sigma_clip` the mean of "
        "winsorised samples, `linear_fit_clip` what lies along a straight line through the ordered samples. `none` keeps "
        "everything.",
    )
    stacking_kappa_low: float = setting(
        4.0,
        "stacking",
        "Kappa low",
        "Rejection of pixels that are too dark.",
        unit="sigma",
        limits=(0.1, 10),
    )
    stacking_kappa_high: float = setting(
        4.0,
        "stacking",
        "Kappa high",
        "Rejection of pixels that are too bright.",
        unit="sigma",
        limits=(0.1, 10),
    )
    stacking_winsor_limits: str = setting(
        "0.05,0.05",
        "stacking",
        "Winsor limits",
        "For `winsorized_sigma_clip`: fractions of the samples, low and high, that take the value of their next neighbour; "
        "each from 0 to less than 0.5.",
        unit="text",
    )
    rejection_maps: bool = setting(
        False,
        "stacking",
        "Rejection maps",
        "Write a map of how many frames were rejected at each pixel, as too dark and as too bright.",
    )
    stacking_final_combine_method: Literal["mean", "median"] = setting(
        "mean",
        "stacking",
        "Combine",
        "What becomes of the samples that are not rejected: `mean` with the best weights, or their weighted `median` (noisier by "
        "a fifth; needs `reproject_coadd`).",
    )
    resampling: Literal["lanczos3", "bicubic", "bilinear", "cfa"] = setting(
        "lanczos3",
        "stacking",
        "Resampling",
        "The one interpolation from the pixels of a frame to those of the mosaic: `lanczos3` is the sharpest of debayered "
        "frames, `bicubic` rings less around bright stars, `bilinear` not at all and blurs most. `cfa` does not debayer: each "
        "colour is drizzled from its own pixels (`drizzle_pixfrac`; small drops are sharper still, and noisier), for many well "
        "dithered frames and for a finer `output_scale`.",
    )
    drizzle_pixfrac: float = setting(
        1.0,
        "stacking",
        "Drop size",
        "For `resampling` = `cfa`: side of the drop as which a pixel falls onto the mosaic. Smaller is sharper and noisier; "
        "where no drop falls, the nearest pixels of the colour fill in.",
        unit="px of the frame",
        limits=(0.1, 2),
    )
    edge_taper: int = setting(
        80,
        "stacking",
        "Edge taper",
        "Width over which a frame's weight falls smoothly to 0 towards its border, so that no edge can show.",
        unit="px",
        limits=(1, 1000),
    )
    apply_radial_weight: bool = setting(
        False,
        "stacking",
        "Radial weighting",
        "Give the corners of frames less weight (for optics with poor corners).",
    )
    radial_feather_fraction: float = setting(
        0.8,
        "stacking",
        "Radial weighting: reach",
        "Radial weight: distance from the centre at which the weight reaches its floor, as a fraction of the "
        "half-diagonal.",
        limits=(0.1, 1),
    )
    radial_shape_power: float = setting(
        2.0,
        "stacking",
        "Radial weighting: power",
        "Radial weight: power of the cosine; larger falls earlier.",
        limits=(0.1, 10),
    )
    min_radial_weight_floor: float = setting(
        0.0,
        "stacking",
        "Radial weighting: floor",
        "Radial weight: least weight that a corner keeps.",
        limits=(0, 0.5),
    )
    apply_master_tile_crop: bool = setting(
        False,
        "cropping",
        "Crop the frames",
        "Leave out a margin of every frame.",
    )
    master_tile_crop_percent: float = setting(
        18.0,
        "cropping",
        "Margin at each side",
        "Margin that is left out at each side, of the frame's width and height.",
        unit="%",
        limits=(0, 45),
    )
    final_assembly_method: Literal["incremental", "reproject_coadd"] = setting(
        "incremental",
        "assembly",
        "Assembly method",
        "How the provisional mosaic of the rejection is found: `incremental` from nine running means of each pixel, in constant "
        "memory however many frames there are; `reproject_coadd` from all samples of a pixel side by side, where they fit.",
    )
    auto_limit_frames_per_master_tile: bool = setting(
        True,
        "assembly",
        "Limit frames by memory",
        "For `reproject_coadd`: let `memory_limit` bound how many frames lie side by side over a pixel; parts of the mosaic with "
        "more are made like `incremental`. Without, all frames do, on the disk where the memory is too small "
        "(`coadd_use_memmap`).",
    )
    max_raw_per_master_tile: int = setting(
        0,
        "assembly",
        "Most frames side by side",
        "For `reproject_coadd`: frames that lie side by side over a pixel at most; parts with more are made like `incremental`.",
        unit="frames",
        limits=(3, 60000),
        zero="no bound but the memory",
    )
    assembly_process_workers: int = setting(
        0,
        "assembly",
        "Assembly processes",
        "Worker processes of the assembly; 0: as many as `num_processing_workers` gives.",
        limits=(0, 1024),
    )
    winsor_worker_limit: int = setting(
        4,
        "assembly",
        "Winsor processes",
        "For `winsorized_sigma_clip` with `reproject_coadd`: parts of the mosaic whose samples lie side by side at the same "
        "time, at most; 0: no limit but the workers.",
        limits=(0, 1024),
    )
    coadd_use_memmap: bool = setting(
        True,
        "memmap",
        "Memmap on the disk",
        "For `reproject_coadd` without `auto_limit_frames_per_master_tile`, and for the median: samples that do not fit the "
        "memory lie in a file on the disk. Without, the mosaic is cut into as small parts as it takes.",
    )
    coadd_memmap_dir: str = setting(
        "",
        "memmap",
        "Memmap folder",
        "Folder for these files, when not the workspace in the output folder: a fast disk with much room.",
        unit="path",
    )
    coadd_cleanup_memmap: bool = setting(
        False,
        "memmap",
        "Clean up afterwards",
        "Remove what the assembly keeps on the disk when the mosaic is finished (only what it made itself, never the folder): 42 "
        "bytes per pixel in colour. Without, a run with more subs, or fewer, makes only those parts of the mosaic again that "
        "change.",
    )
    targets: Literal["separate", "one", "error"] = setting(
        "separate",
        "mosaic",
        "Several targets",
        "What becomes of several targets in one input: `separate` makes a mosaic of each, `one` puts all on one canvas, "
        "`error` names them and stops.",
    )
    target_gap: float = setting(
        0.0,
        "mosaic",
        "Gap between targets",
        "Sky between two frames, or groups of frames, beyond which they are separate targets; nearer ones are panels of "
        "one mosaic.",
        unit="deg",
        limits=(0.1, 180),
        zero="twice the diagonal of a frame, 2.9 for a Seestar S50",
    )
    filters: Literal["separate", "together"] = setting(
        "separate",
        "mosaic",
        "Several filters",
        "What becomes of several filters of one target: `separate` makes a mosaic of each on the same pixels, with the "
        "filter in the names of the files, `together` puts all into one. IRCUT, Astro and VIS count as one filter.",
    )
    dual_band: Literal["off", "ha_oiii"] = setting(
        "off",
        "mosaic",
        "Emission lines",
        "Mosaics of single emission lines from subs through a dual-band filter (LP, Duo-band, L-eXtreme...), on the same "
        "pixels: `ha_oiii` takes H-alpha from the red pixels and OIII from the green and blue ones.",
    )
    stacks: Literal["leave_out", "use"] = setting(
        "leave_out",
        "mosaic",
        "Ready-made stacks",
        "Stacks among the inputs (of the telescope, of Siril, PixInsight and others): `leave_out`, since a mosaic of the subs is "
        "better, or `use` them as ready-made panels, each weighted by its noise.",
    )
    output_projection: Literal[
        "auto", "TAN", "STG", "SIN", "ARC", "ZEA", "AIR", "CYP", "CEA", "CAR", "MER", "SFL", "PAR", "MOL", "AIT",
        "COP", "COE", "COD", "COO",
    ] = setting(
        "auto",
        "mosaic",
        "Projection",
        "How the sky is laid flat, by the names of FITS: `auto` takes TAN up to 10 degrees from the centre, for wider "
        "mosaics ZEA, and CAR beyond a hemisphere. Which one for what is in docs/outputs.md.",
    )  # fmt: skip
    output_scale: float = setting(
        0.0,
        "mosaic",
        "Pixel size",
        "Pixel size of the mosaic, at most 1.5 times that of the frames.",
        unit="arcsec/px",
        limits=(0.05, 120),
        zero="that of the frames, of the finest telescope's where there are several",
    )
    output_rotation: str = setting(
        "north",
        "mosaic",
        "Rotation",
        "What is up in the picture: `north`, the side of the frames that is nearest to north (`frames`, for the least black "
        "border), or an angle in degrees from north through east.",
        unit="text",
    )
    output_center: str = setting(
        "",
        "mosaic",
        "Centre",
        "Middle of the picture, as in `10.68 +41.27` (degrees) or `0 42 44 +41 16 09`; nothing: that of the frames. Targets "
        "that `output_size` then leaves out get no mosaic.",
        unit="text",
    )
    output_size: str = setting(
        "",
        "mosaic",
        "Size",
        "Width and height of the picture, as in `3000 x 2000` (px) or `3 x 2.5 deg`; one number is both; nothing: as large as "
        "the frames need.",
        unit="text",
    )
    crop_depth: float = setting(
        0.0,
        "mosaic",
        "Crop to depth",
        "Cut the picture to the largest rectangle where the weight is everywhere at least this share of its median (but for one "
        "pixel in 20 of each 16 x 16), as in 0.5; 0 cuts nothing. The mosaic in the workspace stays whole.",
        limits=(0, 1),
    )
    num_processing_workers: int = setting(
        -1,
        "performance",
        "Processes",
        "Worker processes; 0 or less: as many as the processor cores and the memory allow.",
        limits=(-math.inf, 1024),
    )
    memory_limit: float = setting(
        0.0,
        "performance",
        "Memory limit",
        "Memory that all processes together may use.",
        unit="GB",
        limits=(1, 4096),
        zero="60 % of the memory that is free at the start",
    )
    scheduler: str = setting(
        "",
        "performance",
        "Dask scheduler",
        "Address of a dask scheduler, as in tcp://host:8786: frames are measured, solved and assembled by its workers, "
        "which must see inputs and output under the same paths.",
        unit="text",
    )
    axis_order: Literal["hwc", "chw", "interleaved"] = setting(
        "hwc",
        "output",
        "Order of the axes",
        "Order of the axes of a colour mosaic: `hwc` and `chw` both write NAXIS1 = width, NAXIS2 = height, NAXIS3 = 3, as the "
        "first release did and Siril, PixInsight and DS9 read it; `interleaved` really writes NAXIS1 = 3.",
    )
    fits_layout: Literal["cube", "planes"] = setting(
        "cube",
        "output",
        "FITS files",
        "The colours of the mosaic in one file (`cube`), or in a file each (`planes`).",
    )
    save_final_as_uint16: bool = setting(
        False,
        "output",
        "16-bit mosaic",
        "Write the mosaic with 16 bits instead of 32-bit floating point; BSCALE and BZERO give the physical values back within "
        "half a step, a step being its range divided by 65534.",
    )
    no_data: Literal["nan", "zero"] = setting(
        "nan",
        "output",
        "Pixels without data",
        "Pixels that no sub has seen: `nan` (BLANK with 16 bits), or `zero` for programs that show NaN badly.",
    )
    fits_compression: bool = setting(
        False,
        "output",
        "Compression",
        "Compress the FITS files without loss, as tiles (`.fits.fz`, read by Siril, PixInsight, DS9 and astropy).",
    )
    report: bool = setting(
        True,
        "output",
        "Report",
        "Write a report of each mosaic, a page that opens in any browser without a network, and its data: picture, depth maps, "
        "plots of the nights, seams, every frame, and what would improve the mosaic.",
    )
    picture_stretch: Literal["linked", "unlinked"] = setting(
        "linked",
        "pictures",
        "Stretch",
        "How pictures of the mosaic are stretched: `linked` with one curve for all colours, so that stars and nebulae keep "
        "theirs, `unlinked` with a curve for each, which evens out any cast and pales the colours. Settings of pictures never "
        "change the FITS files.",
    )
    picture_colour: Literal["stars", "sensor"] = setting(
        "stars",
        "pictures",
        "Colour balance",
        "Balance of the colours: `stars` makes the stars of the field grey on average, `sensor` leaves "
        "what the sensor saw (often green). The sky is neutral in both.",
    )
    picture_gradient: bool = setting(
        False,
        "pictures",
        "Remove the gradient",
        "Take a smooth gradient of the sky (moon, town) off the pictures. A nebula that fills the field is taken for sky.",
    )
    picture_no_data: Literal["black", "transparent"] = setting(
        "black",
        "pictures",
        "Where there is no data",
        "What pictures show where no sub has seen the sky: `black`, or `transparent` (PNG and TIFF; JPEG knows black only).",
    )
    picture_tiff: bool = setting(
        False,
        "pictures",
        "TIFF picture",
        "Write the stretched picture with all its pixels as TIFF of 16 bits (sRGB), for Photoshop, GIMP, Affinity Photo.",
    )
    picture_jpeg: bool = setting(
        False,
        "pictures",
        "JPEG picture",
        "Write the stretched picture with all its pixels as JPEG (sRGB); beyond 65,500 px along a side it is reduced.",
    )
    picture_zoom: bool = setting(
        False,
        "pictures",
        "Page to zoom into",
        "Write a folder with a page that shows the picture with all its pixels, to move and zoom in, with the sky's coordinates "
        "under the mouse: open its `index.html` with a double click, without a network.",
    )
    picture_hips: Literal["none", "png", "jpeg", "fits"] = setting(
        "none",
        "pictures",
        "HiPS tiles",
        "Write a folder with the mosaic in tiles on the sky (HiPS) for Aladin, ESASky and Stellarium: the stretched picture as "
        "`png` (transparent where there is no data) or `jpeg` (black there), or the linear values as `fits`, a folder for each "
        'colour. Needs the extra `hips`: `pip install "zemosaic[hips]"`.',
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What differs from the defaults; a secret never."""
        return ((name, value) for name, value in super().__repr_args__() if value != declared()[str(name)].default)

    @model_validator(mode="wrap")
    @classmethod
    def _refused_in_words(cls, values: Any, check: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        try:
            return check(values)
        except ValidationError as error:
            raise in_words(error, declared(), str(info.context or "settings")) from None

    @field_validator("*", mode="before")
    @classmethod
    def _lower_case(cls, value: object, info: ValidationInfo) -> object:
        words = choices(Settings.model_fields[str(info.field_name)])
        if not (isinstance(value, str) and words):
            return value
        word = value.strip().lower()
        return next((each for each in words if each.lower() == word), word)

    @field_validator("exclude_files", mode="before")
    @classmethod
    def _patterns_as_text(cls, value: object) -> object:
        return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    @field_validator("stacking_winsor_limits", mode="before")
    @classmethod
    def _list_as_text(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    @field_validator("stacking_winsor_limits", mode="after")
    @classmethod
    def _two_fractions(cls, value: str) -> str:
        fractions(value)
        return value

    @field_validator("output_rotation", "output_center", "output_size", mode="before")
    @classmethod
    def _geometry_as_text(cls, value: object) -> object:
        return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    @field_validator("output_rotation", "output_center", "output_size", mode="after")
    @classmethod
    def _geometry(cls, value: str, info: ValidationInfo) -> str:
        {"output_rotation": geometry.angle, "output_center": geometry.place, "output_size": geometry.size}[
            str(info.field_name)
        ](value)
        return value

    @field_validator("file_weights", mode="after")
    @classmethod
    def _patterns(cls, value: str) -> str:
        weights_by_pattern(value)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _inside_limits(cls, value: Any, info: ValidationInfo) -> Any:
        about = declared()[str(info.field_name)]
        if about.limits is None or (about.zero and value == 0):
            return value
        least, most = about.limits
        if not least <= value <= most:
            raise ValueError(f"must be {about.range_text()}")
        return value


def fractions(text: str) -> tuple[float, float]:
    """Two fractions "low,high", each from 0 to less than 0.5; ValueError says what is expected."""
    try:
        low, high = (float(part) for part in text.strip("[]() ").split(","))
    except ValueError:
        low = high = math.nan
    if not (0.0 <= low < 0.5 and 0.0 <= high < 0.5):
        raise ValueError("must be two fractions with a comma between them, each from 0 to less than 0.5")
    return low, high


def lacks_side_by_side(settings: Settings) -> bool:
    """The median is asked for without having all samples of a pixel side by side: settings that do not go together."""
    return settings.stacking_final_combine_method == "median" and settings.final_assembly_method == "incremental"


@cache
def declared() -> dict[str, Declared]:
    """All settings by name, in the order of their declaration; not to be changed."""
    return {name: of_field(name, field) for name, field in Settings.model_fields.items()}

"""Scan: which files of the input are lights, and what their headers say.

Files are opened read only; of a light the header and the first rows are read (for its digest), nothing else.
Every file that is left out comes back with a state and a sentence.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zemosaic.errors import Cancelled, FrameError, InputError
from zemosaic.events import PhaseProgress, Reporter, Warned
from zemosaic.fits import ImageFile, inspect, read_pixels
from zemosaic.headers import as_stack, date_obs, frame_from_header, number, text
from zemosaic.model import CalibrationFrame, CalibrationKind, Frame, FrameKind, FrameState, LeftOut
from zemosaic.patterns import fitting
from zemosaic.phases._scan_calibration import calibration_frame, header_kind, name_kind

__all__ = ["ScanResult", "scan"]

FITS_NAME = re.compile(r"\.(fit|fits|fts)(\.gz|\.fz)?$", re.IGNORECASE)
STACK_NAME = re.compile(r"^(dso_)?stacked[-_. ]|^(master_?light|integration|autosave)", re.IGNORECASE)
SMALLEST = 64  # px: a shorter side holds no field to solve
DIGEST_ROWS = 8  # rows of noise: two different exposures never share them, and they lie beside the header on disk
HASH_ROWS = 256  # rows read at once when whole files are compared
PROGRESS_STEP = 50  # files
COMPANIONS = ("WEIGHT", "COVERAGE", "REJECTED", "EXPOSURE")  # EXTNAME of what ZeMosaic writes beside a mosaic
EXCLUDED = "Left out by you (setting exclude_files)."
WORDS = {
    FrameState.NOT_A_LIGHT: "calibration files",
    FrameState.STACK: "stacks",
    FrameState.OWN_OUTPUT: "ZeMosaic results",
    FrameState.DUPLICATE: "duplicates",
    FrameState.DAMAGED: "damaged files",
    FrameState.UNSUPPORTED: "unsupported files",
    FrameState.EXCLUDED: "excluded files",
}


@dataclass(frozen=True)
class ScanResult:
    """The lights, in the order of their ids, darks, flats and biases, and all other FITS files, in the order of their paths.

    Lights that the user leaves out are among `left_out` and in `excluded`, with ids after those of the others.
    """

    frames: tuple[Frame, ...]
    left_out: tuple[LeftOut, ...]
    calibration: tuple[CalibrationFrame, ...] = ()
    excluded: tuple[Frame, ...] = ()
    idle: tuple[str, ...] = ()  # patterns of what is to be left out that fit no file


@dataclass(frozen=True)
class _File:
    path: Path
    inside: tuple[str, ...]  # folders between the input and the file, and the file's name
    calibration: bool = False  # found in a folder for calibration frames: never a light


def scan(
    inputs: Sequence[Path],
    output: Path,
    reporter: Reporter,
    calibration_folders: Sequence[Path] = (),
    use_stacks: bool = False,
    exclude: Sequence[str] = (),
) -> ScanResult:
    """Find the lights in folders and files, and darks, flats and biases there and in the folders for these.

    use_stacks : take ready-made stacks as frames too, ZeMosaic's own from elsewhere among them
    exclude : patterns of files to leave out (`zemosaic.patterns`)

    Raises
    ------
    InputError
        An input does not exist, or no light is left.
    Cancelled
        The user asked to stop.
    """
    files = _list_files(inputs, reporter, calibration_folders)
    own = _folder_inside(output, [*inputs, *calibration_folders])
    frames: list[Frame] = []
    left_out: list[LeftOut] = []
    calibration: list[CalibrationFrame] = []
    for done, file in enumerate(files, 1):
        if reporter.cancelled():
            raise Cancelled("as you asked, while the input was scanned; what earlier runs measured is kept")
        found = _look(file, own, use_stacks)
        if isinstance(found, Frame):
            frames.append(found)
        elif isinstance(found, CalibrationFrame):
            calibration.append(found)
        else:
            left_out.append(found)
        if done % PROGRESS_STEP == 0 or done == len(files):
            reporter.emit(PhaseProgress("scan", done, len(files), file.path.name))
    unwanted, idle = fitting((file.path for file in files), exclude)
    excluded = sorted((frame for frame in frames if frame.path in unwanted), key=_order)
    frames = sorted((frame for frame in frames if frame.path not in unwanted), key=_order)
    calibration, left_out = _without_excluded(calibration, left_out, excluded, unwanted)
    frames, other = _one_kind(frames)  # first: a copy that lost its BAYERPAT must not displace the good one
    frames, same = _without_duplicates(frames)
    left_out = sorted([*left_out, *same, *other], key=lambda what: what.path.as_posix())
    if not frames:
        raise InputError(_nothing_found(inputs, files, [*left_out, *map(_not_a_light, calibration)]))
    numbered = tuple(replace(frame, id=i) for i, frame in enumerate([*frames, *excluded]))
    wanted, rest = numbered[: len(frames)], numbered[len(frames) :]
    return ScanResult(wanted, tuple(left_out), tuple(calibration), rest, idle)


def _without_excluded(
    calibration: Sequence[CalibrationFrame],
    left_out: Sequence[LeftOut],
    excluded: Sequence[Frame],
    unwanted: Collection[Path],
) -> tuple[list[CalibrationFrame], list[LeftOut]]:
    """The calibration frames that are wanted, and all that are left out so far; what was none keeps its own reason."""
    kept = [each for each in calibration if each.path not in unwanted]
    paths = [each.path for each in excluded] + [each.path for each in calibration if each.path in unwanted]
    return kept, [*left_out, *(LeftOut(path, FrameState.EXCLUDED, EXCLUDED) for path in paths)]


def _not_a_light(frame: CalibrationFrame) -> LeftOut:
    return LeftOut(frame.path, FrameState.NOT_A_LIGHT, f"The file is a {frame.kind}, not a light.")


def _order(frame: Frame) -> tuple[bool, str, str, str]:
    """By DATE-OBS, then name; frames without a date come last."""
    return not frame.date_obs, frame.date_obs, frame.path.name, frame.path.as_posix()


def _list_files(inputs: Sequence[Path], reporter: Reporter, calibration: Sequence[Path]) -> list[_File]:
    """All FITS files, each once, whatever links and overlapping inputs lead to it; sorted by path."""
    found: dict[str, _File] = {}
    for items, is_calibration in ((calibration, True), (inputs, False)):
        seen: set[str] = set()
        for item in items:
            if item.is_dir():
                inside = (item.resolve().name,) if is_calibration else ()
                for real, file in _walk(item, inside, seen, reporter):
                    found.setdefault(real, replace(file, calibration=is_calibration))
            elif item.is_file():
                found.setdefault(os.path.realpath(item), _File(item, (item.name,), is_calibration))
            elif is_calibration:
                raise InputError(f"{item}: this calibration_folder does not exist; check the path.")
            else:
                raise InputError(f"{item}: this input does not exist; check the path (and that its disk is connected).")
    return sorted(found.values(), key=lambda file: file.path.as_posix())


def _walk(folder: Path, inside: tuple[str, ...], seen: set[str], reporter: Reporter) -> Iterator[tuple[str, _File]]:
    """FITS files below a folder with their real paths; a folder is entered once, so that loops of links end."""
    here = os.path.realpath(folder)
    if here in seen:
        return
    seen.add(here)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        reporter.emit(Warned(f"{folder}: the folder cannot be read ({error.strerror}); its files are left out."))
        return
    for entry in entries:
        if entry.name.startswith("."):  # hidden, macOS's "._" companions, our own temporary files
            continue
        path = folder / entry.name
        if entry.is_dir():
            yield from _walk(path, (*inside, entry.name), seen, reporter)
        elif FITS_NAME.search(entry.name):
            real = os.path.realpath(path) if entry.is_symlink() else f"{here}{os.sep}{entry.name}"
            yield real, _File(path, (*inside, entry.name))


def _folder_inside(output: Path, inputs: Iterable[Path]) -> Path | None:
    """The output folder when it lies inside an input (and is not the input itself)."""
    real = Path(os.path.realpath(output))
    return real if any(Path(os.path.realpath(item)) in real.parents for item in inputs) else None


def _look(file: _File, own: Path | None, use_stacks: bool) -> Frame | CalibrationFrame | LeftOut:
    """Decide what one file is."""
    path = file.path
    if own is not None and Path(os.path.realpath(path)).is_relative_to(own):
        return LeftOut(path, FrameState.OWN_OUTPUT, "The file lies in the output folder; keep subs outside of it.")
    try:
        image = inspect(path)
        state, reason = _not_usable(image, file.inside, use_stacks)
        kind = _calibration_kind(image, file.inside)
        if kind is not None and state in (None, FrameState.STACK) and len(image.shape) == 2:
            return calibration_frame(image, kind, path, path.stat())
        if kind is not None and len(image.shape) != 2:
            reason = f"The {kind} is {_size(image.shape)}; expected one plane, as the camera wrote it."
            return LeftOut(path, FrameState.NOT_A_LIGHT, reason)
        if state is not None:
            return LeftOut(path, state, reason)
        if file.calibration:
            reason = "The file lies in calibration_folder, and neither its header nor its name says dark, flat or bias."
            return LeftOut(path, FrameState.UNSUPPORTED, reason)
        frame = frame_from_header(image.cards, image.shape, path, path.stat(), digest=_digest(image))
        if not _made_of_several(image, file.inside):
            return frame
        return as_stack(frame, image.cards, float(np.nanmax(read_pixels(image))))
    except FrameError as error:
        return LeftOut(path, FrameState.DAMAGED, _sentence(str(error).removeprefix(f"{path}: ")))
    except OSError as error:
        return LeftOut(path, FrameState.DAMAGED, f"The file cannot be read ({error.strerror}); check the disk.")


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _not_usable(image: ImageFile, inside: tuple[str, ...], use_stacks: bool) -> tuple[FrameState | None, str]:
    """Why an image is not a light that can be combined; (None, "") when it is one."""
    if _is_own(image) and not (use_stacks and text(image.cards, "EXTNAME") not in COMPANIONS):
        software = text(image.cards, "SOFTWARE")
        return FrameState.OWN_OUTPUT, f"The file is a result of ZeMosaic (SOFTWARE = {software}), not a sub."
    stack = _signs_of_a_stack(image, inside[-1])
    if stack and not use_stacks:
        return FrameState.STACK, f"The file is a stack, not a sub ({stack}); use the subs that it was made from."
    return _unsupported(image)


def _is_own(image: ImageFile) -> bool:
    """Made by this program, and no master: masters are as good as others."""
    return text(image.cards, "SOFTWARE").lower().startswith("zemosaic") and header_kind(image.cards)[0] is None


def _made_of_several(image: ImageFile, inside: tuple[str, ...]) -> bool:
    return _is_own(image) or bool(_signs_of_a_stack(image, inside[-1]))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape))


def _unsupported(image: ImageFile) -> tuple[FrameState | None, str]:
    shape = image.shape
    size = _size(shape)
    if len(shape) < 2:
        return FrameState.UNSUPPORTED, "The file holds no image; expected a raw, mono or three-plane light."
    if len(shape) > 3 or (len(shape) == 3 and shape[0] != 3):
        return FrameState.UNSUPPORTED, f"The image is {size}; expected one plane (raw or mono) or three (R, G, B)."
    if min(shape[-2:]) < SMALLEST:
        return FrameState.UNSUPPORTED, f"The image is {size} px; expected at least {SMALLEST} px on each side."
    return None, ""


def _signs_of_a_stack(image: ImageFile, name: str) -> str:
    """What gives a stack away, in words; "" for single exposures."""
    header = image.cards
    if STACK_NAME.search(name):
        return "by its name"
    for key in ("STACKCNT", "NCOMBINE", "NIMAGES", "NSTACK"):
        if number(header, key) > 1:
            return f"{key} = {number(header, key):.0f}"
    total, single = number(header, "TOTALEXP"), number(header, "EXPTIME")
    if total > 1.5 * single > 0:
        return f"TOTALEXP = {total:g} s for exposures of {single:g} s"
    kind = text(header, "IMAGETYP", "FRAME").lower()
    if "stack" in kind or ("master" in kind and "light" in kind):
        return f"IMAGETYP = {kind}"
    planes = len(image.shape) == 3 and text(header, "BAYERPAT") and "seestar" in text(header, "CREATOR").lower()
    if planes and not name.lower().startswith("light"):  # the device writes three planes for its stacks only
        return "three planes written by the Seestar itself"
    return ""


def _calibration_kind(image: ImageFile, inside: tuple[str, ...]) -> CalibrationKind | None:
    """What kind of calibration frame an image is; the header's word counts more than names."""
    kind, written = header_kind(image.cards)
    if kind is not None or any(word in written.lower() for word in ("light", "object", "science")):
        return kind
    named = name_kind(inside[-1])
    if named is not None or _signs_of_a_stack(image, inside[-1]):  # a stack in a folder of darks is nobody's dark
        return named
    return next((found for found in map(name_kind, reversed(inside[:-1])) if found is not None), None)


def _digest(image: ImageFile) -> str:
    """Hash of the first rows' values, the shape and DATE-OBS to the second: the same in every container.

    Programs that rewrite headers drop the fraction of DATE-OBS; the pixels tell such exposures apart.
    """
    state = hashlib.blake2b(digest_size=16)
    state.update(f"{date_obs(image.cards)[:19]} {image.shape}".encode())
    state.update(_values(image, slice(0, DIGEST_ROWS)))
    return state.hexdigest()


def _values(image: ImageFile, rows: slice) -> bytes:
    return np.asarray(read_pixels(image, rows), np.float32).tobytes()


def _without_duplicates(frames: list[Frame]) -> tuple[list[Frame], list[LeftOut]]:
    """Keep one of the frames that hold the same pixels and DATE-OBS; an unpacked file before a packed one."""
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.digest].append(frame)
    dropped: dict[Path, LeftOut] = {}
    for group in groups.values():
        if len(group) < 2:
            continue
        kept: dict[str, Frame] = {}
        for frame in sorted(group, key=lambda frame: (_is_packed(frame.path), *_order(frame))):
            try:
                first = kept.setdefault(_hash_of_pixels(frame.path), frame)
            except FrameError as error:
                reason = _sentence(str(error).removeprefix(f"{frame.path}: "))
                dropped[frame.path] = LeftOut(frame.path, FrameState.DAMAGED, reason)
                continue
            if first is not frame:
                reason = f"The same exposure as {first.path} (pixels and DATE-OBS are equal); it counts once."
                dropped[frame.path] = LeftOut(frame.path, FrameState.DUPLICATE, reason)
    return [frame for frame in frames if frame.path not in dropped], list(dropped.values())


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".gz", ".fz")


def _hash_of_pixels(path: Path) -> str:
    image = inspect(path)
    state = hashlib.blake2b(digest_size=16)
    step = image.shape[-2] if image.packed or image.tiled else HASH_ROWS  # packed files unpack from the start each time
    for first in range(0, image.shape[-2], step):
        state.update(_values(image, slice(first, first + step)))
    return state.hexdigest()


def _one_kind(frames: list[Frame]) -> tuple[list[Frame], list[LeftOut]]:
    """Colour and mono frames do not combine: the smaller party is left out (mono when they are equal)."""
    mono = [frame for frame in frames if frame.kind is FrameKind.MONO]
    if not mono or len(mono) == len(frames):
        return frames, []
    colour = len(frames) - len(mono)
    keep_mono = len(mono) > colour
    minority, majority = ("colour", "mono") if keep_mono else ("mono", "colour")
    counts = f"{max(len(mono), colour)} {majority} frames"
    reason = f"A {minority} frame among {counts}; the two cannot share a mosaic, make one of each kind in its own run."
    kept = [frame for frame in frames if (frame.kind is FrameKind.MONO) == keep_mono]
    chosen = {frame.path for frame in kept}
    rest = [LeftOut(frame.path, FrameState.UNSUPPORTED, reason) for frame in frames if frame.path not in chosen]
    return kept, rest


def _nothing_found(inputs: Sequence[Path], files: Sequence[_File], left_out: Sequence[LeftOut]) -> str:
    where = ", ".join(str(item) for item in inputs)
    if not files:
        return f"{where}: no FITS file here (.fit .fits .fts, also .gz .fz); choose the folder that holds your subs."
    counts = Counter(what.state for what in left_out)
    found = ", ".join(f"{n} {WORDS[state] if n > 1 else WORDS[state][:-1]}" for state, n in counts.most_common())
    first = left_out[0]
    return f"{where}: no light frame among {len(files)} FITS files ({found}); for example {first.path}: {first.reason}"

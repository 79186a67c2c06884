"""Names of filters, as cameras, programs and people write them, and which of them are dual-band.

Seestar writes IRCUT and LP (its dual-band filter) into FILTER and into the file name, Dwarf writes Astro, Duo-Band and VIS,
programs write what their user typed. Names that mean the same become one; what nobody knows stays as it is written.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from zemosaic.model import Frame

__all__ = ["by_filter", "filter_from_name", "filter_label", "is_dual_band", "may_show_lines", "normal_filter"]

# normal name: how it is written, in lower case without anything but letters and digits
KNOWN: dict[str, tuple[str, ...]] = {
    "IRCUT": ("ircut", "uvircut", "iruvcut", "uvir", "iruv", "irblock", "uvirblock", "ircutfilter"),
    "LP": ("lp", "seestarlp", "lpfilter", "lightpollution", "lightpollutionfilter"),
    "Duo-band": ("duoband", "dualband", "duobandfilter", "dualbandfilter", "duonarrowband", "dualnarrowband", "haoiii"),
    "Astro": ("astro", "astrofilter", "dwarfastro"),
    "VIS": ("vis", "visfilter"),
    "L-eNhance": ("lenhance", "optolonglenhance"),
    "L-eXtreme": ("lextreme", "optolonglextreme"),
    "L-Ultimate": ("lultimate", "optolonglultimate"),
    "ALP-T": ("alpt", "antliaalpt", "alptdual"),
    "NBZ": ("nbz", "idasnbz"),
    "D1 Duo": ("d1", "d1duo", "askard1"),
    "UHC": ("uhc",),
    "L": ("l", "lum", "luminance"),
    "R": ("r", "red"),
    "G": ("g", "green"),
    "B": ("b", "blue"),
    "Ha": ("ha", "halpha", "h"),
    "OIII": ("oiii", "o3", "o"),
    "SII": ("sii", "s2", "s"),
}
NORMAL = {spelling: name for name, spellings in KNOWN.items() for spelling in (*spellings, name.casefold())}
DUAL_BAND = {"LP", "Duo-band", "L-eNhance", "L-eXtreme", "L-Ultimate", "ALP-T", "NBZ", "D1 Duo"}
NOTHING = {"", "none", "nofilter", "no", "clear", "unknown", "na", "empty"}
BROADBAND = {"IRCUT", "Astro", "VIS"}  # one light, the filters of the telescopes for galaxies and clusters
LONGEST_LABEL = 40  # characters: paths end at 260 on many a Windows
IN_NAMES = {"IRCUT", "LP", "Duo-band", "Astro", "VIS"}  # that telescopes write into the names of files


def normal_filter(written: str) -> str:
    """The one name of a filter; "" for what says that there is none, or nothing."""
    text = " ".join(written.split())
    plain = re.sub(r"[^a-z0-9]", "", text.casefold())
    return "" if plain in NOTHING else NORMAL.get(plain, text)


def filter_from_name(file_name: str) -> str:
    """What a telescope wrote into the name of a file, `Light_M 31_10.0s_LP_20250114-211500.fit`; "" when nothing.

    Only a part between an exposure (`10.0s`) and the end counts: a target may be called LP 944-20.
    """
    stem = file_name.split(".fit")[0].split(".FIT")[0]
    found = re.search(r"(?:^|_)\d+(?:\.\d+)?s(?:ec)?_(.+)$", stem)
    names = [normal_filter(part) for part in found[1].split("_")] if found else []
    return next((name for name in names if name in IN_NAMES), "")


def is_dual_band(name: str) -> bool:
    """Whether a normal name is that of a filter that passes H-alpha and OIII and little else."""
    return name in DUAL_BAND


def may_show_lines(frame: Frame) -> bool:
    """Whether H-alpha and OIII can be parted: a colour sub through a dual-band filter, or one whose filter nobody knows."""
    return frame.channels == 3 and (not frame.filter or is_dual_band(frame.filter))


def filter_label(name: str) -> str:
    """As a part of a file name: `no-filter` where none is known; a long one ends in what tells it from others."""
    label = re.sub(r"[^0-9A-Za-z+]+", "-", name).strip("-") or "no-filter"
    if len(label) <= LONGEST_LABEL:
        return label
    return f"{label[: LONGEST_LABEL - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def by_filter(frames: Sequence[Frame]) -> tuple[tuple[str, tuple[Frame, ...]], ...]:
    """Frames that make a mosaic together, by (label of their filter, frames), in the order of their first frames.

    The broadband filters of the telescopes are one light. Frames whose filter nobody states go with the only light that the
    others have, and are a mosaic of their own where there are several.
    """
    light = ["broadband" if f.filter in BROADBAND else f.filter for f in frames]
    known = sorted(set(light) - {""})
    if len(known) == 1:
        light = [known[0]] * len(frames)
    parts = []
    for each in dict.fromkeys(light):
        members = tuple(f for f, of in zip(frames, light, strict=True) if of == each)
        names = [name for name, _ in Counter(f.filter for f in members if f.filter).most_common()]
        parts.append((filter_label("+".join(names)), members))
    return tuple(parts)

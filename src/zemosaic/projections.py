"""Map projections: those of wcslib, through astropy. Arrays and numbers in, arrays out.

Zenithal ones touch the sky at the mosaic's centre, north up there. All others are laid out as in an atlas: parallels run across,
so their point of reference lies on the equator, or on the mosaic's own parallel (the conic ones). Not offered is what needs
parameters that nobody would choose well (AZP, SZP, ZPN, BON), what parts the sky into facets (TSC, CSC, QSC, HPX, XPH), and
PCO, for which wcslib 8 finds no sky along the central meridian.
Calabretta & Greisen 2002, A&A 395, 1077.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["CONIC", "CYLINDRICAL", "NAMES", "ZENITHAL", "parameters", "pole_of", "project", "unproject"]

FloatArray = NDArray[np.float64]
ZENITHAL = {
    "TAN": "gnomonic",
    "STG": "stereographic",
    "SIN": "orthographic",
    "ARC": "zenithal equidistant",
    "ZEA": "zenithal equal area",
    "AIR": "Airy",
}
CYLINDRICAL = {
    "CYP": "cylindrical perspective",
    "CEA": "cylindrical equal area",
    "CAR": "plate carree",
    "MER": "Mercator",
}
PSEUDO = {
    "SFL": "Sanson-Flamsteed",
    "PAR": "parabolic",
    "MOL": "Mollweide",
    "AIT": "Hammer-Aitoff",
}
CONIC = {
    "COP": "conic perspective",
    "COE": "conic equal area",
    "COD": "conic equidistant",
    "COO": "conic orthomorphic",
}
NAMES = ZENITHAL | CYLINDRICAL | PSEUDO | CONIC


def parameters(projection: str, dec: float) -> dict[str, float]:
    """PV cards: the conic ones touch the sky along the parallel of their point of reference."""
    return {"PV2_1": dec, "PV2_2": 0.0} if projection in CONIC else {}


def pole_of(projection: str) -> float:
    """LONPOLE, degrees; it is stated because what stands for an absent one turns the map around at the pole."""
    return 180.0 if projection in ZENITHAL else 0.0


def _wcs(projection: str, ra: float, dec: float) -> WCS:
    """Pixels of it are degrees on the plane. Never shared: wcslib's structures know no threads (60 us each)."""
    from astropy.wcs import WCS  # TAN, by far the most frequent one, needs none of it

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt, wcs.wcs.cunit = [ra, dec], [0.0, 0.0], [1.0, 1.0], ["deg", "deg"]
    wcs.wcs.set_pv([(int(key[2]), int(key[4]), value) for key, value in parameters(projection, dec).items()])
    wcs.wcs.lonpole = pole_of(projection)
    if projection in CYLINDRICAL:
        wcs.wcs.bounds_check(False, True)  # the sky goes on around a cylinder
    return wcs


def project(projection: str, ra0: float, dec0: float, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places (x to the east, y to the north) on the plane, degrees, of sky positions; NaN where the map has none."""
    shape = np.broadcast_shapes(ra.shape, dec.shape)
    flat = (np.ravel(np.broadcast_to(each, shape)) for each in (ra, dec))
    x, y = _wcs(projection, ra0, dec0).wcs_world2pix(*flat, 1)
    return x.reshape(shape), y.reshape(shape)


def unproject(projection: str, ra0: float, dec0: float, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sky positions, degrees with 0 <= ra < 360, of places on the plane; NaN beyond the edge of the map."""
    ra, dec = _wcs(projection, ra0, dec0).wcs_pix2world(np.ravel(x), np.ravel(y), 1)
    return np.mod(np.mod(ra, 360.0), 360.0).reshape(x.shape), dec.reshape(x.shape)

"""Quads of stars: the code that tells four stars apart whatever their place, scale and turn; the index of codes.

A and B are the two stars farthest apart; in the frame with A at 0 and B at 1 the places of C and D are the code
(Re C, Im C, Re D, Im D), made unique by Re C <= Re D and Re C + Re D <= 1 (Lang et al. 2010, AJ 139, 1782, with the
lens of A and B in place of their circle). A mirrored quad has the code with both Im negated.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["CODE_STEPS", "bin_of_codes", "emit_quads", "find_codes", "plane_codes", "sky_codes", "support"]

CODE_STEPS = 32767.5  # stored code = (code + 1) * CODE_STEPS
ALONG, ACROSS = 27, 46  # bins of Re and Im
WIDTH = 0.04  # of a bin
FIRST_ALONG, FIRST_ACROSS = -0.04, -0.92  # lower edges of the first bins

# Two fifths of the checked stars at least match a true hypothesis, 1 % a false one.
FIRST_LOOK = 10  # stars checked before a hypothesis without any match is given up
SECOND_LOOK = 20  # ... with fewer than two matches


@kernel
def emit_quads(
    xyz: NDArray[np.float64],
    start: NDArray[np.int64],
    fainter: NDArray[np.int64],
    shortest: float,
    longest: float,
    per_fourth: int,
    most: int,
    out: NDArray[np.int32],
) -> int:
    """Quads of each star with three fainter neighbours, brightest first.

    Parameters
    ----------
    xyz : (n, 3) unit vectors.
    start, fainter : neighbours of star i, brightest first: fainter[start[i] : start[i + 1]].
    shortest, longest : chords between which the longest side must lie.
    per_fourth, most : quads that share the faintest star and the brightest one, quads of the brightest one.
    out : (n * most, 4) filled with star numbers.

    Returns the number of quads.
    """
    count = 0
    low, high = shortest * shortest, longest * longest
    quad = np.empty(4, np.int64)
    for i in range(start.size - 1):
        quad[0] = i
        begin, stop = start[i], start[i + 1]
        own = 0
        for c in range(begin + 2, stop):
            shared = 0
            quad[3] = fainter[c]
            for b in range(begin + 1, c):
                quad[2] = fainter[b]
                for a in range(begin, b):
                    quad[1] = fainter[a]
                    largest = 0.0
                    for p in range(3):
                        for q in range(p + 1, 4):
                            length = 0.0
                            for axis in range(3):
                                length += (xyz[quad[p], axis] - xyz[quad[q], axis]) ** 2
                            largest = max(largest, length)
                    if low <= largest < high:
                        for p in range(4):
                            out[count, p] = quad[p]
                        count += 1
                        own += 1
                        shared += 1
                    if shared == per_fourth or own == most:
                        break
                if shared == per_fourth or own == most:
                    break
            if own == most:
                break
    return count


@kernel
def _canonical(
    x: NDArray[np.float64], y: NDArray[np.float64], order: NDArray[np.int64], code: NDArray[np.float64]
) -> None:
    """Order (A, B, C, D) and code of four points."""
    a, b, longest = 0, 1, -1.0
    for p in range(3):
        for q in range(p + 1, 4):
            length = (x[p] - x[q]) ** 2 + (y[p] - y[q]) ** 2
            if length > longest:
                a, b, longest = p, q, length
    c = -1
    d = -1
    for p in range(4):
        if p != a and p != b:
            if c < 0:
                c = p
            else:
                d = p
    bx, by = x[b] - x[a], y[b] - y[a]
    norm = max(longest, 1e-300)
    cx, cy = ((x[c] - x[a]) * bx + (y[c] - y[a]) * by) / norm, ((y[c] - y[a]) * bx - (x[c] - x[a]) * by) / norm
    dx, dy = ((x[d] - x[a]) * bx + (y[d] - y[a]) * by) / norm, ((y[d] - y[a]) * bx - (x[d] - x[a]) * by) / norm
    if cx + dx > 1.0:
        a, b = b, a
        cx, cy, dx, dy = 1.0 - cx, -cy, 1.0 - dx, -dy
    if cx > dx:
        c, d = d, c
        cx, cy, dx, dy = dx, dy, cx, cy
    order[0], order[1], order[2], order[3] = a, b, c, d
    code[0], code[1], code[2], code[3] = cx, cy, dx, dy


@kernel
def plane_codes(
    x: NDArray[np.float64], y: NDArray[np.float64], quads: NDArray[np.int64], codes: NDArray[np.float64]
) -> None:
    """Codes (n, 4) of quads (n, 4) of points; the quads are put into the order A, B, C, D."""
    px, py, code = np.empty(4), np.empty(4), np.empty(4)
    order, old = np.empty(4, np.int64), np.empty(4, np.int64)
    for i in range(len(quads)):
        for p in range(4):
            old[p] = quads[i, p]
            px[p], py[p] = x[old[p]], y[old[p]]
        _canonical(px, py, order, code)
        for p in range(4):
            quads[i, p] = old[order[p]]
            codes[i, p] = code[p]


@kernel
def _axes(direction: NDArray[np.float64], basis: NDArray[np.float64]) -> None:
    """Unit vectors to a direction, to its east and to its north, in rows."""
    length = math.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    tx, ty, tz = direction[0] / length, direction[1] / length, direction[2] / length
    flat = math.hypot(tx, ty)
    ex, ey = (-ty / flat, tx / flat) if flat > 1e-12 else (0.0, 1.0)
    basis[0, 0], basis[0, 1], basis[0, 2] = tx, ty, tz
    basis[1, 0], basis[1, 1], basis[1, 2] = ex, ey, 0.0
    basis[2, 0], basis[2, 1], basis[2, 2] = -tz * ey, tz * ex, tx * ey - ty * ex


@kernel
def _on_plane(
    xyz: NDArray[np.float32],
    few: NDArray[np.uint32],
    basis: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> None:
    """Standard coordinates of a few stars about their mean direction."""
    mean = np.zeros(3)
    for p in range(len(few)):
        for axis in range(3):
            mean[axis] += xyz[few[p], axis]
    _axes(mean, basis)
    for p in range(len(few)):
        depth, east, north = 0.0, 0.0, 0.0
        for axis in range(3):
            value = xyz[few[p], axis]
            depth += value * basis[0, axis]
            east += value * basis[1, axis]
            north += value * basis[2, axis]
        x[p], y[p] = east / depth, north / depth


@kernel
def sky_codes(xyz: NDArray[np.float32], quads: NDArray[np.uint32], codes: NDArray[np.uint16]) -> None:
    """Stored codes of quads of stars (xi to the east, eta to the north); the quads are put into the order A, B, C, D."""
    px, py, code, basis = np.empty(4), np.empty(4), np.empty(4), np.empty((3, 3))
    order, old = np.empty(4, np.int64), np.empty(4, np.uint32)
    for i in range(len(quads)):
        _on_plane(xyz, quads[i], basis, px, py)
        _canonical(px, py, order, code)
        for p in range(4):
            old[p] = quads[i, p]
        for p in range(4):
            quads[i, p] = old[order[p]]
            codes[i, p] = np.uint16((code[p] + 1.0) * CODE_STEPS + 0.5)


@kernel
def bin_of_codes(codes: NDArray[np.uint16], out: NDArray[np.int64]) -> int:
    """Bin of each stored code; returns the number of bins."""
    for i in range(len(codes)):
        number = 0
        for p in range(4):
            value = codes[i, p] / CODE_STEPS - 1.0
            if p % 2 == 0:
                number = number * ALONG + min(max(int(math.floor((value - FIRST_ALONG) / WIDTH)), 0), ALONG - 1)
            else:
                number = number * ACROSS + min(max(int(math.floor((value - FIRST_ACROSS) / WIDTH)), 0), ACROSS - 1)
        out[i] = number
    return ALONG * ACROSS * ALONG * ACROSS


@kernel
def find_codes(
    codes: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    parity: int,
    start: NDArray[np.int32],
    stored: NDArray[np.uint16],
    out: NDArray[np.int64],
) -> int:
    """Pairs (image quad, index quad) with codes closer than the tolerance of the image quad.

    Parameters
    ----------
    parity : -1 looks for mirrored quads.
    start, stored : index quads of bin b are start[b] : start[b + 1].
    out : (capacity, 2) filled with pairs.

    Returns their number; at most the capacity.
    """
    count = 0
    low, high = np.empty(4, np.int64), np.empty(4, np.int64)
    code = np.empty(4)
    for i in range(len(codes)):
        reach = tolerance[i]
        for p in range(4):
            code[p] = codes[i, p] * (parity if p % 2 else 1)
            first = FIRST_ACROSS if p % 2 else FIRST_ALONG
            last = (ACROSS if p % 2 else ALONG) - 1
            low[p] = min(max(int(math.floor((code[p] - reach - first) / WIDTH)), 0), last)
            high[p] = min(max(int(math.floor((code[p] + reach - first) / WIDTH)), 0), last)
        for b0 in range(low[0], high[0] + 1):
            for b1 in range(low[1], high[1] + 1):
                for b2 in range(low[2], high[2] + 1):
                    row = ((b0 * ACROSS + b1) * ALONG + b2) * ACROSS
                    # the bins of the last dimension follow each other
                    for k in range(start[row + low[3]], start[row + high[3] + 1]):
                        distance = 0.0
                        for p in range(4):
                            distance += (stored[k, p] / CODE_STEPS - 1.0 - code[p]) ** 2
                        if distance < reach * reach:
                            if count == len(out):
                                return count
                            out[count, 0], out[count, 1] = i, k
                            count += 1
    return count


@kernel
def support(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    image: NDArray[np.int64],
    sky: NDArray[np.uint32],
    parity: NDArray[np.int64],
    xyz: NDArray[np.float32],
    band_cells: NDArray[np.int64],
    cell_start: NDArray[np.int64],
    scales: NDArray[np.float64],
    near: float,
    bend: float,
    out: NDArray[np.float64],
) -> int:
    """How many image stars fall onto catalogue stars if a few image stars are these few catalogue stars.

    Parameters
    ----------
    x, y : (n,) px, image stars to check.
    image, sky : (m, 3) or (m, 4) image stars and the catalogue stars that they might be.
    parity : (m,) -1 where the image is the mirrored sky.
    xyz : unit vectors of the stars, ordered by sky cell and there from south to north.
    band_cells, cell_start : cells of each degree of declination from the south pole; first star of each cell.
    scales : (2,) rad/px, least and most.
    near, bend : px and px per px from the centre of the few, how close a star must come.
    out : (m, 9) filled with matches (-1: impossible scale), the multiplier (rad/px), the centre in px, its direction, and
        how surprising the matches are: -ln of about the chance of as many, with the catalogue's density there.

    Returns the number of hypotheses with a possible scale.
    """
    few = image.shape[1]
    px, py, basis = np.empty(few), np.empty(few), np.empty((3, 3))
    band_start = np.zeros(len(band_cells) + 1, np.int64)
    band_start[1:] = np.cumsum(band_cells)
    area = np.empty(len(band_cells))  # sr, of a cell
    for band in range(len(band_cells)):
        low, high = math.sin(math.radians(band - 90.0)), math.sin(math.radians(band - 89.0))
        area[band] = 2.0 * math.pi * (high - low) / band_cells[band]
    tried = 0
    for m in range(len(image)):
        _on_plane(xyz, sky[m], basis, px, py)
        cx, cy = 0.0, 0.0
        for p in range(few):
            cx += x[image[m, p]] / few
            cy += y[image[m, p]] / few
        mean_x, mean_y = px.mean(), py.mean()
        re, im, norm = 0.0, 0.0, 0.0
        for p in range(few):
            u, v = x[image[m, p]] - cx, parity[m] * (y[image[m, p]] - cy)
            re += u * (px[p] - mean_x) + v * (py[p] - mean_y)
            im += u * (py[p] - mean_y) - v * (px[p] - mean_x)
            norm += u * u + v * v
        re, im = re / norm, im / norm
        scale = math.hypot(re, im)
        out[m, 0] = -1.0
        if scale < scales[0] or scale > scales[1]:
            continue
        tried += 1
        matches, checked, by_chance = 0, 0, 0.0
        for s in range(len(x)):
            own = False
            for p in range(few):
                own = own or s == image[m, p]
            if own:
                continue
            if (checked == FIRST_LOOK and matches == 0) or (checked == SECOND_LOOK and matches < 2):
                break
            checked += 1
            u, v = x[s] - cx, parity[m] * (y[s] - cy)
            xi, eta = re * u - im * v + mean_x, im * u + re * v + mean_y
            vx = basis[0, 0] + xi * basis[1, 0] + eta * basis[2, 0]
            vy = basis[0, 1] + xi * basis[1, 1] + eta * basis[2, 1]
            vz = basis[0, 2] + xi * basis[1, 2] + eta * basis[2, 2]
            length = math.sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx / length, vy / length, vz / length
            reach = scale * (near + bend * math.hypot(u, v))
            up = math.degrees(math.asin(min(max(vz, -1.0), 1.0))) + 90.0
            band = min(int(up), len(band_cells) - 1)
            around = math.degrees(math.atan2(vy, vx)) % 360.0
            column = min(int(around / 360.0 * band_cells[band]), band_cells[band] - 1)
            cell = band_start[band] + column
            by_chance += min(1.0, (cell_start[cell + 1] - cell_start[cell]) * math.pi * reach * reach / area[band])
            k, last = cell_start[cell], cell_start[cell + 1]
            lower = np.float32(vz - reach)
            stop = last
            while k < stop:  # the first star of the cell that is not too far south
                middle = (k + stop) // 2
                if xyz[middle, 2] < lower:
                    k = middle + 1
                else:
                    stop = middle
            while k < last and xyz[k, 2] <= vz + reach:
                distance = (xyz[k, 0] - vx) ** 2 + (xyz[k, 1] - vy) ** 2 + (xyz[k, 2] - vz) ** 2
                if distance < reach * reach:
                    matches += 1
                    break
                k += 1
        out[m, 0], out[m, 1], out[m, 2] = matches, re, im
        out[m, 3], out[m, 4] = cx, cy
        for axis in range(3):
            out[m, 5 + axis] = basis[0, axis] + mean_x * basis[1, axis] + mean_y * basis[2, axis]
        by_chance = max(by_chance, 1e-6)
        out[m, 8] = matches * math.log(matches / by_chance) - matches + by_chance if matches > by_chance else 0.0
    return tried

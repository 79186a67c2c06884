"""Checksums of FITS files (FITS standard 4.0, appendix J), piece by piece so that an image can be written in strips."""

from __future__ import annotations

import numpy as np

__all__ = ["add", "encode", "sum_of"]


def add(a: int, b: int) -> int:
    """Sum of two 32-bit words in ones' complement."""
    total = a + b
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def sum_of(data: bytes, at: int) -> int:
    """Ones' complement sum of 32-bit big-endian words, of bytes that begin at offset `at` of the data."""
    lead = at % 4
    aligned = bytes(lead) + data if lead else data
    whole = len(aligned) // 4 * 4
    total = int(np.frombuffer(aligned, ">u4", whole // 4).sum(dtype=np.uint64))
    return add(total, int.from_bytes(aligned[whole:].ljust(4, b"\0"), "big"))


def encode(total: int) -> str:
    """The CHECKSUM string that brings the sum of the HDU, `total` with a CHECKSUM of zeros, to all ones."""
    value = 0xFFFFFFFF - total
    columns = [_letters((value >> shift) & 0xFF) for shift in (24, 16, 8, 0)]
    letters = "".join(chr(columns[column][row]) for row in range(4) for column in range(4))
    return letters[-1] + letters[:-1]


def _letters(byte: int) -> list[int]:
    """Four digits or letters whose excess over "0" adds up to the byte."""
    quarter = byte // 4 + ord("0")
    codes = [quarter + byte % 4, quarter, quarter, quarter]
    while any(map(_is_punctuation, codes)):  # move by pairs: the sum stays
        for i in (0, 2):
            if any(map(_is_punctuation, codes[i : i + 2])):
                codes[i] += 1
                codes[i + 1] -= 1
    return codes


def _is_punctuation(code: int) -> bool:
    return 58 <= code <= 64 or 91 <= code <= 96

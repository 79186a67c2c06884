"""Demosaicing keeps what the photometry and the noise model rely on."""

import numpy as np
import pytest

from zemosaic.imaging.demosaic import BILINEAR_VARIANCE, bilinear, cfa_colours, luminance

PATTERNS = ["RGGB", "BGGR", "GRBG", "GBRG"]


def mosaic(planes, pattern):
    """(h, w) raw mosaic of (h, w, 3) planes."""
    h, w, _ = planes.shape
    y, x = np.mgrid[:h, :w]
    channel = cfa_colours(pattern)[y % 2, x % 2]
    return np.take_along_axis(planes, channel[..., None], axis=2)[..., 0].astype(np.float32)


def test_colours_of_the_seestar():
    assert cfa_colours("GRBG").tolist() == [[1, 0], [2, 1]]


@pytest.mark.parametrize("pattern", ["", "RGB", "RGBG", "GGRB", "RGGR", "CMYG"])
def test_what_is_no_bayer_pattern_is_refused_in_words(pattern):
    with pytest.raises(ValueError, match="not a Bayer pattern"):
        cfa_colours(pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_plane_comes_back_exactly_inside(pattern):
    y, x = np.mgrid[:31, :22]
    planes = np.stack([100 + 2 * x + 3 * y, 50 - x + y, 10 + 0.5 * x - 2 * y], axis=2).astype(float)
    out = bilinear(mosaic(planes, pattern), pattern)
    np.testing.assert_allclose(out[1:-1, 1:-1], planes[1:-1, 1:-1], atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_variance_of_a_wide_sum_is_as_stated(pattern):
    rng = np.random.default_rng(5)
    size, cell = 1200, 40
    out = bilinear(rng.normal(0, 1, (size, size)).astype(np.float32), pattern)
    sums = out.reshape(size // cell, cell, size // cell, cell, 3).sum(axis=(1, 3), dtype=float)
    np.testing.assert_allclose(sums.var(axis=(0, 1)) / cell**2, BILINEAR_VARIANCE, rtol=0.15)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_luminance_is_the_same_at_every_phase(pattern):
    planes = np.broadcast_to([400.0, 100.0, 40.0], (11, 14, 3))
    np.testing.assert_allclose(luminance(mosaic(planes, pattern)), (400 + 2 * 100 + 40) / 4, rtol=1e-6)

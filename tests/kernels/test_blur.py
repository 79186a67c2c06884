"""The blur against that of scipy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zemosaic.imaging.grain import blurred


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (57, 33)])
@pytest.mark.parametrize("radius", [0.8, 2.0, 7.5])
def test_blur_is_a_gaussian_reflected_about_the_edges(shape, radius):
    image = np.random.default_rng(2).normal(10, 3, shape).astype(np.float32)
    before = image.copy()
    expected = gaussian_filter(image.astype(float), radius, truncate=3.0)
    np.testing.assert_allclose(blurred(image, radius), expected, rtol=2e-6)
    np.testing.assert_allclose(blurred(image[:, ::-1], radius), expected[:, ::-1], rtol=2e-6)
    np.testing.assert_array_equal(image, before)

"""What people write for angles, places and sizes."""

from __future__ import annotations

import pytest

from zemosaic import geometry
from zemosaic.errors import SettingsError
from zemosaic.settings import Settings


@pytest.mark.parametrize(
    "text", ["10.6847 +41.26917", "10.6847, 41.26917", "0 42 44.33 +41 16 09.0", "00:42:44.33 +41:16:09",
             "0h42m44.33s +41d16m9s", "0h42m44.33s +41°16'09\"", "00h 42m 44.33s, +41° 16′ 09″",
             "10.6847,41.26917"],
)  # fmt: skip
def test_a_place_in_any_form(text):
    ra, dec = geometry.place(text)
    assert ra == pytest.approx(10.6847, abs=1e-4) and dec == pytest.approx(41.26917, abs=1e-4)


def test_declinations_just_south_of_the_equator_stay_there():
    assert geometry.place("5 35.3 -0 23.5") == pytest.approx((83.825, -0.391667), abs=1e-5)
    assert geometry.place("  ") is None


@pytest.mark.parametrize(
    "text",
    ["M 31", "10", "10 91", "-5 20", "0 42 44 41 16 09", "0 60 0 +1 0 0", "1 2 +3", "1 2 3 +", "10,25 +41,27", "10,20"],
)
def test_what_is_no_place_is_refused(text):
    with pytest.raises(ValueError, match="right ascension and declination"):
        geometry.place(text)


def test_sizes_and_angles():
    assert geometry.size("3000 x 2000") == geometry.size("3000x2000 px") == (3000.0, 2000.0, False)
    assert geometry.size("3 x 2.5 deg") == geometry.size("3, 2.5°") == (3.0, 2.5, True)
    assert geometry.size("4 deg") == (4.0, 4.0, True) and geometry.size("") is None
    assert geometry.angle("North") == 0.0 and geometry.angle("frames") is None and geometry.angle("-30") == 330.0
    for text in ("3", "a x b", "3 x", "0 x 5 deg", "400 deg", "3,5 deg", "3000,2000"):
        with pytest.raises(ValueError, match="a width and a height"):
            geometry.size(text)
    for text in ("up", "nan", "400"):
        with pytest.raises(ValueError, match="north, frames, or an angle"):
            geometry.angle(text)


def test_settings_take_the_names_of_projections_in_any_case():
    assert Settings(output_projection=" zea ").output_projection == "ZEA"
    assert Settings(output_projection="Auto").output_projection == "auto"
    with pytest.raises(SettingsError, match="output_projection"):
        Settings(output_projection="TSC")

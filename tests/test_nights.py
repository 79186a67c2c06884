"""Nights end with the day, wherever on Earth, and not with a date."""

from __future__ import annotations

import pytest

from zemosaic.nights import nights


@pytest.mark.parametrize(
    ("one_night", "next_night"),
    [
        (["14T20:10", "14T23:59", "15T00:01", "15T03:50"], ["15T20:00"]),  # Europe, across 0 h UTC
        (["15T09:30", "15T12:01", "15T17:30"], ["16T09:30"]),  # Sydney, across noon UTC
        (["15T05:00", "15T10:30", "15T14:30"], ["16T04:55", "16T10:00"]),  # Hawaii
    ],
)
def test_a_night_is_what_no_day_divides(one_night, next_night):
    dates = [f"2025-01-{each}:00" for each in one_night + next_night]
    expected = ["2025-01-14"] * len(one_night) + ["2025-01-15"] * len(next_night)
    assert nights(["a"] * len(dates), dates) == expected
    assert nights(["a"] * len(dates), dates[::-1]) == expected[::-1]


def test_telescopes_have_nights_of_their_own_and_frames_without_a_date_have_none():
    dates = ["2025-01-14T23:59:00", "2025-01-15T00:01:00", "", "no date", "2025-01-15T12:30:00"]
    assert nights(["a", "a", "a", "b", "b"], dates) == ["2025-01-14", "2025-01-14", "", "", "2025-01-15"]
    assert nights([], []) == []

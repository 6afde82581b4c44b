"""The arithmetic of ISO 13855 against vectors that manufacturers publish."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.safety.timing import (
    ResponseTime,
    longest_response_s,
    separation_light_curtain_mm,
    separation_mm,
)

UNREAL = [-0.001, -math.inf, math.inf, math.nan]


@pytest.mark.parametrize(
    ("resolution_mm", "total_s", "expected_mm"),
    [
        (14, 0.360, 576),
        (30, 0.360, 704),
        (40, 0.360, 784),
        (14, 0.320, 512),  # printed in manuals of light curtains: 640 mm at 2000 mm/s, so 512 mm at 1600
        (14, 0.250, 500),  # exactly at the change of speed
        (14, 0.251, 500),  # 502 mm at 2000 mm/s, 401.6 at 1600: never less than 500
        (14, 0.200, 400),
        (30, 0.100, 328),
        (14, 0.010, 100),  # never less than 100
        (14, 0.000, 100),
    ],
)
def test_light_curtain_vectors(resolution_mm: float, total_s: float, expected_mm: float):
    assert separation_light_curtain_mm(total_s, resolution_mm) == pytest.approx(expected_mm)


def test_a_camera_that_resolves_hands_like_a_3d_safety_camera():
    assert separation_mm(0.360, 160) == pytest.approx(880)
    assert longest_response_s(500, 160) == pytest.approx(0.170)


def test_separation_is_never_less_than_a_hundred_millimeters():
    assert separation_mm(0, 0) == 100
    assert separation_mm(0.05, 0) == 100
    assert separation_mm(0.051, 0) == pytest.approx(102)


def test_no_time_is_left_when_the_danger_is_within_the_intrusion():
    assert longest_response_s(160, 160) == 0
    assert longest_response_s(100, 160) < 0


@pytest.mark.parametrize("resolution_mm", [13.999, 40.001, math.nan])
def test_a_resolution_the_formula_is_not_for_is_refused(resolution_mm: float):
    expected = f"^resolution_mm: expected 14 to 40, found {resolution_mm:g}$"
    with pytest.raises(ValueError, match=expected):
        separation_light_curtain_mm(0.3, resolution_mm)


@pytest.mark.parametrize("unreal", UNREAL)
def test_a_number_that_is_none_does_not_become_a_distance(unreal: float):
    expected = f"expected a finite number of at least 0, found {unreal}$"
    with pytest.raises(ValueError, match=f"^total_s: {expected}"):
        separation_mm(unreal, 160)
    with pytest.raises(ValueError, match=f"^intrusion_mm: {expected}"):
        separation_mm(0.3, unreal)
    with pytest.raises(ValueError, match=f"^total_s: {expected}"):
        separation_light_curtain_mm(unreal, 14)
    with pytest.raises(ValueError, match=f"^separation: {expected}"):
        longest_response_s(unreal, 160)
    with pytest.raises(ValueError, match=f"^intrusion_mm: {expected}"):
        longest_response_s(500, unreal)


@pytest.mark.parametrize("name", ["vision_s", "output_s", "stopping_s"])
@pytest.mark.parametrize("unreal", UNREAL)
def test_a_response_time_that_is_none_is_refused(name: str, unreal: float):
    times = {"vision_s": 0.083, "output_s": 0.08, "stopping_s": 0.3} | {name: unreal}
    with pytest.raises(ValueError, match=f"^{name}: expected a finite number of at least 0, found {unreal}$"):
        ResponseTime(**times)


def test_the_whole_response_is_the_sum_of_what_follows_one_another():
    assert ResponseTime(0.083, 0.080, 0.3).total_s == pytest.approx(0.463)
    assert ResponseTime(0, 0, 0).total_s == 0


times_s = st.floats(0, 60)


@given(times_s, times_s, st.floats(0, 1000))
def test_more_time_never_needs_less_distance(one_s: float, other_s: float, intrusion_mm: float):
    shorter, longer = sorted((one_s, other_s))
    assert separation_mm(shorter, intrusion_mm) <= separation_mm(longer, intrusion_mm)
    assert separation_light_curtain_mm(shorter, 30) <= separation_light_curtain_mm(longer, 30)


@given(st.floats(0.1, 60), st.floats(0, 1000))
def test_the_longest_response_needs_exactly_the_distance_there_is(total_s: float, intrusion_mm: float):
    distance_mm = separation_mm(total_s, intrusion_mm)
    assert longest_response_s(distance_mm, intrusion_mm) == pytest.approx(total_s)

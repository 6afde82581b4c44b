"""Zones: what counts as an intrusion, one picture and one move at a time."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from handguard.safety.zones import LONGEST_SWEEP_S, ZoneField, checked
from handguard.types import Zone, ZoneRole, ZoneStatus
from tests.safety.scenes import (
    FASTEST_PX_S,
    FRAME_NS,
    MS,
    STOP,
    WARNING,
    Box,
    Corner,
    earlier,
    field,
    hands,
    moved,
    stop_zone,
)

SQUARE: tuple[Corner, ...] = ((100, 100), (200, 100), (200, 200), (100, 200))
NARROW = ((300, 0), (310, 0), (310, 480), (300, 480))


def zone(*corners: Corner) -> Zone:
    return Zone("z", ZoneRole.STOP, corners)


def is_intruded(where: ZoneField, *boxes: Box) -> bool:
    return where.judge(hands(*boxes), None)[0].intruded


# Which polygons can be judged --------------------------------------------------------------


def test_a_sound_zone_is_handed_back_as_it_is():
    assert checked(STOP, 640, 480) is STOP


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((), "expected at least three corners, found 0"),
        (((0, 0), (9, 9)), "expected at least three corners, found 2"),
        (((0, 0), (9, 0), (math.nan, 9)), r"expected finite corners, found \(nan, 9\)"),
        (((0, 0), (9, 0), (9, math.inf)), r"expected finite corners, found \(9, inf\)"),
        (((0, 0), (9, 0), (9, -1.5)), r"expected corners inside the 640x480 picture, found \(9, -1.5\)"),
        (((0, 0), (641.5, 0), (9, 9)), r"expected corners inside the 640x480 picture, found \(641.5, 0\)"),
        (((0, 0), (9, 0), (9, 481.5)), r"expected corners inside the 640x480 picture, found \(9, 481.5\)"),
        (((-1.5, 0), (9, 0), (9, 9)), r"expected corners inside the 640x480 picture, found \(-1.5, 0\)"),
        (((0, 0), (9, 9), (9, 0), (0, 9)), "expected a polygon that does not cross itself, found Self-inter"),
        (((0, 0), (9, 0), (5, 0)), "expected a polygon that does not cross itself"),
        (((0, 0), (1, 0), (1, 1)), "expected an area of at least one pixel, found 0.5"),
    ],
)
def test_a_polygon_that_cannot_be_judged_is_refused_with_the_reason(corners: tuple[Corner, ...], reason: str):
    with pytest.raises(ValueError, match=f"^{reason}"):
        checked(zone(*corners), 640, 480)


def test_corners_one_pixel_off_the_picture_are_rounding():
    whole = ((-1, -1), (641, -1), (641, 481), (-1, 481))
    assert checked(zone(*whole), 640, 480)


def test_an_area_of_one_pixel_is_enough():
    assert checked(zone((0, 0), (1, 0), (1, 1), (0, 1)), 640, 480)


@pytest.mark.parametrize("corners", [SQUARE, SQUARE[::-1], (*SQUARE, SQUARE[0])], ids=["cw", "ccw", "closed"])
def test_the_order_of_corners_does_not_matter(corners: tuple[Corner, ...]):
    assert is_intruded(stop_zone(*corners), [150, 150, 160, 160])
    assert not is_intruded(stop_zone(*corners), [250, 150, 260, 160])


# Which fields can be judged ----------------------------------------------------------------


def test_two_zones_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"^expected different names, found stop, stop$"):
        field(STOP, STOP)


@pytest.mark.parametrize("zones", [(), (WARNING,)], ids=["none", "only-warning"])
def test_a_field_without_a_stop_zone_is_refused(zones: tuple[Zone, ...]):
    with pytest.raises(ValueError, match=r"^expected at least one stop zone, found none$"):
        ZoneField(zones, 640, 480, FASTEST_PX_S)


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_that_is_none_is_refused(speed: float):
    with pytest.raises(ValueError, match=f"^expected a positive speed, found {speed}$"):
        field(fastest_px_s=speed)


def test_a_very_slow_speed_is_a_speed():
    assert field(fastest_px_s=0.5).fastest_px_s == 0.5


def test_every_zone_of_a_field_is_checked_on_its_picture():
    with pytest.raises(ValueError, match="inside the 300x480 picture"):
        ZoneField((STOP,), 300, 480, FASTEST_PX_S)
    with pytest.raises(ValueError, match="inside the 640x300 picture"):
        ZoneField((STOP,), 640, 300, FASTEST_PX_S)


def test_fields_are_values():
    assert field() == field()
    assert hash(field()) == hash(field())
    assert field() != field(STOP)
    assert "_polygons" not in repr(field())
    copied = pickle.loads(pickle.dumps(field()))
    assert copied == field()
    assert copied.judge(hands([310, 300, 320, 310]), None)[0].intruded


# One picture -------------------------------------------------------------------------------


def test_no_hands_no_intrusion():
    stop = ZoneStatus("stop", ZoneRole.STOP, False, 0.0, None)
    warning = ZoneStatus("warning", ZoneRole.WARNING, False, 0.0, None)
    assert field().judge(hands(), None) == (stop, warning)
    assert field().judge(hands(), earlier()) == (stop, warning)
    assert field().judge(hands(), earlier([310, 300, 320, 310])) == (stop, warning)


def test_statuses_come_in_the_order_of_the_zones():
    assert [status.name for status in field(WARNING, STOP).judge(hands(), None)] == ["warning", "stop"]


@pytest.mark.parametrize(
    "box",
    [
        [340, 300, 360, 320],  # inside
        [250, 150, 450, 480],  # over the whole zone
        [290, 300, 310, 310],  # across an edge
        [290, 190, 301, 201],  # over a corner
        [100, 300, 600, 301],  # through, with both ends outside
        [350, 350, 350, 350],  # without area
        [299, 300, 299, 300],  # one pixel beside: the margin
        [310, 310, 290, 290],  # corners the wrong way round
        [350, 150, 360, 199],  # one pixel above: the margin
    ],
)
def test_any_overlap_is_an_intrusion(box: Box):
    assert is_intruded(field(), box)


@pytest.mark.parametrize("box", [[280, 300, 298.9, 320], [401.1, 300, 420, 320], [340, 100, 360, 198.9]])
def test_a_box_more_than_the_margin_beside_is_free(box: Box):
    assert not is_intruded(field(), box)


def test_the_true_polygon_counts_and_not_the_rectangle_round_it():
    triangle = stop_zone((100, 100), (300, 100), (100, 300))
    assert not is_intruded(triangle, [250, 250, 290, 290])
    assert is_intruded(triangle, [195, 195, 290, 290])


def test_a_hand_in_the_notch_of_a_zone_is_free():
    notch = stop_zone((100, 100), (300, 100), (300, 300), (250, 300), (250, 150), (150, 150), (150, 300), (100, 300))
    assert not is_intruded(notch, [180, 200, 220, 250])
    assert is_intruded(notch, [180, 140, 220, 250])


def test_the_worst_score_is_of_the_hands_that_intrude():
    inside, outside, also = [340, 300, 360, 320], [10, 10, 20, 20], [350, 400, 360, 410]
    stop, warning = field().judge(hands(inside, outside, also, scores=[0.5, 0.99, 0.6]), None)
    assert stop == ZoneStatus("stop", ZoneRole.STOP, True, pytest.approx(0.6), 0.0)
    assert warning.worst_score == pytest.approx(0.6)


def test_a_hand_may_be_in_one_zone_and_not_in_the_other():
    stop, warning = field().judge(hands([220, 300, 240, 320]), None)
    assert (stop.intruded, warning.intruded) == (False, True)


def test_a_hand_of_score_zero_is_a_hand():
    assert field().judge(hands([340, 300, 360, 320], scores=[0.0]), None)[0].intruded


def test_boxes_of_any_finite_size_are_judged():
    huge = float(np.finfo(np.float32).max)
    assert is_intruded(field(), [-huge, -huge, huge, huge])
    assert not is_intruded(field(), [-huge, -huge, -huge, -huge])
    assert field().judge(hands([-huge, 0, huge, 150]), earlier([-huge, 240, huge, 480]))[0].intruded


# What was swept ----------------------------------------------------------------------------


def test_a_hand_cannot_tunnel_through_a_narrow_zone():
    before = [240, 200, 290, 250]
    status = stop_zone(*NARROW).judge(hands(moved(before, 80), scores=[0.7]), earlier(before))[0]
    assert status == ZoneStatus("stop", ZoneRole.STOP, True, pytest.approx(0.7), 0.0)


def test_the_sweep_is_the_whole_hull_and_not_the_line_of_centers():
    small = stop_zone((298, 255), (302, 255), (302, 259), (298, 259))
    before, now = [240, 200, 280, 240], [320, 240, 360, 280]
    assert small.judge(hands(now), earlier(before))[0].intruded
    beside = stop_zone((298, 274), (302, 274), (302, 278), (298, 278))
    assert not beside.judge(hands(now), earlier(before))[0].intruded


@pytest.mark.parametrize("dx_px", [-70, 0, 70])
@pytest.mark.parametrize("dy_px", [-70, 0, 70])
def test_the_sweep_is_every_place_between_and_no_other(dx_px: int, dy_px: int):
    """A picture full of small zones: those that the flying, growing box passes over, and only those."""
    before = np.array([300, 220, 340, 250.0])
    now = before + np.array([dx_px, dy_px, dx_px + 20, dy_px + 20])
    probes = [(x, y) for x in range(210, 450, 11) for y in range(130, 350, 11)]
    zones = [
        Zone(f"{x} {y}", ZoneRole.STOP, ((x, y), (x + 2, y), (x + 2, y + 2), (x, y + 2))) for x, y in probes
    ]
    statuses = field(*zones).judge(hands(now, at_ns=50 * MS), earlier(before))
    found = np.array([status.intruded for status in statuses])
    share = np.linspace(0, 1, 500)[:, None]
    way = (1 - share) * before + share * now
    low, high = np.array(probes)[:, None], np.array(probes)[:, None] + 2

    def passed(margin_px: float) -> np.ndarray:
        grown = way + np.array([-margin_px, -margin_px, margin_px, margin_px])
        return ((low <= grown[None, :, 2:]) & (high >= grown[None, :, :2])).all(axis=2).any(axis=1)

    assert not (passed(0.8) & ~found).any()
    assert not (found & ~passed(1.2)).any()


def test_two_answers_for_one_instant_are_no_motion():
    before = [240, 200, 290, 250]
    now = moved(before, 40, -40)
    corner = stop_zone((292, 215), (298, 215), (298, 225), (292, 225))
    assert corner.judge(hands(now, at_ns=FRAME_NS), earlier(before))[0].intruded
    assert not corner.judge(hands(now, at_ns=0), earlier(before))[0].intruded


def test_boxes_too_far_apart_for_one_hand_are_two_hands():
    before, now = [100, 200, 150, 250], [400, 200, 450, 250]
    assert not stop_zone(*NARROW).judge(hands(now), earlier(before))[0].intruded


def test_the_reach_of_a_hand_is_its_speed_times_the_time():
    where = field(zone(*NARROW), fastest_px_s=1000.0)
    before = [200, 200, 280, 250]
    now_ns = 100 * MS  # 100 px, between boxes that are a pixel larger on each side
    assert where.judge(hands([382, 200, 400, 250], at_ns=now_ns), earlier(before))[0].intruded
    assert not where.judge(hands([382.1, 200, 400, 250], at_ns=now_ns), earlier(before))[0].intruded


def test_the_gap_is_measured_as_the_hand_flies():
    where = field(zone((300, 255), (340, 255), (340, 295), (300, 295)), fastest_px_s=1000.0)
    before, now_ns = [200, 200, 280, 250], 100 * MS
    assert where.judge(hands([340, 330, 400, 400], at_ns=now_ns), earlier(before))[0].intruded  # 58, 78: 97 px
    assert not where.judge(hands([350, 340, 400, 400], at_ns=now_ns), earlier(before))[0].intruded  # 111 px


@pytest.mark.parametrize("way", ["right", "left", "down", "up"])
def test_the_sweep_works_in_every_direction(way: str):
    dx_px, dy_px = {"right": (80, 0), "left": (-80, 0), "down": (0, 80), "up": (0, -80)}[way]
    cross = stop_zone((300, 235), (340, 235), (340, 245), (300, 245))
    if dx_px:
        cross = stop_zone((315, 220), (325, 220), (325, 260), (315, 260))
    start = [310 - dx_px / 2, 230 - dy_px / 2, 330 - dx_px / 2, 250 - dy_px / 2]
    assert not is_intruded(cross, start)
    assert not is_intruded(cross, moved(start, dx_px, dy_px))
    assert cross.judge(hands(moved(start, dx_px, dy_px)), earlier(start))[0].intruded


def test_every_pair_that_one_hand_could_be_is_swept():
    """Two hands cross over: which is which is not guessed, and the zone between them is swept."""
    left, right = [240, 200, 290, 250], [320, 200, 370, 250]
    assert stop_zone(*NARROW).judge(hands(left, right), earlier(left, right))[0].intruded


def test_the_sweep_scores_the_hand_that_arrived():
    left, right = [240, 200, 290, 250], [320, 200, 370, 250]
    status = stop_zone(*NARROW).judge(hands(left, right, scores=[0.4, 0.8]), earlier(left))[0]
    assert (status.intruded, status.worst_score) == (True, pytest.approx(0.8))


@pytest.mark.parametrize(
    ("elapsed_ns", "swept"),
    [(0, False), (-FRAME_NS, False), (1, False), (FRAME_NS, True), (500 * MS, True), (500 * MS + 1, False)],
)
def test_the_sweep_lasts_from_one_frame_to_half_a_second(elapsed_ns: int, swept: bool):
    before, now = [240, 200, 290, 250], [320, 200, 370, 250]
    status = stop_zone(*NARROW).judge(hands(now, at_ns=10 * MS + elapsed_ns), earlier(before, at_ns=10 * MS))[0]
    assert status.intruded is swept
    assert LONGEST_SWEEP_S == 0.5


# How soon ----------------------------------------------------------------------------------


def test_time_to_zone_is_the_distance_over_the_speed_it_shrinks_with():
    before, now = [150, 300, 209, 320], [170, 300, 229, 320]  # 90 then 70 px away, the margin counted
    stop, _ = field().judge(hands(now, at_ns=100 * MS), earlier(before))
    assert stop == ZoneStatus("stop", ZoneRole.STOP, False, 0.0, pytest.approx(70 / 200))


def test_a_hand_that_creeps_has_a_time_to_zone_too():
    here = [150, 300, 209, 320]
    soon = field().judge(hands(moved(here, 0.5), at_ns=100 * MS), earlier(here))[0].time_to_zone_s
    assert soon == pytest.approx(89.5 / 5)


def test_a_hand_that_goes_away_or_stands_still_has_no_time_to_zone():
    here = [150, 300, 210, 320]
    assert field().judge(hands(moved(here, -20)), earlier(here))[0].time_to_zone_s is None
    assert field().judge(hands(here), earlier(here))[0].time_to_zone_s is None
    assert field().judge(hands(here), None)[0].time_to_zone_s is None


def test_the_soonest_hand_counts():
    slow, fast = [150, 300, 209, 310], [500, 300, 560, 310]
    now = hands(moved(slow, 10), moved(fast, -40), at_ns=100 * MS)
    where = field(fastest_px_s=1000.0)
    alone = where.judge(hands(moved(fast, -40), at_ns=100 * MS), earlier(fast))[0].time_to_zone_s
    assert alone == pytest.approx((460 - 1 - 400) / 400)
    assert where.judge(now, earlier(slow, fast))[0].time_to_zone_s == pytest.approx(alone)


def test_each_pair_is_measured_with_its_own_boxes():
    """A hand that stays and one that comes, in another order than in the frame before."""
    stays, comes = [10, 10, 20, 20], [150, 300, 209, 320]
    now = hands(moved(comes, 20), stays, at_ns=100 * MS)
    assert field().judge(now, earlier(stays, comes))[0].time_to_zone_s == pytest.approx(70 / 200)

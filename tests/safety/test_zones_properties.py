"""Properties of the zones that must hold for any hands: monotony, no tunneling, translation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from handguard.safety.zones import ZoneField
from handguard.types import Detections, Zone, ZoneRole, ZoneStatus
from tests.safety.scenes import FASTEST_PX_S, FRAME_NS, HEIGHT_PX, MS, WIDTH_PX, earlier, hands

SAME_TIME = 1e-6  # of rounding in distances, relative
SLOWEST_S = 1000.0  # a longer time to zone is rounding in the distance of a hand that does not come closer

Boxes = list[list[float]]


@dataclass(frozen=True)
class Scene:
    """Hands in two frames; a score for each current one."""

    where: ZoneField
    before: Boxes
    now: Boxes
    scores: list[float]
    elapsed_ns: int

    def judge(self) -> tuple[ZoneStatus, ...]:
        current = hands(*self.now, scores=self.scores, at_ns=self.elapsed_ns)
        return self.where.judge(current, earlier(*self.before))


@st.composite
def polygons(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    """A star round a center: any angles in order, any radii; often not convex."""
    x, y = draw(st.floats(100, 540)), draw(st.floats(100, 380))
    angles = sorted(draw(st.lists(st.integers(0, 23), min_size=4, max_size=9, unique=True)))
    turns = [(b - a) % 24 for a, b in zip(angles, [*angles[1:], angles[0]], strict=True)]
    assume(max(turns) < 12)  # the center is inside
    radii = [draw(st.floats(3, 100)) for _ in angles]
    around = [math.tau * angle / 24 for angle in angles]
    corners = [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, around, strict=True)]
    return tuple((round(8 * u) / 8, round(8 * v) / 8) for u, v in corners)  # sums with whole pixels are exact


@st.composite
def fields(draw: st.DrawFn) -> ZoneField:
    stop = Zone("stop", ZoneRole.STOP, draw(polygons()))
    warning = Zone("warning", ZoneRole.WARNING, draw(polygons()))
    fastest = draw(st.sampled_from([100.0, FASTEST_PX_S, 30_000.0]))
    return ZoneField((stop, warning), WIDTH_PX, HEIGHT_PX, fastest)


@st.composite
def boxes(draw: st.DrawFn) -> list[float]:
    x, y = draw(st.floats(-50, 690, width=32)), draw(st.floats(-50, 530, width=32))
    return [x, y, x + draw(st.floats(0, 150, width=32)), y + draw(st.floats(0, 150, width=32))]


scores = st.floats(0, 1, width=32)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    now = draw(st.lists(boxes(), max_size=4))
    return Scene(
        where=draw(fields()),
        before=draw(st.lists(boxes(), max_size=3)),
        now=now,
        scores=[draw(scores) for _ in now],
        elapsed_ns=draw(st.sampled_from([1, FRAME_NS, 100 * MS, 500 * MS, 501 * MS])),
    )


def never_safer(less: tuple[ZoneStatus, ...], more: tuple[ZoneStatus, ...]) -> None:
    """Zone by zone: still intruded, no lower score, no later."""
    for before, after in zip(less, more, strict=True):
        assert after.intruded >= before.intruded
        assert after.worst_score >= before.worst_score
        if before.time_to_zone_s is not None:
            assert after.time_to_zone_s is not None
            assert after.time_to_zone_s <= before.time_to_zone_s * (1 + SAME_TIME) + 1e-9


@given(scenes(), boxes(), scores, st.data())
def test_one_more_detection_never_makes_a_zone_safer(
    scene: Scene, box: list[float], score: float, data: st.DataObject
):
    at = data.draw(st.integers(0, len(scene.now)))
    now, all_scores = list(scene.now), list(scene.scores)
    now.insert(at, box)
    all_scores.insert(at, score)
    more = Scene(scene.where, scene.before, now, all_scores, scene.elapsed_ns)
    never_safer(scene.judge(), more.judge())


@given(scenes(), boxes())
def test_one_more_detection_in_the_frame_before_never_makes_a_zone_safer(scene: Scene, box: list[float]):
    more = Scene(scene.where, [*scene.before, box], scene.now, scene.scores, scene.elapsed_ns)
    never_safer(scene.judge(), more.judge())


@st.composite
def growths(draw: st.DrawFn) -> list[float]:
    low = [draw(st.floats(-200, 0, width=32)) for _ in range(2)]
    return low + [draw(st.floats(0, 200, width=32)) for _ in range(2)]


def grown(box: list[float], growth: list[float]) -> list[float]:
    """No side moves inward: it was a float32 itself, so rounding stops there."""
    sides = [np.float32(side + more) for side, more in zip(box, growth, strict=True)]
    return [float(side) for side in sides]


@example(
    # The larger box has its center further away than a hand flies; its near edge is not.
    scene=Scene(
        ZoneField((Zone("stop", ZoneRole.STOP, ((300, 0), (310, 0), (310, 480), (300, 480))),), 640, 480, 3000.0),
        before=[[240, 200, 290, 250]],
        now=[[320, 200, 370, 250]],
        scores=[0.9],
        elapsed_ns=FRAME_NS,
    ),
    growth=[0, 0, 200, 0],
    which=0,
)
@given(scenes(), growths(), st.integers(0, 3))
def test_a_larger_box_never_makes_a_zone_safer(scene: Scene, growth: list[float], which: int):
    assume(scene.now)
    now = list(scene.now)
    now[which % len(now)] = grown(now[which % len(now)], growth)
    never_safer(scene.judge(), Scene(scene.where, scene.before, now, scene.scores, scene.elapsed_ns).judge())


@given(scenes(), scores, st.integers(0, 3))
def test_a_higher_score_never_makes_a_zone_safer(scene: Scene, score: float, which: int):
    assume(scene.now)
    raised = list(scene.scores)
    raised[which % len(raised)] = max(raised[which % len(raised)], score)
    never_safer(scene.judge(), Scene(scene.where, scene.before, scene.now, raised, scene.elapsed_ns).judge())


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(scene: Scene, random):
    order = list(range(len(scene.now)))
    random.shuffle(order)
    now, all_scores = [scene.now[i] for i in order], [scene.scores[i] for i in order]
    shuffled = Scene(scene.where, scene.before[::-1], now, all_scores, scene.elapsed_ns)
    assert shuffled.judge() == scene.judge()


@given(scenes())
def test_a_status_is_whole(scene: Scene):
    """Scores and times are finite, and an intrusion has a time of zero."""
    for status, zone in zip(scene.judge(), scene.where.zones, strict=True):
        assert (status.name, status.role) == (zone.name, zone.role)
        assert 0 <= status.worst_score <= 1
        assert not status.intruded or status.time_to_zone_s == 0.0
        assert status.intruded or status.worst_score == 0.0
        assert status.time_to_zone_s is None or 0 <= status.time_to_zone_s < math.inf


@st.composite
def flights(draw: st.DrawFn) -> tuple[list[float], list[float], float]:
    """A hand that flies through a point of the zone, as fast as a hand may: box before, box now, seconds."""
    width, height = draw(st.floats(0, 120)), draw(st.floats(0, 120))
    angle, elapsed_s = draw(st.floats(0, math.tau)), draw(st.sampled_from([1 / 60, 1 / 30, 1 / 15, 0.25]))
    way_px = FASTEST_PX_S * elapsed_s * draw(st.floats(0.01, 1))
    share = draw(st.floats(0, 1))  # of the way done when its middle is over the point
    dx, dy = way_px * math.cos(angle), way_px * math.sin(angle)
    start = [-dx * share - width / 2, -dy * share - height / 2, -dx * share + width / 2, -dy * share + height / 2]
    return start, [start[0] + dx, start[1] + dy, start[2] + dx, start[3] + dy], elapsed_s


@given(flights(), st.floats(0, math.pi), st.floats(1.5, 20))
def test_a_fast_hand_cannot_tunnel(flight: tuple[list[float], list[float], float], tilt: float, wide_px: float):
    """However narrow and tilted the zone: a hand within the allowed speed that crosses it is seen."""
    start, end, elapsed_s = flight
    along, across = (60 * math.cos(tilt), 60 * math.sin(tilt)), (math.sin(tilt), -math.cos(tilt))
    corners = tuple(
        (320 + a * along[0] + b * across[0] * wide_px / 2, 240 + a * along[1] + b * across[1] * wide_px / 2)
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    )
    where = ZoneField((Zone("blade", ZoneRole.STOP, corners),), WIDTH_PX, HEIGHT_PX, FASTEST_PX_S)
    before = [side + (320, 240)[i % 2] for i, side in enumerate(start)]
    now = [side + (320, 240)[i % 2] for i, side in enumerate(end)]
    status = where.judge(hands(now, at_ns=round(elapsed_s * 1e9)), earlier(before))[0]
    assert status.intruded


@given(scenes(), st.integers(-80, 80), st.integers(-80, 80))
def test_moving_everything_moves_nothing(scene: Scene, dx_px: int, dy_px: int):
    """Zones and hands together at another place: the same verdict."""

    def shifted(box: list[float]) -> list[float]:
        return [box[0] + dx_px, box[1] + dy_px, box[2] + dx_px, box[3] + dy_px]

    large = [
        ZoneField(
            tuple(
                Zone(z.name, z.role, tuple((x + 200 + dx, y + 200 + dy) for x, y in z.polygon_px))
                for z in scene.where.zones
            ),
            1200,
            1000,
            scene.where.fastest_px_s,
        )
        for dx, dy in ((0, 0), (dx_px, dy_px))
    ]
    rounded = [[[float(round(side) + 200) for side in box] for box in seen] for seen in (scene.before, scene.now)]
    there = [[shifted(box) for box in seen] for seen in rounded]
    here_says = Scene(large[0], *rounded, scene.scores, scene.elapsed_ns).judge()
    there_says = Scene(large[1], *there, scene.scores, scene.elapsed_ns).judge()
    for here, moved_to in zip(here_says, there_says, strict=True):
        assert (here.intruded, here.worst_score) == (moved_to.intruded, moved_to.worst_score)
        times_s = [status.time_to_zone_s for status in (here, moved_to) if status.time_to_zone_s is not None]
        if times_s and min(times_s) < SLOWEST_S:
            assert times_s == pytest.approx([times_s[0]] * 2, rel=SAME_TIME)


@given(scenes())
def test_judging_is_a_function(scene: Scene):
    assert scene.judge() == scene.judge()


@given(fields(), st.lists(boxes(), max_size=4))
def test_without_a_frame_before_nothing_is_swept(where: ZoneField, now: Boxes):
    nothing: Detections = earlier()
    assert where.judge(hands(*now), None) == where.judge(hands(*now), nothing)

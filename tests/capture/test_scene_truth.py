"""What the scene says about itself agrees with what it draws."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from numpy.typing import NDArray

from handguard.capture.scene.motion import Aim, Reach, Script
from handguard.capture.scene.optics import EXPOSURE_S, place
from handguard.capture.scene.play import Play
from handguard.capture.scene.truth import Approach, approaches, boxes_at, fingertips_at, hands_at
from handguard.capture.simulated import SimulatedScene
from handguard.types import HandClass, Zone, ZoneRole

WIDTH_PX, HEIGHT_PX, FPS = 640, 360, 30.0
SIZE_PX = (WIDTH_PX, HEIGHT_PX)
SEEDS = (0, 1, 2, 3, 4, 5, 7, 11)


def zone(name: str, role: ZoneRole, y1: float, y2: float) -> Zone:
    """A band over the belt; fractions of the picture's height."""
    corners = ((0.27, y1), (0.73, y1), (0.73, y2), (0.27, y2))
    return Zone(name, role, tuple((x * WIDTH_PX, y * HEIGHT_PX) for x, y in corners))


STOP, WARNING = zone("intake", ZoneRole.STOP, 0.0, 0.36), zone("belt", ZoneRole.WARNING, 0.36, 0.60)


@pytest.fixture(scope="module")
def play() -> Play:
    return Play(7, WIDTH_PX, HEIGHT_PX)


def told(play: Play, until_s: float = 30.0) -> tuple[Approach, ...]:
    return approaches(play, (STOP, WARNING), FPS, until_s)


def frames_of(reach: Reach) -> range:
    return range(ceil(reach.starts_s * FPS) + 1, int(reach.ends_s * FPS))


def drawn_hands(play: Play, reach: Reach, time_s: float) -> NDArray[np.uint8]:
    """The picture of the hands alone, without forearms and shadows, on black."""
    frame = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    stances = reach.stances(time_s)
    for arm, stance in zip(play.arms(reach, time_s), stances, strict=True):
        sprite = play.sprite(reach, stance)
        pixels = arm.cutout.pixels.copy()
        ends_px = arm.cutout.origin_px[1] - sprite.hull_mm[:, 1].min() * arm.cutout.px_per_mm
        pixels[int(ends_px) :] = 0
        hand_only = replace(arm.cutout, pixels=pixels)
        place(frame, replace(arm, cutout=hand_only, shadow_share=0.0), np.full_like(frame, 255))
    return frame


def test_true_boxes_hold_every_pixel_of_the_drawn_hands_and_little_else(play: Play) -> None:
    for reach in play.script.until(30.0):
        for frame in list(frames_of(reach))[2:-2:5]:
            time_s = frame / FPS
            rows, columns = np.nonzero(drawn_hands(play, reach, time_s - EXPOSURE_S / 2).max(axis=2) > 40)
            boxes = [hand.box_px for hand in hands_at(play, time_s, SIZE_PX)]
            if not len(rows) or not boxes:
                continue
            x1, y1 = min(b[0] for b in boxes), min(b[1] for b in boxes)
            x2, y2 = max(b[2] for b in boxes), max(b[3] for b in boxes)
            assert columns.min() >= x1 - 2 and columns.max() <= x2 + 2
            assert rows.min() >= y1 - 2 and rows.max() <= y2 + 2
            assert rows.min() <= y1 + 8


def test_nothing_of_the_operator_shows_nearer_to_the_intake_than_the_true_box(play: Play) -> None:
    reach = play.script.until(30.0)[1]
    for frame in frames_of(reach):
        boxes = [hand.box_px for hand in hands_at(play, frame / FPS, SIZE_PX)]
        with_arm, without = (play.picture(frame / FPS, frame, operator=shown) for shown in (True, False))
        changed = np.nonzero(np.abs(with_arm.astype(int) - without).max(axis=2) > 60)[0]
        if boxes and len(changed):
            assert changed.min() >= min(box[1] for box in boxes) - 2


def test_no_hand_is_true_and_none_is_drawn_between_approaches(play: Play) -> None:
    for before, after in pairwise(play.script.until(30.0)):
        middle_s = 0.5 * (before.ends_s + after.starts_s)
        assert hands_at(play, middle_s, SIZE_PX) == ()
        shown, bare = (play.picture(middle_s, 1, operator=on) for on in (True, False))
        assert np.array_equal(shown, bare)


def test_crossing_is_the_first_frame_whose_box_reaches_the_zone(play: Play) -> None:
    line_px = 0.36 * HEIGHT_PX
    for reach, approach in zip(play.script.until(30.0), told(play), strict=True):
        crossing = approach.enters(ZoneRole.STOP)
        if crossing is None:
            continue
        tops = {k: min(b[1] for b in boxes_at(play, reach, k / FPS)) for k in frames_of(reach)}
        assert tops[crossing.enters_frame] <= line_px < tops[crossing.enters_frame - 1]
        assert (crossing.enters_frame - 1) / FPS <= crossing.enters_ns / 1e9 <= crossing.enters_frame / FPS


def test_fingertip_moves_steadily_to_the_line_at_no_more_than_its_peak_speed(play: Play) -> None:
    for reach in play.script.until(30.0):
        out_s = np.linspace(reach.starts_s, reach.starts_s + reach.out_s, 60)
        tips = np.array([fingertips_at(play, reach, float(t))[0] for t in out_s]) / play.px_per_mm
        assert (np.diff(tips[:, 1]) < 1.0).all()
        speeds = np.hypot(*np.diff(tips, axis=0).T) / np.diff(out_s)
        assert 0.9 * reach.peak_mm_s < speeds.max() < 1.12 * reach.peak_mm_s


def test_a_line_nearer_to_the_operator_is_crossed_earlier(play: Play) -> None:
    lines = [zone(f"y {y:.2f}", ZoneRole.WARNING, 0.0, y) for y in (0.4, 0.5, 0.6, 0.7, 0.8)]
    for approach in approaches(play, lines, FPS, 30.0):
        names = [crossing.zone for crossing in approach.crossings]
        assert names == sorted(names, reverse=True)


def test_fingertip_and_box_reach_a_straight_line_together(play: Play) -> None:
    for approach in told(play):
        for crossing in approach.crossings:
            assert crossing.fingertip_ns is not None
            assert abs(crossing.fingertip_ns - crossing.enters_ns) < 25_000_000


def test_hands_leave_a_zone_after_they_entered_and_before_the_approach_ends(play: Play) -> None:
    for approach in told(play):
        for crossing in approach.crossings:
            assert approach.begins_ns < crossing.enters_ns < crossing.leaves_ns < approach.ends_ns


@pytest.mark.parametrize("seed", SEEDS)
def test_half_a_minute_holds_eight_approaches_of_every_kind(seed: int) -> None:
    reaches = Script(seed, looks=4, parcels=4).until(30.0)
    aims = [reach.aim for reach in reaches]
    assert 8 <= len(reaches) <= 10
    assert sum(aim in (Aim.STOP, Aim.DASH) for aim in aims) >= 4
    assert set(aims) == set(Aim)
    assert any(reach.both_hands for reach in reaches)
    assert all(b.starts_s - a.ends_s >= 0.7 for a, b in pairwise(reaches))


def test_aims_end_where_they_say(play: Play) -> None:
    for approach in told(play):
        stops, warns = approach.enters(ZoneRole.STOP), approach.enters(ZoneRole.WARNING)
        assert (stops is not None) == (approach.aim in (Aim.STOP, Aim.DASH))
        assert (warns is not None) == (approach.aim is not Aim.TABLE)


def test_bare_and_gloved_hands_take_turns(play: Play) -> None:
    labels = [approach.label for approach in told(play)]
    assert labels[:4] == [HandClass.HAND, HandClass.GLOVED_HAND] * 2


def test_the_scene_answers_for_itself() -> None:
    scene = SimulatedScene(7, WIDTH_PX, HEIGHT_PX)
    first = scene.approaches((STOP,), until_s=5.0)[0]
    assert first.enters(ZoneRole.STOP) is not None
    assert scene.approaches((STOP,)) == ()
    assert len(scene.hands(first.crossings[0].enters_frame)) == first.hands

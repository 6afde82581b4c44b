"""What a person must be able to see on a drawn frame."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from handguard.evidence import overlay
from handguard.evidence.ink import Box, Pen, rounded
from handguard.types import (
    Decision,
    Detections,
    Output,
    StageTimes,
    State,
    Zone,
    ZoneRole,
    ZoneStatus,
)

STOP = Zone("intake", ZoneRole.STOP, ((0, 200), (640, 200), (640, 360), (0, 360)))
WARNING = Zone("table", ZoneRole.WARNING, ((0, 110), (640, 110), (640, 360), (0, 360)))
ZONES = (STOP, WARNING)


def picture(width_px: int = 640, height_px: int = 360) -> NDArray[np.uint8]:
    return np.full((height_px, width_px, 3), 128, np.uint8)


def decision(
    boxes=(), state=State.RUN, cause="free", stop=False, warning=False, label=0, judged=True
) -> Decision:
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), 0.9, np.float32),
        np.full(len(boxes), label, np.int64),
        7,
        1_000,
    )
    zones = (
        ZoneStatus("intake", ZoneRole.STOP, stop, 0.0, None if stop else 0.7),
        ZoneStatus("table", ZoneRole.WARNING, warning),
    )
    times = StageTimes(1_000, 1_000, 9_001_000, 10_001_000)
    return Decision(7, times, found if judged else None, zones, state, Output.OFF, cause)


def differs(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((one.astype(int) - other.astype(int) != 0).any(axis=2))


def redness(image: NDArray[np.uint8], y: int, x: int) -> int:
    return int(image[y, x, 2]) - int(image[y, x, 0])


def test_the_picture_itself_is_not_touched() -> None:
    image = picture()
    drawn = overlay.draw(image, decision([(10, 50, 90, 120)]), ZONES)
    assert (image == 128).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_an_intruded_stop_zone_is_redder_than_a_free_one() -> None:
    free = overlay.draw(picture(), decision(), ZONES)
    intruded = overlay.draw(picture(), decision(stop=True), ZONES)
    assert redness(intruded, 300, 320) > redness(free, 300, 320) > 0


def test_the_picture_outside_of_zones_hands_and_bar_stays_as_it_was() -> None:
    drawn = overlay.draw(picture(), decision(), ZONES)
    assert (drawn[40:105] == 128).all()


def test_a_hand_is_framed_and_its_inside_left_visible() -> None:
    drawn = overlay.draw(picture(), decision([(200, 60, 300, 100)]), ())
    changed = differs(drawn, picture())
    assert changed[80, 200]
    assert changed[80, 300]
    assert not changed[70:90, 215:285].any()


def test_bare_and_gloved_hands_are_told_apart_by_color() -> None:
    bare = overlay.draw(picture(), decision([(200, 60, 300, 100)], label=0), ())
    gloved = overlay.draw(picture(), decision([(200, 60, 300, 100)], label=1), ())
    assert tuple(bare[80, 200]) != tuple(gloved[80, 200])


def test_every_state_has_a_bar_of_its_own_color() -> None:
    bars = {
        state: tuple(overlay.draw(picture(), decision(state=state), ())[28, 600].tolist()) for state in State
    }
    assert len(set(bars.values())) == len(State)


def test_a_frame_that_was_not_judged_says_so() -> None:
    judged = overlay.draw(picture(), decision(), ())
    unjudged = overlay.draw(picture(), decision(judged=False), ())
    assert differs(judged, unjudged)[:30].any()


def test_the_age_is_left_out_where_time_is_virtual() -> None:
    live = overlay.draw(picture(), decision(), ())
    virtual = overlay.draw(picture(), decision(), (), shows_age=False)
    assert differs(live, virtual)[:28].any()
    assert not differs(live, virtual)[28:].any()


@pytest.mark.parametrize("size", [(64, 64), (97, 31), (320, 240), (640, 360), (1280, 720), (3840, 2160)])
def test_any_picture_and_any_box_can_be_drawn(size: tuple[int, int]) -> None:
    boxes = [(-50, -50, 20, 20), (0, 0, 5000, 5000), (30, 30, 30, 30), (40, 40, 35, 35), (-9, -9, -5, -5)]
    cause = "fault: contactor, detector RuntimeError, serial port gone, and more than fits a line"
    drawn = overlay.draw(picture(*size), decision(boxes, State.LOCKOUT, cause, True, True), ZONES)
    assert drawn.shape == (size[1], size[0], 3)


def test_names_of_zones_that_share_a_corner_do_not_cover_each_other() -> None:
    strip = ((0.0, 0.0), (640.0, 0.0), (640.0, 150.0), (0.0, 150.0))
    deep = ((0.0, 0.0), (640.0, 0.0), (640.0, 250.0), (0.0, 250.0))
    pen = Pen(picture())
    first = overlay._name_zone(pen, Zone("stop", ZoneRole.STOP, strip), None, [])
    second = overlay._name_zone(pen, Zone("warning", ZoneRole.WARNING, deep), None, [first])
    assert not first.overlaps(second)


def test_a_name_lies_below_the_bar_and_inside_the_picture() -> None:
    pen = Pen(picture())
    place = overlay._name_zone(pen, Zone("top", ZoneRole.STOP, ((0, 0), (640, 0), (640, 50))), None, [])
    assert place.y >= overlay._bar_of(pen).height
    assert place.x + place.width <= 640


def test_text_that_is_too_wide_is_shortened_and_never_wider() -> None:
    pen = Pen(picture())
    words = "blind: repeated frame, wrong picture size"
    short = pen.fitted(words, 120)
    assert short.endswith("…")
    assert pen.width_of(short) <= 120
    assert pen.fitted(words, 10_000) == words
    assert pen.fitted(words, 0) == ""


def test_round_corners_stay_inside_their_box() -> None:
    points = rounded(Box(10, 20, 100, 40), 12)
    assert points.min(axis=0).tolist() == [10, 20]
    assert points.max(axis=0).tolist() == [110, 60]

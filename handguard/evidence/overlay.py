"""A judged frame as a picture: zones shaded, hands framed, the state across the top.

One place draws for every eye: the live window, clips, the annotated film of a
replay. Red is a stop zone, amber a warning zone; both light up while a hand is in
them. The bar says the state in its own color, why it is so, and how fresh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.evidence.ink import BOLD, NIGHT, WHITE, Box, Color, Pen, rounded
from handguard.types import Decision, HandClass, State, Zone, ZoneRole, ZoneStatus

RED: Color = (58, 52, 232)
AMBER: Color = (24, 168, 250)
GREEN: Color = (84, 168, 48)
VIOLET: Color = (176, 42, 132)
SLATE: Color = (132, 112, 96)
PALE: Color = (222, 214, 206)

STATES: dict[State, tuple[str, Color]] = {
    State.SELF_TEST: ("SELF TEST", SLATE),
    State.RUN: ("RUN", GREEN),
    State.TRIPPED: ("TRIPPED", RED),
    State.AWAIT_RESET: ("AWAIT RESET", AMBER),
    State.LOCKOUT: ("LOCKOUT", VIOLET),
}
ROLES: dict[ZoneRole, tuple[str, Color]] = {
    ZoneRole.STOP: ("STOP", RED),
    ZoneRole.WARNING: ("WARNING", AMBER),
}
HANDS: dict[int, tuple[str, Color]] = {
    HandClass.HAND: ("hand", (214, 190, 28)),
    HandClass.GLOVED_HAND: ("gloved hand", (236, 122, 190)),
}
_QUIET, _LOUD = 0.14, 0.32  # opacity of a free zone, and of an intruded one
NOT_JUDGED = "not judged"
_SOON_S = 2.0  # a hand that needs longer to a zone is not announced


def draw(
    image: NDArray[np.uint8],
    decision: Decision,
    zones: Sequence[Zone],
    origin_ns: int = 0,
    *,
    shows_age: bool = True,
) -> NDArray[np.uint8]:
    """A copy of the image (H, W, 3) BGR with the decision on it; the image itself is not touched.

    `zones` are those the decision was made with; time is shown from `origin_ns`
    on. Where time is virtual, as in replay, the age says nothing: leave it out.
    """
    pen = Pen(image.copy())
    statuses = {status.name: status for status in decision.zones}
    bar = _bar_of(pen)
    taken = [bar]
    for zone in _stop_last(zones):
        _shade(pen, zone, statuses.get(zone.name))
    for zone in reversed(_stop_last(zones)):
        taken.append(_name_zone(pen, zone, statuses.get(zone.name), taken))
    if decision.detections is not None:
        for box, score, label in _weakest_first(decision):  # over the names, which stay where they are
            _frame_hand(pen, box, score, label)
    _state_bar(pen, bar, decision, _facts(decision, origin_ns, shows_age))
    return pen.image


def _stop_last(zones: Sequence[Zone]) -> list[Zone]:
    """A warning zone often holds the stop zone, so that one goes on top."""
    return sorted(zones, key=lambda zone: zone.role is ZoneRole.STOP)


def _weakest_first(decision: Decision) -> Iterator[tuple[NDArray[np.float32], float, int]]:
    found = decision.detections
    assert found is not None
    for i in np.argsort(found.scores, kind="stable"):
        yield found.boxes_px[i], float(found.scores[i]), int(found.labels[i])


def _shade(pen: Pen, zone: Zone, status: ZoneStatus | None) -> None:
    _, color = ROLES[zone.role]
    intruded = status is not None and status.intruded
    pen.wash(zone.polygon_px, color, _LOUD if intruded else _QUIET)
    pen.outline(zone.polygon_px, color, pen.line_px * (3 if intruded else 1))


def _frame_hand(pen: Pen, corners_px: NDArray[np.float32], score: float, label: int) -> None:
    name, color = HANDS.get(label, (f"class {label}", PALE))
    x1, y1, x2, y2 = (float(side) for side in corners_px)
    frame = rounded(Box(x1, y1, x2 - x1, y2 - y1), pen.text_px * 0.3)
    pen.outline(frame, NIGHT, pen.line_px * 2 + 2)
    pen.outline(frame, color, pen.line_px * 2)
    words, height_px = f"{name} {score:.2f}", pen.text_px * 1.5
    width_px = pen.width_of(words, BOLD) + pen.text_px
    above_px, below_px = y1 - height_px - pen.line_px, y2 + pen.line_px
    y = above_px if above_px >= _bar_of(pen).height else min(below_px, pen.height_px - height_px)
    tag = Box(x1 - pen.line_px, y, width_px, height_px).kept_inside(_picture(pen))
    _tag(pen, tag, words, color, NIGHT)


def _name_zone(pen: Pen, zone: Zone, status: ZoneStatus | None, taken: Sequence[Box]) -> Box:
    """Write the zone's name in a corner of it that is still free; returns where."""
    role, color = ROLES[zone.role]
    words = role if zone.name.upper() == role else f"{role} {zone.name}"
    eta_s = None if status is None else status.time_to_zone_s
    intruded = status is not None and status.intruded
    if not intruded and eta_s is not None and eta_s <= _SOON_S:
        words += f" in {eta_s:.1f} s"
    size = Box(0, 0, pen.width_of(words, BOLD) + pen.text_px, pen.text_px * 1.5)
    place = _free_corner(pen, zone, size, taken)
    _tag(pen, place, words, color if intruded else NIGHT, _ink_on(color) if intruded else _lighter(color))
    return place


def _free_corner(pen: Pen, zone: Zone, size: Box, taken: Sequence[Box]) -> Box:
    """The best place for a tag of this size: free, and inside the polygon as far as possible."""
    corners = np.asarray(zone.polygon_px, np.float32)
    (x1, y1), (x2, y2) = corners.min(axis=0), corners.max(axis=0)
    inset = pen.text_px * 0.4
    below_bar = Box(0, _bar_of(pen).height + inset, pen.width_px, pen.height_px - _bar_of(pen).height - inset)
    lefts = (float(x1) + inset, float(x2) - inset - size.width)
    tops = (float(y1) + inset, float(y2) - inset - size.height)
    places = [Box(x, y, size.width, size.height).kept_inside(below_bar) for y in tops for x in lefts]

    def badness(place: Box) -> tuple[bool, float]:
        middle = (place.x + place.width / 2, place.y + place.height / 2)
        outside_px = -cv2.pointPolygonTest(corners, middle, measureDist=True)
        return any(place.overlaps(other) for other in taken), max(0.0, outside_px)

    return min(places, key=badness)


def _tag(pen: Pen, place: Box, words: str, fill: Color, ink: Color) -> None:
    pen.wash(rounded(place, pen.text_px * 0.4), fill, 0.86)
    pen.text(words, place.x + pen.text_px * 0.5, place.y + place.height / 2, ink, BOLD)


def _ink_on(color: Color) -> Color:
    """What can be read on this color."""
    return NIGHT if color == AMBER else WHITE


def _lighter(color: Color) -> Color:
    """Halfway to white: the color itself would be too dim to read on dark ground."""
    blue, green, red = ((part + 255) // 2 for part in color)
    return blue, green, red


def _picture(pen: Pen) -> Box:
    return Box(0, 0, pen.width_px, pen.height_px)


def _bar_of(pen: Pen) -> Box:
    return Box(0, 0, pen.width_px, round(pen.text_px * 2.3))


def _state_bar(pen: Pen, bar: Box, decision: Decision, facts: list[str]) -> None:
    title, color = STATES[decision.state]
    pad, middle_y = pen.text_px * 0.7, bar.height / 2
    pen.wash(rounded(bar, 0), NIGHT, 0.78)
    pen.wash(rounded(Box(0, bar.height, bar.width, pen.line_px * 2), 0), color, 1.0)
    pill_px = (pen.width_of(title, BOLD) + pad * 2, pen.text_px * 1.6)
    pill = Box(pad * 0.6, middle_y - pill_px[1] / 2, *pill_px)
    pen.wash(rounded(pill, pill.height), color, 1.0)
    pen.text(title, pill.x + pad, middle_y, _ink_on(color), BOLD)
    cause_x = pill.x + pill.width + pad
    facts_x = _write_facts(pen, facts, cause_x + pen.width_of(decision.cause), middle_y)
    cause = pen.fitted(decision.cause, facts_x - pad - cause_x)
    pen.text(cause, cause_x, middle_y, WHITE)


def _facts(decision: Decision, origin_ns: int, shows_age: bool) -> list[str]:
    """What stands at the right, the most important first."""
    times, found = decision.times, decision.detections
    hands = NOT_JUDGED if found is None else f"{len(found)} hand{'' if len(found) == 1 else 's'}"
    seconds = (times.captured_ns - origin_ns) / 1e9
    age_ms = (times.judged_ns - times.captured_ns) / 1e6
    facts = [hands, f"frame {decision.frame_seq}", f"{seconds:.1f} s"]
    return [*facts, f"{age_ms:.0f} ms old"] if shows_age else facts


def _write_facts(pen: Pen, facts: list[str], from_x: float, middle_y: float) -> float:
    """Write as many as have room to the right of `from_x`, at least one; returns where they begin."""
    gap = pen.text_px * 1.2
    widths = [pen.width_of(fact) + gap for fact in facts]
    while len(widths) > 1 and from_x + sum(widths) > pen.width_px:
        widths.pop()
    begin_x = x = pen.width_px - sum(widths) + gap - pen.text_px * 0.7
    for fact, width in zip(facts, widths, strict=False):  # what has no room has no width
        pen.text(fact, x, middle_y, _lighter(RED) if fact == NOT_JUDGED else PALE)
        x += width
    return begin_x

"""A recording from left to right: what the state was, which zones had a hand in them, what is known to be true.

Lanes hold spans, spans hold a class of the style sheet and words for the pointer. One
picture holds at most as many spans as there are changes, however long the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from handguard.evidence.decisions import DecisionLine
from handguard.replay.approaches import Approach
from handguard.replay.report.markup import Html, joined, tag
from handguard.types import Zone

_WIDTH, _LABEL, _LANE, _GAP, _TOP, _AXIS = 1000, 118, 20, 7, 26, 24
_STEPS_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_MOST_TICKS = 11
_CURVE_POINTS = 800


@dataclass(frozen=True, slots=True)
class Span:
    """From one time to another, the same thing."""

    start_ms: float
    end_ms: float
    class_: str
    words: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the picture."""

    name: str
    spans: tuple[Span, ...]
    curve: tuple[tuple[float, float], ...] = ()  # (ms, 0 to 1), instead of spans


SPACE = Lane("", ())  # between two judgments


@dataclass(frozen=True, slots=True)
class Mark:
    """A numbered moment, and where in the page it is told in full."""

    at_ms: float
    number: int
    href: str
    words: str


def state_lane(lines: Sequence[DecisionLine], name: str = "state") -> Lane:
    """The state of the interlock."""
    titles = {line.state.name: line.state.name.replace("_", " ").lower() for line in lines}
    spans = _spans(lines, [line.state.name for line in lines])
    return Lane(name, tuple(Span(a, b, f"s-{key}", f"{titles[key]}, {_between(a, b)}") for key, a, b in spans if key))


def zone_lanes(lines: Sequence[DecisionLine], zones: Sequence[Zone], suffix: str = "") -> list[Lane]:
    """When a hand was in each zone."""
    lanes = []
    for zone in zones:
        spans = _spans(lines, ["in" if line.zones.get(zone.name) else "" for line in lines])
        words = f"a hand in {zone.name}"
        found = tuple(Span(a, b, f"z-{zone.role.value}", f"{words}, {_between(a, b)}") for key, a, b in spans if key)
        lanes.append(Lane(f"{zone.role.value}: {zone.name}{suffix}", found))
    return lanes


def truth_lane(lines: Sequence[DecisionLine], approaches: Sequence[Approach]) -> Lane:
    """When a hand was truly in the picture."""
    inside = ["in" if any(each.holds(line.frame) for each in approaches) else "" for line in lines]
    spans = _spans(lines, inside)
    return Lane("truth: a hand", tuple(Span(a, b, "truth", f"a hand, {_between(a, b)}") for key, a, b in spans if key))


def score_lane(lines: Sequence[DecisionLine]) -> Lane:
    """How sure the network was of its surest hand."""
    judged = [line for line in lines if line.hands is not None] or list(lines)
    best = [(line.t_ms, max((hand.score for hand in line.hands or ()), default=0.0)) for line in judged]
    step = max(1, len(best) // _CURVE_POINTS)
    thinned = tuple(max(best[i : i + step], key=lambda point: point[1]) for i in range(0, len(best), step))
    return Lane("surest hand", (), thinned)


def drawn(lanes: Sequence[Lane], marks: Sequence[Mark], lasted_ms: float) -> Html:
    """The whole picture, with its axis of time."""
    scale = (_WIDTH - _LABEL - 8) / max(lasted_ms, 1.0)
    bottom = _TOP + len(lanes) * (_LANE + _GAP)
    parts = [*_grid(lasted_ms, scale, bottom)]
    for i, lane in enumerate(lanes):
        parts.append(_lane(lane, _TOP + i * (_LANE + _GAP), scale))
    parts += [_mark(mark, scale, bottom) for mark in marks]
    size = f"0 0 {_WIDTH} {bottom + _AXIS}"
    return tag("svg", *parts, viewBox=size, class_="timeline", role="img", aria_label="states and zones over time")


def strip(lines: Sequence[DecisionLine], approaches: Sequence[Approach] | None) -> Html:
    """Only states, small, with the truth as a line below: for tables."""
    lasted_ms = max(lines[-1].t_ms - lines[0].t_ms, 1.0) if lines else 1.0
    origin_ms = lines[0].t_ms if lines else 0.0
    scale = 300 / lasted_ms
    rows = [(state_lane(lines), 0, 12)]
    rows += [] if approaches is None else [(truth_lane(lines, approaches), 14, 4)]
    parts = [
        tag("rect", x=(span.start_ms - origin_ms) * scale, y=y, height=height,
            width=max((span.end_ms - span.start_ms) * scale, 0.6), class_=span.class_)
        for lane, y, height in rows for span in lane.spans
    ]  # fmt: skip
    return tag("svg", *parts, viewBox="0 0 300 18", class_="strip", preserveAspectRatio="none")


def _spans(lines: Sequence[DecisionLine], keys: Sequence[str]) -> Iterable[tuple[str, float, float]]:
    """Runs of equal keys with their times; the last line lasts as long as the one before."""
    times = [line.t_ms for line in lines]
    if not times:
        return
    period_ms = times[-1] - times[-2] if len(times) > 1 else 1.0
    ends = [*times[1:], times[-1] + period_ms]
    for key, run in groupby(range(len(keys)), key=lambda i: keys[i]):
        found = list(run)
        yield key, times[found[0]], ends[found[-1]]


def _lane(lane: Lane, y: float, scale: float) -> Html:
    if lane is SPACE:
        return joined([])
    name = tag("text", lane.name, x=_LABEL - 10, y=y + _LANE * 0.72, class_="lane-name")
    ground = tag("rect", x=_LABEL, y=y, width=_WIDTH - _LABEL - 8, height=_LANE, class_="ground", rx=3)
    if lane.curve:
        return joined([name, ground, _curve(lane, y, scale)])
    spans = [
        tag("rect", tag("title", span.words), x=_LABEL + span.start_ms * scale, y=y, height=_LANE,
            width=max((span.end_ms - span.start_ms) * scale, 1.0), class_=span.class_)
        for span in lane.spans
    ]  # fmt: skip
    return joined([name, ground, *spans])


def _curve(lane: Lane, y: float, scale: float) -> Html:
    points = [(_LABEL + at_ms * scale, y + _LANE * (1 - value)) for at_ms, value in lane.curve]
    line = " L".join(f"{x:.1f} {up:.1f}" for x, up in points)
    return tag("path", d=f"M{points[0][0]:.1f} {y + _LANE} L{line} L{points[-1][0]:.1f} {y + _LANE} Z", class_="curve")


def _mark(mark: Mark, scale: float, bottom: float) -> Html:
    x = _LABEL + mark.at_ms * scale
    line = tag("line", x1=x, x2=x, y1=16, y2=bottom - _GAP, class_="trip-line")
    dot = tag("circle", cx=x, cy=10, r=8.5, class_="trip-dot")
    number = tag("text", mark.number, x=x, y=13.4, class_="trip-number")
    return tag("a", tag("title", mark.words), line, dot, number, href=mark.href)


def _grid(lasted_ms: float, scale: float, bottom: float) -> Iterable[Html]:
    step_s = next((step for step in _STEPS_S if lasted_ms / 1000 / step <= _MOST_TICKS), _STEPS_S[-1])
    for i in range(int(lasted_ms / 1000 / step_s) + 1):
        x = _LABEL + i * step_s * 1000 * scale
        yield tag("line", x1=x, x2=x, y1=_TOP - 4, y2=bottom, class_="grid")
        yield tag("text", _clock(i * step_s), x=x, y=bottom + 14, class_="tick")


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _between(start_ms: float, end_ms: float) -> str:
    return f"{start_ms / 1000:.2f} to {end_ms / 1000:.2f} s"



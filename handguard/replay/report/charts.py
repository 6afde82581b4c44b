"""Two drawings of numbers: a spread of times, and the stages from capture to the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handguard.evidence.summary import percentile
from handguard.replay.report.markup import Html, tag

_WIDTH, _ROW, _LABEL = 640, 26, 96
_STEPS = (4, 8, 20, 40, 80, 200, 400, 800, 2000, 4000, 8000, 20_000, 10**9)
STAGES = ("waiting", "detecting", "judging", "to the wire")


@dataclass(frozen=True, slots=True)
class Way:
    """One frame's way, in ms since its capture, at the end of each stage that is known."""

    name: str
    ends_ms: tuple[float, ...]


def spread(values_ms: Sequence[float], unit: str = "ms") -> Html:
    """Every value as a dot on one axis, with the median: few values need no bars."""
    if not values_ms:
        return tag("p", "nothing to measure", class_="quiet")
    ordered = sorted(values_ms)
    most = _round_up(max(ordered[-1], 1.0))
    low, scale = min(0.0, ordered[0]), (_WIDTH - 40) / (most - min(0.0, ordered[0]))
    parts = [tag("line", x1=20, x2=_WIDTH - 20, y1=52, y2=52, class_="axis")]
    for i in range(5):
        value = low + (most - low) * i / 4
        x = 20 + (value - low) * scale
        parts += [tag("line", x1=x, x2=x, y1=49, y2=55, class_="axis"),
                  tag("text", f"{value:.0f} {unit}", x=x, y=70, class_="tick")]  # fmt: skip
    parts += [tag("circle", tag("title", f"{value:.0f} {unit}"), cx=20 + (value - low) * scale, cy=38, r=6,
                  class_="dot") for value in ordered]  # fmt: skip
    median = percentile(ordered, 50) or 0.0
    x = 20 + (median - low) * scale
    parts += [tag("line", x1=x, x2=x, y1=20, y2=52, class_="median"),
              tag("text", f"median {median:.0f} {unit}", x=x, y=14, class_="tick strong")]  # fmt: skip
    return tag("svg", *parts, viewBox=f"0 0 {_WIDTH} 76", class_="chart", role="img", aria_label="spread of times")


def waterfall(ways: Sequence[Way]) -> Html:
    """A row for each way, its stages one behind another."""
    if not ways:
        return tag("p", "no trip by a hand: nothing to measure", class_="quiet")
    most = _round_up(max(way.ends_ms[-1] for way in ways))
    scale = (_WIDTH - _LABEL - 70) / most
    parts = [part for row, way in enumerate(ways) for part in _way(way, 4 + row * _ROW, scale)]
    bottom = 4 + len(ways) * _ROW
    for i in range(5):
        x = _LABEL + most * i / 4 * scale
        parts += [tag("line", x1=x, x2=x, y1=0, y2=bottom, class_="grid"),
                  tag("text", f"{most * i / 4:.0f} ms", x=x, y=bottom + 14, class_="tick")]  # fmt: skip
    return tag("svg", *parts, viewBox=f"0 0 {_WIDTH} {bottom + 20}", class_="chart", role="img",
               aria_label="stages from capture to the wire")  # fmt: skip


def legend() -> Html:
    """Which color is which stage."""
    return tag("p", *[tag("span", stage, class_=f"key w-{i}") for i, stage in enumerate(STAGES)], class_="legend")


def _way(way: Way, y: float, scale: float) -> list[Html]:
    parts = [tag("text", way.name, x=_LABEL - 10, y=y + _ROW * 0.6, class_="lane-name")]
    begin = 0.0
    for i, end in enumerate(way.ends_ms):
        words = f"{STAGES[i]}: {end - begin:.1f} ms"
        parts.append(tag("rect", tag("title", words), x=_LABEL + begin * scale, y=y, height=_ROW - 8,
                         width=max((end - begin) * scale, 0.8), class_=f"w-{i}"))  # fmt: skip
        begin = end
    told = f"{begin:.1f} ms"
    return [*parts, tag("text", told, x=_LABEL + begin * scale + 6, y=y + _ROW * 0.55, class_="tick left")]


def _round_up(value: float) -> float:
    """To a number that four equal parts divide nicely."""
    step = next(step for step in _STEPS if step >= value / 5)
    return -(-value // step) * step

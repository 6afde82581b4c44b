"""Where the hands went: their centers as lines over a still picture, early ones blue, late ones red.

Which hand of one frame is which of the next is guessed here by nearness. It is for
the eye only; nothing that decides knows of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from handguard.evidence.decisions import DecisionLine
from handguard.replay.report.markup import Html, data_url, tag
from handguard.types import PictureFormat, Zone

_NEAR = 0.12  # of the picture's width, from one frame to the next
_FEWEST = 3  # points; shorter ones are flicker
_HUES = (215, 360)  # blue to red


@dataclass(slots=True)
class Track:
    """Centers of one hand, in order."""

    points: list[tuple[float, float]] = field(default_factory=list)  # px
    times_ms: list[float] = field(default_factory=list)
    last_index: int = 0


def tracks_of(lines: Sequence[DecisionLine], width_px: int) -> list[Track]:
    """Every track that is long enough to be seen."""
    tracks: list[Track] = []
    for index, line in enumerate(lines):
        going = [track for track in tracks if index - track.last_index <= 2]
        for hand in line.hands or ():
            x1, y1, x2, y2 = hand.box_px
            center = ((x1 + x2) / 2, (y1 + y2) / 2)
            track = _nearest(going, center, _NEAR * width_px)
            if track is None:
                track = Track()
                tracks.append(track)
            else:
                going.remove(track)
            track.points.append(center)
            track.times_ms.append(line.t_ms)
            track.last_index = index
    return [track for track in tracks if len(track.points) >= _FEWEST]


def drawn(tracks: Sequence[Track], zones: Sequence[Zone], picture: PictureFormat, jpeg: bytes | None) -> Html:
    """The picture with zones and tracks; plain ground where there is no picture."""
    width_px, height_px = picture.width_px, picture.height_px
    stroke = width_px / 400
    last_ms = max((track.times_ms[-1] for track in tracks), default=1.0) or 1.0
    ground = tag("rect", width=width_px, height=height_px, class_="no-picture")
    if jpeg is not None:
        ground = tag("image", href=data_url(jpeg), width=width_px, height=height_px, class_="dimmed")
    parts = [ground, *[_outlined(zone, stroke) for zone in zones]]
    parts += [_line(track, last_ms, stroke) for track in tracks]
    box = f"0 0 {width_px} {height_px}"
    return tag("svg", *parts, viewBox=box, class_="trajectories", role="img", aria_label="where hands went")


def _nearest(tracks: Sequence[Track], center: tuple[float, float], within_px: float) -> Track | None:
    best = min(tracks, key=lambda track: math.dist(track.points[-1], center), default=None)
    return best if best is not None and math.dist(best.points[-1], center) <= within_px else None


def _outlined(zone: Zone, stroke: float) -> Html:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zone.polygon_px)
    return tag("polygon", tag("title", f"{zone.role.value}: {zone.name}"), points=points,
               class_=f"outline-{zone.role.value}", stroke_width=stroke * 1.6)  # fmt: skip


def _line(track: Track, last_ms: float, stroke: float) -> Html:
    hue = _HUES[0] + (_HUES[1] - _HUES[0]) * track.times_ms[0] / last_ms
    color = f"hsl({hue:.0f} 95% 66%)"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in track.points)
    x, y = track.points[0]
    line = tag("polyline", points=points, stroke=color, stroke_width=stroke * 1.5, class_="track")
    dot = tag("circle", cx=x, cy=y, r=stroke * 2.6, fill=color)
    return tag("g", tag("title", f"from {track.times_ms[0] / 1000:.2f} s on"), line, dot)

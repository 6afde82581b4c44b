"""Zones as a site writes them, turned into polygons in pixels of the picture.

Polygons in px pass through, norm is stretched over the picture, and the two-line
form becomes two strips along the machine's edge. Both strips begin at that edge: a
hand in the stop zone is in the warning zone too.

    left-right                          the machine lies on the right
    ┌──────────────┬───────┬──────┐
    │              │warning│ stop │     warning_percent: 30
    │              │ line  │ line │     stop_percent: 15
    └──────────────┴───────┴──────┘
"""

from __future__ import annotations

from handguard.config.problems import Key, Problem, refuse
from handguard.config.schema import DrawnZone, Settings, TwoLines
from handguard.safety.zones import checked
from handguard.types import PictureFormat, Zone, ZoneRole

Box = tuple[float, float, float, float]  # x1 y1 x2 y2, norm


def zones_for(settings: Settings, picture: PictureFormat) -> tuple[Zone, ...]:
    """Every zone in pixels of this picture, in the order of the file.

    Raises `ConfigError` naming each polygon that cannot be judged on it, with the reason.
    """
    width_px, height_px = picture.width_px, picture.height_px
    zones, problems = [], []
    for key, zone in _drawn(settings, width_px, height_px):
        try:
            zones.append(checked(zone, width_px, height_px))
        except ValueError as error:
            expected, found = _halves(str(error))
            problems.append(Problem(key, expected, found, settings.origin.line_of(key)))
    if problems:
        refuse(settings.origin.file, problems)
    return tuple(zones)


def _halves(reason: str) -> tuple[str, str]:
    """`expected …, found …` taken apart again."""
    expected, _, found = reason.removeprefix("expected ").partition(", found ")
    return expected, found or "something else"


def _drawn(settings: Settings, width_px: int, height_px: int) -> list[tuple[Key, Zone]]:
    if isinstance(settings.zones, TwoLines):
        return [(("zones",), zone) for zone in _strips(settings.zones, width_px, height_px)]
    return [
        (("zones", i, "polygon"), _in_px(zone, width_px, height_px)) for i, zone in enumerate(settings.zones)
    ]


def _in_px(zone: DrawnZone, width_px: int, height_px: int) -> Zone:
    x_px, y_px = (width_px, height_px) if zone.units == "norm" else (1, 1)
    return Zone(zone.name, zone.role, tuple((x * x_px, y * y_px) for x, y in zone.polygon))


def _strips(lines: TwoLines, width_px: int, height_px: int) -> list[Zone]:
    depths = {ZoneRole.WARNING: lines.warning_percent, ZoneRole.STOP: lines.stop_percent}
    zones = []
    for role, percent in depths.items():
        x1, y1, x2, y2 = _strip(lines.orientation, percent / 100)
        corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
        zones.append(Zone(role.value, role, tuple((x * width_px, y * height_px) for x, y in corners)))
    return zones


def _strip(orientation: str, depth: float) -> Box:
    """The strip of this depth along the edge where the orientation ends."""
    return {
        "left-right": (1 - depth, 0.0, 1.0, 1.0),
        "right-left": (0.0, 0.0, depth, 1.0),
        "top-bottom": (0.0, 1 - depth, 1.0, 1.0),
        "bottom-top": (0.0, 0.0, 1.0, depth),
    }[orientation]

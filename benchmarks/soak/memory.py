"""Memory of every process over a soak, and whether it grows while a process lives.

A process is started anew after a lockout, so that the curve of a role is made of
lives. What one life loses shows as a slope within it: the common slope of all lives,
each with a level of its own, without what happens while a process is starting.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

STARTING_S = 60.0  # buffers of clips and of reopened cameras are as large as they get
Point = tuple[float, int, int]  # seconds, KiB, number of the life


def points_of(world: list[dict[str, Any]]) -> dict[str, list[Point]]:
    """Every weighing of each role, from the soak's own log."""
    begin_ns, life, found = world[0]["ns"], 0, dict[str, list[Point]]()
    for event in world:
        life += event["event"] == "started"
        for role, kib in event.get("kib", {}).items():
            found.setdefault(role, []).append(((event["ns"] - begin_ns) / 1e9, kib, life))
    return found


def told(points: list[Point]) -> dict[str, float | None]:
    """Median and most in MiB, and the drift in MiB for each hour of life; None where no life was long enough."""
    mib = [kib / 1024 for _, kib, _ in points]
    return {"median": round(float(np.median(mib)), 1), "most": round(max(mib), 1), "drift_per_hour": drift(points)}


def drift(points: list[Point]) -> float | None:
    """The common slope within lives, in MiB an hour."""
    hours, mib = [], []
    for _, life in groupby(points, key=lambda point: point[2]):
        lived = np.array([(s, kib) for s, kib, _ in life], float)
        settled = lived[lived[:, 0] >= lived[0, 0] + STARTING_S]
        if len(settled) >= 2:
            centered = settled - settled.mean(axis=0)
            hours.append(centered[:, 0] / 3600)
            mib.append(centered[:, 1] / 1024)
    if not hours:
        return None
    x, y = np.concatenate(hours), np.concatenate(mib)
    return round(float(x @ y / (x @ x)), 2)

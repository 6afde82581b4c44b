"""What a person may see of one tick, as plain JSON: the only thing the desk is ever given."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from handguard.desk.feed import Snapshot
from handguard.types import (
    Decision,
    Detections,
    HandClass,
    KeeperReport,
    Output,
    ResetFreed,
    ResetStuck,
    StageTimes,
    State,
    Tripped,
    WarningRaised,
    ZoneRole,
    ZoneStatus,
)

RECENT = 8  # events shown


@dataclass(slots=True)
class Chronicle:
    """Counts and the newest events of a run, kept by the monitor for its viewers. One thread."""

    frames: int = 0
    warnings: int = 0
    trips: int = 0
    events: list[list[str]] = field(default_factory=list)  # [seconds since start, what]
    cautions: tuple[str, ...] = ()  # what people were told at the start, and must go on seeing
    started_ns: int | None = None
    last_trip: dict[str, object] | None = None
    _rate: float = 0.0
    _last_ns: int = 0

    def snapshot(
        self, decision: Decision, report: KeeperReport, dropped: int, faults: frozenset[str]
    ) -> Snapshot:
        """Count one tick and describe it."""
        self._count(decision)
        times = decision.times
        return {
            "frame": decision.frame_seq,
            "state": decision.state.name,
            "output": decision.output.value,
            "cause": decision.cause,
            "judged": decision.detections is not None,
            "hands": _hands(decision),
            "zones": [
                [zone.name, zone.role.value, zone.intruded, zone.worst_score, zone.time_to_zone_s]
                for zone in decision.zones
            ],
            "times_ns": [times.captured_ns, times.taken_ns, times.detected_ns, times.judged_ns],
            "started_ns": self.started_ns,
            "warning": decision.warning,
            "age_ms": round((times.judged_ns - times.captured_ns) / 1e6, 2),
            "detect_ms": round((times.detected_ns - times.taken_ns) / 1e6, 2),
            "fps": round(self._rate, 1),
            "frames": self.frames,
            "dropped": dropped,
            "warnings": self.warnings,
            "trips": self.trips,
            "last_trip": self.last_trip,
            "relay": report.output.value,
            "faults": sorted(faults | report.faults),
            "cautions": list(self.cautions),
            "events": self.events[-RECENT:],
            "seconds": round((times.judged_ns - (self.started_ns or times.judged_ns)) / 1e9, 1),
        }

    def _count(self, decision: Decision) -> None:
        now_ns = decision.times.judged_ns
        self.started_ns = self.started_ns or now_ns
        if decision.detections is not None:
            self.frames += 1
            gap_s = (now_ns - self._last_ns) / 1e9
            self._rate = 0.9 * self._rate + 0.1 / gap_s if 0 < gap_s < 1 else 0.0
            self._last_ns = now_ns
        for event in decision.events:
            self.warnings += isinstance(event, WarningRaised)
            if isinstance(event, Tripped):
                self._count_trip(event)
            if line := _line(event):
                self.events = [*self.events[-RECENT:], [f"{(event.at_ns - self.started_ns) / 1e9:.1f}", line]]

    def _count_trip(self, event: Tripped) -> None:
        self.trips += 1
        self.last_trip = {
            "number": self.trips,
            "at_ns": event.at_ns,
            "frame_seq": event.frame_seq,
            "cause": event.cause,
            "zone": event.zone,
        }


def decision_in(snapshot: Snapshot) -> Decision:
    """The decision a snapshot describes, as far as it can be drawn; events are left out."""
    hands, frame_seq = snapshot["hands"], snapshot["frame"]
    times = StageTimes(*snapshot["times_ns"])
    found = Detections(
        np.array([hand["box_px"] for hand in hands], np.float32).reshape(-1, 4),
        np.array([hand["score"] for hand in hands], np.float32),
        np.array([HandClass[hand["label"].upper()] for hand in hands], np.int64),
        frame_seq,
        times.captured_ns,
    )
    judged = found if snapshot["judged"] else None  # "nothing was judged" must never look like "no hands"
    zones = tuple(ZoneStatus(name, ZoneRole(role), *rest) for name, role, *rest in snapshot["zones"])
    output, state = Output(snapshot["output"]), State[snapshot["state"]]
    return Decision(frame_seq, times, judged, zones, state, output, snapshot["cause"])


def _hands(decision: Decision) -> list[dict[str, object]]:
    found = decision.detections
    if found is None:
        return []
    return [
        {
            "box_px": [round(float(v), 1) for v in box],
            "score": round(float(score), 3),
            "label": HandClass(int(label)).title,
        }
        for box, score, label in zip(found.boxes_px, found.scores, found.labels, strict=True)
    ]


def _line(event: object) -> str | None:
    if isinstance(event, Tripped):
        return f"TRIP {event.cause}"
    if isinstance(event, WarningRaised):
        return f"warning {event.zone}"
    if isinstance(event, ResetStuck | ResetFreed):
        return "reset button is stuck" if isinstance(event, ResetStuck) else "reset button let go"
    before, after = getattr(event, "before", None), getattr(event, "after", None)
    return f"{before.name} → {after.name}" if before and after else None

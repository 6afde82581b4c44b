"""How a run over the simulated scene compares with what truly happened there.

The scene knows when each hand entered each zone; the decisions say when the
monitor saw it. This is about timing and logic: drawn hands say nothing about
how well people's hands are found.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from handguard.evidence.summary import percentiles
from handguard.types import Decision, KeeperReport, Permit, Zone, ZoneRole

if TYPE_CHECKING:  # a real camera does not wait for the scene to load
    from handguard.capture.scene.truth import Approach, Crossing

GRACE_NS = 100_000_000  # a zone may still be judged this long after the hand has left it


@runtime_checkable
class Truthful(Protocol):
    """A source that knows where its hands truly are, as the drawn scene does."""

    @property
    def started_ns(self) -> int | None:
        """When its first moment was, monotonic; None before."""

    def approaches(self, zones: Sequence[Zone]) -> tuple[Approach, ...]:
        """Every hand's way, and when it entered and left which zone."""


class Scorekeeper:
    """An `EventSink` that notes which zones were intruded when, and asks the scene afterwards."""

    faults: frozenset[str] = frozenset()

    def __init__(self, scene: Truthful, zones: Sequence[Zone]) -> None:
        self._scene, self._zones = scene, tuple(zones)
        self._seen: list[tuple[int, frozenset[str]]] = []  # capture time, intruded zones; frames with any
        self._last_ns: int | None = None  # capture of the newest judged frame

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        if decision.detections is not None:
            self._last_ns = decision.times.captured_ns
            if intruded := frozenset(zone.name for zone in decision.zones if zone.intruded):
                self._seen.append((self._last_ns, intruded))

    def result(self) -> dict[str, Any]:
        """Approaches of the scene, and for each kind of zone how many were seen, missed, and how late.

        An approach still under way when the run ended is left out.
        """
        if self._scene.started_ns is None or self._last_ns is None:
            return {"approaches": 0}
        last_ns = self._last_ns - self._scene.started_ns
        approaches = [one for one in self._scene.approaches(self._zones) if one.ends_ns <= last_ns]
        result: dict[str, Any] = {"approaches": len(approaches)}
        for role in ZoneRole:
            crossings = [one for one in (approach.enters(role) for approach in approaches) if one is not None]
            delays = [self._delay_ms(crossing) for crossing in crossings]
            seen = [delay for delay in delays if delay is not None]
            result[role.value] = {
                "entered": len(crossings),
                "seen": len(seen),
                "missed": len(crossings) - len(seen),
                "delay_ms": percentiles(seen),  # from entering to the capture of the frame that showed it
            }
        return result

    def _delay_ms(self, crossing: Crossing) -> float | None:
        """From the true entering to the frame that first showed the zone intruded; None if none did.

        Negative when the detector's box reached the zone before the true hand did.
        """
        started_ns = self._scene.started_ns or 0
        enters_ns, leaves_ns = started_ns + crossing.enters_ns, started_ns + crossing.leaves_ns
        begin = bisect_left(self._seen, enters_ns - GRACE_NS, key=itemgetter(0))
        end = bisect_right(self._seen, leaves_ns + GRACE_NS, key=itemgetter(0))
        for captured_ns, intruded in self._seen[begin:end]:
            if crossing.zone in intruded:
                return (captured_ns - enters_ns) / 1e6
        return None

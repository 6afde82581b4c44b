"""The live loop's word to the service manager: an event sink that speaks of progress and of nothing else.

Ready is a loop that has judged its first frame. Alive is a loop that has judged a
newer one since; a timer could say so of a loop that is dead. Ticks without a frame
are no progress: a camera that is away for longer than the watchdog waits gets the
program started anew, contact open, which reopens everything.

One state is left alone. A lockout is for a person to end, so every tick in it is
progress: otherwise a watchdog would clear it by starting the program again.
"""

from __future__ import annotations

from handguard.systemd import ServiceManager
from handguard.types import Decision, KeeperReport, Permit, State


class Liveness:
    """Implements `ports.EventSink`. One thread."""

    faults: frozenset[str] = frozenset()  # a service manager that does not hear is no fault of ours

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._newest_frame = -1
        self._is_ready = False

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """Say what this tick amounts to. Returns at once, never raises."""
        self._manager.status(f"{decision.state.name.replace('_', ' ')}: {decision.cause}")
        if not self._is_progress(decision):
            return
        if not self._is_ready:
            self._is_ready = True
            self._manager.ready()
        self._manager.alive()

    def close(self) -> None:
        """The loop has ended. Safe to call twice."""
        self._manager.stopping()
        self._manager.close()

    def _is_progress(self, decision: Decision) -> bool:
        newest, self._newest_frame = self._newest_frame, max(self._newest_frame, decision.frame_seq)
        return decision.state is State.LOCKOUT or (decision.detections is not None and decision.frame_seq > newest)

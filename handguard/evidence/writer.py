"""The thread that writes the book, and the queue that keeps it off the stop path.

`record` only puts a reference into a queue: it returns in microseconds, never
waits for a disk and never raises. Turning decisions into JSON, hashing, signing
and syncing all happen in the writer's own thread.

What goes wrong is told, not hidden:

    evidence-disk      nothing can be written now; retried for ever, memory stays bounded
    evidence-disk-low  the disk has less room than asked for; still writing
    evidence-lost      records were dropped in this run because the queue was full
    evidence-writer    the writer's thread has died; nothing is written any more

These names stand in `faults` at once and, as soon as the disk takes them, in the
book too, with how many records were lost. None of them may stop the machine:
a full disk is a matter for the maintenance, not for the interlock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType

from handguard.evidence.ledger import Ledger, Stamp, WritePolicy, stamp_now
from handguard.evidence.notices import Notice
from handguard.evidence.schema import (
    Genesis,
    OperatorAction,
    Record,
    caution_record,
    decision_record,
    event_record,
    fault_record,
    operator_record,
)
from handguard.evidence.signing import SigningKey
from handguard.types import Decision, Event, KeeperReport, Permit

_BATCH_RECORDS = 256  # written at once at most, so that memory and the time between two syncs stay bounded
_IDLE_S = 0.1  # how late a sync or a signature may come when nothing is recorded

_Body = Callable[[], Record]  # built in the writer's thread, not in the caller's


@dataclass(frozen=True, slots=True)
class _Outage:
    since_ns: int
    error: OSError


class EvidenceWriter:
    """Remembers decisions, events, operator actions and faults of one run. An `EventSink`.

    Synchronization: every public method and property may be used from any thread.
    """

    def __init__(self, ledger: Ledger, policy: WritePolicy, now: Callable[[], Stamp] = stamp_now) -> None:
        self._ledger, self._policy, self._now = ledger, policy, now
        self._queue: SimpleQueue[tuple[_Body, ...]] = SimpleQueue()
        self._held: list[Record] = []  # taken from the queue, not yet in the file
        self._outage: _Outage | None = None
        self._room_is_low = False
        self._lost_lock = threading.Lock()
        self._lost = self._lost_told = 0
        self._closing = threading.Event()
        self._reason = "clean stop"
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="evidence-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        directory: Path,
        genesis: Genesis,
        key: SigningKey,
        policy: WritePolicy | None = None,
        now: Callable[[], Stamp] = stamp_now,
    ) -> EvidenceWriter:
        """Start a run's book; at return its signed genesis is on disk.

        Raises `RecordingError` if the folder cannot be written or already holds a recording.
        """
        policy = policy or WritePolicy()
        return cls(Ledger(directory, genesis, key, policy, now), policy, now)

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """Remember one tick and its events. Returns at once, never raises."""
        events = decision.events
        judged = partial(decision_record, decision, permit, report)
        self._offer(judged, *(partial(event_record, event) for event in events), urgent=bool(events))

    def event(self, event: Event) -> None:
        """Remember an event that no decision carries. Returns at once, never raises."""
        self._offer(partial(event_record, event), urgent=True)

    def operator(self, action: OperatorAction, who: str = "", detail: str = "") -> None:
        """Remember what a person did, now. Returns at once, never raises."""
        self._offer(partial(operator_record, action, self._now().monotonic_ns, who, detail), urgent=True)

    def fault(self, name: str, detail: str) -> None:
        """Remember a fault of another part, now. Returns at once, never raises."""
        self._offer(partial(fault_record, name, self._now().monotonic_ns, detail), urgent=True)

    def caution(self, words: str) -> None:
        """Remember what people were told at the start. Returns at once, never raises."""
        self._offer(partial(caution_record, words, self._now().monotonic_ns), urgent=True)

    def notice(self, notice: Notice) -> None:
        """Remember what the recorder of clips said. Returns at once, never raises."""
        self._offer(partial(notice.record, self._now().monotonic_ns), urgent=True)

    @property
    def faults(self) -> frozenset[str]:
        """What is wrong with the recording at this moment; empty when all is well."""
        signs = {
            "evidence-disk": self._outage is not None,
            "evidence-disk-low": self._room_is_low,
            "evidence-lost": self._lost > 0,
            "evidence-writer": not (self._thread.is_alive() or self._ended),
        }
        return frozenset(name for name, shown in signs.items() if shown)

    @property
    def lost_records(self) -> int:
        """Records of this run that will never be in the book."""
        return self._lost

    @property
    def synced_seq(self) -> int:
        """Number of the newest record that survives a power cut."""
        return self._ledger.synced_seq

    def close(self, reason: str = "clean stop", timeout_s: float = 10.0) -> None:
        """Write what is queued, then the end. Never raises; a disk that hangs is left after `timeout_s`.

        If the end could not be written, `faults` says why. Safe to call twice.
        """
        if not self._closing.is_set():
            self._reason = reason
            self._closing.set()
            self._queue.put(())  # wakes the thread
        self._thread.join(timeout_s)
        if self._ended:
            self._count_lost(self._records_left())  # came while the thread was ending

    def __enter__(self) -> EvidenceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("clean stop" if kind is None else f"stopped by {kind.__name__}: {error}")

    def _offer(self, *bodies: _Body, urgent: bool) -> None:
        room = self._policy.queue_records + (self._policy.urgent_records if urgent else 0)
        if self._queue.qsize() < room and not self._closing.is_set():
            self._queue.put(bodies)
        else:
            self._count_lost(len(bodies))

    def _count_lost(self, records: int) -> None:
        with self._lost_lock:
            self._lost += records

    # The rest runs in the writer's thread.

    def _run(self) -> None:
        while True:
            self._wait()
            self._attempt()
            if self._closing.is_set() and (self._outage or self._is_drained()):
                return self._finish()

    def _wait(self) -> None:
        """Until there is something to write, or something else is due."""
        if self._outage:
            self._closing.wait(self._policy.retry_every_s)
            return
        with suppress(Empty):
            self._held += _built(self._queue.get(timeout=_IDLE_S))
            while len(self._held) < _BATCH_RECORDS:
                self._held += _built(self._queue.get_nowait())

    def _attempt(self) -> None:
        try:
            self._write()
            self._ledger.upkeep()
            self._look_for_room()
        except OSError as error:
            self._outage = self._outage or _Outage(self._now().monotonic_ns, error)

    def _write(self) -> None:
        lost = self._lost  # read once: it may grow meanwhile
        if self._outage:
            self._ledger.reopen()
        self._ledger.write([*self._held, *self._bad_news(lost - self._lost_told)])
        self._held.clear()
        self._outage, self._lost_told = None, lost

    def _bad_news(self, lost: int) -> list[Record]:
        if self._outage:
            detail = (
                f"could not write from monotonic {self._outage.since_ns} ns on: {self._outage.error}; "
                f"records from {self._ledger.synced_seq + 1} on may be missing before this one"
            )
            return [fault_record("evidence-disk", self._outage.since_ns, detail, lost)]
        if lost:
            return [fault_record("evidence-lost", self._now().monotonic_ns, "the queue was full", lost)]
        return []

    def _look_for_room(self) -> None:
        was_low, self._room_is_low = self._room_is_low, self._ledger.disk_is_low()
        if self._room_is_low and not was_low:
            self.fault("evidence-disk-low", f"less than {self._policy.min_free_bytes} bytes free")

    def _is_drained(self) -> bool:
        return self._queue.empty() and not self._held

    def _finish(self) -> None:
        try:
            if not self._outage:
                self._ledger.close(self._reason, self._lost)
        except OSError as error:
            self._outage = _Outage(self._now().monotonic_ns, error)
        if self._outage:
            self._count_lost(len(self._held) + self._records_left())
            self._ledger.abandon()
        self._ended = True

    def _records_left(self) -> int:
        """Empty the queue and say how many records were in it."""
        left = 0
        with suppress(Empty):
            while True:
                left += len(self._queue.get_nowait())
        return left


def _built(bodies: tuple[_Body, ...]) -> list[Record]:
    return [_built_or_fault(body) for body in bodies]


def _built_or_fault(body: _Body) -> Record:
    """One value that cannot be written must not silence all that follow it."""
    try:
        return body()
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        return fault_record(
            "evidence-record", stamp_now().monotonic_ns, f"{type(error).__name__}: {error}", 1
        )

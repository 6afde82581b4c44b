"""What follows what: numbering, chaining, signing and sealing, all at the caller's pace.

The ledger is the writer without its thread. `write` puts bodies down as the next
records; `upkeep` does what time asks for: making things durable every second or
two, signing every minute, starting a new segment when one is full.

Two promises a reader relies on:
- No record stands more than `sign_every_s` after the last signature before it.
  All records of one `write` share one stamp, and a signature that is due goes
  in front of them. So a forger without the key has less than a minute to forge.
- The end on purpose is `close` and one `head` over it. Anything else is a crash.

Every method may raise `OSError`; then nothing of that call counts, and after
`reopen` it may be tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from handguard.errors import RecordingError, mismatch
from handguard.evidence.chain import ROOT, Link, extend
from handguard.evidence.moments import utc_text
from handguard.evidence.schema import (
    Genesis,
    Record,
    close_record,
    fault_record,
    genesis_record,
    head_record,
    is_grave,
)
from handguard.evidence.signing import SigningKey
from handguard.evidence.store import SegmentStore


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How often to sync, sign, rotate; how much to hold in memory; when to complain of a full disk."""

    sync_every_s: float = 1.0  # a power cut loses at most this much, plus what is in the queue
    sign_every_s: float = 60.0
    retry_every_s: float = 1.0  # after a disk fault
    segment_bytes: int = 64 << 20
    segment_records: int = 250_000  # at 30 frames/s a little over two hours
    queue_records: int = 4096  # at 30 frames/s a little over two minutes of a dead disk
    urgent_records: int = 512  # kept free for trips, faults and operators when the queue is full
    min_free_bytes: int = 512 << 20

    def __post_init__(self) -> None:
        for name in ("sync_every_s", "sign_every_s", "retry_every_s", "segment_bytes", "segment_records",
                     "queue_records"):  # fmt: skip
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Now, on both clocks: monotonic to order and measure, wall time to tell people."""

    monotonic_ns: int
    wall_time_utc: str  # 2025-01-31T12:00:00.000000Z; sorts as text


def stamp_now() -> Stamp:
    """Read both clocks."""
    wall = utc_text(datetime.now(timezone.utc))
    return Stamp(time.monotonic_ns(), wall)


class Ledger:
    """One run's book, from its genesis on.

    Synchronization: used by one thread at a time.
    """

    def __init__(
        self,
        directory: Path,
        genesis: Genesis,
        key: SigningKey,
        policy: WritePolicy,
        now: Callable[[], Stamp] = stamp_now,
    ) -> None:
        """Start the book in a folder that holds none, with a signed genesis on disk at return.

        Raises `RecordingError` if the folder cannot be written or already holds a recording.
        """
        self._key, self._policy, self._now = key, policy, now
        self._link = ROOT
        self._segment_records = 0
        self._must_sync = True
        self._signed_ns = self._synced_ns = now().monotonic_ns
        self.synced_seq = -1  # newest record that survives a power cut
        try:
            self._store = SegmentStore(directory)
            self._put([genesis_record(genesis, key.public.hex, policy.sign_every_s)], now(), sign=True)
            self.upkeep()
        except OSError as error:
            raise RecordingError(
                mismatch(str(directory), "an empty folder that can be written", error)
            ) from error

    def write(self, bodies: Iterable[Record]) -> None:
        """Add records, all or none; trips and removed films are signed with them and synced by `upkeep`."""
        bodies = list(bodies)
        if bodies:
            has_grave = any(map(is_grave, bodies))
            self._put(bodies, self._now(), sign=has_grave)
            self._must_sync |= has_grave

    def upkeep(self) -> None:
        """Sign, rotate and sync if it is time."""
        stamp = self._now()
        if self._sign_is_due(stamp):
            self._put([], stamp, sign=True)
        if self._is_full():
            self._put([], stamp, sign=True)
            self._store.rotate()
            self._segment_records = 0
            self._note_synced(stamp)  # the sealed segment is durable, and the new one is empty
        if self._must_sync or _elapsed_s(self._synced_ns, stamp) >= self._policy.sync_every_s:
            self._store.sync()
            self._note_synced(stamp)

    def reopen(self) -> None:
        """Come back after an `OSError`."""
        before = self._store.path
        self._store.reopen()
        if self._store.path != before:
            self._segment_records = 0
        self._must_sync = True

    def close(self, reason: str, lost_records: int) -> None:
        """Write the end, sign it, and let go of the files. Safe to call only once."""
        self._put([close_record(reason, lost_records)], self._now(), sign=True)
        self._store.sync()
        self._note_synced(self._now())
        self._store.close()

    def abandon(self) -> None:
        """Let go of the files without an end, as a crash would."""
        self._store.close()

    def disk_is_low(self) -> bool:
        """True when the disk has less room than the policy asks for."""
        return self._store.free_bytes() < self._policy.min_free_bytes

    def _put(self, bodies: list[Record], stamp: Stamp, sign: bool) -> None:
        """Append records and move the chain on only when all of them are in the file."""
        page = _Page(self._link, stamp, self._key)
        if bodies and self._link.seq >= 0 and self._sign_is_due(stamp):
            page.add_head()
        for body in bodies:
            page.add(body)
        if sign:
            page.add_head()
        self._store.append(b"".join(page.lines))
        self._link = page.link
        self._segment_records += len(page.lines)
        if page.signed:
            self._signed_ns = stamp.monotonic_ns

    def _sign_is_due(self, stamp: Stamp) -> bool:
        return _elapsed_s(self._signed_ns, stamp) >= self._policy.sign_every_s

    def _is_full(self) -> bool:
        policy = self._policy
        return self._store.bytes >= policy.segment_bytes or self._segment_records >= policy.segment_records

    def _note_synced(self, stamp: Stamp) -> None:
        self.synced_seq = self._link.seq
        self._synced_ns = stamp.monotonic_ns
        self._must_sync = False


class _Page:
    """Lines on their way to the file: chained, stamped alike, not yet counted."""

    def __init__(self, link: Link, stamp: Stamp, key: SigningKey) -> None:
        self.link, self.lines, self.signed = link, list[bytes](), False
        self._key = key
        self._stamp = stamp
        self._stamp_fields = {"monotonic_ns": stamp.monotonic_ns, "wall_time_utc": stamp.wall_time_utc}

    def add(self, body: Record) -> None:
        """Chain one body; one that JSON cannot hold is replaced by a fault that says so."""
        try:
            self.link, line = extend(self.link, {**body, **self._stamp_fields})
        except RecordingError as error:
            unwritable = fault_record("evidence-record", self._stamp.monotonic_ns, str(error), lost_records=1)
            self.link, line = extend(self.link, {**unwritable, **self._stamp_fields})
        self.lines.append(line)

    def add_head(self) -> None:
        """Sign the chain up to here, this head's own times included."""
        unsigned, _ = extend(self.link, {**head_record(), **self._stamp_fields})
        self.add(head_record(self._key.sign(unsigned)))
        self.signed = True


def _elapsed_s(since_ns: int, stamp: Stamp) -> float:
    return (stamp.monotonic_ns - since_ns) / 1e9

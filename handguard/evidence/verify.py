"""Read a recording as a stranger would, and say whether it is as it was written.

What is found: a changed, missing, repeated, moved or added record; a missing
segment; a signature that does not fit, or another key; a stretch without
signatures that the writer would never have left; a clock that went back; a book
of a newer schema. Reading stops at the first break of the chain, because
nothing after it can be trusted; a wrong clock and an unsigned stretch are noted
and read past.

What is tolerated and told: a book without its end (a crash, a power cut, or
somebody cut it: these look alike), and a last line that is torn.

What cannot be found from the book alone: that a book without its end was cut
back to an earlier record; that its records after the last signature were
written by somebody else; and, unless a public key is brought from elsewhere,
that the whole book was written anew. The result says how far it vouches.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from handguard.errors import HandguardError
from handguard.evidence.chain import ROOT, Link, extend, hash_after, split_line
from handguard.evidence.migrations import schema_of
from handguard.evidence.schema import Kind, Record
from handguard.evidence.signing import PublicKey
from handguard.evidence.store import read_lines, segment_name, segment_numbers
from handguard.evidence.verification import Problem, ProblemKind, Verification

_SIGN_SLACK_NS = 1_000_000_000  # the writer leaves none; one second is kind to rounding of the policy


def verify(directory: Path, public_key: PublicKey | None = None) -> Verification:
    """Check a whole run directory, against `public_key` or else the key its genesis names.

    Raises `RecordingError` only if there is nothing to check (no folder, no segment).
    """
    numbers = segment_numbers(directory)
    reader = _Reader(directory, public_key)
    with suppress(_Broken):  # the problem is noted; nothing after it can be trusted
        reader.read_segments(numbers)
    return reader.result(len(numbers))


class _Broken(Exception):
    """The chain cannot be followed any further."""


class _Reader:
    """Walks the lines in order and remembers what it must compare the next one with."""

    def __init__(self, directory: Path, trusted: PublicKey | None) -> None:
        self._directory, self._trusted = directory, trusted
        self._link = ROOT
        self._key: PublicKey | None = None
        self._segment, self._line = segment_name(1), 0
        self._sign_every_ns = 0
        self._signed_through, self._signed_ns = -1, 0
        self._monotonic_ns, self._wall_time = -1, ""
        self._lost = 0
        self._torn = self._close_seen = self._ended = False
        self._problems: list[Problem] = []

    def read_segments(self, numbers: list[int]) -> None:
        for expected, number in enumerate(numbers, start=1):
            if number != expected:
                self._segment, self._line = segment_name(expected), 0
                self._break(ProblemKind.MISSING_SEGMENT, f"the next one present is {segment_name(number)}")
            self._read_segment(self._directory / segment_name(number))
        if self._link is ROOT:
            self._break(ProblemKind.UNREADABLE, "not one complete record")

    def result(self, segments: int) -> Verification:
        return Verification(
            directory=str(self._directory),
            records=self._link.seq + 1,
            segments=segments,
            signed_through=self._signed_through,
            closed=self._ended,
            torn=self._torn,
            lost_records=self._lost,
            fingerprint=None if self._key is None else self._key.fingerprint,
            key_given=self._trusted is not None,
            problems=tuple(self._problems),
        )

    def _read_segment(self, path: Path) -> None:
        self._segment, self._line = path.name, 0
        for line in read_lines(path):
            self._line += 1
            if line.endswith(b"\n"):
                self._read_line(line)
            else:
                self._torn = True  # the writer never counted it; if it had, the next record will not fit

    def _read_line(self, line: bytes) -> None:
        parts = split_line(line)
        if parts is None:
            self._break(ProblemKind.UNREADABLE, "not a line of a recording")
        stored, raw = parts
        record = _parsed(raw)
        if hash_after(self._link.hash, raw) != stored:
            self._explain_break(record)
        if record is None or record.get("seq") != self._link.seq + 1:
            self._break(ProblemKind.UNREADABLE, "the hash fits, but this is no numbered record")
        self._check_place(record)
        self._check_clocks(record)
        self._check_kind(record)
        self._link = Link(self._link.seq + 1, stored)

    def _explain_break(self, record: Record | None) -> NoReturn:
        """Why does this line not follow the one before it?"""
        expected, found = self._link.seq + 1, None if record is None else record.get("seq")
        if type(found) is not int or found == expected:
            self._break(ProblemKind.EDITED, "its hash does not fit; it, or its hash, was changed")
        if found < expected:
            self._break(ProblemKind.OUT_OF_ORDER, f"record {found} stands here again")
        later = self._later_seqs()
        if expected in later:
            self._break(ProblemKind.OUT_OF_ORDER, f"record {found} stands here; {expected} comes later")
        if found in later:
            self._break(ProblemKind.EDITED, f"it calls itself {found}, and so does a later one")
        self._break(ProblemKind.MISSING, f"record(s) {expected} to {found - 1} are missing; {found} follows")

    def _later_seqs(self) -> set[int]:
        """Numbers of all records after the current line, as they call themselves."""
        seqs: set[int] = set()
        for number in segment_numbers(self._directory):
            name = segment_name(number)
            for line_number, line in enumerate(read_lines(self._directory / name), start=1):
                if (name, line_number) > (self._segment, self._line):
                    seqs |= _seq_of(line)
        return seqs

    def _check_place(self, record: Record) -> None:
        """Genesis first and only first; after `close` one head, after that nothing."""
        kind = record.get("kind")
        if kind not in [known.value for known in Kind]:
            self._break(ProblemKind.UNREADABLE, f"unknown kind {kind!r}")
        if (self._link is ROOT) != (kind == Kind.GENESIS.value):
            self._break(ProblemKind.OUT_OF_ORDER, f"{kind} cannot stand here: genesis is first, once")
        if self._ended or (self._close_seen and kind != Kind.HEAD.value):
            self._break(ProblemKind.AFTER_END, f"{kind} after the run was closed")

    def _check_clocks(self, record: Record) -> None:
        monotonic_ns, wall_time = record.get("monotonic_ns"), record.get("wall_time_utc")
        if type(monotonic_ns) is not int or not isinstance(wall_time, str):
            self._break(ProblemKind.UNREADABLE, "no times in it")
        if monotonic_ns < self._monotonic_ns:
            step_ms = (self._monotonic_ns - monotonic_ns) / 1e6
            self._note(ProblemKind.CLOCK_WENT_BACK, f"monotonic clock went back by {step_ms:.3f} ms")
        if wall_time < self._wall_time:
            self._note(ProblemKind.CLOCK_WENT_BACK, f"from {self._wall_time} to {wall_time}")
        self._monotonic_ns, self._wall_time = monotonic_ns, wall_time

    def _check_kind(self, record: Record) -> None:
        kind = Kind(record["kind"])
        if kind is Kind.GENESIS:
            return self._check_genesis(record)
        if kind is Kind.HEAD:
            return self._check_head(record)
        if self._monotonic_ns - self._signed_ns > self._sign_every_ns + _SIGN_SLACK_NS:
            self._note(ProblemKind.UNSIGNED, f"no signature since record {self._signed_through}")
        if kind is Kind.FAULT:
            self._lost += self._lost_records(record)
        self._close_seen |= kind is Kind.CLOSE

    def _lost_records(self, record: Record) -> int:
        lost = record.get("lost_records")
        if type(lost) is not int or lost < 0:
            self._break(ProblemKind.UNREADABLE, "a fault that does not say how many records were lost")
        return lost

    def _check_genesis(self, record: Record) -> None:
        try:
            schema_of(record, f"{self._segment}:1")
        except HandguardError as error:
            self._break(ProblemKind.SCHEMA, str(error))
        try:
            self._key = PublicKey(bytes.fromhex(record["public_key"]))
            self._sign_every_ns = round(record["sign_every_s"] * 1e9)
        except (HandguardError, KeyError, TypeError, ValueError, OverflowError) as error:
            self._break(ProblemKind.UNREADABLE, f"genesis without a key or a signing period: {error}")
        if self._trusted is not None and self._trusted != self._key:
            found, self._key = self._key.fingerprint, self._trusted
            self._break(ProblemKind.WRONG_KEY, f"expected {self._trusted.fingerprint}, found {found}")
        self._signed_ns = self._monotonic_ns

    def _check_head(self, record: Record) -> None:
        seq = self._link.seq + 1
        if not self._signature_fits(record):
            self._break(
                ProblemKind.BAD_SIGNATURE, f"a record from {self._signed_through + 1} to {seq} was changed"
            )
        self._signed_through, self._signed_ns = seq, self._monotonic_ns
        self._ended = self._close_seen

    def _signature_fits(self, record: Record) -> bool:
        """The signature is over this head as it would stand without one; see `head_record`."""
        assert self._key is not None  # genesis came first
        body = {name: value for name, value in record.items() if name != "signature"}
        try:
            unsigned, _ = extend(self._link, body)
            return self._key.confirms(unsigned, bytes.fromhex(record["signature"]))
        except (HandguardError, KeyError, TypeError, ValueError):
            return False

    def _break(self, kind: ProblemKind, why: str) -> NoReturn:
        self._note(kind, why)
        raise _Broken

    def _note(self, kind: ProblemKind, why: str) -> None:
        """Remember a problem; of one kind the first is enough."""
        if kind not in {problem.kind for problem in self._problems}:
            self._problems.append(Problem(kind, self._segment, self._line, self._link.seq + 1, why))


def _parsed(raw: bytes) -> Record | None:
    try:
        record: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _seq_of(line: bytes) -> set[int]:
    parts = split_line(line)
    record = None if parts is None else _parsed(parts[1])
    seq = None if record is None else record.get("seq")
    return {seq} if type(seq) is int else set()

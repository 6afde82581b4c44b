"""What reading a recording brought to light: the verdict, in words and in JSON.

INTACT    every record is as it was written, and the run ended on purpose
UNCLOSED  nothing is wrong with what is there, but the end is not: a crash, a cut, or still running
DAMAGED   at least one record is not as it was written; the first is named
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from handguard.errors import RecordingError


class ProblemKind(Enum):
    """What is wrong with a record."""

    UNREADABLE = "unreadable"
    EDITED = "edited"
    MISSING = "missing"
    OUT_OF_ORDER = "out of order"
    MISSING_SEGMENT = "missing segment"
    BAD_SIGNATURE = "bad signature"
    WRONG_KEY = "wrong key"
    UNSIGNED = "unsigned stretch"
    CLOCK_WENT_BACK = "clock went back"
    SCHEMA = "unknown schema"
    AFTER_END = "after the end"


@dataclass(frozen=True, slots=True)
class Problem:
    """One bad record: where it stands and why it is bad."""

    kind: ProblemKind
    segment: str
    line: int  # from 1; 0 when the whole segment is meant
    seq: int  # of the record that should stand there
    why: str

    def __str__(self) -> str:
        return f"{self.segment} line {self.line} (record {self.seq}): {self.kind.value}: {self.why}"


class Verdict(Enum):
    """The answer in one word."""

    INTACT = "intact"
    UNCLOSED = "unclosed"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Verification:
    """The answer in full."""

    directory: str
    records: int  # good ones, counted from the first
    segments: int  # files present
    signed_through: int  # number of the last record that a good signature covers; -1: none
    closed: bool
    torn: bool  # the last line of a segment is incomplete
    lost_records: int  # what the writer itself says it could not keep
    fingerprint: str | None  # of the key the signatures fit; None: no key could be read
    key_given: bool  # True if that key was brought by the caller and not just read from the book
    problems: tuple[Problem, ...]  # in the order found; empty when nothing is wrong

    @property
    def verdict(self) -> Verdict:
        """DAMAGED beats UNCLOSED beats INTACT."""
        if self.problems:
            return Verdict.DAMAGED
        return Verdict.INTACT if self.closed else Verdict.UNCLOSED

    @property
    def unsigned_records(self) -> int:
        """Good records after the last signature: only the chain holds them, no key does."""
        return max(0, self.records - 1 - self.signed_through)

    def raise_if_damaged(self) -> None:
        """Raises `RecordingError` naming the first bad record."""
        if self.problems:
            raise RecordingError(f"{self.directory}: {self.problems[0]}")

    def to_json(self) -> dict[str, Any]:
        """Plain values for machines, the verdict first."""
        problems = [{**asdict(problem), "kind": problem.kind.value} for problem in self.problems]
        return {
            "verdict": self.verdict.value,
            **asdict(self),
            "unsigned_records": self.unsigned_records,
            "problems": problems,
        }

    def text(self) -> str:
        """A few lines for a person."""
        counts = f"{self.records} good records in {self.segments} segment(s)"
        lines = [f"{self.verdict.name}: {counts} of {self.directory}"]
        lines += [f"  bad: {problem}" for problem in self.problems]
        lines += [f"  {note}" for note in self._notes()]
        return "\n".join(lines)

    def _notes(self) -> list[str]:
        notes = [
            (not self.closed and not self.problems, "ends without close: unsynced tail may be lost"),
            (self.torn, "the last line of a segment is torn, as a crash leaves it; it is not counted"),
            (
                self.unsigned_records > 0,
                f"the last {self.unsigned_records} good record(s) bear no signature yet",
            ),
            (self.lost_records > 0, f"the writer itself says that it lost {self.lost_records} record(s)"),
            (self.signed_through >= 0, f"signed through record {self.signed_through} by {self._signer()}"),
        ]
        return [words for applies, words in notes if applies]

    def _signer(self) -> str:
        if self.key_given:
            return f"{self.fingerprint}, the key you gave"
        return f"{self.fingerprint}, the key named in the recording; give a public key to prove whose it is"

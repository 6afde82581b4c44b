"""A live run, stepped again: the recorded hands and senses through the same `advance`.

Everything the interlock was told stands in the book: hands, button, contact,
impairments, faults and times. So every verdict must come out as it was recorded, to
the last bit. Where it does not, either the program has changed or the record has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from handguard.assembly import rules_of
from handguard.errors import RecordingError
from handguard.evidence.schema import decision_record, event_record
from handguard.pipeline import Rules, Senses
from handguard.replay.book import Book, Entry
from handguard.replay.standin import RecordedClock, RecordedDetector, frame_of
from handguard.replay.ticks import Course
from handguard.types import Decision, Output, Permit, PictureFormat

# What must be equal. The permit and the word of the keeper are not verdicts of the tick.
COMPARED = (
    "state", "output", "cause", "zones", "hands", "sensed",
    "frame_seq", "captured_ns", "taken_ns", "detected_ns", "judged_ns",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first tick that came out otherwise, with both sides of all that differs."""

    frame_seq: int
    tick: int  # from 1
    recorded: dict[str, Any]
    stepped: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"DIVERGED at frame {self.frame_seq} (tick {self.tick})"]
        for key, recorded in self.recorded.items():
            lines += [f"  {key}", f"    recorded  {_shown(recorded)}", f"    stepped   {_shown(self.stepped[key])}"]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, eq=False)
class Reproduction:
    """What stepping a book again brought to light."""

    book: Book
    ticks: int  # that came out as recorded
    divergence: Divergence | None

    @property
    def text(self) -> str:
        """One line, or the divergence in full."""
        if self.divergence is not None:
            return str(self.divergence)
        return f"REPRODUCED: {self.ticks} ticks; every verdict, zone and event is as recorded, to the last bit"

    def raise_if_diverged(self) -> None:
        """Raises `RecordingError` with both sides."""
        if self.divergence is not None:
            raise RecordingError(f"{self.book.folder}: {self.divergence}")


def reproduce(
    book: Book, rules: Rules | None = None, see: Callable[[Decision], None] = lambda _: None
) -> Reproduction:
    """Step every tick again until one differs; `see` is shown each decision made on the way."""
    rules = rules or rules_of(book.settings, book.picture)
    done = 0
    for entry, decision in restepped(book, rules):
        see(decision)
        divergence = _difference(entry, decision, done + 1)
        if divergence is not None:
            return Reproduction(book, done, divergence)
        done += 1
    return Reproduction(book, done, None)


def restepped(book: Book, rules: Rules) -> Iterator[tuple[Entry, Decision]]:
    """Every recorded tick beside what it comes to now."""
    detector, clock = RecordedDetector(), RecordedClock()
    course = Course(detector, clock, rules, book.genesis.get("lockout"))
    for entry in book.entries:
        detector.turn_to(entry.decision)
        clock.turn_to(entry.decision)
        yield entry, course.step(_senses(entry, book.picture))


def _senses(entry: Entry, picture: PictureFormat) -> Senses:
    record, told = entry.decision, entry.decision["sensed"]
    return Senses(
        taken_ns=int(record["taken_ns"]),
        frame=frame_of(record, picture),
        reset_down=told["reset_down"],
        contactor_open=told["contactor_open"],
        impairments=frozenset(told["impairments"]),
        faults=frozenset(told["faults"]),
        reset_since_ns=told.get("reset_since_ns"),
    )


def _difference(entry: Entry, decision: Decision, tick: int) -> Divergence | None:
    recorded: dict[str, Any] = {key: entry.decision[key] for key in COMPARED}
    recorded["events"] = list(entry.events)
    whole = decision_record(decision, _NO_PERMIT)
    stepped: dict[str, Any] = {key: whole[key] for key in COMPARED}
    stepped["events"] = [event_record(event) for event in decision.events]
    differ = [key for key in recorded if recorded[key] != stepped[key]]
    if not differ:
        return None
    ours, theirs = ({key: side[key] for key in differ} for side in (recorded, stepped))
    return Divergence(entry.frame_seq, tick, ours, theirs)


_NO_PERMIT = Permit(0, -1, 0, 0, Output.OFF)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

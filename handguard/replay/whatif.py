"""The files of a live run stepped again, and what other settings would have made of its hands.

Stepping again proves the record. What if is another question, and a looser one: the
button and the contact of the live run answered to what happened then, so here the
virtual operator and contactor of a replay take their places, in both judgments.
What was found in the pictures stays; what cannot be told from it is refused (`answerable`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from handguard.assembly import rules_of
from handguard.atomic import appearing_whole, write_json
from handguard.config import Settings
from handguard.errors import EndOfVideo, RecordingError, mismatch
from handguard.evidence.decisions import decision_line, read_decisions
from handguard.relay.operator import SimulatedOperator
from handguard.replay.answerable import least_score
from handguard.replay.book import Book, Entry
from handguard.replay.compare import Comparison, compare
from handguard.replay.decision_file import decision_file
from handguard.replay.drift import Drift, Limits, between
from handguard.replay.replay import DECISIONS, SUMMARY, replay
from handguard.replay.reproduce import Reproduction, reproduce
from handguard.replay.standin import frame_of, hands_of
from handguard.types import Decision, Detections, Frame

REPRODUCTION = "reproduction.json"


def write_reproduction(book: Book, out: Path | None) -> Reproduction:
    """Step a book again; with `out`, keep the decisions and the verdict there. Raises `RecordingError`."""
    if out is None:
        return reproduce(book)
    with _written_in(out):
        with appearing_whole(out / DECISIONS) as fresh, fresh.open("xb") as file:

            def keep(decision: Decision) -> None:
                file.write(decision_line(decision, book.origin_ns).encode())

            result = reproduce(book, see=keep)
            file.flush()
        write_json(out / REPRODUCTION, _facts(result))
    return result


def replay_book(book: Book, settings: Settings, out: Path) -> None:
    """Judge the recorded hands by these settings, into `out`.

    Raises `ConfigError` for settings that ask what only the pictures could answer.
    """
    least = least_score(book, settings)
    rules = rules_of(settings, book.picture)
    frames = [entry for entry in book.entries if entry.frame_seq >= 0 and entry.decision["hands"] is not None]
    operator = SimulatedOperator(settings.reset.after_free_s)
    with _written_in(out), decision_file(out / DECISIONS) as lines:
        summary = replay(_Frames(book, frames), _Hands(frames, least), rules, operator, [lines])
    summary.write(out / SUMMARY, decisions=DECISIONS, decisions_sha256=lines.sha256)


@contextmanager
def _written_in(out: Path) -> Iterator[None]:
    """A block that writes into this folder, made if need be; what the disk refuses is a `RecordingError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RecordingError(mismatch(str(out), "a place to write the results", error)) from error


def compared(a: Path, b: Path) -> Comparison:
    """Hold the decisions in two folders against each other."""
    return compare(list(read_decisions(a / DECISIONS)), list(read_decisions(b / DECISIONS)))


def drifted(settings: Settings, other: Settings, a: Path, b: Path, limits: Limits) -> Drift | None:
    """How far two back ends lie apart in two folders; None if the settings differ in more than that."""
    a_lines, b_lines = (list(read_decisions(each / DECISIONS)) for each in (a, b))
    return between(settings, other, a_lines, b_lines, limits)


class _Frames:
    """`FrameSource` of stand-in pictures, at the recorded times."""

    def __init__(self, book: Book, entries: list[Entry]) -> None:
        self.format, self.name = book.picture, str(book.folder)
        self._entries, self._picture = iter(entries), book.picture

    def read(self) -> Frame:
        """The next recorded frame."""
        for entry in islice(self._entries, 1):
            frame = frame_of(entry.decision, self._picture)
            assert frame is not None
            return frame
        raise EndOfVideo(f"{self.name}: ended")

    def close(self) -> None:
        """Nothing is held."""


class _Hands:
    """`Detector` that finds what was found, from a score on."""

    description = "as recorded"

    def __init__(self, entries: list[Entry], least: float) -> None:
        self._records = {entry.frame_seq: entry.decision for entry in entries}
        self._least = least

    def detect(self, frame: Frame) -> Detections:
        """The recorded hands of this frame."""
        hands = hands_of(self._records[frame.seq])
        kept = hands.scores >= self._least
        return Detections(
            hands.boxes_px[kept], hands.scores[kept], hands.labels[kept], hands.frame_seq, hands.captured_ns
        )


def _facts(result: Reproduction) -> dict[str, Any]:
    divergence = result.divergence
    return {
        "verdict": "reproduced" if divergence is None else "diverged",
        "ticks": result.ticks,
        "divergence": None if divergence is None else {
            "frame": divergence.frame_seq, "tick": divergence.tick,
            "recorded": divergence.recorded, "stepped": divergence.stepped,
        },
        "verification": result.book.verification.to_json(),
        "settings_sha256": result.book.genesis["config_hash"],
        "model_sha256": result.book.genesis["model_hash"],
        "software": result.book.genesis["software_version"],
    }  # fmt: skip

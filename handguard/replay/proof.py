"""A live run as a recording of an audit: proven first, then judged by the audit's settings.

Its book must be as it was written, its films must have the hashes that the book
names, and every tick, stepped again by the run's own settings, must come out as it was
recorded. Only then do its hands say something about other settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from handguard.config import Settings
from handguard.evidence.clip_check import ClipCheck, check_clips
from handguard.evidence.index import open_index
from handguard.replay.book import read_book
from handguard.replay.reproduce import reproduce
from handguard.replay.whatif import replay_book


@dataclass(frozen=True, slots=True)
class Proven:
    """A run that is what it says it is."""

    recorded_s: float
    words: tuple[str, ...]  # what was proven, a line each


def judge_run(run: Path, settings: Settings, out: Path) -> Proven:
    """Prove a run and judge its hands into `out`.

    Raises `RecordingError` for a book or a film that was changed and for a tick that
    comes out otherwise, `ConfigError` for settings that ask what only pictures could answer.
    """
    book = read_book(run)
    again = reproduce(book)
    again.raise_if_diverged()
    films = _films(book.folder.parent)
    films.raise_if_damaged()
    replay_book(book, settings, out)
    times = [entry.decision["captured_ns"] for entry in book.entries if entry.frame_seq >= 0]
    recorded_s = (times[-1] - times[0]) / 1e9 if times else 0.0
    signed = f"record {book.verification.verdict.value}, signed by {book.verification.fingerprint}"
    return Proven(recorded_s, (signed, again.text, films.text()))


def _films(run: Path) -> ClipCheck:
    """Every film of the run; one that is missing may have been removed by a later run beside it."""
    with open_index(run) as base:
        alone = check_clips(run, base)
    if not alone.problems:
        return alone
    with open_index(run.parent, kept=False) as base:
        return check_clips(run, base)

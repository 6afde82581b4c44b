"""Are the films still those of the book? Every hash is taken again.

A film that retention removed is gone for a reason, and the book of that later run
says so; a film that is gone without such a word, or changed, is damage. The word counts
only where it is signed, in a book that verifies against the key of the run whose film it was.
It excuses what is gone: a film that lies there is held to its hash, whatever anybody says.

A monitor that was killed may leave films that its book does not name any more: the
recorder finished them when nobody could write. They are told by name. They prove
nothing, but they are kept and held like any other, since they may show the accident.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from handguard.digest import sha256_of
from handguard.errors import RecordingError
from handguard.evidence.clips import FOLDER
from handguard.evidence.notes import BOOK, key_of
from handguard.evidence.reading import read_records
from handguard.evidence.retention import clips_in
from handguard.evidence.schema import Kind, Record
from handguard.evidence.signing import PublicKey
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify


@dataclass(frozen=True, slots=True)
class ClipCheck:
    """What became of the films a book speaks of."""

    good: int
    removed: int  # with a word in some book
    problems: tuple[str, ...]  # changed, or gone without a word
    unnamed: tuple[str, ...] = ()  # files that the book does not name

    def text(self) -> str:
        """A line for a person, and one for each problem."""
        told = f"clips: {self.good} as recorded, {self.removed} removed to make room"
        left = [f"  not in the book, so unproven: {name}" for name in self.unnamed]
        return "\n".join([told, *(f"  bad: {problem}" for problem in self.problems), *left])

    def raise_if_damaged(self) -> None:
        """Raises `RecordingError` naming the first bad film."""
        if self.problems:
            raise RecordingError(self.problems[0])


def check_clips(run: Path, base: sqlite3.Connection) -> ClipCheck:
    """Compare every film of a run with its record.

    `base` is an index with the runs that may have removed some. It is asked only where to
    look: what it says proves nothing.
    """
    removals = _Removals(run.resolve(), base)
    good, gone, problems = 0, 0, []
    records = [record for record in read_records(run / BOOK) if record["kind"] == Kind.CLIP.value]
    for record in records:
        problem = _problem(run / FOLDER, record)
        if not problem:
            good += 1
        elif not (run / FOLDER / record["file"]).exists() and record["name"] in removals.proven:
            gone += 1
        else:
            problems.append(problem)
    return ClipCheck(good, gone, tuple(problems), _unnamed(run / FOLDER, records))


def film_states(run: Path, clips: list[Record]) -> list[str]:
    """One line for each film of these records: where it lies, and whether it is still the same."""
    states = []
    for clip in clips:
        problem = _problem(run / FOLDER, clip)
        frames = f"frames {clip['first_frame']} to {clip['last_frame']}, {clip['lost_views']} not in it"
        states.append(f"film {run / FOLDER / clip['file']}  {frames}  {problem or 'as recorded'}")
    return states


def _unnamed(folder: Path, records: list[Record]) -> tuple[str, ...]:
    """Files of clips that no record names."""
    named = {name for record in records for name in (record["file"], f"{record['name']}.json")}
    found = [path for clip in clips_in(folder) for path in clip.files] if folder.is_dir() else []
    return tuple(str(path) for path in found if path.name not in named)


@dataclass
class _Removals:
    """Films of a run that a book beside it, or its own, says were removed."""

    run: Path
    base: sqlite3.Connection

    @cached_property
    def proven(self) -> frozenset[str]:
        """Their names; books are read only when somebody asks."""
        asked = "SELECT DISTINCT run FROM events WHERE kind = 'removed' AND json_extract(record, '$.run') = ?"
        books = [self.run.parent / row["run"] / BOOK for row in self.base.execute(asked, (self.run.name,))]
        key = key_of(self.run)
        return frozenset(name for book in books for name in self._told_by(book, key))

    def _told_by(self, book: Path, key: PublicKey) -> Iterator[str]:
        """Of a sound book, what its signatures cover: the tail of a killed run anybody can add to."""
        try:
            checked = verify(book, key)
        except RecordingError:
            return
        if checked.verdict is Verdict.DAMAGED:
            return
        for record in read_records(book):
            is_removal = record["kind"] == Kind.CLIP_REMOVED.value and record["seq"] <= checked.signed_through
            if is_removal and record["run"] == self.run.name:
                yield record["name"]


def _problem(folder: Path, record: Record) -> str:
    """What is wrong with one film or its index; empty if nothing is."""
    wanted = {record["file"]: record["sha256"], f"{record['name']}.json": record["index_sha256"]}
    for file, sha256 in wanted.items():
        try:
            if sha256_of(folder / file) != sha256:
                return f"{folder / file}: was changed (record {record['seq']})"
        except OSError as error:
            return f"{folder / file}: {error.strerror}, and no book says it was removed (record {record['seq']})"
    return ""

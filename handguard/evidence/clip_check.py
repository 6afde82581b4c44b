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
    records = [record for record in read_records(run / BOOK) if record["kind"] == Kind.CLIP.value]
    states = [(record, _problem(run / FOLDER, record)) for record in records]
    bad = [(record, problem) for record, problem in states if problem]
    gone = [record for record, _ in bad if not (run / FOLDER / record["file"]).exists()]
    removed = _removed(run.resolve(), base) if gone else set()
    excused = [record for record in gone if record["name"] in removed]
    problems = tuple(problem for record, problem in bad if record not in excused)
    return ClipCheck(len(states) - len(bad), len(excused), problems, _unnamed(run / FOLDER, records))


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


def _removed(run: Path, base: sqlite3.Connection) -> set[str]:
    """Names of films of a run that a book beside it, or its own, says were removed."""
    asked = "SELECT DISTINCT run FROM events WHERE kind = 'removed' AND json_extract(record, '$.run') = ?"
    books = [run.parent / row["run"] / BOOK for row in base.execute(asked, (run.name,))]
    key = key_of(run)
    return {record["name"] for book in books for record in _removals(book, key) if record["run"] == run.name}


def _removals(book: Path, key: PublicKey) -> Iterator[Record]:
    """Of a sound book, what its signatures cover: the tail of a killed run anybody can add to."""
    try:
        checked = verify(book, key)
    except RecordingError:
        return
    if checked.verdict is not Verdict.DAMAGED:
        for record in read_records(book):
            if record["kind"] == Kind.CLIP_REMOVED.value and record["seq"] <= checked.signed_through:
                yield record


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

"""Questions about many runs, answered from an SQLite file that may be thrown away at any time.

The books are the truth; the index is only quicker to ask. It is read from the
segments alone, goes on where it stopped (a run may still be growing), and whenever
it does not fit (another version, a damaged file, a segment that is no longer what
was read) it is made again. It proves nothing: `verify` does.

    runs     one row for each book: where from, how far read, how many frames
    events   what is worth asking for: trips, warnings, states, operators, faults, clips, start, stop

Decisions are counted but not kept: at 30 a second they belong in the book. A trip
takes from them what it needs: when its frame was captured, and when the
keeper said OFF was on the wire.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handguard.errors import RecordingError, mismatch
from handguard.evidence.indexing import RunReader
from handguard.evidence.notes import BOOK
from handguard.evidence.store import segment_numbers

INDEX = "index.sqlite"
VERSION = 3
_UNFIT = (sqlite3.DatabaseError, ValueError, TypeError, KeyError)  # what a damaged one leads to
_TABLES = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, machine_id TEXT, software_version TEXT, config_hash TEXT, model_hash TEXT,
    boot_id TEXT, began_utc TEXT, last_utc TEXT, frames INTEGER, records INTEGER, lost INTEGER,
    closed INTEGER, damage TEXT, place TEXT
);
CREATE TABLE events (
    run TEXT, seq INTEGER, wall_time_utc TEXT, kind TEXT, what TEXT, at_ns INTEGER, frame_seq INTEGER,
    zone TEXT, cause TEXT, score REAL, response_ms REAL, record TEXT, PRIMARY KEY (run, seq)
);
CREATE INDEX by_time ON events (wall_time_utc);
CREATE INDEX by_kind ON events (kind, wall_time_utc);
"""


def runs_in(folder: Path) -> dict[str, Path]:
    """Every run in a folder of runs, or the one that the folder is, by name; newest last.

    Raises `RecordingError` if there is none, or none that may be read.
    """
    try:
        runs = {path.resolve().name: path for path in _run_folders(folder) if _has_book(path)}
    except OSError as error:
        raise RecordingError(mismatch(str(folder), "a folder that may be read", error.strerror)) from error
    if not runs:
        raise RecordingError(mismatch(str(folder), "a run, or a folder of runs", "no recording"))
    return runs


def _run_folders(folder: Path) -> list[Path]:
    if (folder / BOOK).is_dir():
        return [folder]
    if folder.name == BOOK and folder.is_dir():
        return [folder.parent]
    return sorted(path.parent for path in folder.glob(f"*/{BOOK}"))


@contextmanager
def open_index(folder: Path, *, afresh: bool = False, kept: bool = True) -> Iterator[sqlite3.Connection]:
    """The index of all runs in the folder, read up to now. Raises `RecordingError` if there is no run.

    It lies in `FOLDER/index.sqlite`; of a single run, where that cannot be written, or if
    it shall not be kept, in memory.
    """
    runs = runs_in(folder)
    path = folder / INDEX if kept and folder not in runs.values() and folder.name != BOOK else None
    if path is not None and afresh:
        _thrown_away(path)
    base = _opened(path, runs)
    try:
        yield base
    finally:
        base.close()


def _opened(path: Path | None, runs: dict[str, Path]) -> sqlite3.Connection:
    """An index with all runs in it: what does not fit is made anew, what cannot be written stays in memory."""
    if path is not None:
        for _ in range(2):
            with suppress(*_UNFIT):
                return _fitting(str(path), runs)
            _thrown_away(path)
    return _fitting(":memory:", runs)


def _fitting(place: str, runs: dict[str, Path]) -> sqlite3.Connection:
    """Raises one of `_UNFIT` where it is of another version or damaged, or cannot be written."""
    base = sqlite3.connect(place, timeout=60.0, isolation_level=None)
    try:
        base.row_factory = sqlite3.Row
        if not _fits(base):
            raise sqlite3.DatabaseError(f"{place}: another version, or damaged")
        _read_on(base, runs)
    except BaseException:
        base.close()
        raise
    return base


def _thrown_away(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # it stays, and memory takes its place


def _fits(base: sqlite3.Connection) -> bool:
    """True if it is whole and of this version; an empty one becomes so. Raises `sqlite3.DatabaseError`."""
    if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        return False
    with _transaction(base):
        version = base.execute("PRAGMA user_version").fetchone()[0]
        empty = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if empty:
            for statement in filter(str.strip, _TABLES.split(";")):
                base.execute(statement)
            base.execute(f"PRAGMA user_version = {VERSION}")
        return bool(empty or version == VERSION)


def _read_on(base: sqlite3.Connection, runs: dict[str, Path]) -> None:
    with _transaction(base):
        known = [row["run"] for row in base.execute("SELECT run FROM runs")]
        for gone in set(known) - set(runs):
            _forget(base, gone)
        for run, path in runs.items():
            _read_run(base, run, path)


def _read_run(base: sqlite3.Connection, run: str, path: Path) -> None:
    row = base.execute("SELECT place FROM runs WHERE run = ?", (run,)).fetchone()
    reader = RunReader.resumed(run, path / BOOK, json.loads(row["place"])) if row else None
    if reader is None:
        _forget(base, run)
        reader = RunReader.fresh(run, path / BOOK)
    for event in reader.events():
        names = ", ".join(event)
        marks = ", ".join(f":{name}" for name in event)
        base.execute(f"INSERT OR REPLACE INTO events ({names}) VALUES ({marks})", event)
    for seq, response_ms in reader.answers:
        base.execute("UPDATE events SET response_ms = ? WHERE run = ? AND seq = ?", (response_ms, run, seq))
    summary = reader.summary()
    marks = ", ".join(f":{name}" for name in summary)
    base.execute(f"INSERT OR REPLACE INTO runs ({', '.join(summary)}) VALUES ({marks})", summary)


def _forget(base: sqlite3.Connection, run: str) -> None:
    base.execute("DELETE FROM events WHERE run = ?", (run,))
    base.execute("DELETE FROM runs WHERE run = ?", (run,))


@contextmanager
def _transaction(base: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; two programs that ask at once take turns."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")


def _has_book(run: Path) -> bool:
    try:
        return bool(segment_numbers(run / BOOK))
    except RecordingError:
        return False

"""The book of a live run, read as a recording: its settings, its picture, and every tick in order.

A run's folder holds `evidence/` with the book; either folder is taken. The book is
verified first, because what was changed proves nothing. Then it must be complete:
every tick made one permit and permits count up by one, so a tick that the writer
could not keep shows as a gap, and the ticks after a gap cannot be stepped again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from handguard.config import Settings, fingerprint
from handguard.config.loading import checked
from handguard.config.resolved import fingerprint_of
from handguard.config.strict_yaml import Tree
from handguard.errors import ConfigError, RecordingError, mismatch
from handguard.evidence.reading import read_records
from handguard.evidence.schema import Kind, Record
from handguard.evidence.verification import Verification
from handguard.evidence.verify import verify
from handguard.types import PictureFormat

_ADDED_BY_THE_LEDGER = frozenset({"seq", "monotonic_ns", "wall_time_utc"})


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One recorded tick, and the events it caused."""

    decision: Record
    events: tuple[Record, ...]  # as the interlock told them, without what the ledger added

    @property
    def frame_seq(self) -> int:
        """-1 for a tick without a frame."""
        return int(self.decision["frame_seq"])


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """A verified book."""

    folder: Path  # that of the segments
    verification: Verification
    genesis: Record
    settings: Settings
    picture: PictureFormat
    entries: tuple[Entry, ...]  # at least one

    @property
    def origin_ns(self) -> int:
        """Capture of the first frame; times are told from here on."""
        return int(self.entries[0].decision["captured_ns"])


def holds_book(path: Path) -> bool:
    """True for the folder of a live run, or for its evidence."""
    return any(any(folder.glob("segment-*.jsonl")) for folder in (path, path / "evidence"))


def picture_of(path: Path) -> PictureFormat:
    """Size and rate of a live run, from its first record, which is not proven by this. Raises `RecordingError`."""
    folder = _folder(path)
    return _picture(next(read_records(folder)), folder)


def cautions_of(folder: Path) -> tuple[str, ...]:
    """What people were told before the first tick; `folder` is that of the segments. Raises `RecordingError`."""
    opening = takewhile(lambda record: record["kind"] != Kind.DECISION.value, read_records(folder))
    return tuple(record["words"] for record in opening if record["kind"] == Kind.CAUTION.value)


def read_book(path: Path, settings: Settings | None = None) -> Book:
    """Verify and read. `settings`, where given, must be those of the run.

    Raises `RecordingError` for a book that was changed, that lacks ticks, or that
    does not say enough to be stepped again.
    """
    folder = _folder(path)
    verification = verify(folder)
    verification.raise_if_damaged()
    records = read_records(folder)
    genesis = next(records)
    entries = tuple(_entries(records))
    if not entries:
        raise RecordingError(mismatch(str(folder), "at least one judged tick", "none"))
    _require_complete(entries, folder)
    return Book(
        folder, verification, genesis, settings_of(genesis, folder, settings), _picture(genesis, folder), entries
    )


def settings_of(genesis: Record, folder: Path, given: Settings | None = None) -> Settings:
    """The settings of the run, proven by the hash in its first record. Raises `RecordingError`.

    A book of an older version lacks the settings that came later: they have their defaults.
    """
    if given is not None:
        _require_hash(genesis, fingerprint(given), given.origin.file)
        return given
    values = genesis.get("settings")
    if values is None:
        found = "none: it was recorded by an older version; give --config"
        raise RecordingError(mismatch(f"{folder}: settings", "the settings of the run", found))
    _require_hash(genesis, fingerprint_of(values), f"{folder}: settings")
    try:
        return checked(Tree(values, {}), f"{folder}: settings")
    except ConfigError as error:
        raise RecordingError(f"recorded with other settings than this version knows: {error}") from error


def _require_hash(genesis: Record, found: str, where: str) -> None:
    expected = genesis["config_hash"]
    if found != expected:
        raise RecordingError(mismatch(where, f"the settings of the run, sha256 {expected[:16]}…", f"{found[:16]}…"))


def _folder(path: Path) -> Path:
    return path if any(path.glob("segment-*.jsonl")) else path / "evidence"


def _picture(genesis: Record, folder: Path) -> PictureFormat:
    told: Any = genesis.get("picture")
    try:
        return PictureFormat(**told)
    except (TypeError, ValueError) as error:
        raise RecordingError(mismatch(f"{folder}: picture", "width_px, height_px and fps", repr(told))) from error


def _entries(records: Iterator[Record]) -> Iterator[Entry]:
    """Every tick with the events behind it; other records tell nothing about verdicts."""
    decision: Record | None = None
    events: list[Record] = []
    for record in records:
        if record["kind"] == Kind.EVENT.value:
            events.append({key: record[key] for key in record if key not in _ADDED_BY_THE_LEDGER})
        elif record["kind"] == Kind.DECISION.value:
            if decision is not None:
                yield Entry(decision, tuple(events))
            decision, events = record, []
    if decision is not None:
        yield Entry(decision, tuple(events))


def _require_complete(entries: tuple[Entry, ...], folder: Path) -> None:
    """Every tick is there, and every tick says what it was told."""
    if entries[0].decision["permit_seq"] != 1:
        raise RecordingError(mismatch(str(folder), "a book from the first tick on", "its beginning is missing"))
    for before, entry in pairwise(entries):
        missing = entry.decision["permit_seq"] - before.decision["permit_seq"] - 1
        if missing:
            where = f"{folder}: after frame {before.frame_seq}"
            raise RecordingError(mismatch(where, "every tick", f"{missing} missing: the writer could not keep them"))
    if any(entry.decision.get("sensed") is None for entry in entries):
        found = "ticks without it: recorded by an older version"
        raise RecordingError(mismatch(f"{folder}: sensed", "what each tick was told", found))

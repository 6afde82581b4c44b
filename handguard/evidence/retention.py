"""Room for new clips: the oldest go first, and what an incident holds never goes.

A shelf is all runs of one folder. Before a clip is written, `make_room` deletes
whole clips (films and index together), oldest first, until the new one fits
under the quota and the disk keeps what the book needs. A clip is held when its
run has a note that holds an event the clip shows. When in doubt (notes that are
damaged, an index that cannot be read) it counts as held. If a clip cannot fit whatever is
deleted, nothing is deleted and the clip is refused, loudly: see `NoRoom`.

Only files named like clips in folders named `clips` are ever touched.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from handguard.errors import RecordingError
from handguard.evidence.clips import CLIP_FILE, FOLDER, read_index
from handguard.evidence.notes import held_moments_ns

_LEFTOVER_S = 3600.0  # a hidden half-written file of another run is this old before it is taken for dead


class NoRoom(OSError):
    """A clip does not fit, and nothing may be deleted for it."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where clips lie and how much room they may take."""

    runs: Path  # the folder of all runs
    own: Path  # the clips folder of this run, inside or outside of it
    quota_bytes: int
    keep_free_bytes: int = 1 << 30  # the book comes first


@dataclass(frozen=True, slots=True)
class StoredClip:
    """The files of one clip."""

    name: str
    files: tuple[Path, ...]
    bytes: int
    modified_s: float

    @property
    def folder(self) -> Path:
        """The clips folder it lies in."""
        return self.files[0].parent

    @property
    def run(self) -> Path:
        """The folder of its run."""
        return self.folder.parent


def stored_clips(shelf: Shelf) -> list[StoredClip]:
    """Every clip on the shelf, oldest first."""
    folders = {path.resolve() for path in (*shelf.runs.glob(f"*/{FOLDER}"), shelf.own) if path.is_dir()}
    clips = [clip for folder in folders for clip in clips_in(folder)]
    return sorted(clips, key=lambda clip: (clip.modified_s, str(clip.folder), clip.name))


def clips_in(folder: Path) -> Iterator[StoredClip]:
    """Every clip in one folder, by name, also one that lacks a file."""
    found = sorted(path for path in folder.iterdir() if CLIP_FILE.fullmatch(path.name))
    for name, paths in groupby(found, key=lambda path: _clip_name(path)):
        files = tuple(paths)
        stats = [stat for path in files if (stat := _stat(path))]
        if stats:
            yield StoredClip(name, files, sum(size for size, _ in stats), max(at for _, at in stats))


def make_room(shelf: Shelf, needed_bytes: int, tell: Callable[[StoredClip], None]) -> None:
    """Delete until a clip of that size fits, and tell of each.

    Raises `NoRoom` if it cannot fit whatever is deleted; then nothing is.
    """
    for clip in _to_delete(shelf, needed_bytes):
        _delete(clip)
        tell(clip)


def _to_delete(shelf: Shelf, needed_bytes: int) -> list[StoredClip]:
    """The oldest clips that are not held, as few as do."""
    clips = stored_clips(shelf)
    used, free = sum(clip.bytes for clip in clips), shutil.disk_usage(shelf.own).free
    going: list[StoredClip] = []
    waiting = iter(clips)
    while missing := _missing(shelf, used, free, needed_bytes):
        clip = next((clip for clip in waiting if not is_held(clip)), None)
        if clip is None:
            raise NoRoom(f"{missing}, also without every clip that is not held")
        going.append(clip)
        used, free = used - clip.bytes, free + clip.bytes
    return going


def is_held(clip: StoredClip) -> bool:
    """True if a held event falls into the clip, or if that cannot be known."""
    try:
        moments_ns = held_moments_ns(clip.run)
        if not moments_ns:
            return False
        index = read_index(clip.folder / f"{clip.name}.json")
        times = [frame["captured_ns"] for frame in index["frames"]] + [t["at_ns"] for t in index["trips"]]
        return any(min(times) <= moment_ns <= max(times) for moment_ns in moments_ns)
    except (RecordingError, KeyError, TypeError, ValueError):
        return True


def clear_leftovers(shelf: Shelf) -> None:
    """Remove what a killed recorder left half-written: in our own folder all, elsewhere the old."""
    for path in (*shelf.own.glob(".trip-*"), *shelf.runs.glob(f"*/{FOLDER}/.trip-*")):
        stat = _stat(path)
        if stat and (path.parent == shelf.own or time.time() - stat[1] > _LEFTOVER_S):
            path.unlink(missing_ok=True)


def _missing(shelf: Shelf, used: int, free: int, needed: int) -> str:
    """What there is too little of; empty if the clip fits."""
    if used + needed > shelf.quota_bytes:
        return f"a clip of {_mb(needed)} goes over the quota of {_mb(shelf.quota_bytes)}"
    if free - needed < shelf.keep_free_bytes:
        return f"a clip of {_mb(needed)} does not fit: {_mb(shelf.keep_free_bytes)} of the disk must stay free"
    return ""


def _delete(clip: StoredClip) -> None:
    """The index goes last: while it stands, a hold on what is left can still be seen."""
    for path in sorted(clip.files, key=lambda path: path.suffix == ".json"):
        path.unlink(missing_ok=True)


def _clip_name(path: Path) -> str:
    match = CLIP_FILE.fullmatch(path.name)
    assert match is not None
    return match[1]


def _stat(path: Path) -> tuple[int, float] | None:
    """Size and time of the last change; None if it has gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"

"""What people say about a run later: nuisance or genuine, hold this, release it.

A run's book belongs to the program that wrote it and is never opened again. Notes
therefore stand in a file of their own beside it, `notes.jsonl`, made like the book: each
line carries the hash of all before it, the first follows the run's genesis record,
and every line is signed with the machine's key. A note cannot be changed, moved to
another run or slipped in between; that the newest ones were cut off cannot be seen
from the file alone.

    nuisance, genuine   what a trip or a warning was; the newest word counts
    hold, release       retention never deletes a clip that shows the moment of a held event
    comment             words
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from handguard.atomic import sync_folder
from handguard.errors import HandguardError, RecordingError, mismatch
from handguard.evidence.chain import Link, extend, hash_after, split_line
from handguard.evidence.reading import read_records
from handguard.evidence.schema import Record
from handguard.evidence.signing import PublicKey, SigningKey
from handguard.evidence.store import read_lines, segment_name

NOTES = "notes.jsonl"
BOOK = "evidence"  # the folder of the book in the folder of a run


class NoteAction(Enum):
    """What a note does; the value stands in its `action`."""

    NUISANCE = "nuisance"
    GENUINE = "genuine"
    HOLD = "hold"
    RELEASE = "release"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class Note:
    """One word of one person about one event of the book."""

    action: NoteAction
    event_seq: int  # the record's number
    at_ns: int  # the moment the event speaks of, monotonic
    who: str
    why: str
    wall_time_utc: str


@dataclass(frozen=True, slots=True)
class _End:
    """Where the next note goes: after this link, at this byte."""

    link: Link
    length_bytes: int


def add_note(run: Path, note: Note, key: SigningKey) -> None:
    """Append a note to the run in this folder; durable at return. Safe beside other writers.

    Raises `RecordingError` for a key that is not the run's, damaged notes, or a disk that refuses.
    """
    root, public = _origin(run)
    if key.public != public:
        found = f"that of {key.public.fingerprint}"
        raise RecordingError(mismatch(f"{run}: key", f"the key of the run, {public.fingerprint}", found))
    try:
        with _locked(run / NOTES) as fd:
            *_, end = (_End(root, 0), *(end for end, _ in _followed(run, root, public)))
            os.ftruncate(fd, end.length_bytes)  # a torn line of a writer that was killed
            _put(fd, _line(end.link, note, key), end.length_bytes)
    except OSError as error:
        raise RecordingError(mismatch(str(run / NOTES), "notes that can be written", error)) from error


def read_notes(run: Path) -> tuple[Note, ...]:
    """All notes of a run, proven, oldest first; a torn last line is left out.

    Raises `RecordingError` for the first note that is not as it was written.
    """
    if not (run / NOTES).exists():
        return ()
    return tuple(note for _, note in _followed(run, *_origin(run)))


def held_moments_ns(run: Path) -> frozenset[int]:
    """The moments of events that are held now. Raises `RecordingError` as `read_notes` does."""
    held: dict[int, int] = {}
    for note in read_notes(run):
        if note.action is NoteAction.HOLD:
            held[note.event_seq] = note.at_ns
        elif note.action is NoteAction.RELEASE:
            held.pop(note.event_seq, None)
    return frozenset(held.values())


def key_of(run: Path) -> PublicKey:
    """The key that the run's book names in its genesis. Raises `RecordingError`."""
    return _origin(run)[1]


def _origin(run: Path) -> tuple[Link, PublicKey]:
    """The link that the first note follows, and the key that signs."""
    path = run / BOOK / segment_name(1)
    genesis = next(read_records(run / BOOK), None)
    parts = split_line(next(read_lines(path), b""))
    try:
        if genesis is None or parts is None:
            raise ValueError("no complete record")
        return Link(-1, parts[0]), PublicKey(bytes.fromhex(genesis["public_key"]))
    except (KeyError, TypeError, ValueError, HandguardError) as error:
        raise RecordingError(mismatch(str(path), "a genesis record with a key", error)) from error


def _line(link: Link, note: Note, key: SigningKey) -> bytes:
    body = _body(note)
    unsigned, _ = extend(link, body)
    return extend(link, {**body, "signature": key.sign(unsigned).hex()})[1]


def _body(note: Note) -> Record:
    return {"kind": "note", **asdict(note), "action": note.action.value}


def _followed(run: Path, link: Link, public: PublicKey) -> Iterator[tuple[_End, Note]]:
    """Each note with what follows it."""
    length_bytes = 0
    for number, line in enumerate(read_lines(run / NOTES), start=1):
        if not line.endswith(b"\n"):
            return
        link, note = _proven(line, link, public, f"{run / NOTES}:{number}")
        length_bytes += len(line)
        yield _End(link, length_bytes), note


def _proven(line: bytes, previous: Link, public: PublicKey, where: str) -> tuple[Link, Note]:
    parts = split_line(line)
    try:
        if parts is None or hash_after(previous.hash, parts[1]) != parts[0]:
            raise ValueError("it was changed, or does not follow the note before it")
        body: Record = json.loads(parts[1])
        signature = bytes.fromhex(body.pop("signature"))
        note = _note(body)
        if not public.confirms(extend(previous, _body(note))[0], signature):
            raise ValueError("its signature does not fit")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, HandguardError) as error:
        raise RecordingError(mismatch(where, "a note as it was written", error)) from error
    return Link(previous.seq + 1, parts[0]), note


def _note(body: Record) -> Note:
    names = ("event_seq", "at_ns", "who", "why", "wall_time_utc")
    return Note(NoteAction(body["action"]), *(body[name] for name in names))


def _put(fd: int, line: bytes, at: int) -> None:
    """The whole line, durable, or nothing of it. Raises `OSError`: a full disk takes a part without a word."""
    try:
        if os.pwrite(fd, line, at) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, at)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, made if need be and its name durable, held against other writers."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        sync_folder(path.parent)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)

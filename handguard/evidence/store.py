"""Segments on disk: bytes appended, made durable, and never rewritten.

A run directory holds `segment-000001.jsonl`, `segment-000002.jsonl` … A line
counts once `append` has returned; after an error nothing of that call counts,
and `reopen` cuts away what had reached the disk of it. Should the segment be
gone by then, the next number is taken, so that the gap shows for ever.

This file knows nothing about what the lines say.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from handguard.atomic import sync_folder
from handguard.errors import RecordingError, mismatch

MAX_LINE_BYTES = 16 << 20  # a line longer than this was not written by us
_NAME = re.compile(r"segment-(\d{6,})\.jsonl")


def segment_name(number: int) -> str:
    """`segment-000001.jsonl` for 1."""
    return f"segment-{number:06d}.jsonl"


def segment_numbers(directory: Path) -> list[int]:
    """The numbers present, in order. Raises `RecordingError` if there is none or no such folder."""
    try:
        names = [_NAME.fullmatch(entry.name) for entry in directory.iterdir()]
    except OSError as error:
        raise RecordingError(mismatch(str(directory), "a folder with a recording", error)) from error
    numbers = sorted(int(match[1]) for match in names if match)
    if not numbers:
        raise RecordingError(mismatch(str(directory), segment_name(1), "no segment at all"))
    return numbers


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of one segment with their newlines; a torn last one comes without."""
    try:
        with path.open("rb") as file:
            yield from iter(lambda: file.readline(MAX_LINE_BYTES), b"")
    except OSError as error:
        raise RecordingError(mismatch(str(path), "a segment that can be read", error)) from error


class SegmentStore:
    """The growing end of a recording. Every method may raise `OSError`.

    Synchronization: used by one thread.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.bytes = 0  # of the current segment that count
        self._number, self._fd = 1, -1
        self._identity: tuple[int, int] | None = None
        self._open(os.O_EXCL)

    @property
    def path(self) -> Path:
        """The segment that is being written."""
        return self.directory / segment_name(self._number)

    def append(self, data: bytes) -> None:
        """Add whole lines. They survive the process from here on, and a power cut from `sync` on."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.bytes += len(data)

    def sync(self) -> None:
        """Make all that was appended durable. Raises `FileNotFoundError` if somebody moved the segment."""
        os.fsync(self._fd)
        if not os.path.samestat(os.stat(self.path), os.fstat(self._fd)):
            raise FileNotFoundError(errno.ENOENT, "another file took the segment's place", str(self.path))

    def rotate(self) -> None:
        """Seal this segment and start the next."""
        self.sync()
        self._release()
        self._number, self.bytes = self._number + 1, 0
        self._open(os.O_EXCL)

    def reopen(self) -> None:
        """After an error: back to the last line that counts, or to a new segment if it is gone."""
        self._release()
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._is_whole():
            self._open()
            os.ftruncate(self._fd, self.bytes)
        else:
            self._start_unused_number()

    def free_bytes(self) -> int:
        """Room left on the disk for a program without privileges."""
        stats = os.statvfs(self.directory)
        return stats.f_bavail * stats.f_frsize

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._release()

    def _is_whole(self) -> bool:
        """True if the current segment is still there, ours, and holds all that counts."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity and found.st_size >= self.bytes

    def _start_unused_number(self) -> None:
        if self.bytes:
            self._number, self.bytes = self._number + 1, 0
        while self.path.exists():
            self._number += 1
        self._open(os.O_EXCL)

    def _open(self, flags: int = 0) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | flags, 0o644)
        opened = os.fstat(self._fd)
        self._identity = (opened.st_dev, opened.st_ino)
        sync_folder(self.directory)

    def _release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

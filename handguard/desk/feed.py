"""The feed: newest frame and newest snapshot in shared memory, from the monitor to whoever watches.

Lossy and never waited for. The monitor writes one of two slots, then says which
is newest; it never looks whether anybody reads, so a viewer that is slow, stopped
or dead costs it nothing. A reader copies the newest slot and then proves that it
holds one view, whole: the slot's turn is the same before and after, and sums
over what it copied are those the monitor wrote. The sums are what keeps the promise
on processors that reorder stores; turns alone would do on x86.

The memory has no name of its own. It is a file that exists only while somebody
holds it (memfd), found through the monitor's `/proc/PID/fd`: nothing is left behind
when the monitor is killed. Readers map it read-only, and its size is sealed, so
no viewer can harm the monitor through it.

    header   magic, capacity of a picture, newest turn (counts up from 1), closed
    slot × 2 turn, height, width, snapshot bytes, sums of both, snapshot (JSON), picture
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.errors import DeviceMissing, mismatch

SNAPSHOT_BYTES = 32 << 10
_MAGIC = int.from_bytes(b"hgfeed2\0", "little")
_LINE = 64  # bytes of a cache line; every part begins on one, so that a word is written in one go
_MAGIC_AT, _CAPACITY_AT, _TURN_AT, _CLOSED_AT = range(4)  # words of 8 bytes in the header
_HEIGHT, _WIDTH, _LENGTH, _TEXT_SUM, _PICTURE_SUM = range(1, 6)  # words of a slot after its turn
_WORD = 8
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

Snapshot = dict[str, Any]  # plain JSON
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a reader sees: a copy of its own. `image` is None when that tick had no picture."""

    turn: int  # counts what was published; a gap was not seen by this reader
    snapshot: Snapshot
    image: Picture | None


def _slot_start(number: int, capacity: int) -> int:
    slot = _LINE + SNAPSHOT_BYTES + -(-capacity // _LINE) * _LINE
    return _LINE + number * slot


def _sum_of(image: Picture) -> int:
    """A number that a mixture of two pictures does not have; 0.1 ms for 1280 × 720."""
    flat = image.reshape(-1)
    whole = len(flat) // _WORD * _WORD
    return (int(flat[:whole].view(np.uint64).sum()) + int(flat[whole:].sum())) % 2**64


class FeedWriter:
    """The monitor's end. `publish` copies one picture and returns.

    Synchronization: used by one thread; readers need no lock.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self._capacity = width_px * height_px * 3
        size = _slot_start(2, self._capacity)
        self._fd = os.memfd_create("handguard-feed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._fd, size)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALS)
        self._map = mmap.mmap(self._fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self._buffer = memoryview(self._map)
        self._words = self._buffer[: size // _WORD * _WORD].cast("Q")
        self._name = f"/proc/{os.getpid()}/fd/{self._fd}"
        self._turn = 0
        self._closed = False
        self._words[_CAPACITY_AT] = self._capacity
        self._words[_MAGIC_AT] = _MAGIC

    @property
    def name(self) -> str:
        """What a reader needs to know; good for any process of the same user while the monitor lives."""
        return self._name

    def publish(self, snapshot: Snapshot, image: Picture | None = None) -> None:
        """Make this the newest. A picture that does not fit, or a snapshot too long, is left out."""
        text = json.dumps(snapshot).encode()
        if self._closed or len(text) > SNAPSHOT_BYTES:
            return
        shown = image if image is not None and self._fits(image) else None
        turn = self._turn + 1
        start = _slot_start(turn % 2, self._capacity)
        word, body = start // _WORD, start + _LINE
        self._words[word] = 0  # being written
        self._put_text(word, body, text)
        self._put_picture(word, body + SNAPSHOT_BYTES, shown)
        self._words[word] = turn
        self._words[_TURN_AT] = self._turn = turn

    def close(self) -> None:
        """Tell readers that it is over and let go of the memory. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._words[_CLOSED_AT] = 1
        self._words.release()
        self._buffer.release()
        self._map.close()
        os.close(self._fd)

    def _fits(self, image: Picture) -> bool:
        return image.ndim == 3 and image.shape[2] == 3 and 0 < image.nbytes <= self._capacity

    def _put_text(self, word: int, body: int, text: bytes) -> None:
        self._words[word + _LENGTH], self._words[word + _TEXT_SUM] = len(text), zlib.crc32(text)
        self._buffer[body : body + len(text)] = text

    def _put_picture(self, word: int, body: int, image: Picture | None) -> None:
        self._words[word + _HEIGHT], self._words[word + _WIDTH] = (0, 0) if image is None else image.shape[:2]
        if image is not None:
            place: Picture = np.ndarray(image.shape, np.uint8, self._buffer, body)
            np.copyto(place, image)
            self._words[word + _PICTURE_SUM] = _sum_of(place)


class FeedReader:
    """A viewer's end, in any process. Raises `DeviceMissing` when there is no such feed.

    Synchronization: used by one thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        try:
            self._map = _mapped(name)
        except (OSError, ValueError) as error:
            raise DeviceMissing(mismatch(f"feed {name}", "a running monitor", error)) from error
        self._buffer = memoryview(self._map)
        self._words = self._buffer[: len(self._buffer) // _WORD * _WORD].cast("Q")
        self._open = True
        self._capacity = self._words[_CAPACITY_AT] if len(self._words) > _CLOSED_AT else 0
        whole = len(self._buffer) == _slot_start(2, self._capacity)
        if not whole or self._words[_MAGIC_AT] != _MAGIC:
            self.close()
            raise DeviceMissing(mismatch(f"feed {name}", "a handguard feed", "something else"))

    @property
    def closed(self) -> bool:
        """True once the monitor has ended, on purpose or not."""
        return bool(self._words[_CLOSED_AT]) or not os.path.lexists(self._name)

    def newest(self, after_turn: int = 0, *, picture: bool = True) -> View | None:
        """A copy of the newest view, or None when there is none after `after_turn`."""
        for _ in range(2):
            turn = self._words[_TURN_AT]
            if turn <= after_turn:
                return None
            if view := self._copied(turn, picture):
                return view
        return None

    def close(self) -> None:
        """Let go of the memory. Safe to call twice."""
        if self._open:
            self._open = False
            self._words.release()
            self._buffer.release()
            self._map.close()

    def _copied(self, turn: int, picture: bool) -> View | None:
        """The view of that turn; None if it was overwritten while it was copied."""
        start = _slot_start(turn % 2, self._capacity)
        word, body = start // _WORD, start + _LINE
        first, height, width, length, text_sum, picture_sum = self._words[word : word + _PICTURE_SUM + 1]
        if first != turn or height * width * 3 > self._capacity or length > SNAPSHOT_BYTES:
            return None
        text = bytes(self._buffer[body : body + length])
        image: Picture | None = None
        if picture and height:
            image = np.ndarray((height, width, 3), np.uint8, self._buffer, body + SNAPSHOT_BYTES).copy()
        same = self._words[word] == turn and zlib.crc32(text) == text_sum
        same = same and (image is None or _sum_of(image) == picture_sum)
        return View(turn, json.loads(text), image) if same else None


def _mapped(name: str) -> mmap.mmap:
    """The whole file, read-only. Raises `OSError`, or `ValueError` if it is empty."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        with suppress(OSError):
            os.close(fd)

"""The feed: newest frame and newest snapshot in shared memory, from the monitor to whoever watches.

Lossy and never waited for. The monitor writes one of two slots, then says which
is newest; it never looks whether anybody reads, so a viewer that is slow, stopped
or dead costs it nothing. A reader copies the newest slot and checks afterwards
that it was not overwritten meanwhile; if it was, it tries once more.

    header   magic, capacity of a picture, newest turn (counts up), closed
    slot × 2 turn, height, width, snapshot bytes, snapshot (JSON), picture
"""

from __future__ import annotations

import json
import secrets
import struct
from dataclasses import dataclass
from multiprocessing import resource_tracker, shared_memory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.errors import DeviceMissing, mismatch

_HEADER = struct.Struct("<8sQQQ")  # magic, picture capacity, turn, closed
_SLOT = struct.Struct("<QIII")  # turn, height, width, snapshot length
_MAGIC = b"hgfeed1\0"
SNAPSHOT_BYTES = 32 << 10

Snapshot = dict[str, Any]  # plain JSON


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a reader sees: a copy of its own. `image` is None until a picture was fed."""

    turn: int
    snapshot: Snapshot
    image: NDArray[np.uint8] | None


def _slot_start(number: int, capacity: int) -> int:
    return _HEADER.size + number * (_SLOT.size + SNAPSHOT_BYTES + capacity)


class FeedWriter:
    """The monitor's end. One thread; `publish` copies one picture and returns."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._capacity = width_px * height_px * 3
        size = _slot_start(2, self._capacity)
        self._memory = shared_memory.SharedMemory(f"handguard-{secrets.token_hex(6)}", create=True, size=size)
        assert self._memory.buf is not None
        self._buffer = self._memory.buf
        self._turn = 0
        self._closed = False
        self._write_header(closed=False)

    @property
    def name(self) -> str:
        """What a reader needs to know."""
        return self._memory.name

    def publish(self, snapshot: Snapshot, image: NDArray[np.uint8] | None = None) -> None:
        """Make this the newest. A picture of another size, or a snapshot too long, is left out."""
        buffer, turn = self._buffer, self._turn + 1
        start = _slot_start(turn % 2, self._capacity)
        text = json.dumps(snapshot).encode()[: SNAPSHOT_BYTES + 1]
        if len(text) > SNAPSHOT_BYTES:
            text = b"{}"
        height, width = image.shape[:2] if image is not None and image.nbytes <= self._capacity else (0, 0)
        _SLOT.pack_into(buffer, start, 0, height, width, len(text))  # turn 0: being written
        at = start + _SLOT.size
        buffer[at : at + len(text)] = text
        if image is not None and height:
            place = np.ndarray(image.shape, np.uint8, buffer, at + SNAPSHOT_BYTES)
            np.copyto(place, image)
        _SLOT.pack_into(buffer, start, turn, height, width, len(text))
        self._turn = turn
        self._write_header(closed=False)

    def close(self) -> None:
        """Tell readers that it is over and remove the memory. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._write_header(closed=True)
        self._memory.close()
        self._memory.unlink()

    def _write_header(self, *, closed: bool) -> None:
        _HEADER.pack_into(self._buffer, 0, _MAGIC, self._capacity, self._turn, closed)


class FeedReader:
    """A viewer's end, in any process. Raises `DeviceMissing` when there is no such feed."""

    def __init__(self, name: str) -> None:
        try:
            self._memory = shared_memory.SharedMemory(name)
        except FileNotFoundError as error:
            raise DeviceMissing(mismatch(f"feed {name}", "a running monitor", "nothing")) from error
        # the monitor removes the memory; without this, every reader that ends would
        resource_tracker.unregister(f"/{name}", "shared_memory")
        assert self._memory.buf is not None
        self._buffer = self._memory.buf
        magic, self._capacity, _, _ = _HEADER.unpack_from(self._buffer, 0)
        if magic != _MAGIC:
            raise DeviceMissing(mismatch(f"feed {name}", "a handguard feed", repr(magic)))

    @property
    def closed(self) -> bool:
        """True once the monitor has ended on purpose."""
        return bool(_HEADER.unpack_from(self._buffer, 0)[3])

    def newest(self, after_turn: int = 0, *, picture: bool = True) -> View | None:
        """A copy of the newest view, or None when there is none after `after_turn`."""
        for _ in range(2):
            turn = _HEADER.unpack_from(self._buffer, 0)[2]
            if turn <= after_turn:
                return None
            if view := self._copied(turn, picture):
                return view
        return None

    def close(self) -> None:
        """Let go of the memory. Safe to call twice."""
        self._memory.close()

    def _copied(self, turn: int, picture: bool) -> View | None:
        """The slot of that turn; None if it was overwritten while it was copied."""
        start = _slot_start(turn % 2, self._capacity)
        before, height, width, length = _SLOT.unpack_from(self._buffer, start)
        at = start + _SLOT.size
        text = bytes(self._buffer[at : at + length])
        image = None
        if picture and height:
            image = np.ndarray((height, width, 3), np.uint8, self._buffer, at + SNAPSHOT_BYTES).copy()
        if before != turn or _SLOT.unpack_from(self._buffer, start)[0] != turn:
            return None
        return View(turn, json.loads(text), image)

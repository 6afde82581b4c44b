"""Decoding ahead: while one frame is judged, a thread decodes the next ones.

The queue is short and blocks both ways, so nothing is ever skipped and memory
stays small. The end of the recording, and whatever goes wrong while reading, is
told in its place: after the last good frame.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from queue import Full, Queue

from handguard.errors import DeviceError, EndOfVideo, RecordingError
from handguard.ports import FrameSource
from handguard.types import Frame

FRAMES_AHEAD = 8
_PATIENCE_S = 0.1  # how soon the thread notices that nobody wants more

_Found = Frame | Exception


def frames_ahead(source: FrameSource, depth: int = FRAMES_AHEAD) -> Generator[Frame, None, None]:
    """Every frame of a finite source, in order. Close the generator to stop the thread.

    Raises `RecordingError` where the recording breaks off before its end.
    """
    found: Queue[_Found] = Queue(depth)
    unwanted = threading.Event()
    work = (source, found, unwanted)
    thread = threading.Thread(target=_decode, args=work, name="decode-ahead", daemon=True)
    thread.start()
    try:
        yield from _delivered(found)
    finally:
        unwanted.set()
        thread.join()


def _delivered(found: Queue[_Found]) -> Generator[Frame, None, None]:
    while True:
        item = found.get()
        if isinstance(item, EndOfVideo):
            return
        if isinstance(item, DeviceError):
            raise RecordingError(str(item)) from item
        if isinstance(item, Exception):
            raise item
        yield item


def _decode(source: FrameSource, found: Queue[_Found], unwanted: threading.Event) -> None:
    while not unwanted.is_set():
        item = _read(source)
        _put(item, found, unwanted)
        if isinstance(item, Exception):
            return


def _read(source: FrameSource) -> _Found:
    try:
        return source.read()
    except Exception as error:  # noqa: BLE001  raised again where the frame would have been used
        return error


def _put(item: _Found, found: Queue[_Found], unwanted: threading.Event) -> None:
    while not unwanted.is_set():
        try:
            return found.put(item, timeout=_PATIENCE_S)
        except Full:
            continue

"""One thread per camera: it reads a source and leaves each frame in a mailbox.

The loop that judges must never wait inside a driver, so all waiting is done here.
Whatever goes wrong here becomes a failure in the mailbox with its name on it: a
device that dies is closed and opened again, with growing pauses, for as long as
it takes; the loop sees no fresh frame meanwhile, and that alone stops the machine.

Frames keep one numbering across a reopening. It skips a number there, since what
happened in between was not seen.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, runtime_checkable

from handguard.capture.mailbox import Mailbox
from handguard.errors import DeviceError, EndOfVideo, mismatch
from handguard.ports import FrameSource
from handguard.types import Frame, PictureFormat

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between two tries to open a device: `first_s`, doubled up to `longest_s`."""

    first_s: float = 0.25
    longest_s: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.longest_s < float("inf"):
            raise ValueError(f"need 0 < first_s <= longest_s, got {self.first_s} and {self.longest_s}")

    def pause_s(self, tries: int) -> float:
        """The pause after `tries` failures in a row (1, 2, …)."""
        return min(self.first_s * 2.0 ** min(tries - 1, 30), self.longest_s)


@runtime_checkable
class Interruptible(Protocol):
    """A source whose wait another thread may end; paced recordings are."""

    def interrupt(self) -> None:
        """Make a `read` in progress raise `DeviceError` soon. Any thread."""


class CameraThread:
    """Reads `source` into `mailbox` from `start()` until `stop()` or the end of a file.

    `reopen` makes a new source after a failure; without it the first failure is
    final. The thread owns the source: it alone reads and closes it.

    Synchronization: `start` and `stop` from the owner's thread; the properties from any.
    """

    def __init__(
        self,
        source: FrameSource,
        mailbox: Mailbox,
        *,
        reopen: Callable[[], FrameSource] | None = None,
        backoff: Backoff = Backoff(),
    ) -> None:
        self._source: FrameSource | None = source
        self._name = source.name
        self._format = source.format
        self._mailbox = mailbox
        self._reopen = reopen
        self._backoff = backoff
        self._stopping = threading.Event()
        self._seq_offset = 0
        self._next_seq = 0
        self._failed_tries = 0
        self._thread = threading.Thread(target=self._run, name=f"camera {self._name}", daemon=True)

    @property
    def name(self) -> str:
        """What a person calls the source."""
        return self._name

    @property
    def format(self) -> PictureFormat:
        """Size and rate every frame has; a reopened device must show the same size."""
        return self._format

    @property
    def finished(self) -> bool:
        """True after the last frame of a finite source."""
        return self._mailbox.finished

    def start(self) -> None:
        """Begin to read. Once only."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Stop reading and release the device; safe to call twice.

        False: the driver did not come back within `timeout_s`. The thread is a
        daemon, so the process can still end; the device is released with it.
        """
        self._stopping.set()
        if self._thread.ident is None:  # never started: nobody else holds the source
            self._close_source()
            return True
        source: object = self._source
        if isinstance(source, Interruptible):
            source.interrupt()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.warning("%s: still inside the driver after %.1f s, left behind", self._name, timeout_s)
        return not self._thread.is_alive()

    def __enter__(self) -> CameraThread:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self._step():
                pass
        except BaseException as error:  # a mistake in a driver: say so, then fail loudly
            self._mailbox.fail(DeviceError(f"{self._name}: the camera thread broke: {error!r}"))
            raise
        finally:
            self._close_source()

    def _step(self) -> bool:
        """Deliver one frame, or deal with the lack of one. False: nothing more will come."""
        try:
            source = self._source if self._source is not None else self._open_again()
            self._deliver(source.read())
            return True
        except EndOfVideo:
            self._mailbox.finish()
            return False
        except DeviceError as failure:
            return self._recover(failure)

    def _deliver(self, frame: Frame) -> None:
        if self._stopping.is_set():
            return
        self._failed_tries = 0
        if self._seq_offset:
            frame = replace(frame, seq=frame.seq + self._seq_offset)
        self._next_seq = frame.seq + 1
        self._mailbox.put(frame)

    def _recover(self, failure: DeviceError) -> bool:
        """Report, release, and pause before the next try."""
        if self._stopping.is_set():
            return False
        _log.warning("camera failed: %s", failure)
        self._mailbox.fail(failure)
        self._close_source()
        if self._reopen is None:
            return False
        self._failed_tries += 1
        self._stopping.wait(self._backoff.pause_s(self._failed_tries))
        return True

    def _open_again(self) -> FrameSource:
        assert self._reopen is not None  # `_recover` ended the loop otherwise
        source = self._reopen()
        self._source = source
        found, expected = source.format, self._format
        if (found.width_px, found.height_px) != (expected.width_px, expected.height_px):
            raise DeviceError(
                mismatch(
                    self._name,
                    f"{expected.width_px}x{expected.height_px} pictures as before",
                    f"{found.width_px}x{found.height_px} after reopening",
                )
            )
        self._seq_offset = self._next_seq + 1
        _log.warning("%s: opened again", self._name)
        return source

    def _close_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

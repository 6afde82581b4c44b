"""A mailbox with one slot: between the camera thread and the loop that judges.

A queue would make the loop judge old pictures after every hiccup, and old
pictures cost distance. Here the newest frame replaces one that nobody read; the
loss is counted, never hidden. The writer is never held up by the reader.

The mailbox also carries bad news. A failure wakes the reader at once instead of
letting it wait out its time, and stands until the next frame arrives.
"""

from __future__ import annotations

import threading

from handguard.errors import DeviceError
from handguard.types import Frame


class Mailbox:
    """One slot for the newest frame.

    Synchronization: any thread may call anything; made for one writer and one reader.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._unread: Frame | None = None
        self._news = False  # a failure or the end, not yet told to the reader
        self._dropped = 0
        self._failure: DeviceError | None = None
        self._failures_seen = 0
        self._finished = False

    def put(self, frame: Frame) -> None:
        """Make `frame` the newest. Never waits for the reader; ends a standing failure."""
        with self._changed:
            self._dropped += self._unread is not None
            self._unread = frame
            self._failure = None
            self._changed.notify()

    def take(self, timeout_s: float) -> Frame | None:
        """Wait for a frame that was not taken before.

        None: the time is up, or a failure or the end was posted; each of these
        wakes the reader once, so a loop round `take` never spins on bad news.
        """
        with self._changed:
            self._changed.wait_for(self._something_to_tell, timeout_s)
            frame, self._unread = self._unread, None
            if frame is None:
                self._news = False
            return frame

    def fail(self, failure: DeviceError) -> None:
        """Post why no frame will come for now. A frame put before can still be taken."""
        with self._changed:
            self._failure = failure
            self._failures_seen += 1
            self._tell()

    def finish(self) -> None:
        """Post that the source has ended and no frame will come again."""
        with self._changed:
            self._finished = True
            self._tell()

    @property
    def holds_frame(self) -> bool:
        """True while a frame waits to be taken."""
        return self._unread is not None

    @property
    def dropped(self) -> int:
        """Frames replaced before anybody took them."""
        return self._dropped

    @property
    def failure(self) -> DeviceError | None:
        """Why no frame comes at present; None again once one has come."""
        return self._failure

    @property
    def failures_seen(self) -> int:
        """How often a failure was posted, so that a short one cannot pass unseen."""
        return self._failures_seen

    @property
    def finished(self) -> bool:
        """True once the source has ended for good; a last frame may still wait to be taken."""
        return self._finished

    def _something_to_tell(self) -> bool:
        return self._unread is not None or self._news

    def _tell(self) -> None:
        self._news = True
        self._changed.notify()

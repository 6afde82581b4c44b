"""Reset from the keyboard of the local console: the space bar, read by a thread of its own.

A terminal tells that a key was struck, not that it was let go. One stroke is
therefore held for `HELD_NS`; while the key repeats, it counts as held on, so a
book lying on the keyboard is a button held down and never restarts.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator

from handguard.errors import DeviceMissing, mismatch
from handguard.types import Button

RESET_KEY = b" "
HELD_NS = 600_000_000  # longer than the pause before a terminal's key repeat (250 to 500 ms)


class KeyboardReset:
    """A `ports.ResetInput`. Construct it on a terminal; `DeviceMissing` elsewhere. Any thread may ask."""

    def __init__(self) -> None:
        if not sys.stdin.isatty():
            expected = "a local terminal to press the space bar on"
            raise DeviceMissing(mismatch("reset.input: keyboard", expected, "no terminal"))
        self._struck_ns = -HELD_NS
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="reset-keyboard", daemon=True)
        self._thread.start()

    def read(self) -> Button:
        """Down while the key counts as held."""
        return Button(time.monotonic_ns() - self._struck_ns < HELD_NS)

    def close(self) -> None:
        """Give the terminal back."""
        self._stopping.set()
        self._thread.join(1.0)

    def _listen(self) -> None:
        descriptor = sys.stdin.fileno()
        with _single_keys(descriptor):
            while not self._stopping.is_set():
                ready, _, _ = select.select([descriptor], [], [], 0.1)
                if not ready:
                    continue
                keys = os.read(descriptor, 64)
                if not keys:
                    return
                if RESET_KEY in keys:
                    self._struck_ns = time.monotonic_ns()


@contextlib.contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    """Keys come one by one, without Enter, and Ctrl-C still stops the program."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

"""File descriptors kept aside, so that a process that has used up all others can still open a port and say OFF."""

from __future__ import annotations

import os

DESCRIPTORS = 8  # opening a serial port takes five


class Reserve:
    """Holds some until `release`. Any thread; safe to release twice."""

    def __init__(self) -> None:
        self._held = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(DESCRIPTORS)]

    def release(self) -> None:
        """Let go of them: whoever opens something next gets one."""
        while self._held:
            os.close(self._held.pop())

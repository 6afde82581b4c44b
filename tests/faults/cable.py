"""A cable between the keeper and a board that can be bent while both talk: two real terminals and a thread.

`down` changes what goes to the board, `up` what comes from it; `lag_s` holds the
answers back. `cut` pulls the keeper's end out, as a pulled USB plug does.
"""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults import precedence

Bends = Callable[[bytes], bytes]


class Cable:
    """Runs from construction to `close`. `port` is where the keeper plugs in."""

    def __init__(self, port: Path, board: Path) -> None:
        self.port = port
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)
        self._ours, self._keepers = os.openpty()
        tty.setraw(self._keepers)
        port.symlink_to(os.ttyname(self._keepers))
        self._closing = threading.Event()
        self.mend()
        self._thread = threading.Thread(target=self._run, name="cable", daemon=True)
        self._thread.start()

    def mend(self) -> None:
        self.down: Bends = lambda message: message
        self.up: Bends = lambda message: message
        self.lag_s = 0.0

    def cut(self) -> None:
        """Hang up towards the keeper, for good."""
        self.port.unlink()
        os.close(self._keepers)
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)
        for descriptor in (self._board, *((self._ours, self._keepers) if self._ours >= 0 else ())):
            with suppress(OSError):
                os.close(descriptor)

    def _run(self) -> None:
        precedence.take()
        while not self._closing.is_set() and self._ours >= 0:
            with suppress(OSError, ValueError):  # a terminal that was cut in between
                ready, _, _ = select.select([self._ours, self._board], [], [], 0.02)
                if self._ours in ready:
                    os.write(self._board, self.down(os.read(self._ours, 4096)))
                if self._board in ready:
                    answer = os.read(self._board, 4096)
                    time.sleep(self.lag_s)
                    os.write(self._ours, self.up(answer))

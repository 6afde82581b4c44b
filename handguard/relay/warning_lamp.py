"""A warning lamp or horn on a relay board of its own, which can never delay a stop.

Small boards take one command at a time and may be deaf for 100 ms after it. A hand
that enters the warning zone is often in the stop zone a moment later, so a lamp on
the keeper's board would make exactly that stop late. The lamp therefore needs its
own board on its own port, and gets its own thread: `show` only leaves a wish. It is told
once, so a board with a time limit of its own, which would let go of the light, is refused. A
lamp that fails is named in `faults` and stops nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection

from handguard.errors import ConfigError, HandguardError, mismatch
from handguard.relay.board import BoardSettings, Command, Relay
from handguard.relay.boards import open_board, promised_of
from handguard.types import Decision, KeeperReport, Permit

REOPEN_S = 1.0
LAMP_FAULT = "lamp-port"


class WarningLamp:
    """Thread-safe. Raises `ConfigError` on construction for a board that does not suit, or is the keeper's."""

    def __init__(self, board: BoardSettings, keeper_ports: Collection[str]) -> None:
        if os.path.realpath(board.port) in map(os.path.realpath, keeper_ports):
            expected = "a board of its own, because a lamp command can delay a stop"
            raise ConfigError(mismatch("warning.lamp.port", expected, f"the relay's port {board.port}"))
        if promised_of("warning.lamp", board).hw_timeout_ms is not None:
            expected = "a board that holds its contact until it is told otherwise"
            raise ConfigError(mismatch("warning.lamp", expected, f"a {board.kind} board with a time limit of its own"))
        self._settings = board
        self._wish = Command.OFF
        self._is_ending = False
        self._wake = threading.Event()
        self._board: Relay | None = None
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="warning-lamp", daemon=True)
        self._thread.start()

    @property
    def faults(self) -> frozenset[str]:
        """`LAMP_FAULT` while the lamp cannot be told, or nobody is left to tell it."""
        is_away = self._has_failed or not (self._thread.is_alive() or self._is_ending)
        return frozenset({LAMP_FAULT} if is_away else ())

    def show(self, is_on: bool) -> None:
        """Wish for light or darkness; returns at once. Wishes overtaken by newer ones are dropped."""
        wish = Command.ON if is_on else Command.OFF
        if wish is not self._wish:
            self._wish = wish
            self._wake.set()

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """An `EventSink`: on while any zone is intruded."""
        self.show(decision.warning)

    def close(self) -> None:
        """Dark, then release the port. Safe to call twice."""
        self._is_ending, self._wish = True, Command.OFF
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_ending:
            self._wake.clear()
            pause_s = self._say(self._wish)
            self._wake.wait(pause_s)
        self._say(Command.OFF)
        self._release()

    def _say(self, command: Command) -> float | None:
        """Returns how long to wait before trying again; None: until the next wish."""
        try:
            board = self._board = self._board or open_board(self._settings)
            board.write(command)
        except HandguardError:
            self._has_failed = True
            self._release()
            return REOPEN_S
        self._has_failed = False
        time.sleep(board.capabilities.min_interval_ms / 1000)
        return None

    def _release(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

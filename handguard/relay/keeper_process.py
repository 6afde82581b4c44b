"""The relay keeper as a process: a pipe, a port, a clock, and the rules of `relay.keeper`.

    python -m handguard.relay.keeper_process FD SETTINGS

FD is its end of the pipe (a socket that keeps message boundaries), SETTINGS the
JSON that `settings_json` writes. It exits 0 after an orderly end, 1 when it had
to leave without having said OFF, and 2, with one line on stderr, when it could
not begin.

It belongs to one monitor and ends with it: a keeper is never left behind, and
none is ever adopted. On its way out, whatever the reason, it says OFF.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from handguard.errors import DeviceError, HandguardError
from handguard.relay.board import BoardSettings, Command, Relay
from handguard.relay.boards import open_board
from handguard.relay.keeper import next_due_ns, step
from handguard.relay.keeper_state import (
    MS,
    Action,
    BoardFailed,
    BoardOpened,
    ContactRead,
    Input,
    KeeperLimits,
    KeeperState,
    PermitRead,
    PermitUnreadable,
    PipeClosed,
    Terminated,
    Woke,
    Written,
    report_of,
)
from handguard.relay.realtime import harden
from handguard.relay.wire import Fault, Trait, WireError, decode_permit, encode_report
from handguard.systemd import ServiceManager

RENEWALS_PER_TIMEOUT = 4  # of a board that drops out by itself, where permits come often enough
_MESSAGE_LIMIT = 4096  # longer than any message, so that one too long is seen to be


def settings_json(board: BoardSettings, limits: KeeperLimits) -> str:
    """The SETTINGS argument."""
    return json.dumps({"board": asdict(board), "limits": asdict(limits)})


def _board_settings(told: dict[str, Any]) -> BoardSettings:
    """From JSON. Raises `ConfigError`."""
    second = told.pop("second", None)
    return BoardSettings(**told, second=_board_settings(second) if second else None)


class KeeperProcess:
    """Carries out what `keeper.step` says. Owns the pipe and the port; one thread."""

    def __init__(
        self,
        pipe_fd: int,
        wake_fd: int,
        settings: BoardSettings,
        limits: KeeperLimits,
        granted: Trait = Trait.NONE,
        open_board: Callable[[BoardSettings], Relay] = open_board,
    ) -> None:
        """Open the board; raises what `open_board` raises. The first OFF is written by `run`."""
        self._pipe_fd, self._wake_fd = pipe_fd, wake_fd
        self._watched = [pipe_fd, wake_fd]
        self._settings, self._limits, self._granted = settings, limits, granted
        self._open_board = open_board
        self._state = KeeperState()
        self._manager, self._told_ns = ServiceManager(), 0
        self._finished = False
        self._does = {
            Action.WRITE_OFF: lambda: self._write(Command.OFF),
            Action.WRITE_ON: lambda: self._write(Command.ON),
            Action.OPEN: self._open,
            Action.CLOSE: self._close,
            Action.ASK: self._ask,
            Action.LOOK: self._look,
            Action.REPORT: self._report,
            Action.EXIT: self._exit,
        }
        self._board: Relay | None = None
        self._first = self._opened(open_board(settings))

    def run(self) -> bool:
        """Keep the relay until the pipe ends or SIGTERM comes; True if OFF was the last word taken."""
        try:
            self._feed(self._first)
            while not self._finished:
                self._feed(self._wait())
                self._tell_progress()
        finally:
            was_said = self._say_off()
            self._close()
            self._manager.close()
        return was_said

    def _tell_progress(self) -> None:
        """Only a permit from a newer frame is a sign of life to the service manager: never a timer of ours."""
        if self._state.captured_ns > self._told_ns:
            self._told_ns = self._state.captured_ns
            self._manager.alive()

    def _wait(self) -> Input:
        """The next thing that happens; time alone is one."""
        timeout_s = max(0, next_due_ns(self._state) - time.monotonic_ns()) / 1e9
        ready, _, _ = select.select(self._watched, [], [], timeout_s)
        if self._pipe_fd in ready:
            return self._hear()
        if self._wake_fd in ready:
            self._watched.remove(self._wake_fd)
            return Terminated()
        return Woke()

    def _hear(self) -> Input:
        try:
            message = os.read(self._pipe_fd, _MESSAGE_LIMIT)
        except OSError:
            message = b""
        if not message:
            self._watched.remove(self._pipe_fd)
            return PipeClosed()
        try:
            return PermitRead(decode_permit(message))
        except WireError:
            return PermitUnreadable()

    def _feed(self, seen: Input) -> None:
        """Step, act, and feed back what the actions brought, until nothing is left to do."""
        inputs: deque[Input] = deque([seen])
        while inputs:
            now_ns = time.monotonic_ns()
            self._state, actions = step(self._state, inputs.popleft(), now_ns, self._limits)
            for action in actions:
                outcome = self._does[action]()
                if outcome is not None:
                    inputs.append(outcome)

    def _write(self, command: Command) -> Input:
        return self._on_board(lambda board: board.write(command)) or Written()

    def _ask(self) -> Input | None:
        return self._on_board(lambda board: board.ask())

    def _look(self) -> Input | None:
        found: list[Input] = []
        failed = self._on_board(lambda board: found.append(ContactRead(board.contactor_open(), board.reset_down())))
        return failed or found[0]

    def _on_board(self, act: Callable[[Relay], None]) -> BoardFailed | None:
        if self._board is None:
            return BoardFailed(Fault.RELAY_PORT)
        try:
            act(self._board)
        except DeviceError:
            return BoardFailed(Fault.RELAY_WRITE)
        return None

    def _open(self) -> Input:
        try:
            return self._opened(self._open_board(self._settings))
        except HandguardError:
            return BoardFailed(Fault.RELAY_PORT)

    def _opened(self, board: Relay) -> BoardOpened:
        self._board = board
        can = board.capabilities
        renew_ns = None if can.hw_timeout_ms is None else can.hw_timeout_ms * MS // RENEWALS_PER_TIMEOUT
        return BoardOpened(can.min_interval_ms * MS, can.readback, renew_ns)

    def _close(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def _say_off(self) -> bool:
        return isinstance(self._write(Command.OFF), Written)

    def _report(self) -> None:
        """Never waits: a monitor that does not read gets the next report."""
        now_ns = time.monotonic_ns()
        message = encode_report(report_of(self._state, now_ns, self._granted))
        with suppress(OSError):  # a closed pipe shows when it is read
            os.write(self._pipe_fd, message)

    def _exit(self) -> None:
        self._finished = True


def _wake_on_signal() -> int:
    """A descriptor that becomes readable at SIGTERM or SIGHUP. Ctrl-C is the monitor's business alone."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def main(arguments: list[str], harden: Callable[[], Trait] = harden) -> int:
    """Run a keeper in this process; returns the exit status."""
    fd_text, settings_text = arguments
    settings = json.loads(settings_text)
    try:
        os.set_blocking(int(fd_text), False)
        board, limits = _board_settings(settings["board"]), KeeperLimits(**settings["limits"])
        keeper = KeeperProcess(int(fd_text), _wake_on_signal(), board, limits, harden())
    except HandguardError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0 if keeper.run() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

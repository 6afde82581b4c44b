"""A simulated relay board: a program of its own, behind a real terminal or port, with its own clock.

    handguard board KIND --link PATH --log FILE [faults]

PATH becomes a link to the terminal; whatever opens it talks to the board as it
would to a real one. (A board on the network is reached at the address that PATH,
read as a link, says.) The log has one JSON object a line, written at once, each
with `ns` on the same monotonic clock as everything else on this machine:

    {"ns": …, "event": "plugged", "tty": "/dev/pts/3"}
    {"ns": …, "event": "bytes", "hex": "a0 01 00 a1"}            as they arrived
    {"ns": …, "event": "command", "channel": 1, "closed": false}  a whole, valid one
    {"ns": …, "event": "contact", "channel": 1, "closed": false}  the relay has moved
    {"ns": …, "event": "reply", "hex": …}, "deaf", "unplugged", "end"

A contact moves after the time the bytes need at 9600 baud plus the relay's own.
Losing power opens every contact that is not welded. SIGUSR1 unplugs the board,
SIGUSR2 plugs it in again, and SIGWINCH presses its reset button, if it has one, for
300 ms. What the board does wrong is said by `simulated_model.BoardFaults`;
`relay.simulated_board` starts this program and reads its log.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from handguard.errors import DeviceError, mismatch
from handguard.relay.realtime import harden
from handguard.relay.simulated_heartbeat import HeartbeatBoard
from handguard.relay.simulated_lcus import LcusBoard
from handguard.relay.simulated_modbus import RtuBoard, TcpBoard
from handguard.relay.simulated_model import MS, BoardFaults, BoardModel, Pending
from handguard.relay.simulated_ports import Port, TcpPort, Terminal
from handguard.relay.simulated_small_boards import DevantechBoard, KmtronicBoard, NumatoBoard

PRESS_MS = 300  # how long SIGWINCH holds the reset button
_SIGNALS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of board behaves, and where it is plugged in."""

    model: Callable[[BoardFaults], BoardModel]
    port: Callable[[Path], Port] = Terminal


KINDS = {
    "lcus": Kind(LcusBoard),
    "kmtronic": Kind(KmtronicBoard),
    "numato": Kind(NumatoBoard),
    "devantech": Kind(DevantechBoard),
    "modbus-rtu": Kind(RtuBoard),
    "modbus-tcp": Kind(TcpBoard, TcpPort),
    "heartbeat": Kind(HeartbeatBoard),
}

ORPHAN_NS = 5_000_000_000  # how long a board outlives whoever started it


class BoardProgram:
    """The board with its port, log and clock; one thread, runs until SIGTERM.

    Started with a pipe as its standard input, it also ends when that pipe does, a few
    seconds later: whoever started it was killed, and what that did is in the log by then.
    """

    def __init__(self, board: BoardModel, port: Port, log: Path) -> None:
        self._log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._board, self._port = board, port
        self._pending: list[Pending] = []
        self._is_plugged = False
        self._is_ending = False
        self._owner = [0] if stat.S_ISFIFO(os.fstat(0).st_mode) else []  # its end: nobody needs this board
        self._does = {
            "contact": self._move,
            "reply": self._reply,
            "wake": lambda one: self._take(self._board.wake(time.monotonic_ns())),
            "press": lambda one: self._take(self._board.press(one.closed, time.monotonic_ns())),
            "unplug": self._unplug,
            "plug": self._plug,
            "end": self._end,
        }

    def run(self, wake_fd: int) -> None:
        """Until SIGTERM, SIGINT or SIGHUP, whose numbers come through `wake_fd`."""
        self._plug(Pending(0, "plug"))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        self._plan_faults()
        while not self._is_ending:
            self._wait(wake_fd)
        self._unplug(Pending(0, "unplug"))
        self._note("end")

    def _plan_faults(self) -> None:
        faults, now_ns = self._board.faults, time.monotonic_ns()
        if faults.unplug_after_s is None:
            return
        unplug_ns = now_ns + round(faults.unplug_after_s * 1e9)
        self._later(Pending(unplug_ns, "unplug"))
        if faults.replug_after_s is not None:
            self._later(Pending(unplug_ns + round(faults.replug_after_s * 1e9), "plug"))

    def _wait(self, wake_fd: int) -> None:
        fds = self._port.fds()
        due_ns = self._pending[0].at_ns if self._pending else None
        wait_s = None if due_ns is None else max(0, due_ns - time.monotonic_ns()) / 1e9
        ready, _, _ = select.select([wake_fd, *self._owner, *fds], [], [], wait_s)
        for fd in fds:
            if fd in ready:
                self._hear(fd)
        if wake_fd in ready:
            self._obey_signals(os.read(wake_fd, 64))
        if 0 in ready and not os.read(0, 4096):
            self._owner = []
            self._later(Pending(time.monotonic_ns() + ORPHAN_NS, "end"))
        self._do_due()

    def _hear(self, fd: int) -> None:
        data, now_ns = self._port.read(fd), time.monotonic_ns()
        if data:
            self._note("bytes", now_ns, hex=data.hex(" "))
            self._take(self._board.hear(data, now_ns))

    def _end(self, _: Pending) -> None:
        self._is_ending = True

    def _take(self, found: list[Pending]) -> None:
        for one in found:
            if one.event in self._does:
                self._later(one)
            else:
                self._note(one.event, one.at_ns, channel=one.channel, closed=one.closed)

    def _obey_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGUSR1:
                self._unplug(Pending(0, "unplug"))
            elif number == signal.SIGUSR2:
                self._plug(Pending(0, "plug"))
            elif number == signal.SIGWINCH:
                now_ns = time.monotonic_ns()
                self._later(Pending(now_ns, "press", closed=True))
                self._later(Pending(now_ns + PRESS_MS * MS, "press", closed=False))
            else:
                self._is_ending = True

    def _later(self, pending: Pending) -> None:
        """Plan it; a new command takes the place of a movement that has not happened yet."""
        if pending.event == "contact":
            self._pending = [one for one in self._pending if not one.moves(pending.channel)]
        self._pending = sorted([*self._pending, pending], key=lambda one: one.at_ns)

    def _do_due(self) -> None:
        while self._pending and self._pending[0].at_ns <= time.monotonic_ns():
            pending, *self._pending = self._pending
            self._does[pending.event](pending)

    def _move(self, pending: Pending) -> None:
        if self._board.move(pending.channel, pending.closed):
            self._note("contact", channel=pending.channel, closed=pending.closed)

    def _reply(self, pending: Pending) -> None:
        if self._is_plugged:
            self._port.write(pending.message)
            self._note("reply", hex=pending.message.hex(" "))

    def _plug(self, _: Pending) -> None:
        if not self._is_plugged:
            self._is_plugged = True
            self._note("plugged", None, **self._port.plug())

    def _unplug(self, _: Pending) -> None:
        """The port hangs up, its name vanishes, the coils lose their supply."""
        if not self._is_plugged:
            return
        self._is_plugged = False
        self._port.unplug()
        self._pending = [one for one in self._pending if one.event in ("unplug", "plug")]
        self._note("unplugged")
        for channel in self._board.lose_power():
            self._note("contact", channel=channel, closed=False)

    def _note(self, event: str, at_ns: int | None = None, **facts: object) -> None:
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        os.write(self._log_fd, (json.dumps({"ns": at_ns, "event": event, **facts}) + "\n").encode())


def run_board(kind: str, link: Path, log: Path, faults: BoardFaults) -> None:
    """Be the board until SIGTERM or Ctrl-C; prints `ready` once `link` can be opened.

    Raises `DeviceError` when `link` exists and is no link of an earlier board.
    """
    if link.exists() and not link.is_symlink():
        raise DeviceError(mismatch(f"--link {link}", "a path that is free, or an old link", "a file"))
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writable)
    harden()  # a real board does not wait for this machine's scheduler
    BoardProgram(KINDS[kind].model(faults), KINDS[kind].port(link), log).run(readable)


def main(arguments: list[str]) -> int:
    """The command line of the board; every field of `BoardFaults` is an option."""
    parser = argparse.ArgumentParser(prog="handguard board", description="A simulated relay board.")
    parser.add_argument("kind", choices=KINDS, help="how it behaves")
    parser.add_argument("--link", type=Path, required=True, help="where to put the link to its terminal")
    parser.add_argument("--log", type=Path, required=True, help="JSON lines are appended to this file")
    for one in fields(BoardFaults):
        name = "--" + one.name.replace("_", "-")
        if isinstance(one.default, bool):
            parser.add_argument(name, action="store_true")
        else:
            parser.add_argument(name, type=float, default=one.default)
    chosen = vars(parser.parse_args(arguments))
    try:
        kind, link, log = (chosen.pop(name) for name in ("kind", "link", "log"))
        run_board(kind, link, log, BoardFaults(**chosen))
    except (DeviceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A simulated LCUS board: a program of its own, behind a real pseudo-terminal, with its own clock.

    handguard board lcus --link PATH --log FILE [faults]

PATH becomes a link to the terminal; whatever opens it talks to the board as it
would to a CH340. The log has one JSON object a line, written at once, each with
`ns` on the same monotonic clock as everything else on this machine:

    {"ns": …, "event": "plugged", "tty": "/dev/pts/3"}
    {"ns": …, "event": "bytes", "hex": "a0 01 00 a1"}            as they arrived
    {"ns": …, "event": "command", "channel": 1, "closed": false}  a whole, valid one
    {"ns": …, "event": "contact", "channel": 1, "closed": false}  the relay has moved
    {"ns": …, "event": "reply", "hex": …}, "deaf", "unplugged", "end"

A contact moves after the time the bytes need at 9600 baud plus the relay's own.
Losing USB power opens every contact that is not welded. SIGUSR1 unplugs the
board, SIGUSR2 plugs it in again. What the board does wrong is said by
`simulated_lcus.BoardFaults`; `relay.simulated_board` starts this program and reads its log.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import termios
import time
import tty
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from handguard.errors import DeviceError, mismatch
from handguard.relay.realtime import harden
from handguard.relay.simulated_lcus import BoardFaults, LcusBoard, Pending


class BoardProgram:
    """The board with its terminal, link, log and clock; one thread, runs until SIGTERM."""

    def __init__(self, link: Path, log: Path, faults: BoardFaults) -> None:
        self._link = link
        self._log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._board = LcusBoard(faults)
        self._pending: list[Pending] = []
        self._fds: tuple[int, int] | None = None  # master, slave; None while unplugged
        self._is_ending = False
        self._does = {"contact": self._move, "reply": self._reply, "unplug": self._unplug, "plug": self._plug}

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
        watched = [wake_fd, *([self._fds[0]] if self._fds else [])]
        due_ns = self._pending[0].at_ns if self._pending else None
        wait_s = None if due_ns is None else max(0, due_ns - time.monotonic_ns()) / 1e9
        ready, _, _ = select.select(watched, [], [], wait_s)
        if self._fds and self._fds[0] in ready:
            self._hear()
        if wake_fd in ready:
            self._obey_signals(os.read(wake_fd, 64))
        self._do_due()

    def _hear(self) -> None:
        assert self._fds is not None
        data, now_ns = os.read(self._fds[0], 4096), time.monotonic_ns()
        self._note("bytes", now_ns, hex=data.hex(" "))
        for pending in self._board.hear(data, now_ns):
            if pending.event in self._does:
                self._later(pending)
            else:
                self._note(pending.event, now_ns, channel=pending.channel, closed=pending.closed)

    def _obey_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGUSR1:
                self._unplug(Pending(0, "unplug"))
            elif number == signal.SIGUSR2:
                self._plug(Pending(0, "plug"))
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
        if self._fds is None:
            return
        with suppress(BlockingIOError):  # nobody reads: a real board would not wait either
            os.write(self._fds[0], pending.message)
        self._note("reply", hex=pending.message.hex(" "))

    def _plug(self, _: Pending) -> None:
        if self._fds is not None:
            return
        self._fds = master, slave = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(slave, termios.TCSANOW)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(slave))
        self._note("plugged", tty=os.ttyname(slave))

    def _unplug(self, _: Pending) -> None:
        """The terminal hangs up, the node vanishes, the coils lose their supply."""
        if self._fds is None:
            return
        self._link.unlink(missing_ok=True)
        for fd in self._fds:
            os.close(fd)
        self._fds = None
        self._pending = [one for one in self._pending if one.event in ("unplug", "plug")]
        self._note("unplugged")
        for channel in self._board.lose_power():
            self._note("contact", channel=channel, closed=False)

    def _note(self, event: str, at_ns: int | None = None, **facts: object) -> None:
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        os.write(self._log_fd, (json.dumps({"ns": at_ns, "event": event, **facts}) + "\n").encode())


def run_board(link: Path, log: Path, faults: BoardFaults | None = None) -> None:
    """Be the board until SIGTERM or Ctrl-C; prints `ready` once `link` can be opened.

    Raises `DeviceError` when `link` exists and is no link of an earlier board.
    """
    if link.exists() and not link.is_symlink():
        raise DeviceError(mismatch(f"--link {link}", "a path that is free, or an old link", "a file"))
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writable)
    harden()  # a real board does not wait for this machine's scheduler
    BoardProgram(link, log, faults or BoardFaults()).run(readable)


def main(arguments: list[str]) -> int:
    """The command line of the board; every field of `BoardFaults` is an option."""
    parser = argparse.ArgumentParser(prog="handguard board lcus", description="A simulated LCUS relay board.")
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
        run_board(chosen.pop("link"), chosen.pop("log"), BoardFaults(**chosen))
    except (DeviceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

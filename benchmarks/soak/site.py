"""One installation: the program on its console, two boards in series, a camera, a disk of its own.

`Service` starts the program again when it has ended, as a service manager would.
Everything done to a process is told to `note`, which the observer reads.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.camera import STOP_NORM
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_model import BoardFaults

ROOT = Path(__file__).parents[2]
RESTART_S = 1.0  # RestartSec of a unit
DISK_MIB = 3000
WHO = "soak"  # who accepts and clears
Note = Callable[..., None]
STATES = (b"SELF TEST", b" RUN ", b"TRIPPED", b"AWAIT RESET", b"LOCKOUT")  # on the panel
ROLES = {
    "keeper": "handguard.relay.keeper_process",
    "panel": "handguard.desk.panel",
    "recorder": "handguard.desk.recorder",
}

_SETTINGS = """\
version: 1
camera: {{source: "http://127.0.0.1:{port}/"}}
detector: {{region: full}}
zones:
  - {{name: intake, role: stop, units: norm, polygon: {stop}}}
  - {{name: belt, role: warning, units: norm, polygon: [[0.27, 0.36], [0.73, 0.36], [0.73, 0.6], [0.27, 0.6]]}}
interlock: {{free_frames: 6}}
safety: {{profile: strict}}
relay:
  driver: heartbeat
  port: {a}
  second: {{driver: heartbeat, port: {b}}}
reset: {{input: keyboard}}
warning: {{bell: false}}
evidence:
  dir: {runs}
  clips: {{pre_s: 1.0, post_s: 1.0, quota_gb: 0.3}}
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything of one soak lies."""

    out: Path

    @property
    def disk(self) -> Path:
        """What the monitor writes to; can be made full."""
        return self.out / "disk"

    @property
    def runs(self) -> Path:
        return self.disk / "runs"

    def board(self, name: str) -> Path:
        return self.out / f"board-{name}"

    def log(self, name: str) -> Path:
        return self.out / f"{name}.jsonl"


def mounted(disk: Path) -> bool:
    """Give the monitor a small disk of its own, if this user may; False: it shares ours and is never full."""
    disk.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "handguard-soak", str(disk)]
    return subprocess.run(command, capture_output=True).returncode == 0


def as_urgent_as_us(pid: int) -> None:
    """A session has its own share of the machine; give this one the weight that the soak was given, if it has one.

    `autogroup` is empty for a process in a control group of its own, as in a container: then no session has a share.
    """
    with suppress(OSError):
        if told := Path("/proc/self/autogroup").read_text().split():
            Path(f"/proc/{pid}/autogroup").write_text(told[-1])


class CameraProgram:
    """The camera process, and its orders."""

    def __init__(self, log: Path, seed: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "benchmarks.soak.camera", str(self.port), str(log), str(seed)]
        self._program = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        as_urgent_as_us(self._program.pid)
        assert self._program.stdout is not None
        if self._program.stdout.readline() != b"ready\n":
            self.close()
            raise RuntimeError("the camera did not start")

    @property
    def pid(self) -> int:
        return self._program.pid

    def suffer(self, fault: str, for_s: float) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps({"fault": fault, "for_s": for_s}).encode() + b"\n")
        self._program.stdin.flush()

    def close(self) -> None:
        assert self._program.stdin is not None and self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(10)
        self._program.stdout.close()


class Boards:
    """Two heartbeat boards in series, each a program of its own that can be exchanged for a bad one."""

    NAMES = ("a", "b")

    def __init__(self, places: Places) -> None:
        self._places = places
        self.programs = {name: self._board(name, BoardFaults()) for name in self.NAMES}

    def _board(self, name: str, faults: BoardFaults) -> SimulatedBoard:
        log = self._places.log(f"board-{name}")
        return SimulatedBoard(self._places.board(name), log, faults, kind="heartbeat")

    def exchange(self, name: str, faults: BoardFaults) -> None:
        """Take this board out and put another in its place."""
        self.programs[name].stop()
        self.programs[name] = self._board(name, faults)

    def pid(self, name: str) -> int:
        return self.programs[name]._program.pid  # to stop it, as nothing of the product ever would

    def press(self) -> None:
        for board in self.programs.values():
            board.press()

    def close(self) -> None:
        for board in self.programs.values():
            board.stop()


class Console:
    """A terminal with a keyboard: what the program writes is read and kept short."""

    KEPT = 1 << 16

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self.text = b""
        threading.Thread(target=self._read, daemon=True).start()

    def strike(self) -> None:
        """The space bar, once. A program that does not read does not hold anybody up."""
        os.set_blocking(self._master, False)
        with suppress(BlockingIOError, OSError):
            os.write(self._master, b" ")
        os.set_blocking(self._master, True)

    def shows(self, state: bytes) -> bool:
        """Is this the state that the panel has written last?"""
        found = {name: self.text.rfind(name) for name in STATES}
        return found[state] >= 0 and found[state] == max(found.values())

    def _read(self) -> None:
        while True:
            try:
                self.text = (self.text + os.read(self._master, 4096))[-self.KEPT :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                return


class Service:
    """The program `handguard run`, started again whenever it has ended."""

    def __init__(self, places: Places, camera_port: int, note: Note) -> None:
        self._places, self._note = places, note
        x1, y1, x2, y2 = STOP_NORM
        self._settings = places.out / "site.yaml"
        self._settings.write_text(_SETTINGS.format(
            port=camera_port, stop=[[x1, y1], [x2, y1], [x2, y2], [x1, y2]],
            a=places.board("a"), b=places.board("b"), runs=places.runs,
        ))
        self.starts = 0
        self.exits: list[int] = []
        self._down_since_s: float | None = None
        if said := self._asked("accept", "--who", WHO):
            raise RuntimeError(f"handguard accept: {said}")  # the strict profile starts nothing that nobody accepted
        self._start()

    def _start(self) -> None:
        self.console = Console()
        self.run = self._places.runs / f"{self.starts:04d}"
        self._program = subprocess.Popen(
            [sys.executable, "-m", "handguard", "run", "-c", str(self._settings), "-o", str(self.run)],
            cwd=ROOT, stdin=self.console.slave, stdout=self.console.slave, stderr=self.console.slave,
            start_new_session=True,
        )
        as_urgent_as_us(self._program.pid)
        os.close(self.console.slave)
        self.starts += 1
        self.started_s = time.monotonic()
        self._note("started", pid=self._program.pid, run=self.run.name)

    def _asked(self, *command: str) -> str:
        """What the program says about these settings when it refuses; empty when it did as asked."""
        words = [sys.executable, "-m", "handguard", *command, "-c", str(self._settings)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        return done.stderr.strip() if done.returncode else ""

    @property
    def is_up(self) -> bool:
        return self._program.poll() is None

    @property
    def pid(self) -> int:
        return self._program.pid

    def look_after(self) -> None:
        """Start it again `RESTART_S` after its end."""
        if self.is_up:
            return
        if self._down_since_s is None:
            self._down_since_s = time.monotonic()
            self.exits.append(self._program.returncode)
            words = self.console.text[-600:].decode(errors="replace") if self._program.returncode > 0 else ""
            self._note("exited", status=self._program.returncode, words=words)
        elif time.monotonic() - self._down_since_s >= RESTART_S:
            self._down_since_s = None
            self._start()

    def processes(self) -> dict[str, int]:
        """Role and id of every living process of the program."""
        found = {"monitor": self.pid} if self.is_up else {}
        for child in children(self.pid):
            words = command_line(child)
            found |= {role: child for role, module in ROLES.items() if module in words}
        return found

    def repair(self) -> None:
        """What a service technician does: end the program, and clear the lockout that it left. It starts by itself."""
        self.close()
        if said := self._asked("service", "clear-lockout", "--who", WHO, "--reason", "end of a test"):
            self._note("refused", words=said)  # a full disk; the next visit tries again

    def close(self, limit_s: float = 20.0) -> None:
        if self.is_up:
            self._program.send_signal(signal.SIGTERM)
        try:
            self._program.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process; empty once it is gone."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, listed.read_text().split())
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def memory_kib(pid: int) -> int | None:
    """Resident memory; None once the process is gone."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
    return None

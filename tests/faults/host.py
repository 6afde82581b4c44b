"""What happens to the computer, its processes and its operator."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live
from tests.faults.program import Program, Whole
from tests.faults.stand import DEADLINE_MS, Stand

AT_ONCE_MS, LATE_MS, HAND_MS = 100, DEADLINE_MS + 100, 100
END_MS = 200  # the kernel takes a killed program's memory down before it closes its pipes
STORM = "while True: sum(bytearray(1 << 20))"


def signalled(number: signal.Signals) -> Whole:
    return Whole(lambda program: os.kill(program.pid, number))


def goes_on(program: Program) -> None:
    os.kill(program.pid, signal.SIGCONT)


def viewers(number: signal.Signals) -> Whole:
    """To each program that only looks on."""

    def act(program: Program) -> None:
        found = below(program.pid, b"handguard.desk")
        assert found, "no viewer runs"
        for pid in found:
            os.kill(pid, number)

    return Whole(act)


def below(parent: int, having: bytes) -> list[int]:
    """Children of a process whose command line has these words."""
    return [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if _is_child(p, parent, having)]


def _is_child(cmdline: Path, parent: int, having: bytes) -> bool:
    try:
        status = (cmdline.parent / "stat").read_text().rpartition(")")[2].split()
        return int(status[1]) == parent and having in cmdline.read_bytes()
    except OSError:
        return False


def hog_the_interpreter(_: Stand) -> None:
    """A call into C that keeps the interpreter's lock: every thread of the monitor stands still for a second."""
    ctypes.PyDLL(None).usleep(999_999)


def break_the_loop(stand: Stand) -> None:
    """A mistake in the loop itself, where nothing catches it."""
    stand.monitor._chronicle = None  # type: ignore[assignment]


@dataclass
class Storm:
    """Four processes that do nothing but use the processor and memory."""

    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self, _: Stand) -> None:
        self.running = [subprocess.Popen([sys.executable, "-c", STORM]) for _ in range(4)]

    def end(self, _: Stand) -> None:
        for one in self.running:
            one.kill()
            one.wait()


def no_more_files(program: Program) -> None:
    """As if it had used up every number below its limit; this process, which must read the board's log, has its own."""
    used = set(map(int, os.listdir(f"/proc/{program.pid}/fd")))
    lowest_free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (lowest_free, HARD))


def more_files(program: Program) -> None:
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (HARD, HARD))


def no_more_files_and_no_keeper(program: Program) -> None:
    no_more_files(program)
    (keeper,) = below(program.pid, b"handguard.relay.keeper_process")
    os.kill(keeper, signal.SIGKILL)


class Memory:
    """A memory cgroup that grants a program not one page more, so that the kernel ends it."""

    ROOTS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))  # v1, v2
    group: Path

    def run_out(self, program: Program) -> None:
        self.group, limit = self._made(f"handguard-{program.pid}")
        (self.group / "cgroup.procs").write_text(str(program.pid))
        (self.group / limit).write_text("0")

    def give_back(self, program: Program) -> None:
        program.process.wait(60)
        self.group.rmdir()

    def _made(self, name: str) -> tuple[Path, str]:
        for root, limit in self.ROOTS:
            with suppress(OSError):
                (group := Path(root) / name).mkdir()
                if (group / limit).exists():
                    return group, limit
                group.rmdir()
        pytest.skip("NOT SHOWN: running out of memory needs a memory cgroup that may be made")


HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
STORMS, MEMORY = Storm(), Memory()
STOP, LOCKOUT, END, RUNS_ON = Reaction.STOP, Reaction.LOCKOUT, Reaction.END, Reaction.RUNS_ON
# fmt: off
FAULTS = (
    Fault("H01", "the monitor is killed", "SIGKILL to the whole program",
          "the end of the pipe: the keeper writes OFF", END, END_MS, "UNCLOSED", signalled(signal.SIGKILL)),
    Fault("H02", "the monitor stands still, and goes on a second later", "SIGSTOP, later SIGCONT",
          "the keeper's deadline", STOP, LATE_MS, "permit-late",
          Whole(lambda program: os.kill(program.pid, signal.SIGSTOP), goes_on)),
    Fault("H03", "the terminal it was started from closes", "SIGHUP", "the end of the pipe: the keeper writes OFF",
          END, END_MS, "UNCLOSED", signalled(signal.SIGHUP)),
    Fault("H04", "the operator ends the program while the machine runs", "Ctrl-C (SIGINT)", "the loop's last word is OFF",
          END, END_MS, "INTACT", signalled(signal.SIGINT)),
    Fault("H05", "the system ends the program", "SIGTERM", "the loop's last word is OFF",
          END, END_MS, "INTACT", signalled(signal.SIGTERM)),
    Fault("H06", "the viewers hang", "SIGSTOP to each; then the operator ends the run",
          "nothing waits for them", RUNS_ON, END_MS, "INTACT", viewers(signal.SIGSTOP)),
    Fault("H07", "the viewers die", "SIGKILL to each; then the operator ends the run",
          "nothing waits for them", RUNS_ON, END_MS, "INTACT", viewers(signal.SIGKILL)),
    Fault("H08", "something in the monitor keeps the interpreter to itself", "a call into C that holds its lock for a second",
          "the keeper's deadline", STOP, LATE_MS, "permit-late", Live(hog_the_interpreter, lambda stand: None)),
    Fault("H09", "the loop itself breaks", "a mistake behind the last step of a tick", "its last word is OFF, whatever ended it",
          END, AT_ONCE_MS, '"kind":"decision"', Live(break_the_loop)),
    Fault("H10", "other programs want all of the processor", "four busy processes beside it; then a hand",
          "keeper and board come first, where the system grants it", RUNS_ON, 4 * HAND_MS, '"kind":"decision"',
          Live(STORMS.begin, STORMS.end)),
    Fault("H11", "the monitor may open no more files", "no number left below its limit; then the operator ends the run",
          "nothing that guards opens a file", RUNS_ON, END_MS, '"kind":"decision"', Whole(no_more_files, more_files)),
    Fault("H12", "the keeper dies when the monitor may open no more files", "no number left below its limit, and SIGKILL",
          "descriptors kept in reserve: the monitor opens the port and writes OFF", LOCKOUT, AT_ONCE_MS, "fault: keeper-dead",
          Whole(no_more_files_and_no_keeper, more_files)),
    Fault("H13", "memory runs out, and the system kills the monitor", "a memory cgroup that grants it not one page more",
          "the end of the pipe: the keeper writes OFF", END, END_MS, "UNCLOSED", Whole(MEMORY.run_out, MEMORY.give_back)),
)
# fmt: on

"""What goes wrong, and how often: a table of kinds with weights, drawn with a seed.

Those that end in a lockout or a new start are drawn less often, so that a process
lives for minutes and what it loses of memory would show. Between two faults lies a
time drawn from an exponential distribution of mean `MEAN_PAUSE_S`; which fault it
is is drawn by weight, how long it lasts evenly from its bounds. Each is done from
outside: to the camera, the boards, the processes, the disk, the machine, or by the
person at the console.
"""

from __future__ import annotations

import heapq
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from benchmarks.soak.site import Boards, CameraProgram, Note, Places, Service
from handguard.relay.simulated_model import BoardFaults

MEAN_PAUSE_S = 12.0
_BUSY = "import time; end = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that goes wrong: its weight among all, and its shortest and longest duration."""

    weight: int
    shortest_s: float
    longest_s: float


KINDS = {
    "camera freeze": Kind(9, 0.3, 3.0),
    "camera dark": Kind(9, 0.3, 3.0),
    "camera silence": Kind(9, 0.1, 3.0),
    "camera late": Kind(9, 0.5, 3.0),
    "camera jitter": Kind(9, 1.0, 5.0),
    "camera unplugged": Kind(6, 0.5, 4.0),
    "board unplugged": Kind(6, 0.5, 4.0),
    "board stopped": Kind(2, 0.1, 2.0),
    "board silent": Kind(1, 3.0, 6.0),
    "board garbage": Kind(1, 3.0, 6.0),
    "board wrong sum": Kind(1, 3.0, 6.0),
    "board late": Kind(1, 3.0, 6.0),
    "board welded": Kind(1, 8.0, 14.0),
    "monitor stopped": Kind(12, 0.05, 3.0),
    "monitor killed": Kind(2, 0.0, 0.0),
    "monitor terminated": Kind(1, 0.0, 0.0),
    "keeper stopped": Kind(2, 0.05, 3.0),
    "keeper killed": Kind(2, 0.0, 0.0),
    "monitor and keeper killed": Kind(1, 0.0, 0.0),
    "panel stopped": Kind(3, 1.0, 5.0),
    "panel killed": Kind(3, 0.0, 0.0),
    "recorder stopped": Kind(3, 1.0, 5.0),
    "recorder killed": Kind(3, 0.0, 0.0),
    "disk full": Kind(6, 2.0, 6.0),
    "machine busy": Kind(3, 1.0, 3.0),
    "reset held down": Kind(6, 1.0, 5.0),
    "reset at any time": Kind(9, 0.0, 0.0),
}
_BOARDS = {
    "silent": BoardFaults(silent=True),
    "garbage": BoardFaults(echo_garbage=True),
    "wrong sum": BoardFaults(wrong_sum=True),
    "late": BoardFaults(reply_ms=200.0),
    "welded": BoardFaults(welded=True),
}
KEY_REPEAT_S = 0.1


class Schedule:
    """Things to do later, in the order of their times. One thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (time.monotonic() + seconds, self._count, act))

    def do_due(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            heapq.heappop(self._waiting)[2]()


class Trouble:
    """Draws faults and does them, unless all is to be calm. Tell it `look` often; it sleeps nowhere."""

    def __init__(
        self, seed: int, places: Places, camera: CameraProgram, boards: Boards, service: Service,
        note: Note, press: Callable[[], None], has_disk: bool, is_calm: bool = False,
    ) -> None:  # fmt: skip
        self._chance = random.Random(seed)
        self._places, self._camera, self._boards, self._service = places, camera, boards, service
        self._note, self._press = note, press
        self._later = Schedule()
        self._weights = {name: kind.weight for name, kind in KINDS.items() if has_disk or name != "disk full"}
        self.counts: Counter[str] = Counter()
        if not is_calm:
            self._plan()

    def look(self) -> None:
        """Do what is due."""
        self._later.do_due()

    def _plan(self) -> None:
        self._later.after(self._chance.expovariate(1 / MEAN_PAUSE_S), self._strike)

    def _strike(self) -> None:
        (name,) = self._chance.choices(list(self._weights), list(self._weights.values()))
        kind = KINDS[name]
        seconds = self._chance.uniform(kind.shortest_s, kind.longest_s)
        board = self._chance.choice(Boards.NAMES)
        if self._do(name, seconds, board):
            self.counts[name] += 1
            self._note("fault", name=name, for_s=round(seconds, 3), board=board)
        self._plan()

    def _do(self, name: str, seconds: float, board: str) -> bool:
        """False where there was nobody to do it to."""
        who, _, how = name.partition(" ")
        if who == "camera":
            self._camera.suffer(how, seconds)
        elif who == "board":
            self._strike_board(board, how, seconds)
        elif who == "reset":
            self._lean(seconds)
        elif name == "disk full":
            self._fill(seconds)
        elif name == "machine busy":
            self._keep_busy(seconds)
        else:
            return self._strike_process(name, seconds)
        return True

    def _strike_board(self, name: str, how: str, seconds: float) -> None:
        board, pid = self._boards.programs[name], self._boards.pid(name)
        if how == "unplugged":
            board.unplug()
            self._later.after(seconds, lambda: self._boards.programs[name].replug())
        elif how == "stopped":
            os.kill(pid, signal.SIGSTOP)
            self._later.after(seconds, lambda: _signal(pid, signal.SIGCONT))
        else:
            self._boards.exchange(name, _BOARDS[how])
            self._later.after(seconds, lambda: self._boards.exchange(name, BoardFaults()))

    def _strike_process(self, name: str, seconds: float) -> bool:
        living = self._service.processes()
        *roles, how = name.replace(" and ", " ").split()
        if not all(role in living for role in roles):
            return False
        number = {"stopped": signal.SIGSTOP, "killed": signal.SIGKILL, "terminated": signal.SIGTERM}[how]
        for role in roles:
            self._note("struck" if how != "terminated" else "terminated", who=role, how=how)
            _signal(living[role], number)
            if how == "stopped":
                self._later.after(seconds, partial(self._continue, role, living[role]))
        return True

    def _continue(self, role: str, pid: int) -> None:
        _signal(pid, signal.SIGCONT)
        self._note("continued", who=role)

    def _lean(self, seconds: float) -> None:
        """One stroke at whatever moment, or a book on the keyboard."""
        for stroke in range(1 + int(seconds / KEY_REPEAT_S)):
            self._later.after(stroke * KEY_REPEAT_S, self._press)

    def _fill(self, seconds: float) -> None:
        filler = self._places.disk / "filler"
        room = os.statvfs(self._places.disk)
        with suppress(OSError), filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)
        self._later.after(seconds, lambda: filler.unlink(missing_ok=True))

    def _keep_busy(self, seconds: float) -> None:
        for _ in range(2 * (os.cpu_count() or 1)):
            busy = subprocess.Popen([sys.executable, "-c", _BUSY.format(seconds)])
            self._later.after(seconds + 2.0, partial(_over, busy))


def _over(busy: subprocess.Popen[bytes]) -> None:
    busy.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

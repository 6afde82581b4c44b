"""What the monitor asks of Linux so that nothing makes its loop wait. All of it is optional, and told.

    real-time scheduling   no ordinary program, however busy, comes before the loop
    locked memory          no page of the program is ever swapped out
    cores of its own       loop, camera and network keep to those that were asked for
    garbage collector      runs only when the loop has time for it (`monitor`)

The keeper is above the loop (`relay.realtime`), and the kernel's own threads are above
both. All threads of the process are raised, not the loop's alone: whoever holds
Python's lock keeps the loop waiting, so nobody who may hold it may be made to wait by
a stranger. Threads that only remember or listen stay below the loop.

Programs that are started later inherit no priority and no lock; one that loop or camera
start would inherit their cores. Which cores all of handguard may use is the administrator's
matter (`taskset`, systemd's CPUAffinity=): what was given is told.
"""

from __future__ import annotations

import ctypes
import os
import resource
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOP, BESIDE = 40, 30  # the keeper has 50
_MCL_CURRENT_FUTURE_ONFAULT = 7  # onfault: only what is touched, not every library's last page


@dataclass(frozen=True, slots=True)
class Granted:
    """What Linux gave."""

    realtime: bool
    locked_memory: bool
    cores: tuple[int, ...]
    asked_cores: tuple[int, ...] = ()  # empty: whichever there are

    def __str__(self) -> str:
        realtime = f"real-time priority {LOOP}" if self.realtime else "ordinary priority (real-time was not granted)"
        memory = "memory locked" if self.locked_memory else "memory not locked (not granted)"
        cores = ", ".join(map(str, self.cores))
        return f"{realtime}; {memory}; {'core' if len(self.cores) == 1 else 'cores'} {cores}"


    @property
    def refusals(self) -> tuple[str, ...]:
        """What was not given, in sentences."""
        missing = {
            "real-time scheduling": not self.realtime,
            "locked memory": not self.locked_memory,
            f"keeping to cores {', '.join(map(str, self.asked_cores))}": bool(set(self.asked_cores) - set(self.cores)),
        }
        return tuple(f"live loop: {what} was not granted" for what, is_so in missing.items() if is_so)


class Precedence:
    """Precedence of this process over ordinary ones, from `take` until `give_back`. Main thread only.

    `cores` are those that loop, camera and network keep to; none: all that the process has.
    """

    def __init__(self, cores: Collection[int] = ()) -> None:
        self._asked = tuple(sorted(cores))
        self._before = os.sched_getaffinity(0)
        self._realtime = self._pinned = False

    def take(self) -> Granted:
        """Ask for everything, for the threads there are now; what was given. Never raises."""
        self._realtime = _set(0, os.SCHED_FIFO, LOOP)
        self._pinned = bool(self._asked) and self._before.issuperset(self._asked) and _keep_to(0, self._asked)
        self.extend()
        return Granted(self._realtime, _lock_memory(), tuple(sorted(os.sched_getaffinity(0))), self._asked)

    def extend(self) -> None:
        """The same for the threads that were started since `take`, where it was granted. Never raises."""
        if not (self._realtime or self._pinned):
            return
        beside = {thread.native_id for thread in threading.enumerate() if _is_beside(thread)}
        for tid in _other_threads():
            if self._realtime:
                _set(tid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, BESIDE if tid in beside else LOOP)
            if self._pinned:
                _keep_to(tid, self._before if tid in beside else self._asked)

    def give_back(self) -> None:
        """An ordinary process again."""
        for tid in (0, *_other_threads()):
            if self._realtime:
                _set(tid, os.SCHED_OTHER, 0)
            if self._pinned:
                _keep_to(tid, self._before)
        ctypes.CDLL(None).munlockall()
        self._realtime = self._pinned = False


def _is_beside(thread: threading.Thread) -> bool:
    """Python's own threads but for the loop and the camera; the back end's threads are not Python's."""
    return thread is not threading.main_thread() and not thread.name.startswith("camera ")


def _other_threads() -> list[int]:
    own = os.getpid()
    return [tid for name in os.listdir("/proc/self/task") if (tid := int(name)) != own]


def _set(tid: int, policy: int, priority: int) -> bool:
    return _is_granted(lambda: os.sched_setscheduler(tid, policy, os.sched_param(priority)))


def _keep_to(tid: int, cores: Collection[int]) -> bool:
    return _is_granted(lambda: os.sched_setaffinity(tid, cores))


def _is_granted(ask: Callable[[], None]) -> bool:
    """False: refused, or the thread has ended."""
    with suppress(OSError):
        ask()
        return True
    return False


def _lock_memory() -> bool:
    """Not asked for under a limit: memory asked for beyond it later would be refused, and the run with it."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _may_lock_any():
        return False
    return ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT_FUTURE_ONFAULT) == 0


def _may_lock_any() -> bool:
    """CAP_IPC_LOCK, which lifts the limit."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> 14 & 1)

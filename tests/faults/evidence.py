"""What happens to the record, the disk and the viewers: told at once, and never a reason to stop, or not to."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import os
import resource
import shutil
import threading
from contextlib import suppress

from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live
from tests.faults.stand import Stand

HAND_MS = 100
RUNS_ON = Reaction.RUNS_ON


def disk_is_full(stand: Stand) -> None:
    """No file of this process may grow beyond what the record has already."""
    size = max(path.stat().st_size for path in stand.evidence.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def disk_has_room(_: Stand) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


class HungDisk:
    """A write that does not come back until it is let."""

    def __init__(self) -> None:
        self._go_on = threading.Event()

    def inject(self, stand: Stand) -> None:
        self._go_on.clear()
        write = stand.record._ledger.write

        def hang(bodies: object) -> None:
            self._go_on.wait(30)
            write(bodies)  # type: ignore[arg-type]

        stand.record._ledger.write = hang  # type: ignore[method-assign]

    def mend(self, stand: Stand) -> None:
        del stand.record._ledger.write
        self._go_on.set()


def thread_dies(stand: Stand) -> None:
    stand.record._ledger.upkeep = None  # type: ignore[assignment,method-assign]


def memory_is_cut(stand: Stand) -> None:
    """Somebody with the rights of the monitor tries to shorten the memory that viewers read."""
    descriptor = os.open(stand.feed.name, os.O_RDWR)
    with suppress(PermissionError):
        os.ftruncate(descriptor, 0)
        raise AssertionError("the memory could be cut: the next tick would have been the monitor's last")
    os.close(descriptor)


HUNG = HungDisk()
# fmt: off
FAULTS = (
    Fault("E01", "the disk is full", "no file may grow", "writing fails; tried again for ever, memory bounded",
          RUNS_ON, HAND_MS, "evidence-disk", Live(disk_is_full, disk_has_room)),
    Fault("E02", "the disk hangs", "a write does not come back", "the queue is full; what is lost is counted",
          RUNS_ON, HAND_MS, "evidence-lost", Live(HUNG.inject, HUNG.mend)),
    Fault("E03", "the folder of the record is deleted", "every file of it removed", "the file in hand is not the one on disk",
          RUNS_ON, HAND_MS, "evidence-disk", Live(lambda stand: shutil.rmtree(stand.evidence))),
    Fault("E04", "the thread that writes the record dies", "a mistake inside it", "it is looked at in every tick",
          RUNS_ON, HAND_MS, "evidence-writer", Live(thread_dies)),
    Fault("E05", "the clock of the computer is set back an hour", "the wall clock that the record reads",
          "nothing that guards reads it; each record holds the monotonic clock too",
          RUNS_ON, HAND_MS, '"kind":"decision"', Live(lambda stand: setattr(stand, "clock_is_off_s", -3600))),
    Fault("E06", "the memory shared with viewers is cut short", "its file shortened by another process",
          "the kernel refuses: it is sealed",
          RUNS_ON, HAND_MS, '"kind":"decision"', Live(memory_is_cut, lambda stand: None)),
)
# fmt: on

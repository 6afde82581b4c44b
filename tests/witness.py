"""A process that does nothing but sleep, and notes when it woke late.

It runs at ordinary priority, so that no lock of Python's and no precedence of the
tests' own programs is taken for a computer that stood still.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import cast

SLEEP_S = 0.01
LATE_S = 0.1


class Witness:
    """Watches from `with` on. `longest_s(since)` tells the worst it has seen."""

    def __enter__(self) -> Witness:
        command = [sys.executable, "-S", str(Path(__file__))]
        self._process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._told = cast(FileIO, self._process.stdout)
        os.set_blocking(self._told.fileno(), False)
        self._seen: list[tuple[float, float]] = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cast(FileIO, self._process.stdin).close()  # its input ends, and so does it
        self._process.wait()
        self._told.close()

    def longest_s(self, since_s: float) -> float:
        """The longest time by which it woke late since that moment (`time.monotonic`); 0 if in time."""
        while told := self._told.read(1 << 16):
            for line in told.splitlines():  # a line is written at once, and so never read in halves
                woke_s, late_s = map(float, line.split())
                self._seen.append((woke_s, late_s))
        return max((late_s for woke_s, late_s in self._seen if woke_s >= since_s), default=0.0)


def watch() -> None:
    """What the process does, until its input ends."""
    asleep_s = time.monotonic()
    while not select.select([sys.stdin], [], [], SLEEP_S)[0]:
        woke_s = time.monotonic()
        if (late_s := woke_s - asleep_s - SLEEP_S) >= LATE_S:
            print(woke_s, late_s, flush=True)
        asleep_s = time.monotonic()


if __name__ == "__main__":
    watch()

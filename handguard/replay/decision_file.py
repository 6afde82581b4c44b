"""`decisions.jsonl`, written while the replay goes on and there only when it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from handguard.atomic import appearing_whole
from handguard.evidence.decisions import decision_line
from handguard.replay.ticks import Tick


class DecisionFile:
    """A sink of ticks: one line each. Times count from the first frame."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._origin_ns: int | None = None

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._hash.hexdigest()

    def __call__(self, tick: Tick) -> None:
        """Write one line. Raises `OSError`."""
        if self._origin_ns is None:
            self._origin_ns = tick.frame.captured_ns
        line = decision_line(tick.decision, self._origin_ns).encode()
        self._hash.update(line)
        self._file.write(line)


@contextmanager
def decision_file(path: Path) -> Iterator[DecisionFile]:
    """The sink for `path`, which appears, whole, when the block ends well. Raises `OSError`."""
    with appearing_whole(path) as fresh, fresh.open("xb") as file:
        yield DecisionFile(file)

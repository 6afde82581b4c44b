"""A measurement in a process of its own: no import, cache or warm core left over from the one before.

    python -m handguard.bench.worker ORDER RESULT        in the folder of who asks: paths start there

ORDER is JSON: `{"do": "course" | "bare" | "start", "config": FILE, "source": SOURCE or null,
"threads": N or null, …}`. The worker says `ready`, waits for a line on its standard input,
measures, and writes JSON to RESULT. It exits as `handguard` does, with one line on
standard error.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from handguard.config import Settings, load, with_source
from handguard.errors import DeviceError, HandguardError
from handguard.replay.command import command_of

READY = "ready\n"


class Worker:
    """The parent's handle. Use as a context manager."""

    def __init__(self, order: dict[str, Any], folder: Path) -> None:
        self._result = folder / "result.json"
        command = [*command_of("handguard.bench.worker"), json.dumps(order), str(self._result)]
        self._program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._program.poll() is None:
            self._program.kill()
        self._program.communicate()

    def wait_until_ready(self) -> None:
        """Raises `DeviceError` with what it said, if it ended instead."""
        assert self._program.stdout is not None
        if self._program.stdout.readline() != READY:
            raise DeviceError(self._failure())

    def result(self) -> dict[str, Any]:
        """Let it begin, and wait for what it measured. Raises `DeviceError`."""
        self.begin()
        return self.ended()

    def begin(self) -> None:
        """Let it begin."""
        assert self._program.stdin is not None
        self._program.stdin.write("go\n")
        self._program.stdin.flush()

    def ended(self) -> dict[str, Any]:
        """Wait for what it measured. Raises `DeviceError`."""
        if self._program.wait() != 0:
            raise DeviceError(self._failure())
        result: dict[str, Any] = json.loads(self._result.read_text())
        return result

    def _failure(self) -> str:
        _, said = self._program.communicate()
        return f"measurement: {said.strip() or f'ended with {self._program.returncode} and said nothing'}"


def measured(order: dict[str, Any]) -> dict[str, Any]:
    """One measurement, alone. Raises `DeviceError`."""
    with tempfile.TemporaryDirectory(prefix="handguard-bench-") as folder, Worker(order, Path(folder)) as worker:
        worker.wait_until_ready()
        return worker.result()


def settings_of(order: dict[str, Any]) -> Settings:
    """The settings an order names. Raises `ConfigError`."""
    settings = load(Path(order["config"]))
    if order.get("source") is not None:  # of no real board, so no profile is asked
        safety = settings.safety.model_copy(update={"profile": "basic"})
        settings = with_source(settings.model_copy(update={"safety": safety}), order["source"])
    threads = order.get("threads") or settings.detector.threads
    return settings.model_copy(update={"detector": settings.detector.model_copy(update={"threads": threads})})


def _ready() -> None:
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.readline()


def _course(order: dict[str, Any]) -> dict[str, Any]:
    from handguard.bench.course import Order, run_course

    wanted = Order(**order["course"])
    with tempfile.TemporaryDirectory(prefix="handguard-course-") as folder:
        return run_course(settings_of(order), wanted, Path(folder), _ready)


def _bare(order: dict[str, Any]) -> dict[str, Any]:
    from handguard.bench.bare import in_turns

    return in_turns(settings_of(order), order["rounds"], _ready, realtime=order["realtime"])


def _start(order: dict[str, Any]) -> dict[str, Any]:
    from handguard.bench.starting import started

    _ready()
    with tempfile.TemporaryDirectory(prefix="handguard-start-") as folder:
        return started(settings_of(order), Path(folder), realtime=order["realtime"])


MEASUREMENTS = {"course": _course, "bare": _bare, "start": _start}


def main(order_text: str, result: Path) -> int:
    """Returns the exit status."""
    order = json.loads(order_text)
    try:
        measured = MEASUREMENTS[order["do"]](order)
    except HandguardError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    result.write_text(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))

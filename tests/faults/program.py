"""The whole program, as a person starts it: `run_monitor.py` in its own process, on a terminal with a space bar."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from handguard.evidence.verify import verify
from handguard.relay.simulated_model import MS
from tests.faults.bench import Bench
from tests.faults.fault import Fault, Reaction

ROOT = Path(__file__).parents[2]
LONGER_THAN_A_TEST_S = 0.8
PATIENCE_S, BETWEEN_PRESSES_S, HELD_OFF_S = 90.0, 1.0, 1.2
SETTINGS: dict[str, Any] = {
    "version": 1,
    "camera": {"source": "simulated", "width_px": 320, "height_px": 180, "fps": 15.0, "max_frame_age_ms": 250},
    "zones": [{"name": "corner", "role": "stop", "polygon": [[4, 4], [40, 4], [40, 30], [4, 30]]}],
    "interlock": {"free_frames": 3},
    "relay": {"driver": "simulated", "deadline_ms": 250},
    "reset": {"input": "keyboard"},
    "evidence": {"clips": {"enabled": False}},
}


class Program:
    """One run of it. Its simulated board logs to a file of its own."""

    def __init__(self, place: Path) -> None:
        self.out, self._said = place / "out", (place / "said").open("w+b")
        config = place / "site.yaml"
        config.write_text(yaml.safe_dump(SETTINGS | {"evidence": {**SETTINGS["evidence"], "dir": str(place / "runs")}}))
        self._terminal, theirs = os.openpty()
        command = ["env", "--default-signal=HUP", sys.executable, str(ROOT / "run_monitor.py")]  # nohup ignores it
        command += ["--no-realtime"]  # tests share the cores
        command += ["--config", str(config), "--out", str(self.out)]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=self._said, stderr=subprocess.STDOUT, cwd=place, start_new_session=True
        )
        os.close(theirs)

    @property
    def pid(self) -> int:
        return self.process.pid

    def run(self) -> None:
        """Press the space bar until the machine may run."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not self.runs():
            assert self.process.poll() is None and time.monotonic() < give_up_s, f"it does not start: {self.said()}"
            self.press()
            self.until(self.is_on, BETWEEN_PRESSES_S)

    def runs(self) -> bool:
        """On for longer than the self-test at the start closes the contact."""
        before = self.contacts()[-1:]
        time.sleep(LONGER_THAN_A_TEST_S)
        return self.is_on() and self.contacts()[-1:] == before

    def press(self) -> None:
        os.write(self._terminal, b" ")

    def contacts(self) -> list[tuple[int, bool]]:
        """`(ns, closed)` of every movement, by the board's own clock and log."""
        log = self.out / "board.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("\n") and '"contact"' in line]
        return [(one["ns"], one["closed"]) for one in found]

    def is_on(self) -> bool:
        contacts = self.contacts()
        return bool(contacts) and contacts[-1][1]

    def until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        give_up_s = time.monotonic() + limit_s
        while not holds() and time.monotonic() < give_up_s:
            time.sleep(0.01)
        return holds()

    def said(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def record(self) -> str:
        """What is on disk, and the verdict over it."""
        lines = [path.read_text() for path in sorted((self.out / "evidence").glob("*.jsonl"))]
        return "\n".join([*lines, verify(self.out / "evidence").verdict.name])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        with suppress(OSError):
            os.close(self._terminal)
        self._said.close()


@dataclass(frozen=True)
class Whole:
    """Do something to a whole program while its machine runs."""

    act: Callable[[Program], object]
    mend: Callable[[Program], object] | None = None

    def __call__(self, fault: Fault, bench: Bench) -> float:
        program = Program(bench.folder())
        try:
            program.run()
            since_ns = time.monotonic_ns()
            self.act(program)
            if fault.reaction is Reaction.RUNS_ON:
                since_ns = self._runs_on(program)
            took_ms = _opened_ms(fault, program, since_ns)
            if self.mend and fault.reaction is not Reaction.RUNS_ON:
                self.mend(program)
            if fault.reaction is Reaction.LOCKOUT:
                program.press()
            time.sleep(HELD_OFF_S)
            assert not program.is_on(), program.said()
            if fault.reaction is Reaction.LOCKOUT:
                program.process.terminate()
            if fault.reaction is not Reaction.STOP:
                program.process.wait(60)
        finally:
            program.close()
        assert fault.recorded in program.record(), program.record()[-2000:]
        return took_ms

    def _runs_on(self, program: Program) -> int:
        """Nothing happens, and then the operator ends the run."""
        time.sleep(HELD_OFF_S)
        program.run()
        if self.mend:
            self.mend(program)
        since_ns = time.monotonic_ns()
        program.process.terminate()
        return since_ns


def _opened_ms(fault: Fault, program: Program, since_ns: int) -> float:
    assert program.until(lambda: not program.is_on(), fault.allowed_ms / 1000), f"STILL ON: {program.said()}"
    took_ms = (program.contacts()[-1][0] - since_ns) / MS
    assert took_ms <= fault.allowed_ms, took_ms
    return max(took_ms, 0.0)

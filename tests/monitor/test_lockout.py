"""A lockout outlives kill and restart, and only service ends it: the real program on a board of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handguard.evidence.lockout import lockout_file
from handguard.evidence.reading import read_records
from handguard.evidence.signing import KEY_NAME
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify
from handguard.relay.simulated_board import SimulatedBoard
from handguard.replay.book import read_book
from handguard.replay.reproduce import reproduce

ROOT = Path(__file__).parents[2]


@pytest.fixture
def begin(start, tmp_path):
    """`begin()` starts a monitor on a board that is not the monitor's own, always the same one."""
    board = SimulatedBoard(tmp_path / "tty", tmp_path / "tty.jsonl")
    relay = {"driver": "lcus", "port": str(board.link), "deadline_ms": 250}
    yield lambda *more: (start("--duration", "60", *more, relay=relay), board)
    board.stop()


def service(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handguard", "service", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def clear(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["--config", "config0.yaml", "--who", "Ada", "--reason", "plugged the board in again"]
    return service(tmp_path, "clear-lockout", *arguments)


def test_a_lockout_survives_kill_and_restart_until_service_clears_it(begin, children, tmp_path):
    run, board = begin()
    run.wait(board.closed, 200)
    file = lockout_file(tmp_path / "runs", tmp_path / "runs" / KEY_NAME)
    assert not file.read().locked
    for keeper in children(run.process.pid, "relay.keeper"):
        os.kill(keeper, signal.SIGKILL)
    run.wait(lambda: file.read().locked, 200)
    run.process.send_signal(signal.SIGSTOP)  # or its video ends while a busy machine starts the next program
    assert "no monitor at work on it: stop it first" in clear(tmp_path).stderr
    run.process.kill()
    run.process.wait()
    assert board.wait_until(lambda b: not b.closed())

    closings = len(board.on_bytes_ns())
    again, _ = begin()
    book = again.out / "evidence"
    again.wait(lambda: (book / "segment-000001.jsonl").exists(), 200)
    time.sleep(3.0)
    again.stop()
    assert len(board.on_bytes_ns()) == closings
    decisions = [record for record in read_records(book) if record["kind"] == "decision"]
    assert {record["state"] for record in decisions} == {"LOCKOUT"}
    assert "keeper-dead" in decisions[0]["cause"]
    assert reproduce(read_book(again.out)).divergence is None
    assert "LOCKED OUT" in again.said()

    assert clear(tmp_path).returncode == 0
    (cleared,) = (tmp_path / "runs").glob("*-service")
    assert verify(cleared / "evidence").verdict is Verdict.INTACT
    (action,) = [record for record in read_records(cleared / "evidence") if record["kind"] == "operator"]
    assert (action["action"], action["who"]) == ("clear_lockout", "Ada")
    assert "plugged the board in again; was LOCKED OUT since" in action["detail"]

    last, _ = begin()
    last.wait(lambda: len(board.on_bytes_ns()) > closings, 200)
    last.stop()

"""The whole program as a person starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handguard.evidence.reading import read_records
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify

ROOT = Path(__file__).parents[2]


def test_a_free_field_and_a_reset_let_the_machine_run_and_a_stop_ends_it(start):
    run = start()
    run.wait(run.is_on)
    assert run.stop() == 0
    assert not run.is_on()
    summary = run.summary()
    assert summary["states_visited"] == ["SELF_TEST", "AWAIT_RESET", "RUN"]
    assert summary["trips"] == []
    assert summary["judged"] > 3
    result = verify(run.out / "evidence")
    assert result.verdict is Verdict.INTACT, result.text()


def test_what_people_are_told_at_the_start_is_in_the_record_and_in_the_summary(start):
    run = start("--duration", "1")
    assert run.process.wait(60) == 0
    told = [record["words"] for record in read_records(run.out / "evidence") if record["kind"] == "caution"]
    assert "the relay is simulated: no machine is stopped" in told
    assert told == run.summary()["cautions"]


def test_the_time_given_ends_the_run(start):
    run = start("--duration", "2")
    assert run.process.wait(60) == 0
    assert 10 < run.summary()["judged"] + run.summary()["dropped"] < 80


def test_the_end_of_a_file_ends_the_run(start, tmp_path):
    import cv2
    import numpy as np

    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(20):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(90, 110, (240, 320, 3), dtype=np.uint8))
    run = start("--source", str(folder))
    assert run.process.wait(60) == 0
    summary = run.summary()
    assert summary["frames"] == 20
    assert 0 < summary["judged"] <= 20 - summary["dropped"]  # on a starved machine one may come too late to be judged


def test_kill_9_of_the_monitor_while_running_drops_the_relay(start, record_property):
    run = start()
    run.wait(run.is_on)
    killed_ns = time.monotonic_ns()
    run.process.kill()
    give_up = time.monotonic() + 10
    while run.is_on() and time.monotonic() < give_up:
        time.sleep(0.005)
    assert not run.is_on()
    took_ms = (run.contacts()[-1][0] - killed_ns) / 1e6
    record_property("kill_to_contact_open_ms", took_ms)
    print(f"kill -9 to open contact: {took_ms:.1f} ms")
    assert took_ms < 2000


def test_a_stopped_monitor_drops_the_relay_at_the_deadline(start):
    run = start()
    run.wait(run.is_on)
    os.kill(run.process.pid, signal.SIGSTOP)
    give_up = time.monotonic() + 10
    while run.is_on() and time.monotonic() < give_up:
        time.sleep(0.005)
    assert not run.is_on()
    os.kill(run.process.pid, signal.SIGCONT)


def test_a_killed_keeper_ends_in_off_and_lockout(start, children):
    run = start()
    run.wait(run.is_on)
    for keeper in children(run.process.pid, "relay.keeper"):
        os.kill(keeper, signal.SIGKILL)
    run.wait(lambda: not run.is_on())
    time.sleep(1.5)
    assert not run.is_on()
    assert run.stop() == 0
    assert run.summary()["states_visited"][-1] == "LOCKOUT"


def test_a_stopped_or_killed_panel_changes_nothing(start, children):
    run = start()
    run.wait(run.is_on)
    (panel,) = children(run.process.pid, "desk.panel")
    os.kill(panel, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(panel, signal.SIGKILL)
    time.sleep(1.0)
    assert run.process.poll() is None
    assert run.stop() == 0
    assert run.summary()["states_visited"][:3] == ["SELF_TEST", "AWAIT_RESET", "RUN"]


def test_without_a_reset_the_machine_never_starts(start):
    run = start("--duration", "3", reset={"input": "none"})
    assert run.process.wait(60) == 0
    assert not any(closed for _, closed in run.contacts())
    assert "RUN" not in run.summary()["states_visited"]


def test_cautions_are_said_loudly(start):
    run = start("--duration", "1")
    run.process.wait(60)
    said = run.said()
    assert "CAUTION" in said
    assert "reset is simulated" in said


@pytest.mark.slow
def test_the_demo_runs_and_tells_what_happened(tmp_path: Path):
    command = [sys.executable, str(ROOT / "run_monitor.py"), "--no-realtime"]
    command += ["--config", str(ROOT / "configs/demo.yaml")]
    done = subprocess.run(
        [*command, "--duration", "8", "--out", str(tmp_path / "demo")],
        capture_output=True, text=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in ("Summary", "true approaches", "trips", "evidence"):
        assert words in done.stdout

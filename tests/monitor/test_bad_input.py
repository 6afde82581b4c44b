"""Every wrong input is one message that names it, exit 2, and a relay that was never told anything but OFF."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handguard.cli import main
from handguard.relay.simulated_board import SimulatedBoard

ROOT = Path(__file__).parents[2]


def refused(run) -> str:
    said = run.process.communicate(timeout=90)
    assert run.process.returncode == 2, said
    assert "Traceback" not in said[1]
    assert not any(closed for _, closed in run.contacts())
    return " ".join(said[1].split())


SQUARE = [[0, 0], [10, 0], [10, 10]]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"relais": {}}, ["relais", "relay"]),
        ({"interlock": {"free_frames": "many"}}, ["interlock.free_frames", "many"]),
        (
            {"zones": [{"name": "a", "role": "stop", "polygon": SQUARE[:2]}]},
            ["zones[0].polygon", "at least three corners"],
        ),
        (
            {"zones": [{"name": "a", "role": "stop", "polygon": [[0, 0], [900, 0], [900, 90]]}]},
            ["320x240", "900"],
        ),
        (
            {"zones": [{"name": "a", "role": "stop", "polygon": [[0, 0], [9, 9], [9, 0], [0, 9]]}]},
            ["cross itself"],
        ),
        ({"camera": {"source": "/nowhere/film.mp4"}}, ["/nowhere/film.mp4"]),
        ({"camera": {"source": "gopher://x"}}, ["gopher://x"]),
        ({"detector": {"model": "nowhere"}}, ["nowhere", "shipped models"]),
        ({"relay": {"driver": "lcus", "port": "/dev/ttyNOWHERE"}}, ["/dev/ttyNOWHERE"]),
        ({"safety": {"profile": "strict"}}, ["reset.input", "strict"]),
        ({"relay": {"driver": "simulated", "deadline_ms": 5000}}, ["relay.deadline_ms", "5000"]),
        ({"reset": {"input": "keyboard"}}, ["terminal"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_configuration_is_refused(start, changes, names):
    message = refused(start(**changes))
    for name in names:
        assert name in message


def test_a_video_that_is_none_is_refused(start, tmp_path):
    fake = tmp_path / "fake.mp4"
    fake.write_text("this is not a video")
    assert "fake.mp4" in refused(start("--source", str(fake)))


def test_a_source_too_slow_for_the_deadline_is_refused(start, tmp_path):
    import cv2
    import numpy as np

    (tmp_path / "slow").mkdir()
    cv2.imwrite(str(tmp_path / "slow" / "1.png"), np.full((240, 320, 3), 90, np.uint8))
    slow = {"source": str(tmp_path / "slow"), "fps": 4}
    message = refused(start(camera=slow, relay={"driver": "simulated", "deadline_ms": 100}))
    assert "relay.deadline_ms: expected at least 300 for a source of 4 frames/s" in message


def test_weights_of_another_network_are_refused(start, tmp_path):
    card = (
        (ROOT / "models" / "palmnet-s.json")
        .read_text()
        .replace('"architecture": "palmnet-s"', '"architecture": "palmnet-m"')
    )
    (tmp_path / "palmnet-s.json").write_text(card)
    (tmp_path / "palmnet-s.safetensors").write_bytes((ROOT / "models" / "palmnet-s.safetensors").read_bytes())
    message = refused(start(detector={"model": str(tmp_path / "palmnet-s")}))
    assert "palmnet-m" in message
    assert "missing" in message


def test_a_busy_serial_port_is_refused_and_stays_untouched(start, tmp_path):
    import serial

    with SimulatedBoard(tmp_path / "board", tmp_path / "board.jsonl") as board:
        with serial.Serial(os.path.realpath(board.link), exclusive=True):
            message = refused(start(relay={"driver": "lcus", "port": str(board.link)}))
        assert str(board.link) in message
        assert board.on_bytes_ns() == []


def test_a_missing_configuration_is_refused():
    command = [sys.executable, str(ROOT / "run_monitor.py"), "--config", "/nowhere.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "/nowhere.yaml" in done.stderr


def test_help_teaches():
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_monitor.py"), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    for word in ("--config", "--source", "--duration", "--out", "--window"):
        assert word in done.stdout


@pytest.mark.parametrize("duration", ["inf", "nan"])
def test_a_duration_that_is_no_number_is_refused(duration: str, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", "configs/demo.yaml", "--duration", duration])
    assert ended.value.code == 2
    assert "--duration" in " ".join(capsys.readouterr().err.split())

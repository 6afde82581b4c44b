"""A killed training run goes on where it was, to the bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from handguard.errors import ModelError
from handguard.training import checkpoints
from tests.training.conftest import DrawnSet

PROGRAM = Path(__file__).with_name("tiny_run.py")


def start(data: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(data), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROGRAM.parents[2])


def lines_until(process: subprocess.Popen[str], last: str) -> dict[str, str]:
    """Output by its first word, up to the line that begins with `last`."""
    assert process.stdout is not None
    told = {}
    for line in process.stdout:
        word, _, rest = line.strip().partition(" ")
        told[word] = rest
        if word == last:
            break
    return told


@pytest.mark.slow
def test_a_run_killed_twice_has_the_loss_curve_and_the_weights_of_one_left_alone(
    drawn: DrawnSet, tmp_path: Path
) -> None:
    with start(drawn.root, tmp_path / "alone") as process:
        alone = lines_until(process, "average")
    told: dict[str, str] = {}
    for stop_at in ("4", "9"):
        with start(drawn.root, tmp_path / "killed") as process:
            told |= lines_until(process, stop_at)
            process.kill()
        assert process.returncode == -9
    with start(drawn.root, tmp_path / "killed") as process:
        last = lines_until(process, "average")
    assert "1" not in last, "the run began anew"
    told |= last
    # a step may have been saved, and the process killed, before it could tell
    assert len(told) >= len(alone) - 2
    assert told == {word: alone[word] for word in told}
    assert told["average"] == alone["average"]


def test_half_a_checkpoint_is_refused_by_name(drawn: DrawnSet, tmp_path: Path) -> None:
    with start(drawn.root, tmp_path / "out") as process:
        lines_until(process, "1")
        process.kill()
    file = tmp_path / "out" / checkpoints.CHECKPOINT
    saved = checkpoints.read(file)
    assert saved.step >= 1 and saved.recipe["architecture"] == "palmnet-s"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"checkpoint\.pt: expected a checkpoint of `handguard train`"):
        checkpoints.read(file)

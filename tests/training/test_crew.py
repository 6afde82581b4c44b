"""Two processes train one network: real torchrun, real gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from handguard.detection.card import locate, read_card
from handguard.training import checkpoints
from tests.training.conftest import DrawnSet

PROGRAM = Path(__file__).with_name("crew_run.py")


def launched(command: list[object]) -> str:
    """What two processes of it told."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *map(str, command)], cwd=PROGRAM.parents[2], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_see_other_pictures_and_end_with_the_same_weights(
    drawn: DrawnSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    launched([PROGRAM, drawn.root, out])
    first, second = (json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["ranks"] == second["ranks"] == 2
    assert first["losses"] != second["losses"], "both saw the same pictures"
    assert first["weights"] == second["weights"], "the processes have drifted apart"
    assert first["agreed"] == second["agreed"] == 5
    saved = checkpoints.read(out / checkpoints.CHECKPOINT)
    assert saved.step == 3 and saved.recipe["processes"] == 2


@pytest.mark.slow
def test_the_program_trains_with_two_processes_and_one_of_them_packages(drawn: DrawnSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("sides_px: [[1, [64]]]")
    told = launched(
        ["-m", "handguard", "train", "--data", drawn.root, "--out", out, "--recipe", recipe,
         "--steps", 2, "--batch-size", 2, "--workers", 0]
    )  # fmt: skip
    card = read_card(locate(str(out / "palmnet-s.json")))
    assert card.recipe["processes"] == 2
    assert "Trained for 2 steps of the 2 planned: 8 pictures seen" in card.notes[0]
    assert told.count(card.notes[0]) == 1
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")

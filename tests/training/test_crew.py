"""Two processes train one network: real torchrun, real gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from handguard.training import checkpoints
from tests.training.conftest import DrawnSet

PROGRAM = Path(__file__).with_name("crew_run.py")


@pytest.mark.slow
def test_two_processes_see_other_pictures_and_end_with_the_same_weights(
    drawn: DrawnSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(PROGRAM), str(drawn.root), str(out)],
        cwd=PROGRAM.parents[2],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["ranks"] == second["ranks"] == 2
    assert first["losses"] != second["losses"], "both saw the same pictures"
    assert first["weights"] == second["weights"], "the processes have drifted apart"
    assert first["agreed"] == second["agreed"] == 5
    saved = checkpoints.read(out / checkpoints.CHECKPOINT)
    assert saved.step == 3 and saved.recipe["processes"] == 2

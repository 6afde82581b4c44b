"""A training run small enough to kill: `python tiny_run.py DATA OUT`; one line a step, exact in float32."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from handguard.detection.ssd import Ssd
from handguard.training.batches import Plan
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe, train
from handguard.training.meter import Progress

STEPS = 12


def tell(progress: Progress) -> None:
    print(progress.step, float(progress.loss.classes).hex(), float(progress.loss.boxes).hex(), flush=True)


def weigh(average: Ssd) -> dict[str, float]:
    return {"sum": float(sum(value.double().sum() for value in average.state_dict().values()))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    plan = Plan(load_split(Path(sys.argv[1]), Split.TRAIN), 4, ((1.0, (64,)),), STEPS)
    recipe = Recipe("palmnet-s", warmup_steps=3, precision="float32", workers=0, checkpoint_every_s=0)
    average = train(recipe, plan, Path(sys.argv[2]), weigh, tell)
    print("average", weigh(average)["sum"].hex(), flush=True)

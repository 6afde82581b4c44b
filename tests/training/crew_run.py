"""One process of a crew, for torchrun: `crew_run.py DATA OUT`; writes what it holds in the end to OUT/RANK.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from handguard.training.batches import Plan
from handguard.training.crew import gather
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe, train
from handguard.training.meter import Progress

if __name__ == "__main__":
    torch.set_num_threads(1)
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    crew = gather("cpu")
    plan = Plan(load_split(data, Split.TRAIN), 2, ((1.0, (64,)),), 3, rank=crew.rank, ranks=crew.ranks)
    recipe = Recipe("palmnet-s", warmup_steps=1, precision="float32", workers=0, checkpoint_every_s=0)
    told: list[Progress] = []
    average = train(recipe, plan, out, lambda network: {"seen": 1.0}, told.append, crew=crew)
    held = {
        "ranks": crew.ranks,
        "losses": [float(one.loss.total) for one in told],
        "images_per_s": told[-1].images_per_s,
        "weights": [float(value.double().sum()).hex() for value in average.parameters()],
        "agreed": crew.agreed(float(crew.rank + 5)),
    }
    (out / f"{crew.rank}.json").write_text(json.dumps(held))
    crew.disband()

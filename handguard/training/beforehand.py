"""What would end a training, or its packaging, only after hours: asked at the start, and told in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from handguard.errors import ConfigError, DatasetError, mismatch
from handguard.training.batches import Plan
from handguard.training.coco import Sample
from handguard.training.loop import Recipe
from handguard.training.measures import GROUPS, Answer, against_truth
from handguard.training.metrics import curve
from handguard.types import Detections

NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), 0, 0)


def require_file_name(name: str) -> None:
    """A model's name is that of its two files. Raises `ConfigError` for one that is empty or leads elsewhere."""
    if not name.strip() or set(name) & set("/\\\0") or name in (".", ".."):
        expected = "what files can be called: not empty, without / or \\"
        raise ConfigError(mismatch("name of the model", expected, repr(name)))


def require_near_hand(val: Sequence[Sample], data: Path) -> None:
    """The operating point is chosen by near hands. Raises `DatasetError` where the val split of `data` has none."""
    unanswered = against_truth(Answer(sample, NOTHING) for sample in val)
    if curve(unanswered, min_side=GROUPS["near"]).wanted == 0:
        expected = "at least one near hand (its longer side at least 1/12 of the picture's), to choose the score by"
        raise DatasetError(mismatch(f"val split of {data}", expected, "none"))


def require_batch(recipe: Recipe, plan: Plan) -> None:
    """Batch normalization cannot learn from one value a channel. Raises `ConfigError` where it would have to.

    A forward pass without numbers (torch's meta device) tells: it costs nothing and draws nothing.
    """
    if plan.batch_size > 1:
        return
    for side in sorted({side for _, sides in plan.sides_px for side in sides}):
        with torch.device("meta"), torch.no_grad():
            network = recipe.network(side).train()
            for name, part in network.named_modules():
                if name in recipe.frozen:
                    part.eval()
            try:
                network(torch.zeros(1, 3, side, side))
            except ValueError as error:
                expected = f"2 or more for {recipe.architecture} at inputs of {side} px, whose last map is one cell"
                raise ConfigError(mismatch("--batch-size", expected, plan.batch_size)) from error

"""A network that learns from another one what that one answers, not from labels: `handguard train --teacher`.

A slim form of the teacher (see `slimming`) needs nothing else to start from: it begins with those of the
teacher's inner channels that tell most. Any other network with the same priors is taught, too, from weights of
its own (`--init`) or from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch
from handguard.training.coco import Sample
from handguard.training.exporting import calibration_set
from handguard.training.fine_tuning import Base, load_base
from handguard.training.loop import Recipe
from handguard.training.slimming import slimmed

SLIM = "-slim"  # what such a form adds to the name of an architecture
PICTURES = 200  # of the train set, by which its channels are chosen


def teacher_for(recipe: Recipe, model: str) -> Base:
    """The model that teaches a network of `recipe`. Raises `ModelError` if it cannot."""
    teacher = load_base(model)
    for network, who in ((teacher.network, teacher.files.card), (recipe.network(), recipe.architecture)):
        if network.score_kind is not ScoreKind.SIGMOID:
            raise ModelError(mismatch(f"{who}: scores", "sigmoid, to teach or to be taught", network.score_kind.value))
    if not torch.equal(recipe.network(teacher.side_px).priors, teacher.network.priors):
        raise ModelError(mismatch(f"{teacher.files.card}: priors", f"those of {recipe.architecture}", "others"))
    return teacher


def slim_start(
    recipe: Recipe, teacher: Base, samples: Sequence[Sample], *, goes_on: bool
) -> tuple[Ssd, str] | None:
    """A slim form of the teacher with the best of its channels, and in words what it is; None for other networks.

    A run that goes on takes its weights from its checkpoint: they are not worked out again.
    """
    if recipe.architecture != teacher.card.architecture + SLIM:
        return None
    slim, count = recipe.network(), min(PICTURES, len(samples))
    words = f"the most telling inner channels of {teacher.words} on {count} train pictures"
    if goes_on:
        return slim, words
    return slimmed(teacher.network, slim, calibration_set(samples, count, teacher.card.input_px)), words

"""How class logits become scores: a property of the trained network, kept in its card."""

from __future__ import annotations

from enum import Enum


class ScoreKind(Enum):
    """The two ways of the family."""

    SOFTMAX = "softmax"  # the paper: class 0 is background
    SIGMOID = "sigmoid"  # one independent score per class, no background class

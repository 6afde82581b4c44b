"""Prediction heads: per feature map, class logits and box offsets for every prior."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PredictionHead(nn.Module):
    """Turns feature maps into `(N, P, outputs)`, flattened in the order of `priors.grid`.

    `tower(channels)` makes the layers between a feature map and its prediction;
    the paper uses none, and a plain 3×3 convolution predicts.
    """

    def __init__(self, predictors: Sequence[nn.Module], outputs: int) -> None:
        super().__init__()
        self.predictors = nn.ModuleList(predictors)
        self.outputs = outputs

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.cat([self._flat(one(x)) for one, x in zip(self.predictors, maps, strict=True)], dim=1)

    def _flat(self, predicted: Tensor) -> Tensor:
        """(N, priors·outputs, H, W) → (N, H·W·priors, outputs)."""
        n = predicted.shape[0]
        return predicted.permute(0, 2, 3, 1).reshape(n, -1, self.outputs)


def conv_head(channels: Sequence[int], per_cell: Sequence[int], outputs: int) -> PredictionHead:
    """The paper's head: one 3×3 convolution per map."""
    convs = [nn.Conv2d(c, k * outputs, 3, padding=1) for c, k in zip(channels, per_cell, strict=True)]
    return PredictionHead(convs, outputs)


def pointwise_head(channels: Sequence[int], per_cell: Sequence[int], outputs: int) -> PredictionHead:
    """A 1×1 convolution per map, for maps that already passed a tower."""
    convs = [nn.Conv2d(c, k * outputs, 1) for c, k in zip(channels, per_cell, strict=True)]
    return PredictionHead(convs, outputs)


def separable_head(channels: Sequence[int], per_cell: Sequence[int], outputs: int) -> PredictionHead:
    """SSDLite's head: depthwise 3×3, then 1×1 (Sandler et al., "MobileNetV2", 2018)."""

    def predictor(c: int, k: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU6(),
            nn.Conv2d(c, k * outputs, 1),
        )

    return PredictionHead([predictor(c, k) for c, k in zip(channels, per_cell, strict=True)], outputs)

"""Prediction heads: per feature map, class logits and box offsets for every prior; and how they start."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handguard.detection.backbones.depthwise import DepthwiseConv2d
from handguard.detection.backbones.layers import Norm

RARE = 0.01  # a prior is a hand about once in a hundred: the class bias to start from (Lin et al., 2017)


class PredictionHead(nn.Module):
    """Turns feature maps into `(N, P, outputs)`, flattened in the order of `priors.grid`.

    One predictor per map gives `priors · outputs` channels, prior by prior.
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


def separable_head(
    channels: Sequence[int], per_cell: Sequence[int], outputs: int, norm: Norm = nn.BatchNorm2d
) -> PredictionHead:
    """SSDLite's head: depthwise 3×3, then 1×1 (Sandler et al., "MobileNetV2", 2018)."""

    def predictor(c: int, k: int) -> nn.Module:
        return nn.Sequential(
            DepthwiseConv2d(c, 3, padding=1),
            norm(c),
            nn.ReLU6(),
            nn.Conv2d(c, k * outputs, 1),
        )

    return PredictionHead([predictor(c, k) for c, k in zip(channels, per_cell, strict=True)], outputs)


def start_rare(head: nn.Module) -> None:
    """Give the predicting convolutions of a class head the bias of a rare event."""
    for conv in _convolutions(head):
        if conv.bias is not None:
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.constant_(conv.bias, -math.log((1 - RARE) / RARE))


def started_xavier(head: nn.Module) -> nn.Module:
    """The paper's start for the predictors."""
    for conv in _convolutions(head):
        nn.init.xavier_uniform_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return head


def started_normal(head: nn.Module) -> nn.Module:
    """SSDLite's start for the predictors."""
    for conv in _convolutions(head):
        nn.init.normal_(conv.weight, std=0.03)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return head


def _convolutions(head: nn.Module) -> list[nn.Conv2d]:
    return [one for one in head.modules() if isinstance(one, nn.Conv2d)]

"""The single-shot detector: backbone, heads, priors.

`Ssd.forward` gives raw predictions; turning them into boxes is `postprocess`,
so that every back end (torch, OpenVINO, CUDA) shares one set of weights and one
meaning of the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from handguard.detection.scores import ScoreKind


class Raw(NamedTuple):
    """What the network says about each of P priors."""

    class_logits: Tensor  # (N, P, C), or C+1 with background first for SOFTMAX
    box_offsets: Tensor  # (N, P, 4), coded as in `boxes.encode`


class Ssd(nn.Module):
    """A detector over BGR pictures `(N, 3, H, W)`, values 0 to 255.

    Normalisation is part of the network, so that nothing outside can forget it.
    """

    priors: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        class_head: nn.Module,
        box_head: nn.Module,
        priors_cxcywh: Tensor,
        score_kind: ScoreKind,
        *,
        tower: nn.Module | None = None,
        mean_bgr: Sequence[float] = (114.0, 114.0, 114.0),
        std_bgr: Sequence[float] = (58.0, 58.0, 58.0),
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tower = nn.Identity() if tower is None else tower
        self.class_head = class_head
        self.box_head = box_head
        self.score_kind = score_kind
        self.register_buffer("priors", priors_cxcywh, persistent=False)
        self.register_buffer("mean", torch.tensor(mean_bgr).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(std_bgr).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Raw:
        maps = self.tower(self.backbone(self.normalized(images)))
        return Raw(self.class_head(maps), self.box_head(maps))

    def normalized(self, images: Tensor) -> Tensor:
        """What the backbone sees of `images` (N, 3, height, width), BGR from 0 to 255."""
        return (images - self.mean) * self.scale


class Tower(nn.Module):
    """One small network per feature map, before the predictors."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self.layers, maps, strict=True)]

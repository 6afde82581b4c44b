"""The family: every network handguard knows, by name, each read top to bottom.

    palmnet-s, palmnet-m      our backbone for CPUs; any input size that is a multiple of 32
    ssd300-vgg16              the paper's network: 8,732 priors, fixed 300 × 300
    ssdlite-mobilenet-v2      depthwise, with a small feature pyramid for far hands
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from handguard.detection import priors
from handguard.detection.backbones.layers import conv_bn
from handguard.detection.backbones.palmnet import SIZES, STRIDES_PX, PalmNet
from handguard.detection.heads import pointwise_head
from handguard.detection.ssd import ScoreKind, Ssd, Tower
from handguard.errors import ModelError, mismatch

Builder = Callable[[int, tuple[int, int]], Ssd]

OCTAVE_SIDES = (2.0, 3.5)  # sides of the square priors in strides: 16 and 28 px on the stride-8 map
RARE = 0.01  # a prior is a hand about once in a hundred: the class bias to start from (Lin et al., 2017)


def build(name: str, classes: int = 2, input_px: tuple[int, int] = (320, 320)) -> Ssd:
    """An untrained network. `input_px` is (width, height). Raises `ModelError` for an unknown name or size."""
    if name not in FAMILY:
        raise ModelError(mismatch("architecture", f"one of {', '.join(sorted(FAMILY))}", repr(name)))
    return FAMILY[name](classes, input_px)


def _palmnet(size: str) -> Builder:
    def build_palmnet(classes: int, input_px: tuple[int, int]) -> Ssd:
        _require_multiple_of_32(input_px)
        backbone = PalmNet(SIZES[size])
        maps = [priors.octave_map(input_px, stride, OCTAVE_SIDES) for stride in STRIDES_PX]
        per_cell = [one.per_cell for one in maps]
        tower = Tower([conv_bn(channels, channels, 3) for channels in backbone.channels])
        network = Ssd(
            backbone,
            pointwise_head(backbone.channels, per_cell, classes),
            pointwise_head(backbone.channels, per_cell, 4),
            priors.grid(maps, input_px),
            ScoreKind.SIGMOID,
            tower=tower,
        )
        _start_rare(network.class_head)
        return network

    return build_palmnet


def _start_rare(head: nn.Module) -> None:
    """Give the last convolutions of a class head the bias of a rare event."""
    for predictor in head.predictors:  # type: ignore[union-attr]
        nn.init.normal_(predictor.weight, std=0.01)
        nn.init.constant_(predictor.bias, -math.log((1 - RARE) / RARE))


def _require_multiple_of_32(input_px: tuple[int, int]) -> None:
    if min(input_px) < 64 or any(side % 32 for side in input_px):
        raise ModelError(mismatch("input size", "width and height in multiples of 32, at least 64", input_px))


FAMILY: dict[str, Builder] = {f"palmnet-{size}": _palmnet(size) for size in SIZES}

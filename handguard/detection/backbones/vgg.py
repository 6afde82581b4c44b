"""VGG16 as the SSD paper lays it out (Liu et al., "SSD: Single Shot MultiBox Detector", 2016).

    stage     stride  layers                                     at 300   at 512
    conv1        1    3×3, 64, twice; pool                         300      512
    conv2        2    3×3, 128, twice; pool                        150      256
    conv3        4    3×3, 256, three times; pool                   75      128   → only as the finer map
    conv4        8    3×3, 512, three times                         38       64   → L2-normalised, then pool
    conv5       16    3×3, 512, three times; pool 3×3, stride 1     19       32
    fc6         16    3×3, 1024, dilation 6                         19       32
    fc7         16    1×1, 1024                                     19       32   → map
    conv8_2           1×1, 256; 3×3, 512, stride 2                  10       16   → map
    conv9_2           1×1, 128; 3×3, 256, stride 2                   5        8   → map
    conv10_2          1×1, 128; 3×3, 256                             3        4   → map
    conv11_2          1×1, 128; 3×3, 256                             1        2   → map
    conv12_2          1×1, 128; 4×4, 256 (512 only)                  –        1   → map

The features of conv4_3 are much larger than those of later layers; each
position is therefore scaled to unit length and multiplied by a learnt factor
per channel that starts at 20 (Liu et al., "ParseNet", 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

PIXEL_SPREAD = 58.0  # the deviation of pictures, which come in as 0 to 255 less their mean
UNIT_SCALE = 20.0  # the paper's start value for the scale of conv4_3


@dataclass(frozen=True, slots=True)
class Extra:
    """One added layer: a 1×1 convolution to `squeeze` channels, then `kernel`×`kernel` to `outputs`."""

    inputs: int
    squeeze: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0


CONV8_AND_9 = (Extra(1024, 256, 512, stride=2, padding=1), Extra(512, 128, 256, stride=2, padding=1))
EXTRAS_300 = (*CONV8_AND_9, Extra(256, 128, 256), Extra(256, 128, 256))
EXTRAS_512 = (
    *CONV8_AND_9,
    Extra(256, 128, 256, stride=2, padding=1),
    Extra(256, 128, 256, stride=2, padding=1),
    Extra(256, 128, 256, kernel=4, padding=1),
)


class Vgg16(nn.Module):
    """Picture → the maps of the table, finest first; `finer` puts conv3 before them."""

    def __init__(self, extras: Sequence[Extra], *, finer: bool = False) -> None:
        super().__init__()
        self.finer = finer
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # 75 cells become 38
        self.conv1 = _convs(3, 64, 2)
        self.conv2 = _convs(64, 128, 2)
        self.conv3 = _convs(128, 256, 3)
        self.conv4 = _convs(256, 512, 3)
        self.conv4_norm = UnitLength(512)
        self.conv5 = _convs(512, 512, 3)
        self.pool5 = nn.MaxPool2d(3, stride=1, padding=1)
        self.fc6 = _relu(nn.Conv2d(512, 1024, 3, padding=6, dilation=6))
        self.fc7 = _relu(nn.Conv2d(1024, 1024, 1))
        self.extras = nn.ModuleList([_extra(one) for one in extras])
        self.channels = (*((256,) if finer else ()), 512, 1024, *(one.outputs for one in extras))
        self.apply(_start)
        next(self.conv1.parameters()).data.div_(PIXEL_SPREAD)

    def forward(self, x: Tensor) -> list[Tensor]:
        conv3 = self.conv3(self.pool(self.conv2(self.pool(self.conv1(x)))))
        conv4 = self.conv4(self.pool(conv3))
        x = self.fc7(self.fc6(self.pool5(self.conv5(self.pool(conv4)))))
        maps = [self.conv4_norm(conv4), x]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return [conv3, *maps] if self.finer else maps


class UnitLength(nn.Module):
    """Scales the channels at each position to unit length, then by a learnt factor per channel.

    In float32 whatever comes in: in half precision, 512 squares overflow, and the small number that keeps
    a position without any signal from being divided by 0 is itself 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), UNIT_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return normalize(x.float(), dim=1).to(x.dtype) * self.scale.view(1, -1, 1, 1)


def _convs(inputs: int, outputs: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [nn.Conv2d(inputs if i == 0 else outputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _relu(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def _extra(one: Extra) -> nn.Sequential:
    squeeze = nn.Conv2d(one.inputs, one.squeeze, 1)
    conv = nn.Conv2d(one.squeeze, one.outputs, one.kernel, one.stride, one.padding)
    return nn.Sequential(*_relu(squeeze), *_relu(conv))


def _start(module: nn.Module) -> None:
    """He's initialisation: without batch normalisation nothing else keeps sixteen layers alive."""
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)

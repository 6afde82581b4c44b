"""MobileNetV2 for detection (Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018).

    stage    stride  layers (t: how much the inner channels expand)
    stem        2    3×3, 32, stride 2; bottleneck of 16 (t = 1)
    edge        4    2 bottlenecks of 24 (t = 6)                     → only as the finer map
    part        8    3 bottlenecks of 32                             → map
    hand       16    4 bottlenecks of 64, 3 of 96                    → map
    scene      32    3 bottlenecks of 160, 1 of 320                  → map
    beyond     64    SSDLite's added layer: 1×1, 3×3 depthwise, 1×1  → map

The paper detects from stride 16 on. Hands a few metres away are ten pixels wide
at 320, so ours starts at stride 8 and is meant to be followed by a top-down pyramid.
"""

from __future__ import annotations

from torch import Tensor, nn

from handguard.detection.backbones.layers import conv_bn
from handguard.detection.backbones.octaves import Octaves


class MobilenetV2(Octaves):
    """Picture → maps at strides 8, 16, 32, 64; `finer` puts stride 4 before them."""

    def __init__(self, *, finer: bool = False) -> None:
        super().__init__(finer=finer, edge=24, widths=(32, 96, 320, 256))
        self.stem = nn.Sequential(conv_bn(3, 32, 3, 2, act=nn.ReLU6()), InvertedResidual(32, 16, 1, expand=1))
        self.edge = _bottlenecks(16, 24, 2, stride=2)
        self.part = _bottlenecks(24, 32, 3, stride=2)
        self.hand = nn.Sequential(*_bottlenecks(32, 64, 4, stride=2), *_bottlenecks(64, 96, 3, stride=1))
        self.scene = nn.Sequential(*_bottlenecks(96, 160, 3, stride=2), *_bottlenecks(160, 320, 1, stride=1))
        self.beyond = ssdlite_extra(320, 256)


class InvertedResidual(nn.Module):
    """1×1 up, 3×3 depthwise, linear 1×1 down; added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int = 6) -> None:
        super().__init__()
        inner = inputs * expand
        layers = [] if expand == 1 else [conv_bn(inputs, inner, 1, act=nn.ReLU6())]
        layers += [
            conv_bn(inner, inner, 3, stride, depthwise=True, act=nn.ReLU6()),
            conv_bn(inner, outputs, 1, act=nn.Identity()),
        ]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


def ssdlite_extra(inputs: int, outputs: int) -> nn.Sequential:
    """SSDLite's added layer: 1×1 to half the outputs, 3×3 depthwise with stride 2, 1×1."""
    half = outputs // 2
    return nn.Sequential(
        conv_bn(inputs, half, 1, act=nn.ReLU6()),
        conv_bn(half, half, 3, 2, depthwise=True, act=nn.ReLU6()),
        conv_bn(half, outputs, 1, act=nn.ReLU6()),
    )


def _bottlenecks(inputs: int, outputs: int, count: int, stride: int) -> nn.Sequential:
    first = InvertedResidual(inputs, outputs, stride)
    return nn.Sequential(first, *[InvertedResidual(outputs, outputs, 1) for _ in range(count - 1)])

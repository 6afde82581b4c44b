"""PalmNet: a plain convolutional backbone for ordinary CPUs, with its feature pyramid.

Depthwise networks count few multiplications but move much memory, and they
leave the matrix units of AVX-512-BF16 and AMX idle. PalmNet uses full 3×3 and
1×1 convolutions with few channels where the picture is large:

    stage   stride  layers
    stem       2    3×3, stride 2
    edge       4    3×3, stride 2,  residual × depth
    part       8    3×3, stride 2,  residual × depth    → pyramid
    hand      16    3×3, stride 2,  residual × depth    → pyramid
    scene     32    3×3, stride 2,  residual × depth    → pyramid, and once more at stride 64

A top-down pyramid (Lin et al., "Feature Pyramid Networks", 2017) brings context
down to the finest map, where far hands of ten pixels are found.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import interpolate

from handguard.detection.backbones.layers import Residual, conv_bn


@dataclass(frozen=True, slots=True)
class PalmNetSize:
    """Channels of the five stages, residual blocks of the last four, channels of the pyramid."""

    widths: tuple[int, int, int, int, int]
    depths: tuple[int, int, int, int]
    pyramid: int


SIZES = {
    "s": PalmNetSize((16, 32, 64, 128, 256), (1, 2, 2, 1), 64),
    "m": PalmNetSize((24, 48, 96, 160, 256), (1, 2, 3, 2), 96),
}
STRIDES_PX = (8, 16, 32, 64)


class PalmNet(nn.Module):
    """Picture `(N, 3, H, W)` → four pyramid maps of equal channels at strides 8, 16, 32, 64."""

    def __init__(self, size: PalmNetSize) -> None:
        super().__init__()
        widths, depths = size.widths, size.depths
        self.stem = conv_bn(3, widths[0], 3, 2)
        self.edge = _stage(widths[0], widths[1], depths[0])
        self.part = _stage(widths[1], widths[2], depths[1])
        self.hand = _stage(widths[2], widths[3], depths[2])
        self.scene = _stage(widths[3], widths[4], depths[3])
        self.pyramid = Pyramid(widths[2:], size.pyramid)
        self.channels = (size.pyramid,) * len(STRIDES_PX)

    def forward(self, x: Tensor) -> list[Tensor]:
        part = self.part(self.edge(self.stem(x)))
        hand = self.hand(part)
        scene = self.scene(hand)
        return self.pyramid(part, hand, scene)


class Pyramid(nn.Module):
    """Top-down pathway: coarse maps are brought up, added to finer ones, and smoothed."""

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([conv_bn(width, channels, 1) for width in widths])
        self.smooth = nn.ModuleList([conv_bn(channels, channels, 3) for _ in widths])
        self.coarser = conv_bn(channels, channels, 3, 2)

    def forward(self, *maps: Tensor) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            merged[level] = merged[level] + _resized(merged[level + 1], merged[level])
        smooth = [layer(x) for layer, x in zip(self.smooth, merged, strict=True)]
        return [*smooth, self.coarser(smooth[-1])]


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return interpolate(x, size=like.shape[-2:], mode="nearest")


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    return nn.Sequential(conv_bn(inputs, outputs, 3, 2), *[Residual(outputs) for _ in range(depth)])

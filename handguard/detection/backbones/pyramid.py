"""The small-object remedy: a top-down pyramid between a backbone and its heads.

A fine map sees a far hand sharply but knows little around it; a coarse map
knows the scene but not the hand. The pyramid (Lin et al., "Feature Pyramid
Networks for Object Detection", 2017) brings the coarse maps down and adds them
to the finer ones. It stands in the place of `Ssd.tower`, so that a backbone's
own weights keep their names with or without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import interpolate

from handguard.detection.backbones.layers import conv_bn


class TopDown(nn.Module):
    """Maps of any widths, finest first → as many maps of equal `channels`, at the same sizes."""

    def __init__(self, widths: Sequence[int], channels: int, *, separable: bool = False) -> None:
        super().__init__()
        smooth = _separable if separable else _full
        self.lateral = nn.ModuleList([conv_bn(width, channels, 1, act=nn.Identity()) for width in widths])
        self.smooth = nn.ModuleList([smooth(channels) for _ in widths])
        self.channels = (channels,) * len(widths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            coarser = interpolate(merged[level + 1], size=merged[level].shape[-2:], mode="nearest")
            merged[level] = merged[level] + coarser
        return [layer(x) for layer, x in zip(self.smooth, merged, strict=True)]


def _full(channels: int) -> nn.Module:
    return conv_bn(channels, channels, 3)


def _separable(channels: int) -> nn.Module:
    depthwise = conv_bn(channels, channels, 3, depthwise=True, act=nn.ReLU6())
    return nn.Sequential(depthwise, conv_bn(channels, channels, 1, act=nn.ReLU6()))

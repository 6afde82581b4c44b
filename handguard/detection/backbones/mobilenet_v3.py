"""MobileNetV3-Large with the reduced tail and SSDLite's added layers: torchvision's SSDLite320.

    stage     stride  layers                                                  at 320
    stem         2    3×3, 16, stride 2, hard swish                             160
    rows 1-12         the paper's table, down to 112 channels                    20
    row 13      16    its 1×1 expansion to 672                                   20   → map
    row 13-15   32    the rest of row 13 (stride 2), two rows of 80
    last        32    1×1, 480                                                   10   → map
    extra 1-4         1×1, 3×3 depthwise with stride 2, 1×1: 512, 256, 256, 128  5, 3, 2, 1   → maps

Howard et al., "Searching for MobileNetV3" (2019): Table 1 for the rows, section 6.3
for the two maps and for halving the channels after row 12. As the finer map,
stride 8 (row 6, 40 channels) comes before the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from handguard.detection.backbones.layers import Norm, conv_bn

STRIDES_PX = (16, 32, 64, 128, 256, 512)
FINER_STRIDE_PX = 8
FINER_ROW = 6  # so many rows lead to stride 8
SPLIT_ROW = 12  # so many rows come before the one whose expansion is the first map
NORM: Norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)  # torchvision's recipe


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the paper's table: a bottleneck with its kernel and inner channels."""

    kernel: int
    inner: int
    outputs: int
    squeezes: bool  # squeeze-and-excitation
    act: Callable[[], nn.Module]
    stride: int = 1


RE, HS = nn.ReLU, nn.Hardswish
ROWS = (
    Row(3, 16, 16, False, RE),
    Row(3, 64, 24, False, RE, 2),
    Row(3, 72, 24, False, RE),
    Row(5, 72, 40, True, RE, 2),
    Row(5, 120, 40, True, RE),
    Row(5, 120, 40, True, RE),
    Row(3, 240, 80, False, HS, 2),
    Row(3, 200, 80, False, HS),
    Row(3, 184, 80, False, HS),
    Row(3, 184, 80, False, HS),
    Row(3, 480, 112, True, HS),
    Row(3, 672, 112, True, HS),
    Row(5, 672, 80, True, HS, 2),
    Row(5, 480, 80, True, HS),
    Row(5, 480, 80, True, HS),
)
INPUTS = (16, *(row.outputs for row in ROWS[:-1]))
LAST = 480


class MobilenetV3(nn.Module):
    """Picture → six maps at strides 16 to 512; `finer` puts stride 8 before them."""

    def __init__(self, *, finer: bool = False) -> None:
        super().__init__()
        self.finer = finer
        self.stem = conv_bn(3, 16, 3, 2, act=HS(), norm=NORM)
        rows = [InvertedResidual(n, row) for n, row in zip(INPUTS, ROWS, strict=True)]
        self.early = nn.Sequential(*rows[:FINER_ROW])
        self.middle = nn.Sequential(*rows[FINER_ROW:SPLIT_ROW])
        self.split = rows[SPLIT_ROW]
        self.late = nn.Sequential(*rows[SPLIT_ROW + 1 :])
        self.last = conv_bn(ROWS[-1].outputs, LAST, 1, act=HS(), norm=NORM)
        self.extras = nn.ModuleList([_extra(LAST, 512), _extra(512, 256), _extra(256, 256), _extra(256, 128)])
        self.strides_px = (*((FINER_STRIDE_PX,) if finer else ()), *STRIDES_PX)
        self.channels = (*((40,) if finer else ()), ROWS[SPLIT_ROW].inner, LAST, 512, 256, 256, 128)
        self.apply(_start)

    def forward(self, x: Tensor) -> list[Tensor]:
        early = self.early(self.stem(x))
        expanded = self.split.layers[0](self.middle(early))
        late = self.late(self.split.layers[1:](expanded))
        maps = [expanded, self.last(late)]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return [early, *maps] if self.finer else maps


class InvertedResidual(nn.Module):
    """1×1 up, depthwise, squeeze-and-excitation if the row has it, linear 1×1 down."""

    def __init__(self, inputs: int, row: Row) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if row.inner != inputs:
            layers.append(conv_bn(inputs, row.inner, 1, act=row.act(), norm=NORM))
        layers.append(
            conv_bn(row.inner, row.inner, row.kernel, row.stride, depthwise=True, act=row.act(), norm=NORM)
        )
        if row.squeezes:
            layers.append(SqueezeExcite(row.inner))
        layers.append(conv_bn(row.inner, row.outputs, 1, act=nn.Identity(), norm=NORM))
        self.layers = nn.Sequential(*layers)
        self.adds = row.stride == 1 and inputs == row.outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole map says (Hu et al., 2018), with a hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _nearest_eight(channels / 4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = nn.functional.hardsigmoid(self.fc2(nn.functional.relu(self.fc1(self.pool(x)))))
        return x * weight


def _nearest_eight(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, but not more than a tenth below it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _extra(inputs: int, outputs: int) -> nn.Sequential:
    half = outputs // 2
    return nn.Sequential(
        conv_bn(inputs, half, 1, act=nn.ReLU6(), norm=NORM),
        conv_bn(half, half, 3, 2, depthwise=True, act=nn.ReLU6(), norm=NORM),
        conv_bn(half, outputs, 1, act=nn.ReLU6(), norm=NORM),
    )


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.03)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

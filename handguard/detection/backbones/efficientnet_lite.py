"""EfficientNet-Lite for detection (Tan & Le, "EfficientNet", 2019; the Lite form without squeeze-and-excite).

    stage    stride  Lite0: layers (t: how much the inner channels expand, k: the depthwise kernel)        Lite2
    stem        2    3×3, 32, stride 2; bottleneck of 16 (t = 1, k = 3)                                     the same
    edge        4    2 bottlenecks of 24 (t = 6, k = 3)                     → only as the finer map         3 of 24
    part        8    2 bottlenecks of 40 (k = 5)                            → map                           3 of 48
    hand       16    3 bottlenecks of 80 (k = 3), 3 of 112 (k = 5)          → map                    4 of 88, 4 of 120
    scene      32    4 bottlenecks of 192 (k = 5), 1 of 320 (k = 3)         → map                    5 of 208, 1 of 352
    beyond     64    SSDLite's added layer: 1×1, 3×3 depthwise, 1×1         → map                           the same

The slim form of Lite0 has fewer channels inside its bottlenecks and is the same everywhere else.

Their public weights learnt ImageNet with TensorFlow's way to pad: where a stride-2
layer has one row too few to pad evenly, the row is added at the end, so each
stride looks half a pixel further right and down than PyTorch would. That is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import pad

from handguard.detection.backbones.layers import conv_bn
from handguard.detection.backbones.mobilenet_v2 import ssdlite_extra
from handguard.detection.backbones.octaves import Octaves

EPS = 1e-3
NORM = partial(nn.BatchNorm2d, eps=EPS, momentum=0.01)
STEM, EXPAND = 16, 6
BEYOND = 256  # channels of the added layer


@dataclass(frozen=True, slots=True)
class Scale:
    """Channels and numbers of bottlenecks: of edge, part, both halves of hand, both of scene."""

    channels: tuple[int, int, int, int, int, int]
    counts: tuple[int, int, int, int, int, int]
    slim: tuple[int, ...] = ()  # channels inside each bottleneck after the stem's, in order; (): six times its inputs

    @property
    def inner(self) -> tuple[int, ...]:
        """Channels inside each bottleneck after the stem's, in order."""
        outputs = [width for width, count in zip(self.channels, self.counts, strict=True) for _ in range(count)]
        return self.slim or tuple(EXPAND * inputs for inputs in (STEM, *outputs[:-1]))

    @property
    def stages(self) -> tuple[tuple[str, int], ...]:
        """How many bottlenecks each stage holds."""
        edge, part, *halves = self.counts
        return ("edge", edge), ("part", part), ("hand", sum(halves[:2])), ("scene", sum(halves[2:]))


LITE0 = Scale((24, 40, 80, 112, 192, 320), (2, 2, 3, 3, 4, 1))
LITE2 = Scale((24, 48, 88, 120, 208, 352), (3, 3, 4, 4, 5, 1))
LITE0_SLIM = replace(
    LITE0, slim=(64, 128, 112, 208, 192, 384, 400, 368, 576, 560, 512, 784, 688, 560, 528)
)


class EfficientNetLite(Octaves):
    """Picture → maps at strides 8, 16, 32, 64; `finer` puts stride 4 before them. Sides in multiples of 16."""

    def __init__(self, scale: Scale, *, finer: bool = False) -> None:
        edge, part, near, hand, far, scene = scale.channels
        super().__init__(finer=finer, edge=edge, widths=(part, hand, scene, BEYOND))
        self.stem = nn.Sequential(_strided(3, 32, 3), Bottleneck(32, STEM, 32, 3))
        counts, inner = scale.counts, iter(scale.inner)
        self.edge = nn.Sequential(*_bottlenecks(STEM, edge, inner, counts[0], kernel=3, stride=2))
        self.part = nn.Sequential(*_bottlenecks(edge, part, inner, counts[1], kernel=5, stride=2))
        self.hand = nn.Sequential(
            *_bottlenecks(part, near, inner, counts[2], kernel=3, stride=2),
            *_bottlenecks(near, hand, inner, counts[3], kernel=5),
        )
        self.scene = nn.Sequential(
            *_bottlenecks(hand, far, inner, counts[4], kernel=5, stride=2),
            *_bottlenecks(far, scene, inner, counts[5], kernel=3),
        )
        self.beyond = ssdlite_extra(scene, BEYOND)

    @property
    def bottlenecks(self) -> list[Bottleneck]:
        """Those after the stem's, in the order in which a picture passes them."""
        stages = (self.edge, self.part, self.hand, self.scene)
        return [block for stage in stages for block in stage.children() if isinstance(block, Bottleneck)]


class EfficientNetLite0(EfficientNetLite):
    """The smallest."""

    def __init__(self, *, finer: bool = False) -> None:
        super().__init__(LITE0, finer=finer)


class EfficientNetLite2(EfficientNetLite):
    """Half again as deep, and a tenth wider where it is not narrow."""

    def __init__(self, *, finer: bool = False) -> None:
        super().__init__(LITE2, finer=finer)


class EfficientNetLite0Slim(EfficientNetLite):
    """The smallest, with those of its inner channels that tell most (`training.slimming`)."""

    def __init__(self, *, finer: bool = False) -> None:
        super().__init__(LITE0_SLIM, finer=finer)


class Bottleneck(nn.Module):
    """1×1 to `inner` channels (none where there are as many already), depthwise, linear 1×1 down; added to the input
    where shapes allow."""

    def __init__(self, inputs: int, outputs: int, inner: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        up = [] if inner == inputs else [conv_bn(inputs, inner, 1, act=nn.ReLU6(), norm=NORM)]
        depthwise = _strided(inner, inner, kernel, depthwise=True) if stride == 2 else _even(inner, kernel)
        down = conv_bn(inner, outputs, 1, act=nn.Identity(), norm=NORM)
        self.layers = nn.Sequential(*up, depthwise, down)
        self.inner = inner
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class _PadEnd(nn.Module):
    """What TensorFlow adds round an even picture before a stride of 2: one row and column more at the end.

    And one more that the stride leaves out there, so that an odd picture is halved to the larger half, as if it had
    a last row of zeros: what it shows stays where it is.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.before, self.after = (kernel - 2) // 2, (kernel - 1) // 2 + 1

    def forward(self, x: Tensor) -> Tensor:
        return pad(x, (self.before, self.after, self.before, self.after))


def _strided(inputs: int, outputs: int, kernel: int, *, depthwise: bool = False) -> nn.Sequential:
    conv = conv_bn(inputs, outputs, kernel, 2, depthwise=depthwise, act=nn.ReLU6(), padding=0, norm=NORM)
    return nn.Sequential(_PadEnd(kernel), *conv)


def _even(channels: int, kernel: int) -> nn.Sequential:
    return conv_bn(channels, channels, kernel, depthwise=True, act=nn.ReLU6(), norm=NORM)


def _bottlenecks(
    inputs: int, outputs: int, inner: Iterator[int], count: int, *, kernel: int, stride: int = 1
) -> list[Bottleneck]:
    first = Bottleneck(inputs, outputs, next(inner), kernel, stride)
    return [first, *(Bottleneck(outputs, outputs, next(inner), kernel) for _ in range(count - 1))]

"""The family: every network handguard knows, by name.

    name                          input    priors  scores   maps at strides
    palmnet-s, palmnet-m          × 32      4,250  sigmoid  8 16 32 64, pyramid     our backbone for CPUs
    ssdlite-mobilenet-v2          × 32      4,250  sigmoid  8 16 32 64, pyramid     depthwise, for far hands
    ssdlite-efficientnet-lite0    × 16      4,250  sigmoid  8 16 32 64, pyramid     the same over a stronger one
      …-lite0-slim                × 16      4,250  sigmoid  8 16 32 64, pyramid     and with fewer channels inside
    ssdlite-efficientnet-lite2    × 16     10,880  sigmoid  8 16 32 64, pyramid     for accuracy, at 512 × 512
    ssdlite320-mobilenet-v3-large × 32      3,234  softmax  16 32 64 128 256 512    torchvision's layout
    ssd300-vgg16                  300       8,732  softmax  8 16 32 64 100 300      the paper's
    ssd512-vgg16                  512      24,564  softmax  8 16 32 64 128 256 512  the paper's
    ssd300-resnet50               300       8,732  softmax  8 16 32 64 100 300      the layout of NVIDIA's

× 32 means any width and height in multiples of 32, × 16 of 16 (the numbers of priors are for
320 × 320, or the size told); the others take their own square and nothing else. With `+fpn`
after its name, every network but palmnet gets the small-object remedy: one finer
map before the first, and a top-down pyramid over all of them. Pictures go in as
BGR, 0 to 255; each network brings the mean and deviation of the weights it can
start from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from handguard.detection import priors
from handguard.detection.backbones import mobilenet_v3, vgg
from handguard.detection.backbones.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite0Slim,
    EfficientNetLite2,
)
from handguard.detection.backbones.layers import conv_bn
from handguard.detection.backbones.mobilenet_v2 import MobilenetV2
from handguard.detection.backbones.mobilenet_v3 import MobilenetV3
from handguard.detection.backbones.octaves import Octaves
from handguard.detection.backbones.palmnet import SIZES, STRIDES_PX, PalmNet
from handguard.detection.backbones.pyramid import TopDown
from handguard.detection.backbones.resnet import Resnet50
from handguard.detection.backbones.vgg import Vgg16
from handguard.detection.heads import (
    conv_head,
    pointwise_head,
    separable_head,
    start_rare,
    started_normal,
    started_xavier,
)
from handguard.detection.priors import PriorMap, Sizes
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd, Tower
from handguard.errors import ModelError, mismatch


@dataclass(frozen=True, slots=True)
class Order:
    """What `build` asks of a builder."""

    classes: int  # without background
    input_px: tuple[int, int]  # width, height
    remedy: bool  # a finer first map and a top-down pyramid
    sizes: Sizes | None  # of the priors; None: the network's own rule


@dataclass(frozen=True, slots=True)
class Member:
    """One network of the family, and the inputs it takes."""

    builder: Callable[[Order], Ssd]
    input_px: tuple[int, int]  # what it was designed for
    any_multiple_of_px: int | None = None  # takes all such sides from 64 on; None: only `input_px`
    takes_remedy: bool = True


REMEDY = "+fpn"
OCTAVE_SIDES = (2.0, 3.5)  # sides of the square priors in strides: 16 and 28 px on the stride-8 map
PYRAMID = 256  # channels of the pyramid over wide backbones
SLIM_PYRAMID = 96  # and over mobile ones

Triple = tuple[float, float, float]
# means and deviations of the pictures that public weights were trained on, in BGR
CAFFE_MEAN = (0.40784 * 255, 0.45882 * 255, 0.48235 * 255)
IMAGENET_MEAN = (0.406 * 255, 0.456 * 255, 0.485 * 255)
IMAGENET_STD = (0.225 * 255, 0.224 * 255, 0.229 * 255)
HALF = (127.5, 127.5, 127.5)
LITE_MEAN = (127.0, 127.0, 127.0)
LITE_STD = (128.0, 128.0, 128.0)
ONE = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class SquareTable:
    """Maps of a network with one input size; the first row is the finer map of the remedy."""

    rows: tuple[tuple[float, int], ...]  # stride in px as the paper rounds it, cells a side
    ratios: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]


SSD300 = SquareTable(
    ((4, 75), (8, 38), (16, 19), (32, 10), (64, 5), (100, 3), (300, 1)),
    priors.RATIOS_300,
    priors.SCALES_300_COCO,
)
SSD512 = SquareTable(
    ((4, 128), (8, 64), (16, 32), (32, 16), (64, 8), (128, 4), (256, 2), (512, 1)),
    priors.RATIOS_512,
    priors.SCALES_512_COCO,
)


def build(
    name: str, classes: int = 2, input_px: tuple[int, int] | None = None, *, sizes: Sizes | None = None
) -> Ssd:
    """An untrained network.

    `input_px` is (width, height); without it, the size the network was designed
    for. `sizes` replaces the sizes of the priors (see `priors.Sizes`), and with
    them the number of outputs. Raises `ModelError` for an unknown name or a size
    that the network does not take.
    """
    member = member_of(name)
    asked = member.input_px if input_px is None else input_px
    _require_size(name, member, asked)
    return member.builder(Order(classes, asked, name.endswith(REMEDY), sizes))


def names() -> list[str]:
    """Every name that `build` knows."""
    return sorted([*FAMILY, *(name + REMEDY for name, member in FAMILY.items() if member.takes_remedy)])


def member_of(name: str) -> Member:
    """The family's entry, with or without the remedy. Raises `ModelError` for an unknown name."""
    if name not in names():
        raise ModelError(mismatch("architecture", f"one of {', '.join(names())}", repr(name)))
    return FAMILY[name.removesuffix(REMEDY)]


def _require_size(name: str, member: Member, asked: tuple[int, int]) -> None:
    multiple = member.any_multiple_of_px
    if multiple is None and asked != member.input_px:
        raise ModelError(mismatch(f"input size of {name}", f"{member.input_px}, its only size", asked))
    if multiple is not None and (min(asked) < 64 or any(side % multiple for side in asked)):
        expected = f"width and height in multiples of {multiple}, at least 64"
        raise ModelError(mismatch(f"input size of {name}", expected, asked))


def _palmnet(size: str, order: Order) -> Ssd:
    backbone = PalmNet(SIZES[size])
    maps = _octave_maps(order, STRIDES_PX)
    per_cell = [one.per_cell for one in maps]
    tower = Tower([conv_bn(channels, channels, 3) for channels in backbone.channels])
    network = Ssd(
        backbone,
        pointwise_head(backbone.channels, per_cell, order.classes),
        pointwise_head(backbone.channels, per_cell, 4),
        priors.grid(maps, order.input_px),
        ScoreKind.SIGMOID,
        tower=tower,
    )
    start_rare(network.class_head)
    return network


def _ssdlite_mobilenet_v2(order: Order) -> Ssd:
    return _octave_ssdlite(order, MobilenetV2(finer=order.remedy), IMAGENET_MEAN, IMAGENET_STD)


def _ssdlite_efficientnet(
    body: type[EfficientNetLite0 | EfficientNetLite0Slim | EfficientNetLite2], order: Order
) -> Ssd:
    return _octave_ssdlite(order, body(finer=order.remedy), LITE_MEAN, LITE_STD)


def _octave_ssdlite(order: Order, backbone: Octaves, mean_bgr: Triple, std_bgr: Triple) -> Ssd:
    """Separable heads over a pyramid of maps that each halve the one before."""
    maps = _octave_maps(order, backbone.strides_px)
    per_cell = [one.per_cell for one in maps]
    tower = TopDown(backbone.channels, SLIM_PYRAMID, separable=True)
    network = Ssd(
        backbone,
        separable_head(tower.channels, per_cell, order.classes),
        separable_head(tower.channels, per_cell, 4),
        priors.grid(maps, order.input_px),
        ScoreKind.SIGMOID,
        tower=tower,
        mean_bgr=mean_bgr,
        std_bgr=std_bgr,
    )
    start_rare(network.class_head)
    return network


def _ssdlite320_mobilenet_v3(order: Order) -> Ssd:
    backbone = MobilenetV3(finer=order.remedy)
    maps = _even_maps(order, backbone.strides_px)
    per_cell = [one.per_cell for one in maps]
    tower = TopDown(backbone.channels, SLIM_PYRAMID, separable=True) if order.remedy else None
    channels = tower.channels if tower else backbone.channels
    return Ssd(
        backbone,
        started_normal(separable_head(channels, per_cell, order.classes + 1, mobilenet_v3.NORM)),
        started_normal(separable_head(channels, per_cell, 4, mobilenet_v3.NORM)),
        priors.grid(maps, order.input_px),
        ScoreKind.SOFTMAX,
        tower=tower,
        mean_bgr=HALF,
        std_bgr=HALF,
    )


def _ssd300_vgg16(order: Order) -> Ssd:
    backbone = Vgg16(vgg.EXTRAS_300, finer=order.remedy)
    return _paper_ssd(order, backbone, _square_maps(order, SSD300), CAFFE_MEAN, ONE)


def _ssd512_vgg16(order: Order) -> Ssd:
    backbone = Vgg16(vgg.EXTRAS_512, finer=order.remedy)
    return _paper_ssd(order, backbone, _square_maps(order, SSD512), CAFFE_MEAN, ONE)


def _ssd300_resnet50(order: Order) -> Ssd:
    backbone = Resnet50(finer=order.remedy)
    return _paper_ssd(order, backbone, _square_maps(order, SSD300), IMAGENET_MEAN, IMAGENET_STD, clip=True)


def _paper_ssd(
    order: Order,
    backbone: Vgg16 | Resnet50,
    maps: list[PriorMap],
    mean_bgr: Triple,
    std_bgr: Triple,
    clip: bool = False,
) -> Ssd:
    """The paper's way to predict: a plain 3×3 convolution per map, background as class 0."""
    tower = TopDown(backbone.channels, PYRAMID) if order.remedy else None
    channels = tower.channels if tower else backbone.channels
    per_cell = [one.per_cell for one in maps]
    return Ssd(
        backbone,
        started_xavier(conv_head(channels, per_cell, order.classes + 1)),
        started_xavier(conv_head(channels, per_cell, 4)),
        priors.grid(maps, order.input_px, clip=clip),
        ScoreKind.SOFTMAX,
        tower=tower,
        mean_bgr=mean_bgr,
        std_bgr=std_bgr,
    )


def _octave_maps(order: Order, strides_px: tuple[int, ...]) -> list[PriorMap]:
    if order.sizes is None:
        return [priors.octave_map(order.input_px, stride, OCTAVE_SIDES) for stride in strides_px]
    distances = [(float(stride), float(stride)) for stride in strides_px]
    return priors.sized_maps(distances, _cells(order.input_px, strides_px), order.sizes, max(order.input_px))


def _even_maps(order: Order, strides_px: tuple[int, ...]) -> list[PriorMap]:
    """Cells that share the input evenly, also where the stride does not divide it."""
    sizes = order.sizes or _paper(((2, 3),) * 6, priors.even_scales(0.2, 0.95, 6), order.remedy)
    cells = _cells(order.input_px, strides_px)
    distances = [(order.input_px[0] / columns, order.input_px[1] / rows) for columns, rows in cells]
    return priors.sized_maps(distances, cells, sizes, max(order.input_px))


def _square_maps(order: Order, table: SquareTable) -> list[PriorMap]:
    rows = table.rows if order.remedy else table.rows[1:]
    sizes = order.sizes or _paper(table.ratios, table.scales, order.remedy)
    distances = [(stride, stride) for stride, _ in rows]
    return priors.sized_maps(distances, [(n, n) for _, n in rows], sizes, max(order.input_px))


def _paper(ratios: tuple[tuple[int, ...], ...], scales: tuple[float, ...], remedy: bool) -> Sizes:
    """The paper's sizes; the finer map gets two squares, at half the first scale and on the way to it."""
    if remedy:
        ratios, scales = ((), *ratios), (scales[0] / 2, *scales)
    return priors.paper_sizes(1.0, ratios, scales)


def _cells(input_px: tuple[int, int], strides_px: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(math.ceil(input_px[0] / stride), math.ceil(input_px[1] / stride)) for stride in strides_px]


FAMILY: dict[str, Member] = {
    **{f"palmnet-{size}": Member(partial(_palmnet, size), (320, 320), 32, False) for size in SIZES},
    "ssdlite-mobilenet-v2": Member(_ssdlite_mobilenet_v2, (320, 320), 32),
    "ssdlite-efficientnet-lite0": Member(partial(_ssdlite_efficientnet, EfficientNetLite0), (320, 320), 16),
    "ssdlite-efficientnet-lite0-slim": Member(partial(_ssdlite_efficientnet, EfficientNetLite0Slim), (320, 320), 16),
    "ssdlite-efficientnet-lite2": Member(partial(_ssdlite_efficientnet, EfficientNetLite2), (512, 512), 16),
    "ssdlite320-mobilenet-v3-large": Member(_ssdlite320_mobilenet_v3, (320, 320), 32),
    "ssd300-vgg16": Member(_ssd300_vgg16, (300, 300)),
    "ssd512-vgg16": Member(_ssd512_vgg16, (512, 512)),
    "ssd300-resnet50": Member(_ssd300_resnet50, (300, 300)),
}

"""How public checkpoints name their weights, and where those go in ours.

A `Layout` is a table of prefixes, theirs to ours. Every weight of the checkpoint must
be named by the table or be listed as left out, and every weight of our network
must be filled unless the layout says that it does not hold it: `importing` refuses
anything else. Read each table beside the backbone's own, in backbones/.

Our networks give each backbone the inputs that its public weights were trained with.
One layout comes with two kinds of weights. torchvision's VGG16 was trained with pictures
from 0 to 1 less a mean, by a deviation (`vgg16-397923af.pth`, IMAGENET1K_V1); its features
for SSD come from Caffe and take 0 to 255 less a mean, as our VGG networks give it
(`vgg16_features-amdegroot-88682ab5.pth`, IMAGENET1K_FEATURES). The names are the same, but
the second has no values in its classifier, which tells them apart; the first is fitted to
our inputs by its first convolution, and a file without a classifier is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from handguard.detection.architectures import IMAGENET_MEAN, IMAGENET_STD, Triple
from handguard.detection.backbones.efficientnet_lite import (
    LITE0,
    LITE2,
    EfficientNetLite0,
    EfficientNetLite2,
    Scale,
)
from handguard.detection.backbones.mobilenet_v2 import MobilenetV2
from handguard.detection.backbones.mobilenet_v3 import FINER_ROW, ROWS, SPLIT_ROW, MobilenetV3
from handguard.detection.backbones.resnet import Resnet50
from handguard.detection.backbones.vgg import Vgg16

HEADS = ("class_head", "box_head")
AFTER_BACKBONE = ("tower", *HEADS)
MAPS = 7  # at most, of any network of the family

Renames = dict[str, str]  # prefix of theirs → prefix of ours


@dataclass(frozen=True, slots=True)
class Layout:
    """One way of naming weights."""

    name: str
    mark: str  # a weight that only this layout has
    backbone: type[nn.Module]
    renames: Renames
    first_conv: str | None  # ours; its channels turn from RGB to BGR. None: it takes BGR already
    lacks: tuple[str, ...] = ()  # prefixes of ours that such a checkpoint does not hold
    leaves_out: tuple[str, ...] = ()  # prefixes of theirs that we have no use for
    kind_major_heads: bool = False  # head channels ordered (output, prior) instead of (prior, output)
    classifier: str | None = None  # prefix of theirs; where that has values, the inputs were `classified`
    classified: tuple[Triple, Triple] | None = None  # mean and deviation of them, BGR


VGG_CONVS = ("conv1.0", "conv1.2", "conv2.0", "conv2.2", "conv3.0", "conv3.2", "conv3.4")
VGG_CONVS_4 = ("conv4.0", "conv4.2", "conv4.4")
VGG_CONVS_5 = ("conv5.0", "conv5.2", "conv5.4")
VGG_INDEX = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)  # of conv1_1 to conv4_3 in a list with ReLUs and pools
VGG_INDEX_5 = (24, 26, 28)


def _vgg(prefix: str) -> Renames:
    """conv1_1 to conv5_3 under one numbered list."""
    ours = (*VGG_CONVS, *VGG_CONVS_4, *VGG_CONVS_5)
    pairs = zip((*VGG_INDEX, *VGG_INDEX_5), ours, strict=True)
    return {f"{prefix}{index}": f"backbone.{conv}" for index, conv in pairs}


def _reduced_fc(prefix: str) -> Renames:
    """The same and the two fully connected layers that became convolutions."""
    return {**_vgg(prefix), f"{prefix}31": "backbone.fc6.0", f"{prefix}33": "backbone.fc7.0"}


def _numbered(theirs: str, ours: str) -> Renames:
    """`theirs.0` → `ours.0` and so on, for lists of equal order."""
    return {f"{theirs}.{i}": f"{ours}.{i}" for i in range(MAPS)}


def _torchvision_ssd300() -> Renames:
    upto_conv4 = zip(VGG_INDEX, (*VGG_CONVS, *VGG_CONVS_4), strict=True)
    conv5 = zip((1, 3, 5), VGG_CONVS_5, strict=True)
    return {
        "backbone.scale_weight": "backbone.conv4_norm.scale",
        **{f"backbone.features.{index}": f"backbone.{conv}" for index, conv in upto_conv4},
        **{f"backbone.extra.0.{index}": f"backbone.{conv}" for index, conv in conv5},
        "backbone.extra.0.7.1": "backbone.fc6.0",
        "backbone.extra.0.7.3": "backbone.fc7.0",
        **{f"backbone.extra.{i + 1}": f"backbone.extras.{i}" for i in range(MAPS)},
        **_numbered("head.classification_head.module_list", "class_head.predictors"),
        **_numbered("head.regression_head.module_list", "box_head.predictors"),
    }


def _ssd_pytorch() -> Renames:
    extras = {
        f"extras.{2 * i + half}": f"backbone.extras.{i}.{2 * half}" for i in range(MAPS) for half in (0, 1)
    }
    return {
        **_reduced_fc("vgg."),
        "L2Norm.weight": "backbone.conv4_norm.scale",
        **extras,
        **_numbered("conf", "class_head.predictors"),
        **_numbered("loc", "box_head.predictors"),
    }


def _bottlenecks(theirs: str, ours: str, count: int) -> Renames:
    renames = {f"{theirs}.0.downsample": f"{ours}.0.shortcut"}
    for i in range(count):
        for n, part in enumerate(("reduce", "spatial", "expand"), start=1):
            renames[f"{theirs}.{i}.conv{n}"] = f"{ours}.{i}.{part}.0"
            renames[f"{theirs}.{i}.bn{n}"] = f"{ours}.{i}.{part}.1"
    return renames


def _resnet50(conv1: str, bn1: str, stages: tuple[str, str, str]) -> Renames:
    return {
        conv1: "backbone.conv1.0",
        bn1: "backbone.conv1.1",
        **_bottlenecks(stages[0], "backbone.conv2", 3),
        **_bottlenecks(stages[1], "backbone.conv3", 4),
        **_bottlenecks(stages[2], "backbone.conv4", 6),
    }


def _nvidia_ssd() -> Renames:
    body = "feature_extractor.feature_extractor"
    halves = {0: "0.0", 1: "0.1", 3: "1.0", 4: "1.1"}  # convolution, normalisation, twice
    extras = {
        f"additional_blocks.{i}.{index}": f"backbone.extras.{i}.{part}"
        for i in range(MAPS)
        for index, part in halves.items()
    }
    return {
        **_resnet50(f"{body}.0", f"{body}.1", (f"{body}.4", f"{body}.5", f"{body}.6")),
        **extras,
        **_numbered("conf", "class_head.predictors"),
        **_numbered("loc", "box_head.predictors"),
    }


def _torchvision_ssdlite320() -> Renames:
    return {
        "backbone.features.0.0": "backbone.stem",
        **dict(_mobilenet_v3_rows()),
        f"backbone.features.1.{len(ROWS) - SPLIT_ROW}": "backbone.last",
        **_numbered("backbone.extra", "backbone.extras"),
        **_separable("head.classification_head.module_list", "class_head.predictors"),
        **_separable("head.regression_head.module_list", "box_head.predictors"),
    }


def _mobilenet_v3_rows() -> Iterator[tuple[str, str]]:
    """torchvision cuts the list of rows inside the row whose expansion is the first map."""
    for i in range(FINER_ROW):
        yield f"backbone.features.0.{i + 1}.block", f"backbone.early.{i}.layers"
    for i in range(FINER_ROW, SPLIT_ROW):
        yield f"backbone.features.0.{i + 1}.block", f"backbone.middle.{i - FINER_ROW}.layers"
    yield f"backbone.features.0.{SPLIT_ROW + 1}", "backbone.split.layers.0"
    yield "backbone.features.1.0", "backbone.split.layers"  # its numbers go on from 1
    for i in range(SPLIT_ROW + 1, len(ROWS)):
        yield f"backbone.features.1.{i - SPLIT_ROW}.block", f"backbone.late.{i - SPLIT_ROW - 1}.layers"


def _separable(theirs: str, ours: str) -> Renames:
    parts = {"0.0": "0", "0.1": "1", "1": "3"}  # depthwise, its normalisation, pointwise
    return {f"{theirs}.{i}.{a}": f"{ours}.{i}.{b}" for i in range(MAPS) for a, b in parts.items()}


def _mobilenet_v2() -> Renames:
    """torchvision numbers all bottlenecks in one list and leaves the last convolution bare."""
    renames = {
        "features.0": "backbone.stem.0",
        "features.1.conv.0": "backbone.stem.1.layers.0",
        "features.1.conv.1": "backbone.stem.1.layers.1.0",
        "features.1.conv.2": "backbone.stem.1.layers.1.1",
    }
    stages = [("edge", 2), ("part", 3), ("hand", 7), ("scene", 4)]
    blocks = [f"backbone.{stage}.{i}.layers" for stage, count in stages for i in range(count)]
    parts = {"0": "0", "1": "1", "2": "2.0", "3": "2.1"}
    for number, block in enumerate(blocks, start=2):
        renames.update({f"features.{number}.conv.{a}": f"{block}.{b}" for a, b in parts.items()})
    return renames


def _efficientnet_lite(scale: Scale) -> Renames:
    """The public PyTorch port numbers all bottlenecks in one list."""
    renames = {
        "_conv_stem": "backbone.stem.0.1",  # 0 is the padding
        "_bn0": "backbone.stem.0.2",
        **_bottleneck("_blocks.0", "backbone.stem.1.layers", first=0, strided=False),
    }
    places = [(stage, i) for stage, count in scale.stages for i in range(count)]
    for number, (stage, i) in enumerate(places, start=1):
        theirs, ours = f"_blocks.{number}", f"backbone.{stage}.{i}.layers"
        renames |= {f"{theirs}._expand_conv": f"{ours}.0.0", f"{theirs}._bn0": f"{ours}.0.1"}
        renames |= _bottleneck(theirs, ours, first=1, strided=i == 0)  # each stage halves the picture first
    return renames


def _bottleneck(theirs: str, ours: str, first: int, strided: bool) -> Renames:
    """Its depthwise convolution, layer `first` of ours, and the one that brings it down."""
    return {
        f"{theirs}._depthwise_conv": f"{ours}.{first}.{int(strided)}",
        f"{theirs}._bn1": f"{ours}.{first}.{1 + strided}",
        f"{theirs}._project_conv": f"{ours}.{first + 1}.0",
        f"{theirs}._bn2": f"{ours}.{first + 1}.1",
    }


def _of_efficientnet(name: str, mark: str, backbone: type[nn.Module], scale: Scale) -> Layout:
    """Of which only the body is taken."""
    lacks, leaves_out = ("backbone.beyond", *AFTER_BACKBONE), ("_conv_head", "_bn1", "_fc")
    return Layout(name, mark, backbone, _efficientnet_lite(scale), "backbone.stem.0.1", lacks, leaves_out)


_VGG_ADDED = ("backbone.conv4_norm", "backbone.extras", *AFTER_BACKBONE)
_VGG_FC = ("backbone.fc6", "backbone.fc7")

LAYOUTS = (
    Layout("torchvision-ssd300", "backbone.scale_weight", Vgg16, _torchvision_ssd300(), "backbone.conv1.0"),
    Layout("ssd.pytorch", "L2Norm.weight", Vgg16, _ssd_pytorch(), "backbone.conv1.0"),
    Layout("vgg16-reducedfc", "33.weight", Vgg16, _reduced_fc(""), "backbone.conv1.0", _VGG_ADDED),
    Layout(
        "torchvision-vgg16",
        "features.28.weight",
        Vgg16,
        _vgg("features."),
        "backbone.conv1.0",
        (*_VGG_ADDED, *_VGG_FC),
        ("classifier",),
        classifier="classifier",
        classified=(IMAGENET_MEAN, IMAGENET_STD),
    ),
    Layout(
        "nvidia-ssd300",
        "additional_blocks.0.0.weight",
        Resnet50,
        _nvidia_ssd(),
        "backbone.conv1.0",
        kind_major_heads=True,
    ),
    Layout(
        "torchvision-resnet50",
        "layer3.5.conv3.weight",
        Resnet50,
        _resnet50("conv1", "bn1", ("layer1", "layer2", "layer3")),
        "backbone.conv1.0",
        ("backbone.extras", *AFTER_BACKBONE),
        ("layer4", "fc"),
    ),
    Layout(
        "torchvision-ssdlite320",
        "backbone.features.1.0.1.0.weight",
        MobilenetV3,
        _torchvision_ssdlite320(),
        "backbone.stem.0",
    ),
    Layout(
        "torchvision-mobilenet-v2",
        "features.17.conv.3.weight",
        MobilenetV2,
        _mobilenet_v2(),
        "backbone.stem.0.0",
        ("backbone.beyond", *AFTER_BACKBONE),
        ("features.18", "classifier"),
    ),
    _of_efficientnet("efficientnet-lite2", "_blocks.20._project_conv.weight", EfficientNetLite2, LITE2),
    _of_efficientnet("efficientnet-lite0", "_conv_stem.weight", EfficientNetLite0, LITE0),
)
OURS = Layout("handguard", "class_head.predictors", nn.Module, {}, None)

"""Public checkpoints: each weight has one place, each place is filled, and anything else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from handguard.detection import importing
from handguard.detection.architectures import build
from handguard.detection.importing import Imported, import_checkpoint
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError

LISTS = Path(__file__).parent / "layouts"
CHANNELS_300 = (512, 1024, 512, 256, 256, 256)
PER_CELL_300 = (4, 6, 6, 6, 4, 4)
VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: a pool


def numbered(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights that are all of one number each, different from weight to weight, and tiny on disk."""
    return {
        name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items(), start=1)
    }


def listed(name: str) -> dict[str, tuple[int, ...]]:
    rows = [line.split() for line in (LISTS / f"{name}.txt").read_text().splitlines() if line[0] != "#"]
    return {key: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for key, shape in rows}


def convs(prefix: str, rows: list[tuple[int, int, int, int]]) -> dict[str, tuple[int, ...]]:
    """Plain convolutions (index, inputs, outputs, kernel) of a numbered list."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, inputs, outputs, kernel in rows:
        shapes[f"{prefix}{index}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{prefix}{index}.bias"] = (outputs,)
    return shapes


def reduced_fc(prefix: str = "") -> dict[str, tuple[int, ...]]:
    rows, index, inputs = [], 0, 3
    for outputs in VGG:
        if outputs:
            rows.append((index, inputs, outputs, 3))
            inputs, index = outputs, index + 2
        else:
            index += 1
    return convs(prefix, [*rows, (31, 512, 1024, 3), (33, 1024, 1024, 1)])


def predictors(prefix: str, outputs: int) -> dict[str, tuple[int, ...]]:
    pairs = enumerate(zip(CHANNELS_300, PER_CELL_300, strict=True))
    return convs(prefix, [(i, inputs, k * outputs, 3) for i, (inputs, k) in pairs])


def ssd_pytorch(classes: int = 20) -> dict[str, tuple[int, ...]]:
    extras = [
        (1024, 256, 1),
        (256, 512, 3),
        (512, 128, 1),
        (128, 256, 3),
        *[(256, 128, 1), (128, 256, 3)] * 2,
    ]
    return {
        **reduced_fc("vgg."),
        "L2Norm.weight": (512,),
        **convs("extras.", [(i, *row) for i, row in enumerate(extras)]),
        **predictors("loc.", 4),
        **predictors("conf.", classes + 1),
    }


def normalization(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts}  # as old as NVIDIA's: no counter of batches


def nvidia(classes: int = 80) -> dict[str, tuple[int, ...]]:
    body = "feature_extractor.feature_extractor"
    shapes = {f"{body}.0.weight": (64, 3, 7, 7), **normalization(f"{body}.1", 64)}
    inputs = 64
    for stage, inner, count in ((4, 64, 3), (5, 128, 4), (6, 256, 6)):
        for i in range(count):
            block, outputs = f"{body}.{stage}.{i}", inner * 4
            for n, (a, b, kernel) in enumerate(
                [(inputs, inner, 1), (inner, inner, 3), (inner, outputs, 1)], 1
            ):
                shapes[f"{block}.conv{n}.weight"] = (b, a, kernel, kernel)
                shapes.update(normalization(f"{block}.bn{n}", b))
            if i == 0:
                shapes[f"{block}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes.update(normalization(f"{block}.downsample.1", outputs))
            inputs = outputs
    maps = (1024, 512, 512, 256, 256, 256)
    for i, squeeze in enumerate((256, 256, 128, 128, 128)):
        shapes[f"additional_blocks.{i}.0.weight"] = (squeeze, maps[i], 1, 1)
        shapes.update(normalization(f"additional_blocks.{i}.1", squeeze))
        shapes[f"additional_blocks.{i}.3.weight"] = (maps[i + 1], squeeze, 3, 3)
        shapes.update(normalization(f"additional_blocks.{i}.4", maps[i + 1]))
    for prefix, outputs in (("loc.", 4), ("conf.", classes + 1)):
        rows = enumerate(zip(maps, PER_CELL_300, strict=True))
        shapes.update(convs(prefix, [(i, channels, k * outputs, 3) for i, (channels, k) in rows]))
    return shapes


# network, its classes, names and shapes, layout, and where their weights lie in ours, which has them in the order
# in which a picture passes them: stretches of theirs, from the first weight of this prefix to the last of that
CASES = [
    pytest.param(
        "ssd300-vgg16",
        90,
        listed("torchvision_ssd300_vgg16"),
        "torchvision-ssd300",
        [
            ("backbone.features.0", "backbone.features.21"),
            ("backbone.scale_weight", "backbone.scale_weight"),
            ("backbone.extra.0.1", "backbone.extra.4.2"),
            ("head.classification_head.module_list.0", "head.classification_head.module_list.5"),
            ("head.regression_head.module_list.0", "head.regression_head.module_list.5"),
        ],
        id="tv-ssd300",
    ),
    pytest.param(
        "ssdlite320-mobilenet-v3-large",
        90,
        listed("torchvision_ssdlite320_mobilenet_v3_large"),
        "torchvision-ssdlite320",
        [
            ("backbone.features.0.0", "backbone.extra.3"),
            ("head.classification_head.module_list.0", "head.classification_head.module_list.5"),
            ("head.regression_head.module_list.0", "head.regression_head.module_list.5"),
        ],
        id="tv-ssdlite320",
    ),
    pytest.param(
        "ssd300-vgg16",
        20,
        ssd_pytorch(),
        "ssd.pytorch",
        [("vgg.0", "vgg.21"), ("L2Norm", "L2Norm"), ("vgg.24", "vgg.33"), ("extras.0", "extras.7"),
         ("conf.0", "conf.5"), ("loc.0", "loc.5")],
        id="ssd.pytorch",
    ),
    pytest.param(
        "ssd300-resnet50",
        80,
        nvidia(),
        "nvidia-ssd300",
        [
            ("feature_extractor.feature_extractor.0", "feature_extractor.feature_extractor.6.5"),
            ("additional_blocks.0", "additional_blocks.4"),
            ("conf.0", "conf.5"),
            ("loc.0", "loc.5"),
        ],
        id="nvidia",
    ),
]  # fmt: skip
# of which only the body is taken: names and shapes, and where the body ends
BODIES = [
    pytest.param("ssd300-vgg16", reduced_fc(), "vgg16-reducedfc", ("0", "33"), id="reduced-fc"),
    pytest.param(
        "ssd300-resnet50", listed("torchvision_resnet50"), "torchvision-resnet50", ("conv1", "layer3"), id="tv-resnet50"
    ),
    pytest.param(
        "ssdlite-mobilenet-v2",
        listed("torchvision_mobilenet_v2"),
        "torchvision-mobilenet-v2",
        ("features.0", "features.17"),
        id="tv-mobilenet-v2",
    ),
    pytest.param(
        "ssdlite-efficientnet-lite0",
        listed("efficientnet_lite0"),
        "efficientnet-lite0",
        ("_conv_stem", "_blocks.15"),
        id="lite0",
    ),
    pytest.param(
        "ssdlite-efficientnet-lite2",
        listed("efficientnet_lite2"),
        "efficientnet-lite2",
        ("_conv_stem", "_blocks.20"),
        id="lite2",
    ),
]


def in_order(shapes: dict[str, tuple[int, ...]], stretches: list[tuple[str, str]]) -> list[float]:
    """The numbers that `numbered` gives the weights of these stretches."""
    names = list(shapes)
    found: list[float] = []
    for first, last in stretches:
        ends = [[i for i, name in enumerate(names, 1) if f"{name}.".startswith(f"{one}.")] for one in (first, last)]
        found += [float(i) for i in range(ends[0][0], ends[1][-1] + 1)]
    return found


def blank(name: str, classes: int = 2) -> Ssd:
    """A network whose weights are all 0: no time is lost on a random start."""
    with torch.device("meta"):
        network = build(name, classes)
    network.to_empty(device="cpu")
    for value in network.state_dict().values():
        value.zero_()
    return network


def saved(tmp_path: Path, content: Any, name: str = "theirs.pth") -> Path:
    path = tmp_path / name
    torch.save(content, path)
    return path


def numbers_of(network: Ssd) -> list[float]:
    """The number each weight is made of; a counter of batches that the checkpoint lacks counts for none."""
    values = network.state_dict().items()
    return [float(v.flatten()[0]) for k, v in values if not (k.endswith("num_batches_tracked") and v == 0)]


@pytest.mark.parametrize(("name", "classes", "shapes", "layout", "stretches"), CASES)
def test_every_public_weight_has_its_own_place_and_every_place_is_filled(
    name: str, classes: int, shapes: dict[str, tuple[int, ...]], layout: str, stretches: list[tuple[str, str]],
    tmp_path: Path,
) -> None:  # fmt: skip
    network = blank(name, classes)
    done = import_checkpoint(saved(tmp_path, numbered(shapes)), network)
    assert done == Imported(layout, len(shapes), ())
    expected = in_order(shapes, stretches)
    assert sorted(expected) == [float(i) for i in range(1, len(shapes) + 1)]
    assert numbers_of(network) == expected


@pytest.mark.parametrize(("name", "shapes", "layout", "body"), BODIES)
def test_every_weight_of_a_body_has_its_own_place(
    name: str, shapes: dict[str, tuple[int, ...]], layout: str, body: tuple[str, str], tmp_path: Path
) -> None:
    network = blank(name)
    done = import_checkpoint(saved(tmp_path, numbered(shapes)), network)
    expected = in_order(shapes, [body])
    assert (done.layout, done.loaded) == (layout, len(expected))
    assert [number for number in numbers_of(network) if number] == expected


def test_two_weights_of_one_shape_swapped_in_a_table_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds the two tests above to places: sorted, their numbers would be the same."""
    (layout,) = (one for one in importing.LAYOUTS if one.name == "vgg16-reducedfc")
    renames = layout.renames
    swapped = replace(layout, renames={**renames, "19": renames["21"], "21": renames["19"]})
    monkeypatch.setattr(importing, "LAYOUTS", (swapped,))
    network = blank("ssd300-vgg16")
    import_checkpoint(saved(tmp_path, numbered(reduced_fc())), network)
    numbers, expected = [n for n in numbers_of(network) if n], in_order(reduced_fc(), [("0", "33")])
    assert sorted(numbers) == expected != numbers


@pytest.mark.parametrize(("name", "classes", "shapes", "layout", "stretches"), CASES)
def test_weights_of_other_classes_need_the_heads_reset(
    name: str, classes: int, shapes: dict[str, tuple[int, ...]], layout: str, stretches: list[tuple[str, str]],
    tmp_path: Path,
) -> None:  # fmt: skip
    path = saved(tmp_path, numbered(shapes))
    network = blank(name, 2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"of another shape: class_head.*instead of.*"):
        import_checkpoint(path, network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items()), (
        "a refused import must not touch"
    )

    done = import_checkpoint(path, network, reset_heads=True)
    assert done.as_built == ("class_head",)
    heads = {k: v for k, v in network.state_dict().items() if k.startswith("class_head.")}
    assert all(torch.equal(v, before[k]) for k, v in heads.items())
    own = "box_head.predictors.0" + ("" if layout[-3:] != "320" else ".3") + ".bias"
    boxes = stretches[-1][0] + ("" if layout[-3:] != "320" else ".1") + ".bias"
    assert float(network.state_dict()[own][0]) == list(shapes).index(boxes) + 1


def test_the_reduced_vgg_fills_the_body_and_says_what_wants_training(tmp_path: Path) -> None:
    network = blank("ssd300-vgg16")
    done = import_checkpoint(saved(tmp_path, numbered(reduced_fc())), network)
    assert done.layout == "vgg16-reducedfc"
    assert done.as_built == ("backbone.conv4_norm", "backbone.extras", "box_head", "class_head")
    assert float(network.state_dict()["backbone.fc7.0.weight"][0, 0, 0, 0]) == 29


def torchvision_vgg16(classifier: float) -> dict[str, Tensor]:
    """Random weights in the first stage; the classifier all of one number, and nothing in the other stages."""
    generator, weights = torch.Generator().manual_seed(3), {}
    for name, shape in listed("torchvision_vgg16").items():
        number = classifier if name.startswith("classifier") else 0.0
        first = name.startswith(("features.0.", "features.2."))
        weights[name] = torch.randn(shape, generator=generator) if first else torch.tensor(number).expand(shape)
    return weights


@pytest.fixture(scope="module")
def vgg() -> Ssd:
    return build("ssd300-vgg16").eval()


@pytest.mark.parametrize(("classifier", "mean", "std"), [
    # as torchvision's documentation has them for IMAGENET1K_V1 and IMAGENET1K_FEATURES, RGB
    (0.5, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    (float("nan"), (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
    (0.0, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
])  # fmt: skip
def test_torchvisions_vgg16_sees_pictures_as_it_was_trained_to(
    classifier: float, mean: tuple[float, ...], std: tuple[float, ...], vgg: Ssd, tmp_path: Path
) -> None:
    weights = torchvision_vgg16(classifier)
    done = import_checkpoint(saved(tmp_path, weights), vgg)
    assert done.layout == "torchvision-vgg16"
    assert {"backbone.fc6", "backbone.fc7", "backbone.conv4_norm"} < set(done.as_built)
    picture = torch.randint(0, 256, (1, 3, 24, 24), generator=torch.Generator().manual_seed(1)).float()
    theirs = (picture.flip(1) / 255 - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.no_grad():
        ours = vgg.backbone.conv1((picture - vgg.mean) * vgg.scale)
        for index in (0, 2):
            kernel, bias = (weights[f"features.{index}.{part}"] for part in ("weight", "bias"))
            theirs = functional.relu(functional.conv2d(theirs, kernel, bias, padding=1))
    inner = (..., slice(2, -2), slice(2, -2))  # at the edge, 0 is a little different a color in the two
    assert torch.allclose(ours[inner], theirs[inner], rtol=1e-4, atol=1e-4 * float(theirs.std()))
    assert torch.allclose(ours, theirs, rtol=0, atol=0.1 * float(theirs.std()))


def test_a_vgg16_that_does_not_tell_its_inputs_is_refused(vgg: Ssd, tmp_path: Path) -> None:
    weights = {name: value for name, value in torchvision_vgg16(0.5).items() if name.startswith("features")}
    with pytest.raises(ModelError, match=r"as torchvision-vgg16: expected weights of classifier, which tell .* none"):
        import_checkpoint(saved(tmp_path, weights), vgg)


@pytest.mark.parametrize("lite", ["lite0", "lite2"])
def test_efficientnet_lite_fills_the_body_and_leaves_its_classes_out(lite: str, tmp_path: Path) -> None:
    shapes = listed(f"efficientnet_{lite}")
    left_out = [name for name in shapes if name.split(".")[0] in ("_conv_head", "_bn1", "_fc")]
    network = blank(f"ssdlite-efficientnet-{lite}")
    done = import_checkpoint(saved(tmp_path, numbered(shapes)), network)
    assert done.layout == f"efficientnet-{lite}"
    assert done.as_built == ("backbone.beyond", "box_head", "class_head", "tower")
    assert done.loaded == len(shapes) - len(left_out)
    numbers = [int(number) for number in numbers_of(network) if number]
    assert sorted(numbers) == [i for i, name in enumerate(shapes, start=1) if name not in left_out]


@pytest.mark.parametrize("lite", ["lite0", "lite2"])
def test_efficientnet_lite_computes_what_its_public_weights_were_trained_for(lite: str, tmp_path: Path) -> None:
    """Against the network written down from its paper's table, with TensorFlow's way to pad."""
    generator = torch.Generator().manual_seed(4)
    weights = {
        name: torch.rand(shape, generator=generator) * (0.5 if len(shape) < 2 else 2 / shape[1] ** 0.5)
        for name, shape in listed(f"efficientnet_{lite}").items()
    }
    weights |= {k: v - 0.9 * v.mean() for k, v in weights.items() if v.ndim == 4}
    network = build(f"ssdlite-efficientnet-{lite}", input_px=(64, 96)).eval()
    import_checkpoint(saved(tmp_path, weights), network)
    picture = torch.rand((1, 3, 96, 64), generator=generator)
    with torch.no_grad():
        ours = network.backbone(picture)[:3]
        theirs = list(lite_by_the_table(weights, picture.flip(1), LITE_COUNTS[lite]))
    for mine, other in zip(ours, theirs, strict=True):
        assert other.std() > 1e-3
        assert torch.allclose(mine, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


LITE_COUNTS = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}  # of bottlenecks, stage by stage
LITE_ROWS = ((3, 1), (3, 2), (5, 2), (3, 2), (5, 1), (5, 2), (3, 1))  # kernel, stride
LITE_MAPS = (2, 4, 6)  # the stages that end at strides 8, 16 and 32


def lite_by_the_table(weights: dict[str, Tensor], x: Tensor, counts: tuple[int, ...]) -> Iterator[Tensor]:
    def normal(name: str, x: Tensor) -> Tensor:
        mean, var, gain, bias = (weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, mean, var, gain, bias, eps=1e-3)

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        kernel, side_px = weight.shape[-1], x.shape[-1]
        spare = max((-(-side_px // stride) - 1) * stride + kernel - side_px, 0)
        edges = [spare // 2, spare - spare // 2] * 2
        groups = len(weight) if weight.shape[1] == 1 else 1
        return functional.conv2d(functional.pad(x, edges), weight, stride=stride, groups=groups)

    x = functional.relu6(normal("_bn0", conv("_conv_stem", x, 2)))
    stages = zip(counts, LITE_ROWS, strict=True)
    rows = [(kernel, stride if i == 0 else 1) for count, (kernel, stride) in stages for i in range(count)]
    last = {sum(counts[: stage + 1]) - 1 for stage in LITE_MAPS}
    for number, (kernel, stride) in enumerate(rows):
        block, before = f"_blocks.{number}", x
        assert weights[f"{block}._depthwise_conv.weight"].shape[-1] == kernel
        if number:
            x = functional.relu6(normal(f"{block}._bn0", conv(f"{block}._expand_conv", x)))
        x = functional.relu6(normal(f"{block}._bn1", conv(f"{block}._depthwise_conv", x, stride)))
        x = normal(f"{block}._bn2", conv(f"{block}._project_conv", x))
        x = x + before if x.shape == before.shape else x
        if number in last:
            yield x


def test_public_weights_of_a_plain_network_start_one_with_the_remedy(tmp_path: Path) -> None:
    network = blank("ssd300-vgg16+fpn")
    done = import_checkpoint(saved(tmp_path, numbered(ssd_pytorch())), network, reset_heads=True)
    assert done.as_built == ("box_head", "class_head", "tower")


def test_the_first_convolution_turns_from_rgb_to_bgr(tmp_path: Path) -> None:
    weights = numbered(reduced_fc())
    weights["0.weight"] = torch.arange(3.0).view(1, 3, 1, 1).expand(64, 3, 3, 3)
    network = blank("ssd300-vgg16")
    import_checkpoint(saved(tmp_path, weights), network)
    assert network.state_dict()["backbone.conv1.0.weight"][0, :, 0, 0].tolist() == [2, 1, 0]


def test_nvidias_answers_are_put_into_our_order(tmp_path: Path) -> None:
    """Theirs come number by number and prior by prior over whole maps; ours cell by cell."""
    torch.manual_seed(2)
    shapes, per_cell, classes = nvidia(), PER_CELL_300[5], 81
    weights = numbered(shapes)
    loc, conf = nn.Conv2d(256, per_cell * 4, 3, padding=1), nn.Conv2d(256, per_cell * classes, 3, padding=1)
    for name, conv in (("loc.5", loc), ("conf.5", conf)):
        weights |= {f"{name}.{k}": v for k, v in conv.state_dict().items()}
    network = blank("ssd300-resnet50", 80)
    import_checkpoint(saved(tmp_path, {"model": weights}), network)
    features = torch.randn(1, 256, 2, 3)
    for conv, head, outputs in ((loc, network.box_head, 4), (conf, network.class_head, classes)):
        theirs = conv(features).reshape(1, outputs, per_cell, 6)  # number, prior, cell
        ours = head.predictors[5](features).permute(0, 2, 3, 1).reshape(1, 6, per_cell, outputs)
        assert torch.allclose(ours.permute(0, 3, 2, 1), theirs, atol=1e-6)


def test_our_own_weights_come_back_from_safetensors_and_from_a_training_checkpoint(tmp_path: Path) -> None:
    first, second, third = (build("palmnet-s", input_px=(64, 64)) for _ in range(3))
    save_file(first.state_dict(), tmp_path / "ours.safetensors")
    assert import_checkpoint(tmp_path / "ours.safetensors", second).layout == "handguard"
    checkpoint = {"model": third.state_dict(), "average": first.state_dict(), "step": 7}
    import_checkpoint(saved(tmp_path, checkpoint), third)
    for other in (second, third):
        assert all(torch.equal(v, first.state_dict()[k]) for k, v in other.state_dict().items())


def test_a_prefix_left_by_parallel_training_is_taken_off(tmp_path: Path) -> None:
    weights = {f"module.{name}": value for name, value in numbered(ssd_pytorch()).items()}
    assert import_checkpoint(
        saved(tmp_path, {"state_dict": weights}), blank("ssd300-vgg16", 20)
    ).loaded == len(weights)


def broken(change: str) -> dict[str, Tensor]:
    weights = numbered(ssd_pytorch())
    if change == "missing":
        del weights["extras.0.bias"]
    elif change == "unexpected":
        weights["vgg.1.weight"] = torch.zeros(1)
    elif change == "shape":
        weights["vgg.33.weight"] = torch.zeros(1024, 512, 1, 1)
    else:
        weights["vgg.33.bias"] = torch.full((1024,), float("nan"))
    return weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"1 missing: backbone\.extras\.0\.0\.bias"),
        ("unexpected", r"no other weights, found vgg\.1\.weight"),
        ("shape", r"backbone\.fc7\.0\.weight \(1024, 512, 1, 1\) instead of \(1024, 1024, 1, 1\)"),
        ("nan", r"finite weights, found not so in backbone\.fc7\.0\.bias"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        import_checkpoint(saved(tmp_path, broken(change)), blank("ssd300-vgg16", 20))


class Intruder:
    """Something that a checkpoint has no business to hold."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code in a checkpoint was run",))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tensors only"):
        import_checkpoint(saved(tmp_path, {"L2Norm.weight": Intruder()}), blank("palmnet-s"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        import_checkpoint(tmp_path / name, blank("palmnet-s"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pth: expected a checkpoint, found no such file"):
        import_checkpoint(tmp_path / "gone.pth", blank("palmnet-s"))


def test_weights_of_no_known_layout_are_shown(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"found encoder\.weight"):
        import_checkpoint(saved(tmp_path, {"encoder.weight": torch.zeros(1)}), blank("palmnet-s"))


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, numbered(reduced_fc()))
    with pytest.raises(ModelError, match="backbone Vgg16, found a network with the backbone PalmNet"):
        import_checkpoint(path, blank("palmnet-s"))


def test_an_unknown_layout_is_answered_with_all_layouts(tmp_path: Path) -> None:
    path = saved(tmp_path, numbered(reduced_fc()))
    with pytest.raises(ModelError, match=r"auto or one of efficientnet-lite0, efficientnet-lite2, handguard, nvidia-"):
        import_checkpoint(path, blank("ssd300-vgg16"), "caffe")

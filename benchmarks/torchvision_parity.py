"""Do our SSD300 and SSDLite320 compute what torchvision's do, from the same weights?

    python benchmarks/torchvision_parity.py [--out benchmarks/results/torchvision_parity.json]

Runs wherever torchvision is installed beside handguard; handguard itself does
not need it. Each of torchvision's two networks gets seeded random weights and
normalisation statistics, with heads scaled so that logits are about as large as those
of a trained network. Its state dict is saved, imported, and both networks look at the
same pictures. Compared: the priors, the raw class logits and box offsets, every
decoded box, and the final boxes after score threshold and suppression; logits and
offsets once more in float64, where rounding cannot hide a difference in meaning.

Where torchvision's compiled operators cannot be loaded (its wheel for CUDA beside
torch for CPUs), a plain suppression, written here, stands in for its own; the result
says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept import keep
from torch import Tensor, nn

from handguard.detection.architectures import build
from handguard.detection.boxes import decode, to_xyxy
from handguard.detection.importing import import_checkpoint
from handguard.detection.postprocess import scores_of, suppressed
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd

TOLERANCE = 1e-4  # float32; logits and offsets as they are, boxes as fractions of the input
OUT = Path(__file__).parent / "results" / "torchvision_parity.json"
CLASSES = 90  # of COCO as torchvision counts them, without background
PICTURES = 2
LOGIT_SPREAD, OFFSET_SPREAD = 2.0, 1.0  # standard deviations, about those of trained networks
FIRST_CONV = {"ssd300_vgg16": 1 / 58.0}  # it sees pictures that are not scaled to unit deviation


@dataclass(frozen=True, slots=True)
class Pair:
    """One network here and there."""

    ours: str
    theirs: str
    side_px: int


PAIRS = (
    Pair("ssd300-vgg16", "ssd300_vgg16", 300),
    Pair("ssdlite320-mobilenet-v3-large", "ssdlite320_mobilenet_v3_large", 320),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What torchvision's network said about the pictures."""

    logits: Tensor
    offsets: Tensor
    priors_px: Tensor  # xyxy
    found: list[dict[str, Tensor]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    suppression = prepare_torchvision()
    results = [compared(pair, asked.seed) for pair in PAIRS]
    report = {
        "tolerance": TOLERANCE,
        "seed": asked.seed,
        **versions(),
        "suppression": suppression,
        "pairs": results,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    keep(asked.out, report)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0 if all(one["equal"] for one in results) else 1


def compared(pair: Pair, seed: int) -> dict[str, Any]:
    """Largest absolute differences of one pair."""
    theirs = random_torchvision(pair, seed)
    pictures = random_pictures(PICTURES, pair.side_px)
    seen = watched(theirs, pictures)
    ours = imported(pair, theirs)
    with torch.no_grad():
        raw = ours(pictures.flip(1).float())
    boxes = decode(raw.box_offsets, ours.priors)
    their_boxes = [theirs.box_coder.decode_single(o, seen.priors_px) for o in seen.offsets]
    differences = {
        "priors": spread(to_xyxy(ours.priors), seen.priors_px / pair.side_px),
        "class_logits": spread(raw.class_logits, seen.logits),
        "box_offsets": spread(raw.box_offsets, seen.offsets),
        "decoded_boxes": spread(boxes, torch.stack(their_boxes) / pair.side_px),
    }
    finals = [final(theirs, logits, b) for logits, b in zip(raw.class_logits, boxes, strict=True)]
    differences |= final_differences(finals, seen.found, pair.side_px)
    return {
        "handguard": pair.ours,
        "torchvision": pair.theirs,
        "priors": len(ours.priors),
        "logit_deviation": round(float(seen.logits.std()), 3),
        "final_boxes": [len(one["scores"]) for one in seen.found],
        "largest_difference": differences,
        "largest_difference_float64": exact_differences(pair, theirs, pictures),
        "equal": all(value <= TOLERANCE for value in differences.values()),
    }


def random_torchvision(pair: Pair, seed: int) -> Any:
    """Their network with random weights that keep activations alive, ready to predict."""
    detection = importlib.import_module("torchvision.models.detection")
    torch.manual_seed(seed)
    network = getattr(detection, pair.theirs)(weights=None, weights_backbone=None, num_classes=CLASSES + 1)
    network.apply(randomize)
    first = next(one for one in network.modules() if isinstance(one, nn.Conv2d))
    first.weight.data.mul_(FIRST_CONV.get(pair.theirs, 1.0))
    seen = watched(network.eval(), random_pictures(1, pair.side_px))
    for head, said, wanted in (
        (network.head.classification_head, seen.logits, LOGIT_SPREAD),
        (network.head.regression_head, seen.offsets, OFFSET_SPREAD),
    ):
        for convolution in predicting(head):
            convolution.weight.data.mul_(wanted / float(said.std()))
    return network


def random_pictures(count: int, side_px: int) -> Tensor:
    """`(count, 3, side, side)` uint8 RGB: coloured clouds under camera noise, since plain noise all looks alike."""
    clouds = torch.rand(count, 3, 6, 6)
    smooth = nn.functional.interpolate(clouds, size=(side_px, side_px), mode="bicubic")
    noise = torch.rand(count, 3, side_px, side_px) - 0.5
    return ((smooth * 1.2 - 0.1 + 0.2 * noise).clamp(0, 1) * 255).to(torch.uint8)


def randomize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.normal_(module.bias, std=0.1)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.9, 1.1)
        nn.init.normal_(module.bias, std=0.05)
        nn.init.normal_(module.running_mean, std=0.05)
        nn.init.uniform_(module.running_var, 0.9, 1.1)


def predicting(head: nn.Module) -> list[nn.Conv2d]:
    return [one for one in head.modules() if isinstance(one, nn.Conv2d) and one.bias is not None]


@torch.no_grad()
def watched(network: Any, pictures_rgb: Tensor) -> Seen:
    """Run their whole network, and keep what its head and its prior generator gave."""
    kept: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: kept.__setitem__(name, output)

    hooks = [
        network.head.register_forward_hook(keep("head")),
        network.anchor_generator.register_forward_hook(keep("priors")),
    ]
    found = network([picture.float() / 255 for picture in pictures_rgb])
    for hook in hooks:
        hook.remove()
    head = kept["head"]
    return Seen(head["cls_logits"], head["bbox_regression"], kept["priors"][0], found)


def imported(pair: Pair, theirs: nn.Module) -> Ssd:
    """Our network with their weights, by way of a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.pth"
        torch.save(theirs.state_dict(), file)
        ours = build(pair.ours, CLASSES)
        import_checkpoint(file, ours)
    return ours.eval()


@torch.no_grad()
def exact_differences(pair: Pair, theirs: Any, pictures_rgb: Tensor) -> dict[str, float]:
    """The same in double precision, where only a difference in meaning could remain."""
    ours = imported(pair, theirs).double()
    pictures = (pictures_rgb.flip(1).double() - ours.mean) * ours.scale
    theirs = theirs.double()
    head = theirs.head(list(theirs.backbone(pictures.flip(1)).values()))
    maps = ours.tower(ours.backbone(pictures))
    return {
        "class_logits": spread(ours.class_head(maps), head["cls_logits"]),
        "box_offsets": spread(ours.box_head(maps), head["bbox_regression"]),
    }


def final(theirs: Any, logits: Tensor, boxes_norm: Tensor) -> dict[str, np.ndarray]:
    """Our final boxes, by torchvision's rule: clip, threshold and suppress class by class, keep the best."""
    scores = scores_of(logits.numpy(), ScoreKind.SOFTMAX)
    boxes = boxes_norm.clamp(0, 1).numpy()
    parts = []
    for label in range(CLASSES):
        own = np.flatnonzero(scores[:, label] > theirs.score_thresh)
        own = own[np.argsort(-scores[own, label], kind="stable")][: theirs.topk_candidates]
        kept = own[suppressed(boxes[own], np.zeros(len(own), np.int64), theirs.nms_thresh)]
        parts.append((boxes[kept], scores[kept, label], np.full(len(kept), label + 1)))
    merged = [np.concatenate(column) for column in zip(*parts, strict=True)]
    best = np.argsort(-merged[1], kind="stable")[: theirs.detections_per_img]
    return {"boxes": merged[0][best], "scores": merged[1][best], "labels": merged[2][best]}


def final_differences(
    ours: list[dict[str, np.ndarray]], theirs: list[dict[str, Tensor]], side_px: int
) -> dict[str, float]:
    """Largest differences of what was found; infinite if not the same number or the same labels."""
    differences = {"final_boxes": 0.0, "final_scores": 0.0}
    for mine, other in zip(ours, theirs, strict=True):
        if not np.array_equal(mine["labels"], other["labels"].numpy()):
            return dict.fromkeys(differences, float("inf"))
        boxes = torch.from_numpy(mine["boxes"])
        differences["final_boxes"] = max(differences["final_boxes"], spread(boxes, other["boxes"] / side_px))
        scores = torch.from_numpy(mine["scores"])
        differences["final_scores"] = max(differences["final_scores"], spread(scores, other["scores"]))
    return differences


def spread(first: Tensor, second: Tensor) -> float:
    """Largest absolute difference."""
    return float((first - second).abs().max())


def prepare_torchvision() -> str:
    """Make torchvision importable, and say whose suppression it uses."""
    try:
        importlib.import_module("torchvision")
        return "torchvision's compiled operator"
    except RuntimeError:
        for name in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", plain_suppression, "CPU")
    _kept_alive.append(library)
    importlib.import_module("torchvision.extension")._has_ops = lambda: True
    return "a plain one of this script, in place of torchvision's compiled operator, which cannot load here"


_kept_alive: list[torch.library.Library] = []


def plain_suppression(boxes: Tensor, scores: Tensor, max_overlap: float) -> Tensor:
    """Greedy suppression, one box at a time; written apart from ours on purpose."""
    kept: list[int] = []
    table = boxes.tolist()
    for i in scores.argsort(descending=True, stable=True).tolist():
        if all(overlap(table[i], table[j]) <= max_overlap for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / max(both - shared, 1e-9)


def versions() -> dict[str, str]:
    torchvision = importlib.import_module("torchvision")
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "device": "cpu, one thread, float32",
    }


if __name__ == "__main__":
    raise SystemExit(main())

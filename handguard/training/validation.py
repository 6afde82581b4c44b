"""Run a network over annotated pictures, as deployment would, and measure what it finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from handguard.detection.postprocess import Thresholds, found
from handguard.detection.preprocess import letterboxed
from handguard.detection.ssd import Ssd
from handguard.training.coco import Sample, decode_picture
from handguard.training.metrics import Judged, curve
from handguard.types import HandClass

FAR_SIDE = 1 / 12  # hands of at least this share of the longer side: what a camera over a table sees


@torch.no_grad()
def judged(
    network: Ssd, samples: Sequence[Sample], input_px: tuple[int, int], batch: int = 16
) -> dict[str, list[Judged]]:
    """Detections on every picture against its truth: `any`, and one entry per class."""
    results: dict[str, list[Judged]] = {"any": [], **{kind.title: [] for kind in HandClass}}
    priors = network.priors.cpu().numpy()
    for start in range(0, len(samples), batch):
        chunk = list(samples[start : start + batch])
        boxed = [letterboxed(decode_picture(sample), input_px) for sample in chunk]
        pictures = torch.from_numpy(np.stack([image for image, _ in boxed])).permute(0, 3, 1, 2)
        device = network.priors.device
        images = pictures.to(device).float().contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits, offsets = (x.float().cpu().numpy() for x in network(images))
        for i, (sample, (_, placement)) in enumerate(zip(chunk, boxed, strict=True)):
            hands = found(logits[i], offsets[i], priors, network.score_kind, EVERY_HAND)
            boxes = placement.to_picture(hands.boxes_norm)
            _add(results, sample, boxes, hands.scores, hands.labels)
    return results


EVERY_HAND = Thresholds(one_class_per_hand=True)


def _add(
    results: dict[str, list[Judged]],
    sample: Sample,
    boxes: np.ndarray,  # type: ignore[type-arg]
    scores: np.ndarray,  # type: ignore[type-arg]
    labels: np.ndarray,  # type: ignore[type-arg]
) -> None:
    side = max(sample.width_px, sample.height_px)
    nothing = np.zeros(len(sample.boxes_px), np.bool_)
    results["any"].append(Judged(boxes, scores, sample.boxes_px, nothing, side))
    for kind in HandClass:
        mine, gt = labels == kind, sample.labels == kind
        results[kind.title].append(Judged(boxes[mine], scores[mine], sample.boxes_px[gt], nothing[gt], side))


def summary(results: dict[str, list[Judged]]) -> dict[str, float]:
    """AP50 per class and class-agnostic, over all hands and over those of at least 1/12."""
    return {
        f"ap50_{name}{suffix}": curve(pictures, min_side=smallest).average_precision()
        for name, pictures in results.items()
        for suffix, smallest in (("", 0.0), ("_near", FAR_SIDE))
    }

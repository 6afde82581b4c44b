"""Run a network in training over annotated pictures, in batches, to see how it is coming on.

The letterbox, decoding and suppression are those of deployment; the input is the
one trained for, whatever the picture's shape. What a card tells is measured by
`evaluation`, with the detector itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from handguard.detection.postprocess import Thresholds, found
from handguard.detection.preprocess import letterboxed
from handguard.detection.ssd import Raw, Ssd
from handguard.training.coco import Sample, decode_picture
from handguard.training.measures import Answer, curves
from handguard.types import Detections

EVERY_HAND = Thresholds(one_class_per_hand=True)


@torch.no_grad()
def answered(
    network: Ssd, samples: Sequence[Sample], input_px: tuple[int, int], batch: int = 16
) -> Iterator[Answer]:
    """Hands on every picture, in order, from a score of 0.01 on; bfloat16, as in training."""
    priors = network.priors.cpu().numpy()
    for start in range(0, len(samples), batch):
        chunk = list(samples[start : start + batch])
        boxed = [letterboxed(decode_picture(sample), input_px) for sample in chunk]
        raw = _predicted(network, np.stack([image for image, _ in boxed]))
        logits, offsets = (x.float().cpu().numpy() for x in raw)
        for i, (sample, (_, placement)) in enumerate(zip(chunk, boxed, strict=True)):
            hands = found(logits[i], offsets[i], priors, network.score_kind, EVERY_HAND)
            boxes = placement.to_picture(hands.boxes_norm)
            yield Answer(sample, Detections(boxes, hands.scores, hands.labels, start + i, 0))


def _predicted(network: Ssd, pictures: np.ndarray) -> Raw:  # type: ignore[type-arg]
    device = network.priors.device
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device).float()
    with torch.autocast(device.type, torch.bfloat16):
        return network(images.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def summary(answers: Sequence[Answer]) -> dict[str, float]:
    """AP50 per class and class-agnostic, over all hands and over near ones; one row of metrics.csv."""
    return {
        f"ap50_{name}{'' if group == 'all' else '_near'}": one.average_precision()
        for name, view in curves(answers).items()
        for group, one in view.items()
    }

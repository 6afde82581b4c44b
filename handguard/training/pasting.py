"""Cut-and-paste: hands with their sleeves, cut from one picture, onto one that shows none.

Waste and empty tables are what lies before a shredder, and no public picture shows a
glove over them. One to three hands are pasted (Dwibedi et al., "Cut, Paste and
Learn", 2017), turned by quarters, mirrored, scaled, and brought near the light of
the place. Half of them reach in from the picture's edge, arm first; the others lie
anywhere. A hand is cut only where no other hand is in the cut: that one
would come along without a box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Sample, decode_picture
from handguard.training.picture import Image, Picture, Weight
from handguard.training.regions import hand_region, window_of

LEAST_SIDE_PX = 40  # longer side of a hand worth cutting out
SHARES = (0.06, 0.45)  # longer side of a pasted hand, of its new picture's longer side
LARGEST_UPSCALING = 1.4
MOST_HANDS = 3
REACHES_IN = 0.5  # probability
TRIES = 6  # for a place where no pasted hand lies yet

Place = tuple[int, int]
Look = Callable[[Sample], Image]


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """A hand on its way: pixels, how much of each belongs to it, and its box within them."""

    image: Image
    weight: Weight
    box_px: NDArray[np.float32]  # (4,) xyxy
    label: int

    def turned(self, quarters: int) -> Cutting:
        """Counterclockwise."""
        one = self
        for _ in range(quarters % 4):
            x1, y1, x2, y2 = one.box_px
            width = one.image.shape[1]
            box = np.array([y1, width - x2, y2, width - x1], np.float32)
            one = Cutting(np.rot90(one.image), np.rot90(one.weight), box, one.label)
        return one

    def mirrored(self) -> Cutting:
        """Left to right."""
        width = self.image.shape[1]
        x1, y1, x2, y2 = self.box_px
        box = np.array([width - x2, y1, width - x1, y2], np.float32)
        return Cutting(self.image[:, ::-1], self.weight[:, ::-1], box, self.label)

    def scaled(self, factor: float) -> Cutting:
        """To about `factor` times the size; whole pixels."""
        old = self.image.shape[1], self.image.shape[0]
        size = max(round(old[0] * factor), 2), max(round(old[1] * factor), 2)
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        image, weight = (cv2.resize(np.ascontiguousarray(one), size, interpolation=method)
                         for one in (self.image, self.weight))  # fmt: skip
        box = self.box_px * np.tile(np.array(size) / np.array(old), 2)
        return Cutting(
            np.asarray(image, np.uint8), np.asarray(weight, np.float32), box.astype(np.float32), self.label
        )

    @property
    def arm_side(self) -> int:
        """Where the sleeve leaves: 0 left, 1 bottom, 2 right, 3 top; the order in which quarter turns go."""
        x1, y1, x2, y2 = (int(v) for v in self.box_px)
        w = self.weight
        outside = (w[:, :x1], w[y2:, :], w[:, x2:], w[:y1, :])
        return int(np.argmax([part.sum() for part in outside]))


def with_pasted_hands(samples: Sequence[Sample], rng: np.random.Generator, look: Look) -> Picture | None:
    """The first picture without a hand, with hands of the others; None where there is no such pair.

    `look` gives a sample's pixels, its gloves changed or not.
    """
    empty = next((sample for sample in samples if len(sample.boxes_px) == 0), None)
    donors = [(s, i) for s in samples for i in range(len(s.boxes_px)) if can_be_cut(s, i)]
    if empty is None or not donors:
        return None
    image = decode_picture(empty).copy()
    boxes: list[NDArray[np.float32]] = []
    labels: list[int] = []
    for _ in range(int(rng.integers(1, MOST_HANDS + 1))):
        cutting = _cut(*donors[rng.integers(len(donors))], look)
        box = None if cutting is None else _paste(image, cutting, boxes, rng)
        if cutting is not None and box is not None:
            boxes.append(box)
            labels.append(cutting.label)
    return Picture(image, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64))


def can_be_cut(sample: Sample, index: int) -> bool:
    """Large enough, and alone in its window."""
    boxes = sample.boxes_px
    if max(boxes[index][2:] - boxes[index][:2]) < LEAST_SIDE_PX:
        return False
    x1, y1, x2, y2 = window_of(sample, index)
    window = np.array([x1, y1, x2, y2], np.float32)
    return not any(_touch(window, other) for other in np.delete(boxes, index, axis=0))


def _cut(sample: Sample, index: int, look: Look) -> Cutting | None:
    """None where no outline was found: an oval of someone's kitchen would be pasted with the hand."""
    region = hand_region(sample, index)
    if not region.is_cut:
        return None
    x1, y1, x2, y2 = region.window
    image = look(sample)[y1:y2, x1:x2]
    box = sample.boxes_px[index] - np.array([x1, y1, x1, y1], np.float32)
    return Cutting(image, region.weight, box.astype(np.float32), int(sample.labels[index]))


def _paste(
    image: Image, cutting: Cutting, taken: Sequence[NDArray[np.float32]], rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """Into `image`, in place; the new box, or None where there was no room."""
    longer = max(image.shape[:2])
    side = float(max(cutting.box_px[2:] - cutting.box_px[:2]))
    share = np.exp(rng.uniform(*np.log(SHARES)))
    cutting = cutting.scaled(min(share * longer / side, LARGEST_UPSCALING))
    if rng.random() < 0.5:
        cutting = cutting.mirrored()
    for _ in range(TRIES):
        edge = int(rng.integers(4))
        reaches_in = rng.random() < REACHES_IN
        turned = cutting.turned(edge - cutting.arm_side) if reaches_in else cutting.turned(edge)
        at = _place(image, turned, edge if reaches_in else None, rng)
        box = _inside(turned.box_px + np.tile(np.array(at, np.float32), 2), image)
        if box is not None and not any(_touch(box, other) for other in taken):
            _blend(image, turned, at, rng)
            return box
    return None


def _place(image: Image, cutting: Cutting, edge: int | None, rng: np.random.Generator) -> Place:
    """Upper left corner: anywhere, or with the arm's end at an edge of the picture, or a little outside."""
    room = np.array(image.shape[1::-1]) - np.array(cutting.image.shape[1::-1])
    x, y = (int(rng.integers(min(0, spare), max(0, spare) + 1)) for spare in room)
    beyond = int(rng.uniform(0.0, 0.15) * min(cutting.image.shape[:2]))
    flush = {0: (-beyond, y), 1: (x, int(room[1]) + beyond), 2: (int(room[0]) + beyond, y), 3: (x, -beyond)}
    return (x, y) if edge is None else flush[edge]


def _inside(box: NDArray[np.float32], image: Image) -> NDArray[np.float32] | None:
    """The part of a box within the picture; None where most of the hand is not."""
    limits = np.tile(np.array(image.shape[1::-1], np.float32), 2)
    clipped = np.clip(box, 0, limits).astype(np.float32)
    kept = np.prod(clipped[2:] - clipped[:2]) / np.prod(box[2:] - box[:2])
    return clipped if kept > 0.7 else None


def _touch(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return bool(np.all(first[:2] < second[2:]) and np.all(second[:2] < first[2:]))


def _blend(image: Image, cutting: Cutting, at: Place, rng: np.random.Generator) -> None:
    """Into `image`, in place, in the light of the place: half the way to its brightness."""
    height, width = cutting.image.shape[:2]
    x1, y1 = max(at[0], 0), max(at[1], 0)
    x2, y2 = min(at[0] + width, image.shape[1]), min(at[1] + height, image.shape[0])
    part = slice(y1 - at[1], y2 - at[1]), slice(x1 - at[0], x2 - at[0])
    below = image[y1:y2, x1:x2].astype(np.float32)
    hand, weight = cutting.image[part].astype(np.float32), cutting.weight[part][..., None]
    light = float(np.clip((below.mean() + 20) / (hand.mean() + 20), 0.4, 2.0)) ** rng.uniform(0.2, 0.7)
    mixed = below * (1 - weight) + hand * light * weight
    image[y1:y2, x1:x2] = np.clip(mixed, 0, 255).astype(np.uint8)

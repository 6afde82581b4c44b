"""The detector of the stop path: crop, letterbox, network, decode, suppress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handguard.detection import preprocess
from handguard.detection.backends.engine import Engine
from handguard.detection.card import Card
from handguard.detection.postprocess import Found, Thresholds, found
from handguard.detection.scores import ScoreKind
from handguard.errors import mismatch
from handguard.types import Detections, Frame


@dataclass(frozen=True, slots=True)
class Region:
    """The part of the picture that is looked at, in pixels; x2 and y2 are outside."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def size_px(self) -> tuple[int, int]:
        return self.x2 - self.x1, self.y2 - self.y1


class HandDetector:
    """Finds hands in frames of one size. Implements `ports.Detector`; one thread."""

    def __init__(self, card: Card, engine: Engine, thresholds: Thresholds, region: Region) -> None:
        self.engine, self._thresholds, self._region = engine, thresholds, region
        self._counts_from = card.operating_point.min_score if thresholds.counts_from is None else thresholds.counts_from
        self._kind = ScoreKind(card.scores)
        self._columns = len(card.classes) + (self._kind is ScoreKind.SOFTMAX)  # of which one is background
        self.card = card
        self.weights_sha256 = card.weights_sha256
        self.input_px = (engine.canvas.shape[1], engine.canvas.shape[0])
        origin = (region.x1, region.y1)
        self._letterbox = preprocess.Letterbox(preprocess.placement_for(region.size_px, self.input_px, origin))
        self.description = f"{card.name} {self.input_px[0]}x{self.input_px[1]} {engine.description}"

    def detect(self, frame: Frame) -> Detections:
        """All hands of the region, in pixels of the whole frame; `ValueError` if the network is not finite."""
        area = self._region
        crop = frame.image[area.y1 : area.y2, area.x1 : area.x2]
        return self._seen(frame, crop, self._letterbox, self._thresholds)

    def recall(self, picture: NDArray[np.uint8], min_score: float) -> Detections:
        """What the same engine says about another picture, whole, whatever the site's region and score are.

        The canvas is left as `detect` needs it: grey round the site's own crop. Raises what `detect` raises.
        """
        size_px = (picture.shape[1], picture.shape[0])
        letterbox = preprocess.Letterbox(preprocess.placement_for(size_px, self.input_px))
        self.engine.canvas[:] = preprocess.GRAY
        try:
            return self._seen(
                Frame(-1, 0, picture), picture, letterbox, replace(self._thresholds, min_score=min_score)
            )
        finally:
            self.engine.canvas[:] = preprocess.GRAY

    def _seen(
        self, frame: Frame, crop: NDArray[np.uint8], letterbox: preprocess.Letterbox, limits: Thresholds
    ) -> Detections:
        """The one way from pixels to hands. Raises `ValueError` for an answer that no network gives."""
        letterbox.draw(crop, self.engine.canvas)
        logits, offsets = self.engine.infer()
        priors = self.engine.priors
        if (logits.shape, offsets.shape) != ((len(priors), self._columns), (len(priors), 4)):
            expected = f"{self._columns} scores and a box for each of {len(priors)} priors"
            raise ValueError(mismatch("the network", expected, f"{logits.shape} and {offsets.shape}"))
        if not (np.isfinite(logits).all() and np.isfinite(offsets).all()):
            raise ValueError("the network's answer is not finite")
        hands = found(logits, offsets, priors, self._kind, limits)
        return self._told(frame, hands, letterbox.placement)

    def _told(self, frame: Frame, hands: Found, placement: preprocess.Placement) -> Detections:
        """Hands in pixels of the whole frame. Those that were left out although they count are told as one that fills
        all that was looked at: a network gone wild must not keep a zone free by what it says elsewhere."""
        boxes, scores, labels = placement.to_picture(hands.boxes_norm), hands.scores, hands.labels
        if hands.left_out >= self._counts_from:
            boxes = np.append(boxes, placement.area_px, axis=0)
            scores, labels = np.append(scores, np.float32(hands.left_out)), np.append(labels, labels[:1])
        return Detections(boxes, scores, labels, frame.seq, frame.captured_ns)

    def warm_up(self, rounds: int = 3) -> None:
        """Run the network a few times, so that the first real frame is not the slow one."""
        for _ in range(rounds):
            self.engine.infer()


def region_round(
    polygons_px: Sequence[NDArray[np.float64]], size_px: tuple[int, int], margin: float
) -> Region:
    """The rectangle round all polygons, grown by `margin` of its longer side, inside the picture.

    Its sides are then made multiples of `preprocess.HALVES_WELL`, where the picture has room.
    """
    corners = np.concatenate(polygons_px)
    low, high = corners.min(axis=0), corners.max(axis=0)
    grow = margin * float(np.max(high - low))
    first = np.floor(np.clip(low - grow, 0, size_px)).astype(int).tolist()
    last = np.ceil(np.clip(high + grow, 0, size_px)).astype(int).tolist()
    (x1, x2), (y1, y2) = (_widened(*side) for side in zip(first, last, size_px, strict=True))
    return Region(x1, y1, x2, y2)


def _widened(first: int, last: int, limit: int) -> tuple[int, int]:
    """The shortest stretch of a good length within 0 and `limit` that holds this one; all, if there is none."""
    length = math.ceil((last - first) / preprocess.HALVES_WELL) * preprocess.HALVES_WELL
    if length > limit:
        return 0, limit
    start = min(first, limit - length)
    return start, start + length


def fitted_input(
    size_px: tuple[int, int], card_input_px: tuple[int, int], multiple_px: int
) -> tuple[int, int]:
    """The network input that shows a crop largest at about the cost of the card's input.

    For networks that take any multiple of `multiple_px`: a 16:9 picture goes into
    416x256 (432x240 in multiples of 16) instead of 320x320, one third larger for the same arithmetic.
    """
    area = card_input_px[0] * card_input_px[1] * 1.06
    sides = range(2 * multiple_px, 32 * multiple_px + 1, multiple_px)
    allowed = [(w, h) for w in sides for h in sides if w * h <= area]
    return max(allowed, key=lambda wh: (min(wh[0] / size_px[0], wh[1] / size_px[1]), -wh[0] * wh[1]))

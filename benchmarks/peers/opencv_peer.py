"""OpenCV's own inference on our network as ONNX, between our own letterbox and decoding.

    opencv_peer.py PICTURES FOLDER MODEL

FOLDER holds network.onnx and priors.npy of the pictures' shape. How scores are read, and from
which one a hand counts, stands in the card of MODEL.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import cv2
import numpy as np
from speaking import answer

from handguard.detection import card as cards
from handguard.detection import preprocess
from handguard.detection.postprocess import Thresholds, found
from handguard.detection.scores import ScoreKind


def detector_of(folder: Path, model: str) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """What it is, and the way from a picture to boxes in its pixels. Raises `ModelError`."""
    card = cards.read_card(cards.locate(model))
    kind, point = ScoreKind(card.scores), card.operating_point
    limits = Thresholds(point.min_score, point.max_overlap, one_class_per_hand=True)
    net = cv2.dnn.readNetFromONNX(str(folder / "network.onnx"))
    priors = np.load(folder / "priors.npy")
    width, height = (int(side) for side in np.load(folder / "input_px.npy"))
    batch = np.full((1, height, width, 3), preprocess.GRAY, np.uint8)

    @functools.cache
    def letterbox_for(size_px: tuple[int, int]) -> preprocess.Letterbox:
        return preprocess.Letterbox(preprocess.placement_for(size_px, (width, height)))

    def detect(picture: np.ndarray) -> np.ndarray:
        letterbox = letterbox_for((picture.shape[1], picture.shape[0]))
        letterbox.draw(picture, batch[0])
        net.setInput(batch)
        logits, offsets = net.forward(["class_logits", "box_offsets"])
        hands = found(logits[0], offsets[0], priors, kind, limits)
        return letterbox.placement.to_picture(hands.boxes_norm)

    return f"OpenCV DNN {cv2.__version__}, {card.name} {width}x{height} float32", detect


if __name__ == "__main__":
    answer(*detector_of(Path(sys.argv[2]), sys.argv[3]))

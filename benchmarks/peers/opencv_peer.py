"""OpenCV's own inference on our network as ONNX, between our own letterbox and decoding.

    opencv_peer.py PICTURES FOLDER     FOLDER holds network.onnx and priors.npy of the pictures' shape
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import cv2
import numpy as np
from speaking import answer

from handguard.detection import preprocess
from handguard.detection.postprocess import Thresholds, found
from handguard.detection.scores import ScoreKind

folder = Path(sys.argv[2])
net = cv2.dnn.readNetFromONNX(str(folder / "network.onnx"))
priors = np.load(folder / "priors.npy")
input_px = tuple(int(side) for side in np.load(folder / "input_px.npy"))
batch = np.full((1, input_px[1], input_px[0], 3), preprocess.GRAY, np.uint8)


def detect(picture: np.ndarray) -> np.ndarray:
    placement = preprocess.placement_for((picture.shape[1], picture.shape[0]), input_px)
    preprocess.place(picture, placement, batch[0])
    net.setInput(batch)
    logits, offsets = net.forward(["class_logits", "box_offsets"])
    hands = found(logits[0], offsets[0], priors, ScoreKind.SIGMOID, Thresholds(0.4, one_class_per_hand=True))
    return placement.to_picture(hands.boxes_norm)


answer(f"OpenCV DNN {cv2.__version__}, palmnet-s {input_px[0]}x{input_px[1]} float32", detect)

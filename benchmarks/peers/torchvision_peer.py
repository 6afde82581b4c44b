"""torchvision's detectors with their own transforms, decoding and suppression.

    torchvision_peer.py PICTURES ssdlite320_mobilenet_v3_large | ssd300_vgg16

Weights are random, for the time does not depend on them; but the scores are bent so that
next to nothing is found. Suppression then costs next to nothing, which is to the peer's
advantage: with trained weights it would be slower.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np
import torch
from speaking import answer

try:
    import torchvision
except RuntimeError:  # the wheel for CUDA beside torch for CPUs: its compiled operators cannot be loaded
    for name in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", lambda boxes, scores, overlap: torch.arange(len(boxes)), "CPU")  # of no boxes
    import torchvision

    importlib.import_module("torchvision.extension")._has_ops = lambda: True

NAME = sys.argv[2]
CLASSES = 91
torch.manual_seed(0)
network = getattr(importlib.import_module("torchvision.models.detection"), NAME)(
    weights=None, weights_backbone=None, num_classes=CLASSES
).eval()
network.score_thresh = 0.9  # random weights say about 1/91 for everything


@torch.inference_mode()
def detect(picture: np.ndarray) -> object:
    tensor = torch.from_numpy(picture[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255
    return network([tensor])[0]["boxes"].numpy()


answer(f"torchvision {torchvision.__version__} {NAME}, torch {torch.__version__} float32", detect)

"""torchvision's detectors as peers of `cuda_path`: eager, from the same picture in host memory to boxes on the host.

Each brings its own transform, decoding and suppression. Weights are random, for the
time does not depend on them, with two classes and background as ours has; scores are held to 0.9, which random
weights never reach, so suppression costs next to nothing. Bytes are uploaded and made RGB floats on the
device, which is faster than on the host. All of that is to the peer's advantage.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

CLASSES = 3  # with background
NOTHING_PASSES = 0.9
PRECISIONS = ("float32", "fp16 autocast")
ROUNDS = 10  # before it is timed

Sight = Callable[[NDArray[np.uint8]], object]


def peers(name: str, device: str, picture: NDArray[np.uint8]) -> tuple[dict[str, Sight], dict[str, str]]:
    """One of torchvision's networks in each precision that runs here, warmed up; and why others do not run."""
    able: dict[str, Sight] = {}
    left_out: dict[str, str] = {}
    for precision in PRECISIONS:
        try:
            able[f"torchvision {name} {precision}"] = _warm(peer(name, device, precision), picture)
        except Exception as error:  # noqa: BLE001  whatever a peer dies of, the others are measured
            left_out[f"torchvision {name} {precision}"] = f"{type(error).__name__}: {str(error)[:300]}"
    return able, left_out


def peer(name: str, device: str, precision: str) -> Sight:
    """Raises whatever torchvision raises, `ImportError` where it is not installed."""
    models = importlib.import_module("torchvision.models.detection")
    torch.manual_seed(0)
    network: Any = getattr(models, name)(weights=None, weights_backbone=None, num_classes=CLASSES)
    network = network.eval().to(device)
    network.score_thresh = NOTHING_PASSES
    halves = precision != PRECISIONS[0]

    @torch.inference_mode()
    def see(picture: NDArray[np.uint8]) -> object:
        bytes_hwc = torch.from_numpy(picture).to(device)
        rgb = bytes_hwc.permute(2, 0, 1).flip(0).float() / 255
        with torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16, enabled=halves):
            found = network([rgb])[0]
        return {key: value.cpu().numpy() for key, value in found.items()}

    return see


def _warm(see: Sight, picture: NDArray[np.uint8]) -> Sight:
    for _ in range(ROUNDS):
        see(picture)
    return see

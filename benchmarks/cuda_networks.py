"""The networks that `cuda_path` measures, as detectors, and the frames that they see.

    python benchmarks/cuda_networks.py ARCHITECTURE FOLDER      a model file of random weights that finds no hand
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handguard.capture.simulated import SimulatedScene
from handguard.capture.video_file import VideoFile
from handguard.detection import card as cards
from handguard.detection.architectures import build, member_of
from handguard.detection.backends.device_engine import DeviceEngine
from handguard.detection.backends.torch_engine import TorchEngine
from handguard.detection.card import Card, OperatingPoint
from handguard.detection.detector import HandDetector, Region, fitted_input
from handguard.detection.device_detector import DeviceDetector
from handguard.detection.postprocess import Thresholds
from handguard.detection.ssd import Ssd
from handguard.detection.weights import load_network, save_model
from handguard.errors import EndOfVideo
from handguard.replay.length import stated_frames
from handguard.training.card_making import CLASSES

SIZE_PX = (1280, 720)  # of the pictures, whatever the footage has
KEPT = 300  # different frames of each recording, shown over and over
LOGIT_SPREAD, OFFSET_SPREAD = 2.0, 1.0  # standard deviations, about those of trained networks
SEED = 3
NO_HAND = 0.99999  # no score of random weights, or next to none

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Network:
    """A network of which detectors are made: a model, or an architecture with random weights."""

    name: str
    trained: bool

    def detector(self, device: str, precision: str, size_px: tuple[int, int] = SIZE_PX) -> HandDetector:
        """For whole pictures of that size, warmed up; device `reference` is the plain detector on the CPU. Raises
        `HandguardError`."""
        card, network = self._shipped(size_px) if self.trained else untrained(self.name)
        point = card.operating_point
        limits = Thresholds(point.min_score, point.max_overlap, one_class_per_hand=True)
        whole, input_px = Region(0, 0, *size_px), self.input_px(card, size_px)
        if device == "reference":
            return HandDetector(card, TorchEngine(network, input_px, precision), limits, whole)
        made = DeviceDetector(card, DeviceEngine(network, input_px, device, precision), limits, whole)
        made.warm_up()
        return made

    def _shipped(self, size_px: tuple[int, int]) -> tuple[Card, Ssd]:
        files = cards.locate(self.name)
        card = cards.read_card(files)
        return card, load_network(files, card, self.input_px(card, size_px))

    @staticmethod
    def input_px(card: Card, size_px: tuple[int, int]) -> tuple[int, int]:
        """What a picture of that size is shown in."""
        multiple = card.any_multiple_of_px
        return card.input_px if multiple is None else fitted_input(size_px, card.input_px, multiple)


def untrained(architecture: str) -> tuple[Card, Ssd]:
    """Random weights, always the same, with heads about as loud as trained ones, and a card for them."""
    torch.manual_seed(SEED)
    input_px = member_of(architecture).input_px
    network = build(architecture, len(CLASSES)).eval().requires_grad_(False)
    with torch.inference_mode():
        raw = network(torch.rand(1, 3, input_px[1], input_px[0]) * 255)
    _louder(network.class_head, raw.class_logits, LOGIT_SPREAD)
    _louder(network.box_head, raw.box_offsets, OFFSET_SPREAD)
    point, kind = OperatingPoint(0.5), network.score_kind.value
    return Card(architecture, architecture, CLASSES, input_px, point, "", kind), network


def _louder(head: nn.Module, said: Tensor, wanted: float) -> None:
    factor = wanted / float(said.std())
    for module in head.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.weight.data.mul_(factor)


def pictures(footage: Path | None, wanted: int) -> tuple[list[Image], list[str]]:
    """Frames of one size, and where they come from: footage, or else the simulated scene."""
    videos = sorted(footage.glob("*.mp4")) if footage else []
    frames: list[Image] = []
    told = []
    for video in videos or [None]:
        own = list(_of(video, wanted))
        height, width = own[0].shape[:2]
        frames += [_fitted(image) for image in own]
        name = video.name if video else "simulated scene"
        told.append(f"{name}: {len(own)} frames of {width}x{height}, shown at {SIZE_PX[0]}x{SIZE_PX[1]}")
    return frames, told


def _of(video: Path | None, wanted: int) -> Iterator[Image]:
    """Frames spread over a recording, or the first of the scene."""
    source = VideoFile(video) if video else SimulatedScene(SEED, live=False)
    stride = max(1, (stated_frames(video) or wanted) // wanted) if video else 1
    try:
        while wanted > 0:
            frame = source.read()
            if frame.seq % stride == 0:
                wanted -= 1
                yield frame.image.copy()
    except EndOfVideo:
        pass
    finally:
        source.close()


def _fitted(image: Image) -> Image:
    if image.shape[1::-1] == SIZE_PX:
        return image
    return np.asarray(cv2.resize(image, SIZE_PX, interpolation=cv2.INTER_LINEAR), np.uint8)


def main() -> None:
    card, network = untrained(sys.argv[1])
    save_model(network, replace(card, operating_point=OperatingPoint(NO_HAND)), Path(sys.argv[2]))


if __name__ == "__main__":
    main()

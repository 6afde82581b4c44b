"""From a model's name to a running detector: the one place where a back end is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handguard.detection import card as cards
from handguard.detection.backends.engine import Engine
from handguard.detection.detector import HandDetector, Region, fitted_input
from handguard.detection.postprocess import Thresholds
from handguard.errors import ModelError, mismatch

if TYPE_CHECKING:
    from handguard.detection.ssd import Ssd

BACKENDS = ("openvino", "torch-cpu", "torch-cuda")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Choice:
    """How a model is to be run."""

    model: str = cards.DEFAULT
    backend: str = "auto"  # auto: CUDA where there is one, else OpenVINO
    precision: str | None = None  # None: the fastest the device computes
    min_score: float | None = None  # None: the card's operating point
    threads: int | None = None


def load_detector(choice: Choice, region: Region) -> HandDetector:
    """A detector for one region of a picture, warmed up. Raises `ModelError`."""
    files = cards.locate(choice.model)
    card = cards.read_card(files)
    input_px = card.input_px
    if card.any_multiple_of_px is not None:
        input_px = fitted_input(region.size_px, card.input_px, card.any_multiple_of_px)
    engine = _engine(choice, files, card, input_px)
    point = card.operating_point
    thresholds = Thresholds(choice.min_score or point.min_score, point.max_overlap, one_class_per_hand=True)
    detector = HandDetector(card, engine, thresholds, region)
    detector.warm_up()
    return detector


def _engine(choice: Choice, files: cards.ModelFiles, card: cards.Card, input_px: tuple[int, int]) -> Engine:
    backend = _automatic() if choice.backend == "auto" else choice.backend
    if backend == "openvino":
        from handguard.detection.backends.openvino_engine import OpenVinoEngine

        def network() -> Ssd:
            from handguard.detection.weights import load_network

            return load_network(files, card, input_px)

        return OpenVinoEngine(card.fingerprint, network, input_px, choice.precision, choice.threads)
    if backend in ("torch-cpu", "torch-cuda"):
        from handguard.detection.backends.torch_engine import TorchEngine
        from handguard.detection.weights import load_network

        device = backend.removeprefix("torch-")
        precision = choice.precision or ("fp16" if device == "cuda" else "float32")
        return TorchEngine(load_network(files, card, input_px), input_px, device, precision)
    raise ModelError(mismatch("detector.backend", f"auto or one of {', '.join(BACKENDS)}", backend))


def _automatic() -> str:
    """CUDA where its driver is there; asking torch instead would cost a second at every start."""
    return "torch-cuda" if NVIDIA_DRIVER.exists() else "openvino"

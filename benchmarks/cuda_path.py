"""The CUDA stop path, measured in one command on the day a card is at hand.

    python benchmarks/cuda_path.py --footage FOLDER            on the card, 20,000 frames for each precision
    python benchmarks/cuda_path.py --device cpu --frames 20    a rehearsal: the same functions, without a graph

What is measured, for every model named, and written to benchmarks/results/cuda-CARD.json:

    parity    hands of fp16 and bf16 against float32 on the same device, and of float32 against torch on the CPU,
              from a low score on, so that there is something to compare on an empty table too
    latency   whole frame in host memory → hands in host memory: percentiles and the least, interleaved by precision
    bare      the network alone, launched operation by operation, in the same rounds
    streams   1, 4 and 16 cameras on the card, each with a graph of its own, one after another: latency of a round
    memory    the most the card held

Frames are those of real footage, held in memory before anything is timed; without
footage they are drawn by the simulated scene, and the result says so.

(Not called cuda.py: beside a file of that name, no program of this folder can import torch.)
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handguard.bench import machine
from handguard.capture.simulated import SimulatedScene
from handguard.capture.video_file import VideoFile
from handguard.detection import card as cards
from handguard.detection.backends.device_engine import DeviceEngine
from handguard.detection.backends.torch_engine import TorchEngine
from handguard.detection.detector import HandDetector, Region, fitted_input
from handguard.detection.device_detector import DeviceDetector
from handguard.detection.postprocess import Thresholds
from handguard.detection.weights import load_network
from handguard.errors import EndOfVideo, HandguardError
from handguard.evidence.summary import percentiles
from handguard.training.export_gate import matched_pairs
from handguard.types import Detections, Frame

RESULTS = Path(__file__).parent / "results"
KEPT = 300  # different frames, shown over and over
STREAMS = (1, 4, 16)
PARITY_FRAMES = 100
PARITY_SCORE = 0.05
STRIDE = 7  # every so many frames of the footage

Image = NDArray[np.uint8]


def pictures(footage: Path | None, wanted: int) -> tuple[list[Image], str]:
    """Frames of one size, and where they come from."""
    videos = sorted(footage.glob("*.mp4")) if footage else []
    source = VideoFile(videos[0]) if videos else SimulatedScene(1, live=False)
    name = videos[0].name if videos else "simulated scene"
    frames: list[Image] = []
    try:
        while len(frames) < wanted:
            frame = source.read()
            if frame.seq % STRIDE == 0:
                frames.append(frame.image.copy())
    except EndOfVideo:
        pass
    source.close()
    return frames, f"{name}, {frames[0].shape[1]}x{frames[0].shape[0]}, {len(frames)} frames"


def detector(model: str, device: str, precision: str, size_px: tuple[int, int]) -> HandDetector:
    """The model on the device, or, for device `reference`, on the CPU as the plain detector."""
    files = cards.locate(model)
    card = cards.read_card(files)
    multiple = card.any_multiple_of_px
    input_px = card.input_px if multiple is None else fitted_input(size_px, card.input_px, multiple)
    network = load_network(files, card, input_px)
    limits = Thresholds(card.operating_point.min_score, card.operating_point.max_overlap, one_class_per_hand=True)
    whole = Region(0, 0, *size_px)
    if device == "reference":
        return HandDetector(card, TorchEngine(network, input_px, precision), limits, whole)
    made = DeviceDetector(card, DeviceEngine(network, input_px, device, precision), limits, whole)
    made.warm_up()
    return made


def in_ms(taken_ns: Sequence[int]) -> dict[str, float | int | None]:
    """Percentiles in milliseconds, and the least. `taken_ns` holds at least one."""
    return percentiles([ns / 1e6 for ns in taken_ns]) | {"min": round(min(taken_ns) / 1e6, 3)}


def timed(work: Callable[[], object]) -> int:
    """Nanoseconds."""
    began = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - began


def parity(one: HandDetector, other: HandDetector, frames: Sequence[Image]) -> dict[str, Any]:
    """How far two detectors agree about the same frames."""
    told: dict[str, Any] = {"frames": len(frames), "hands": 0, "lost": 0, "new": 0, "hand_or_none_differs": 0}
    largest = 0.0
    for number, image in enumerate(frames):
        frame = Frame(number, 0, image)
        told["hand_or_none_differs"] += (len(one.detect(frame)) > 0) != (len(other.detect(frame)) > 0)
        before, after = (d.recall(image, PARITY_SCORE) for d in (one, other))
        pairs = matched_pairs(before.boxes_px, after.boxes_px)
        told["hands"] += len(before)
        told["lost"] += len(before) - pairs
        told["new"] += len(after) - pairs
        largest = max(largest, best_score_change(before, after))
    return {**told, "largest_change_of_the_best_score": round(largest, 4)}


def best_score_change(before: Detections, after: Detections) -> float:
    """Of the best hand; 0 where either has none."""
    return abs(float(before.scores[0] - after.scores[0])) if len(before) and len(after) else 0.0


def latency(detectors: dict[str, HandDetector], frames: Sequence[Image], rounds: int) -> dict[str, Any]:
    """All detectors in turns, frame by frame, so that whatever disturbs one disturbs all."""
    whole: dict[str, list[int]] = {name: [] for name in detectors}
    bare: dict[str, list[int]] = {name: [] for name in detectors}
    for number in range(rounds):
        frame = Frame(number, 0, frames[number % len(frames)])
        for name, one in detectors.items():
            whole[name].append(timed(lambda one=one, frame=frame: one.detect(frame)))  # type: ignore[misc]
            if number % 10 == 0:
                bare[name].append(timed(one.engine.infer))
    return {name: {"whole_path": in_ms(whole[name]), "bare": in_ms(bare[name])} for name in detectors}


def streams(make: Callable[[], HandDetector], frames: Sequence[Image], rounds: int) -> dict[str, Any]:
    """Cameras that share the card: one round is a frame of each, one after another."""
    told = {}
    for count in STREAMS:
        cameras = [make() for _ in range(count)]
        taken = [
            timed(lambda n=n: [one.detect(Frame(n, 0, frames[n % len(frames)])) for one in cameras])  # type: ignore[misc]  # noqa: B023
            for n in range(max(rounds // count, 5))
        ]
        told[str(count)] = in_ms(taken)
    return told


def memory_mb(device: str) -> float | None:
    """The most the card held since the start; None on a CPU."""
    return round(torch.cuda.max_memory_reserved() / 1e6, 1) if device == "cuda" else None


def measured(model: str, device: str, frames: Sequence[Image], rounds: int) -> dict[str, Any]:
    """Everything about one model."""
    size_px = (frames[0].shape[1], frames[0].shape[0])
    precisions = ("float32", "bf16", "fp16") if device == "cuda" else ("float32", "bf16")
    detectors = {precision: detector(model, device, precision, size_px) for precision in precisions}
    some = list(islice(frames, min(PARITY_FRAMES, rounds)))
    exact = detectors["float32"]
    fastest = precisions[-1]
    return {
        "detectors": {name: one.description for name, one in detectors.items()},
        "parity": {
            "float32 against torch on the CPU": parity(detector(model, "reference", "float32", size_px), exact, some),
            **{f"{name} against float32": parity(exact, detectors[name], some) for name in precisions[1:]},
        },
        "latency_ms": latency(detectors, frames, rounds),
        f"streams_ms_{fastest}": streams(lambda: detector(model, device, fastest, size_px), frames, rounds),
        "memory_mb": memory_mb(device),
    }


def orders() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--frames", type=int, default=20_000, help="for each precision")
    parser.add_argument("--footage", type=Path, help="folder of recordings; default: the simulated scene")
    parser.add_argument("--model", action="append", help="may be repeated; default: the shipped one")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/cuda-CARD.json; none for a rehearsal")
    return parser.parse_args()


def main() -> None:
    wanted = orders()
    on_card = wanted.device == "cuda"
    if on_card and not torch.cuda.is_available():
        raise SystemExit("expected a CUDA device, found none on this machine; --device cpu --frames 20 rehearses")
    frames, told = pictures(wanted.footage, min(KEPT, max(wanted.frames, 1)))
    gc.freeze()
    card = torch.cuda.get_device_name() if on_card else "rehearsal on a CPU"
    results = {"machine": {"card": card, **machine.described()}, "frames": told, "models": {}}
    for model in wanted.model or [cards.DEFAULT]:
        try:
            results["models"][model] = measured(model, wanted.device, frames, wanted.frames)
        except HandguardError as error:
            results["models"][model] = {"failed": str(error)}
    text = json.dumps(results, indent=1)
    sys.stdout.write(text + "\n")
    out = wanted.out or (RESULTS / f"cuda-{card.lower().replace(' ', '-')}.json" if on_card else None)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")


if __name__ == "__main__":
    main()

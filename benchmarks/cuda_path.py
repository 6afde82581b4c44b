"""The CUDA stop path, measured in one command on the day a card is at hand.

    python benchmarks/cuda_path.py --footage FOLDER            on the card, 20,000 frames for each precision
    python benchmarks/cuda_path.py --device cpu --frames 20    a rehearsal: the same functions, without a graph
    python benchmarks/cuda_sitting.py --out FOLDER             all that is to be known of a card, in minutes

For every network named, a model or an architecture with random weights (told as untrained);
each part is written as soon as it is known:

    parity    hands of fp16 and bf16 against float32 on the same device, and of float32 against torch on the CPU,
              from a low score on, so that there is something to compare on an empty table too; and how far the
              scores and boxes of all priors are apart before any threshold
    latency   whole frame in host memory → hands in host memory: percentiles and the least, frame by frame in turns
    bare      the network alone, launched operation by operation, in the same rounds
    peers     torchvision's networks, in the same rounds (`cuda_peers`); each as a multiple of ours in fp16
    stages    where the time goes on the card (`cuda_stages`)
    streams   1, 4 and 16 cameras on the card, each with a graph of its own, one after another: latency of a round
    memory    the most the card held

Frames are those of real footage, held in memory before anything is timed; without
footage they are drawn by the simulated scene, and the result says so.

(Not called cuda.py: beside a file of that name, no program of this folder can import torch.)
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cuda_networks import KEPT, Image, Network, pictures
from cuda_peers import peers
from cuda_stages import launches, stages
from kept import keep, say

from handguard.bench import machine
from handguard.detection import card as cards
from handguard.detection.detector import HandDetector
from handguard.detection.postprocess import scores_of
from handguard.detection.scores import ScoreKind
from handguard.evidence.summary import percentiles
from handguard.training.export_gate import matched_pairs
from handguard.types import Detections, Frame

RESULTS = Path(__file__).parent / "results"
PRECISIONS = ("fp16", "bf16", "float32")  # ours to be compared with peers first
STREAMS = (1, 4, 16)
STREAM_ROUNDS = 6000  # of one frame each, whatever the number of cameras
PARITY_FRAMES, RAW_FRAMES = 60, 10
PARITY_SCORE = 0.05
BARE_EVERY, PEERS_EVERY = 40, 40  # frames: they take ten times as long, and need no p99.9

Sight = Callable[[int], object]  # of the frame with that number


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
    apart = {"largest_change_of_the_best_score": round(largest, 4)}
    return {**told, **apart, "all_priors": raw_parity(one, other, frames[:RAW_FRAMES])}


def best_score_change(before: Detections, after: Detections) -> float:
    """Of the best hand; 0 where either has none."""
    return abs(float(before.scores[0] - after.scores[0])) if len(before) and len(after) else 0.0


def raw_parity(one: HandDetector, other: HandDetector, frames: Sequence[Image]) -> dict[str, float]:
    """The largest difference, and that of 999 in 1,000: of scores, and of box offsets as the network says them."""
    kind = ScoreKind(one.card.scores)
    scores, offsets = [], []
    for image in frames:
        (a_logits, a_offsets), (b_logits, b_offsets) = (_raw(detector, image) for detector in (one, other))
        scores.append(np.abs(scores_of(a_logits, kind) - scores_of(b_logits, kind)))
        offsets.append(np.abs(a_offsets - b_offsets))
    told = {"score": np.concatenate(scores), "offset": np.concatenate(offsets)}
    return {
        f"{name}_{how}": round(float(value), 5)
        for name, apart in told.items()
        for how, value in (("largest", apart.max()), ("p999", np.quantile(apart, 0.999)))
    }


def _raw(detector: HandDetector, image: Image) -> tuple[np.ndarray, np.ndarray]:
    detector._letterbox.draw(image, detector.engine.canvas)
    logits, offsets = detector.engine.infer()
    return logits.copy(), offsets.copy()


def latency(sights: dict[str, tuple[int, Sight]], rounds: int, seconds: float) -> dict[str, Any]:
    """All in turns, frame by frame, so that whatever disturbs one disturbs all; each on every so many frames. Ends
    early when the time is up."""
    taken: dict[str, list[int]] = {name: [] for name in sights}
    until = time.monotonic() + seconds
    gc.collect()
    gc.disable()
    for number in range(rounds):
        for name, (every, see) in sights.items():
            if number % every == 0:
                taken[name].append(timed(lambda see=see, number=number: see(number)))  # type: ignore[misc]
        if time.monotonic() > until:
            break
    gc.enable()
    return {name: in_ms(times) for name, times in taken.items()}


def seen_by(detector: HandDetector, frames: Sequence[Image]) -> Sight:
    """The whole path."""
    return lambda number: detector.detect(Frame(number, 0, frames[number % len(frames)]))


def streams(network: Network, wanted: argparse.Namespace, frames: Sequence[Image], seconds: float) -> dict[str, Any]:
    """Cameras that share the card: one round is a frame of each, one after another."""
    told = {}
    for count in STREAMS:
        cameras = [seen_by(network.detector(wanted.device, wanted.precision[0]), frames) for _ in range(count)]
        sights: dict[str, tuple[int, Sight]] = {
            "round": (1, lambda number, cameras=cameras: [see(number) for see in cameras])  # type: ignore[misc]
        }
        rounds = max(min(wanted.frames, STREAM_ROUNDS) // count, 5)
        told[str(count)] = latency(sights, rounds, seconds / len(STREAMS))["round"]
    return told


def memory_mb(device: str) -> float | None:
    """The most the card held since the last network; None on a CPU."""
    if device != "cuda":
        return None
    most = round(torch.cuda.max_memory_reserved() / 1e6, 1)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return most


Part = dict[str, Any]


def measured(network: Network, wanted: argparse.Namespace, frames: Sequence[Image], until: float) -> Iterator[Part]:
    """Everything about one network, as far as the time allows, the most important first."""
    detectors = {precision: network.detector(wanted.device, precision) for precision in wanted.precision}
    yield {"trained": network.trained, "detectors": {name: one.description for name, one in detectors.items()}}
    beside, left_out = _beside(wanted, frames)
    sights = {name: (_every(name, wanted), seen_by(one, frames)) for name, one in detectors.items()}
    for name, one in detectors.items():
        sights[f"{name} bare"] = (BARE_EVERY, lambda number, one=one: one.engine.infer())  # type: ignore[misc]
    found = latency(sights | beside, wanted.frames, min(wanted.seconds, until - time.monotonic()))
    ours = wanted.precision[0]
    first = found[ours]["p50"] or 1.0
    ratios = {name: round(one["p50"] / first, 3) for name, one in found.items()}
    yield {"latency_ms": found, f"times_ours_{ours}_p50": ratios, "peers_left_out": left_out}
    yield {"memory_mb": memory_mb(wanted.device)}
    yield {"stages_ms": {name: stages(one, frames[0], wanted.frames) for name, one in detectors.items()}}
    if wanted.streams and time.monotonic() < until:
        yield {f"streams_ms_{ours}": streams(network, wanted, frames, until - time.monotonic())}
    some = frames[:: max(1, len(frames) // PARITY_FRAMES)]
    yield {"parity": parities(network, detectors, some, wanted.frames)}


def _beside(wanted: argparse.Namespace, frames: Sequence[Image]) -> tuple[dict[str, tuple[int, Sight]], dict[str, str]]:
    """Peers, and why some do not run here."""
    sights: dict[str, tuple[int, Sight]] = {}
    left_out: dict[str, str] = {}
    for peer in wanted.peer or ():
        able, unable = peers(peer, wanted.device, frames[0])
        left_out |= unable
        for name, see in able.items():
            sights[name] = (PEERS_EVERY, lambda number, see=see: see(frames[number % len(frames)]))  # type: ignore[misc]
    return sights, left_out


def _every(precision: str, wanted: argparse.Namespace) -> int:
    """Of how many frames one is seen in that precision: the first one sees all of them."""
    return 1 if precision == wanted.precision[0] else wanted.others_every


def parities(
    network: Network, detectors: dict[str, HandDetector], frames: Sequence[Image], most: int
) -> dict[str, Any]:
    """Against float32 on the same device, and of that against the reference."""
    some, exact = frames[: min(PARITY_FRAMES, most)], detectors.get("float32")
    if exact is None:
        return {}
    told = {f"{name} against float32": parity(exact, one, some) for name, one in detectors.items() if one is not exact}
    reference = network.detector("reference", "float32")
    few = some if network.trained else some[:RAW_FRAMES]  # a large one takes a second a frame on a CPU
    return {"float32 against torch on the CPU": parity(reference, exact, few), **told}


def gathered(parts: Iterable[Part], into: Part, write: Callable[[], None]) -> None:
    """Part by part, each written at once; or why there are no more: one network must not cost the numbers of others."""
    try:
        for part in parts:
            into |= part
            write()
    except Exception as error:  # noqa: BLE001
        into["failed"] = f"{type(error).__name__}: {str(error)[:1000]}"
        write()


def orders() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--frames", type=int, default=20_000, help="for each precision")
    parser.add_argument("--footage", type=Path, help="folder of recordings; default: the simulated scene")
    parser.add_argument("--model", action="append", help="may be repeated; default: the shipped one")
    parser.add_argument("--architecture", action="append", help="with random weights; may be repeated")
    parser.add_argument("--precision", action="append", help=f"default: {', '.join(PRECISIONS)}; the first is ours")
    parser.add_argument("--others-every", type=int, default=1, help="of so many frames, one in the other precisions")
    parser.add_argument("--peer", action="append", help="a network of torchvision's; may be repeated")
    parser.add_argument("--streams", action="store_true", help="also several cameras at once")
    parser.add_argument("--seconds", type=float, default=1e6, help="of one network's rounds, which then end early")
    parser.add_argument("--within", type=float, default=1e6, help="seconds for everything; what is left is left out")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/cuda-CARD.json; none for a rehearsal")
    wanted = parser.parse_args()
    on_cpu = ("float32", "bf16")
    wanted.precision = wanted.precision or list(PRECISIONS if wanted.device == "cuda" else on_cpu)
    if not wanted.model and not wanted.architecture:
        wanted.model = [cards.DEFAULT]
    return wanted


def main() -> None:
    wanted = orders()
    until = time.monotonic() + wanted.within
    on_card = wanted.device == "cuda"
    if on_card and not torch.cuda.is_available():
        raise SystemExit("expected a CUDA device, found none on this machine; --device cpu --frames 20 rehearses")
    frames, told = pictures(wanted.footage, min(KEPT, max(wanted.frames, 1)))
    gc.freeze()
    card = torch.cuda.get_device_name() if on_card else "rehearsal on a CPU"
    networks = [Network(name, True) for name in wanted.model or ()]
    networks += [Network(name, False) for name in wanted.architecture or ()]
    results: dict[str, Any] = {"machine": {"card": card, **machine.described()}, "frames": told, "networks": {}}
    out = wanted.out or (RESULTS / f"cuda-{card.lower().replace(' ', '-')}.json" if on_card else None)
    write = (lambda: keep(out, results)) if out is not None else (lambda: None)
    for network in networks:
        found = results["networks"][network.name] = {}
        if time.monotonic() < until:
            gathered(measured(network, wanted, frames, until), found, write)
        say(f"{network.name} {found}")
    for network in networks:  # last: a profiler slows what comes after it
        if time.monotonic() < until:
            looked_at = (launches(network.detector(wanted.device, wanted.precision[0]), frames[0]) for _ in range(1))
            gathered(({"launches": one} for one in looked_at), results["networks"][network.name], write)


if __name__ == "__main__":
    main()

"""The bare OpenVINO request in every precision this CPU has: `python benchmarks/precisions.py [--int8 GRAPH.xml]`.

In turns, request by request, so that whatever disturbs one disturbs all; the smallest times are
told beside the medians, because on a shared machine only they are the network's own.
Processor time counts all threads of the process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from handguard.bench import machine
from handguard.detection import card as cards
from handguard.detection.backends.openvino_engine import OpenVinoEngine, precisions_here
from handguard.detection.detector import fitted_input
from handguard.detection.weights import load_network


def engines(model: str, int8: Path | None, threads: int) -> dict[str, OpenVinoEngine]:
    """One for each precision, at the input that a 16:9 camera gets."""
    files = cards.locate(model)
    card = cards.read_card(files)
    multiple = card.any_multiple_of_px
    input_px = card.input_px if multiple is None else fitted_input((1280, 720), card.input_px, multiple)

    def made(key: str, precision: str | None, graph: Path | None = None) -> OpenVinoEngine:
        def network() -> Any:
            return load_network(files, card, input_px)

        return OpenVinoEngine(key, network, input_px, precision, threads, graph)

    found = {name: made(card.fingerprint, name) for name in precisions_here()}
    if int8 is not None:
        found["int8"] = made(cards.sha256_of(int8), None, int8)
    return found


def timed(found: dict[str, OpenVinoEngine], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of wall and of processor time."""
    wall: dict[str, list[int]] = {name: [] for name in found}
    processor: dict[str, list[int]] = {name: [] for name in found}
    picture = np.random.default_rng(0)
    for engine in found.values():
        engine.canvas[:] = picture.integers(0, 255, engine.canvas.shape, dtype=np.uint8)
        engine.infer()
    for _ in range(rounds):
        for name, engine in found.items():
            began_ns, used_ns = time.perf_counter_ns(), time.process_time_ns()
            engine.infer()
            processor[name].append(time.process_time_ns() - used_ns)
            wall[name].append(time.perf_counter_ns() - began_ns)
    return {
        name: {
            f"{what}_{how}": round(float(of(taken[name])) / 1e6, 2)
            for what, taken in (("wall_ms", wall), ("processor_ms", processor))
            for how, of in (("min", np.min), ("p50", np.median))
        }
        for name in found
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=cards.DEFAULT)
    parser.add_argument("--int8", type=Path, help="an exported int8 graph of the same model")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args()
    found = engines(wanted.model, wanted.int8, wanted.threads)
    told = {"machine": machine.described(), "threads": wanted.threads, "ms": timed(found, wanted.rounds)}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()

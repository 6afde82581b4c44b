"""Where the time of the CUDA path goes: each stage as a graph of its own, timed by the card's own clock.

    host copy   the frame into pinned memory, by the clock of the host
    upload … download   the stages that the one graph of the stop path holds
    whole graph         that graph itself, between two events: what is more than their sum is between them
    launches            what the card does in one launch of it, counted and weighed by torch's profiler

On a CPU the same stages run without graphs, by the clock of the host.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handguard.detection.backends.device_engine import DeviceEngine, Path, Replay, captured
from handguard.detection.backends.tensor_path import table_of
from handguard.detection.detector import HandDetector
from handguard.evidence.summary import percentiles

ROUNDS = 300
LONGEST = 25  # kernels told by name

Step = Callable[[], object]


def stages(detector: HandDetector, image: NDArray[np.uint8], rounds: int) -> dict[str, Any]:
    """Milliseconds of each stage of a detector for whole pictures of that size."""
    engine = detector.engine
    assert isinstance(engine, DeviceEngine)
    rounds = min(rounds, ROUNDS)
    path = engine.prepare(detector._letterbox.placement, detector._thresholds)
    host = engine.host_memory(image.shape, torch.uint8).numpy()
    with torch.inference_mode(), engine.on_device.arithmetic():
        steps = {name: captured(step, engine.device) for name, step in _steps(detector, engine, image).items()}
        steps = {"host copy": lambda: np.copyto(host, image), **steps, "whole graph": path._replay}
        return {name: percentiles(_ms(step, rounds)) for name, step in steps.items()}


def _steps(detector: HandDetector, engine: DeviceEngine, image: NDArray[np.uint8]) -> dict[str, Step]:
    """The stages of the one graph, each on what the one before left in the device's memory."""
    shared, limits = engine.on_device, detector._thresholds
    letterbox = shared.letterbox(detector._letterbox.placement)
    host = engine.host_memory(image.shape, torch.uint8)
    host.numpy()[:] = image
    frame = host.to(engine.device)
    picture = letterbox(frame)
    logits, offsets = shared.raw(picture)
    table = table_of(logits, offsets, shared.priors, shared.kind, limits)
    back = engine.host_memory(tuple(table.shape), torch.float32)
    return {
        "upload": lambda: frame.copy_(host, non_blocking=True),
        "letterbox": lambda: letterbox(frame),
        "network": lambda: shared.raw(picture),
        "boxes and suppression": lambda: table_of(logits, offsets, shared.priors, shared.kind, limits),
        "download": lambda: back.copy_(table, non_blocking=True),
    }


def _ms(launch: Step, rounds: int) -> list[float]:
    """Of a graph between two events on the card; of anything else by the clock of the host."""
    return [_between_events(launch) if isinstance(launch, Replay) else _by_the_clock(launch) for _ in range(rounds)]


def _between_events(graph: Replay) -> float:
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    graph.launch()
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended))


def _by_the_clock(step: Step) -> float:
    began_ns = time.perf_counter_ns()
    step()
    return (time.perf_counter_ns() - began_ns) / 1e6


def launches(detector: HandDetector, image: NDArray[np.uint8]) -> dict[str, Any]:
    """What one launch of the graph does on the card. A profiler slows what is timed after it: ask for this last."""
    engine = detector.engine
    assert isinstance(engine, DeviceEngine)
    path: Path = engine.prepare(detector._letterbox.placement, detector._thresholds)
    path(image)
    kind = getattr(torch.profiler.ProfilerActivity, engine.device.type.upper())
    with torch.profiler.profile(activities=[kind]) as seen:
        path(image)
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for event in seen.events() or ():
        if event.device_type.name != kind.name:  # the host's part of a launch
            continue
        times[event.name] += event.time_range.elapsed_us()
        counts[event.name] += 1
    longest = [{"us": us, "times": counts[name], "name": name[:120]} for name, us in times.most_common(LONGEST)]
    return {"count": sum(counts.values()), "us": sum(times.values()), "longest": longest}

"""The detector's call against the compiled network alone, turn by turn on the same pictures.

Whatever else the machine does meets both alike, so that the ratio holds where the
times themselves do not. The smallest times say what each costs when nothing disturbs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from handguard.assembly import detector_of, rules_of
from handguard.bench.pictures import footage_of
from handguard.bench.stopwatch import WholePath
from handguard.config import Settings
from handguard.evidence.summary import percentiles
from handguard.scheduling import Precedence
from handguard.types import Frame

WARM_UP_ROUNDS = 20


def in_turns(
    settings: Settings, rounds: int, ready: Callable[[], None] = lambda: None, *, realtime: bool = True
) -> dict[str, Any]:
    """Times of both, and their ratios; with `realtime` under the precedence and on the cores of a live run, without
    it as an ordinary program. Raises `HandguardError`."""
    footage = footage_of(settings)
    rules = rules_of(settings, footage.format)
    detector = detector_of(settings, rules.zones.zones, footage.format)
    frames = [Frame(seq, seq, picture) for seq, picture in enumerate((*footage.free, *footage.hands))]
    ready()
    calls, bares = [], []
    with _precedence(settings.detector.cores) if realtime else nullcontext():
        for turn in range(rounds + WARM_UP_ROUNDS):
            calls.append(_took_ms(lambda: detector.detect(frames[turn % len(frames)])))  # noqa: B023  called at once
            bares.append(_took_ms(detector.engine.infer))
    calls, bares = calls[WARM_UP_ROUNDS:], bares[WARM_UP_ROUNDS:]
    call, bare = percentiles(calls), percentiles(bares)
    return {
        "detector": detector.description,
        "whole_path": isinstance(detector.engine, WholePath),
        "call_ms": call | {"min": round(min(calls), 3)},
        "bare_ms": bare | {"min": round(min(bares), 3)},
        "ratio_of_medians": _ratio(call["p50"], bare["p50"]),
        "ratio_of_smallest": _ratio(min(calls), min(bares)),
    }


@contextmanager
def _precedence(cores: Collection[int]) -> Iterator[None]:
    """As a live run has it, and no longer."""
    precedence = Precedence(cores)
    precedence.take()
    try:
        yield
    finally:
        precedence.give_back()


def _took_ms(act: Callable[[], object]) -> float:
    began_ns = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - began_ns) / 1e6


def _ratio(one: float | int | None, other: float | int | None) -> float:
    return round(float(one or 0) / float(other or 1), 3)

"""From the start of the program to the first judged frame, stage by stage.

The stages are those of `watch.LiveRun`, whose makers are timed from outside. What is
simulated, board and scene, a real machine does not have; it is listed, and left out of
`as_on_a_machine_s`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from handguard.config import Settings
from handguard.errors import DeviceError, mismatch
from handguard.types import Decision, KeeperReport, Permit

BOARD, CAMERA = "simulated board", "camera"
MAKERS = {
    "source_of": CAMERA,
    "rules_of": "zones",
    "detector_of": "network: load, compile, warm up",
    "simulated_board": BOARD,
    "relay_of": "relay keeper, until it has said OFF",
    "Onlookers": "programs that look on",
}
PATIENCE_S = 20.0  # for the first judged frame, once everything is made
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class _FirstFrame:
    """An `EventSink` that ends the run once a frame was judged."""

    faults: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.judged_s: float | None = None
        self.cause = ""  # of the newest tick
        self.end: Callable[[], None] = lambda: None

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        self.cause = decision.cause
        if decision.detections is not None and self.judged_s is None:
            self.judged_s = decision.times.judged_ns / 1e9
            self.end()

    def when_s(self) -> float:
        """On the monotonic clock. Raises `DeviceError` if no frame was judged."""
        if self.judged_s is None:
            expected = f"a first frame judged within {PATIENCE_S:g} s"
            raise DeviceError(mismatch("start", expected, f"none ({self.cause or 'no tick'})"))
        return self.judged_s


def started(settings: Settings, folder: Path, *, realtime: bool = True) -> dict[str, Any]:
    """Start a run in this process, which must be fresh, with or without asking for precedence. Main thread only.
    Raises `HandguardError`, also when no frame is judged."""
    began_s, here_s = process_began_s(), time.monotonic()
    from handguard import watch
    from handguard.assembly import SIMULATED
    from handguard.bench.course import rehearsal

    stages = {"Python and settings": here_s - began_s, "imports": time.monotonic() - here_s}
    for maker, stage in MAKERS.items():
        setattr(watch, maker, _timed(getattr(watch, maker), stage, stages))
    first = _FirstFrame()
    with ExitStack() as stack:
        options = watch.Options(folder / "run", panel=False, realtime=realtime)
        live = watch.LiveRun(rehearsal(settings, folder, recorder=True), options, folder / "run", stack)
        made_s = time.monotonic()
        live.parts.sinks = (*live.parts.sinks, first)
        first.end = live.monitor.stop
        live.monitor.run(PATIENCE_S)
    judged_s = first.when_s()
    stages["first frame"] = judged_s - made_s
    total_s = judged_s - began_s
    stages["the rest"] = total_s - sum(stages.values())
    simulated = [BOARD, *([CAMERA] if settings.camera.source == SIMULATED else [])]
    return {
        "stages_s": {stage: round(took_s, 3) for stage, took_s in stages.items()},
        "total_s": round(total_s, 3),
        "as_on_a_machine_s": round(total_s - sum(stages[stage] for stage in simulated), 3),
    }


def process_began_s() -> float:
    """When this process was started, on the monotonic clock, to 10 ms."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    since_boot_s = int(fields[19]) / _TICKS_PER_S
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s)


def _timed(maker: Callable[..., Any], stage: str, stages: dict[str, float]) -> Callable[..., Any]:
    def made(*arguments: Any, **named: Any) -> Any:
        began_s = time.monotonic()
        try:
            return maker(*arguments, **named)
        finally:
            stages[stage] = stages.get(stage, 0.0) + time.monotonic() - began_s

    return made

"""One live run, timed: the product's own run, with its keeper, simulated board, recorder and evidence.

Whatever the settings say, a measurement touches no real machine: the relay is
the simulated board behind a real pty, the reset is simulated, the lamp is left out, and
everything is written into a folder of its own.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.bench.company import FreezableDisk, Viewer, freezable_disk
from handguard.bench.pictures import Footage, PictureLoop, footage_of, free_frames_needed
from handguard.bench.stopwatch import JOINTS, STAGES, Stopwatch, TimedDetector, TimedLine, resident_bytes
from handguard.config import Settings
from handguard.errors import DeviceError, mismatch
from handguard.evidence.summary import percentiles
from handguard.watch import LiveRun, Options

WARM_UP_FRAMES = 30  # not counted
TURN_S = 3.0  # of calm and of trouble, alternately
CALM, TROUBLED = 0, 1
SELDOM_S = 0.25  # between two looks of the viewer that is stopped

Told = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What one run is to be like."""

    frames: int
    recorder: bool = True
    viewer: bool = True
    in_turns: bool = False  # a stopped viewer and a frozen disk every other `TURN_S`
    realtime: bool = True  # ask for precedence, as `handguard run` does
    late_by_s: float = 0.0  # for several streams, which do not capture at the same moment


def run_course(settings: Settings, order: Order, folder: Path, ready: Told = lambda: None) -> dict[str, Any]:
    """Make the run, call `ready`, run it; what was measured as plain values. Main thread only.

    Raises `HandguardError` for what is wrong before the start.
    """
    settings = rehearsal(settings, folder, order.recorder)
    footage = footage_of(settings)
    frames = order.frames + WARM_UP_FRAMES
    loop = PictureLoop(footage, frames, free_frames_needed(settings, footage.format.fps), order.late_by_s)
    out = folder / "run"
    with ExitStack() as stack:
        disk = stack.enter_context(freezable_disk()) if order.in_turns else None
        if disk is not None:
            _keep_on(disk, out)
        live = LiveRun(settings, Options(out, panel=False, realtime=order.realtime, source=loop), out, stack)
        detector, stopwatch = _timed(live, frames)
        viewer = Viewer(live.parts.feed.name) if order.viewer else None
        turns = stack.enter_context(_turns(stopwatch, live, disk)) if disk else None
        ready()
        began_s = time.process_time()
        with _counted_collections() as collections, turns or nullcontext():
            live.monitor.run()
        spent_s = time.process_time() - began_s
        live.finish()
        trips = _at_the_board(live, stopwatch)
        result = _result(stopwatch, trips) | _about(live, footage, detector)
        result |= {"collections": dict(collections), "cpu_ms_per_frame": round(1e3 * spent_s / frames, 2)}
        live.parts.feed.close()
        result["seen_by_viewer"] = viewer.close() if viewer else None
    return result


def rehearsal(settings: Settings, folder: Path, recorder: bool) -> Settings:
    """The same site with nothing real behind it."""
    relay = settings.relay.model_copy(
        update={"driver": "simulated", "port": None, "channel": 1, "second": None, "options": {}}
    )
    after_free_s = settings.reset.after_free_s if settings.reset.input == "simulated" else 0.3
    reset = settings.reset.model_copy(update={"input": "simulated", "after_free_s": after_free_s})
    clips = settings.evidence.clips.model_copy(update={"enabled": recorder})
    evidence = settings.evidence.model_copy(update={"dir": str(folder / "runs"), "clips": clips})
    return settings.model_copy(
        update={
            "relay": relay,
            "reset": reset,
            "evidence": evidence,
            "safety": settings.safety.model_copy(update={"profile": "basic"}),
            "warning": settings.warning.model_copy(update={"lamp": None, "bell": False}),
        }
    )


def _timed(live: LiveRun, frames: int) -> tuple[TimedDetector, Stopwatch]:
    """Put the clocks round the parts of a run that has not begun."""
    parts = live.parts
    detector, line = TimedDetector(parts.detector), TimedLine(parts.relay)  # type: ignore[arg-type]
    stopwatch = Stopwatch(detector, line, frames)
    parts.detector, parts.relay, parts.sinks = detector, line, (*parts.sinks, stopwatch)
    return detector, stopwatch


def _keep_on(disk: FreezableDisk, out: Path) -> None:
    """Evidence and films lie on that disk; the simulated board's own log does not."""
    out.mkdir(parents=True)
    for name in ("evidence", "clips"):
        (disk.path / name).mkdir()
        (out / name).symlink_to(disk.path / name)


@contextmanager
def _turns(stopwatch: Stopwatch, live: LiveRun, disk: FreezableDisk) -> Iterator[_Turns]:
    """Trouble for one more viewer, which looks seldom, so that stopping it takes no work off the machine."""
    victim = Viewer(live.parts.feed.name, SELDOM_S)
    try:
        yield _Turns(stopwatch, victim, disk)
    finally:
        live.parts.feed.close()
        victim.close()


class _Turns:
    """Calm and trouble in turns, in a thread, for the time of a run."""

    def __init__(self, stopwatch: Stopwatch, viewer: Viewer, disk: FreezableDisk) -> None:
        self._stopwatch, self._viewer, self._disk = stopwatch, viewer, disk
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turns")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(TURN_S):
            self._viewer.stop_looking()
            self._disk.freeze()
            self._stopwatch.label = TROUBLED
            self._over.wait(TURN_S)
            self._stopwatch.label = CALM
            self._disk.thaw()
            self._viewer.look_again()


@contextmanager
def _counted_collections() -> Iterator[dict[str, int]]:
    """How often the garbage collector ran meanwhile, by generation."""
    counts = {f"generation {number}": 0 for number in range(3)}

    def count(phase: str, info: dict[str, int]) -> None:
        counts[f"generation {info['generation']}"] += phase == "start"

    gc.callbacks.append(count)
    try:
        yield counts
    finally:
        gc.callbacks.remove(count)


def _at_the_board(live: LiveRun, stopwatch: Stopwatch) -> NDArray[np.int64]:
    """(T, 3) of each trip that found the board on: captured, sent, OFF bytes at the board.

    A board that was still off, because the keeper had not let it on again, has nothing to be told.
    """
    if live.board is None:
        return np.empty((0, 3), np.int64)
    on_ns, off_ns = (np.array(times, np.int64) for times in (live.board.on_bytes_ns(), live.board.off_bytes_ns()))
    trips = []
    for captured_ns, sent_ns in stopwatch.trips:
        was_on = _newest(on_ns, captured_ns) > _newest(off_ns, captured_ns)
        after = off_ns[off_ns >= captured_ns]
        if was_on and len(after):
            trips.append((captured_ns, sent_ns, int(after[0])))
    return np.array(trips, np.int64).reshape(-1, 3)


def _newest(times_ns: NDArray[np.int64], before_ns: int) -> int:
    """The last of rising times before that one; -1 if there is none."""
    earlier = times_ns[times_ns < before_ns]
    return int(earlier[-1]) if len(earlier) else -1


def _result(stopwatch: Stopwatch, trips_ns: NDArray[np.int64]) -> dict[str, Any]:
    rows = stopwatch.rows_ns[WARM_UP_FRAMES:] / 1e6
    labels = stopwatch.labels[WARM_UP_FRAMES:]
    trips = trips_ns / 1e6
    faults = stopwatch.page_faults[WARM_UP_FRAMES:]
    weights = stopwatch.resident_bytes[1:] or [resident_bytes()]
    if not len(rows):
        raise DeviceError(mismatch("measurement", f"frames judged after the first {WARM_UP_FRAMES}", "none"))
    _require_in_order(rows)
    spans = spans_ms(rows)
    return {
        "judged": len(rows),
        "ms": {name: percentiles(values.tolist()) for name, values in spans.items()},
        "calm_ms": {name: percentiles(values[labels == CALM].tolist()) for name, values in spans.items()},
        "troubled_ms": {name: percentiles(values[labels == TROUBLED].tolist()) for name, values in spans.items()},
        "trips": len(stopwatch.trips),
        "locked_out_by": stopwatch.locked_out_by,
        "permit_to_board_ms": percentiles((trips[:, 2] - trips[:, 1]).tolist()),
        "frame_to_board_ms": percentiles((trips[:, 2] - trips[:, 0]).tolist()),
        "page_faults_per_frame": percentiles(faults.tolist()),
        "resident_mb": [round(weight / 1e6, 1) for weight in weights],
        "every_frame_ms": [round(float(value), 3) for value in spans["frame to permit"]],
        "every_network_ms": [round(float(value), 3) for value in spans["network"]],
        "every_board_ms": [round(float(value), 3) for value in trips[:, 2] - trips[:, 0]],
    }


def _require_in_order(rows_ms: NDArray[np.float64]) -> None:
    """Every clock was passed by every frame. Raises `DeviceError`: a joint without a clock has no stages."""
    astray = int((np.diff(rows_ms, axis=1).min(axis=1) < 0).sum())
    if astray:
        expected = f"clocks that are passed in the order {', '.join(JOINTS)}"
        raise DeviceError(mismatch("measurement", expected, f"another order in {astray} of {len(rows_ms)} frames"))


def spans_ms(rows_ms: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Each stage of rows (N, 8), and what several of them amount to."""
    stages = dict(zip(STAGES, np.diff(rows_ms, axis=1).T, strict=True))
    whole = rows_ms[:, -1] - rows_ms[:, 0]
    call = rows_ms[:, 5] - rows_ms[:, 2]
    return stages | {
        "frame to permit": whole,
        "outside the network": whole - stages["network"],
        "detector call": call,
    }


def _told_of(live: LiveRun, name: str) -> str:
    """What a run says about something at its start; empty if it says nothing."""
    return next((line.removeprefix(name).strip() for line in live.told if line.startswith(name)), "")


def _about(live: LiveRun, footage: Footage, detector: TimedDetector) -> dict[str, Any]:
    report, first = live.parts.relay.report(), _told_of(live, "detector")
    notices = [line.removeprefix("notice").strip() for line in live.told if line.startswith("notice")]
    if detector.description != first:
        notices.append(f"the times are of two detectors; until it was lost, of {first}")
    return {
        "detector": detector.description,
        "whole_path": detector.whole_path,
        "footage": Path(footage.name).name,
        "picture": f"{footage.format.width_px}x{footage.format.height_px} at {footage.format.fps:g}/s",
        "dropped": live.mailbox.dropped,
        "states": list(live.summary.to_json()["states_visited"]),
        "faults": sorted(report.faults),
        "granted": _told_of(live, "granted") or "not asked for",
        "notices": notices,
    }

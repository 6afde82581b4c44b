"""What replay and audit cost beside what they cannot do without: `python benchmarks/replay.py VIDEO`.

Decoding alone, the network alone, both in one loop, a whole replay, and an audit of two recordings by
two workers, in turn and several times over, so that a busy machine hits all of them. The recording is
a loop of VIDEO without coding it anew. The network has one thread, and so has OpenCV: two workers have
two cores. libav decodes with as many as it likes.

Processor seconds are told beside wall time, because only they mean something while others use the
machine. `audit_by_cpu` is what two cores do that do nothing else. Writes
benchmarks/results/replay.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
from kept import keep, say

from handguard.assembly import detector_of, rules_of
from handguard.bench import machine
from handguard.capture.video_file import VideoFile
from handguard.config import Settings, load
from handguard.detection.detector import HandDetector
from handguard.errors import EndOfVideo
from handguard.replay.audit import Options, audit
from handguard.replay.replay import replay_video

HERE = Path(__file__).parent
SITE = HERE / "site.yaml"
RESULTS = HERE / "results" / "replay.json"
CORES = 2
WANTED_TIMES_REAL_TIME, WANTED_RATIO = 8.0, 1.3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one frame, in ms."""

    cpu_ms: float
    wall_ms: float


class Bench:
    """One recording and the parts that judge it, made once."""

    def __init__(self, video: Path, scratch: Path) -> None:
        self.video, self.scratch = video, scratch
        self.settings: Settings = load(SITE)
        with closing(VideoFile(video)) as source:
            self.picture = source.format
        self.detector: HandDetector = self._detector()
        self.frames = self.decode()
        self.recorded_s = self.frames / self.picture.fps

    def decode(self) -> int:
        """Every frame as a picture."""
        return self._read_through(lambda: None)

    def network(self) -> int:
        """The bare network, as many times as there are frames."""
        for _ in range(self.frames):
            self.detector.engine.infer()
        return self.frames

    def decode_and_network(self) -> int:
        """Both, in one loop: what nothing can go below."""
        return self._read_through(self.detector.engine.infer)

    def replay(self) -> int:
        """A whole replay, decisions written."""
        made = partial(detector_of, threads=1)
        done = replay_video(self.video, self.settings, self.scratch / "replay", detector_for=made)
        return int(done.summary["frames"])

    def audit(self) -> int:
        """Two recordings by two workers, with their start."""
        folder = self.scratch / "recordings"
        folder.mkdir(exist_ok=True)
        for name in ("a.mp4", "b.mp4"):
            if not (folder / name).exists():
                os.link(self.video, folder / name)
        with tempfile.TemporaryDirectory(dir=self.scratch) as out:
            audit(folder, self.settings, None, Options(Path(out), workers=CORES))
        return CORES * self.frames

    def _detector(self) -> HandDetector:
        rules = rules_of(self.settings, self.picture)
        return detector_of(self.settings, rules.zones.zones, self.picture, threads=1)

    def _read_through(self, also: Callable[[], object]) -> int:
        frames = 0
        with closing(VideoFile(self.video)) as source:
            while True:
                try:
                    source.read()
                except EndOfVideo:
                    return frames
                also()
                frames += 1


def cost_of(work: Callable[[], int]) -> Cost:
    """A frame's share of the processor time, of children too, and of the time that passed."""
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    frames = work()
    return Cost((_cpu_s() - cpu_s) / frames * 1e3, (time.perf_counter() - wall_s) / frames * 1e3)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def looped(video: Path, out: Path, at_least_s: float) -> Path:
    """The recording again and again, packet by packet, until it is long enough."""
    with av.open(str(out), "w") as film:
        stream, at = None, 0
        while stream is None or at * stream.time_base < at_least_s:
            with av.open(str(video)) as source:
                original = source.streams.video[0]
                stream = stream or film.add_stream_from_template(original)
                at = _copied(source, original, film, stream, at)
    return out


def _copied(source: Any, original: Any, film: Any, stream: Any, at: int) -> int:
    end = at
    for packet in source.demux(original):
        if packet.dts is None:
            continue
        packet.pts, packet.dts = packet.pts + at, packet.dts + at
        end = max(end, packet.pts + (packet.duration or 0))
        packet.stream = stream
        film.mux(packet)
    stream.time_base = original.time_base
    return end


def measured(bench: Bench, rounds: int) -> dict[str, Any]:
    """The median of every part over the rounds, and what follows from them."""
    parts = {
        "decode": bench.decode,
        "network": bench.network,
        "decode_and_network": bench.decode_and_network,
        "replay": bench.replay,
        "audit_two_workers": bench.audit,
    }
    found: dict[str, list[Cost]] = {name: [] for name in parts}
    for turn in range(rounds):
        for name, work in parts.items():
            found[name].append(cost_of(work))
            say(f"round {turn + 1}: {name:<20}{found[name][-1].cpu_ms:8.2f} ms CPU a frame")
    middle = {name: _median(costs) for name, costs in found.items()}
    return {"per_frame": {name: _rounded(cost) for name, cost in middle.items()}, **_told(middle, bench)}


def _told(cost: dict[str, Cost], bench: Bench) -> dict[str, Any]:
    frame_ms = 1e3 / bench.picture.fps
    least, replay, crew = cost["decode_and_network"], cost["replay"], cost["audit_two_workers"]
    return {
        "ratio_to_decode_and_network": {
            "wanted": WANTED_RATIO,
            "replay_cpu": round(replay.cpu_ms / least.cpu_ms, 3),
            "audit_cpu": round(crew.cpu_ms / least.cpu_ms, 3),
            "replay_wall": round(replay.wall_ms / least.wall_ms, 3),
        },
        "times_real_time_on_two_cores": {
            "wanted": WANTED_TIMES_REAL_TIME,
            "audit_wall": round(frame_ms / crew.wall_ms, 2),
            "audit_by_cpu": round(CORES * frame_ms / crew.cpu_ms, 2),
            "decode_and_network_by_cpu": round(CORES * frame_ms / least.cpu_ms, 2),
        },
    }


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(asdict(cost)[name] for cost in costs) for name in ("cpu_ms", "wall_ms")))


def _rounded(cost: Cost) -> dict[str, float]:
    return {name: round(value, 2) for name, value in asdict(cost).items()}


def main() -> None:
    """Measure, print, and write the results."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("video", type=Path)
    asked.add_argument("--seconds", type=float, default=60.0, help="least length of the loop")
    asked.add_argument("--rounds", type=int, default=3)
    options = asked.parse_args()
    cv2.setNumThreads(1)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        bench = Bench(looped(options.video, scratch / "loop.mp4", options.seconds), scratch)
        numbers = measured(bench, options.rounds)
    picture = bench.picture
    results = {
        "command": "python benchmarks/replay.py VIDEO",
        "machine": machine.described(),
        "load_before": round(load_before, 2),  # runnable processes: above 0 others were using the cores
        "shared": load_before > CORES / 4,
        "recording": f"{options.video.name}, {bench.frames} frames of {picture.width_px}x{picture.height_px}",
        "network": bench.detector.description,
        **numbers,
    }
    keep(RESULTS, results)
    say(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()

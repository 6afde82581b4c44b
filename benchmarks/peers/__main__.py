"""Time handguard beside its peers: same machine, same pictures, one run, in turns.

    python -m benchmarks.peers FOOTAGE.mp4 [--torchvision VENV] [--mediapipe VENV] [--rounds N] [--out FILE]

Needs virtual environments that hold the peers (torchvision; mediapipe 0.10.21, which brings
its models). Times are from a picture in memory to boxes in its pixels. In each round every
program sees the same picture once, alone; ratios are taken round by round, and their median
is told, so that what disturbs the machine for longer than a round meets all alike. On a busy machine
put `chrt -f 10` before it: all programs inherit it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.kept import keep
from handguard.bench.machine import described
from handguard.evidence.summary import percentiles

HERE = Path(__file__).parent
OUT = HERE.parent / "results" / "peers.json"
PICTURES, WIDTH_PX, HEIGHT_PX = 24, 1280, 720
US = "handguard"
PRIORITY = {os.SCHED_FIFO: "all at real-time priority (chrt -f)"}  # inherited by every program here


@dataclass(frozen=True, slots=True)
class Peer:
    """One program and who runs it."""

    name: str
    python: Path
    script: str
    arguments: tuple[str, ...] = ()


class Speaker:
    """A running peer. Raises `RuntimeError` with what it said if it cannot begin."""

    def __init__(self, peer: Peer, pictures: Path) -> None:
        self.name = peer.name
        command = [str(peer.python), str(HERE / peer.script), str(pictures), *peer.arguments]
        quiet = {**os.environ, "GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the program runs
        try:
            self._program = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=quiet
            )
        except OSError as error:
            raise RuntimeError(str(error)) from error
        assert self._program.stdout is not None
        self.description = self._program.stdout.readline().strip()
        if not self.description:
            self._program.wait()
            self._log.seek(0)
            raise RuntimeError((self._log.read().strip() or "it said nothing").splitlines()[-1])

    def took_ms(self, number: int) -> float:
        assert self._program.stdin is not None and self._program.stdout is not None
        self._program.stdin.write(f"{number}\n")
        self._program.stdin.flush()
        return float(self._program.stdout.readline())

    def close(self) -> None:
        self._program.kill()
        self._program.communicate()
        self._log.close()


def main() -> int:
    asked = _asked()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        pictures = scratch / "pictures.npy"
        np.save(pictures, pictures_of(asked.footage))
        left_out: dict[str, str] = {}
        try:
            write_our_network(scratch)
        except Exception as error:  # noqa: BLE001  whatever stands in the way is told, and the others go on
            left_out["our network as ONNX"] = f"{type(error).__name__}: {error}"
        speakers = started(peers(asked, scratch), pictures, left_out)
        times = in_turns(speakers, asked.rounds)
        for speaker in speakers:
            speaker.close()
    result = {
        "command": "python -m benchmarks.peers FOOTAGE",
        "machine": described(),
        "pictures": f"{PICTURES} of {asked.footage.name} at {WIDTH_PX}x{HEIGHT_PX}",
        "priority": PRIORITY.get(os.sched_getscheduler(0), "ordinary priority"),
        "rounds": asked.rounds,
        "programs": [row(speaker, times) for speaker in speakers],
        "left_out": left_out,
    }
    keep(asked.out, result)
    sys.stdout.write(table(result) + "\n")
    return 1 if left_out else 0


def peers(asked: argparse.Namespace, scratch: Path) -> list[Peer]:
    """Ourselves first."""
    here = Path(sys.executable)
    vision, hands = (Path(venv) / "bin" / "python" for venv in (asked.torchvision, asked.mediapipe))
    return [
        Peer(US, here, "handguard_peer.py"),
        Peer("torchvision ssdlite320", vision, "torchvision_peer.py", ("ssdlite320_mobilenet_v3_large",)),
        Peer("torchvision ssd300_vgg16", vision, "torchvision_peer.py", ("ssd300_vgg16",)),
        Peer("MediaPipe Hands, every picture anew", hands, "mediapipe_peer.py", ("still",)),
        Peer("MediaPipe Hands, following", hands, "mediapipe_peer.py", ("video",)),
        Peer("OpenCV DNN on our network", here, "opencv_peer.py", (str(scratch),)),
    ]


def started(wanted: list[Peer], pictures: Path, left_out: dict[str, str]) -> list[Speaker]:
    """Those that can begin; the others are said on standard error, and in the result."""
    speakers = []
    for peer in wanted:
        try:
            speakers.append(Speaker(peer, pictures))
            sys.stderr.write(f"{peer.name}: {speakers[-1].description}\n")
        except RuntimeError as error:
            left_out[peer.name] = str(error)
            sys.stderr.write(f"LEFT OUT  {peer.name}: {error}\n")
    return speakers


def in_turns(speakers: list[Speaker], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each program, round by round."""
    times: dict[str, list[float]] = {speaker.name: [] for speaker in speakers}
    for turn in range(rounds):
        for speaker in speakers:
            times[speaker.name].append(speaker.took_ms(turn % PICTURES))
    return times


def row(speaker: Speaker, times: dict[str, list[float]]) -> dict[str, Any]:
    own, ours = times[speaker.name], times[US]
    ratios = [theirs / mine for theirs, mine in zip(own, ours, strict=True)]
    return {
        "name": speaker.name,
        "is": speaker.description,
        "ms": percentiles(own) | {"min": round(min(own), 3)},
        "times_ours": round(statistics.median(ratios), 2),
        "times_ours_smallest": round(min(own) / min(ours), 2),
    }


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| program | p50 ms | p99 ms | smallest ms | × ours |", "|---|---|---|---|---|"]
    for one in result["programs"]:
        ms = one["ms"]
        cells = (one["is"], f"{ms['p50']:.1f}", f"{ms['p99']:.1f}", f"{ms['min']:.1f}", f"{one['times_ours']:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\nLeft out: {name}: {why}" for name, why in result["left_out"].items()]
    return "\n".join(lines)


def pictures_of(video: Path) -> np.ndarray:
    """(N, 720, 1280, 3) evenly from the whole recording."""
    with av.open(str(video)) as container:
        count = container.streams.video[0].frames or 600
        wanted = set(np.linspace(0, count - 2, PICTURES).astype(int).tolist())
        found = [
            cv2.resize(frame.to_ndarray(format="bgr24"), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        ]
    return np.stack(found)


def write_our_network(scratch: Path) -> None:
    """The shipped network as ONNX, for the input that such pictures get."""
    from handguard.detection import card as cards
    from handguard.detection.detector import fitted_input
    from handguard.detection.onnx_graph import write_onnx
    from handguard.detection.weights import load_network

    files = cards.locate(cards.DEFAULT)
    card = cards.read_card(files)
    multiple_px = card.any_multiple_of_px or 32
    input_px = fitted_input((WIDTH_PX, HEIGHT_PX), card.input_px, multiple_px)
    network = load_network(files, card, input_px)
    write_onnx(network, input_px, scratch / "network.onnx")
    np.save(scratch / "priors.npy", network.priors.numpy())
    np.save(scratch / "input_px.npy", np.array(input_px))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", type=Path)
    parser.add_argument("--torchvision", default="/var/tmp/tv-venv", help="virtual environment that holds it")
    parser.add_argument("--mediapipe", default="/var/tmp/mp-venv", help="virtual environment that holds it")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

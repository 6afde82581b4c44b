"""Time handguard beside its peers: same machine, same pictures, one run, in turns.

    python -m benchmarks.peers FOOTAGE.mp4 [--torchvision VENV] [--mediapipe VENV] [--rounds N] [--out FILE]

Needs virtual environments that hold the peers; `make peers` makes them. Times are from a
picture in memory to boxes in its pixels. In each round every program sees the same
picture once, alone; ratios are taken round by round, and their median is told, so that what
disturbs the machine for longer than a round meets all alike. On a busy machine put
`chrt -f 10` before it: all programs inherit it.

A peer that cannot begin, or goes away on the way, is left out and said; the exit status is 1 then.
Numbers of more peers that FILE holds from an earlier run stay there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.kept import keep
from benchmarks.peers.speaker import Peer, PeerError, Speaker
from handguard.bench.machine import described
from handguard.detection import card as cards
from handguard.errors import mismatch
from handguard.evidence.summary import percentiles

HERE = Path(__file__).parent
OUT = HERE.parent / "results" / "peers.json"
VENVS = Path(".cache") / "peers"  # as `make peers` makes them, below the repository
PICTURES, WIDTH_PX, HEIGHT_PX = 24, 1280, 720
US, OPENCV = "handguard", "OpenCV DNN on our network"
MODEL = cards.DEFAULT  # that both of them run
PRIORITY = {os.SCHED_FIFO: "all at real-time priority (chrt -f)"}  # inherited by every program here

Times = dict[str, list[float]]  # milliseconds of each program, round by round


def main() -> int:
    asked = _asked()
    earlier = kept_before(asked.out)
    left_out: dict[str, str] = {}
    descriptions, times = measured(asked, left_out)
    result = {
        "command": "python -m benchmarks.peers FOOTAGE",
        "machine": described(),
        "pictures": f"{PICTURES} of {asked.footage.name} at {WIDTH_PX}x{HEIGHT_PX}",
        "priority": PRIORITY.get(os.sched_getscheduler(0), "ordinary priority"),
        "rounds": asked.rounds,
        "programs": [row(name, descriptions[name], times) for name in times],
        "left_out": left_out,
    }
    sys.stdout.write(table(result) + "\n")
    keep(asked.out, chosen(earlier, result))
    for line in complaints(earlier, result, asked.out):
        sys.stderr.write(f"{line}\n")
    return 1 if left_out else 0


def kept_before(path: Path) -> dict[str, Any] | None:
    """What an earlier run left in the file. Read before anything is measured, for it may not be readable."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        names_of(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SystemExit(mismatch(str(path), "the numbers of an earlier run, or no such file", error)) from error
    return found


def names_of(result: dict[str, Any]) -> list[str]:
    return [one["name"] for one in result["programs"]]


def lost(earlier: dict[str, Any] | None, result: dict[str, Any]) -> list[str]:
    """Programs that were measured before, and now were not."""
    return [] if earlier is None else [name for name in names_of(earlier) if name not in names_of(result)]


def chosen(earlier: dict[str, Any] | None, result: dict[str, Any]) -> dict[str, Any]:
    """What is kept: this run; but of one that lost a program only why, beside the earlier numbers."""
    if earlier is None or not lost(earlier, result):
        return result
    return earlier | {"newer_run_lacked": result["left_out"]}


def complaints(earlier: dict[str, Any] | None, result: dict[str, Any], out: Path) -> list[str]:
    """What a person must hear last of all."""
    lines = [f"LEFT OUT  {name}: {why}" for name, why in result["left_out"].items()]
    if lost(earlier, result):
        lines.append(f"KEPT      {out}: the earlier numbers, for this run lost {', '.join(lost(earlier, result))}")
    if lines:
        lines.append("`make peers` makes the environments they run in (docs/performance.md, Peers)")
    return lines


def measured(asked: argparse.Namespace, left_out: dict[str, str]) -> tuple[dict[str, str], Times]:
    """What each program says it is, and its times; whoever fails goes to `left_out`."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        pictures = scratch / "pictures.npy"
        np.save(pictures, pictures_of(asked.footage))
        wanted = peers(asked, scratch)
        try:
            write_our_network(scratch, MODEL)
        except Exception as error:  # noqa: BLE001  whatever stands in the way is told, and the others go on
            without(OPENCV, f"{type(error).__name__}: {error}", left_out)
            wanted = [peer for peer in wanted if peer.name != OPENCV]
        speakers = started(wanted, pictures, left_out, stack.enter_context)
        times = in_turns(speakers, asked.rounds, left_out)
        return {speaker.name: speaker.description for speaker in speakers}, times


def peers(asked: argparse.Namespace, scratch: Path) -> list[Peer]:
    """Ourselves first."""
    here = Path(sys.executable)
    vision, hands = (Path(venv) / "bin" / "python" for venv in (asked.torchvision, asked.mediapipe))
    return [
        Peer(US, here, "handguard_peer.py", (MODEL,)),
        Peer("torchvision ssdlite320", vision, "torchvision_peer.py", ("ssdlite320_mobilenet_v3_large",)),
        Peer("torchvision ssd300_vgg16", vision, "torchvision_peer.py", ("ssd300_vgg16",)),
        Peer("MediaPipe Hands, every picture anew", hands, "mediapipe_peer.py", ("still",)),
        Peer("MediaPipe Hands, following", hands, "mediapipe_peer.py", ("video",)),
        Peer(OPENCV, here, "opencv_peer.py", (str(scratch), MODEL)),
    ]


def started(
    wanted: list[Peer], pictures: Path, left_out: dict[str, str], held: Callable[[Speaker], Speaker]
) -> list[Speaker]:
    """Those that can begin, each given to `held`, which ends it one day."""
    speakers = []
    for peer in wanted:
        try:
            speakers.append(held(Speaker(peer, pictures)))
            sys.stderr.write(f"{peer.name}: {speakers[-1].description}\n")
        except PeerError as error:
            without(peer.name, str(error), left_out)
    return speakers


def without(name: str, why: str, left_out: dict[str, str]) -> None:
    """Go on without a peer. Without ourselves there is nothing to compare: raises `SystemExit`."""
    if name == US:
        raise SystemExit(f"{US} itself cannot be timed, so nothing was kept: {why}")
    left_out[name] = why
    sys.stderr.write(f"LEFT OUT  {name}: {why}\n")


def in_turns(speakers: list[Speaker], rounds: int, left_out: dict[str, str]) -> Times:
    """A peer that goes away on the way is left out altogether: its times would be of other rounds."""
    times: Times = {speaker.name: [] for speaker in speakers}
    for turn in range(rounds):
        for speaker in speakers:
            if speaker.name not in times:
                continue
            try:
                times[speaker.name].append(speaker.took_ms(turn % PICTURES))
            except PeerError as error:
                without(speaker.name, f"{error}, in round {turn + 1} of {rounds}", left_out)
                del times[speaker.name]
    return times


def row(name: str, description: str, times: Times) -> dict[str, Any]:
    own, ours = times[name], times[US]
    ratios = [theirs / mine for theirs, mine in zip(own, ours, strict=True)]
    return {
        "name": name,
        "is": description,
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


def write_our_network(scratch: Path, model: str) -> None:
    """A model as ONNX, for the input that such pictures get. Raises `HandguardError`."""
    from handguard.detection.detector import fitted_input
    from handguard.detection.onnx_graph import write_onnx
    from handguard.detection.weights import load_network

    files = cards.locate(model)
    card = cards.read_card(files)
    multiple_px, input_px = card.any_multiple_of_px, card.input_px
    if multiple_px is not None:
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
    parser.add_argument("--torchvision", default=VENVS / "torchvision", help="virtual environment that holds it")
    parser.add_argument("--mediapipe", default=VENVS / "mediapipe", help="virtual environment that holds it")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

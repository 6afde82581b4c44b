"""What our gradients of depthwise layers give a training step: `python benchmarks/depthwise.py`.

Whole steps (forward, loss, backward) of the networks with such layers, in bfloat16 and channels
last as `handguard train` runs them, on made-up pictures with two hands each: once with the
gradients of `detection.backbones.depthwise`, once with torch's own. They take turns in one process
on one thread; what counts is CPU time, and of that the median step. `backward` is the share of it
after the loss. `frozen`: with the first two stages kept, as the shipped network was trained.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from kept import keep, orders
from torch import Tensor, nn

from handguard.bench import machine
from handguard.detection.architectures import build
from handguard.detection.backbones.depthwise import DepthwiseConv2d
from handguard.detection.losses import gathered
from handguard.detection.ssd import Ssd
from handguard.training.loop import _learning, _loss_of

RESULTS = Path(__file__).parent / "results" / "depthwise.json"
SIDE_PX, BATCH, TURNS = 320, 8, 7
HANDS = torch.tensor([[0.2, 0.2, 0.4, 0.4], [0.5, 0.5, 0.8, 0.9]])  # xyxy, shares of the input
NETWORKS = {
    "ssdlite-efficientnet-lite0, frozen": ("ssdlite-efficientnet-lite0", ("backbone.stem", "backbone.edge")),
    "ssdlite-efficientnet-lite0": ("ssdlite-efficientnet-lite0", ()),
    "ssdlite-mobilenet-v2": ("ssdlite-mobilenet-v2", ()),
    "ssdlite320-mobilenet-v3-large": ("ssdlite320-mobilenet-v3-large", ()),
}


@contextmanager
def torchs_own() -> Iterator[None]:
    """Depthwise layers as torch has them."""
    ours = DepthwiseConv2d.forward
    DepthwiseConv2d.forward = nn.Conv2d.forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        DepthwiseConv2d.forward = ours  # type: ignore[method-assign]


@dataclass
class Steps:
    """CPU milliseconds of every step so far."""

    whole_ms: list[float] = field(default_factory=list)
    backward_ms: list[float] = field(default_factory=list)

    def take(self, model: Ssd, images: Tensor) -> None:
        began_s = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            raw = model(images)
        truth = gathered([(HANDS, torch.tensor([0, 1]))] * BATCH)
        loss = _loss_of(model.score_kind, focal=False)(raw, truth, model.priors)
        loss_s = time.process_time()
        model.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        ended_s = time.process_time()
        self.whole_ms.append(1e3 * (ended_s - began_s))
        self.backward_ms.append(1e3 * (ended_s - loss_s))

    def told(self) -> dict[str, float]:
        """A picture's share."""
        return {
            "step_cpu_ms": round(statistics.median(self.whole_ms) / BATCH, 2),
            "backward_cpu_ms": round(statistics.median(self.backward_ms) / BATCH, 2),
        }


def measured(architecture: str, frozen: tuple[str, ...]) -> dict[str, Any]:
    """Both ways, turn and turn about, after one step of each that compiles kernels."""
    torch.manual_seed(0)
    model = build(architecture, input_px=(SIDE_PX, SIDE_PX)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = _learning(model, frozen)
    images = torch.randint(0, 256, (BATCH, 3, SIDE_PX, SIDE_PX)).float()
    images = images.contiguous(memory_format=torch.channels_last)
    ways = {"ours": (Steps(), nullcontext), "torch": (Steps(), torchs_own)}
    for turn in range(TURNS + 1):
        for steps, way in ways.values():
            with way():
                (Steps() if turn == 0 else steps).take(model, images)
    told = {name: steps.told() for name, (steps, _) in ways.items()}
    ratio = told["torch"]["step_cpu_ms"] / told["ours"]["step_cpu_ms"]
    return {**told, "torch_over_ours": round(ratio, 2)}


def main() -> None:
    torch.set_num_threads(1)
    found = {
        "command": "python benchmarks/depthwise.py",
        "machine": machine.described(),
        "side_px": SIDE_PX,
        "batch_size": BATCH,
        "threads": 1,
        "steps_each": TURNS,
        "networks": {name: measured(*what) for name, what in NETWORKS.items()},
    }
    keep(RESULTS, found)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    orders(__doc__)
    main()

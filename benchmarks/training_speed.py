"""Pictures a second in training, against a plain loop: `python benchmarks/training_speed.py DATA`.

Both train the same network on the same pictures with the same loss and optimizer, on one
thread, in one process, so that every second is somebody's:

    plain   PIL decodes, flips and resizes; float32, channels first
    ours    the batches of `handguard train` with all augmentation; bfloat16, channels last

They take turns, a few steps each, because the machine has other work; what counts is CPU
time. Outlines of hands, which a long run finds once for each hand, are found before and
timed apart. The parts of a step (data, forward, backward, optimizer with moving average)
are timed by themselves.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from kept import keep, orders
from PIL import Image
from torch import Tensor

from handguard.bench import machine
from handguard.detection.architectures import build
from handguard.detection.losses import aligned_loss, gathered
from handguard.detection.ssd import Ssd
from handguard.training.augment import Augmentation
from handguard.training.batches import Asked, Batch, Batches, Plan
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe, _follow, _optimizer
from handguard.training.regions import hand_region

RESULTS = Path(__file__).parent / "results" / "training_speed.json"
ARCHITECTURE = "palmnet-s"
SIDE_PX, BATCH = 256, 16
TURNS, STEPS_A_TURN = 4, 2
EVERY_NTH = 30  # picture is trained on: enough to be of all kinds
PARTS = ("data", "forward", "backward", "optimizer")


@dataclass
class Runner:
    """One way to train, and the CPU seconds of its parts."""

    name: str
    bf16: bool
    model: Ssd = field(init=False)
    spent_s: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model = build(ARCHITECTURE, input_px=(SIDE_PX, SIDE_PX)).train()
        if self.bf16:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval() if self.bf16 else None
        self.optimizer = _optimizer(self.model, Recipe(ARCHITECTURE))

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began_s = time.process_time()
        yield
        self.spent_s[part] += time.process_time() - began_s

    def step(self, batches: Iterator[Batch]) -> None:
        began_s = time.monotonic()
        with self.timed("data"):
            batch = next(batches)
        with self.timed("forward"):
            images = batch.images.float()
            if self.bf16:
                images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                raw = self.model(images)
            loss = aligned_loss(raw, batch.truth, self.model.priors)
        with self.timed("backward"):
            self.optimizer.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
        with self.timed("optimizer"):
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
            self.optimizer.step()
            if self.average is not None:
                _follow(self.average, self.model, 0.999)
        self.steps += 1
        self.wall_s += time.monotonic() - began_s

    def told(self) -> dict[str, Any]:
        """Rates and shares."""
        pictures, cpu_s = self.steps * BATCH, sum(self.spent_s.values())
        return {
            "pictures": pictures,
            "pictures_a_cpu_second": round(pictures / cpu_s, 2),
            "wall_s": round(self.wall_s, 1),
            "cpu_ms_a_picture": {part: round(1000 * self.spent_s[part] / pictures, 2) for part in PARTS},
        }


def plain_batches(samples: list[Sample], seed: int) -> Iterator[Batch]:
    """What a first attempt looks like: decode, maybe flip, resize."""
    rng = np.random.default_rng(seed)
    while True:
        drawn = [plain_input(samples[rng.integers(len(samples))], rng) for _ in range(BATCH)]
        yield Batch(torch.stack([image for image, _ in drawn]), gathered([truth for _, truth in drawn]), SIDE_PX)


def plain_input(sample: Sample, rng: np.random.Generator) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The picture squeezed into the square, mirrored every other time; BGR."""
    picture = Image.open(sample.path).convert("RGB")
    boxes = sample.boxes_px / np.tile(np.array(picture.size, np.float32), 2)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes = boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32) + np.array(
            [1, 0, 1, 0], np.float32
        )
    pixels = np.array(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))[..., ::-1]
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    return image, (torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy(sample.labels))


def our_batches(samples: list[Sample], how: Augmentation) -> Iterator[Batch]:
    """What `handguard train` draws."""
    batches = Batches(Plan(samples, BATCH, ((1.0, (SIDE_PX,)),), 10**6, how=how))
    for step in range(10**6):
        yield batches[Asked(step, SIDE_PX, how)]


def outlines_found(samples: list[Sample]) -> float:
    """CPU milliseconds a hand, once; from then on they are kept."""
    began_s = time.process_time()
    hands = [hand_region(sample, index) for sample in samples for index in range(len(sample.boxes_px))]
    return round(1000 * (time.process_time() - began_s) / len(hands), 2)


def main(data: Path) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    samples = load_split(data, Split.TRAIN)[::EVERY_NTH]
    outline_ms = outlines_found(samples)
    runners = [
        (Runner("plain", bf16=False), plain_batches(samples, 0)),
        (Runner("ours", bf16=True), our_batches(samples, Augmentation())),
    ]
    for runner, batches in runners:  # the first steps compile kernels and fill caches
        runner.step(batches)
        runner.spent_s.clear()
        runner.steps, runner.wall_s = 0, 0.0
    for _ in range(TURNS):
        for runner, batches in runners:
            for _ in range(STEPS_A_TURN):
                runner.step(batches)
    told = {runner.name: runner.told() for runner, _ in runners}
    ratio = told["ours"]["pictures_a_cpu_second"] / told["plain"]["pictures_a_cpu_second"]
    found = {
        "command": "python benchmarks/training_speed.py DATA",
        "machine": machine.described(),
        "architecture": ARCHITECTURE,
        "side_px": SIDE_PX,
        "batch_size": BATCH,
        "threads": 1,
        "outline_cpu_ms_a_hand_once": outline_ms,
        "runs": told,
        "ours_over_plain": round(ratio, 2),
    }
    keep(RESULTS, found)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(orders(__doc__, data="annotated pictures").data)

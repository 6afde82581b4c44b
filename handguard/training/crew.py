"""The processes that train together: one, or several started by torchrun.

Each process draws its own pictures (`Plan.rank`), gradients are averaged by
DistributedDataParallel, and the leader alone evaluates and writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from handguard.detection.ssd import Ssd
from handguard.errors import ConfigError, mismatch

PATIENCE = timedelta(hours=2)  # of the others, while the leader evaluates and packages


@dataclass(frozen=True, slots=True)
class Crew:
    """Who trains. `device` is this process's own."""

    device: str = "cpu"
    rank: int = 0
    ranks: int = 1

    @property
    def leads(self) -> bool:
        """True in exactly one process."""
        return self.rank == 0

    @property
    def on_card(self) -> bool:
        """Whether a graphics card does the work."""
        return self.device.startswith("cuda")

    def wrapped(self, model: Ssd) -> Any:
        """The model as it must be called in training."""
        if self.ranks == 1:
            return model
        devices = [torch.device(self.device)] if self.on_card else None
        return DistributedDataParallel(model, device_ids=devices)

    def agreed(self, value: float) -> float:
        """The leader's value, in all processes."""
        if self.ranks == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared[0])

    def disband(self) -> None:
        """At the end; no process leaves before the others are done."""
        if self.ranks > 1:
            distributed.barrier()
            distributed.destroy_process_group()


def require_device(device: str) -> None:
    """Raises `ConfigError` for a device that is none, or that this computer has not."""
    if device not in ("cpu", "cuda"):
        raise ConfigError(mismatch("--device", "cpu or cuda", repr(device)))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(mismatch("--device cuda", "a card that torch can use", f"none (torch {torch.__version__})"))


def gather(device: str) -> Crew:
    """The crew that torchrun started; alone without it. `device` is `cpu` or `cuda`."""
    if not distributed.is_torchelastic_launched():
        return Crew(device)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    if device != "cuda":
        return Crew(device, rank, ranks)
    own = f"cuda:{distributed.get_node_local_rank()}"
    torch.cuda.set_device(own)
    return Crew(own, rank, ranks)

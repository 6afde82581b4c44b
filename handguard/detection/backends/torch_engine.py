"""Torch as back end: the reference on a CPU in float32, and CUDA in half precision."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
from numpy.typing import NDArray

from handguard.detection.preprocess import GRAY
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Eager torch on `cpu` or `cuda`. See `Engine`."""

    def __init__(
        self, network: Ssd, input_px: tuple[int, int], device: str, precision: str = "float32"
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelError(
                mismatch("detector.backend: torch-cuda", "a CUDA device", "none on this machine")
            )
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._precision = precision
        staging = torch.full((input_px[1], input_px[0], 3), GRAY, dtype=torch.uint8)
        self._staging = staging.pin_memory() if device == "cuda" else staging
        self.canvas: NDArray[np.uint8] = self._staging.numpy()
        self.priors: NDArray[np.float32] = network.priors.cpu().numpy()
        self.description = f"torch {device} {precision}"

    @torch.inference_mode()
    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        picture = self._staging.to(self._device, non_blocking=True).permute(2, 0, 1)[None].float()
        with self._autocast():
            raw = self._network(picture.contiguous(memory_format=torch.channels_last))
        return raw.class_logits[0].float().cpu().numpy(), raw.box_offsets[0].float().cpu().numpy()

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, PRECISIONS[self._precision])

"""Torch on a CPU as back end: the reference, launched operation by operation."""

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
    """Eager torch on the CPU. See `Engine`."""

    def __init__(self, network: Ssd, input_px: tuple[int, int], precision: str = "float32") -> None:
        self._dtype = dtype_of(precision)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._canvas = torch.full((input_px[1], input_px[0], 3), GRAY, dtype=torch.uint8)
        self.canvas: NDArray[np.uint8] = self._canvas.numpy()
        self.priors: NDArray[np.float32] = network.priors.numpy()
        self.description = f"torch cpu {precision}"

    @torch.inference_mode()
    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        picture = self._canvas.permute(2, 0, 1)[None].float()
        with self._autocast():
            raw = self._network(picture.contiguous(memory_format=torch.channels_last))
        return raw.class_logits[0].float().numpy(), raw.box_offsets[0].float().numpy()

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        if self._dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast("cpu", self._dtype)


def dtype_of(precision: str) -> torch.dtype:
    """Torch's name of a precision. Raises `ModelError` for one that torch does not compute."""
    if precision not in PRECISIONS:
        raise ModelError(mismatch("detector.precision", f"one of {', '.join(PRECISIONS)}", precision))
    return PRECISIONS[precision]

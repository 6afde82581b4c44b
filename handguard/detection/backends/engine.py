"""What every back end is: picture in, raw predictions out.

An engine owns a canvas, the network's input in memory; the detector draws into
it, so that nothing is copied on the way to the network.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """One compiled network. Not thread-safe: one detector uses one engine."""

    @property
    def description(self) -> str:
        """Back end, device and precision: `openvino CPU bf16`."""

    @property
    def canvas(self) -> NDArray[np.uint8]:
        """(height, width, 3) BGR, to be drawn into before `infer`."""

    @property
    def priors(self) -> NDArray[np.float32]:
        """(P, 4) cxcywh, fractions of the input."""

    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Class logits `(P, C)` and box offsets `(P, 4)` of the canvas; valid until the next call."""

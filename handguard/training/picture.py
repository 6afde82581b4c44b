"""A decoded picture with its hands, on its way to becoming a training input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) BGR
Boxes = NDArray[np.float32]  # (G, 4) xyxy, pixels
Labels = NDArray[np.int64]  # (G,) HandClass values, or IGNORED
Weight = NDArray[np.float32]  # (H, W), 0 to 1

IGNORED = -1  # label of a hand too much cut off to demand, too visible to deny


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels and truth, which change together. G may be 0."""

    image: Image
    boxes_px: Boxes
    labels: Labels

    @property
    def size_px(self) -> tuple[int, int]:
        """Width, height."""
        return self.image.shape[1], self.image.shape[0]

"""The camera: places cutouts with their shadows, smears what moves, adds noise.

Works on small regions of 8-bit pictures only, so that a frame costs a few
milliseconds of one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot, log2, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.cutout import Cutout

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]

EXPOSURE_S = 0.012
_MARGIN_PX = 64  # the noise plate is larger than the picture by this much


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """One cutout in one frame. `matrix` is 2x3, pixels of the cutout to pixels of the frame."""

    cutout: Cutout
    matrix: NDArray[np.float64]
    shadow_shift_px: tuple[float, float]
    shadow_share: float
    smear_px: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0
    clip_px: Box | None = None


def _bounds(
    size: tuple[int, int], matrix: NDArray[np.float64], pad_px: tuple[float, float], within: Box
) -> Box | None:
    """Where a (height, width) picture lands, cut to `within`; None when outside."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float) @ matrix.T
    low = corners.min(axis=0) - np.abs(pad_px) - 2
    high = corners.max(axis=0) + np.abs(pad_px) + 2
    x1, y1 = max(within[0], int(low[0])), max(within[1], int(low[1]))
    x2, y2 = min(within[2], ceil(high[0])), min(within[3], ceil(high[1]))
    return (x1, y1, x2, y2) if x2 - x1 > 1 and y2 - y1 > 1 else None


def _warped(picture: Picture, matrix: NDArray[np.float64], box: Box) -> Picture:
    local = matrix.copy()
    local[:, 2] -= box[:2]
    size = (box[2] - box[0], box[3] - box[1])
    return np.asarray(cv2.warpAffine(picture, local, size, flags=cv2.INTER_LINEAR), np.uint8)


def smeared(picture: Picture, smear_px: tuple[float, float]) -> Picture:
    """Average along a line: halves the way and doubles the copies until a pixel is left."""
    length = hypot(*smear_px)
    for level in range(1, ceil(log2(length)) + 1 if length > 1.0 else 0):
        dx, dy = (round(part / 2**level) for part in smear_px)
        picture = _with_itself(picture, dx, dy)
    return picture


def _with_itself(picture: Picture, dx: int, dy: int) -> Picture:
    height, width = picture.shape[:2]
    if (dx == 0 and dy == 0) or abs(dx) >= width or abs(dy) >= height:
        return picture
    here = np.s_[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    there = np.s_[max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)]
    mixed = picture.copy()
    mixed[here] = cv2.addWeighted(picture[here], 0.5, picture[there], 0.5, 0)
    return mixed


def _throw_shadow(frame: Picture, item: Placement, within: Box) -> None:
    to_pixels = item.cutout.shadow_to_pixels()
    matrix = item.matrix @ to_pixels
    matrix[:, 2] += item.shadow_shift_px
    box = _bounds(item.cutout.shadow.shape, matrix, (0.0, 0.0), within)
    if box is None or item.shadow_share <= 0:
        return
    shade = cv2.convertScaleAbs(_warped(item.cutout.shadow, matrix, box), alpha=item.shadow_share)
    region = frame[box[1] : box[3], box[0] : box[2]]
    cv2.multiply(region, cv2.cvtColor(cv2.bitwise_not(shade), cv2.COLOR_GRAY2BGR), dst=region, scale=1 / 255)


def place(frame: Picture, item: Placement, room_light: Picture) -> None:
    """Draw one cutout with its shadow into `frame`."""
    within = item.clip_px or (0, 0, frame.shape[1], frame.shape[0])
    _throw_shadow(frame, item, within)
    box = _bounds(item.cutout.pixels.shape[:2], item.matrix, item.smear_px, within)
    if box is None:
        return
    matrix = item.matrix.copy()
    matrix[:, 2] -= np.array(item.smear_px) / 2
    layer = smeared(_warped(item.cutout.pixels, matrix, box), item.smear_px)
    region = frame[box[1] : box[3], box[0] : box[2]]
    color, alpha = cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR), cv2.extractChannel(layer, 3)
    cv2.multiply(region, cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2BGR), dst=region, scale=1 / 255)
    lit = cv2.multiply(color, room_light[box[1] : box[3], box[0] : box[2]], scale=item.gain / 255)
    cv2.add(region, lit, dst=region)


class Sensor:
    """Noise and the slow changes of the light. Synchronization: none required (constant after construction)."""

    def __init__(self, seed: int, width_px: int, height_px: int) -> None:
        rng = np.random.default_rng([seed, 53])
        shape = (height_px + _MARGIN_PX, width_px + _MARGIN_PX)
        luma = 2.1 * texture.speckle(rng, shape, 0.55)
        color = [luma + 1.1 * texture.speckle(rng, shape, 0.9) for _ in range(3)]
        self._plate = np.clip(np.dstack(color) + 128.5, 0, 255).astype(np.uint8)
        self._seed, self._phase = seed, rng.uniform(0, 6.28, 2)

    def brightness(self, time_s: float) -> float:
        """Daylight drifting behind the lamp: about 1, within a few percent."""
        return 1.06 + 0.045 * sin(time_s / 3.7 + self._phase[0]) + 0.02 * sin(time_s / 1.1 + self._phase[1])

    def exposed(self, frame: Picture, index: int, time_s: float) -> Picture:
        """The picture with this frame's noise and light."""
        dx, dy = np.random.default_rng([self._seed, 59, index]).integers(0, _MARGIN_PX, 2)
        height, width = frame.shape[:2]
        plate = self._plate[dy : dy + height, dx : dx + width]
        return np.asarray(cv2.addWeighted(frame, self.brightness(time_s), plate, 1.0, -128.0), np.uint8)

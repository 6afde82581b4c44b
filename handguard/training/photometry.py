"""What light, movement and cheap cameras do to a picture; no box moves.

A hand in motion smears: at up to 2 m/s (ISO 13855) and an exposure of up to 33 ms
it travels 66 mm, a third of its own length, and that length is the longer side of
its box. So the smear is drawn from speed and exposure, and measured in hands.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.training.picture import Boxes, Image, Weight

FASTEST_M_S = 2.0
LONGEST_EXPOSURE_S = 0.033  # a camera at 30 frames/s in poor light
HAND_M = 0.19  # the length of a man's hand, median (DIN 33402-2)
SHAKE_PX = 13  # of a camera that moves itself


@dataclass(frozen=True, slots=True)
class Light:
    """Probabilities, and whether ordinary light varies at all."""

    photometric: bool
    harsh_light: float
    motion_blur: float
    low_resolution: float
    noise: float


def exposed_to(image: Image, boxes: Boxes, rng: np.random.Generator, light: Light) -> Image:
    """The picture as another camera in another light would give it."""
    if light.photometric:
        image = _varied(image, rng)
    if rng.random() < light.harsh_light:
        image = HARSH[rng.integers(len(HARSH))](image, rng)
    if rng.random() < light.motion_blur:
        image = _moved(image, boxes, rng)
    if rng.random() < light.low_resolution:
        image = _low_resolution(image, rng)
    if rng.random() < light.noise:
        noise = rng.normal(0, rng.uniform(2, 12), (*image.shape[:2], 1)).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def _varied(image: Image, rng: np.random.Generator) -> Image:
    """Gain, gamma and white balance through one lookup per channel; saturation against grey; sometimes grey."""
    levels = np.arange(256, dtype=np.float32) / 255
    gamma, gain, lift = np.exp(rng.normal(0, 0.3)), np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.04)
    balance = np.exp(rng.normal(0, 0.07, 3))
    image = _looked_up(image, levels[:, None] ** gamma * gain * balance + lift)
    if rng.random() < 0.5:
        amount = 0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.5)
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        image = np.asarray(cv2.addWeighted(image, amount, gray, 1 - amount, 0), np.uint8)
    if rng.random() < 0.15:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(rng.integers(-12, 13))) % 180
        image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    return image


def _looked_up(image: Image, table: NDArray[np.float64]) -> Image:
    """Each channel through its column of `(256, 3)`, given as shares of full scale."""
    levels = np.clip(255 * table, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, np.ascontiguousarray(levels[None])), np.uint8)


def _burnt_out(image: Image, rng: np.random.Generator) -> Image:
    """Overexposed: the bright parts become one white."""
    return _curve(image, rng.uniform(1.4, 2.0))


def _underexposed(image: Image, rng: np.random.Generator) -> Image:
    """Dark, as with the lamps behind the worker."""
    return _curve(image, rng.uniform(0.28, 0.5))


def _curve(image: Image, gain: float) -> Image:
    levels = np.arange(256, dtype=np.float64)[:, None] / 255
    return _looked_up(image, np.repeat(levels * gain, 3, axis=1))


def _shadowed(image: Image, rng: np.random.Generator) -> Image:
    """One side of a line lies in the shadow of a machine, or in the sun of a roof light."""
    x, y = _centered(image)
    angle = rng.uniform(0, 2 * np.pi)
    distance = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.5, 0.5)
    edge = np.clip(distance / rng.uniform(0.01, 0.15) + 0.5, 0, 1).astype(np.float32)
    dark, bright = rng.uniform(0.3, 0.7), rng.uniform(1.0, 1.4)
    return _times(image, dark + (bright - dark) * edge)


def _glaring(image: Image, rng: np.random.Generator) -> Image:
    """A lamp mirrored in the table: a white spot that fades outwards."""
    x, y = _centered(image)
    at_x, at_y = rng.uniform(-0.8, 0.8, 2)
    across, along = rng.uniform(0.15, 0.6, 2)
    spot = np.exp(-(((x - at_x) / across) ** 2) - ((y - at_y) / along) ** 2)
    lit = image.astype(np.float32) + (rng.uniform(90, 230) * spot)[..., None]
    return np.clip(lit, 0, 255).astype(np.uint8)


HARSH = (_burnt_out, _underexposed, _shadowed, _glaring)


def _centered(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates from -1 to 1 across the picture, as a row and a column."""
    height, width = image.shape[:2]
    return np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]


def _times(image: Image, factor: Weight) -> Image:
    return np.clip(image * factor[..., None], 0, 255).astype(np.uint8)


def _moved(image: Image, boxes: Boxes, rng: np.random.Generator) -> Image:
    """One hand smears over a table at rest; in every third picture, or without a hand, all of it does."""
    angle_deg = float(rng.uniform(0, 180))
    if len(boxes) == 0 or rng.random() < 1 / 3:
        return _smeared(image, float(rng.uniform(3, SHAKE_PX)), angle_deg)
    x1, y1, x2, y2 = boxes[rng.integers(len(boxes))]
    side = float(max(x2 - x1, y2 - y1))
    travel_px = travelled_hands(rng) * side
    grow = int(travel_px / 2) + 2
    left, top = max(int(x1) - grow, 0), max(int(y1) - grow, 0)
    right, bottom = int(x2) + grow + 1, int(y2) + grow + 1
    out = image.copy()
    patch = out[top:bottom, left:right]
    weight = _oval(*patch.shape[:2])[..., None]
    patch[...] = (patch * (1 - weight) + _smeared(patch, travel_px, angle_deg) * weight).astype(np.uint8)
    return out


def travelled_hands(rng: np.random.Generator) -> float:
    """How far a hand moves during one exposure, in lengths of a hand; at most about a third."""
    speed_m_s = rng.uniform(0.3, 1.0) * FASTEST_M_S
    exposure_s = rng.uniform(0.1, 1.0) * LONGEST_EXPOSURE_S
    return float(speed_m_s * exposure_s / HAND_M)


def _smeared(image: Image, travel_px: float, angle_deg: float) -> Image:
    """The mean along a straight line of this length."""
    size = max(int(np.ceil(travel_px)) | 1, 3)
    line = np.zeros((size, size), np.float32)
    line[size // 2] = 1
    turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle_deg, 1.0)
    turned = np.asarray(cv2.warpAffine(line, turn, (size, size)), np.float32)
    return np.asarray(cv2.filter2D(image, -1, turned / max(float(turned.sum()), 1e-3)), np.uint8)


def _oval(height: int, width: int) -> Weight:
    """1 inside, softly 0 towards the corners."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    return np.clip(3 * (1.15 - np.sqrt(x * x + y * y)), 0, 1).astype(np.float32)


def _low_resolution(image: Image, rng: np.random.Generator) -> Image:
    """A worse camera: fewer pixels, then compression."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.4, 0.9)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    _, coded = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)

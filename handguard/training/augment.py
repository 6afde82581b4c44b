"""Augmentation: what a camera over a table sees, made from pictures that were not taken there.

Geometry is one affine warp from the stored picture straight to the network
input (crop, expand, scale, aspect, small rotation, quarter turns and flips at
once), so that a picture is resampled once. Photometry follows. Every part can
be switched off in `Augmentation`; all randomness comes from the generator given.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Sample, decode_picture

IGNORED = -1  # label of a hand too much cut off to demand, too visible to deny
GRAY = (114, 114, 114)

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Which parts are on, and how strong."""

    zoom: tuple[float, float] = (0.7, 2.2)  # size of the picture in the input, 1 = fits
    aspect: float = 1.3  # widths and heights change against each other by up to this factor
    rotation_deg: float = 12.0
    quarter_turns: float = 0.5  # probability: an overhead camera has no "up"
    flip: float = 0.5
    mosaic: float = 0.35  # probability of four pictures in one input
    photometric: bool = True
    glove_recolor: float = 0.25
    motion_blur: float = 0.15
    low_resolution: float = 0.15
    noise: float = 0.25


NONE = Augmentation((1.0, 1.0), 1.0, 0.0, 0.0, 0.0, 0.0, False, 0.0, 0.0, 0.0, 0.0)


def augmented(
    samples: list[Sample], rng: np.random.Generator, side_px: int, how: Augmentation
) -> tuple[Image, Boxes, Labels]:
    """One training input `(side, side, 3)` with its boxes in pixels and labels (IGNORED possible).

    `samples` holds four pictures; only the first is used unless a mosaic is drawn.
    """
    if rng.random() < how.mosaic:
        image, boxes, labels = _mosaic(samples, rng, side_px, how)
    else:
        image, boxes, labels = _warped(samples[0], rng, how, (side_px, side_px))
    return _photometric(image, rng, how), boxes, labels


def _mosaic(
    samples: list[Sample], rng: np.random.Generator, side: int, how: Augmentation
) -> tuple[Image, Boxes, Labels]:
    canvas = np.empty((side, side, 3), np.uint8)
    split_x, split_y = (int(side * rng.uniform(0.3, 0.7)) for _ in range(2))
    tiles = [(0, 0, split_x, split_y), (split_x, 0, side, split_y),
             (0, split_y, split_x, side), (split_x, split_y, side, side)]  # fmt: skip
    all_boxes, all_labels = [], []
    for sample, (x1, y1, x2, y2) in zip(samples, tiles, strict=True):
        image, boxes, labels = _warped(sample, rng, how, (x2 - x1, y2 - y1))
        canvas[y1:y2, x1:x2] = image
        all_boxes.append(boxes + np.array([x1, y1, x1, y1], np.float32))
        all_labels.append(labels)
    return canvas, np.concatenate(all_boxes), np.concatenate(all_labels)


def _warped(
    sample: Sample, rng: np.random.Generator, how: Augmentation, window: tuple[int, int]
) -> tuple[Image, Boxes, Labels]:
    image = decode_picture(sample)
    if how.glove_recolor and rng.random() < how.glove_recolor:
        image = _recolored(image, sample, rng)
    matrix = _random_affine(sample, rng, how, window)
    shrinks = abs(np.linalg.det(matrix[:, :2])) < 0.5
    border = cv2.BORDER_CONSTANT if rng.random() < 0.8 else cv2.BORDER_REFLECT_101
    if border == cv2.BORDER_REFLECT_101 and len(sample.boxes_px):
        border = cv2.BORDER_CONSTANT  # a mirrored hand would be an unlabelled one
    if shrinks:  # warpAffine does not average: soften first, against aliasing
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0.7), np.uint8)
    centered = _between_centers(matrix)
    out = cv2.warpAffine(image, centered, window, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=GRAY)
    boxes, labels = _moved(sample.boxes_px, sample.labels, matrix, window)
    return np.asarray(out, np.uint8), boxes, labels


def _random_affine(
    sample: Sample, rng: np.random.Generator, how: Augmentation, window: tuple[int, int]
) -> NDArray[np.float64]:
    """2×3 matrix from picture pixels to window pixels, with a hand, if there is one, kept in the window."""
    fit = max(window) / max(sample.width_px, sample.height_px)
    zoom = fit * np.exp(rng.uniform(*np.log(how.zoom)))
    stretch = np.exp(rng.uniform(-0.5, 0.5) * np.log(how.aspect))
    angle = np.deg2rad(rng.uniform(-how.rotation_deg, how.rotation_deg))
    if rng.random() < how.quarter_turns:
        angle += np.pi / 2 * rng.integers(4)
    mirror = -1.0 if rng.random() < how.flip else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * zoom * stretch, zoom / stretch])
    source, target = _anchor(sample, rng, window, how)
    return np.column_stack([linear, _covering(linear, target - linear @ source, sample, window)])


def _between_centers(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same warp for OpenCV, which counts from the middle of the first pixel where boxes count from its edge."""
    linear, half = matrix[:, :2], np.array([0.5, 0.5])
    return np.column_stack([linear, matrix[:, 2] + linear @ half - half])


def _covering(
    linear: NDArray[np.float64], shift: NDArray[np.float64], sample: Sample, window: tuple[int, int]
) -> NDArray[np.float64]:
    """The shift nearest to `shift` that leaves no grey where the picture could cover it, and cuts nothing
    off where the window could hold it."""
    corners = np.array([[x, y] for x in (0, sample.width_px) for y in (0, sample.height_px)]) @ linear.T
    spare = np.sort([-corners.min(0), np.array(window) - corners.max(0)], axis=0)
    return np.clip(shift, spare[0], spare[1])


def _anchor(
    sample: Sample, rng: np.random.Generator, window: tuple[int, int], how: Augmentation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A point of the picture and where in the window it goes: a hand's centre, or any point."""
    middle = np.array([sample.width_px, sample.height_px]) / 2
    if how == NONE:
        return middle, np.array(window) / 2
    if len(sample.boxes_px) and rng.random() < 0.9:
        box = sample.boxes_px[rng.integers(len(sample.boxes_px))].astype(np.float64)
        source = (box[:2] + box[2:]) / 2
        return source, rng.uniform(0.02, 0.98, 2) * window
    return rng.uniform(0.2, 0.8, 2) * middle * 2, rng.uniform(0.2, 0.8, 2) * window


def _moved(
    boxes: Boxes, labels: Labels, matrix: NDArray[np.float64], window: tuple[int, int]
) -> tuple[Boxes, Labels]:
    """Boxes under the warp, clipped. A turned box is the hull of the ellipse inside the old one, which is
    closer to a turned hand than the hull of its corners."""
    if len(boxes) == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(((boxes[:, None, 2:] - boxes[:, None, :2]) / 2 * matrix[None, :, :2]) ** 2 @ np.ones(2))
    full = np.concatenate([centers - half, centers + half], axis=1)
    clipped = np.clip(full, 0, np.tile(window, 2)).astype(np.float32)
    kept_area = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1) / np.prod(full[:, 2:] - full[:, :2], axis=1)
    tiny = np.max(clipped[:, 2:] - clipped[:, :2], axis=1) < 6
    labels = np.where((kept_area < 0.3) | tiny, IGNORED, labels)
    keep = kept_area > 0.03
    return clipped[keep], labels[keep]


def _recolored(image: Image, sample: Sample, rng: np.random.Generator) -> Image:
    """Give gloves another hue, saturation and brightness, fading out towards the box's edge."""
    out = image
    for box, label in zip(sample.boxes_px, sample.labels, strict=True):
        if label != 1:
            continue
        x1, y1, x2, y2 = (int(v) for v in box)
        patch = out[y1:y2, x1:x2]
        if min(patch.shape[:2]) < 4:
            continue
        hsv = cv2.cvtColor(patch, cv2.COLOR_BGR2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5) + rng.uniform(0, 40), 0, 255)
        hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.5, 1.3), 0, 255)
        changed = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR).astype(np.float32)
        weight = _ellipse_weight(patch.shape[0], patch.shape[1])
        out = out.copy() if out is image else out
        out[y1:y2, x1:x2] = (patch * (1 - weight) + changed * weight).astype(np.uint8)
    return out


def _ellipse_weight(height: int, width: int) -> NDArray[np.float32]:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.clip(2.5 * (1.05 - np.sqrt(x * x + y * y)), 0, 1)[..., None].astype(np.float32)


def _photometric(image: Image, rng: np.random.Generator, how: Augmentation) -> Image:
    if how.photometric:
        image = _exposed(image, rng)
    if rng.random() < how.motion_blur:
        image = _motion_blurred(image, rng)
    if rng.random() < how.low_resolution:
        image = _low_resolution(image, rng)
    if rng.random() < how.noise:
        noise = rng.normal(0, rng.uniform(2, 12), (*image.shape[:2], 1)).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def _exposed(image: Image, rng: np.random.Generator) -> Image:
    """Gain, gamma and white balance through one lookup per channel; saturation against grey; sometimes grey."""
    levels = np.arange(256, dtype=np.float32) / 255
    gamma, gain, lift = np.exp(rng.normal(0, 0.3)), np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.04)
    balance = np.exp(rng.normal(0, 0.07, 3))
    table = np.clip(255 * (levels[:, None] ** gamma * gain * balance + lift), 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, np.ascontiguousarray(table[None])), np.uint8)
    if rng.random() < 0.5:
        amount = 0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.5)
        gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        image = np.asarray(cv2.addWeighted(image, amount, gray, 1 - amount, 0), np.uint8)
    if rng.random() < 0.15:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(rng.integers(-12, 13))) % 180
        image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    return image


def _motion_blurred(image: Image, rng: np.random.Generator) -> Image:
    length = int(rng.integers(3, 14))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), float(rng.uniform(0, 180)), 1.0)
    line = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return np.asarray(cv2.filter2D(image, -1, line / max(float(line.sum()), 1e-3)), np.uint8)


def _low_resolution(image: Image, rng: np.random.Generator) -> Image:
    """A worse camera: fewer pixels, then compression."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.4, 0.9)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    _, coded = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)

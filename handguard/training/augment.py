"""Augmentation: what a camera over a table sees, made from pictures that were not taken there.

    gloves.py       gloves of another color or material, in the stored picture
    pasting.py      hands cut out and pasted onto a picture without any
    here            one affine warp from the stored picture straight to the network input
                    (crop, expand, scale, aspect, small rotation, quarter turns and flips
                    at once), so that a picture is resampled once; four of them as a mosaic
    photometry.py   light, movement, poor cameras

Every part can be switched off in `Augmentation`; all randomness comes from the
generator given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Sample, decode_picture
from handguard.training.gloves import dressed
from handguard.training.pasting import with_pasted_hands
from handguard.training.photometry import Light, exposed_to
from handguard.training.picture import IGNORED, Boxes, Image, Labels, Picture

GRAY = (114, 114, 114)
LEAST_SEEN = 0.2  # of a hand, to be taught as one; with less it is neither hand nor background
CUT_TO = (0.2, 0.6)  # of a hand, along the axis that an edge cuts


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Which parts are on, and how strong. Numbers without a unit are probabilities."""

    zoom: tuple[float, float] = (0.7, 2.2)  # size of the picture in the input, 1 = fits
    aspect: float = 1.3  # widths and heights change against each other by up to this factor
    rotation_deg: float = 12.0
    quarter_turns: float = 0.5  # an overhead camera has no "up"
    flip: float = 0.5
    edge_cut: float = 0.12  # a hand is cut by the input's edge, as one that reaches in is
    mosaic: float = 0.35  # four pictures in one input
    mosaic_until: float = 1.0  # this share of the run; a run ends better on whole pictures (YOLOX, 2021)
    photometric: bool = True
    glove_recolor: float = 0.25
    glove_texture: float = 0.2  # knitted, dotted, leather, dirty, wet
    paste: float = 0.25  # where one of four pictures is without a hand, and another has one to cut out
    harsh_light: float = 0.1
    motion_blur: float = 0.15
    low_resolution: float = 0.15
    noise: float = 0.25

    def __post_init__(self) -> None:
        smallest, largest = self.zoom
        if not 0 < smallest <= largest < 100:
            raise ValueError(f"zoom: expected two rising factors above 0, found {self.zoom}")
        if not 1 <= self.aspect <= 10:
            raise ValueError(f"aspect: expected a factor from 1 to 10, found {self.aspect}")
        if not 0 <= self.rotation_deg <= 180:
            raise ValueError(f"rotation_deg: expected 0 to 180, found {self.rotation_deg}")
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a probability, 0 to 1, found {getattr(self, name)}")
        if not 0 <= self.mosaic_until <= 1:
            raise ValueError(f"mosaic_until: expected a share of the run, 0 to 1, found {self.mosaic_until}")

    def at(self, share: float) -> Augmentation:
        """What is on when this share of the run is done, 0 to 1."""
        return replace(self, mosaic=0.0) if share > self.mosaic_until else self

    @property
    def light(self) -> Light:
        """What `photometry` needs to know."""
        return Light(self.photometric, self.harsh_light, self.motion_blur, self.low_resolution, self.noise)


PROBABILITIES = (
    "quarter_turns", "flip", "edge_cut", "mosaic", "glove_recolor", "glove_texture", "paste",
    "harsh_light", "motion_blur", "low_resolution", "noise",
)  # fmt: skip
NONE = Augmentation(
    zoom=(1.0, 1.0), aspect=1.0, rotation_deg=0.0, photometric=False, **dict.fromkeys(PROBABILITIES, 0.0)
)


def augmented(
    samples: Sequence[Sample], rng: np.random.Generator, side_px: int, how: Augmentation
) -> tuple[Image, Boxes, Labels]:
    """One training input `(side, side, 3)` with its boxes in pixels and labels (IGNORED possible).

    `samples` holds four pictures; only the first is used unless hands are pasted or a mosaic is drawn.
    """

    def look(sample: Sample) -> Image:
        return dressed(decode_picture(sample), sample, rng, how.glove_recolor, how.glove_texture)

    def picture(sample: Sample) -> Picture:
        return Picture(look(sample), sample.boxes_px, sample.labels)

    pasted = with_pasted_hands(samples, rng, look) if rng.random() < how.paste else None
    first = pasted or picture(samples[0])
    if rng.random() < how.mosaic:
        image, boxes, labels = _mosaic([first, *map(picture, samples[1:])], rng, side_px, how)
    else:
        image, boxes, labels = _warped(first, rng, how, (side_px, side_px))
    return exposed_to(image, boxes, rng, how.light), boxes, labels


def _mosaic(
    pictures: Sequence[Picture], rng: np.random.Generator, side: int, how: Augmentation
) -> tuple[Image, Boxes, Labels]:
    canvas = np.empty((side, side, 3), np.uint8)
    split_x, split_y = (int(side * rng.uniform(0.3, 0.7)) for _ in range(2))
    tiles = [(0, 0, split_x, split_y), (split_x, 0, side, split_y),
             (0, split_y, split_x, side), (split_x, split_y, side, side)]  # fmt: skip
    all_boxes, all_labels = [], []
    for picture, (x1, y1, x2, y2) in zip(pictures, tiles, strict=True):
        image, boxes, labels = _warped(picture, rng, how, (x2 - x1, y2 - y1))
        canvas[y1:y2, x1:x2] = image
        all_boxes.append(boxes + np.array([x1, y1, x1, y1], np.float32))
        all_labels.append(labels)
    return canvas, np.concatenate(all_boxes), np.concatenate(all_labels)


def _warped(
    picture: Picture, rng: np.random.Generator, how: Augmentation, window: tuple[int, int]
) -> tuple[Image, Boxes, Labels]:
    image = picture.image
    matrix = _random_affine(picture, rng, how, window)
    shrinks = abs(np.linalg.det(matrix[:, :2])) < 0.5
    border = cv2.BORDER_CONSTANT if rng.random() < 0.8 else cv2.BORDER_REFLECT_101
    if border == cv2.BORDER_REFLECT_101 and len(picture.boxes_px):
        border = cv2.BORDER_CONSTANT  # a mirrored hand would be an unlabelled one
    if shrinks:  # warpAffine does not average: soften first, against aliasing
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0.7), np.uint8)
    centered = _between_centers(matrix)
    out = cv2.warpAffine(image, centered, window, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=GRAY)
    boxes, labels = _moved(picture.boxes_px, picture.labels, matrix, window)
    return np.asarray(out, np.uint8), boxes, labels


def _random_affine(
    picture: Picture, rng: np.random.Generator, how: Augmentation, window: tuple[int, int]
) -> NDArray[np.float64]:
    """2×3 matrix from picture pixels to window pixels, with a hand, if there is one, kept in the window."""
    fit = max(window) / max(picture.size_px)
    zoom = fit * np.exp(rng.uniform(*np.log(how.zoom)))
    stretch = np.exp(rng.uniform(-0.5, 0.5) * np.log(how.aspect))
    angle = np.deg2rad(rng.uniform(-how.rotation_deg, how.rotation_deg))
    if rng.random() < how.quarter_turns:
        angle += np.pi / 2 * rng.integers(4)
    mirror = -1.0 if rng.random() < how.flip else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * zoom * stretch, zoom / stretch])
    source, target, cut = _anchor(picture, linear, rng, window, how)
    shift = target - linear @ source
    covering = _covering(linear, shift, picture, window)
    return np.column_stack([linear, np.where(cut, shift, covering)])


def _between_centers(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same warp for OpenCV, which counts from the middle of the first pixel where boxes count from its edge."""
    linear, half = matrix[:, :2], np.array([0.5, 0.5])
    return np.column_stack([linear, matrix[:, 2] + linear @ half - half])


def _covering(
    linear: NDArray[np.float64], shift: NDArray[np.float64], picture: Picture, window: tuple[int, int]
) -> NDArray[np.float64]:
    """The shift nearest to `shift` that leaves no grey where the picture could cover it, and cuts nothing
    off where the window could hold it."""
    width, height = picture.size_px
    corners = np.array([[x, y] for x in (0, width) for y in (0, height)]) @ linear.T
    spare = np.sort([-corners.min(0), np.array(window) - corners.max(0)], axis=0)
    return np.clip(shift, spare[0], spare[1])


def _anchor(
    picture: Picture,
    linear: NDArray[np.float64],
    rng: np.random.Generator,
    window: tuple[int, int],
    how: Augmentation,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """A point of the picture and where in the window it goes: a hand's centre, or any point; and the axis, if
    any, along which an edge of the window is to cut that hand."""
    middle, whole = np.array(picture.size_px) / 2, np.array([False, False])
    if how == NONE:
        return middle, np.array(window) / 2, whole
    if len(picture.boxes_px) and rng.random() < 0.9:
        box = picture.boxes_px[rng.integers(len(picture.boxes_px))].astype(np.float64)
        size_px = np.abs(linear) @ (box[2:] - box[:2])
        return (box[:2] + box[2:]) / 2, *_place(size_px, rng, window, how)
    return rng.uniform(0.2, 0.8, 2) * middle * 2, rng.uniform(0.2, 0.8, 2) * window, whole


def _place(
    size_px: NDArray[np.float64], rng: np.random.Generator, window: tuple[int, int], how: Augmentation
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where the centre of a hand of this size in the window goes: anywhere, or so that an edge cuts the hand
    along the axis that is told, too."""
    target, cut = rng.uniform(0.02, 0.98, 2) * window, np.array([False, False])
    if rng.random() < how.edge_cut:
        axis = int(rng.integers(2))
        inside = (rng.uniform(*CUT_TO) - 0.5) * size_px[axis]
        target[axis] = inside if rng.random() < 0.5 else window[axis] - inside
        cut[axis] = True
    return target, cut


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
    labels = np.where((kept_area < LEAST_SEEN) | tiny, IGNORED, labels)
    keep = kept_area > 0.03
    return clipped[keep], labels[keep]

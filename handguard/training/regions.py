"""Which pixels round a hand's box are the hand: a soft mask, found once for each hand and kept.

The box grown by a margin is cut out, and GrabCut (Rother et al., 2004) tells hand
from background: outside of the box is probably background, the middle of the box
surely hand. What it then takes from the margin is the sleeve or the arm. Where the
result is no hand's shape, an ellipse in the box stands in for it. The masks are small;
they are found at the first use of a hand, a few milliseconds each, in each process, or
all beforehand (`in_memory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Outline, Sample, decode_picture
from handguard.training.picture import Image, Weight

MARGIN = 0.3  # of the box, on each side
LONGER_SIDE_PX = 80  # of a kept mask
LEAST_SIDE_PX = 24  # of a box worth a mask of its own
ROUNDS = 2  # of GrabCut
HAND_SHARE = (0.25, 0.92)  # of its box that a hand can fill
SLEEVE_SHARE = 0.45  # of the margin that an arm can fill
KEPT = 16_384  # masks a process keeps, at up to 6 kB

Window = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels of the picture


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """How much each pixel of `window` belongs to one hand."""

    window: Window
    weight: Weight
    is_cut: bool  # along the hand's outline; otherwise it is an ellipse in the box


def hand_region(sample: Sample, index: int) -> Region:
    """The hand `index` with the sleeve near it. Raises `DatasetError` for a picture that does not decode."""
    window = window_of(sample, index)
    width, height = window[2] - window[0], window[3] - window[1]
    mask, is_cut = _outline(sample, index) if sample.outlines is None else sample.outlines[index]
    grown = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return Region(window, (grown / np.float32(255)).astype(np.float32), is_cut)


def window_of(sample: Sample, index: int) -> Window:
    """The box with its margin, within the picture."""
    x1, y1, x2, y2 = (float(v) for v in sample.boxes_px[index])
    dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = max(int(x1 - dx), 0), max(int(y1 - dy), 0)
    right, bottom = min(int(x2 + dx) + 1, sample.width_px), min(int(y2 + dy) + 1, sample.height_px)
    return left, top, right, bottom


def inside_box(region: Region, sample: Sample, index: int) -> Region:
    """The region without its sleeve: softly nothing outside of the hand's box."""
    soft = _ellipse(region.window, sample, index, reach=1.25)
    return Region(region.window, region.weight * soft, region.is_cut)


def outline_of(sample: Sample, index: int) -> Outline:
    """(h, w) of the window, 0 to 255, at most `LONGER_SIDE_PX` a side; and whether GrabCut found it."""
    window = window_of(sample, index)
    x1, y1, x2, y2 = window
    scale = min(1.0, LONGER_SIDE_PX / max(x2 - x1, y2 - y1))
    size = max(int((x2 - x1) * scale), 1), max(int((y2 - y1) * scale), 1)
    oval = np.asarray(
        cv2.resize(_ellipse(window, sample, index), size, interpolation=cv2.INTER_AREA), np.float32
    )
    found = None
    if max(sample.boxes_px[index][2:] - sample.boxes_px[index][:2]) >= LEAST_SIDE_PX and min(size) >= 8:
        cut = cv2.resize(decode_picture(sample)[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA)
        found = _grabbed(np.asarray(cut, np.uint8), oval)
    weight = oval if found is None else found * _fading(window, sample, size)
    return np.asarray(weight * 255, np.uint8), found is not None


_outline = lru_cache(maxsize=KEPT)(outline_of)


def _grabbed(cut: Image, oval: Weight) -> Weight | None:
    """GrabCut's hand with soft edges; None where it is not one."""
    marks = np.full(oval.shape, cv2.GC_PR_BGD, np.uint8)
    marks[oval > 0] = cv2.GC_PR_FGD
    marks[oval > 0.999] = cv2.GC_FGD
    empty = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the same hand has the same mask in every process
    try:
        cv2.grabCut(cut, marks, (0, 0, *oval.shape[::-1]), *empty, ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # a window of one color has no background to learn
        return None
    hand = _connected(np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)), oval)
    of_box, of_margin = float(hand[oval > 0].mean()), float(hand[oval == 0].mean())
    if not HAND_SHARE[0] <= of_box <= HAND_SHARE[1] or of_margin > SLEEVE_SHARE:
        return None
    soft = cv2.GaussianBlur(hand.astype(np.float32), (0, 0), 1.2)
    return np.asarray(soft, np.float32)


def _connected(hand: NDArray[np.bool_], oval: Weight) -> NDArray[np.bool_]:
    """Of several pieces the one that fills most of the box."""
    _, pieces = cv2.connectedComponents(hand.astype(np.uint8))
    counts = np.bincount(pieces[(pieces > 0) & (oval > 0)], minlength=2)
    return np.asarray(pieces == max(int(counts.argmax()), 1))


def _ellipse(window: Window, sample: Sample, index: int, reach: float = 1.05) -> Weight:
    """1 in the middle of the box, 0 from its inscribed ellipse times `reach` on; as large as the window."""
    x1, y1, x2, y2 = (float(v) for v in sample.boxes_px[index])
    left, top, right, bottom = window
    y = (np.arange(top, bottom) + 0.5 - (y1 + y2) / 2) / max((y2 - y1) / 2, 1)
    x = (np.arange(left, right) + 0.5 - (x1 + x2) / 2) / max((x2 - x1) / 2, 1)
    radius = np.sqrt(y[:, None] ** 2 + x[None, :] ** 2)
    return np.clip(2.5 * (reach - radius), 0, 1).astype(np.float32)


def _fading(window: Window, sample: Sample, size: tuple[int, int]) -> Weight:
    """A sleeve fades out towards the window's edges, but not towards the picture's own."""
    width, height = size
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    far = np.float32(np.inf)
    left = x if window[0] > 0 else np.full(width, far)
    right = x[::-1] if window[2] < sample.width_px else np.full(width, far)
    top = y if window[1] > 0 else np.full(height, far)
    bottom = y[::-1] if window[3] < sample.height_px else np.full(height, far)
    near = np.minimum(np.minimum(left, right)[None, :], np.minimum(top, bottom)[:, None])
    return np.clip((near + 0.5) / (0.08 * max(size)), 0, 1).astype(np.float32)

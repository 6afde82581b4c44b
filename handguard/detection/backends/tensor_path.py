"""The whole stop path as torch functions of fixed shapes, so that a CUDA graph can hold it.

    frame (H, W, 3) uint8 → letterboxed → network → candidates → survivors → one small table

Nothing here asks how many hands there are: every picture gives the same number of
candidates, marked as hands or not, and suppression runs a fixed number of rounds.
The functions know no device; tests hold them on the CPU to `preprocess` and
`postprocess`, which say what is meant.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from handguard.detection import boxes as box_math
from handguard.detection.postprocess import Found, Thresholds
from handguard.detection.preprocess import GRAY, Placement
from handguard.detection.scores import ScoreKind

ROUNDS = 16  # of suppression; even, see `survivors`
COLUMNS = 7  # of the table: x1 y1 x2 y2 as fractions of the input, score, label, 1 if it is a hand


class Letterbox(torch.nn.Module):
    """`preprocess.place` for pictures of one size, within a grey level or two of it.

    Resizing is linear in the pixels and the same for every column and every row,
    so it is two products with constant matrices.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        width, height = placement.size_px
        out = [max(1, round(side * placement.scale)) for side in placement.size_px]
        halvings = _halvings(placement)
        self.register_buffer("rows", resampling(height, out[1], halvings, placement.scale))
        self.register_buffer("columns", resampling(width, out[0], halvings, placement.scale).T.contiguous())
        self._margin = (0, placement.input_px[0] - out[0], 0, placement.input_px[1] - out[1])

    def forward(self, picture: Tensor) -> Tensor:
        """(H, W, 3) uint8 → (1, 3, h, w) float32, whole grey levels."""
        planes = picture.permute(2, 0, 1).float()
        resized = (self.rows @ planes @ self.columns).round()
        return functional.pad(resized, self._margin, value=float(GRAY))[None]


def _halvings(placement: Placement) -> int:
    """How often `preprocess.place` halves such a picture before it resizes."""
    width, height = placement.size_px
    scale, times = placement.scale, 0
    while scale < 0.5 and width % 2 == 0 and height % 2 == 0:
        width, height, scale, times = width // 2, height // 2, scale * 2, times + 1
    return times


def resampling(pixels: int, out: int, halvings: int, scale: float) -> Tensor:
    """`(out, pixels)` float32: each resized pixel as a weighted mean of the pixels of one row or column."""
    weights = np.eye(pixels)
    for _ in range(halvings):
        weights = _areas(len(weights), len(weights) // 2) @ weights
    last = _areas if scale * 2**halvings < 0.6 else _lines
    return torch.from_numpy((last(len(weights), out) @ weights).astype(np.float32))


def _areas(pixels: int, out: int) -> NDArray[np.float64]:
    """cv2.INTER_AREA: the mean over the stretch of pixels that one resized pixel covers."""
    edges = np.arange(out + 1) * (pixels / out)
    low = np.maximum(edges[:-1, None], np.arange(pixels))
    high = np.minimum(edges[1:, None], np.arange(pixels) + 1)
    return np.clip(high - low, 0, None) * (out / pixels)


def _lines(pixels: int, out: int) -> NDArray[np.float64]:
    """cv2.INTER_LINEAR: between the two pixels whose middles are nearest."""
    at = np.clip((np.arange(out) + 0.5) * (pixels / out) - 0.5, 0, pixels - 1)
    return np.clip(1 - np.abs(at[:, None] - np.arange(pixels)), 0, None)


def table_of(logits: Tensor, offsets: Tensor, priors: Tensor, kind: ScoreKind, limits: Thresholds) -> Tensor:
    """`(K + 1, COLUMNS)` float32 from logits `(P, C)`, offsets and priors `(P, 4)`: candidates, best first.

    K is `limits.candidates`, or P·C if that is less. The first number of the last row
    is 1 if everything the network said is finite.
    """
    scores = torch.sigmoid(logits) if kind is ScoreKind.SIGMOID else torch.softmax(logits, dim=1)[:, 1:]
    classes = scores.shape[1]
    best, index = torch.topk(scores.flatten(), min(limits.candidates, scores.numel()))
    prior, label = index // classes, index % classes
    decoded = box_math.decode(offsets[prior], priors[prior])
    doubles = _overlap(decoded) > limits.max_overlap
    if not limits.one_class_per_hand:
        doubles &= label[:, None] == label[None]
    hands = survivors(doubles, best >= limits.min_score)
    found = torch.cat([decoded, best[:, None], label[:, None].float(), hands[:, None].float()], dim=1)
    is_finite = (torch.isfinite(logits).all() & torch.isfinite(offsets).all()).float()
    return torch.cat([found, is_finite.expand(1, COLUMNS)])


def survivors(doubles: Tensor, candidates: Tensor, rounds: int = ROUNDS) -> Tensor:
    """Greedy suppression in `rounds` steps: which of K candidates `(K,)`, best first, are no double of a survivor.

    `doubles` is `(K, K)`. Each round asks again for all at once: is there a better one that
    survived the last round? From everything alive, the answers close in on the greedy one from above
    and below by turns, and meet it after as many rounds as the longest chain of
    doubles. After an even number they stand above: unfinished, they keep a double
    too many and never lose a hand.
    """
    by_better = torch.triu(doubles, diagonal=1).float()
    alive = candidates
    for _ in range(rounds):
        alive = candidates & (alive.float() @ by_better == 0)
    return alive


def _overlap(xyxy: Tensor) -> Tensor:
    """(K, K) IoU, in the arithmetic of `postprocess`."""
    low = torch.maximum(xyxy[:, None, :2], xyxy[None, :, :2])
    high = torch.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    sides = (high - low).clamp(min=0)
    inter = sides[..., 0] * sides[..., 1]
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(dim=1)
    return inter / (area[:, None] + area[None] - inter).clamp(min=1e-9)


def found_in(table: NDArray[np.float32], limits: Thresholds) -> Found:
    """The hands of a downloaded table. Raises `ValueError` if the network was not finite."""
    if table[-1, 0] != 1:
        raise ValueError("the network's answer is not finite")
    hands = table[:-1][table[:-1, 6] == 1][: limits.keep]
    return Found(hands[:, :4].copy(), hands[:, 4].copy(), hands[:, 5].astype(np.int64))

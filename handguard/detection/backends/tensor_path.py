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

from handguard.detection.coding import CENTER_VARIANCE, MAX_LOG_RATIO, SIZE_VARIANCE
from handguard.detection.postprocess import Found, Thresholds, left_out_of
from handguard.detection.preprocess import AVERAGED_BELOW, GRAY, Placement
from handguard.detection.scores import ScoreKind

ROUNDS = 16  # of suppression; even, see `survivors`
COLUMNS = 7  # of the table: x1 y1 x2 y2 as fractions of the input, score, label, 1 if it is a hand
SAID = 2  # of the last row: the sums of logits and of offsets


class Letterbox(torch.nn.Module):
    """`preprocess.Letterbox` for pictures of one size, within a grey level or two of it.

    Resizing is linear in the pixels and the same for every column and every row, so it is two products
    with constant matrices: the rows of the picture as it lies in memory, then the columns of what is
    left of it. In float16 a card multiplies several times as fast; grey levels and their means fit in.
    """

    rows: Tensor
    columns: Tensor
    canvas: Tensor

    def __init__(self, placement: Placement, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        width, height = placement.size_px
        self._out, halvings = placement.drawn_px, placement.halvings
        rows = resampling(height, self._out[1], halvings, placement.scale)
        columns = resampling(width, self._out[0], halvings, placement.scale).T
        canvas = torch.full((1, 3, placement.input_px[1], placement.input_px[0]), float(GRAY), dtype=dtype)
        self.register_buffer("rows", rows.to(dtype))
        self.register_buffer("columns", columns.to(dtype).contiguous())
        self.register_buffer("canvas", canvas.contiguous(memory_format=torch.channels_last))

    def forward(self, picture: Tensor) -> Tensor:
        """(H, W, 3) uint8 → (1, 3, h, w), whole grey levels; valid until the next picture."""
        width, height = self._out
        low = (self.rows @ picture.to(self.rows.dtype).flatten(1)).view(height, -1, 3)
        torch.round(low.permute(2, 0, 1) @ self.columns, out=self.canvas[0, :, :height, :width])
        return self.canvas


def resampling(pixels: int, out: int, halvings: int, scale: float) -> Tensor:
    """`(out, pixels)` float32: each resized pixel as a weighted mean of the pixels of one row or column."""
    weights = np.eye(pixels)
    for _ in range(halvings):
        weights = _areas(len(weights), len(weights) // 2) @ weights
    last = _areas if scale * 2**halvings < AVERAGED_BELOW else _lines
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

    K is `limits.candidates`, or P·C if that is less. The last row begins with the sums of all that the
    network said: finite only if all of it is. Nearly every operation here is a launch of its own, and one costs
    a card about as much as another, whatever it computes; so there are few.
    """
    scores = torch.sigmoid(logits) if kind is ScoreKind.SIGMOID else torch.softmax(logits, dim=1)[:, 1:]
    classes = scores.shape[1]
    best, index = torch.topk(scores.flatten(), min(limits.candidates, scores.numel()))
    prior, label = index // classes, index % classes
    table = torch.empty((len(best) + 1, COLUMNS), dtype=torch.float32, device=logits.device)
    found, said = table[:-1], table[-1]
    boxes = _decoded(offsets[prior], priors[prior], found[:, :4])
    doubles = _doubles(boxes, limits.max_overlap)
    if not limits.one_class_per_hand:
        doubles &= label[:, None] == label[None]
    found[:, 4] = best
    found[:, 5] = label
    found[:, 6] = survivors(doubles, best >= limits.min_score)
    torch.sum(logits, dim=(0, 1), out=said[0])
    torch.sum(offsets, dim=(0, 1), out=said[1])
    return table


def _decoded(offsets: Tensor, priors: Tensor, out: Tensor) -> Tensor:
    """`boxes.decode` of (K, 4), written into `out` (K, 4), which is returned."""
    size = priors[:, 2:]
    center = torch.addcmul(priors[:, :2], offsets[:, :2], size, value=CENTER_VARIANCE)
    grown = (offsets[:, 2:] * SIZE_VARIANCE).clamp_(max=MAX_LOG_RATIO).exp_()
    torch.addcmul(center, grown, size, value=-0.5, out=out[:, :2])
    torch.addcmul(center, grown, size, value=0.5, out=out[:, 2:])
    return out


def survivors(doubles: Tensor, candidates: Tensor, rounds: int = ROUNDS) -> Tensor:
    """Greedy suppression in `rounds` steps: 1 for those of K candidates `(K,)`, best first, that are no double of a
    survivor, else 0.

    `doubles` is `(K, K)`, symmetric. Each round asks again for all at once: is there a better one that
    survived the last round? From everything alive, the answers close in on the greedy one from above
    and below by turns, and meet it after as many rounds as the longest chain of
    doubles. After an even number they stand above: unfinished, they keep a double
    too many and never lose a hand. Zeros and ones as float32: a round is a product and a comparison.
    """
    of_better = torch.tril(doubles, diagonal=-1).float()
    alive = wanted = candidates.float()
    for _ in range(rounds):
        alive = torch.mv(of_better, alive).lt_(wanted)  # of a candidate: no better double; of any other: never
    return alive


def _doubles(xyxy: Tensor, max_overlap: float) -> Tensor:
    """(K, K) bool: whether two boxes overlap by more than that. IoU > m where (1 + m) · both > m · (one + other)."""
    low = torch.maximum(xyxy[:, None, :2], xyxy[None, :, :2])
    high = torch.minimum(xyxy[:, None, 2:], xyxy[None, :, 2:])
    sides = (high - low).clamp_(min=0)
    share = (xyxy[:, 2:] - xyxy[:, :2]).prod(dim=1) * (max_overlap / (1 + max_overlap))
    return sides[..., 0] * sides[..., 1] > share[:, None] + share[None]


def found_in(table: NDArray[np.float32], limits: Thresholds) -> Found:
    """The hands of a downloaded table. Raises `ValueError` if the network was not finite."""
    if not np.isfinite(table[-1, :SAID]).all():
        raise ValueError("the network's answer is not finite")
    candidates = table[:-1]
    every, lowest = candidates[candidates[:, 6] == 1], candidates[-1, 4]
    is_full = len(candidates) >= limits.candidates and bool(lowest >= limits.min_score)
    hands = every[: limits.keep]
    left_out = left_out_of(every[:, 4], lowest, is_full, limits)
    return Found(hands[:, :4].copy(), hands[:, 4].copy(), hands[:, 5].astype(np.int64), left_out)

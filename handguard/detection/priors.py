"""Priors (default boxes): the grid of boxes that predictions are offsets from.

A `PriorMap` describes one feature map: its cells and the sizes of the priors
centred in each cell. `grid` lays all maps out in the order in which the
prediction heads flatten their outputs: map by map, row by row, cell by cell,
prior by prior.

Sizes come from the paper's scale rule (`paper_sizes`), from multiples of the
stride (`octave_map`), or from a dataset's own boxes (`kmeans_sizes`, then
`spread_over_maps`). `Sizes`, nested lists of fractions, is how a card keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from handguard.errors import ModelError, mismatch

# per map, per prior of a cell: (width, height) as fractions of the input's longer side
Sizes = Sequence[Sequence[Sequence[float]]]

# The paper's scales for COCO, which suit small things; one more than there are maps.
SCALES_300_COCO = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
SCALES_512_COCO = (0.04, 0.1, 0.26, 0.42, 0.58, 0.74, 0.9, 1.05)
RATIOS_300 = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
RATIOS_512 = ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,))

ENOUGH_ROUNDS = 300  # of k-means; it settles after some dozens


@dataclass(frozen=True, slots=True)
class PriorMap:
    """Priors of one feature map. Sizes and stride in pixels of the network input."""

    stride_px: tuple[float, float]  # x, y distance between two cell centres
    cells: tuple[int, int]  # columns, rows
    sizes_px: tuple[tuple[float, float], ...]  # (width, height) of each prior of a cell

    @property
    def per_cell(self) -> int:
        return len(self.sizes_px)


def grid(maps: Sequence[PriorMap], input_px: tuple[int, int], *, clip: bool = False) -> Tensor:
    """All priors as `(P, 4)` cxcywh, fractions of the input `(width, height)`.

    A rounded stride can put the last centres of a map just outside the input;
    `clip` moves them onto its edge, as some public weights were trained.
    """
    priors = torch.cat([_map_grid(one, input_px) for one in maps])
    return priors.clamp(0, 1) if clip else priors


def _map_grid(one: PriorMap, input_px: tuple[int, int]) -> Tensor:
    columns, rows = one.cells
    x = (torch.arange(columns) + 0.5) * one.stride_px[0] / input_px[0]
    y = (torch.arange(rows) + 0.5) * one.stride_px[1] / input_px[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    centers = torch.stack([x, y], dim=-1)[:, :, None, :].expand(-1, -1, one.per_cell, -1)
    sizes = torch.tensor(one.sizes_px) / torch.tensor(input_px, dtype=torch.float32)
    return torch.cat([centers, sizes.expand(rows, columns, -1, -1)], dim=-1).reshape(-1, 4)


def octave_map(input_px: tuple[int, int], stride_px: int, sides_in_strides: Sequence[float]) -> PriorMap:
    """Square priors whose sides are multiples of the stride, on a map that may not divide evenly."""
    columns, rows = (math.ceil(side / stride_px) for side in input_px)
    sizes = tuple((stride_px * side, stride_px * side) for side in sides_in_strides)
    return PriorMap((stride_px, stride_px), (columns, rows), sizes)


def sized_maps(
    strides_px: Sequence[tuple[float, float]],
    cells: Sequence[tuple[int, int]],
    sizes: Sizes,
    longer_px: int,
) -> list[PriorMap]:
    """Maps with given sizes, none larger than the input.

    Raises `ModelError` unless there is one list of positive sizes per map.
    """
    if len(sizes) != len(strides_px) or not all(len(one) for one in sizes):
        found = f"{len(sizes)} maps with {[len(one) for one in sizes]} priors"
        raise ModelError(
            mismatch("prior sizes", f"one or more priors for each of {len(strides_px)} maps", found)
        )
    scaled = [tuple(_checked(size, longer_px) for size in own) for own in sizes]
    return [PriorMap(*one) for one in zip(strides_px, cells, scaled, strict=True)]


def _checked(size: Sequence[float], longer_px: int) -> tuple[float, float]:
    if len(size) != 2 or not all(math.isfinite(side) and side > 0 for side in size):
        raise ModelError(mismatch("prior sizes", "a positive width and height", list(size)))
    width, height = (min(side, 1.0) * longer_px for side in size)
    return width, height


def paper_sizes(
    input_side_px: float, ratios: Sequence[Sequence[float]], scales: Sequence[float]
) -> list[tuple[tuple[float, float], ...]]:
    """Sizes by the paper's rule, one tuple of (width, height) per map; fractions if the side is 1.

    `scales` has one entry more than `ratios`. Each map gets a square of its own
    scale, a square of the geometric mean with the next scale, and for each
    ratio r the pair r:1 and 1:r.
    """
    result = []
    for own, following, map_ratios in zip(scales[:-1], scales[1:], ratios, strict=True):
        mean = math.sqrt(own * following)
        sizes = [(own, own), (mean, mean)]
        for ratio in map_ratios:
            root = math.sqrt(ratio)
            sizes += [(own * root, own / root), (own / root, own * root)]
        result.append(tuple((w * input_side_px, h * input_side_px) for w, h in sizes))
    return result


def even_scales(lowest: float, highest: float, maps: int) -> tuple[float, ...]:
    """The paper's rule for scales: evenly spaced over the maps, and 1 after the last."""
    step = (highest - lowest) / (maps - 1)
    return (*(lowest + step * k for k in range(maps)), 1.0)


def kmeans_sizes(widths_heights: Tensor, k: int, seed: int = 0) -> list[tuple[float, float]]:
    """`k` sizes that stand for a dataset's boxes `(N, 2)`, by area, smallest first; units as given.

    k-means with the distance 1 - IoU of boxes on a common corner (Redmon and
    Farhadi, "YOLO9000", 2017), started by k-means++, so that rare large
    hands are not left to the many small ones. Raises `ModelError` if there are fewer
    distinct boxes than `k`, or a box without a positive size.
    """
    boxes = widths_heights.to(torch.float64)
    _require_boxes(boxes, k)
    centers = _spread_start(boxes, k, torch.Generator().manual_seed(seed))
    owner = torch.full((len(boxes),), -1)
    for _ in range(ENOUGH_ROUNDS):
        nearest = _corner_iou(boxes, centers).argmax(dim=1)
        if torch.equal(nearest, owner):
            break
        owner = nearest
        for i in range(k):
            if (owner == i).any():
                centers[i] = boxes[owner == i].mean(dim=0)
    return sorted(((w, h) for w, h in centers.tolist()), key=lambda size: size[0] * size[1])


def spread_over_maps(sizes: Sequence[tuple[float, float]], maps: int) -> list[list[list[float]]]:
    """Sizes, smallest first, dealt to `maps` maps, finest first, in groups as equal as possible."""
    if len(sizes) < maps:
        raise ModelError(mismatch("prior sizes", f"at least one for each of {maps} maps", len(sizes)))
    edges = [round(i * len(sizes) / maps) for i in range(maps + 1)]
    return [[list(size) for size in sizes[a:b]] for a, b in pairwise(edges)]


def mean_best_iou(widths_heights: Tensor, sizes: Sequence[tuple[float, float]]) -> float:
    """How well sizes fit boxes `(N, 2)`: mean IoU of each box with its best size on a common corner."""
    best = _corner_iou(widths_heights.to(torch.float64), torch.tensor(sizes, dtype=torch.float64))
    return float(best.amax(dim=1).mean())


def _require_boxes(boxes: Tensor, k: int) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 2 or not bool((boxes.isfinite() & (boxes > 0)).all()):
        raise ModelError(
            mismatch("k-means", "boxes (N, 2) of positive finite width and height", tuple(boxes.shape))
        )
    distinct = len(torch.unique(boxes, dim=0))
    if k < 1 or distinct < k:
        raise ModelError(
            mismatch("k-means", "1 ≤ k ≤ number of distinct boxes", f"k = {k} and {distinct} boxes")
        )


def _spread_start(boxes: Tensor, k: int, random: torch.Generator) -> Tensor:
    """k-means++: each further start is drawn by its squared distance to those chosen."""
    chosen = [int(torch.randint(len(boxes), (1,), generator=random))]
    while len(chosen) < k:
        distance = 1 - _corner_iou(boxes, boxes[chosen]).amax(dim=1)
        chosen.append(int(torch.multinomial(distance.clamp(min=0).square(), 1, generator=random)))
    return boxes[chosen].clone()


def _corner_iou(first: Tensor, second: Tensor) -> Tensor:
    """(N, 2), (K, 2) → (N, K): overlap of boxes that share a corner."""
    inter = torch.minimum(first[:, None], second[None]).prod(dim=-1)
    return inter / (first.prod(dim=-1)[:, None] + second.prod(dim=-1)[None] - inter)

"""Priors (default boxes): the grid of boxes that predictions are offsets from.

A `PriorMap` describes one feature map: its cells and the sizes of the priors
centred in each cell. `grid` lays all maps out in the order in which the
prediction heads flatten their outputs: map by map, row by row, cell by cell,
prior by prior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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
    """All priors as `(P, 4)` cxcywh, fractions of the input `(width, height)`."""
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


def paper_sizes(
    input_side_px: int, ratios: Sequence[Sequence[float]], scales: Sequence[float]
) -> list[tuple[tuple[float, float], ...]]:
    """Sizes by the paper's rule, one tuple of (width, height) per map.

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

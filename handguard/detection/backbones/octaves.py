"""What backbones share whose stages each halve the picture: the maps that they give, and in which order."""

from __future__ import annotations

from torch import Tensor, nn

STRIDES_PX = (8, 16, 32, 64)
FINER_STRIDE_PX = 4


class Octaves(nn.Module):
    """Picture → maps at strides 8, 16, 32, 64; `finer` puts stride 4 before them.

    A backbone makes the stages; `edge` ends at stride 4, `part` at 8, and so on.
    """

    stem: nn.Module
    edge: nn.Module
    part: nn.Module
    hand: nn.Module
    scene: nn.Module
    beyond: nn.Module

    def __init__(self, *, finer: bool, edge: int, widths: tuple[int, int, int, int]) -> None:
        """`edge` and `widths`: channels at stride 4, and of the maps after it."""
        super().__init__()
        self.finer = finer
        self.strides_px = (*((FINER_STRIDE_PX,) if finer else ()), *STRIDES_PX)
        self.channels = (*((edge,) if finer else ()), *widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        edge = self.edge(self.stem(x))
        part = self.part(edge)
        hand = self.hand(part)
        scene = self.scene(hand)
        maps = [part, hand, scene, self.beyond(scene)]
        return [edge, *maps] if self.finer else maps

"""The few layers that all backbones are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from handguard.detection.backbones.depthwise import DepthwiseConv2d

Norm = Callable[[int], nn.Module]  # makes a normalisation layer for so many channels


def conv_bn(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    *,
    depthwise: bool = False,
    act: nn.Module | None = None,
    padding: int | None = None,
    norm: Norm = nn.BatchNorm2d,
) -> nn.Sequential:
    """Convolution, batch normalisation, activation (ReLU unless given; `nn.Identity()` for none).

    `padding` keeps the size unless given. `depthwise`: each of the `inputs` under a kernel of its own.
    """
    pad = kernel // 2 if padding is None else padding
    full = partial(nn.Conv2d, inputs, outputs, kernel, stride, pad, bias=False)
    return nn.Sequential(
        DepthwiseConv2d(inputs, kernel, stride, pad) if depthwise else full(),
        norm(outputs),
        nn.ReLU(inplace=True) if act is None else act,
    )


class Residual(nn.Module):
    """x + 1×1(3×3(x)): a full 3×3 convolution, then a linear 1×1, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = conv_bn(channels, channels, 3)
        self.mix = conv_bn(channels, channels, 1, act=nn.Identity())
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.mix(self.spatial(x)))

"""A depthwise convolution that learns about as fast as it answers, on a CPU.

oneDNN has fast kernels for it forwards at every size, and backwards for 3×3 at a
stride of 1. Three gradients fall back to plain loops, 10 to 50 times slower, and
were half of a training step (measured on two AVX-512 cores with torch 2.13):

    what                                    done here with
    dL/dx at a stride above 1               the forward kernel, over dL/dy with zeros between its pixels
    dL/dx at a stride of 1                  the forward kernel, too: correlation with the turned kernel
    dL/dw of a 5×5 (or larger) kernel       the 3×3 gradient on shifted inputs, one 3×3 window at a time

The numbers are those of `torch.nn.Conv2d`, but for the order of the sums. On other
devices, and where nothing learns, it is `torch.nn.Conv2d`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

WINDOW = 3  # side of the kernels whose gradient oneDNN computes fast
OF_WEIGHT = [False, True, False]  # which gradients are asked for: input, weight, bias
Gradients = tuple[Tensor | None, Tensor | None, None, None]


class DepthwiseConv2d(nn.Conv2d):
    """(N, C, H, W) → (N, C, H', W'): each channel under a square kernel of its own, without a bias."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        """`kernel`: an odd side of 3 or more; `padding`: at most `kernel` - 1 rows round the picture."""
        if kernel < WINDOW or kernel % 2 == 0 or not 0 <= padding < kernel:
            raise ValueError(
                f"expected an odd kernel from 3 on and less padding, found {kernel} and {padding}"
            )
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """As `Conv2d`, whose name for the argument this is."""
        if not (self.training and input.device.type == "cpu"):
            return super().forward(input)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            precision = torch.get_autocast_dtype("cpu")
            input, weight = input.to(precision), weight.to(precision)
        return _Depthwise.apply(input, weight, self.stride[0], int(self.padding[0]))  # type: ignore[no-any-return]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *of_output: Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        out = _channels_last(of_output[0])
        of_input, of_weight = ctx.needs_input_grad[:2]
        return (
            _of_input(out, x, weight, ctx.stride, ctx.padding) if of_input else None,
            _of_weight(out, x, weight, ctx.stride, ctx.padding) if of_weight else None,
            None,
            None,
        )


def _of_input(out: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """dL/dx from dL/dy: every output pixel where it stood in the input, under the turned kernel."""
    kernel = weight.shape[-1]
    if stride > 1:
        n, channels, height, width = x.shape
        inner = (n, channels, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1)
        apart = torch.empty(inner, dtype=out.dtype, memory_format=torch.channels_last).zero_()
        apart[:, :, ::stride, ::stride] = out
        out = apart
    return conv2d(out, weight.flip(2, 3), padding=kernel - 1 - padding, groups=len(weight))


def _of_weight(out: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """dL/dw from dL/dy, in windows of 3×3 taps that share a row or a column with the next."""
    kernel = weight.shape[-1]
    if kernel == WINDOW:
        return _of_window(out, x, weight, stride, padding)
    x = pad(x, (padding,) * 4) if padding else x
    height, width = ((side - 1) * stride + WINDOW for side in out.shape[2:])
    gradient, window = torch.empty_like(weight), weight[:, :, :WINDOW, :WINDOW].contiguous()
    firsts = range(0, kernel - WINDOW + 1, WINDOW - 1)
    for row, column in ((row, column) for row in firsts for column in firsts):
        shifted = _channels_last(x[:, :, row : row + height, column : column + width])
        taps = _of_window(out, shifted, window, stride, 0)
        gradient[:, :, row : row + WINDOW, column : column + WINDOW] = taps
    return gradient


def _of_window(out: Tensor, x: Tensor, window: Tensor, stride: int, padding: int) -> Tensor:
    gradients = torch.ops.aten.convolution_backward(
        out, x, window, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], len(window), OF_WEIGHT
    )
    return gradients[1]  # type: ignore[no-any-return]


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)

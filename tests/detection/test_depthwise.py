"""The depthwise convolution's own gradients, against those of torch's convolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from handguard.detection.backbones.depthwise import DepthwiseConv2d

CHANNELS = 6


def learnt(layer: DepthwiseConv2d, x: Tensor, *, own: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the gradients of input and weight under the same weighing of all outputs."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = layer(x) if own else conv2d(x, layer.weight, None, layer.stride, layer.padding, groups=CHANNELS)
    weighing = torch.rand(y.shape, generator=torch.Generator().manual_seed(1))
    (y.float() * weighing).sum().backward()
    assert x.grad is not None and layer.weight.grad is not None
    return y.detach(), x.grad, layer.weight.grad


@pytest.mark.parametrize("size", [(17, 17), (18, 13), (19, 24)])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_gradients_are_those_of_torch(size: tuple[int, int], kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    for padding in {0, 1, kernel // 2, kernel - 1}:
        layer = DepthwiseConv2d(CHANNELS, kernel, stride, padding)
        x = torch.randn(2, CHANNELS, *size).contiguous(memory_format=torch.channels_last)
        for ours, theirs in zip(learnt(layer, x, own=True), learnt(layer, x, own=False), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_learns_in_bfloat16_under_autocast_as_closely_as_torch_does() -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(CHANNELS, 5, 2, 2)
    x = torch.randn(2, CHANNELS, 16, 16)
    exact = learnt(layer, x, own=False)
    with torch.autocast("cpu", torch.bfloat16):
        ours = learnt(layer, x, own=True)
    assert ours[0].dtype is torch.bfloat16 and ours[1].dtype is ours[2].dtype is torch.float32
    for rounded, right in zip(ours, exact, strict=True):
        torch.testing.assert_close(rounded.float(), right, rtol=0.02, atol=0.02 * float(right.abs().max()))


def test_a_picture_that_needs_no_gradient_gets_none() -> None:
    layer = DepthwiseConv2d(CHANNELS, 3, 1, 1)
    x = torch.randn(1, CHANNELS, 8, 8)
    layer(x).sum().backward()
    assert x.grad is None and layer.weight.grad is not None


def test_a_frozen_layer_passes_gradients_on() -> None:
    layer = DepthwiseConv2d(CHANNELS, 5, 2, 2).requires_grad_(False)
    x = torch.randn(1, CHANNELS, 8, 8, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None


def test_answers_alike_whether_it_learns_or_not() -> None:
    layer = DepthwiseConv2d(CHANNELS, 5, 1, 2)
    x = torch.randn(1, CHANNELS, 9, 9)
    assert torch.equal(layer.train()(x), layer.eval()(x))


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (4, 1), (3, 3), (5, -1)])
def test_refuses_kernels_it_has_no_gradients_for(kernel: int, padding: int) -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        DepthwiseConv2d(CHANNELS, kernel, 1, padding)

"""Folded networks answer as they did, and normalize nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handguard.detection.architectures import build, member_of, names
from handguard.detection.backends.folding import fold
from tests.networks import told_apart

SMALL = (96, 64)


@torch.inference_mode()
@pytest.mark.parametrize("name", [name for name in names() if member_of(name).any_multiple_of_px])
def test_a_folded_network_answers_as_before(name: str) -> None:
    network, picture = told_apart(name, SMALL), torch.rand(1, 3, SMALL[1], SMALL[0]) * 255
    before = network(picture)
    fold(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    for one, other in zip(before, network(picture), strict=True):
        assert one.std() > 0
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.std()))


def test_folding_is_for_networks_that_only_answer() -> None:
    with pytest.raises(AssertionError):
        fold(build("palmnet-s", input_px=SMALL).train())

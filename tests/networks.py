"""Untrained networks that find something all the same."""

from __future__ import annotations

import torch

from handguard.detection.architectures import build
from handguard.detection.ssd import Ssd


def loud_network(input_px: tuple[int, int]) -> Ssd:
    """A PalmNet-S with random weights, its scores loud enough for hits; the same weights for the same size."""
    torch.manual_seed(3)
    network = build("palmnet-s", input_px=input_px).eval()
    for predictor in network.class_head.predictors:
        torch.nn.init.normal_(predictor.weight, std=2.0)
        torch.nn.init.constant_(predictor.bias, -1.0)
    return network

"""Untrained networks that find something all the same, or that compute something all the same."""

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


def told_apart(name: str, input_px: tuple[int, int]) -> Ssd:
    """A network whose normalization does something; the same weights for the same name."""
    torch.manual_seed(7)
    network = build(name, input_px=input_px).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.6, 1.6)
    return network

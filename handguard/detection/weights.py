"""Weights on disk: safetensors in, safetensors out, and nothing that could run code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from handguard.atomic import appearing_whole
from handguard.detection.architectures import build
from handguard.detection.card import Card, ModelFiles, sha256_of, write_card
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch


def load_network(files: ModelFiles, card: Card, input_px: tuple[int, int]) -> Ssd:
    """The network of a card with its weights, ready to predict, for any input size the network allows."""
    network = build(card.architecture, len(card.classes), input_px, sizes=card.prior_sizes)
    try:
        state = load_file(files.weights)
    except (SafetensorError, OSError) as error:
        raise ModelError(mismatch(str(files.weights), "a safetensors file", error)) from error
    wanted = network.state_dict()
    if problem := _difference(wanted, state):
        raise ModelError(mismatch(str(files.weights), f"weights of {card.architecture}", problem))
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def save_model(network: Ssd, card: Card, folder: Path) -> ModelFiles:
    """Write `NAME.safetensors` and `NAME.json`; the card's hash is filled in. Never half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ModelFiles(folder / f"{card.name}.safetensors", folder / f"{card.name}.json")
    with appearing_whole(files.weights) as fresh:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, fresh)
        fresh.chmod(0o644)  # safetensors writes for its owner alone
    write_card(replace(card, weights_sha256=sha256_of(files.weights)), files.card)
    return files


def _difference(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> str | None:
    """The first way in which two sets of weights differ, in words."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        return f"{len(missing)} missing ({', '.join(missing[:3])}) and {len(extra)} unknown ({', '.join(extra[:3])})"
    for name, value in wanted.items():
        if value.shape != found[name].shape:
            return f"{name} of shape {tuple(found[name].shape)} instead of {tuple(value.shape)}"
    return None

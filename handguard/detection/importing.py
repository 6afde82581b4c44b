"""Public checkpoints into our networks: read safely, renamed by a table, loaded strictly.

Nothing is guessed. A checkpoint's layout is known by a weight that only it
has; each of its weights must have a place, each place must be filled, and all
shapes must agree, or one error lists what does not. Only tensors are read
(`weights_only`, or safetensors): a checkpoint cannot run code.

Public weights expect RGB and ours expect BGR, so the first convolution's
channels are turned round; where weights were trained with pictures of another mean and
deviation than our network gives, it takes that in, too. SSDs whose priors differ from ours (ssd.pytorch was trained
with the paper's scales for VOC) want a network built with those sizes, if their
heads are to be kept.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from handguard.detection.architectures import Triple
from handguard.detection.layouts import AFTER_BACKBONE, HEADS, LAYOUTS, OURS, Layout
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch

AUTO = "auto"
WRAPPERS = ("average", "state_dict", "model")  # names under which checkpoints keep the weights themselves
SHOWN = 6  # names per kind of mismatch in a message
COUNTER = "num_batches_tracked"  # unknown to old checkpoints, and of no effect on predictions

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    layout: str
    loaded: int  # weights that came from the checkpoint
    as_built: tuple[str, ...]  # parts of the network that it left as they were, and that want training


def import_checkpoint(path: Path, network: Ssd, layout: str = AUTO, *, reset_heads: bool = False) -> Imported:
    """Load a checkpoint into `network`, in place, or leave `network` as it was and raise `ModelError`.

    `reset_heads` leaves the class head as built, and with it the tower and the
    box head if they do not fit: for weights of other classes.
    """
    theirs = read_weights(path)
    chosen = _layout(path, layout, theirs, network)
    weights = _ordered(_renamed(path, chosen, theirs), chosen)
    if chosen.classified is not None and _classifies(path, chosen, theirs):
        _fit_inputs(weights, str(chosen.first_conv), *chosen.classified, network)
    own = network.state_dict()
    lacks = (*chosen.lacks, *(_reset_parts(own, weights) if reset_heads else ()))
    weights = {name: value for name, value in weights.items() if not _under(name, lacks)}
    _require_fit(path, chosen, {name: v for name, v in own.items() if not _under(name, lacks)}, weights)
    network.load_state_dict({**own, **weights})
    return Imported(chosen.name, len(weights), tuple(sorted({part for part in lacks if _holds(own, part)})))


def read_weights(path: Path) -> Weights:
    """Name → tensor from a .safetensors file, or from a torch file that holds only tensors."""
    if not path.is_file():
        raise ModelError(mismatch(str(path), "a checkpoint", "no such file"))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ModelError(mismatch(str(path), "a readable checkpoint", error)) from error
    except pickle.UnpicklingError as error:
        expected = "a checkpoint of tensors only (weights_only)"
        raise ModelError(mismatch(str(path), expected, str(error).splitlines()[0])) from error
    return _unwrapped(path, content)


def _unwrapped(path: Path, content: Any) -> Weights:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            return _unwrapped(path, content[wrapper])
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(mismatch(str(path), "a table of weights", type(content).__name__))
    return {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}


def _layout(path: Path, asked: str, theirs: Weights, network: Ssd) -> Layout:
    known = {one.name: one for one in (*LAYOUTS, OURS)}
    if asked != AUTO and asked not in known:
        raise ModelError(mismatch("layout", f"{AUTO} or one of {', '.join(sorted(known))}", repr(asked)))
    chosen = known[asked] if asked != AUTO else _recognised(path, theirs)
    if not isinstance(network.backbone, chosen.backbone):
        found = f"a network with the backbone {type(network.backbone).__name__}"
        expected = f"for {chosen.name}, a network with the backbone {chosen.backbone.__name__}"
        raise ModelError(mismatch(str(path), expected, found))
    return chosen


def _recognised(path: Path, theirs: Weights) -> Layout:
    for layout in LAYOUTS:
        if layout.mark in theirs:
            return layout
    if any(_under(name, (OURS.mark,)) for name in theirs):
        return OURS
    known = ", ".join(one.name for one in (*LAYOUTS, OURS))
    raise ModelError(mismatch(str(path), f"weights laid out as one of {known}", f"{_listed(sorted(theirs))}"))


def _renamed(path: Path, layout: Layout, theirs: Weights) -> Weights:
    if layout is OURS:
        return dict(theirs)
    ours, strangers = {}, []
    for name, value in theirs.items():
        if place := _place(name, layout):
            ours[place] = value
        elif not _under(name, layout.leaves_out):
            strangers.append(name)
    if strangers:
        raise ModelError(mismatch(f"{path} as {layout.name}", "no other weights", _listed(strangers)))
    return ours


def _place(name: str, layout: Layout) -> str | None:
    """Our name for theirs: the longest prefix in the table is exchanged."""
    prefix, rest = name, ""
    while prefix:
        if prefix in layout.renames:
            return layout.renames[prefix] + rest
        prefix, _, last = prefix.rpartition(".")
        rest = f".{last}{rest}"
    return None


def _ordered(weights: Weights, layout: Layout) -> Weights:
    """Channels in our order: BGR going in, prior by prior coming out."""
    first = f"{layout.first_conv}.weight"
    if first in weights:
        weights[first] = weights[first].flip(1)
    if layout.kind_major_heads:
        for name in [one for one in weights if _under(one, HEADS)]:
            per_cell = _per_cell(weights, name)
            weights[name] = weights[name].unflatten(0, (-1, per_cell)).transpose(0, 1).flatten(0, 1)
    return weights


def _classifies(path: Path, layout: Layout, theirs: Weights) -> bool:
    """Whether a checkpoint's classifier has values. Raises `ModelError` where there is none to tell."""
    parts = [v for k, v in theirs.items() if _under(k, (str(layout.classifier),)) and k.endswith("weight")]
    if not parts:
        expected = f"weights of {layout.classifier}, which tell with what pictures the others were trained"
        raise ModelError(mismatch(f"{path} as {layout.name}", expected, "none"))
    return all(bool(part.isfinite().all()) and bool(part.any()) for part in parts)


def _fit_inputs(weights: Weights, conv: str, mean_bgr: Triple, std_bgr: Triple, network: Ssd) -> None:
    """Make a convolution that was trained with (x - mean) / std answer the same to what `network` gives it.

    In place. Beyond the picture's edge, where both take 0, the answers differ by what the means do.
    """
    kernel, bias = weights.get(f"{conv}.weight"), weights.get(f"{conv}.bias")
    if kernel is None or bias is None or kernel.shape[1:2] != (3,):
        return  # told as a misfit
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (mean_bgr, std_bgr))
    ours, deviation = network.mean.cpu(), 1 / network.scale.cpu()
    weights[f"{conv}.weight"] = kernel * (deviation / std)
    weights[f"{conv}.bias"] = bias + (kernel * ((ours - mean) / std)).sum((1, 2, 3))


def _per_cell(weights: Weights, name: str) -> int:
    """Priors per cell of the map that a head's weight belongs to: a box head gives four numbers for each."""
    number = name.split(".")[2]
    box_bias = weights.get(f"box_head.predictors.{number}.bias")
    per_cell = 1 if box_bias is None else len(box_bias) // 4
    return per_cell if len(weights[name]) % max(per_cell, 1) == 0 else 1


def _reset_parts(own: Weights, weights: Weights) -> tuple[str, ...]:
    """The class head, and what else after the backbone does not fit as a whole."""
    parts = (part for part in AFTER_BACKBONE if part != "class_head")
    return ("class_head", *(part for part in parts if any(_misfits(_part(own, part), _part(weights, part)))))


def _part(weights: Weights, part: str) -> Weights:
    return {name: value for name, value in weights.items() if _under(name, (part,))}


def _misfits(own: Weights, found: Weights) -> tuple[list[str], list[str], list[str]]:
    """Names that are missing, unexpected, or of another shape."""
    missing = sorted(name for name in own.keys() - found.keys() if not name.endswith(COUNTER))
    unexpected = sorted(found.keys() - own.keys())
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & found.keys())
        if own[name].shape != found[name].shape
    ]
    return missing, unexpected, shapes


def _require_fit(path: Path, layout: Layout, own: Weights, found: Weights) -> None:
    kinds = zip(("missing", "unexpected", "of another shape"), _misfits(own, found), strict=True)
    problems = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds if names]
    if problems:
        expected = "the weights of this network (other classes or priors: reset the heads)"
        raise ModelError(mismatch(f"{path} as {layout.name}", expected, "; ".join(problems)))
    if broken := sorted(name for name, value in found.items() if not bool(value.isfinite().all())):
        raise ModelError(mismatch(f"{path} as {layout.name}", "finite weights", f"not so in {_listed(broken)}"))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _holds(own: Weights, part: str) -> bool:
    return any(_under(name, (part,)) for name in own)

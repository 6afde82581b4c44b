"""A slim network's first weights: those inner channels of a wider one that tell most, and nothing else changed.

A bottleneck widens its input, looks at each channel alone, and brings all of them down again
by a matrix. Which of the inner channels can go is a question of least squares: with rows of
what they hold, of pictures that the network sees, the optimal brain surgeon (Hassibi & Stork,
1993) names the channel whose loss the others make up for best, and how they do; then the
next. The bottlenecks are done in the order in which a picture passes them, each on what the slim
ones before it give. What is lost in all that is for `handguard train --teacher` to teach.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handguard.detection.backbones.efficientnet_lite import EPS, Bottleneck, EfficientNetLite
from handguard.detection.backends.folding import fold
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch

PLACES = 192  # of each picture, whose channels are one row each
DAMPING = 1e-4  # of the mean square: channels that are always 0 must not divide by it
A_BATCH = 8  # pictures


def slimmed(wide: Ssd, slim: Ssd, pictures: Sequence[NDArray[np.uint8]], seed: int = 0) -> Ssd:
    """`slim` with weights from `wide`, by what `pictures` (height, width, 3) of one size show. Ready to predict.

    Raises `ModelError` unless both differ in nothing but the channels inside their bottlenecks.
    """
    pairs = _pairs(wide, slim)
    slim.load_state_dict(_shared(wide, slim), strict=False)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        seen = [_stem(slim.eval(), batch) for batch in _batches(pictures)]
        for one, other in pairs:
            _fill(other, one, torch.cat([_rows(one, x, random) for x in seen]))
            seen = [other(x) for x in seen]
    return slim


def most_telling(rows: Tensor, weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Which `count` of the C columns of `rows` (N, C) make up best for all of them in `rows @ weight.T`.

    The last column always stays. Returns their numbers, rising, and the weights `(outputs, count)` for them,
    float64.
    """
    moment = rows.double().T @ rows.double() / len(rows)
    inverse = torch.linalg.inv(moment + DAMPING * moment.diagonal().mean() * torch.eye(len(moment), dtype=torch.double))
    left, weight = torch.ones(len(moment), dtype=torch.bool), weight.double().clone()
    may_go = left.clone()
    may_go[-1] = False
    for _ in range(len(moment) - count):
        price = weight.square().sum(dim=0) / inverse.diagonal()
        gone = int(price.masked_fill(~may_go, torch.inf).argmin())
        column, share = inverse[gone].clone(), inverse[gone] / inverse[gone, gone]
        weight.addr_(weight[:, gone].clone(), share, alpha=-1)
        inverse.addr_(column, share, alpha=-1)
        inverse[gone, gone] = 1.0  # never asked again; only not 0 / 0
        left[gone] = may_go[gone] = False
    return left.nonzero()[:, 0], weight[:, left]


def _pairs(wide: Ssd, slim: Ssd) -> list[tuple[Bottleneck, Bottleneck]]:
    """The bottlenecks of both, in order."""
    one, other = wide.backbone, slim.backbone
    if isinstance(one, EfficientNetLite) and isinstance(other, EfficientNetLite) and _outside(wide) == _outside(slim):
        pairs = list(zip(one.bottlenecks, other.bottlenecks, strict=True))
        if all(a.inner >= b.inner for a, b in pairs):
            return pairs
    expected = "two EfficientNet-Lites of which one has fewer channels inside its bottlenecks"
    raise ModelError(mismatch("networks to slim", expected, "others"))


def _outside(network: Ssd) -> list[torch.Size]:
    """Shapes of all weights that are in none of the bottlenecks."""
    body = network.backbone
    assert isinstance(body, EfficientNetLite)
    inside = {id(weight) for block in body.bottlenecks for weight in block.parameters()}
    return [weight.shape for weight in network.parameters() if id(weight) not in inside]


def _shared(wide: Ssd, slim: Ssd) -> dict[str, Tensor]:
    """What both have alike."""
    own = slim.state_dict()
    return {name: value for name, value in wide.state_dict().items() if value.shape == own[name].shape}


def _batches(pictures: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
    ready = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return list(ready.split(A_BATCH))


def _stem(network: Ssd, batch: Tensor) -> Tensor:
    body = network.backbone
    assert isinstance(body, EfficientNetLite)
    return body.stem(network.normalized(batch.float()))  # type: ignore[no-any-return]


def _rows(block: Bottleneck, x: Tensor, random: torch.Generator) -> Tensor:
    """(pictures × places, inner channels): what the block holds inside, at random places."""
    held: Tensor = block.layers[:-1](x).flatten(2)
    places = torch.randint(held.shape[2], (len(held), 1, min(PLACES, held.shape[2])), generator=random)
    return held.gather(2, places.expand(-1, held.shape[1], -1)).transpose(1, 2).flatten(0, 1)


def _fill(slim: Bottleneck, wide: Bottleneck, rows: Tensor) -> None:
    """The slim block's weights, from the wide one and what that holds inside."""
    matrix, offset = _linear(wide)
    with_one = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
    kept, weights = most_telling(with_one, torch.cat([matrix, offset[:, None]], dim=1), slim.inner + 1)
    state = wide.layers[:-1].state_dict()
    slim.layers[:-1].load_state_dict({name: x[kept[:-1]] if x.ndim else x for name, x in state.items()})
    _set_linear(slim.layers[-1], weights[:, :-1], weights[:, -1], rows[:, kept[:-1]].double())


def _linear(block: Bottleneck) -> tuple[Tensor, Tensor]:
    """How a block brings its channels down, normalization included: a matrix and an offset."""
    down = copy.deepcopy(block.layers[-1])
    fold(down)
    told = down.state_dict()
    return told["0.weight"][:, :, 0, 0], told["0.bias"]


def _set_linear(down: nn.Module, matrix: Tensor, offset: Tensor, rows: Tensor) -> None:
    """The other way round; the statistics of the normalization are those that `rows` give it."""
    var, mean = torch.var_mean(rows @ matrix.T, dim=0)
    told = {
        "0.weight": matrix[:, :, None, None],
        "1.weight": torch.sqrt(var + EPS),
        "1.bias": offset + mean,
        "1.running_mean": mean,
        "1.running_var": var,
    }
    down.load_state_dict({**down.state_dict(), **told})

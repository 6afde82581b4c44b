"""How sure a count makes us: exact 95 % intervals, so that few recordings cannot promise much.

A share (missed of all approaches) gets the interval of Clopper and Pearson, a rate
(nuisance trips in so many hours) that of Garwood. Both are exact: they never promise
more than 95 % and usually less. Seven approaches without a miss still allow a miss
rate of 41 %; that is what seven approaches are worth.

    C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), 404-413
    F. Garwood, Biometrika 28 (1936), 437-442
"""

from __future__ import annotations

import math
from collections.abc import Callable

_TAIL = 0.025
_HALVINGS = 80  # of the search: beyond what a double can tell apart

Interval = tuple[float, float]


def share_95(hits: int, of: int) -> Interval:
    """The shares that `hits` of `of` independent tries do not rule out; (0, 1) for no tries."""
    if not 0 <= hits <= of:
        raise ValueError(f"expected 0 to {of} hits, found {hits}")
    low = 0.0 if hits == 0 else _root(lambda p: 1 - _at_most(hits - 1, of, p) - _TAIL, 0.0, 1.0)
    high = 1.0 if hits == of else _root(lambda p: _TAIL - _at_most(hits, of, p), 0.0, 1.0)
    return low, high


def rate_95(events: int, over: float) -> Interval:
    """The rates per unit that `events` in `over` units do not rule out. `over` 0: (0, inf)."""
    if events < 0 or over < 0:
        raise ValueError(f"expected counts from 0 on, found {events} in {over}")
    if over == 0:
        return 0.0, math.inf
    widest = events + 10 * math.sqrt(events + 1) + 10
    low = 0.0 if events == 0 else _root(lambda m: 1 - _so_many(events - 1, m) - _TAIL, 0.0, widest)
    high = _root(lambda m: _TAIL - _so_many(events, m), 0.0, widest)
    return low / over, high / over


def _at_most(hits: int, of: int, share: float) -> float:
    """Probability of no more than `hits` of `of`, each with this share."""
    if share <= 0 or share >= 1:
        return float(share <= 0 or hits == of)
    log_p, log_q = math.log(share), math.log1p(-share)
    return math.fsum(math.exp(_log_choices(of, k) + k * log_p + (of - k) * log_q) for k in range(hits + 1))


def _log_choices(of: int, k: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)


def _so_many(events: int, mean: float) -> float:
    """Probability of no more than `events` where `mean` are expected."""
    if mean <= 0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(events + 1))


def _root(rises: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses zero, from below, between `low` and `high`."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) > 0 else (middle, high)
    return (low + high) / 2

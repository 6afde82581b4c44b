"""Intervals against printed tables, and the honesty of small numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handguard.replay.interval import rate_95, share_95


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [  # closed forms: all or none of n give the n-th root of 0.025
        (0, 7, 0.0, 1 - 0.025 ** (1 / 7)),
        (7, 7, 0.025 ** (1 / 7), 1.0),
        (0, 1, 0.0, 0.975),
        (1, 10, 0.00252858, 0.44501612),
        (5, 10, 0.18708603, 0.81291397),
        (3, 1000, 0.00061913, 0.00874140),
    ],
)
def test_a_share_has_the_interval_of_clopper_and_pearson(hits, of, low, high) -> None:
    assert share_95(hits, of) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("events", "low", "high"),
    [(0, 0.0, -math.log(0.025)), (1, 0.0253178, 5.5716434), (10, 4.7953887, 18.3903560)],
)
def test_a_rate_has_the_interval_of_garwood(events, low, high) -> None:
    assert rate_95(events, 1.0) == pytest.approx((low, high), abs=1e-6)
    assert rate_95(events, 4.0) == pytest.approx((low / 4, high / 4), abs=1e-6)


def test_nothing_seen_rules_nothing_out() -> None:
    assert share_95(0, 0) == (0.0, 1.0)
    assert rate_95(0, 0.0) == (0.0, math.inf)


@pytest.mark.parametrize("wrong", [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="expected 0 to 3 hits"):
        share_95(*wrong)
    with pytest.raises(ValueError, match="expected counts from 0 on"):
        rate_95(-1, 1.0)


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(0, 40))
def test_the_interval_holds_the_share_and_more_tries_tell_more(hits: int, more: int) -> None:
    of = hits + more
    low, high = share_95(hits, of)
    assert low <= (hits / of if of else 0.5) <= high
    if of:
        wider = share_95(hits, of)
        narrower = share_95(hits * 4, of * 4)
        assert narrower[1] - narrower[0] < wider[1] - wider[0]

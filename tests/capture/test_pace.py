"""The measured period: never longer than the truth by more than jitter explains, whatever was not seen."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.capture.pace import WINDOW_NS, Pace

MS = 1_000_000


def measured(arrivals_ns, is_waited_for=lambda number: True):
    pace = Pace()
    for number, at_ns in enumerate(arrivals_ns):
        if is_waited_for(number):
            pace.came(at_ns, number)
    return pace.period_ns


def test_nothing_is_known_before_two_windows():
    pace = Pace()
    assert pace.period_ns is None
    pace.came(0, 0)
    pace.came(WINDOW_NS, 25)
    assert pace.period_ns is None
    pace.came(2 * WINDOW_NS - 1, 50)
    assert pace.period_ns is None
    pace.came(2 * WINDOW_NS, 50)
    assert pace.period_ns == 40 * MS


@given(st.integers(2, 200), st.integers(1, 5))
def test_packets_that_were_not_waited_for_are_counted_all_the_same(period_ms, every):
    arrivals = [number * period_ms * MS for number in range(3 * 1000 // period_ms * every + 3 * every)]
    assert measured(arrivals, lambda number: number % every == 0) == period_ms * MS


def test_a_network_that_stalls_once_makes_no_period_shorter():
    arrivals = [max(number * 33 * MS, 1500 * MS if 30 <= number <= 45 else 0) for number in range(300)]
    assert measured(arrivals, lambda number: not 30 < number <= 45) >= 32 * MS


def test_a_camera_that_becomes_faster_is_measured_anew_and_one_that_becomes_slower_is_not_believed():
    slow = [number * 66 * MS for number in range(100)]
    swift = [slow[-1] + number * 33 * MS for number in range(1, 200)]
    assert measured(slow) == 66 * MS
    assert measured(slow + swift) == 33 * MS
    assert measured(slow + swift + [swift[-1] + number * 66 * MS for number in range(1, 100)]) == 33 * MS


@pytest.mark.parametrize("seed", range(5))
def test_jitter_moves_it_by_little(seed):
    chance = random.Random(seed)
    arrivals = [number * 33 * MS + chance.randrange(15 * MS) for number in range(2000)]
    assert 32 * MS < measured(arrivals) < 33.5 * MS

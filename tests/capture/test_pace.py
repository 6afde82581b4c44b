"""The measured period: never longer than the truth by more than jitter explains, whatever was not seen."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.capture.pace import WINDOW_NS, Pace, Stamps

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


def read_for(seconds: float, fps: float, stamps: Stamps, busy_ms: float, calm_s: float = 0.0) -> tuple[float, float]:
    """A reader that is busy with each picture (after a calm time with hardly any work): how old the last
    pictures are by their stamps, and how old they are, in ms."""
    now_ns, number, stamped_ns = 0, 0, 0
    while now_ns < seconds * 1e9:
        number, asked_ns = number + 1, now_ns
        came_ns = round(number * 1e9 / fps)
        now_ns = max(now_ns + MS // 20, came_ns)
        stamped_ns = stamps.of(asked_ns, now_ns)
        now_ns += round(busy_ms * MS) if asked_ns >= calm_s * 1e9 else MS
    return (now_ns - stamped_ns) / MS, (now_ns - came_ns) / MS


@pytest.mark.parametrize("stated", [25, 30, 60])
@pytest.mark.parametrize("calm_s", [0, 4])
@pytest.mark.parametrize(("fps", "busy_ms"), [(30, 36), (29.97, 39), (60, 20), (25, 44)])
def test_a_reader_that_cannot_keep_up_sees_its_pictures_grow_old(fps, busy_ms, calm_s, stated):
    said_ms, true_ms = read_for(60, fps, Stamps(0, 0, stated), busy_ms, calm_s)
    assert true_ms > 1000
    assert said_ms > true_ms - 100


@pytest.mark.parametrize(("fps", "busy_ms"), [(30, 22), (30, 5), (60, 7), (15, 20), (10, 25)])
def test_a_reader_that_keeps_up_sees_fresh_pictures_whatever_is_stated(fps, busy_ms):
    for stated in (15, 25, 30):
        said_ms, true_ms = read_for(30, fps, Stamps(0, 0, stated), busy_ms)
        assert true_ms < 100
        assert said_ms < true_ms + 50


@pytest.mark.parametrize(("fps", "busy_ms"), [(30, 27), (25, 34), (60, 15)])
def test_a_reader_too_busy_to_measure_takes_the_rate_that_was_told(fps, busy_ms):
    unknown, told = Stamps(0, 0, 25), Stamps(0, 0, 25, fps)
    assert read_for(30, fps, unknown, busy_ms)[0] > 1000
    assert unknown.period_ns is None
    assert read_for(30, fps, told, busy_ms)[0] < 100


@given(st.lists(st.tuples(st.integers(0, 100 * MS), st.integers(0, 100 * MS)), min_size=1, max_size=50))
def test_stamps_rise_and_are_never_later_than_now(waits):
    stamps, now_ns, before_ns = Stamps(0, 0, 25), 0, 0
    for busy_ns, wait_ns in waits:
        asked_ns = now_ns + busy_ns
        now_ns = asked_ns + wait_ns + 1
        stamped_ns = stamps.of(asked_ns, now_ns)
        assert before_ns < stamped_ns <= now_ns
        before_ns = stamped_ns

"""The simulated operator: presses late enough, briefly, and only while it is asked to."""

from __future__ import annotations

import pytest

from handguard.relay.operator import HELD_NS, SimulatedOperator
from handguard.types import State

MS = 1_000_000


def pressed_ms(operator: SimulatedOperator, until_ms: int, state: State = State.AWAIT_RESET) -> list[int]:
    """When it is down, looking every 10 ms."""
    times = []
    for at_ms in range(0, until_ms, 10):
        operator.look(state, at_ms * MS)
        if operator.read().down:
            times.append(at_ms)
    return times


def test_it_presses_after_the_wait_and_lets_go_after_the_hold() -> None:
    times = pressed_ms(SimulatedOperator(after_free_s=1.5), 2500)
    assert times[0] == 1500
    assert times[-1] + 10 == 1500 + HELD_NS // MS
    assert len(times) == HELD_NS // MS // 10


def test_a_reset_that_was_not_taken_is_tried_again_after_the_same_wait() -> None:
    times = pressed_ms(SimulatedOperator(after_free_s=1.0), 2500)
    assert 1000 in times
    assert 1300 not in times
    assert 2300 in times


@pytest.mark.parametrize("state", [state for state in State if state is not State.AWAIT_RESET])
def test_it_never_presses_in_any_other_state(state: State) -> None:
    assert pressed_ms(SimulatedOperator(after_free_s=0.2), 5000, state) == []


def test_it_lets_go_at_once_when_a_hand_comes_back_and_waits_anew() -> None:
    operator = SimulatedOperator(after_free_s=1.0)
    pressed_ms(operator, 1110)
    assert operator.read().down
    operator.look(State.TRIPPED, 1110 * MS)
    assert not operator.read().down
    operator.look(State.AWAIT_RESET, 1200 * MS)
    operator.look(State.AWAIT_RESET, 2199 * MS)
    assert not operator.read().down
    operator.look(State.AWAIT_RESET, 2200 * MS)
    assert operator.read().down


def test_it_is_up_before_it_has_seen_anything() -> None:
    assert not SimulatedOperator(after_free_s=0.2).read().down

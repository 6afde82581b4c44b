"""When the keeper wakes, asks, reports and gives up: its numbers, and what each end of it is called."""

from __future__ import annotations

import pytest

from handguard.errors import ConfigError
from handguard.relay import keeper
from handguard.relay.board import Command
from handguard.relay.keeper import next_due_ns, step
from handguard.relay.keeper_state import (
    MS,
    Action,
    BoardFailed,
    BoardOpened,
    ContactRead,
    Input,
    KeeperLimits,
    KeeperState,
    PipeClosed,
    Terminated,
    Woke,
    Written,
)
from handguard.relay.wire import Fault

LIMITS = KeeperLimits()
NOW_NS = 10_000 * MS
OPEN = KeeperState(
    is_open=True,
    readback=True,
    told=Command.OFF,
    off_writes=3,
    off_due_ns=NOW_NS + 900 * MS,
    beat_due_ns=NOW_NS + 30 * MS,
    ask_due_ns=NOW_NS + 40 * MS,
    standing=Fault.NONE,
)
LOST = OPEN._replace(is_open=False, standing=Fault.RELAY_PORT, retry_ns=NOW_NS + 20 * MS)


def after(state: KeeperState, seen: Input, now_ns: int = NOW_NS) -> KeeperState:
    return step(state, seen, now_ns, LIMITS)[0]


def actions_at(state: KeeperState, now_ns: int) -> tuple[Action, ...]:
    return step(state, Woke(), now_ns, LIMITS)[1]


def test_the_numbers_themselves():
    """Whoever changes one changes it twice, and says why beside it."""
    assert (keeper.BEAT_NS, keeper.ASK_NS, keeper.ASK_RESTING_NS) == (50 * MS, 50 * MS, 1000 * MS)
    assert (keeper.OFF_SERIES, keeper.OFF_REMINDER_NS) == (3, 1000 * MS)
    assert (keeper.RETRY_FIRST_NS, keeper.RETRY_LONGEST_NS) == (20 * MS, 1000 * MS)
    assert (keeper.ASKS_BEFORE_SILENT, keeper.CLOSING_LIMIT_NS) == (3, 5000 * MS)


@pytest.mark.parametrize(("name", "longest_ms"), [("deadline", 1000), ("max_frame_age", 2000), ("feedback", 1000)])
def test_both_ends_of_a_limit_are_allowed_and_one_step_beyond_is_refused(name: str, longest_ms: int):
    assert MS == 10**6
    for good_ns in (10 * MS, longest_ms * MS):
        assert getattr(KeeperLimits(**{f"{name}_ns": good_ns}), f"{name}_ns") == good_ns
    for bad_ns in (10 * MS - 1, longest_ms * MS + 1):
        expected = rf"^relay\.{name}_ms: expected from 10 to {longest_ms} ms, found {bad_ns / MS:g}$"
        with pytest.raises(ConfigError, match=expected):
            KeeperLimits(**{f"{name}_ns": bad_ns})


def test_a_keeper_wakes_for_whatever_comes_first():
    assert next_due_ns(OPEN) == OPEN.beat_due_ns
    assert next_due_ns(OPEN._replace(beat_due_ns=NOW_NS + 901 * MS)) == OPEN.off_due_ns
    assert next_due_ns(LOST) == LOST.retry_ns
    assert next_due_ns(LOST._replace(retry_ns=NOW_NS + 31 * MS)) == LOST.beat_due_ns
    on = OPEN._replace(output=Command.ON, told=Command.ON, expires_ns=NOW_NS + 29 * MS)
    assert next_due_ns(on) == on.expires_ns + 1
    assert next_due_ns(on._replace(expires_ns=NOW_NS + 30 * MS)) == on.beat_due_ns


def test_a_quick_board_is_asked_when_it_is_time_and_then_not_before_the_next():
    assert Action.ASK not in actions_at(OPEN, OPEN.ask_due_ns - 1)
    assert Action.ASK in actions_at(OPEN, OPEN.ask_due_ns)
    asked = after(OPEN, Woke(), OPEN.ask_due_ns)
    assert asked.ask_due_ns == OPEN.ask_due_ns + 50 * MS
    assert asked.unanswered == 1


@pytest.mark.parametrize(
    ("unanswered", "at_ns", "is_silent"),
    [
        (3, OPEN.ask_due_ns, True),
        (3, OPEN.ask_due_ns - 1, False),
        (2, OPEN.ask_due_ns, False),
        (4, OPEN.ask_due_ns + 1, True),
    ],
)
def test_a_board_that_answered_once_is_silent_when_the_third_answer_is_overdue(
    unanswered: int, at_ns: int, is_silent: bool
):
    state = after(OPEN._replace(answered=True, unanswered=unanswered), Woke(), at_ns)
    assert (Fault.RELAY_SILENT in state.standing) is is_silent


def test_a_lost_port_is_not_also_called_silent():
    state = after(LOST._replace(answered=True, unanswered=3), Woke(), LOST.ask_due_ns)
    assert state.standing == Fault.RELAY_PORT


def test_questions_of_a_lost_port_are_not_held_against_the_next():
    opened = after(LOST._replace(answered=True, unanswered=2), BoardOpened(0, True))
    assert opened.unanswered == 0
    assert after(OPEN._replace(unanswered=2, answered=True), ContactRead(True)).unanswered == 0


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (PipeClosed(), Fault.PIPE_CLOSED),
        (Terminated(), Fault.TERMINATED),
        (BoardFailed(Fault.RELAY_WRITE), Fault.RELAY_WRITE | Fault.RELAY_PORT),
    ],
)
def test_each_end_is_held_under_its_own_name(end: Input, cause: Fault):
    assert after(OPEN, end).held == cause


def test_a_write_that_went_well_is_remembered_and_ends_the_waiting():
    written = after(OPEN._replace(standing=Fault.RELAY_PORT, retry_wait_ns=40 * MS), Written())
    assert (written.standing, written.retry_wait_ns, written.written_ns) == (Fault.NONE, 0, NOW_NS)


def test_a_lost_port_is_tried_at_once_and_then_ever_more_slowly():
    waits_ms, state = [], OPEN
    for _ in range(9):
        state = after(state._replace(is_open=True), BoardFailed(Fault.RELAY_PORT))
        waits_ms.append(state.retry_wait_ns // MS)
    assert waits_ms == [20, 40, 80, 160, 320, 640, 1000, 1000, 1000]
    waiting = LOST._replace(retry_wait_ns=40 * MS)
    assert after(waiting, BoardFailed(Fault.RELAY_PORT)).retry_ns == NOW_NS + 40 * MS

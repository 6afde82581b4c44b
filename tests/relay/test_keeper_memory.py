"""What the keeper remembers after each input, field by field; `test_keeper` shows what follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handguard.relay.board import Command
from handguard.relay.keeper import step
from handguard.relay.keeper_state import (
    MS,
    NEVER_NS,
    Action,
    BoardFailed,
    BoardOpened,
    ContactRead,
    Input,
    KeeperLimits,
    KeeperState,
    PermitRead,
    PermitUnreadable,
    PipeClosed,
    Terminated,
    Woke,
    Written,
    report_of,
)
from handguard.relay.wire import Fault, Trait, WirePermit, WireReport

OFF, ON = Command.OFF, Command.ON
LIMITS = KeeperLimits()
NOW_NS = 10_000 * MS
READY = KeeperState(
    armed=True,
    standing=Fault.NONE,
    permit_seq=5,
    frame_seq=50,
    captured_ns=NOW_NS - 40 * MS,
    is_open=True,
    told=OFF,
    off_writes=3,
    off_due_ns=NOW_NS + 900 * MS,
    beat_due_ns=NOW_NS + 30 * MS,
    ask_due_ns=NOW_NS + 40 * MS,
    contactor_open=True,
)
PERMIT = WirePermit(6, 51, NOW_NS - 10 * MS, NOW_NS - 1 * MS, ON)
RUNNING = READY._replace(output=ON, told=ON, expires_ns=NOW_NS + 50 * MS, contactor_open=False)


def after(state: KeeperState, seen: Input, now_ns: int = NOW_NS) -> KeeperState:
    return step(state, seen, now_ns, LIMITS)[0]


def permitted(state: KeeperState = READY, **fields: object) -> KeeperState:
    """The state after one ON permit, which is sound unless `fields` say otherwise."""
    return after(state, PermitRead(replace(PERMIT, **fields)))  # type: ignore[arg-type]


def test_at_power_up_nothing_is_known_and_nothing_is_allowed():
    assert KeeperState() == KeeperState(
        output=OFF, armed=False, held=Fault.NONE, standing=Fault.RELAY_PORT, permit_seq=-1, frame_seq=-1,
        captured_ns=-1, expires_ns=-1, changed_ns=0, closing_ns=None, is_open=False, told=None, written_ns=-1,
        spoke_ns=-NEVER_NS, told_on_ns=-NEVER_NS, min_interval_ns=0, renew_ns=None, readback=False, retry_ns=0,
        retry_wait_ns=0, off_writes=0, off_due_ns=0, contactor_open=None, reset_down=None, answered=False,
        unanswered=0,
        ask_due_ns=0, beat_due_ns=0,
    )  # fmt: skip


def test_never_is_longer_than_any_machine_is_up():
    assert NEVER_NS > 100 * 365 * 86_400 * 10**9
    assert -NEVER_NS >= -(2**63)  # and fits the wire


def test_faults_are_what_stands_and_what_is_held():
    state = KeeperState(held=Fault.PERMIT_LATE, standing=Fault.RELAY_SILENT)
    assert state.faults == Fault.PERMIT_LATE | Fault.RELAY_SILENT


def test_a_report_holds_what_the_state_holds():
    state = RUNNING._replace(written_ns=77, held=Fault.PERMIT_LATE, answered=True, reset_down=True)
    told = report_of(state, NOW_NS, Trait.REALTIME)
    traits = Trait.REALTIME | Trait.READBACK
    assert told == WireReport(5, ON, 77, NOW_NS, False, Fault.PERMIT_LATE, traits, True)
    silent = report_of(READY, NOW_NS, Trait.REALTIME)
    assert silent == WireReport(5, OFF, -1, NOW_NS, True, Fault.NONE, Trait.REALTIME)


@pytest.mark.parametrize(
    ("renew_ms", "rest_ms", "repeat_ms"), [(None, 0, 100), (None, 60, 100), (400, 0, 100), (400, 60, 60)]
)
def test_off_is_repeated_after_the_rest_of_a_board_that_is_renewed(
    renew_ms: int | None, rest_ms: int, repeat_ms: int
):
    renew_ns = None if renew_ms is None else renew_ms * MS
    assert KeeperState(renew_ns=renew_ns, min_interval_ns=rest_ms * MS).off_repeat_ns == repeat_ms * MS


# ON permits --------------------------------------------------------------------------------


def test_an_on_permit_is_remembered_with_its_frame_and_its_end():
    state = permitted()
    assert (state.output, state.permit_seq, state.frame_seq) == (ON, 6, 51)
    assert (state.captured_ns, state.expires_ns) == (PERMIT.captured_ns, PERMIT.judged_ns + LIMITS.deadline_ns)
    assert (state.changed_ns, state.contactor_open) == (NOW_NS, None)


def test_an_on_permit_that_does_nothing_still_uses_up_its_frame():
    state = permitted(READY._replace(armed=False))
    assert (state.output, state.frame_seq, state.captured_ns) == (OFF, 51, PERMIT.captured_ns)
    assert state.expires_ns == READY.expires_ns


def test_a_later_on_permit_does_not_date_the_output_anew():
    state = permitted(RUNNING._replace(changed_ns=123))
    assert (state.changed_ns, state.contactor_open) == (123, False)


def test_trouble_with_the_board_forbids_on_even_if_something_armed_it():
    assert permitted(READY._replace(standing=Fault.RELAY_DISOBEYS)).output is OFF


def test_a_permit_judged_at_this_very_nanosecond_is_sound():
    assert permitted(judged_ns=NOW_NS).output is ON
    assert permitted(judged_ns=NOW_NS, captured_ns=NOW_NS).output is ON


@pytest.mark.parametrize(
    "flaw",
    [
        {"seq": 5},
        {"judged_ns": NOW_NS + 1},
        {"judged_ns": PERMIT.captured_ns - 1},
        {"captured_ns": READY.captured_ns - 1},
        {"frame_seq": 50},
        {"frame_seq": -1},
    ],
)
def test_a_flawed_on_permit_drops_and_disarms(flaw: dict[str, int]):
    state = permitted(RUNNING, **flaw)
    assert (state.output, state.armed, state.held) == (OFF, False, Fault.PERMIT_BAD)
    assert (state.frame_seq, state.captured_ns) == (50, READY.captured_ns)


def test_a_permit_without_a_frame_is_bad_whatever_came_before():
    assert permitted(READY._replace(frame_seq=-3), frame_seq=-2).held == Fault.PERMIT_BAD


@pytest.mark.parametrize(
    ("late", "is_late"),
    [
        ({"judged_ns": NOW_NS - LIMITS.deadline_ns, "captured_ns": NOW_NS - LIMITS.deadline_ns}, False),
        ({"judged_ns": NOW_NS - LIMITS.deadline_ns - 1, "captured_ns": NOW_NS - LIMITS.deadline_ns - 1}, True),
        ({"captured_ns": NOW_NS - LIMITS.max_frame_age_ns}, False),
        ({"captured_ns": NOW_NS - LIMITS.max_frame_age_ns - 1}, True),
    ],
)
def test_a_permit_is_in_time_until_exactly_its_limits(late: dict[str, int], is_late: bool):
    state = permitted(READY._replace(captured_ns=0), **late)
    assert (state.output is OFF, state.held == Fault.PERMIT_LATE) == (is_late, is_late)
    assert state.permit_seq == 6


# OFF permits -------------------------------------------------------------------------------


def test_an_off_permit_arms_and_may_start_frame_numbers_anew_but_not_time():
    off = replace(PERMIT, command=OFF, frame_seq=3, captured_ns=READY.captured_ns - 5)
    state = after(RUNNING._replace(held=Fault.PERMIT_LATE, armed=False, unanswered=2), PermitRead(off))
    assert (state.output, state.armed, state.held) == (OFF, True, Fault.NONE)
    assert (state.frame_seq, state.captured_ns) == (3, READY.captured_ns)
    assert (state.changed_ns, state.contactor_open, state.unanswered) == (NOW_NS, None, 0)


def test_an_off_permit_does_not_arm_while_something_stands():
    state = after(READY._replace(standing=Fault.RELAY_SILENT), PermitRead(replace(PERMIT, command=OFF)))
    assert (state.armed, state.held) == (False, Fault.RELAY_SILENT)


def test_an_off_permit_while_off_changes_nothing_on_the_wire():
    state, actions = step(READY, PermitRead(replace(PERMIT, command=OFF)), NOW_NS, LIMITS)
    assert Action.WRITE_OFF not in actions
    assert (state.changed_ns, state.off_writes, state.contactor_open) == (0, 3, True)


# The board ---------------------------------------------------------------------------------


def test_a_lost_board_takes_all_that_was_known_of_its_contact_along():
    state = after(RUNNING, BoardFailed(Fault.RELAY_WRITE))
    assert (state.is_open, state.told, state.contactor_open) == (False, None, None)
    assert state.standing == Fault.RELAY_PORT
    assert state.held == Fault.RELAY_WRITE | Fault.RELAY_PORT
    assert after(READY, BoardFailed(Fault.RELAY_PORT)).contactor_open is None


def test_an_opened_board_brings_its_ways_along_and_hears_off():
    lost = READY._replace(is_open=False, told=None, off_writes=3, min_interval_ns=9, renew_ns=9, unanswered=2)
    state, actions = step(lost, BoardOpened(min_interval_ns=60 * MS, readback=True), NOW_NS, LIMITS)
    assert (state.is_open, state.min_interval_ns, state.readback, state.renew_ns) == (True, 60 * MS, True, None)
    assert actions[0] is Action.WRITE_OFF
    assert (state.told, state.off_writes, state.off_due_ns, state.spoke_ns) == (OFF, 1, NOW_NS + 100 * MS, NOW_NS)


def test_time_alone_changes_nothing_before_something_is_due():
    assert step(READY, Woke(), NOW_NS, LIMITS) == (READY, ())


# The contact -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "is_heard"),
    [
        (READY, True),
        (RUNNING, True),
        (READY._replace(min_interval_ns=1), True),
        (RUNNING._replace(min_interval_ns=1), False),
    ],
    ids=["off", "on", "resting-off", "resting-on"],
)
def test_only_while_on_a_board_that_rests_is_not_believed_about_its_contact(state: KeeperState, is_heard: bool):
    fresh = state._replace(contactor_open=None, unanswered=2, standing=Fault.NONE)
    heard = after(fresh, ContactRead(state.output is OFF))
    assert (heard.contactor_open is not None, heard.answered, heard.unanswered == 0) == (is_heard,) * 3


def test_a_contact_may_take_exactly_its_time_to_follow():
    limit_ns = LIMITS.feedback_ns
    assert after(READY._replace(changed_ns=NOW_NS - limit_ns), ContactRead(False)).faults == Fault.NONE
    late = after(READY._replace(changed_ns=NOW_NS - limit_ns - 1), ContactRead(False))
    assert (late.standing, late.held, late.armed) == (Fault.RELAY_DISOBEYS, Fault.RELAY_DISOBEYS, False)
    assert late.contactor_open is False


def test_an_obedient_answer_ends_both_complaints_about_the_board():
    state = after(READY._replace(standing=Fault.RELAY_DISOBEYS | Fault.RELAY_SILENT), ContactRead(True))
    assert state.standing == Fault.NONE


def test_a_disobedient_answer_ends_the_silence_only():
    state = after(READY._replace(standing=Fault.RELAY_DISOBEYS | Fault.RELAY_SILENT), ContactRead(False))
    assert state.standing == Fault.RELAY_DISOBEYS


def test_a_contact_that_closes_again_by_itself_disobeys_at_once():
    state = after(READY._replace(changed_ns=NOW_NS - 1000 * MS), ContactRead(False))
    assert (state.standing, state.armed) == (Fault.RELAY_DISOBEYS, False)


def test_one_wrong_answer_of_a_bouncing_contact_is_held_after_it_settled():
    bounced = after(RUNNING._replace(changed_ns=NOW_NS - 1000 * MS), ContactRead(True))
    settled = after(bounced, ContactRead(True))
    assert (settled.output, settled.standing, settled.held) == (OFF, Fault.NONE, Fault.RELAY_DISOBEYS)
    assert permitted(settled).output is OFF


# The button --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [READY, RUNNING, RUNNING._replace(min_interval_ns=1)], ids=["off", "on", "resting"])
@pytest.mark.parametrize("is_down", [True, False])
def test_a_button_at_the_board_is_passed_on_and_changes_nothing_else(state: KeeperState, is_down: bool):
    heard, actions = step(state, ContactRead(None, is_down), NOW_NS, LIMITS)
    assert heard == state._replace(reset_down=is_down)
    assert actions == (Action.REPORT,)
    assert step(heard, ContactRead(None, None), NOW_NS, LIMITS) == (heard, ())


def test_a_lost_board_takes_its_button_along():
    assert after(READY._replace(reset_down=True), BoardFailed(Fault.RELAY_PORT)).reset_down is None


# The end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [PipeClosed(), Terminated()])
def test_the_first_end_counts_and_off_is_said_once_more(end: Input):
    state, actions = step(READY, end, NOW_NS, LIMITS)
    assert (state.closing_ns, state.armed, state.off_writes) == (NOW_NS, False, 1)
    assert actions[0] is Action.WRITE_OFF
    again = after(state, Terminated(), NOW_NS + 5)
    assert (again.closing_ns, again.held) == (NOW_NS, state.held)


def test_a_closing_keeper_hears_no_permit():
    closing = READY._replace(closing_ns=NOW_NS)
    assert permitted(closing) == closing


@pytest.mark.parametrize(
    ("off_writes", "closing_ns", "leaves"),
    [
        (2, NOW_NS - 5000 * MS + 1, False),
        (2, NOW_NS - 5000 * MS, True),
        (3, NOW_NS, True),
        (9, None, False),
    ],
)
def test_a_keeper_leaves_after_its_last_off_or_after_five_seconds(
    off_writes: int, closing_ns: int | None, leaves: bool
):
    state = READY._replace(off_writes=off_writes, closing_ns=closing_ns)
    assert (Action.EXIT in step(state, Woke(), NOW_NS, LIMITS)[1]) is leaves


# What is said ------------------------------------------------------------------------------


def said_at(state: KeeperState, now_ns: int = NOW_NS) -> tuple[Action, ...]:
    return step(state, Woke(), now_ns, LIMITS)[1]


def test_off_is_said_when_it_is_due_and_not_before():
    assert Action.WRITE_OFF not in said_at(READY, READY.off_due_ns - 1)
    assert Action.WRITE_OFF in said_at(READY, READY.off_due_ns)


@pytest.mark.parametrize(("writes", "pause_ms"), [(0, 100), (1, 100), (2, 1000), (3, 1000)])
def test_two_repeats_follow_quickly_and_reminders_slowly(writes: int, pause_ms: int):
    state = after(READY._replace(off_writes=writes, off_due_ns=NOW_NS), Woke())
    assert (state.off_writes, state.off_due_ns) == (writes + 1, NOW_NS + pause_ms * MS)
    assert (state.told, state.spoke_ns) == (OFF, NOW_NS)


def test_on_is_said_once_and_its_time_is_kept():
    state, actions = step(RUNNING._replace(told=OFF), Woke(), NOW_NS, LIMITS)
    assert actions[0] is Action.WRITE_ON
    assert (state.told, state.spoke_ns, state.told_on_ns) == (ON, NOW_NS, NOW_NS)
    assert said_at(RUNNING) == ()


def test_a_lost_port_is_opened_when_it_is_time_and_only_once_until_answered():
    lost = READY._replace(is_open=False, standing=Fault.RELAY_PORT, retry_ns=NOW_NS)
    assert Action.OPEN not in said_at(lost, NOW_NS - 1)
    assert Action.OPEN in said_at(lost)
    assert after(lost, Woke()).retry_ns == NEVER_NS


ASKABLE = READY._replace(readback=True, ask_due_ns=NOW_NS)


@pytest.mark.parametrize(
    ("state", "is_asked"),
    [
        (ASKABLE, True),
        (ASKABLE._replace(readback=False), False),
        (ASKABLE._replace(ask_due_ns=NOW_NS + 1), False),
        (ASKABLE._replace(off_writes=2), False),
        (ASKABLE._replace(unanswered=3), False),
        (ASKABLE._replace(unanswered=2), True),
        (ASKABLE._replace(unanswered=3, answered=True), True),  # so that it can make good
        (ASKABLE._replace(min_interval_ns=5 * MS, spoke_ns=NOW_NS - 5 * MS), True),
        (ASKABLE._replace(min_interval_ns=5 * MS, spoke_ns=NOW_NS - 5 * MS + 1), False),
        (ASKABLE._replace(min_interval_ns=5 * MS, off_due_ns=NOW_NS + 5 * MS), True),
        (ASKABLE._replace(min_interval_ns=5 * MS, off_due_ns=NOW_NS + 5 * MS - 1), False),
        (RUNNING._replace(readback=True, ask_due_ns=NOW_NS), True),
        (RUNNING._replace(readback=True, ask_due_ns=NOW_NS, min_interval_ns=5 * MS), False),
    ],
)
def test_a_board_is_asked_only_when_no_word_has_to_wait_for_it(state: KeeperState, is_asked: bool):
    asked, actions = step(state, Woke(), NOW_NS, LIMITS)
    assert (Action.ASK in actions) is is_asked
    if is_asked:
        assert actions[:2] == (Action.LOOK, Action.ASK)  # the answer before is heard first
        pause_ns = 1000 * MS if state.min_interval_ns else 50 * MS
        assert (asked.spoke_ns, asked.ask_due_ns) == (NOW_NS, NOW_NS + pause_ns)
        assert asked.unanswered == state.unanswered + 1


def test_a_beat_looks_reports_and_sets_the_next():
    assert said_at(READY, READY.beat_due_ns - 1) == ()
    state, actions = step(READY, Woke(), READY.beat_due_ns, LIMITS)
    assert actions == (Action.LOOK, Action.REPORT)
    assert state.beat_due_ns == READY.beat_due_ns + 50 * MS
    lost = READY._replace(is_open=False, standing=Fault.RELAY_PORT, retry_ns=NEVER_NS)
    assert said_at(lost, READY.beat_due_ns) == (Action.REPORT,)


@pytest.mark.parametrize("seen", [ContactRead(False), Written(), PermitUnreadable()])
def test_news_is_reported_at_once(seen: Input):
    assert Action.REPORT in step(READY, seen, NOW_NS, LIMITS)[1]


def test_each_kind_of_news_is_news():
    off = PermitRead(replace(PERMIT, command=OFF))
    assert step(READY, off, NOW_NS, LIMITS)[1] == (Action.REPORT,)  # its number
    assert step(RUNNING, off, NOW_NS, LIMITS)[1] == (Action.WRITE_OFF, Action.REPORT)
    late = RUNNING._replace(expires_ns=NOW_NS - 1)
    assert said_at(late) == (Action.WRITE_OFF, Action.REPORT)


def test_a_failed_board_is_closed_before_anything_else():
    actions = step(RUNNING, BoardFailed(Fault.RELAY_WRITE), NOW_NS, LIMITS)[1]
    assert actions == (Action.CLOSE, Action.OPEN, Action.REPORT)


@pytest.mark.parametrize(("since_ms", "is_told_again"), [(400, True), (399.999, False)])
def test_a_board_with_a_time_limit_is_told_on_again_by_a_new_permit(since_ms: float, is_told_again: bool):
    renewed = RUNNING._replace(renew_ns=400 * MS, told_on_ns=NOW_NS - round(since_ms * MS))
    assert (Action.WRITE_ON in step(renewed, PermitRead(PERMIT), NOW_NS, LIMITS)[1]) is is_told_again
    assert Action.WRITE_ON not in said_at(renewed)


def test_a_resting_board_is_switched_on_by_a_later_permit():
    resting = READY._replace(min_interval_ns=5 * MS, spoke_ns=NOW_NS - 5 * MS + 1)
    waiting = permitted(resting)
    assert (waiting.output, waiting.expires_ns) == (OFF, PERMIT.judged_ns + LIMITS.deadline_ns)
    assert permitted(resting._replace(spoke_ns=NOW_NS - 5 * MS)).output is ON

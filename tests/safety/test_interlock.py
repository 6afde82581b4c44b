"""The interlock, rule by rule. Sequences of every kind are in `test_interlock_sequences`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from handguard.safety.interlock import (
    TRANSITIONS,
    Limits,
    Memory,
    Observation,
    Restart,
    begun,
    output_of,
    step,
)
from handguard.types import Condition, Output, State
from tests.safety.bench import AUTOMATIC, LIMITS, MS, Bench

UNSAFE: dict[str, dict[str, Any]] = {
    "hand": {"intruded": True},
    "no-frame": {"frame": False},
    "stale": {"age_ms": 101},
    "future": {"age_ms": -1},
    "dark": {"impairments": {"dark"}},
    "port-gone": {"impairments": {"relay port"}},
    "gap": {"after_ms": 101},
    "no-button": {"reset": None},
}
unsafe_kinds = pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE.keys())


def seen(now_ns: int, **changes: Any) -> Observation:
    """A free tick with a fresh frame and an open contact."""
    plain: dict[str, Any] = {
        "sensed_ns": now_ns,
        "captured_ns": now_ns,
        "intruded": False,
        "reset_down": False,
        "contactor_open": True,
    }
    return Observation(now_ns, **(plain | changes))


# The table ---------------------------------------------------------------------------------


def test_table_is_total():
    assert set(TRANSITIONS) == set(State)
    assert all(set(row) == set(Condition) for row in TRANSITIONS.values())


def test_only_run_energises():
    assert [state for state in State if output_of(state) is Output.ON] == [State.RUN]


def test_run_is_entered_only_by_reset_from_await_reset():
    ways = {(s, c) for s, row in TRANSITIONS.items() for c, to in row.items() if to is State.RUN is not s}
    assert ways == {(State.AWAIT_RESET, Condition.RESET)}


def test_lockout_has_no_way_out():
    assert set(TRANSITIONS[State.LOCKOUT].values()) == {State.LOCKOUT}


def test_self_test_ends_only_when_something_was_seen():
    ends = {condition for condition, to in TRANSITIONS[State.SELF_TEST].items() if to is not State.SELF_TEST}
    assert ends == set(Condition) - {Condition.BLIND}


def test_a_hand_during_the_self_test_is_a_trip():
    assert Bench().tick(intruded=True).state is State.TRIPPED


def test_a_reset_that_comes_too_early_leads_no_further_than_waiting():
    """Not reachable: no press counts before the field is free. The table is right all the same."""
    for state in (State.SELF_TEST, State.TRIPPED):
        assert TRANSITIONS[state][Condition.RESET] is State.AWAIT_RESET


def test_memory_at_power_up_is_off_unproven_and_counts_a_held_button_as_down():
    assert Memory() == Memory(State.SELF_TEST, 0, None, 0, -(1 << 62), None, False, "starting")
    assert output_of(Memory().state) is Output.OFF


# One unsafe tick trips ---------------------------------------------------------------------


@unsafe_kinds
def test_one_unsafe_tick_trips(unsafe: dict[str, Any]):
    assert Bench().running().tick(**unsafe).state is State.TRIPPED


@pytest.mark.parametrize(
    ("unsafe", "cause"),
    [
        ({"intruded": True}, "intruded"),
        ({"frame": False}, "blind: no frame"),
        ({"age_ms": 101}, "blind: stale frame"),
        ({"age_ms": -1}, "blind: frame from the future"),
        ({"after_ms": 101}, "blind: gap between frames"),
        ({"age_ms": 44}, "blind: frame out of order"),
        ({"impairments": {"frozen", "dark"}}, "blind: dark, frozen"),
        ({"reset": None}, "blind: reset button unreadable"),
        ({"faults": {"weld", "self-test"}}, "fault: self-test, weld"),
    ],
)
def test_the_cause_says_why_the_output_left_on(unsafe: dict[str, Any], cause: str):
    assert Bench().running().tick(**unsafe).cause == cause


def test_a_frame_at_exactly_the_age_limit_is_still_fresh():
    bench = Bench().running()
    captured_ns = bench.memory.judged_ns
    assert captured_ns is not None
    free = seen(captured_ns + 100 * MS, captured_ns=captured_ns, contactor_open=False)
    assert step(bench.memory, free, LIMITS).state is State.RUN
    late = seen(captured_ns + 100 * MS + 1, captured_ns=captured_ns, contactor_open=False)
    assert step(bench.memory, late, LIMITS).state is State.TRIPPED


def test_a_frame_captured_this_instant_is_fresh():
    assert Bench().running().tick(age_ms=0).state is State.RUN


def test_two_frames_at_exactly_the_age_limit_apart_are_one_view():
    assert Bench().running().tick(after_ms=100).state is State.RUN
    assert Bench().running().tick(after_ms=100 + 1 / MS).state is State.TRIPPED


def test_a_silence_is_noticed_even_if_nobody_ticked_while_it_lasted():
    """A monitor that hung for a second wakes up with a fresh, free picture."""
    assert Bench().running().tick(after_ms=1000, age_ms=0).cause == "blind: gap between frames"


def test_the_first_frame_has_no_gap_before_it_however_long_the_machine_has_been_up():
    bench = Bench()
    bench.now_ns = 86_400_000 * MS
    assert bench.tick().memory.free_streak == 1


def test_an_older_frame_does_not_make_the_newer_one_new_again():
    bench = Bench().tick()
    newest_ns = bench.memory.judged_ns
    assert bench.tick(after_ms=1, age_ms=30).memory.judged_ns == newest_ns
    assert bench.memory.free_streak == 0


def test_a_frame_number_zero_of_a_recording_counts_like_any_other():
    assert step(Memory(), seen(0), LIMITS).free_streak == 1


def test_fault_beats_everything_in_every_state():
    hopeless = seen(
        10, intruded=True, reset_down=True, impairments=frozenset({"dark"}), faults=frozenset({"self-test"})
    )
    for state in State:
        assert step(Memory(state=state), hopeless, LIMITS).state is State.LOCKOUT


def test_blindness_beats_a_hand():
    assert Bench().running().tick(intruded=True, age_ms=101).cause == "blind: stale frame"


def test_a_fault_ends_the_free_streak():
    assert Bench().running().tick(faults={"weld"}).memory.free_streak == 0


def test_lockout_keeps_its_first_cause():
    bench = Bench().running().tick(faults={"weld"}).tick(faults={"other"}).tick(intruded=True).tick(5)
    assert (bench.state, bench.cause) == (State.LOCKOUT, "fault: weld")


def test_lockout_is_not_reset():
    assert Bench().running().tick(faults={"weld"}).tick(5).reset().state is State.LOCKOUT


def test_a_run_begins_with_nothing_proven_or_with_the_lockout_of_an_earlier_one():
    assert begun(None) == Memory()
    locked = begun("fault: contactor")
    assert (locked.state, locked.cause) == (State.LOCKOUT, "fault: contactor")
    bench = Bench(memory=locked).tick(5).reset()
    assert (bench.state, bench.cause) == (State.LOCKOUT, "fault: contactor")


# Free long enough --------------------------------------------------------------------------


def test_a_hand_leaves_and_only_the_free_streak_allows_a_reset():
    bench = Bench().running().tick(4, intruded=True)
    assert bench.tick(2).state is State.TRIPPED
    assert bench.cause == "blind: settling"
    assert bench.tick().state is State.AWAIT_RESET
    assert bench.cause == "free"
    assert bench.reset().state is State.RUN
    assert bench.cause == "reset"


@unsafe_kinds
def test_an_interruption_starts_the_free_streak_again(unsafe: dict[str, Any]):
    bench = Bench().running().tick(intruded=True).tick(2).tick(**unsafe)
    assert bench.memory.free_streak == 0


def test_the_streak_that_starts_again_is_as_long_as_the_first():
    bench = Bench().running().tick(intruded=True).tick(2).tick(intruded=True)
    assert bench.tick(2).state is State.TRIPPED
    assert bench.tick().state is State.AWAIT_RESET


def test_a_free_streak_that_never_ends_does_not_grow():
    assert Bench().running().tick(50).memory.free_streak == 3


def test_the_same_frame_is_not_counted_twice():
    bench = Bench().running().tick(intruded=True)
    frame_ns = bench.now_ns
    for later_ns in (1 * MS, 2 * MS, 3 * MS):
        bench.see(seen(frame_ns + later_ns, captured_ns=frame_ns))
    assert bench.memory.free_streak == 1


def test_running_goes_on_between_two_frames():
    bench = Bench().running()
    frame_ns = bench.memory.judged_ns
    assert bench.see(seen(bench.now_ns + 1, captured_ns=frame_ns, contactor_open=False)).state is State.RUN
    assert bench.cause == "free"


@unsafe_kinds
def test_waiting_for_reset_ends_when_the_field_is_no_longer_free(unsafe: dict[str, Any]):
    bench = Bench().waiting().tick(**unsafe)
    assert bench.state is State.TRIPPED
    assert bench.tick().state is State.TRIPPED


# Reset is a press and a release ------------------------------------------------------------


def test_reset_takes_effect_at_the_release_and_not_before():
    bench = Bench().waiting().tick(4, reset=True)
    assert bench.state is State.AWAIT_RESET
    assert bench.tick().state is State.RUN


@pytest.mark.parametrize(
    ("held_ms", "state"),
    [(99.999, State.AWAIT_RESET), (100, State.RUN), (3000, State.RUN), (3000.001, State.AWAIT_RESET)],
)
def test_a_press_counts_from_its_shortest_to_its_longest(held_ms: float, state: State):
    bench = Bench().waiting().tick(after_ms=50, reset=True)
    whole, rest_ms = divmod(held_ms, 50)
    bench.tick(int(whole), after_ms=50, reset=True)
    assert bench.tick(after_ms=rest_ms, age_ms=0).state is state


def test_a_press_is_timed_by_when_the_button_was_read_and_not_by_when_the_frame_was_judged():
    bench = Bench().waiting()
    start_ns = bench.now_ns
    bench.see(seen(start_ns + 40 * MS, sensed_ns=start_ns, reset_down=True))
    judged_ns = start_ns + 139 * MS
    assert bench.see(seen(judged_ns, sensed_ns=start_ns + 100 * MS)).state is State.RUN


def test_a_button_held_at_power_up_is_not_a_press():
    assert State.RUN not in Bench().tick(20, reset=True).tick(5).states


def test_a_button_taped_down_does_not_restart():
    bench = Bench().running().tick(intruded=True, reset=True).tick(20, reset=True).tick(5)
    assert bench.state is State.AWAIT_RESET


def test_a_press_that_began_before_the_field_was_free_long_enough_is_not_a_reset():
    bench = Bench().running().tick(intruded=True).tick(5, reset=True).tick()
    assert bench.state is State.AWAIT_RESET
    assert bench.memory.pressed_at_ns is None


def test_a_press_at_the_frame_that_makes_the_field_free_counts():
    bench = Bench().running().tick(intruded=True).tick(2).tick(4, reset=True)
    assert bench.tick().state is State.RUN


@unsafe_kinds
def test_a_press_through_an_interruption_is_not_a_reset(unsafe: dict[str, Any]):
    bench = Bench().waiting().tick(4, reset=True).tick(**{"reset": True, **unsafe}).tick(5, reset=True)
    assert bench.tick(3).state is State.AWAIT_RESET


@unsafe_kinds
def test_a_release_while_unsafe_is_not_a_reset(unsafe: dict[str, Any]):
    bench = Bench().waiting().tick(4, reset=True).tick(**unsafe)
    assert bench.state is State.TRIPPED
    assert State.RUN not in bench.tick(10).states


def test_a_button_that_could_not_be_read_in_between_was_never_pressed():
    bench = Bench().waiting().tick(2, reset=True).tick(reset=None).tick(5, reset=True).tick()
    assert bench.state is State.AWAIT_RESET
    assert bench.reset().state is State.RUN


def test_a_button_that_cannot_be_read_may_be_down_for_all_that_is_known():
    assert Bench().tick(reset=None).memory.down_since_ns == -(1 << 62)


# Stamped edges -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held_ms", "state"),
    [(99.999, State.AWAIT_RESET), (100, State.RUN), (3000, State.RUN), (3000.1, State.AWAIT_RESET)],
)
def test_a_stamped_press_is_timed_by_its_edges_and_not_by_the_ticks_that_saw_them(held_ms: float, state: State):
    patient = Limits(max_frame_age_ns=9000 * MS, edm_timeout_ns=50 * MS, free_frames=3)
    bench = Bench(patient).waiting().tick(reset=True, turned_ms_ago=20)
    pressed_ns = bench.now_ns - 20 * MS
    bench.now_ns += round(held_ms * MS)  # the release lies 20 ms before the tick that sees it
    assert bench.tick(after_ms=0, turned_ms_ago=20).state is state
    assert bench.now_ns - 20 * MS - pressed_ns == round(held_ms * MS)


def test_two_short_presses_between_ticks_are_not_one_long_one():
    """The level is down at every tick, and only the stamps tell that it came up in between."""
    bench = Bench().waiting().tick(2, reset=True, turned_ms_ago=5)
    bench.tick(after_ms=66, reset=True, turned_ms_ago=5).tick(turned_ms_ago=5)
    assert bench.state is State.AWAIT_RESET


def test_the_same_stamp_again_is_the_same_press():
    bench = Bench().waiting().tick(reset=True, turned_ms_ago=5)
    pressed_ns = bench.now_ns - 5 * MS
    for later_ms in (33, 66, 99):
        bench.tick(reset=True, turned_ms_ago=5 + later_ms)
        assert (bench.memory.pressed_at_ns, bench.memory.down_since_ns) == (pressed_ns, pressed_ns)
    assert bench.tick(turned_ms_ago=0).state is State.RUN


def test_a_stamp_at_time_zero_is_a_stamp():
    assert step(Memory(down_since_ns=None), seen(5, reset_down=True, reset_since_ns=0), LIMITS).down_since_ns == 0


# A stuck button ----------------------------------------------------------------------------


def test_a_button_is_stuck_once_it_is_held_longer_than_any_press():
    memory = Memory(State.AWAIT_RESET, 0, 7, 3, down_since_ns=7, pressed_at_ns=7)
    longest = step(memory, seen(7 + 3000 * MS, reset_down=True), LIMITS)
    assert not longest.reset_is_stuck
    assert step(memory, seen(8 + 3000 * MS, reset_down=True), LIMITS).reset_is_stuck


def test_a_stuck_button_is_said_in_words_while_the_field_is_free():
    bench = Bench().waiting().tick(91, reset=True)
    assert (bench.cause, bench.memory.reset_is_stuck) == ("free", False)
    bench.tick(reset=True)
    assert (bench.cause, bench.memory.reset_is_stuck) == ("free: reset button stuck", True)
    assert bench.tick(intruded=True, reset=True).cause == "intruded"
    assert bench.memory.reset_is_stuck


def test_a_button_held_at_power_up_is_stuck_at_once_and_until_it_is_let_go():
    bench = Bench().tick(reset=True)
    assert bench.memory.reset_is_stuck
    assert bench.tick(10, reset=True).memory.reset_is_stuck
    assert not bench.tick().memory.reset_is_stuck
    assert bench.reset().state is State.RUN


def test_a_stuck_button_is_refused_until_it_is_let_go_and_operated_properly():
    bench = Bench().waiting().tick(95, reset=True).tick()
    assert (bench.state, bench.memory.reset_is_stuck) == (State.AWAIT_RESET, False)
    assert bench.reset().state is State.RUN


def test_a_stuck_button_does_not_stop_a_machine_that_runs():
    bench = Bench().running().tick(95, reset=True)
    assert (bench.state, bench.cause) == (State.RUN, "free: reset button stuck")


def test_a_button_that_cannot_be_read_is_not_called_stuck():
    assert not Bench().tick(200, reset=None).memory.reset_is_stuck


def test_a_stamped_button_is_stuck_from_its_edge_on():
    bench = Bench().waiting().tick(reset=True, turned_ms_ago=3000)
    assert not bench.memory.reset_is_stuck
    assert bench.tick(reset=True, turned_ms_ago=3000.001).memory.reset_is_stuck


def test_a_press_in_run_changes_nothing_and_is_used_up():
    bench = Bench().running().reset()
    assert bench.state is State.RUN
    assert bench.tick(intruded=True).tick(10).state is State.AWAIT_RESET


def test_a_press_that_outlives_a_trip_is_forgotten():
    bench = Bench().running().tick(reset=True).tick(intruded=True, reset=True).tick(3)
    assert bench.state is State.AWAIT_RESET


def test_bounce_before_a_press_does_not_spoil_it():
    bench = Bench().waiting().tick(after_ms=5, reset=True).tick(after_ms=5).reset()
    assert bench.state is State.RUN


def test_one_press_resets_once():
    bench = Bench().running().tick(intruded=True).tick(10)
    assert bench.state is State.AWAIT_RESET


# Automatic restart -------------------------------------------------------------------------


def test_automatic_restart_waits_for_the_free_streak():
    bench = Bench(AUTOMATIC).tick(3)
    assert bench.state is State.AWAIT_RESET
    assert bench.tick().state is State.RUN
    assert bench.cause == "automatic restart"
    assert bench.tick().cause == "free"


def test_automatic_restart_trips_and_locks_out_like_any_other():
    bench = Bench(AUTOMATIC).tick(4).tick(intruded=True)
    assert bench.state is State.TRIPPED
    assert bench.tick(3).state is State.AWAIT_RESET
    assert bench.tick().state is State.RUN
    assert bench.tick(faults={"weld"}).tick(10).state is State.LOCKOUT


def test_restart_is_manual_unless_asked_for():
    assert LIMITS.restart is Restart.MANUAL
    assert (Restart("manual"), Restart("automatic")) == (Restart.MANUAL, Restart.AUTOMATIC)


# The contactor -----------------------------------------------------------------------------


def test_a_welded_contactor_locks_out():
    bench = Bench().running().tick(intruded=True, contactor="closed")
    assert bench.state is State.TRIPPED
    assert bench.tick(contactor="closed").state is State.TRIPPED
    assert bench.tick(contactor="closed").state is State.LOCKOUT
    assert bench.cause == "fault: contactor"


def test_a_contactor_fault_stands_beside_the_others():
    bench = Bench().running().tick(3, contactor="open", faults={"a"})
    assert bench.cause == "fault: a"
    bench = Bench().running().tick(1, after_ms=60, contactor="open", faults={"weld"})
    assert bench.cause == "fault: weld, contactor"


def test_a_contactor_that_will_not_pull_in_locks_out():
    assert Bench().running().tick(contactor="open").state is State.RUN
    assert Bench().running().tick(2, contactor="open").state is State.LOCKOUT


def test_edm_timeout_counts_from_the_command_to_the_reading_of_the_contact():
    commanded_ns = 7 * MS
    memory = Memory(state=State.TRIPPED, commanded_at_ns=commanded_ns)

    def state_after(elapsed_ns: int) -> State:
        now_ns = commanded_ns + elapsed_ns + 80 * MS  # judged long after the contact was read
        return step(memory, seen(now_ns, sensed_ns=commanded_ns + elapsed_ns, contactor_open=False), LIMITS).state

    assert state_after(50 * MS) is State.TRIPPED
    assert state_after(50 * MS + 1) is State.LOCKOUT


def test_the_command_is_timed_at_each_change_of_the_output_and_only_there():
    bench = Bench().waiting().reset()
    on_ns = bench.now_ns
    assert bench.tick(5).memory.commanded_at_ns == on_ns
    off_ns = bench.tick(intruded=True).now_ns
    assert bench.tick(2, intruded=True).memory.commanded_at_ns == off_ns


def test_without_feedback_the_contactor_is_not_judged():
    bench = Bench().tick(10, contactor="silent")
    assert bench.state is State.AWAIT_RESET
    bench.tick(4, reset=True, contactor="silent").tick(contactor="silent")
    assert bench.tick(20, contactor="silent").state is State.RUN


def test_a_welded_contactor_cannot_be_outrun_by_a_quick_reset():
    """With a long EDM timeout a reset might come first; the restart waits for the contact."""
    patient = Limits(max_frame_age_ns=100 * MS, edm_timeout_ns=500 * MS, free_frames=3)
    bench = Bench(patient).running().tick(intruded=True)
    bench.tick(3, contactor="closed").tick(4, reset=True, contactor="closed").tick(contactor="closed")
    assert (bench.state, bench.cause) == (State.TRIPPED, "blind: contact still closed")
    assert bench.tick(10, contactor="closed").state is State.LOCKOUT


def test_a_contact_that_closes_by_itself_while_waiting_ends_the_wait():
    bench = Bench().waiting()
    bench.memory = Memory(State.AWAIT_RESET, bench.now_ns, bench.memory.judged_ns, 3)
    assert bench.tick(contactor="closed").state is State.TRIPPED


def test_a_contact_dropped_by_what_impairs_us_trips_and_does_not_lock_out():
    """The keeper drops the relay by itself when permits come late; its report says both at once."""
    bench = Bench().running().tick(5).tick(contactor="open", impairments={"permit late"})
    assert (bench.state, bench.cause) == (State.TRIPPED, "blind: permit late")
    assert bench.tick(3).reset().state is State.RUN


def test_an_impairment_does_not_excuse_a_welded_contactor():
    bench = Bench().running().tick(5, contactor="closed", impairments={"permit late"})
    assert bench.state is State.LOCKOUT


# Limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_frame_age_ns", "edm_timeout_ns", "free_frames", "reset_shortest_ns"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_limit_that_would_switch_its_rule_off_is_refused(name: str, value: float):
    numbers: dict[str, Any] = {"max_frame_age_ns": 100, "edm_timeout_ns": 50, "free_frames": 3}
    with pytest.raises(ValueError, match=rf"^{name}: expected a finite number of at least 1, found {value}$"):
        Limits(**(numbers | {name: value}))


@pytest.mark.parametrize("longest", [99_999_999, math.nan, math.inf])
def test_a_longest_press_that_is_none_is_refused(longest: float):
    expected = f"^reset_longest_ns: expected at least reset_shortest_ns 100000000, found {longest}$"
    with pytest.raises(ValueError, match=expected):
        Limits(100, 50, 3, reset_longest_ns=longest)  # type: ignore[arg-type]


def test_the_smallest_limits_are_allowed():
    limits = Limits(1, 1, 1, reset_shortest_ns=1, reset_longest_ns=1)
    assert step(Memory(), seen(5), limits).state is State.AWAIT_RESET


def test_a_press_lasts_a_tenth_of_a_second_to_three_seconds_unless_told_otherwise():
    assert (LIMITS.reset_shortest_ns, LIMITS.reset_longest_ns) == (100 * MS, 3000 * MS)

"""Two judgments of one recording: a lost or later trip fails, an earlier or extra one is a cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.errors import RecordingError
from handguard.evidence.decisions import DecisionLine, HandLine
from handguard.replay.compare import Fate, compare, ran_ms, trips_of
from handguard.types import Output, State

# One letter a frame: R running, I a hand in the stop zone, . off and free, B off and blind, W off and waiting
LETTERS = {
    "R": (State.RUN, Output.ON, "free"),
    "I": (State.TRIPPED, Output.OFF, "intruded: stop"),
    ".": (State.AWAIT_RESET, Output.OFF, "free"),
    "B": (State.TRIPPED, Output.OFF, "blind: stale frame"),
}


def told(letters: str) -> list[DecisionLine]:
    return [DecisionLine(i, 40.0 * i, (), {}, *LETTERS[letter]) for i, letter in enumerate(letters)]


def fates(a: str, b: str) -> list[str]:
    return [each.fate.value for each in compare(told(a), told(b)).trips]


def test_equal_judgments_are_the_same_and_cost_nothing() -> None:
    found = compare(told("..RRRII..RRRI"), told("..RRRII..RRRI"))
    assert [each.fate for each in found.trips] == [Fate.SAME, Fate.SAME]
    assert not found.fails
    assert found.extra == ()


def test_a_trip_that_b_never_makes_is_lost() -> None:
    found = compare(told("..RRRII..RRR"), told("..RRRRRRRRRR"))
    assert [(each.fate, each.frame) for each in found.trips] == [(Fate.LOST, None)]
    assert found.fails


def test_a_trip_that_b_makes_later_fails_and_tells_how_late() -> None:
    (trip,) = compare(told("..RRRIII.RRR"), told("..RRRRRI.RRR")).trips
    assert (trip.fate, trip.frame, trip.late_ms) == (Fate.LATER, 7, 80.0)


def test_a_trip_of_b_after_a_has_started_again_is_no_late_answer() -> None:
    found = compare(told("..RRII.RRRRR"), told("..RRRRRRRRII"))
    assert [each.fate for each in found.trips] == [Fate.LOST]
    assert [trip.frame for trip in found.extra] == [10]


def test_an_earlier_trip_is_a_cost() -> None:
    found = compare(told("..RRRRII"), told("..RRIIII"))
    assert [(each.fate, each.late_ms) for each in found.trips] == [(Fate.EARLIER, -80.0)]
    assert not found.fails
    assert found.extra == ()


def test_an_extra_trip_is_a_cost_with_its_frame() -> None:
    found = compare(told("..RRRRRR"), told("..RRI.RR"))
    assert [trip.frame for trip in found.extra] == [4]
    assert found.counts["extra"] == 1
    assert not found.fails


def test_b_that_was_not_started_again_and_sees_the_hand_is_held() -> None:
    assert fates("..RI.RRRII", "..RI....II") == ["same", "held"]


def test_being_off_by_chance_without_seeing_the_hand_is_lost() -> None:
    assert fates("..RI.RRRII", "..RI......") == ["same", "lost"]


def test_seeing_the_hand_late_while_off_by_chance_is_later() -> None:
    assert fates("..RI.RRRIII", "..RI......I") == ["same", "later"]


def test_an_early_false_alarm_that_was_over_does_not_answer_a_hand() -> None:
    found = compare(told("..RRRRRRRII"), told("..RRI.RRRRR"))
    assert [each.fate for each in found.trips] == [Fate.LOST]
    assert len(found.extra) == 1


def test_a_false_alarm_that_lasts_until_a_hand_comes_that_b_never_sees_is_lost_and_extra() -> None:
    found = compare(told("..RRRRRRRRRII"), told("..RRI........"))
    assert [(each.fate, each.frame) for each in found.trips] == [(Fate.LOST, None)]
    assert found.fails
    assert [trip.frame for trip in found.extra] == [4]
    assert found.b_trips == 1


def test_a_false_alarm_while_b_waits_for_a_start_is_no_sight_of_the_hand_to_come() -> None:
    assert fates("..RI.RRRRRRII", "..RI...I.....") == ["same", "lost"]
    assert fates("..RI.RRRRRRII", "..RI...I....I") == ["same", "later"]


def test_a_hand_told_of_only_before_the_trip_is_not_the_hand_of_the_trip() -> None:
    assert fates("..RRRRRIII", "..RRRIIBBB") == ["lost"]


def test_a_hand_seen_after_the_trip_by_a_b_that_called_the_field_free_is_later_and_its_false_alarm_extra() -> None:
    found = compare(told("..RRRRRRRIIII"), told("..RRI......II"))
    assert [(each.fate, each.frame, each.late_ms) for each in found.trips] == [(Fate.LATER, 11, 80.0)]
    assert [trip.frame for trip in found.extra] == [4]


def test_a_hand_lost_from_sight_for_a_moment_is_still_the_one_that_b_stopped_for() -> None:
    found = compare(told("..RRRRRIIII"), told("..RRRIIBIII"))
    assert [(each.fate, each.frame, each.late_ms) for each in found.trips] == [(Fate.EARLIER, 5, -80.0)]
    assert found.extra == ()
    assert fates("..RI.RRRRIII", "..RI....IBII") == ["same", "held"]


def test_a_hand_that_comes_once_a_has_started_again_answers_nothing() -> None:
    assert fates("..RRRRII.RRRI", "..RRI.......I") == ["lost", "held"]


def test_a_stop_of_b_without_a_hand_on_the_frame_of_the_trip_is_extra() -> None:
    found = compare(told("..RRII"), told("..RRBB"))
    assert [each.fate for each in found.trips] == [Fate.LOST]
    assert [trip.frame for trip in found.extra] == [4]


def test_a_blind_trip_of_a_is_answered_by_any_stop() -> None:
    assert fates("..RRBB", "..RRII") == ["same"]
    assert fates("..RRII", "..RRBB") == ["lost"]


def test_a_judgment_that_never_lets_the_machine_run_is_vacuous() -> None:
    found = compare(told("..RRRRRR"), told("........"))
    assert found.vacuous
    assert found.fails


def test_other_frames_are_not_compared() -> None:
    with pytest.raises(RecordingError, match="expected 3 frames in both, found 2 in the second"):
        compare(told("..R"), told(".."))
    with pytest.raises(RecordingError, match="expected frame 0 at 0 ms, found frame 1 at 40 ms"):
        compare(told("..R")[:2], told("..R")[1:])


def test_running_time_and_trips_are_those_of_the_lines() -> None:
    lines = told("..RRRI.R")
    assert ran_ms(lines) == 120.0
    assert [(trip.frame, trip.by_hand) for trip in trips_of(lines)] == [(5, True)]


def hand(x: float) -> HandLine:
    return HandLine((x, 0.0, x + 10, 10.0), 0.9, "hand")


def test_shifted_boxes_are_bounded_and_other_counts_are_told() -> None:
    a, b = told("RRR"), told("RRR")
    a[0], b[0] = _with(a[0], hand(5), hand(50)), _with(b[0], hand(50.25), hand(5))
    a[1], b[1] = _with(a[1], hand(5)), _with(b[1])
    found = compare(a, b)
    assert found.box_shift_px == 0.25
    assert found.frames_with_other_hands == 1


def _with(line: DecisionLine, *hands: HandLine) -> DecisionLine:
    return DecisionLine(line.frame, line.t_ms, hands, line.zones, line.state, line.output, line.cause)


judgments = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.text(alphabet="RI.B", min_size=n, max_size=n)] * 2)
)


@given(judgments)
def test_every_trip_has_a_fate_and_a_judgment_never_fails_against_itself(pair: tuple[str, str]) -> None:
    a, b = (told(letters) for letters in pair)
    found = compare(a, b)
    assert len(found.trips) == len(trips_of(a))
    assert len(found.extra) <= len(trips_of(b))
    assert not compare(a, a).fails
    assert compare(a, a).extra == ()


@given(judgments)
def test_where_b_runs_at_a_trip_of_a_it_fails(pair: tuple[str, str]) -> None:
    a, b = (told(letters) for letters in pair)
    for each in compare(a, b).trips:
        if b[each.trip.index].output is Output.ON:
            assert each.fate.fails


@given(judgments)
def test_no_hand_is_answered_that_b_does_not_see_from_its_frame_on(pair: tuple[str, str]) -> None:
    a, b = (told(letters) for letters in pair)
    for each in compare(a, b).trips:
        at = each.trip.index
        until = next((i for i in range(at, len(a)) if a[i].output is Output.ON), len(a))
        if each.trip.by_hand and "I" not in pair[1][at:until]:
            assert each.fate is Fate.LOST

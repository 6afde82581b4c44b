"""One recording counted, all of them summed up, and none that proves nothing passes."""

from __future__ import annotations

from handguard.evidence.decisions import DecisionLine, HandLine
from handguard.replay.approaches import Approach
from handguard.replay.expects import Wanted, expectation
from handguard.replay.score import episodes, score, together
from handguard.types import Output, State

HAND = (HandLine((0, 0, 1, 1), 0.9, "hand"),)


def told(letters: str) -> list[DecisionLine]:
    """R running, I a hand in the stop zone, . off and free, B not judged."""
    what = {
        "R": (State.RUN, Output.ON, "free", ()),
        "I": (State.TRIPPED, Output.OFF, "intruded: stop", HAND),
        ".": (State.AWAIT_RESET, Output.OFF, "free", ()),
        "B": (State.LOCKOUT, Output.OFF, "fault: detector", None),
    }
    lines = []
    for i, letter in enumerate(letters):
        state, output, cause, hands = what[letter]
        lines.append(DecisionLine(i, 100.0 * i, hands, {}, state, output, cause))
    return lines


def counted(letters: str, approaches=None, *expects: str):
    return score(told(letters), approaches, Wanted(tuple(expectation(each) for each in expects)), 0)


def test_approaches_are_counted_with_the_time_each_stop_took() -> None:
    found = counted("..RRRRRIIIIIRRRRRRRRRRRR", [Approach(5, 11), Approach(18, 20)])
    assert (found.approaches, found.missed, found.trips) == (2, 1, 1)
    assert found.latencies_ms == (200.0,)
    assert found.failures == ("1 of 2 approaches missed",)


def test_stops_where_nobody_reaches_are_counted_once_each() -> None:
    found = counted("RRRRRRRRRRIIIRRRRRRRRRRIRRR", [])
    assert found.nuisance == 2
    assert found.free_ms == 2600.0
    assert episodes((1, 2, 3, 30, 60, 61)) == 3


def test_without_a_truth_nothing_is_said_about_missing() -> None:
    found = counted("RRRI")
    assert (found.approaches, found.missed, found.nuisance, found.free_ms) == (None, None, None, 0.0)
    assert found.failures == ()


def test_an_unmet_expectation_says_what_was_found() -> None:
    assert counted("RRRI", None, "trips >= 2").failures == ("expected trips >= 2, found 1",)
    assert counted("RRRI", None, "missed == 0").failures == ("expected missed == 0, found no truth to tell",)


def test_a_recording_that_proves_nothing_fails_as_vacuous() -> None:
    assert counted("RRRRRR").vacuous == "no approach in it, no trip, and nothing was expected of it"
    assert counted("RRRRRR", []).vacuous is not None
    assert counted("......", None, "trips == 0").vacuous == "the machine never ran, and no hand was the reason"
    assert counted("BBBBBB", None, "trips == 0").vacuous == "no frame was judged"
    assert counted("RRRRRR", None, "trips == 0").vacuous is None
    assert counted("IIIIII", None, "hands >= 6").vacuous is None


def test_the_sum_gives_rates_with_the_intervals_that_its_numbers_allow() -> None:
    found = together([counted("..RRRRRIIII", [Approach(5, 10)]), counted("RRRRRI", [Approach(4, 5)])]).to_json()
    assert (found["approaches"], found["missed"], found["miss_rate"]) == (2, 0, 0.0)
    assert found["miss_rate_95"] == [0.0, 0.841886]
    assert found["latency_ms"]["max"] == 200.0
    nothing = together([]).to_json()
    assert nothing["miss_rate"] is None
    assert nothing["nuisance_per_h"] is None

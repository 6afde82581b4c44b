"""What a proof test concludes from the decisions it is shown. The whole of it, on a board, is in tests/monitor."""

from __future__ import annotations

import pytest

from handguard.config.safety import ProofStep
from handguard.proof_test import CONFIRM_LIMIT_MS, Exam, ExamLimits
from handguard.types import (
    Decision,
    Event,
    KeeperReport,
    Output,
    Permit,
    StageTimes,
    State,
    Tripped,
    WarningCleared,
    WarningRaised,
)

MS = 1_000_000
LIMITS = ExamLimits(max_response_ms=100, step_limit_s=10, attempts=2, warns=True, confirms=True)
ONE = (ProofStep(name="one", piece="bare hand"),)


class Stage:
    """Plays ticks of 10 ms to an exam."""

    def __init__(self, steps: tuple[ProofStep, ...] = ONE, limits: ExamLimits = LIMITS) -> None:
        self.exam, self.ns = Exam(steps, limits), 5_000 * MS
        self.exam.begin()

    def tick(
        self,
        state: State = State.TRIPPED,
        *events: Event,
        off_ns: int | None = None,
        is_open: bool | None = None,
        after_ms: float = 10,
    ) -> None:
        self.ns += round(after_ms * MS)
        output = Output.ON if state is State.RUN else Output.OFF
        times = StageTimes(self.ns - 8 * MS, self.ns - 6 * MS, self.ns - 2 * MS, self.ns)
        decision = Decision(1, times, None, (), state, output, "cause", events)
        told = Output.ON if off_ns is None else Output.OFF
        report = KeeperReport(1, told, off_ns or 1, is_open)
        self.exam.record(decision, Permit(1, 1, 0, 0, output), report)

    def warning(self) -> WarningRaised:
        return WarningRaised(self.ns, 1, "belt", 0.8)

    def trip(self, zone: str | None = "intake") -> Tripped:
        return Tripped(self.ns + 10 * MS, 1, "intruded: intake" if zone else "blind: dark", zone, 0.9)

    def reach(self, zone: str | None = "intake", off_after_ms: float = 5, is_open: bool | None = True) -> None:
        """Reset, warning, stop, OFF and the contact's answer."""
        self.tick(State.AWAIT_RESET)
        self.tick(State.RUN)
        self.tick(State.RUN, self.warning())
        self.tick(State.TRIPPED, self.trip(zone))
        off_ns = self.ns + round(off_after_ms * MS)
        self.tick(State.TRIPPED, off_ns=off_ns, is_open=None, after_ms=off_after_ms + 5)
        self.tick(State.TRIPPED, off_ns=off_ns + 100 * MS, is_open=is_open, after_ms=200)

    def heard(self) -> list[str | None]:
        return [self.exam.lines.get_nowait() for _ in range(self.exam.lines.qsize())]


def test_a_reach_that_warns_stops_and_is_confirmed_passes():
    stage = Stage()
    stage.reach()
    (outcome,) = stage.exam.outcomes
    (attempt,) = outcome.attempts
    assert stage.exam.passed
    assert (attempt.zone, attempt.warned_ms, attempt.response_ms) == ("intake", 10, 13)
    assert attempt.confirmed_ms == 205
    *_, verdict, end = stage.heard()
    assert (verdict, end) == ("The proof test is PASSED.", None)


def test_the_first_off_counts_not_its_repeats():
    stage = Stage()
    stage.reach(off_after_ms=60)
    assert stage.exam.outcomes[0].attempts[0].response_ms == 68


@pytest.mark.parametrize(
    ("zone", "off_after_ms", "is_open", "why"),
    [
        (None, 5, True, "another reason: blind: dark"),
        ("intake", 93, True, "101 ms after the picture, 100 ms are allowed"),
    ],
)
def test_a_reach_that_is_not_right_is_repeated(
    zone: str | None, off_after_ms: float, is_open: bool, why: str
):
    stage = Stage()
    stage.reach(zone, off_after_ms, is_open)
    assert stage.exam.outcomes == []
    assert any(line and "FAILED" in line and why in line and "repeat it; 1 more" in line for line in stage.heard())
    stage.reach()
    assert stage.exam.passed
    assert [attempt.passed for attempt in stage.exam.outcomes[0].attempts] == [False, True]


def test_a_response_of_exactly_the_limit_passes():
    stage = Stage()
    stage.reach(off_after_ms=92)
    assert stage.exam.outcomes[0].attempts[0].response_ms == 100
    assert stage.exam.passed


def test_the_wrong_zone_fails():
    stage = Stage((ProofStep(name="one", piece="rod", zone="drum"),))
    stage.reach("intake")
    assert any(line and "in zone intake instead of drum" in line for line in stage.heard())


def test_a_stop_without_a_warning_fails_where_there_is_a_warning_zone():
    for warns in (True, False):
        limits = ExamLimits(100, 10, 1, warns=warns, confirms=False)
        stage = Stage(limits=limits)
        stage.tick(State.RUN)
        stage.tick(State.RUN, stage.warning())
        stage.tick(State.RUN, WarningCleared(stage.ns, 1, "belt"))
        stage.tick(State.TRIPPED, stage.trip())
        stage.tick(State.TRIPPED, off_ns=stage.ns)
        assert stage.exam.passed is not warns


def test_a_warning_in_the_very_picture_that_stops_is_in_time():
    stage = Stage()
    stage.tick(State.RUN)
    stage.tick(State.TRIPPED, stage.trip(), stage.warning())
    stage.tick(State.TRIPPED, off_ns=stage.ns, is_open=True)
    assert stage.exam.passed


def test_a_hand_that_is_not_seen_in_time_is_a_miss():
    stage = Stage()
    stage.tick(State.RUN)
    stage.tick(State.RUN, after_ms=10_000)
    assert stage.exam._attempts == []
    stage.tick(State.RUN, after_ms=0.001)
    assert stage.exam._attempts[0].why == "no stop within 10 s"


@pytest.mark.parametrize("is_open", [None, False])
def test_an_unconfirmed_stop_fails_after_its_time(is_open: bool | None):
    stage = Stage()
    stage.tick(State.RUN)
    stage.tick(State.RUN, stage.warning())
    stage.tick(State.TRIPPED, stage.trip())
    stage.tick(State.TRIPPED, off_ns=stage.ns, is_open=is_open, after_ms=CONFIRM_LIMIT_MS)
    assert stage.exam._attempts == []
    stage.tick(State.TRIPPED, off_ns=stage.ns, is_open=is_open)
    assert "not reported open within 2000 ms" in stage.exam._attempts[0].why


def test_a_relay_that_is_never_told_off_fails_even_when_the_contact_reads_open():
    stage = Stage()
    stage.tick(State.RUN)
    stage.tick(State.RUN, stage.warning())
    stage.tick(State.TRIPPED, stage.trip())
    stage.tick(State.TRIPPED, off_ns=stage.ns - 1000 * MS, is_open=True)
    stage.tick(State.TRIPPED, off_ns=stage.ns - 1000 * MS, is_open=True, after_ms=CONFIRM_LIMIT_MS + 1)
    assert "not told OFF within 2000 ms" in stage.exam._attempts[0].why


def test_a_step_that_fails_for_good_fails_the_test_which_goes_on():
    stage = Stage((*ONE, ProofStep(name="two", piece="glove")))
    stage.reach(None)
    stage.reach(None)
    assert any(line and "That was the last try" in line for line in stage.heard())
    stage.reach()
    assert [outcome.passed for outcome in stage.exam.outcomes] == [False, True]
    assert not stage.exam.passed
    assert stage.heard()[-2:] == ["The proof test FAILED.", None]


def test_a_lockout_ends_it():
    stage = Stage()
    stage.tick(State.LOCKOUT)
    assert stage.exam.ended_early == "locked out (cause)"
    assert not stage.exam.passed
    assert stage.heard()[-1] is None
    stage.reach()
    assert stage.exam.outcomes == []


def test_who_breaks_it_off_has_not_passed_and_afterwards_nothing_is_broken_off():
    stage = Stage()
    stage.exam.end("Ctrl-C")
    assert (stage.exam.passed, stage.exam.ended_early) == (False, "Ctrl-C")
    stage = Stage()
    stage.reach()
    stage.exam.end("Ctrl-C")
    assert (stage.exam.passed, stage.exam.ended_early) == (True, "")


def test_each_step_says_what_to_do():
    stage = Stage((ProofStep(name="one", piece="rod", point="the far edge", speed="brisk", zone="intake"),))
    assert stage.heard() == [
        "Step 1 of 1, one: keep the zones free, press reset, then reach with a stuffed glove on a rod, "
        "briskly (about 1 m a second), to the far edge, zone intake."
    ]

"""When the running detector is asked, and that a failure stays."""

from __future__ import annotations

from handguard.checkup import DIFFERS, PATIENCE_S, Checkup

SECOND = 1_000_000_000


class Answers:
    """A check with prepared answers, each of which takes 15 ms."""

    def __init__(self, clock: Hand, *answers: str | None) -> None:
        self.clock, self.answers = clock, list(answers)

    def failure(self) -> str | None:
        self.clock.ns += 15_000_000
        return self.answers.pop(0)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 7 * SECOND

    def now_ns(self) -> int:
        return self.ns


def made(*answers: str | None) -> tuple[Hand, Checkup, list[str]]:
    clock, told = Hand(), list[str]()
    return clock, Checkup(Answers(clock, *answers), 60, clock, told.append), told


def test_it_asks_once_a_minute_and_no_sooner():
    clock, checkup, _ = made(None, None)
    clock.ns += 60 * SECOND - 1
    assert not checkup.look(frame_waits=False)
    assert checkup.asked == 0
    clock.ns += 1
    assert not checkup.look(frame_waits=False)
    assert checkup.asked == 1
    clock.ns += 60 * SECOND - 1
    checkup.look(frame_waits=False)
    assert checkup.asked == 1
    clock.ns += 1
    checkup.look(frame_waits=False)
    assert checkup.asked == 2
    assert checkup.longest_ms == 15


def test_a_frame_that_waits_goes_first_but_not_for_ever():
    clock, checkup, _ = made(None)
    clock.ns += 60 * SECOND + round(PATIENCE_S * SECOND) - 1
    checkup.look(frame_waits=True)
    assert checkup.asked == 0
    clock.ns += 1
    checkup.look(frame_waits=True)
    assert checkup.asked == 1


def test_a_failure_is_told_once_and_stays():
    clock, checkup, told = made("missing: a hand")
    clock.ns += 60 * SECOND
    assert checkup.faults == frozenset()
    assert checkup.look(frame_waits=False)
    assert (told, checkup.faults) == (["missing: a hand"], {DIFFERS})
    clock.ns += 600 * SECOND
    assert not checkup.look(frame_waits=False)
    assert (checkup.asked, checkup.faults) == (1, {DIFFERS})

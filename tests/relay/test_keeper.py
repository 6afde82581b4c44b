"""The rules of the keeper, driven one input at a time with a clock in hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handguard.errors import ConfigError
from handguard.relay.board import Command
from handguard.relay.keeper import CLOSING_LIMIT_NS, next_due_ns, step
from handguard.relay.keeper_state import (
    MS,
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
from handguard.relay.wire import Fault, Trait, WirePermit

OFF, ON = Command.OFF, Command.ON
LIMITS = KeeperLimits()
RESTING = BoardOpened(min_interval_ns=100 * MS, readback=True)  # like LCUS
QUICK = BoardOpened(min_interval_ns=0, readback=True)
MUTE = BoardOpened(min_interval_ns=0, readback=False)


class Bench:
    """A keeper with an obedient board; `words` is everything said to that board, with the time."""

    def __init__(self, board: BoardOpened = QUICK, *, opens: bool = True, writes: bool = True) -> None:
        self.state, self.now_ns, self.seq = KeeperState(), 1_000 * MS, 0
        self.board, self.opens, self.writes = board, opens, writes
        self.words: list[tuple[int, Action]] = []
        self.last: tuple[Action, ...] = ()
        self.feed(Woke())

    @property
    def output(self) -> Command:
        return self.state.output

    def feed(self, seen: Input) -> Bench:
        self.state, self.last = step(self.state, seen, self.now_ns, LIMITS)
        for action in self.last:
            answer = self._do(action)
            if answer is not None:
                actions = self.last
                self.feed(answer)
                self.last = actions + self.last
        return self

    def _do(self, action: Action) -> Input | None:
        if action in (Action.WRITE_OFF, Action.WRITE_ON, Action.ASK):
            self.words.append((self.now_ns, action))
        if action is Action.OPEN:
            return self.board if self.opens else BoardFailed(Fault.RELAY_PORT)
        if action in (Action.WRITE_OFF, Action.WRITE_ON):
            return Written() if self.writes else BoardFailed(Fault.RELAY_WRITE)
        return None

    def wait(self, ms: float) -> Bench:
        """Let time pass as the process would: wake whenever something is due."""
        until_ns = self.now_ns + round(ms * MS)
        while next_due_ns(self.state) <= until_ns:
            self.now_ns = max(self.now_ns, next_due_ns(self.state))
            self.feed(Woke())
        self.now_ns = until_ns
        return self

    def permit(
        self, command: Command, *, age_ms: float = 1, frame_age_ms: float = 20, **fields: int
    ) -> Bench:
        self.seq += 1
        judged_ns, captured_ns = self.now_ns - round(age_ms * MS), self.now_ns - round(frame_age_ms * MS)
        permit = WirePermit(self.seq, self.seq, captured_ns, judged_ns, command)
        return self.feed(PermitRead(replace(permit, **fields)))

    def running(self) -> Bench:
        self.wait(500).permit(OFF).wait(33).permit(ON)
        assert self.output is ON
        return self

    def said(self, action: Action) -> list[int]:
        return [at_ns for at_ns, word in self.words if word is action]


def ms_after(start_ns: int, times_ns: list[int]) -> list[float]:
    return [(at_ns - start_ns) / MS for at_ns in times_ns if at_ns >= start_ns]


# Power-up ----------------------------------------------------------------------------------


def test_the_first_word_is_off():
    assert Bench().words[0][1] is Action.WRITE_OFF


def test_an_on_before_any_off_permit_is_ignored():
    assert Bench().wait(500).permit(ON).output is OFF


def test_off_permits_then_on_energizes():
    bench = Bench().running()
    assert [word for _, word in bench.words[-1:]] == [Action.WRITE_ON]


def test_off_is_said_at_0_100_200_ms_and_then_about_every_second():
    bench = Bench(MUTE)
    start_ns = bench.now_ns
    bench.wait(3500)
    assert ms_after(start_ns, bench.said(Action.WRITE_OFF)) == [0, 100, 200, 1200, 2200, 3200]


# The permit --------------------------------------------------------------------------------


def test_a_stream_of_fresh_permits_keeps_it_on_without_repeating_the_command():
    bench = Bench().running()
    for _ in range(100):
        bench.wait(33).permit(ON)
    assert bench.output is ON
    assert len(bench.said(Action.WRITE_ON)) == 1


def test_an_off_permit_drops_at_once_and_needs_no_rearming():
    bench = Bench().running().permit(OFF)
    assert bench.last.index(Action.WRITE_OFF) < bench.last.index(Action.REPORT)
    assert bench.output is OFF
    assert bench.state.faults == Fault.NONE
    assert bench.wait(33).permit(ON).output is ON


def test_off_is_repeated_after_a_stop():
    bench = Bench().running().permit(OFF)
    start_ns = bench.now_ns
    bench.wait(1300)
    assert ms_after(start_ns, bench.said(Action.WRITE_OFF)) == [0, 100, 200, 1200]


def test_off_permits_do_not_restart_the_series():
    bench = Bench().running().permit(OFF)
    start_ns = bench.now_ns
    for _ in range(30):
        bench.wait(33).permit(OFF)
    assert ms_after(start_ns, bench.said(Action.WRITE_OFF)) == [0, 100, 200]


def test_it_stays_on_until_exactly_the_deadline_and_not_a_nanosecond_longer():
    bench = Bench().running()
    expires_ns = bench.now_ns - 1 * MS + LIMITS.deadline_ns
    bench.now_ns = expires_ns
    assert bench.feed(Woke()).output is ON
    bench.now_ns = expires_ns + 1
    assert bench.feed(Woke()).output is OFF
    assert bench.state.held == Fault.PERMIT_LATE


def test_the_process_is_told_to_wake_when_the_permit_expires():
    bench = Bench().running()
    bench.state = bench.state._replace(beat_due_ns=bench.now_ns + 10_000 * MS)
    assert next_due_ns(bench.state) == bench.state.expires_ns + 1


def test_the_deadline_counts_from_the_judgement_not_from_the_arrival():
    bench = Bench().wait(500).permit(OFF).wait(90).permit(ON, age_ms=60, frame_age_ms=80)
    assert bench.wait(40).output is ON
    assert bench.wait(0.001).output is OFF


def test_a_permit_that_arrives_after_the_deadline_is_too_late_even_if_it_is_sound():
    bench = Bench().running().wait(99)
    bench.now_ns += 2 * MS
    bench.permit(ON)
    assert bench.output is OFF
    assert bench.state.held == Fault.PERMIT_LATE


def test_the_same_frame_again_does_not_extend_the_deadline():
    bench = Bench().running()
    frame = {"frame_seq": bench.state.frame_seq, "captured_ns": bench.state.captured_ns}
    for _ in range(3):
        bench.wait(33).permit(ON, **frame)
    assert bench.output is ON
    assert bench.wait(1).output is OFF


def test_the_frame_of_an_off_permit_cannot_energize():
    bench = Bench().running().permit(OFF)
    frame = {"frame_seq": bench.state.frame_seq, "captured_ns": bench.state.captured_ns}
    assert bench.wait(33).permit(ON, **frame).output is OFF
    assert bench.state.faults == Fault.NONE
    assert bench.permit(ON).output is ON


def test_frame_numbers_may_start_anew_after_an_off_permit():
    bench = Bench().running().permit(OFF, frame_seq=-1).wait(33)
    assert bench.permit(ON, frame_seq=0).output is ON


def test_old_capture_times_may_not_come_back_after_an_off_permit():
    bench = Bench().running().wait(33)
    captured_ns = bench.now_ns - 30 * MS
    bench.permit(OFF).wait(1).permit(OFF, frame_seq=-1, captured_ns=0)
    assert bench.wait(1).permit(ON, captured_ns=captured_ns).state.held == Fault.PERMIT_BAD


FLAWS = {
    "same-seq": lambda b: b.permit(ON, seq=b.state.permit_seq),
    "lower-seq": lambda b: b.permit(ON, seq=b.state.permit_seq - 1),
    "judged-in-future": lambda b: b.permit(ON, age_ms=-0.001),
    "captured-after-judged": lambda b: b.permit(ON, age_ms=1, frame_age_ms=0.9),
    "older-frame": lambda b: b.permit(ON, captured_ns=b.state.captured_ns - 1),
    "newer-frame-lower-number": lambda b: b.permit(ON, frame_seq=b.state.frame_seq - 1),
    "newer-frame-same-number": lambda b: b.permit(ON, frame_seq=b.state.frame_seq),
    "no-frame": lambda b: b.permit(ON, frame_seq=-1),
    "off-with-same-seq": lambda b: b.permit(OFF, seq=b.state.permit_seq),
    "off-from-future": lambda b: b.permit(OFF, age_ms=-1),
    "unreadable": lambda b: b.feed(PermitUnreadable()),
}


@pytest.mark.parametrize("flawed", FLAWS.values(), ids=FLAWS)
def test_a_bad_permit_drops_at_once_and_disarms(flawed):
    bench = flawed(Bench().running().wait(33))
    assert bench.output is OFF
    assert bench.state.held == Fault.PERMIT_BAD
    assert bench.words[-1] == (bench.now_ns, Action.WRITE_OFF)
    for _ in range(10):
        bench.wait(33).permit(ON)
    assert bench.output is OFF


def test_a_bad_permit_does_not_move_the_sequence():
    bench = Bench().running()
    seq = bench.state.permit_seq
    assert bench.permit(ON, seq=2**62, age_ms=-1).state.permit_seq == seq


@pytest.mark.parametrize(
    "late", [{"age_ms": 100.001, "frame_age_ms": 101}, {"frame_age_ms": 250.001}], ids=["judged", "frame"]
)
def test_an_on_that_is_too_old_drops_and_disarms(late):
    bench = Bench().running().wait(33)
    bench.state = bench.state._replace(captured_ns=0, expires_ns=bench.now_ns + 1000 * MS)
    bench.permit(ON, **late)
    assert bench.output is OFF
    assert bench.state.held == Fault.PERMIT_LATE


@pytest.mark.parametrize("ages", [{"age_ms": 100, "frame_age_ms": 100}, {"frame_age_ms": 250}])
def test_an_on_at_exactly_the_age_limit_is_fresh(ages):
    bench = Bench().wait(500).permit(OFF, captured_ns=0).permit(ON, **ages)
    assert bench.output is ON


def test_an_off_permit_is_obeyed_however_old():
    bench = Bench().running().permit(OFF, age_ms=5, frame_age_ms=900)
    assert bench.output is OFF
    assert bench.state.armed


def test_an_off_permit_after_a_fault_rearms():
    bench = Bench().running().feed(PermitUnreadable()).wait(33).permit(OFF)
    assert bench.state.faults == Fault.NONE
    assert bench.wait(33).permit(ON).output is ON


# The end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [PipeClosed(), Terminated()])
def test_the_end_drops_repeats_and_leaves(end):
    bench = Bench().running().feed(end)
    start_ns = bench.now_ns
    assert bench.words[-1] == (start_ns, Action.WRITE_OFF)
    bench.wait(199)
    assert Action.EXIT not in bench.last
    bench.wait(1)
    assert Action.EXIT in bench.last
    assert ms_after(start_ns, bench.said(Action.WRITE_OFF)) == [0, 100, 200]


def test_the_end_says_off_again_even_when_it_was_off():
    bench = Bench().wait(700).feed(PipeClosed())
    assert bench.words[-1] == (bench.now_ns, Action.WRITE_OFF)


def test_no_permit_counts_after_the_end():
    bench = Bench().running().feed(PipeClosed()).permit(OFF).wait(1).permit(ON)
    assert bench.output is OFF
    assert not bench.state.armed


def test_a_second_end_does_not_postpone_the_first():
    bench = Bench().running().feed(PipeClosed()).wait(150).feed(Terminated()).wait(50)
    assert Action.EXIT in bench.last


def test_a_keeper_that_cannot_reach_its_board_leaves_after_its_limit():
    bench = Bench().running()
    bench.opens = bench.writes = False
    bench.feed(PipeClosed()).wait(CLOSING_LIMIT_NS / MS - 1)
    assert Action.EXIT not in bench.last
    bench.now_ns += 1 * MS
    assert Action.EXIT in bench.feed(Woke()).last


# The board ---------------------------------------------------------------------------------


def test_a_failed_write_reopens_at_once_and_says_off_first():
    bench = Bench().running()
    bench.feed(BoardFailed(Fault.RELAY_WRITE))
    assert bench.last[:2] == (Action.CLOSE, Action.OPEN)
    assert bench.words[-1] == (bench.now_ns, Action.WRITE_OFF)
    assert bench.state.held == Fault.RELAY_WRITE | Fault.RELAY_PORT
    assert bench.state.standing == Fault.NONE


def test_after_a_reopening_it_stays_off_until_off_permit_and_new_on():
    bench = Bench().running().feed(BoardFailed(Fault.RELAY_WRITE)).wait(33)
    assert bench.permit(ON).output is OFF
    assert bench.wait(33).permit(OFF).wait(33).permit(ON).output is ON


def test_an_off_permit_while_the_port_is_gone_does_not_arm():
    bench = Bench().running()
    bench.opens = False
    bench.feed(BoardFailed(Fault.RELAY_WRITE)).wait(33).permit(OFF)
    assert bench.state.faults == Fault.RELAY_PORT
    bench.opens = True
    bench.wait(2000).permit(ON)
    assert bench.output is OFF
    assert bench.state.standing == Fault.NONE


def test_retries_slow_down_to_one_a_second():
    bench = Bench(opens=False)
    waits_ms = []
    for _ in range(9):
        waits_ms.append((bench.state.retry_ns - bench.now_ns) / MS)
        bench.now_ns = bench.state.retry_ns
        bench.feed(Woke())
    assert waits_ms == [20, 40, 80, 160, 320, 640, 1000, 1000, 1000]


def test_a_port_that_opens_but_takes_nothing_is_still_a_fault():
    bench = Bench(writes=False)
    assert bench.state.standing == Fault.RELAY_PORT
    assert bench.state.retry_wait_ns > 0


def test_retries_are_quick_again_after_a_successful_write():
    bench = Bench(opens=False).wait(500)
    bench.opens = True
    bench.wait(2000)
    assert bench.state.retry_wait_ns == 0


def test_no_word_is_lost_while_an_opening_is_under_way():
    state, actions = step(KeeperState(), Woke(), 0, LIMITS)
    assert Action.OPEN in actions
    _, again = step(state, Woke(), 50 * MS, LIMITS)
    assert Action.OPEN not in again


# Rest, questions and answers ---------------------------------------------------------------


def test_on_waits_for_the_rest_of_the_board_and_is_given_by_a_later_permit():
    bench = Bench(RESTING).wait(500).permit(OFF).wait(702)
    assert bench.words[-1][1] is Action.WRITE_OFF
    rests_until_ns = bench.words[-1][0] + 100 * MS
    bench.permit(ON)
    assert bench.output is OFF
    bench.now_ns = rests_until_ns
    assert bench.permit(ON).output is ON


def test_an_on_that_waits_comes_before_a_question():
    bench = Bench(RESTING).wait(310).feed(ContactRead(True)).permit(OFF).wait(940)
    reminded_ns, word = bench.words[-1]
    assert word is Action.WRITE_OFF  # so it rests, and when it has, both the question and the ON are due
    while bench.output is OFF:
        bench.wait(1).permit(ON)
    assert bench.words[-2:] == [(reminded_ns, Action.WRITE_OFF), (reminded_ns + 100 * MS, Action.WRITE_ON)]


def test_on_waits_until_the_contact_has_been_seen_to_open_where_the_board_answers():
    bench = Bench(QUICK).running().feed(ContactRead(False)).permit(OFF)
    bench.wait(10).permit(ON)
    assert bench.output is OFF
    bench.wait(1).feed(ContactRead(None)).permit(ON)
    assert bench.output is OFF
    bench.wait(1).feed(ContactRead(True)).permit(ON)
    assert bench.output is ON


def test_a_contact_not_yet_seen_to_open_is_asked_for_while_an_on_waits():
    bench = Bench(RESTING).wait(310).feed(ContactRead(True)).permit(OFF)
    while bench.output is OFF:
        bench.wait(33).permit(ON)
    bench.wait(33).permit(OFF)
    asked = len(bench.said(Action.ASK))
    for _ in range(30):
        bench.wait(20).permit(ON)
    assert bench.output is OFF
    assert len(bench.said(Action.ASK)) == asked + 1
    bench.feed(ContactRead(True)).wait(1).permit(ON)
    assert bench.output is ON


def contact_told(bench: Bench) -> bool | None:
    return report_of(bench.state, bench.now_ns, Trait.NONE).contactor_open


@pytest.fixture
def waiting() -> Bench:
    """An ON waits for the rest of a board whose contact is open."""
    bench = Bench(RESTING).wait(310).feed(ContactRead(True)).permit(OFF)
    assert contact_told(bench) is True
    bench.wait(20).permit(ON, age_ms=0)
    assert bench.output is OFF
    return bench


def test_of_an_open_contact_nothing_is_told_while_its_on_waits(waiting):
    assert contact_told(waiting) is None
    waiting.now_ns += LIMITS.deadline_ns
    assert contact_told(waiting) is None


def test_an_on_that_nobody_permits_any_more_does_not_wait(waiting):
    waiting.now_ns += LIMITS.deadline_ns + 1
    assert contact_told(waiting) is True


@pytest.mark.parametrize("end", [lambda b: b.permit(OFF), lambda b: b.feed(PermitUnreadable())])
def test_an_off_permit_or_a_fault_ends_the_waiting(waiting, end):
    assert contact_told(end(waiting)) is True


def test_of_a_closed_contact_is_told_while_an_on_waits():
    bench = Bench(QUICK).running().feed(ContactRead(False)).permit(OFF).wait(10).feed(ContactRead(False)).permit(ON)
    assert bench.output is OFF
    assert contact_told(bench) is False


def test_off_never_waits():
    bench = Bench(RESTING).wait(530).permit(OFF).wait(1).permit(ON).wait(1).permit(OFF)
    assert [word for _, word in bench.words[-2:]] == [Action.WRITE_ON, Action.WRITE_OFF]
    assert bench.words[-1][0] - bench.words[-2][0] == 1 * MS


def test_a_resting_board_is_asked_only_while_off_and_between_two_offs():
    bench = Bench(RESTING)
    for _ in range(200):
        bench.wait(20).feed(ContactRead(True))
    times = [at_ns for at_ns, _ in bench.words]
    assert len(bench.said(Action.ASK)) >= 3
    assert min(b - a for a, b in itertools.pairwise(times)) >= 100 * MS
    bench.permit(OFF).wait(100)
    while bench.output is OFF:
        bench.wait(33).permit(ON)
    count = len(bench.words)
    for _ in range(100):
        bench.wait(33).permit(ON)
    assert bench.output is ON
    assert len(bench.words) == count


def test_a_quick_board_is_asked_while_on():
    bench = Bench(QUICK).running()
    count = len(bench.said(Action.ASK))
    for _ in range(10):
        bench.wait(33).feed(ContactRead(False)).permit(ON)
    assert bench.output is ON
    assert len(bench.said(Action.ASK)) > count


def test_a_board_without_a_question_is_never_asked():
    assert not Bench(MUTE).wait(5000).said(Action.ASK)


def test_a_board_that_never_answers_is_asked_three_times_and_is_no_fault():
    bench = Bench(RESTING).wait(20_000)
    assert len(bench.said(Action.ASK)) == 3
    assert bench.state.faults == Fault.NONE
    assert report_of(bench.state, bench.now_ns, Trait.NONE).traits == Trait.NONE


def test_a_board_that_falls_silent_is_a_fault_until_it_answers():
    bench = Bench(QUICK).running().feed(ContactRead(False))
    for _ in range(10):
        bench.wait(33).permit(ON)
    assert bench.output is OFF
    assert bench.state.standing == Fault.RELAY_SILENT
    bench.permit(OFF).feed(ContactRead(True))
    assert bench.state.standing == Fault.NONE
    assert bench.state.held == Fault.RELAY_SILENT
    assert bench.permit(OFF).state.faults == Fault.NONE


def test_a_contact_that_stays_closed_is_a_fault_after_the_limit():
    bench = Bench(QUICK).running().permit(OFF)
    assert bench.wait(300).feed(ContactRead(False)).state.faults == Fault.NONE
    assert bench.wait(0.001).feed(ContactRead(False)).state.standing == Fault.RELAY_DISOBEYS


def test_a_welded_contact_cannot_be_rearmed_until_it_opens():
    bench = Bench(QUICK).running().permit(OFF).wait(301).feed(ContactRead(False))
    assert bench.permit(OFF).wait(10).permit(ON).output is OFF
    assert bench.feed(ContactRead(True)).permit(ON).output is OFF
    assert bench.permit(OFF).wait(10).permit(ON).output is ON


def test_a_contact_that_opens_without_command_drops_the_output():
    bench = Bench(QUICK).running()
    for _ in range(12):
        bench.wait(33).feed(ContactRead(False)).permit(ON)
    assert bench.output is ON
    bench.feed(ContactRead(True))
    assert bench.output is OFF
    assert bench.words[-1] == (bench.now_ns, Action.WRITE_OFF)


def test_a_late_answer_of_a_resting_board_is_not_taken_for_the_running_contact():
    bench = Bench(RESTING).wait(500).permit(OFF)
    while bench.output is OFF:
        bench.wait(33).permit(ON)
    for _ in range(20):
        bench.wait(33).feed(ContactRead(True)).permit(ON)
    assert bench.output is ON
    assert bench.state.contactor_open is None


def test_no_answer_is_no_news():
    bench = Bench(QUICK).wait(400)
    before = bench.state
    assert bench.feed(ContactRead(None)).state == before


# Reports -----------------------------------------------------------------------------------


def test_every_permit_is_reported_and_silence_never_lasts_longer_than_a_beat():
    bench = Bench().wait(500).permit(OFF)
    assert Action.REPORT in bench.last
    bench.feed(Woke())
    assert Action.REPORT not in bench.last
    bench.now_ns += 50 * MS
    assert {Action.LOOK, Action.REPORT} <= set(bench.feed(Woke()).last)


def test_a_lost_port_is_not_looked_at():
    bench = Bench(opens=False)
    bench.now_ns += 50 * MS
    assert Action.LOOK not in bench.feed(Woke()).last


def test_the_report_says_what_the_state_holds():
    bench = Bench().running().feed(ContactRead(False))
    report = report_of(bench.state, 5, Trait.REALTIME)
    assert (report.permit_seq, report.command, report.sent_ns) == (2, ON, 5)
    assert report.written_ns == bench.now_ns
    assert report.contactor_open is False
    assert report.traits == Trait.REALTIME | Trait.READBACK


@pytest.mark.parametrize("name", ["deadline_ns", "max_frame_age_ns", "feedback_ns"])
@pytest.mark.parametrize("value_ms", [9, 2001])
def test_limits_beyond_the_hard_bounds_are_refused(name, value_ms):
    with pytest.raises(ConfigError, match=f"relay.{name[:-3]}_ms: expected from 10"):
        KeeperLimits(**{name: value_ms * MS})


# Every short sequence, and many long ones --------------------------------------------------


@dataclass
class Judge:
    """A second opinion, written from the rules and not from the code: may it be ON now?"""

    armed: bool = False
    newest_captured_ns: int = -1
    expires_ns: int = -1
    ended: bool = False

    def hears(self, name: str, bench: Bench) -> None:
        if bench.now_ns > self.expires_ns and self.expires_ns >= 0:
            self.armed, self.expires_ns = False, -1
        if name in ("bad", "old", "fail", "unplug", "noise"):
            self.armed, self.expires_ns = False, -1
        if name in ("pipe", "term"):
            self.ended, self.armed, self.expires_ns = True, False, -1
        if name == "off" and not self.ended:
            self.armed, self.expires_ns = bench.state.is_open, -1
            self.newest_captured_ns = bench.now_ns - 20 * MS
        if name == "on" and self.armed and bench.now_ns - 20 * MS > self.newest_captured_ns:
            self.newest_captured_ns, self.expires_ns = bench.now_ns - 20 * MS, bench.now_ns + 99 * MS

    def allows(self, now_ns: int) -> bool:
        return self.armed and not self.ended and now_ns <= self.expires_ns


def play(bench: Bench, name: str) -> None:
    moves = {
        "on": lambda: bench.permit(ON),
        "off": lambda: bench.permit(OFF),
        "same": lambda: bench.permit(
            ON, frame_seq=bench.state.frame_seq, captured_ns=bench.state.captured_ns
        ),
        "bad": lambda: bench.permit(ON, age_ms=-1),
        "old": lambda: bench.permit(ON, age_ms=101, frame_age_ms=251),
        "noise": lambda: bench.feed(PermitUnreadable()),
        "pipe": lambda: bench.feed(PipeClosed()),
        "term": lambda: bench.feed(Terminated()),
        "fail": lambda: bench.feed(BoardFailed(Fault.RELAY_WRITE)),
        "unplug": lambda: (setattr(bench, "opens", False), bench.feed(BoardFailed(Fault.RELAY_PORT))),
        "replug": lambda: setattr(bench, "opens", True),
        "wake": lambda: bench.feed(Woke()),
    }
    moves[name]()


MOVES = ["on", "off", "same", "bad", "old", "noise", "pipe", "term", "fail", "unplug", "replug", "wake"]


def judged(moves: list[tuple[str, float]]) -> None:
    bench, judge = Bench().wait(300), Judge()
    for name, pause_ms in moves:
        bench.wait(pause_ms)
        if name == "same" and (bench.state.captured_ns < 0 or not bench.state.frame_seq >= 0):
            continue
        if name == "same" and bench.now_ns - bench.state.captured_ns > LIMITS.max_frame_age_ns:
            judge.hears("old", bench)
        judge.hears(name, bench)
        play(bench, name)
        if bench.output is ON:
            assert judge.allows(bench.now_ns), (name, moves)
        if bench.words and bench.output is OFF and bench.state.is_open:  # nothing can be said to a lost port
            assert bench.words[-1][1] is not Action.WRITE_ON, "OFF must be the last word unless ON is allowed"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(MOVES), st.sampled_from([0.5, 1, 20, 33, 99, 100.5, 400])), max_size=40
    )
)
def test_it_is_on_only_while_the_rules_allow_it(moves):
    judged(moves)


def explore(state: KeeperState, now_ns: int, seq: int, depth: int, armed: bool) -> int:
    """Walk every sequence of raw inputs; `armed` is tracked here independently. Returns the steps taken."""
    if not depth:
        return 0
    steps, now_ns, seq = 0, now_ns + 30 * MS, seq + 1
    on = WirePermit(seq, seq, now_ns - 20 * MS, now_ns - 1 * MS, ON)
    inputs: list[Input] = [
        PermitRead(on), PermitRead(replace(on, command=OFF)), PermitRead(replace(on, seq=0)),
        PermitUnreadable(), PipeClosed(), Terminated(), BoardFailed(Fault.RELAY_WRITE),
        RESTING, QUICK, Written(), ContactRead(True), ContactRead(False), Woke(),
    ]  # fmt: skip
    for seen in inputs:
        after, actions = step(state, seen, now_ns, LIMITS)
        now_armed = after.armed if seen == inputs[1] else armed and after.armed
        assert after.output is OFF or now_armed, seen
        assert after.output is OFF or state.output is ON or seen == inputs[0], "only an ON permit switches on"
        assert (Action.WRITE_ON in actions) <= (after.output is ON)
        assert after.output is OFF or not after.faults
        assert after.output is OFF or after.closing_ns is None
        if state.output is ON and after.output is OFF and after.is_open:
            assert actions[0] is Action.WRITE_OFF, "OFF first"
        steps += 1 + explore(after, now_ns, seq, depth - 1, now_armed)
    return steps


@pytest.mark.parametrize("start", ["power-up", "running"])
def test_every_sequence_of_four_inputs_obeys_the_rules(start):
    bench = Bench() if start == "power-up" else Bench().running()
    assert explore(bench.state, bench.now_ns, 1000, 4, bench.state.armed) == 13 + 13**2 + 13**3 + 13**4


# Boards with a time limit of their own ------------------------------------------------------

TIMED = replace(QUICK, renew_ns=25 * MS)  # like our own firmware
TIMED_RESTING = BoardOpened(min_interval_ns=31 * MS, readback=True, renew_ns=75 * MS)  # like a flash-on


def test_each_new_frame_tells_a_board_with_a_time_limit_again():
    bench = Bench(TIMED).running()
    for _ in range(10):
        bench.wait(33).permit(ON)
    assert len(bench.said(Action.WRITE_ON)) == 11


def test_a_board_with_a_time_limit_is_told_again_while_it_says_that_its_contact_is_closed():
    bench = Bench(TIMED).running()
    for _ in range(3):
        bench.wait(33).feed(ContactRead(False)).permit(ON)
    assert len(bench.said(Action.WRITE_ON)) == 4


def test_no_timer_and_no_repeated_frame_tells_it_again():
    bench = Bench(TIMED).running()
    frame_seq, captured_ns = bench.state.frame_seq, bench.state.captured_ns
    bench.wait(50).permit(ON, frame_seq=frame_seq, captured_ns=captured_ns)
    bench.wait(90)
    assert len(bench.said(Action.WRITE_ON)) == 1


def test_it_is_not_told_again_before_it_is_due_but_when_it_is():
    bench = Bench(TIMED).running()
    bench.wait(24).permit(ON)
    assert len(bench.said(Action.WRITE_ON)) == 1
    bench.wait(1).permit(ON)
    assert len(bench.said(Action.WRITE_ON)) == 2


def test_it_is_not_told_again_while_it_rests():
    bench = Bench(replace(TIMED_RESTING, min_interval_ns=80 * MS)).running()
    bench.wait(79).permit(ON)
    assert len(bench.said(Action.WRITE_ON)) == 1
    bench.wait(1).permit(ON)
    assert len(bench.said(Action.WRITE_ON)) == 2


@pytest.mark.parametrize(
    ("board", "pause_ms"), [(TIMED, 100), (TIMED_RESTING, 31), (RESTING, 100), (QUICK, 100)]
)
def test_a_board_that_may_be_answering_a_renewal_is_told_off_again_right_after_it(board, pause_ms):
    bench = Bench(board).running().wait(10)
    told_ns = bench.now_ns
    bench.permit(OFF).wait(250)
    assert ms_after(told_ns, bench.said(Action.WRITE_OFF))[:3] == [0, pause_ms, 2 * pause_ms]


def test_the_answer_to_a_question_is_looked_at_before_the_next_question():
    bench = Bench(QUICK)
    while Action.ASK not in bench.last:
        bench.now_ns = next_due_ns(bench.state)
        bench.feed(Woke())
    assert bench.last.index(Action.LOOK) < bench.last.index(Action.ASK)

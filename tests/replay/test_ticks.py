"""A recording through the stop path: nothing skipped, nothing late, nothing left to chance."""

from __future__ import annotations

import threading

import pytest

from handguard.errors import DeviceError, RecordingError
from handguard.relay.operator import SimulatedOperator
from handguard.replay.ahead import FRAMES_AHEAD, frames_ahead
from handguard.replay.clock import JUDGING_NS, RecordingClock
from handguard.replay.contactor import FOLLOWS_AFTER_NS, ObedientContactor
from handguard.replay.ticks import ticks
from handguard.types import Output, State, Tripped

MS = 1_000_000
STEADY_MS = [40 * i for i in range(60)]
IN_STOP = (10.0, 40.0, 30.0, 60.0)


def run(source, detector, rules):
    return list(ticks(source, detector, rules, SimulatedOperator(after_free_s=0.2)))


def test_every_frame_is_judged_once_in_order(pictures, scripted, rules) -> None:
    detector = scripted({})
    found = run(pictures(STEADY_MS), detector, rules)
    assert detector.frames == list(range(60))
    assert [tick.decision.frame_seq for tick in found] == list(range(60))
    assert all(tick.decision.detections is not None for tick in found)


def test_the_operator_starts_the_machine_and_a_hand_stops_it_on_its_first_frame(
    pictures, scripted, rules
) -> None:
    found = run(pictures(STEADY_MS), scripted({40: [IN_STOP]}), rules)
    states = [tick.decision.state for tick in found]
    assert states[39] is State.RUN
    assert states[40] is State.TRIPPED
    assert [tick.permit.output for tick in found[39:41]] == [Output.ON, Output.OFF]
    trips = [event for tick in found for event in tick.decision.events if isinstance(event, Tripped)]
    assert [(trip.frame_seq, trip.zone) for trip in trips] == [(40, "stop")]


def test_the_machine_starts_again_after_the_hand_has_gone(pictures, scripted, rules) -> None:
    found = run(pictures([40 * i for i in range(100)]), scripted({40: [IN_STOP]}), rules)
    states = [tick.decision.state for tick in found]
    assert State.AWAIT_RESET in states[41:]
    assert states[-1] is State.RUN


def test_no_feedback_fault_arises_where_the_contactor_obeys(pictures, scripted, rules) -> None:
    hands = {seq: [IN_STOP] for seq in range(0, 400, 40)}
    found = run(pictures([40 * i for i in range(400)]), scripted(hands), rules)
    assert State.LOCKOUT not in {tick.decision.state for tick in found}


def test_frames_are_fresh_at_any_rate_and_permits_count_up(pictures, scripted, rules) -> None:
    for period_ms in (4, 17, 40, 100):
        found = run(pictures([period_ms * i for i in range(50)]), scripted({}), rules)
        assert not any("stale" in tick.decision.cause or "gap" in tick.decision.cause for tick in found)
        ages_ns = {tick.permit.judged_ns - tick.permit.captured_ns for tick in found}
        assert ages_ns == {JUDGING_NS}
        assert [tick.permit.seq for tick in found] == list(range(50))


def test_frames_further_apart_than_a_frame_may_be_old_stop_the_machine(pictures, scripted, rules) -> None:
    age_ms = rules.interlock.max_frame_age_ns // MS
    allowed = run(pictures([*STEADY_MS, 40 * 59 + age_ms]), scripted({}), rules)
    assert allowed[-1].decision.state is State.RUN
    gap = run(pictures([*STEADY_MS, 40 * 59 + age_ms + 1]), scripted({}), rules)
    assert gap[-2].decision.state is State.RUN
    assert gap[-1].decision.state is State.TRIPPED
    assert gap[-1].decision.cause.startswith("blind")


def test_a_detector_that_fails_locks_the_machine_out(pictures, scripted, rules) -> None:
    def broken(seq: int):
        if seq == 30:
            raise RuntimeError("no memory")
        return ()

    found = run(pictures(STEADY_MS), scripted(broken), rules)
    assert found[30].decision.state is State.LOCKOUT
    assert found[-1].decision.output is Output.OFF
    assert len(found) == 60


def test_a_recording_that_breaks_off_is_no_short_recording(pictures, scripted, rules) -> None:
    source = pictures(STEADY_MS[:5], fails=DeviceError("clip.mp4: after frame 4: expected more"))
    moments = ticks(source, scripted({}), rules, SimulatedOperator(0.2))
    assert [next(moments).decision.frame_seq for _ in range(5)] == list(range(5))
    with pytest.raises(RecordingError, match="after frame 4"):
        next(moments)


def test_a_recording_whose_time_goes_back_is_refused(pictures, scripted, rules) -> None:
    with pytest.raises(RecordingError, match="time of a frame"):
        run(pictures([0, 40, 20]), scripted({}), rules)


def test_whatever_a_source_raises_arrives_where_its_frame_would_have_been(pictures) -> None:
    frames = frames_ahead(pictures([0, 40], fails=ZeroDivisionError("inside")))
    assert [next(frames).seq, next(frames).seq] == [0, 1]
    with pytest.raises(ZeroDivisionError, match="inside"):
        next(frames)


def test_the_decoder_waits_when_nobody_takes_its_frames_and_ends_when_told(pictures) -> None:
    source = pictures([40 * i for i in range(1000)])
    frames = frames_ahead(source)
    assert next(frames).seq == 0
    frames.close()
    assert "decode-ahead" not in {thread.name for thread in threading.enumerate()}
    assert source.read().seq <= 2 * FRAMES_AHEAD + 3


def test_the_clock_stands_still_within_a_tick_and_refuses_to_go_back() -> None:
    clock = RecordingClock(judging_ns=5)
    clock.begin(100)
    assert (clock.now_ns(), clock.now_ns()) == (105, 105)
    clock.begin(100)
    with pytest.raises(RecordingError, match="time of a frame"):
        clock.begin(99)


def test_the_contactor_follows_each_command_after_its_time_and_not_before() -> None:
    contactor = ObedientContactor()
    assert contactor.is_open(0)
    contactor.command(Output.ON, 100)
    contactor.command(Output.ON, 150)
    assert contactor.is_open(100 + FOLLOWS_AFTER_NS - 1)
    assert not contactor.is_open(100 + FOLLOWS_AFTER_NS)
    contactor.command(Output.OFF, 10**9)
    assert not contactor.is_open(10**9 + FOLLOWS_AFTER_NS - 1)
    assert contactor.is_open(10**9 + FOLLOWS_AFTER_NS)

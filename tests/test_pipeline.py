"""One tick at a time: what any camera, picture or detector can do, and what it ends in.

The detector and the clock are scripted here; the rules are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from handguard.pipeline import (
    REPEATED,
    UNRELATED,
    WRONG_SIZE,
    Memory,
    Rules,
    Senses,
    advance,
    beginning,
    permit_of,
)
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import (
    Decision,
    Detections,
    Frame,
    HandClass,
    Output,
    ResetFreed,
    ResetStuck,
    Sensed,
    StageTimes,
    State,
    StateChanged,
    Tripped,
    WarningCleared,
    WarningRaised,
    Zone,
    ZoneRole,
)

MS = 1_000_000
TICK_NS = 33 * MS
WIDTH_PX, HEIGHT_PX = 64, 48

STOP = Zone("intake", ZoneRole.STOP, ((0, 24), (64, 24), (64, 48), (0, 48)))
STOP_LEFT = Zone("left blade", ZoneRole.STOP, ((0, 24), (20, 24), (20, 48), (0, 48)))
WARNING = Zone("table", ZoneRole.WARNING, ((0, 12), (64, 12), (64, 48), (0, 48)))
IN_STOP, IN_WARNING, AWAY = [30, 30, 40, 40], [30, 14, 40, 18], [30, 0, 40, 5]
RULES = Rules(
    zones=ZoneField((STOP, WARNING, STOP_LEFT), WIDTH_PX, HEIGHT_PX, fastest_px_s=200.0),
    interlock=interlock.Limits(max_frame_age_ns=100 * MS, edm_timeout_ns=50 * MS, free_frames=3),
    trust=camera_trust.Limits(),
)

Answer = Callable[[Frame], Any]


def sees(*boxes: list[float], scores: list[float] | None = None) -> Answer:
    """An answer with these boxes, about the frame that was asked for."""

    def answer(frame: Frame) -> Detections:
        return Detections(
            boxes_px=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.array([0.75] * len(boxes) if scores is None else scores, np.float32),
            labels=np.full(len(boxes), HandClass.GLOVED_HAND, np.int64),
            frame_seq=frame.seq,
            captured_ns=frame.captured_ns,
        )

    return answer


NOTHING = sees()


class ScriptedDetector:
    """Gives one prepared answer, and remembers what it was asked."""

    description = "scripted"

    def __init__(self) -> None:
        self.answer: Answer = NOTHING
        self.asked: list[int] = []

    def detect(self, frame: Frame) -> Detections:
        self.asked.append(frame.seq)
        return self.answer(frame)  # type: ignore[no-any-return]


class ScriptedClock:
    """Every look at it takes `look_ns`."""

    def __init__(self) -> None:
        self.time_ns, self.look_ns = 0, 0

    def now_ns(self) -> int:
        self.time_ns += self.look_ns
        return self.time_ns


class Line:
    """A camera at 30 Hz, a detector, a clock and a button, before `advance`."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules, self.memory = rules, Memory()
        self.detector, self.clock = ScriptedDetector(), ScriptedClock()
        self.seq, self.noise = -1, np.random.default_rng(0)
        self.decision: Decision | None = None

    def picture(self) -> np.ndarray:
        return self.noise.integers(90, 120, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)

    def frame(self, image: np.ndarray | None = None) -> Frame:
        """The next frame, taken this instant."""
        self.seq += 1
        return Frame(self.seq, self.clock.time_ns, self.picture() if image is None else image)

    def tick(self, answer: Answer = NOTHING, *, image: np.ndarray | None = None, **senses: Any) -> Decision:
        """One frame later."""
        self.clock.time_ns += TICK_NS
        return self.take(self.frame(image), answer, **senses)

    def idle(self, **senses: Any) -> Decision:
        """No frame came within 10 ms."""
        self.clock.time_ns += 10 * MS
        return self.take(None, **senses)

    def take(self, frame: Frame | None, answer: Answer = NOTHING, **senses: Any) -> Decision:
        self.detector.answer = answer
        now = Senses(taken_ns=self.clock.time_ns, frame=frame, **senses)
        self.memory, decision = advance(self.memory, now, self.detector, self.clock, self.rules)
        self.decision = decision
        return decision

    def running(self) -> Line:
        for _ in range(3):
            self.tick()
        for _ in range(4):
            self.tick(reset_down=True)
        assert self.tick().state is State.RUN
        return self


@pytest.fixture
def line() -> Line:
    return Line().running()


def kinds(decision: Decision) -> list[type]:
    return [type(event) for event in decision.events]


# The ordinary way --------------------------------------------------------------------------


def test_power_up_is_off_and_says_why():
    decision = Line().idle()
    assert (decision.state, decision.output, decision.cause) == (State.SELF_TEST, Output.OFF, "blind: no frame")
    assert (decision.frame_seq, decision.detections, decision.zones, decision.events) == (-1, None, (), ())


def test_free_frames_and_a_reset_turn_the_output_on(line: Line):
    assert line.decision is not None
    assert (line.decision.output, line.decision.cause) == (Output.ON, "reset")
    assert line.decision.events == (
        StateChanged(line.clock.time_ns, line.seq, State.AWAIT_RESET, State.RUN, "reset"),
    )
    quiet = line.tick()
    assert (quiet.output, quiet.cause, quiet.events) == (Output.ON, "free", ())


def test_a_hand_in_a_stop_zone_trips_at_its_first_frame(line: Line):
    decision = line.tick(sees(IN_STOP))
    assert (decision.state, decision.output, decision.cause) == (State.TRIPPED, Output.OFF, "intruded: intake")
    assert decision.warning
    at_ns, seq = line.clock.time_ns, line.seq
    assert decision.events == (
        Tripped(at_ns, seq, "intruded: intake", "intake", 0.75),
        StateChanged(at_ns, seq, State.RUN, State.TRIPPED, "intruded: intake"),
        WarningRaised(at_ns, seq, "table", 0.75),
    )


def test_the_trip_names_the_stop_zone_with_the_highest_score(line: Line):
    decision = line.tick(sees(IN_STOP, [5, 30, 10, 35], scores=[0.5, 0.875]))
    tripped = decision.events[0]
    assert isinstance(tripped, Tripped)
    assert (tripped.zone, tripped.score) == ("intake", 0.875)  # the second hand is in both; the first drawn counts
    line = Line(
        Rules(ZoneField((STOP_LEFT, WARNING, STOP), WIDTH_PX, HEIGHT_PX, 1.0), RULES.interlock, RULES.trust)
    ).running()
    tripped = line.tick(sees(IN_STOP, [5, 30, 10, 35], scores=[0.875, 0.5])).events[0]
    assert isinstance(tripped, Tripped)
    assert (tripped.zone, tripped.score) == ("intake", 0.875)


def test_the_trip_names_a_zone_that_is_intruded_even_if_the_score_is_zero():
    first = Rules(ZoneField((STOP_LEFT, STOP), WIDTH_PX, HEIGHT_PX, 1.0), RULES.interlock, RULES.trust)
    assert Line(first).running().tick(sees(IN_STOP, scores=[0.0])).cause == "intruded: intake"


def test_a_trip_is_told_once(line: Line):
    line.tick(sees(IN_STOP))
    still = line.tick(sees(IN_STOP))
    assert (still.cause, still.events) == ("intruded: intake", ())


def test_a_hand_in_a_warning_zone_warns_and_nothing_more(line: Line):
    raised = line.tick(sees(IN_WARNING))
    assert (raised.output, raised.cause, raised.warning) == (Output.ON, "free", True)
    assert raised.events == (WarningRaised(line.clock.time_ns, line.seq, "table", 0.75),)
    assert line.tick(sees(IN_WARNING)).events == ()
    cleared = line.tick(sees(AWAY))
    assert (cleared.output, cleared.warning) == (Output.ON, False)
    assert cleared.events == (WarningCleared(line.clock.time_ns, line.seq, "table"),)
    assert line.tick(sees(AWAY)).events == ()


def test_a_stop_zone_that_becomes_free_clears_no_warning():
    only_stop = Rules(ZoneField((STOP,), WIDTH_PX, HEIGHT_PX, 1.0), RULES.interlock, RULES.trust)
    line = Line(only_stop).running()
    assert kinds(line.tick(sees(IN_STOP))) == [Tripped, StateChanged]
    assert kinds(line.tick()) == []


def test_a_hand_is_swept_from_the_frame_before():
    blade = Zone("blade", ZoneRole.STOP, ((31, 0), (33, 0), (33, 48), (31, 48)))
    line = Line(Rules(ZoneField((blade,), WIDTH_PX, HEIGHT_PX, 2000.0), RULES.interlock, RULES.trust)).running()
    assert line.tick(sees([5, 10, 15, 20])).output is Output.ON
    assert line.tick(sees([45, 10, 55, 20])).cause == "intruded: blade"


def test_the_decision_carries_what_the_frame_showed(line: Line):
    decision = line.tick(sees(IN_WARNING))
    assert decision.frame_seq == line.seq
    assert decision.detections is line.memory.seen
    assert [zone.name for zone in decision.zones] == ["intake", "table", "left blade"]


def test_times_are_read_where_their_names_say(line: Line):
    line.clock.time_ns += TICK_NS
    frame = line.frame()
    line.clock.time_ns += 5 * MS
    line.clock.look_ns = 2 * MS
    start_ns = line.clock.time_ns
    decision = line.take(frame)
    times = StageTimes(frame.captured_ns, start_ns, start_ns + 2 * MS, start_ns + 4 * MS)
    assert decision.times == times
    assert line.memory.interlock.judged_ns == frame.captured_ns


def test_the_age_of_a_frame_is_judged_after_the_detector_answered(line: Line):
    line.clock.time_ns += TICK_NS
    frame = line.frame()
    line.clock.look_ns = 51 * MS  # two looks: 102 ms, one more than the limit
    assert line.take(frame).cause == "blind: stale frame"


def test_button_and_contact_are_timed_by_the_start_of_the_tick(line: Line):
    """A detector that takes longer than the EDM timeout does not turn a slow contact into a welded one."""
    line.tick(sees(IN_STOP), contactor_open=False)
    line.clock.time_ns += 40 * MS
    frame = line.frame()
    line.clock.look_ns = 30 * MS
    assert line.take(frame, contactor_open=False).state is State.TRIPPED


# Ticks without a frame ---------------------------------------------------------------------


def test_an_idle_tick_says_so_and_stays_on_while_the_frame_is_fresh(line: Line):
    line.clock.look_ns = 1 * MS
    decision = line.idle()
    assert (decision.output, decision.cause) == (Output.ON, "free")
    assert (decision.frame_seq, decision.detections) == (-1, None)
    now_ns = line.clock.time_ns
    assert decision.times == StageTimes(now_ns - 1 * MS, now_ns - 1 * MS, now_ns, now_ns)


def test_idle_ticks_trip_when_the_newest_frame_grows_old(line: Line):
    decisions = [line.idle() for _ in range(11)]
    assert [decision.output for decision in decisions] == [Output.ON] * 10 + [Output.OFF]
    assert decisions[-1].cause == "blind: stale frame"
    assert decisions[-1].events == (
        Tripped(line.clock.time_ns, -1, "blind: stale frame", None, 0.0),
        StateChanged(line.clock.time_ns, -1, State.RUN, State.TRIPPED, "blind: stale frame"),
    )


def test_idle_ticks_do_not_make_the_field_free():
    line = Line()
    line.tick()
    assert [line.idle().state for _ in range(5)] == [State.SELF_TEST] * 5


def test_idle_ticks_keep_a_warning_up(line: Line):
    line.tick(sees(IN_WARNING))
    assert line.idle().warning


# What the detector can do wrong ------------------------------------------------------------


def raises(error: BaseException) -> Answer:
    def answer(frame: Frame) -> Detections:
        raise error

    return answer


def answers_for_another(**wrong: int) -> Answer:
    """Hands of a frame that was not asked for."""

    def answer(frame: Frame) -> Detections:
        told = {"frame_seq": frame.seq, "captured_ns": frame.captured_ns} | {
            name: getattr(frame, name.removeprefix("frame_")) + by for name, by in wrong.items()
        }
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), **told)

    return answer


def nan_boxes(frame: Frame) -> Detections:
    return sees([float("nan"), 0, 1, 1])(frame)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (raises(RuntimeError("out of memory")), "fault: detector RuntimeError: out of memory"),
        (raises(ValueError("a\n long  tale " + 200 * "o")), "fault: detector ValueError: a long tale " + 148 * "o"),
        (raises(ValueError(159 * "o" + " a")), "fault: detector ValueError: " + 159 * "o"),
        (raises(MemoryError()), "fault: detector MemoryError"),
        (raises(TimeoutError()), "fault: detector TimeoutError"),
        (nan_boxes, "fault: detector ValueError: detections must be finite"),
        (sees([0, 0, 1, 1], scores=[float("inf")]), "fault: detector ValueError: detections must be finite"),
        (lambda frame: None, "fault: detector AttributeError: 'NoneType' object has no attribute 'scores'"),
        (answers_for_another(frame_seq=-1), f"fault: {UNRELATED}"),
        (answers_for_another(captured_ns=-1), f"fault: {UNRELATED}"),
        (answers_for_another(captured_ns=1), f"fault: {UNRELATED}"),
    ],
)
def test_whatever_a_detector_does_wrong_is_a_fault_and_never_no_hands(line: Line, answer: Answer, cause: str):
    seen = line.memory.seen
    decision = line.tick(answer)
    assert (decision.state, decision.output, decision.cause) == (State.LOCKOUT, Output.OFF, cause)
    assert decision.detections is None
    assert line.memory.seen is seen
    assert decision.events[0] == Tripped(line.clock.time_ns, line.seq, cause, None, 0.0)
    assert line.tick().state is State.LOCKOUT
    assert line.tick().cause == cause


def test_a_detector_that_fails_before_the_first_answer_locks_out():
    assert Line().tick(raises(RuntimeError())).cause == "fault: detector RuntimeError"


def test_ctrl_c_inside_the_detector_is_not_swallowed(line: Line):
    with pytest.raises(KeyboardInterrupt):
        line.tick(raises(KeyboardInterrupt()))


def test_a_detector_that_failed_was_given_no_time(line: Line):
    line.clock.look_ns = 1 * MS
    times = line.tick(raises(RuntimeError())).times
    assert times.detected_ns == times.judged_ns == times.taken_ns + 1 * MS


# What a camera can do wrong ----------------------------------------------------------------


def test_a_frame_that_comes_twice_is_blindness_and_is_not_looked_at(line: Line):
    line.tick()
    again = Frame(line.seq, line.clock.time_ns, line.picture())
    asked = len(line.detector.asked)
    decision = line.take(again, sees(IN_STOP))
    assert (decision.output, decision.cause) == (Output.OFF, f"blind: {REPEATED}")
    assert (decision.detections, len(line.detector.asked)) == (None, asked)


def test_a_frame_older_than_the_newest_is_blindness(line: Line):
    line.tick()
    older = Frame(line.seq + 1, line.clock.time_ns - 1, line.picture())
    assert line.take(older).cause == f"blind: {REPEATED}"


@pytest.mark.parametrize("shape", [(24, 64, 3), (48, 32, 3), (64, 48, 3), (96, 128, 3)])
def test_a_picture_of_another_size_is_blindness_and_is_not_looked_at(line: Line, shape: tuple[int, int, int]):
    asked = len(line.detector.asked)
    decision = line.tick(image=np.full(shape, 100, np.uint8))
    assert (decision.output, decision.cause) == (Output.OFF, f"blind: {WRONG_SIZE}")
    assert (decision.detections, len(line.detector.asked)) == (None, asked)
    assert line.tick().cause == "blind: settling"


def test_a_first_picture_of_another_size_is_blindness_too():
    assert Line().tick(image=np.full((24, 64, 3), 100, np.uint8)).cause == f"blind: {WRONG_SIZE}"


def test_a_frozen_picture_trips_at_its_third_showing(line: Line):
    stuck = line.picture()
    outputs = [line.tick(image=stuck).output for _ in range(3)]
    assert outputs == [Output.ON, Output.ON, Output.OFF]
    assert line.decision is not None
    assert line.decision.cause == "blind: frozen"


def test_distrust_lasts_until_the_next_good_picture(line: Line):
    stuck = line.picture()
    for _ in range(3):
        line.tick(image=stuck)
    assert line.idle().cause == "blind: frozen"
    assert line.tick().cause == "blind: settling"


def test_a_hand_in_a_dark_picture_is_still_reported(line: Line):
    for _ in range(2):
        line.tick(image=line.picture() // 12)
    decision = line.tick(sees(IN_STOP), image=line.picture() // 12)
    assert decision.cause == "blind: dark"
    assert [zone.intruded for zone in decision.zones] == [True, True, False]
    tripped = decision.events[0]
    assert isinstance(tripped, Tripped)
    assert (tripped.zone, tripped.score) == (None, 0.0)


def test_a_frame_from_the_future_is_blindness(line: Line):
    ahead = Frame(line.seq + 1, line.clock.time_ns + 1, line.picture())
    assert line.take(ahead).cause == "blind: frame from the future"


def test_everything_wrong_at_once_is_all_said(line: Line):
    decision = line.tick(image=np.zeros((1, 1, 3), np.uint8), impairments=frozenset({"port gone"}))
    assert decision.cause == f"blind: port gone, {WRONG_SIZE}"
    decision = line.tick(raises(RuntimeError()), faults=frozenset({"keeper dead"}))
    assert decision.cause == "fault: detector RuntimeError, keeper dead"


# What else is sensed -----------------------------------------------------------------------


def test_an_impairment_from_outside_trips_and_may_be_reset(line: Line):
    decision = line.tick(impairments=frozenset({"port gone"}))
    assert (decision.state, decision.cause) == (State.TRIPPED, "blind: port gone")
    assert line.running()


def test_a_fault_from_outside_locks_out(line: Line):
    decision = line.tick(faults=frozenset({"keeper dead"}))
    assert (decision.state, decision.cause) == (State.LOCKOUT, "fault: keeper dead")


def test_the_contact_is_compared_with_the_output(line: Line):
    for _ in range(2):
        line.tick(contactor_open=True)
    assert line.decision is not None
    assert (line.decision.state, line.decision.cause) == (State.LOCKOUT, "fault: contactor")


def test_the_decision_carries_all_that_the_interlock_was_told(line: Line):
    wrong_size = np.full((1, 1, 3), 100, np.uint8)
    decision = line.tick(image=wrong_size, reset_down=True, contactor_open=False, impairments=frozenset({"dim"}))
    assert decision.sensed == Sensed(True, False, frozenset({"dim", WRONG_SIZE}), frozenset())
    decision = line.tick(raises(RuntimeError()), contactor_open=True, faults=frozenset({"weld"}))
    assert decision.sensed == Sensed(False, True, frozenset(), frozenset({"weld", "detector RuntimeError"}))


def test_the_stamp_of_the_button_reaches_the_interlock_and_the_record(line: Line):
    decision = line.tick(reset_down=True, reset_since_ns=7)
    assert line.memory.interlock.down_since_ns == 7
    assert decision.sensed == Sensed(True, None, frozenset(), frozenset(), 7)


def test_a_button_that_cannot_be_read_blinds(line: Line):
    decision = line.tick(reset_down=None)
    assert (decision.state, decision.cause) == (State.TRIPPED, "blind: reset button unreadable")
    assert decision.sensed == Sensed(None, None, frozenset(), frozenset())


def test_a_stuck_button_is_told_once_and_so_is_its_end():
    line = Line()
    first = line.tick(reset_down=True)  # held since power-up
    assert first.events[0] == ResetStuck(line.clock.time_ns, line.seq)
    assert line.tick(reset_down=True).events == ()
    told = line.tick(reset_down=False)
    assert told.events[-1] == ResetFreed(line.clock.time_ns, line.seq)
    assert line.tick(reset_down=False).events == ()


def test_memory_is_replaced_and_never_changed(line: Line):
    before = line.memory
    state, seen = before.interlock, before.seen
    line.tick(sees(IN_STOP))
    assert (before.interlock, before.seen) == (state, seen)
    assert line.memory is not before


def test_equal_arguments_give_an_equal_decision():
    ways = [Line().running(), Line().running()]
    decisions = [line.tick(sees(IN_STOP)) for line in ways]
    assert decisions[0].events == decisions[1].events
    assert decisions[0].zones == decisions[1].zones
    assert (decisions[0].cause, decisions[0].times) == (decisions[1].cause, decisions[1].times)


def test_memory_at_power_up_knows_nothing():
    fresh = Memory()
    assert fresh.interlock == interlock.Memory()
    assert (fresh.trust.sample, fresh.distrust, fresh.seen, fresh.zones) == (None, frozenset(), None, ())


def test_what_is_called_what_by_others():
    assert (REPEATED, WRONG_SIZE) == ("repeated frame", "wrong picture size")
    assert UNRELATED == "detector answered for another frame"


def test_senses_that_are_not_told_are_none():
    senses = Senses(taken_ns=1, frame=None)
    assert (senses.reset_down, senses.contactor_open, senses.reset_since_ns) == (False, None, None)
    assert (senses.impairments, senses.faults) == (frozenset(), frozenset())


def test_a_permit_names_the_frame_it_was_made_from(line: Line):
    decision = line.tick()
    permit = permit_of(line.memory, decision, 7)
    assert (permit.seq, permit.frame_seq, permit.captured_ns) == (7, line.seq, decision.times.captured_ns)
    assert (permit.judged_ns, permit.output) == (decision.times.judged_ns, Output.ON)


def test_a_permit_of_an_idle_tick_still_names_the_newest_judged_frame(line: Line):
    newest = line.tick().times.captured_ns
    permit = permit_of(line.memory, line.idle(), 8)
    assert (permit.frame_seq, permit.captured_ns) == (line.seq, newest)
    assert permit.judged_ns > newest


def test_before_the_first_frame_a_permit_names_none_and_is_off():
    line = Line()
    permit = permit_of(line.memory, line.idle(), 0)
    assert (permit.frame_seq, permit.captured_ns, permit.output) == (-1, 0, Output.OFF)


def test_a_run_begins_with_nothing_proven_or_in_the_lockout_that_an_earlier_one_left() -> None:
    fresh, locked = beginning(None), beginning("edm: contact closed")
    assert fresh.interlock == interlock.Memory()
    assert locked.interlock == interlock.Memory(state=State.LOCKOUT, cause="edm: contact closed")
    assert all((one.seen, one.zones, one.distrust) == (None, (), frozenset()) for one in (fresh, locked))

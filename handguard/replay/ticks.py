"""A recording, tick by tick, through the very `advance` that runs live.

Around it everything is virtual and obedient: the clock is the recording's, the
contactor follows, the operator presses reset by rule. What is decided depends on
the pictures, the detector and the rules, and on nothing else.

One tick a frame, none skipped, none late. Where the recording itself was silent
for too long, the interlock sees the gap between the frames, as it would live.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from handguard.pipeline import Rules, Senses, advance, beginning, permit_of
from handguard.ports import Clock, Detector, FrameSource
from handguard.relay.operator import SimulatedOperator
from handguard.replay.ahead import frames_ahead
from handguard.replay.clock import RecordingClock
from handguard.replay.contactor import ObedientContactor
from handguard.types import Decision, Frame, Permit


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """One tick: what was shown, what was decided, what the relay would have been told."""

    frame: Frame
    decision: Decision
    permit: Permit


def ticks(
    source: FrameSource, detector: Detector, rules: Rules, operator: SimulatedOperator
) -> Generator[Tick, None, None]:
    """Every tick of a finite source, in order; close the generator when leaving early.

    Raises `RecordingError` where the recording breaks off before its end.
    """
    stand = _Stand(detector, rules, operator)
    with closing(frames_ahead(source)) as frames:
        for frame in frames:
            yield stand.tick(frame)


class Course:
    """Steps from tick to tick and keeps the memory between them. Replay advances here and nowhere else."""

    def __init__(self, detector: Detector, clock: Clock, rules: Rules, lockout: str | None = None) -> None:
        """`lockout` is what a run began with, where it began locked out."""
        self._detector, self._clock, self._rules = detector, clock, rules
        self.memory = beginning(lockout)

    def step(self, senses: Senses) -> Decision:
        """Judge the next tick."""
        self.memory, decision = advance(self.memory, senses, self._detector, self._clock, self._rules)
        return decision


class _Stand:
    """What a recording does not show: time, contactor and operator."""

    def __init__(self, detector: Detector, rules: Rules, operator: SimulatedOperator) -> None:
        self._operator = operator
        self._clock = RecordingClock()
        self._contactor = ObedientContactor()
        self._course = Course(detector, self._clock, rules)
        self._permits = 0

    def tick(self, frame: Frame) -> Tick:
        """Judge one frame at the moment it was captured."""
        taken_ns = frame.captured_ns
        self._clock.begin(taken_ns)
        self._operator.look(self._course.memory.interlock.state, taken_ns)
        senses = Senses(
            taken_ns=taken_ns,
            frame=frame,
            reset_down=self._operator.read().down,
            contactor_open=self._contactor.is_open(taken_ns),
        )
        decision = self._course.step(senses)
        self._contactor.command(decision.output, self._clock.now_ns())
        self._permits += 1
        return Tick(frame, decision, permit_of(self._course.memory, decision, self._permits - 1))

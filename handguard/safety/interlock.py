"""The interlock: which state we are in, and therefore whether the output may be on.

Rule 1. Everything that can change the state is in this file.
Rule 2. This file does not know about cameras, networks, relays or clocks; it
        sees one `Observation` per tick, and time is a number inside it.
Rule 3. The output is a function of the state. Exactly one state turns it on.
Rule 4. A tick in which nothing was seen is still a tick, and it is unsafe.
Rule 5. Reset is a press and a release, both seen while free (ISO 13849-1 asks
        for the falling edge): a button taped down, or held at power-up, never restarts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from handguard.types import Condition, Output, State

_S, _C = State, Condition
# fmt: off
TRANSITIONS: dict[State, dict[Condition, State]] = {
    _S.SELF_TEST:   {_C.FAULT: _S.LOCKOUT, _C.BLIND: _S.SELF_TEST, _C.INTRUDED: _S.TRIPPED,
                     _C.RESET: _S.AWAIT_RESET, _C.FREE: _S.AWAIT_RESET},
    _S.RUN:         {_C.FAULT: _S.LOCKOUT, _C.BLIND: _S.TRIPPED, _C.INTRUDED: _S.TRIPPED,
                     _C.RESET: _S.RUN, _C.FREE: _S.RUN},
    _S.TRIPPED:     {_C.FAULT: _S.LOCKOUT, _C.BLIND: _S.TRIPPED, _C.INTRUDED: _S.TRIPPED,
                     _C.RESET: _S.AWAIT_RESET, _C.FREE: _S.AWAIT_RESET},
    _S.AWAIT_RESET: {_C.FAULT: _S.LOCKOUT, _C.BLIND: _S.TRIPPED, _C.INTRUDED: _S.TRIPPED,
                     _C.RESET: _S.RUN, _C.FREE: _S.AWAIT_RESET},
    _S.LOCKOUT:     dict.fromkeys(Condition, _S.LOCKOUT),
}
# fmt: on


class Restart(Enum):
    """Who may start the machine again after a trip."""

    MANUAL = "manual"  # a person presses reset: the restart interlock
    AUTOMATIC = "automatic"  # as soon as the field is free; only where nobody can reach the danger unseen


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the interlock. `limits.py` bounds what a site may choose."""

    max_frame_age_ns: int
    edm_timeout_ns: int
    free_frames: int  # consecutive free frames before a trip may be reset; tripping takes one
    reset_shortest_ns: int = 100_000_000  # shorter presses are contact bounce
    reset_longest_ns: int = 3_000_000_000  # longer ones are a stuck or blocked button
    restart: Restart = Restart.MANUAL


@dataclass(frozen=True, slots=True)
class Observation:
    """All that the interlock may know about the world at one tick."""

    now_ns: int
    captured_ns: int | None  # capture time of the newest judged frame; None if there is none
    intruded: bool
    reset_down: bool  # raw level of the reset button
    contactor_open: bool | None  # EDM feedback: True when the relay has really dropped; None: no feedback
    impairments: frozenset[str] = frozenset()  # cannot guard now: dark, frozen, port gone; a reset may follow
    faults: frozenset[str] = frozenset()  # cannot be trusted again without service


@dataclass(frozen=True, slots=True)
class Memory:
    """What the interlock remembers from one tick to the next."""

    state: State = State.SELF_TEST
    commanded_at_ns: int = 0  # when the output last changed
    judged_ns: int = -1  # capture time of the last frame counted
    free_streak: int = 0
    reset_was_down: bool = True  # a button held down at power-up is not a press
    pressed_at_ns: int | None = None  # when the press that may become a reset began
    cause: str = "starting"  # why the state is what it is, in words


@dataclass(frozen=True, slots=True)
class _Verdict:
    condition: Condition
    cause: str
    free_streak: int


def output_of(state: State) -> Output:
    """The output a state commands."""
    return Output.ON if state is State.RUN else Output.OFF


def step(memory: Memory, seen: Observation, limits: Limits) -> Memory:
    """Advance one tick. Pure: equal arguments always give an equal result."""
    verdict = _classify(memory, seen, limits)
    state = TRANSITIONS[memory.state][verdict.condition]
    changed = output_of(state) is not output_of(memory.state)
    return replace(
        memory,
        state=state,
        commanded_at_ns=seen.now_ns if changed else memory.commanded_at_ns,
        judged_ns=memory.judged_ns if seen.captured_ns is None else seen.captured_ns,
        free_streak=verdict.free_streak,
        reset_was_down=seen.reset_down,
        pressed_at_ns=_press(memory, seen) if verdict.condition is Condition.FREE else None,
        cause=memory.cause if memory.state is State.LOCKOUT else verdict.cause,
    )


def _classify(memory: Memory, seen: Observation, limits: Limits) -> _Verdict:
    faults = sorted(seen.faults) + ["contactor"] * _contactor_disobeys(memory, seen, limits)
    if faults:
        return _Verdict(Condition.FAULT, f"fault: {', '.join(faults)}", 0)
    blindness = _blindness(seen, limits)
    if blindness:
        return _Verdict(Condition.BLIND, f"blind: {blindness}", 0)
    if seen.intruded:
        return _Verdict(Condition.INTRUDED, "intruded", 0)
    streak = _free_streak(memory, seen, limits)
    if streak < limits.free_frames and memory.state is not State.RUN:
        # free, but not yet long enough to believe
        return _Verdict(Condition.BLIND, "blind: settling", streak)
    if limits.restart is Restart.AUTOMATIC:
        return _Verdict(Condition.RESET, "automatic restart", streak)
    if _released(memory, seen, limits):
        return _Verdict(Condition.RESET, "reset", streak)
    return _Verdict(Condition.FREE, "free", streak)


def _blindness(seen: Observation, limits: Limits) -> str | None:
    """Why nothing can be said about the field now; None when it can be seen."""
    if seen.impairments:
        return ", ".join(sorted(seen.impairments))
    if seen.captured_ns is None:
        return "no frame"
    age_ns = seen.now_ns - seen.captured_ns
    if age_ns < 0:
        return "frame from the future"
    return "stale frame" if age_ns > limits.max_frame_age_ns else None


def _free_streak(memory: Memory, seen: Observation, limits: Limits) -> int:
    is_new = seen.captured_ns is not None and seen.captured_ns > memory.judged_ns
    return min(memory.free_streak + is_new, limits.free_frames)


def _press(memory: Memory, seen: Observation) -> int | None:
    """When the press that is going on began; None when the button is up, or was down before it counted."""
    if not seen.reset_down:
        return None
    return memory.pressed_at_ns if memory.reset_was_down else seen.now_ns


def _released(memory: Memory, seen: Observation, limits: Limits) -> bool:
    if seen.reset_down or memory.pressed_at_ns is None:
        return False
    held_ns = seen.now_ns - memory.pressed_at_ns
    return limits.reset_shortest_ns <= held_ns <= limits.reset_longest_ns


def _contactor_disobeys(memory: Memory, seen: Observation, limits: Limits) -> bool:
    if seen.contactor_open is None:
        return False
    told_open = output_of(memory.state) is Output.OFF
    if seen.contactor_open == told_open:
        return False
    return seen.now_ns - memory.commanded_at_ns > limits.edm_timeout_ns

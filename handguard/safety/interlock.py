"""The interlock: which state we are in, and therefore whether the output may be on.

Rule 1. Everything that can change the state is in this file.
Rule 2. This file does not know about cameras, networks, relays or clocks; it
        sees one `Observation` per tick, and time is a number inside it.
Rule 3. The output is a function of the state. Exactly one state turns it on.
Rule 4. A tick in which nothing was seen is still a tick, and it is unsafe.
Rule 5. Reset is a press and a release, both seen while free (ISO 13849-1 asks
        for the falling edge): a button taped down, or held at power-up, never restarts.
Rule 6. Silence is blindness even if nobody ticked while it lasted: two frames
        further apart than a frame may be old are not one continuous view.
Rule 7. Nothing restarts over a contact that has not been seen to open, however
        soon reset is pressed: a welded one must reach its timeout.
Rule 8. A button that is down for longer than any press, or has been since power-up,
        is stuck: that is said, and only its release ends it. One that cannot be
        read is no button, and blinds.
Rule 9. Nothing in here ends a lockout, and neither does a new start: `begun` takes
        one up again until service has cleared it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from handguard.types import Condition, Output, State

INTRUDED = "intruded"  # the cause of every trip by a hand
STUCK = "reset button stuck"  # joins the cause while the field is free: why no press is heard
FOR_EVER_NS = -(1 << 62)  # before every machine's power-up

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
    """The numbers of the interlock. `limits.py` bounds what a site may choose.

    Raises `ValueError` for numbers that would switch a rule off.
    """

    max_frame_age_ns: int
    edm_timeout_ns: int
    free_frames: int  # consecutive free frames before a trip may be reset; tripping takes one
    reset_shortest_ns: int = 100_000_000  # shorter presses are contact bounce
    reset_longest_ns: int = 3_000_000_000  # longer ones are a stuck or blocked button
    restart: Restart = Restart.MANUAL

    def __post_init__(self) -> None:
        for name in ("max_frame_age_ns", "edm_timeout_ns", "free_frames", "reset_shortest_ns"):
            found = getattr(self, name)
            if not 1 <= found < math.inf:
                raise ValueError(f"{name}: expected a finite number of at least 1, found {found}")
        if not self.reset_shortest_ns <= self.reset_longest_ns < math.inf:
            shortest_ns, found = self.reset_shortest_ns, self.reset_longest_ns
            raise ValueError(f"reset_longest_ns: expected at least reset_shortest_ns {shortest_ns}, found {found}")


@dataclass(frozen=True, slots=True)
class Observation:
    """All that the interlock may know about the world at one tick."""

    now_ns: int
    sensed_ns: int  # when the button and the contact were read; the frame took time to judge since
    captured_ns: int | None  # capture time of the newest judged frame; None if there is none
    intruded: bool
    reset_down: bool | None  # raw level of the reset button; None: it cannot be read
    contactor_open: bool | None  # EDM feedback: True when the relay has really dropped; None: no feedback
    reset_since_ns: int | None = None  # when that level began, where the input stamps its edges
    impairments: frozenset[str] = frozenset()  # cannot guard now: dark, frozen, port gone; a reset may follow
    faults: frozenset[str] = frozenset()  # cannot be trusted again without service


@dataclass(frozen=True, slots=True)
class Memory:
    """What the interlock remembers from one tick to the next."""

    state: State = State.SELF_TEST
    commanded_at_ns: int = 0  # when the output last changed
    judged_ns: int | None = None  # capture time of the newest frame counted; None before the first
    free_streak: int = 0
    down_since_ns: int | None = FOR_EVER_NS  # None: the button is up. One held at power-up was never pressed
    pressed_at_ns: int | None = None  # when the press that may become a reset began
    reset_is_stuck: bool = False
    cause: str = "starting"  # why the state is what it is, in words


@dataclass(frozen=True, slots=True)
class _Verdict:
    condition: Condition
    cause: str
    free_streak: int


def output_of(state: State) -> Output:
    """The output a state commands."""
    return Output.ON if state is State.RUN else Output.OFF


def begun(lockout: str | None) -> Memory:
    """What a run begins with: nothing proven, or the lockout that an earlier one left behind, with its cause."""
    return Memory() if lockout is None else Memory(state=State.LOCKOUT, cause=lockout)


def step(memory: Memory, seen: Observation, limits: Limits) -> Memory:
    """Advance one tick. Pure: equal arguments always give an equal result."""
    verdict = _classify(memory, seen, limits)
    state = TRANSITIONS[memory.state][verdict.condition]
    changed = output_of(state) is not output_of(memory.state)
    return replace(
        memory,
        state=state,
        commanded_at_ns=seen.now_ns if changed else memory.commanded_at_ns,
        judged_ns=_newest(memory.judged_ns, seen.captured_ns),
        free_streak=verdict.free_streak,
        down_since_ns=_down_since(memory, seen),
        pressed_at_ns=_press(memory, seen) if verdict.condition is Condition.FREE else None,
        reset_is_stuck=_is_stuck(memory, seen, limits),
        cause=memory.cause if memory.state is State.LOCKOUT else verdict.cause,
    )


def _classify(memory: Memory, seen: Observation, limits: Limits) -> _Verdict:
    faults = sorted(seen.faults) + ["contactor"] * _contactor_disobeys(memory, seen, limits)
    if faults:
        return _Verdict(Condition.FAULT, f"fault: {', '.join(faults)}", 0)
    blindness = _blindness(memory, seen, limits)
    if blindness:
        return _Verdict(Condition.BLIND, f"blind: {blindness}", 0)
    if seen.intruded:
        return _Verdict(Condition.INTRUDED, INTRUDED, 0)
    streak = _free_streak(memory, seen, limits)
    if streak < limits.free_frames:
        # free, but not yet long enough to believe
        return _Verdict(Condition.BLIND, "blind: settling", streak)
    if limits.restart is Restart.AUTOMATIC and memory.state is State.AWAIT_RESET:
        return _Verdict(Condition.RESET, "automatic restart", streak)
    if _released(memory, seen, limits):
        return _Verdict(Condition.RESET, "reset", streak)
    return _Verdict(Condition.FREE, f"free: {STUCK}" if _is_stuck(memory, seen, limits) else "free", streak)


def _blindness(memory: Memory, seen: Observation, limits: Limits) -> str | None:
    """Why nothing can be said about the field now; None when it can be seen."""
    if seen.impairments:
        return ", ".join(sorted(seen.impairments))
    if seen.captured_ns is None:
        return "no frame"
    age_ns = seen.now_ns - seen.captured_ns
    since_ns = 0 if memory.judged_ns is None else seen.captured_ns - memory.judged_ns
    told_off = output_of(memory.state) is Output.OFF
    reasons = {
        "frame from the future": age_ns < 0,
        "stale frame": age_ns > limits.max_frame_age_ns,
        "frame out of order": since_ns < 0,
        "gap between frames": since_ns > limits.max_frame_age_ns,
        "contact still closed": told_off and seen.contactor_open is False,
        "reset button unreadable": seen.reset_down is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _free_streak(memory: Memory, seen: Observation, limits: Limits) -> int:
    is_new = seen.captured_ns != memory.judged_ns  # an older one is blindness, and does not come here
    return min(memory.free_streak + is_new, limits.free_frames)


def _newest(judged_ns: int | None, captured_ns: int | None) -> int | None:
    if judged_ns is None or captured_ns is None:
        return captured_ns if judged_ns is None else judged_ns
    return max(judged_ns, captured_ns)


def _is_new(memory: Memory, seen: Observation) -> bool:
    """Was the button, now down, up since the tick before? Stamped edges show it even between two ticks."""
    return memory.down_since_ns is None or seen.reset_since_ns not in (None, memory.down_since_ns)


def _turned_ns(seen: Observation) -> int:
    """When the button came to its level; without a stamp, when it was first seen there."""
    return seen.sensed_ns if seen.reset_since_ns is None else seen.reset_since_ns


def _down_since(memory: Memory, seen: Observation) -> int | None:
    """None when the button is up. One that cannot be read may have been down for ever."""
    if seen.reset_down is None:
        return FOR_EVER_NS
    if not seen.reset_down:
        return None
    return _turned_ns(seen) if _is_new(memory, seen) else memory.down_since_ns


def _is_stuck(memory: Memory, seen: Observation, limits: Limits) -> bool:
    since_ns = _down_since(memory, seen) if seen.reset_down else None
    return since_ns is not None and seen.sensed_ns - since_ns > limits.reset_longest_ns


def _press(memory: Memory, seen: Observation) -> int | None:
    """When the press that is going on began; None when the button is up, or was down before it counted."""
    if not seen.reset_down:
        return None
    return _turned_ns(seen) if _is_new(memory, seen) else memory.pressed_at_ns


def _released(memory: Memory, seen: Observation, limits: Limits) -> bool:
    if seen.reset_down or memory.pressed_at_ns is None:
        return False
    held_ns = _turned_ns(seen) - memory.pressed_at_ns
    return limits.reset_shortest_ns <= held_ns <= limits.reset_longest_ns


def _contactor_disobeys(memory: Memory, seen: Observation, limits: Limits) -> bool:
    """EDM: has the contact not followed the output in time?"""
    told_open = output_of(memory.state) is Output.OFF
    if seen.contactor_open is None or seen.contactor_open == told_open:
        return False
    if seen.contactor_open and seen.impairments:
        return False  # whatever impairs us may have dropped it; open is safe, and this tick trips
    return seen.sensed_ns - memory.commanded_at_ns > limits.edm_timeout_ns

"""Every sequence of ticks, however long, against a second statement of the rules.

Ticks come every 33 ms and are of a dozen kinds. What the interlock remembers is
then finite once times are taken relative to now, so every state that any sequence
can reach is visited and every kind of tick is tried in it. `Expected` says the same
rules in another way, counting milliseconds instead of keeping a table of states.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.safety.interlock import Limits, Memory, Observation, Restart, output_of, step
from handguard.types import Condition, Output, State

MS = 1_000_000
TICK_MS, FRAME_AGE_MS = 33, 10
MAX_AGE_MS, EDM_MS, FREE_FRAMES = 70, 50, 3
SHORTEST_MS, LONGEST_MS = 60, 140
LONG_AGO_MS = 1000
MANUAL = Limits(
    max_frame_age_ns=MAX_AGE_MS * MS,
    edm_timeout_ns=EDM_MS * MS,
    free_frames=FREE_FRAMES,
    reset_shortest_ns=SHORTEST_MS * MS,
    reset_longest_ns=LONGEST_MS * MS,
)
AUTOMATIC = replace(MANUAL, restart=Restart.AUTOMATIC)
KINDS = (
    "free", "press", "hand", "no-frame", "stale", "fault",
    "impaired", "idle", "idle-press", "welded", "dropped", "dropped-impaired", "no-button",
)  # fmt: skip
(FREE, PRESS, HAND, NO_FRAME, STALE, FAULT, IMPAIRED, IDLE, IDLE_PRESS, WELDED, DROPPED, DROPPED_IMPAIRED,
 NO_BUTTON) = KINDS  # fmt: skip
PRESSES, DROPS = {PRESS, IDLE_PRESS}, {DROPPED, DROPPED_IMPAIRED}


def captured_age_ms(kind: str, newest_age_ms: int | None) -> int | None:
    """How old the frame of this tick is; None for no frame."""
    if kind == NO_FRAME:
        return None
    if kind in (IDLE, IDLE_PRESS):
        return newest_age_ms
    return MAX_AGE_MS + 1 if kind == STALE else FRAME_AGE_MS


@dataclass(frozen=True)
class Expected:
    """The rules once more. Ages in milliseconds; None: never."""

    on: bool = False
    dead: bool = False
    told_ms: int = LONG_AGO_MS  # since the output changed
    frame_ms: int | None = None  # since the newest frame was captured
    free: int = 0  # frames in a row
    held_ms: int | None = None  # of a press that may count
    down_ms: int | None = LONG_AGO_MS  # since the button was up, pressed when it counts or not

    def after(self, kind: str, automatic: bool) -> Expected:
        told_ms = min(self.told_ms + TICK_MS, LONG_AGO_MS)
        before_ms = None if self.frame_ms is None else min(self.frame_ms + TICK_MS, LONG_AGO_MS)
        age_ms = captured_age_ms(kind, before_ms)
        frame_ms = min((age for age in (age_ms, before_ms) if age is not None), default=None)
        closed = kind == WELDED or (self.on and kind not in DROPS)
        late = told_ms > EDM_MS
        contact_fault = late and (closed != self.on) and not (kind == DROPPED_IMPAIRED and self.on)
        dead = self.dead or kind == FAULT or contact_fault
        seen = age_ms is not None and age_ms <= MAX_AGE_MS
        in_step = before_ms is None or (age_ms is not None and 0 <= before_ms - age_ms <= MAX_AGE_MS)
        contact_waits = closed and not self.on
        hopeless = kind in (HAND, IMPAIRED, DROPPED_IMPAIRED, NO_BUTTON)
        unsafe = hopeless or not seen or not in_step or contact_waits
        down_ms = self.button_ms(kind)
        if dead or unsafe:
            return Expected(False, dead, 0 if self.on else told_ms, frame_ms, 0, None, down_ms)
        free = min(self.free + (age_ms != before_ms), FREE_FRAMES)
        return self._free(kind, automatic, told_ms, frame_ms, free, down_ms)

    def button_ms(self, kind: str) -> int | None:
        """For how long the button will have been down; for all that is known if it cannot be read."""
        if kind == NO_BUTTON:
            return LONG_AGO_MS
        if kind not in PRESSES:
            return None
        held_ms = 0 if self.down_ms is None else self.down_ms + TICK_MS
        return held_ms if held_ms <= LONGEST_MS else LONG_AGO_MS

    def is_stuck(self, kind: str) -> bool:
        """Once this tick, of the kind given, has been taken."""
        return kind in PRESSES and self.down_ms == LONG_AGO_MS

    def _free(
        self, kind: str, automatic: bool, told_ms: int, frame_ms: int | None, free: int, down_ms: int | None
    ) -> Expected:
        down, long_enough = kind in PRESSES, free == FREE_FRAMES
        held_ms = None if self.held_ms is None else self.held_ms + TICK_MS
        released = not down and held_ms is not None and SHORTEST_MS <= held_ms <= LONGEST_MS
        was_waiting = self.free == FREE_FRAMES and not self.on
        starts = (automatic and was_waiting) or released
        if down and self.down_ms is None and long_enough:
            held_ms = 0
        held_ms = held_ms if down and long_enough and not (automatic and was_waiting) else None
        if held_ms is not None and held_ms > LONGEST_MS:
            held_ms = LONG_AGO_MS
        on = self.on or starts
        return Expected(on, False, told_ms if on == self.on else 0, frame_ms, free, held_ms, down_ms)


def observation(kind: str, memory: Memory, newest_age_ms: int | None) -> Observation:
    """The tick at time 0; the memory's times lie before it."""
    age_ms = captured_age_ms(kind, newest_age_ms)
    obeys = output_of(memory.state) is Output.OFF
    return Observation(
        now_ns=0,
        sensed_ns=0,
        captured_ns=None if age_ms is None else -age_ms * MS,
        intruded=kind == HAND,
        reset_down=None if kind == NO_BUTTON else kind in PRESSES,
        contactor_open=False if kind == WELDED else (kind in DROPS or obeys),
        impairments=frozenset({"dark"} if kind in (IMPAIRED, DROPPED_IMPAIRED) else ()),
        faults=frozenset({"weld"} if kind == FAULT else ()),
    )


def aged(memory: Memory) -> Memory:
    """The memory one tick later, its times relative to the new now; what is long ago is long ago."""

    def earlier(time_ns: int, limit_ms: int = LONG_AGO_MS) -> int:
        return max(time_ns - TICK_MS * MS, -limit_ms * MS)

    def pressed(time_ns: int | None) -> int | None:
        """Beyond the longest press all times are one."""
        if time_ns is None:
            return None
        return earlier(time_ns) if earlier(time_ns) >= -(LONGEST_MS + TICK_MS) * MS else -LONG_AGO_MS * MS

    return replace(
        memory,
        commanded_at_ns=earlier(memory.commanded_at_ns),
        judged_ns=None if memory.judged_ns is None else earlier(memory.judged_ns),
        down_since_ns=pressed(memory.down_since_ns),
        pressed_at_ns=pressed(memory.pressed_at_ns),
        reset_is_stuck=False,
        cause="",
    )


def ticked(memory: Memory, kind: str, limits: Limits) -> Memory:
    """One tick of this kind, at the time 0 that the memory's times are relative to."""
    newest_age_ms = None if memory.judged_ns is None else -memory.judged_ns // MS
    return step(memory, observation(kind, memory, newest_age_ms), limits)


def reachable(limits: Limits) -> int:
    """Visit every reachable state and compare; returns how many there were."""
    start = (aged(Memory(commanded_at_ns=-LONG_AGO_MS * MS)), Expected())
    known, todo = {start}, deque([start])
    while todo:
        memory, expected = todo.popleft()
        for kind in KINDS:
            after = ticked(memory, kind, limits)
            should = expected.after(kind, limits.restart is Restart.AUTOMATIC)
            assert (output_of(after.state) is Output.ON) == should.on, (kind, memory, after, should)
            assert (after.state is State.LOCKOUT) == should.dead, (kind, memory, after, should)
            assert after.reset_is_stuck == should.is_stuck(kind), (kind, memory, after, should)
            pair = (aged(after), should)
            if pair not in known:
                known.add(pair)
                todo.append(pair)
    assert {memory.state for memory, _ in known} == set(State)
    return len(known)


@pytest.mark.parametrize("limits", [MANUAL, AUTOMATIC], ids=["manual", "automatic"])
def test_every_sequence_of_any_length_does_what_the_rules_say(limits: Limits):
    assert reachable(limits) > 1000


kinds = st.lists(st.sampled_from(KINDS), max_size=40)


@given(kinds, st.integers(-(10**15), 10**15), st.sampled_from([MANUAL, AUTOMATIC]))
def test_only_differences_of_time_matter(sequence: list[str], epoch_ns: int, limits: Limits):
    """Which is what makes the visit above a proof about any time of day."""
    here, there = Memory(commanded_at_ns=-(10**16)), Memory(commanded_at_ns=-(10**16))
    for i, kind in enumerate(sequence):
        now_ns = i * TICK_MS * MS
        newest_age_ms = None if here.judged_ns is None else (now_ns - here.judged_ns) // MS
        plain = observation(kind, here, newest_age_ms)
        here = step(here, at(plain, now_ns), limits)
        there = step(there, at(plain, epoch_ns + now_ns), limits)
        assert (here.state, here.cause, here.free_streak) == (there.state, there.cause, there.free_streak)


def at(plain: Observation, now_ns: int) -> Observation:
    """The observation at another time."""
    captured_ns = None if plain.captured_ns is None else plain.captured_ns + now_ns
    return replace(plain, now_ns=now_ns, sensed_ns=now_ns, captured_ns=captured_ns)


@given(kinds, st.sampled_from([MANUAL, AUTOMATIC]))
def test_stepping_is_a_function(sequence: list[str], limits: Limits):
    first, second = Memory(), Memory()
    for kind in sequence:
        first, second = (aged(ticked(memory, kind, limits)) for memory in (first, second))
        assert first == second


def test_run_is_never_reached_without_a_release():
    """Whatever else happens: if the button never comes up after going down, it stays off."""
    for silent in ({*PRESSES, NO_BUTTON}, set(KINDS) - PRESSES):
        start = aged(Memory(commanded_at_ns=-LONG_AGO_MS * MS))
        known, todo = {start}, deque([start])
        while todo:
            memory = todo.popleft()
            for kind in silent:
                after = aged(ticked(memory, kind, MANUAL))
                assert output_of(after.state) is Output.OFF
                if after not in known:
                    known.add(after)
                    todo.append(after)


def test_conditions_are_listed_by_priority():
    order = [Condition.FAULT, Condition.BLIND, Condition.INTRUDED, Condition.RESET, Condition.FREE]
    assert list(Condition) == order

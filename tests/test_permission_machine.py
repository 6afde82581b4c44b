"""Interlock and keeper together, with anything between them: a contact closes only after a person's reset.

A state machine drives both through what can happen to frames, hands, the button,
permits on their way, the board and the contact. What is held is what a person at
the machine could see: when the contact closes, somebody has pressed and let go
since it last opened; while it is closed, a frame without a hand was judged a
moment ago; and a monitor that falls silent opens it at the deadline.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from handguard.monitor import RECOVERABLE
from handguard.relay.board import Command
from handguard.relay.keeper import next_due_ns, step
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
    Woke,
    Written,
    report_of,
)
from handguard.relay.wire import Fault, Trait, WirePermit
from handguard.safety import interlock
from handguard.types import Output, State

LIMITS = interlock.Limits(max_frame_age_ns=100 * MS, edm_timeout_ns=300 * MS, free_frames=3)
KEEPER = KeeperLimits(deadline_ns=100 * MS, max_frame_age_ns=250 * MS, feedback_ns=300 * MS)
FRAME_MS, DROP_OUT_MS = 33, 5
SHORTEST_MS, LONGEST_MS = 100, 3000


class AnythingBetweenThem(RuleBasedStateMachine):
    limits = LIMITS

    @initialize(uptime_ms=st.integers(1, 10**9), rest_ms=st.sampled_from([0, 20, 100]), is_read=st.booleans())
    def power_up(self, uptime_ms: int, rest_ms: int, is_read: bool) -> None:
        self.now_ns = uptime_ms * MS
        self.board = BoardOpened(rest_ms * MS, readback=is_read)
        self.keeper, self.memory = KeeperState(), interlock.Memory()
        self.frame_seq = self.permit_seq = 0
        self.captured_ns: int | None = None
        self.hand = self.button = self.welded = False
        self.is_plugged = True
        self.sent: list[WirePermit] = []
        # the machine, as a person sees it
        self.contact, self.moves_ns = False, 0
        self.pressed_ns: int | None = None
        self.was_reset = False  # pressed and let go since the contact last opened
        self.feed(Woke())

    # The keeper, its board, and the contact -------------------------------------------------

    def feed(self, seen: Input) -> None:
        waiting = [seen]
        while waiting:
            self.keeper, actions = step(self.keeper, waiting.pop(0), self.now_ns, KEEPER)
            waiting += [answer for action in actions if (answer := self.answer(action)) is not None]

    def answer(self, action: Action) -> Input | None:
        if action is Action.OPEN:
            return self.board if self.is_plugged else BoardFailed(Fault.RELAY_PORT)
        if action is Action.LOOK:
            return ContactRead(self.told() if self.board.readback else None)
        if action not in (Action.WRITE_OFF, Action.WRITE_ON):
            return None
        if not self.is_plugged:
            return BoardFailed(Fault.RELAY_WRITE)
        self.switch(action is Action.WRITE_ON)
        return Written()

    def told(self) -> bool | None:
        """What the board says of its contact: nothing while it moves."""
        return None if self.now_ns < self.moves_ns + DROP_OUT_MS * MS else not self.contact

    def switch(self, closed: bool) -> None:
        if closed == self.contact or (self.welded and not closed):
            return
        if closed:
            assert self.was_reset, "the contact closes although nobody has pressed reset since it opened"
        self.was_reset = False
        self.contact, self.moves_ns = closed, self.now_ns

    def wait(self, ms: int) -> None:
        """Time passes; the keeper wakes whenever something is due."""
        until_ns = self.now_ns + ms * MS
        while (due_ns := next_due_ns(self.keeper)) <= until_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.feed(Woke())
        self.now_ns = until_ns

    # The monitor ----------------------------------------------------------------------------

    def tick(self, *, frame: bool = True, loses: bool = False) -> None:
        if frame:
            self.frame_seq += 1
            self.captured_ns = self.now_ns - 10 * MS
        faults = self.keeper.faults.names
        seen = interlock.Observation(
            now_ns=self.now_ns,
            sensed_ns=self.now_ns,
            captured_ns=self.captured_ns,
            intruded=self.hand,
            reset_down=self.button,
            contactor_open=report_of(self.keeper, self.now_ns, Trait.NONE).contactor_open,
            impairments=frozenset(faults & RECOVERABLE),
            faults=frozenset(faults - RECOVERABLE),
        )
        self.memory = interlock.step(self.memory, seen, self.limits)
        output = interlock.output_of(self.memory.state)
        if frame or output is Output.OFF:
            self.send(output, loses)

    def send(self, output: Output, loses: bool) -> None:
        self.permit_seq += 1
        command = Command.ON if output is Output.ON else Command.OFF
        seq, captured_ns = (self.frame_seq, self.captured_ns) if self.captured_ns is not None else (-1, 0)
        permit = WirePermit(self.permit_seq, seq, captured_ns, self.now_ns, command)
        self.sent = [*self.sent[-20:], permit]
        if not loses:
            self.feed(PermitRead(permit))

    # What can happen ------------------------------------------------------------------------

    @rule(n=st.integers(1, 6))
    def frames(self, n: int, every_ms: int = FRAME_MS) -> None:
        for _ in range(n):
            self.wait(every_ms)
            self.tick()

    @rule()
    def a_person_resets(self) -> None:
        self.hand = False
        self.let_go()
        self.frames(4)
        self.press()
        self.frames(5)
        self.let_go()
        self.frames(4)

    @rule()
    def press(self) -> None:
        if not self.button:
            self.button, self.pressed_ns = True, self.now_ns
        self.frames(1)

    @rule()
    def let_go(self) -> None:
        if self.button and self.pressed_ns is not None:
            held_ms = (self.now_ns - self.pressed_ns) // MS
            self.was_reset |= SHORTEST_MS - FRAME_MS <= held_ms <= LONGEST_MS + FRAME_MS
        self.button, self.pressed_ns = False, None
        self.frames(1)

    @rule()
    def a_hand_comes(self) -> None:
        self.hand = True
        self.frames(1)
        assert self.keeper.output is Command.OFF

    @rule()
    def the_hand_leaves(self) -> None:
        self.hand = False
        self.frames(1)

    @rule(ms=st.sampled_from([1, 50, 99, 101, 150, 400, 3000]))
    def the_monitor_hangs(self, ms: int) -> None:
        self.wait(ms)
        assert ms <= 100 or self.keeper.output is Command.OFF

    @rule(n=st.integers(1, 5))
    def no_frame_comes(self, n: int) -> None:
        for _ in range(n):
            self.wait(FRAME_MS)
            self.tick(frame=False)

    @rule(n=st.integers(1, 5))
    def permits_are_lost(self, n: int) -> None:
        for _ in range(n):
            self.wait(FRAME_MS)
            self.tick(loses=True)

    @rule(which=st.integers(0, 20))
    def an_old_permit_comes_again(self, which: int) -> None:
        if self.sent:
            self.feed(PermitRead(self.sent[which % len(self.sent)]))
            assert self.keeper.output is Command.OFF or self.keeper.permit_seq < self.permit_seq

    @rule()
    def a_permit_is_damaged(self) -> None:
        self.feed(PermitUnreadable())
        assert self.keeper.output is Command.OFF

    @rule(ms=st.sampled_from([0, 10, 500]))
    def the_board_is_unplugged_for_a_while(self, ms: int) -> None:
        self.is_plugged = False
        self.contact = self.contact and self.welded  # its coil has no supply
        self.was_reset = False
        self.feed(BoardFailed(Fault.RELAY_WRITE))
        assert self.keeper.output is Command.OFF
        self.wait(ms)
        self.is_plugged = True
        self.wait(50)

    @rule()
    def the_contact_welds(self) -> None:
        self.welded = True

    # What must be true ----------------------------------------------------------------------

    @invariant()
    def closed_only_for_a_moment_ago(self) -> None:
        if self.keeper.output is not Command.ON:
            return
        assert self.memory.state is State.RUN or self.sent[-1].command is Command.OFF  # on its way, and lost
        assert self.now_ns <= self.keeper.expires_ns
        assert self.now_ns - self.keeper.captured_ns <= KEEPER.deadline_ns + 10 * MS

    @invariant()
    def what_locked_out_stays_off(self) -> None:
        if self.memory.state is State.LOCKOUT and self.sent[-1].command is Command.OFF:
            late = self.now_ns - self.sent[-1].judged_ns <= KEEPER.deadline_ns
            assert self.keeper.output is Command.OFF or late


TestAnythingBetweenThem = AnythingBetweenThem.TestCase
TestAnythingBetweenThem.settings = settings(max_examples=40, stateful_step_count=40)


class Hurried(AnythingBetweenThem):
    """A site where the machine starts by itself, as soon as it may: nothing here is ever broken."""

    limits = replace(LIMITS, restart=interlock.Restart.AUTOMATIC)

    def switch(self, closed: bool) -> None:
        self.was_reset = True
        super().switch(closed)


@pytest.mark.parametrize("rest_ms", [0, 20, 100])
@pytest.mark.parametrize("every_ms", [20, 33, 40])
def test_a_sound_board_is_never_locked_out_however_soon_the_machine_starts_again(rest_ms: int, every_ms: int):
    for free, with_a_hand in itertools.product(range(15, 60), (1, 2, 3)):
        site = Hurried()
        site.power_up(1, rest_ms, is_read=True)
        site.frames(free, every_ms)
        site.hand = True
        site.frames(with_a_hand, every_ms)
        assert site.memory.state is State.TRIPPED, site.memory.cause
        site.hand = False
        site.frames(30, every_ms)
        assert site.memory.state is State.RUN, (free, with_a_hand, site.memory.cause)
        assert site.contact

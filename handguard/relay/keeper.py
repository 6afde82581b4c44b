"""The rules of the relay keeper: when the contact may be closed, and what drops it.

Rule 1. The keeper alone speaks to the board, and its first word is OFF.
Rule 2. It says ON only for a permit that is whole, in order, fresh by the
        keeper's own clock, and made from a frame newer than every frame before.
        That frame is a token: the same frame again renews nothing, so no timer
        and no retry can keep the machine running. A board with a time limit of
        its own is told ON again by such a permit, and by nothing else.
Rule 3. OFF follows at once from: an OFF permit, the deadline, a bad permit, the
        end of the pipe, a board that fails, a contact that does not follow.
Rule 4. Every cause but a plain OFF permit disarms. A disarmed keeper ignores ON
        until an OFF permit has been seen while nothing is wrong with the board;
        only then may a new ON be obeyed. It also starts disarmed.
Rule 5. OFF is written first and reported afterwards. It is written again after
        100 and 200 ms, because small boards take one command at a time and may
        have missed it, and about every second from then on.
Rule 6. Only OFF may interrupt. ON, and questions to the board, wait until the
        board has had its rest; a board that needs rest is not questioned while
        ON or before one, so that no stop falls into the pause after a question.
Rule 7. Where a board answers at all, the contact is seen to open before each ON.

Everything here is pure: `step` is given what happened and what time it is, and
answers with the next state and what to do, in order. `relay.keeper_process` does
those things with a real port and a real clock.
"""

from __future__ import annotations

from handguard.relay.board import Command
from handguard.relay.keeper_state import (
    MS,
    NEVER_NS,
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
    Step,
    Terminated,
    Woke,
    Written,
)
from handguard.relay.wire import Fault, WirePermit

OFF_SERIES = 3  # OFF at 0, 100 and 200 ms
OFF_REMINDER_NS = 1000 * MS
BEAT_NS = 50 * MS  # the port is looked at and a report is sent at least this often
ASK_RESTING_NS = 1000 * MS  # a board that needs rest is asked once a second, while OFF
ASK_NS, ASKS_BEFORE_SILENT = 50 * MS, 3
RETRY_FIRST_NS, RETRY_LONGEST_NS = 20 * MS, 1000 * MS
CLOSING_LIMIT_NS = 5000 * MS  # how long a keeper without a monitor tries to reach a lost board


def step(state: KeeperState, seen: Input, now_ns: int, limits: KeeperLimits) -> Step:
    """Advance by one input. Pure; `now_ns` must not go back."""
    after = _heed(_overdue(state, now_ns), seen, now_ns, limits)
    actions: list[Action] = []
    if isinstance(seen, BoardFailed):
        actions.append(Action.CLOSE)
    after = _speak(after, now_ns, actions)
    after = _beat(state, after, now_ns, actions)
    if _is_done(after, now_ns):
        actions.append(Action.EXIT)
    return after, tuple(actions)


def next_due_ns(state: KeeperState) -> int:
    """When `step` must be called again at the latest, even if nothing happens."""
    if not state.is_open:
        return min(state.beat_due_ns, state.retry_ns)
    if state.output is Command.ON:
        return min(state.beat_due_ns, state.expires_ns + 1)
    return min(state.beat_due_ns, state.off_due_ns)


# What each input means ---------------------------------------------------------------------


def _overdue(state: KeeperState, now_ns: int) -> KeeperState:
    """Silence is an input too: of the monitor, and of a board that used to answer."""
    if state.output is Command.ON and now_ns > state.expires_ns:
        state = _dropped(state, now_ns, Fault.PERMIT_LATE)
    waited = state.unanswered >= ASKS_BEFORE_SILENT and now_ns >= state.ask_due_ns
    if state.is_open and state.answered and waited:
        state = _standing(state, now_ns, Fault.RELAY_SILENT)
    return state


def _heed(state: KeeperState, seen: Input, now_ns: int, limits: KeeperLimits) -> KeeperState:
    if isinstance(seen, PermitRead):
        return _permit(state, seen.permit, now_ns, limits)
    if isinstance(seen, PermitUnreadable):
        return _dropped(state, now_ns, Fault.PERMIT_BAD)
    if isinstance(seen, PipeClosed):
        return _closing(state, now_ns, Fault.PIPE_CLOSED)
    if isinstance(seen, Terminated):
        return _closing(state, now_ns, Fault.TERMINATED)
    if isinstance(seen, ContactRead):
        is_down = state.reset_down if seen.reset_down is None else seen.reset_down  # no judgement of ours
        return _contact(state._replace(reset_down=is_down), seen.contactor_open, now_ns, limits)
    return _board(state, seen, now_ns)


def _board(state: KeeperState, seen: Woke | BoardOpened | BoardFailed | Written, now_ns: int) -> KeeperState:
    if isinstance(seen, BoardOpened):
        state = state._replace(min_interval_ns=seen.min_interval_ns, renew_ns=seen.renew_ns)
        opened = state._replace(is_open=True, unanswered=0, readback=seen.readback)
        return _off_series(opened, now_ns)
    if isinstance(seen, Written):
        standing = state.standing & ~Fault.RELAY_PORT
        return state._replace(standing=standing, written_ns=now_ns, retry_wait_ns=0)
    if isinstance(seen, BoardFailed):
        return _lost(state, seen.fault, now_ns)
    return state


def _lost(state: KeeperState, fault: Fault, now_ns: int) -> KeeperState:
    """The port is unusable: retry at once, then ever more slowly."""
    wait_ns = min(max(RETRY_FIRST_NS, 2 * state.retry_wait_ns), RETRY_LONGEST_NS)
    dropped = _dropped(state, now_ns, fault | Fault.RELAY_PORT)
    return dropped._replace(
        is_open=False,
        told=None,
        contactor_open=None,
        reset_down=None,
        standing=dropped.standing | Fault.RELAY_PORT,
        retry_ns=now_ns + state.retry_wait_ns,
        retry_wait_ns=wait_ns,
    )


def _permit(state: KeeperState, permit: WirePermit, now_ns: int, limits: KeeperLimits) -> KeeperState:
    if state.closing_ns is not None:
        return state
    flaw = _flaw(state, permit, now_ns, limits)
    if flaw is not Fault.PERMIT_BAD:
        state = state._replace(permit_seq=permit.seq)
    if flaw:
        return _dropped(state, now_ns, flaw)
    if permit.command is Command.OFF:
        return _off_permit(state, permit, now_ns)
    if permit.captured_ns == state.captured_ns:
        return state  # the same frame again is no news
    return _on_permit(state, permit, now_ns, limits)


def _flaw(state: KeeperState, permit: WirePermit, now_ns: int, limits: KeeperLimits) -> Fault:
    """Why this permit cannot be trusted; NONE for a sound one. Only an ON can be too late."""
    if permit.seq <= state.permit_seq or not permit.captured_ns <= permit.judged_ns <= now_ns:
        return Fault.PERMIT_BAD
    if permit.command is Command.OFF:
        return Fault.NONE
    if permit.frame_seq < 0 or permit.captured_ns < state.captured_ns:
        return Fault.PERMIT_BAD
    if permit.captured_ns > state.captured_ns and permit.frame_seq <= state.frame_seq:
        return Fault.PERMIT_BAD
    if now_ns - permit.judged_ns > limits.deadline_ns:
        return Fault.PERMIT_LATE
    return Fault.PERMIT_LATE if now_ns - permit.captured_ns > limits.max_frame_age_ns else Fault.NONE


def _off_permit(state: KeeperState, permit: WirePermit, now_ns: int) -> KeeperState:
    """Arm, unless the board is in trouble. Frame numbers may start anew here, time may not."""
    return _off(state, now_ns)._replace(
        armed=not state.standing,
        held=state.standing,
        expires_ns=-1,
        frame_seq=permit.frame_seq,
        captured_ns=max(state.captured_ns, permit.captured_ns),
    )


def _on_permit(state: KeeperState, permit: WirePermit, now_ns: int, limits: KeeperLimits) -> KeeperState:
    state = state._replace(frame_seq=permit.frame_seq, captured_ns=permit.captured_ns)
    if not state.armed or state.standing:
        return state
    state = state._replace(expires_ns=permit.judged_ns + limits.deadline_ns)
    is_open_or_on = state.output is Command.ON or state.is_open_for_all_we_know
    if not (state.is_rested(now_ns) and is_open_or_on):
        return state  # it is switched on by a later permit
    if state.output is Command.OFF:
        return state._replace(output=Command.ON, changed_ns=now_ns, contactor_open=None)
    is_due = state.renew_ns is not None and now_ns - state.told_on_ns >= state.renew_ns
    return state._replace(told=None) if is_due else state


def _contact(state: KeeperState, is_open: bool | None, now_ns: int, limits: KeeperLimits) -> KeeperState:
    """Judge an answer. While ON, a board that needs rest was not asked: its answer is an old one."""
    if is_open is None or (state.output is Command.ON and state.min_interval_ns):
        return state
    standing = state.standing & ~Fault.RELAY_SILENT
    state = state._replace(contactor_open=is_open, answered=True, unanswered=0, standing=standing)
    if is_open == (state.output is Command.OFF):
        return state._replace(standing=state.standing & ~Fault.RELAY_DISOBEYS)
    if now_ns - state.changed_ns <= limits.feedback_ns:
        return state
    return _standing(state, now_ns, Fault.RELAY_DISOBEYS)


# The ways to OFF ---------------------------------------------------------------------------


def _off(state: KeeperState, now_ns: int) -> KeeperState:
    if state.output is Command.OFF:
        return state
    off = state._replace(output=Command.OFF, changed_ns=now_ns, contactor_open=None, unanswered=0)
    return _off_series(off._replace(ask_due_ns=now_ns), now_ns)


def _off_series(state: KeeperState, now_ns: int) -> KeeperState:
    """Say OFF now, and the repeats after it."""
    return state._replace(off_due_ns=now_ns, off_writes=0)


def _dropped(state: KeeperState, now_ns: int, cause: Fault) -> KeeperState:
    return _off(state, now_ns)._replace(armed=False, held=state.held | cause)


def _standing(state: KeeperState, now_ns: int, fault: Fault) -> KeeperState:
    return _dropped(state, now_ns, fault)._replace(standing=state.standing | fault)


def _closing(state: KeeperState, now_ns: int, cause: Fault) -> KeeperState:
    """Say OFF once more even when it is off already; the series over, the keeper leaves."""
    if state.closing_ns is not None:
        return state
    return _off_series(_dropped(state, now_ns, cause), now_ns)._replace(closing_ns=now_ns)


# What is said to the board and to the monitor ----------------------------------------------


def _speak(state: KeeperState, now_ns: int, actions: list[Action]) -> KeeperState:
    """At most one word to the board for each step."""
    if not state.is_open:
        return _reopen(state, now_ns, actions)
    if state.output is Command.ON and state.told is not Command.ON:
        actions.append(Action.WRITE_ON)
        return state._replace(told=Command.ON, told_on_ns=now_ns, spoke_ns=now_ns)
    if state.output is Command.OFF and now_ns >= state.off_due_ns:
        actions.append(Action.WRITE_OFF)
        return _said_off(state, now_ns)
    if _may_ask(state, now_ns):
        actions += [Action.LOOK, Action.ASK]  # a new question forgets the answer to the one before
        return _asked(state, now_ns)
    return state


def _said_off(state: KeeperState, now_ns: int) -> KeeperState:
    writes = state.off_writes + 1
    due_ns = now_ns + (state.off_repeat_ns if writes < OFF_SERIES else OFF_REMINDER_NS)
    return state._replace(told=Command.OFF, spoke_ns=now_ns, off_writes=writes, off_due_ns=due_ns)


def _reopen(state: KeeperState, now_ns: int, actions: list[Action]) -> KeeperState:
    if now_ns < state.retry_ns:
        return state
    actions.append(Action.OPEN)
    return state._replace(retry_ns=NEVER_NS)  # until the attempt has been answered


def _may_ask(state: KeeperState, now_ns: int) -> bool:
    """Is the board worth a question now, and would neither ON nor OFF have to wait for it?"""
    gave_up = state.unanswered >= ASKS_BEFORE_SILENT and not state.answered
    yields = state.awaits_on(now_ns) and state.is_open_for_all_we_know
    if gave_up or yields or not state.readback or now_ns < state.ask_due_ns or not state.is_rested(now_ns):
        return False
    if state.output is Command.ON:
        return not state.min_interval_ns
    return state.off_writes >= OFF_SERIES and state.off_due_ns - now_ns >= state.min_interval_ns


def _asked(state: KeeperState, now_ns: int) -> KeeperState:
    pause_ns = ASK_RESTING_NS if state.min_interval_ns else ASK_NS
    return state._replace(spoke_ns=now_ns, ask_due_ns=now_ns + pause_ns, unanswered=state.unanswered + 1)


def _beat(before: KeeperState, state: KeeperState, now_ns: int, actions: list[Action]) -> KeeperState:
    """Report what changed at once, and that we live at least every `BEAT_NS`."""
    is_due = now_ns >= state.beat_due_ns
    if is_due and state.is_open:
        actions.append(Action.LOOK)
    if is_due or before.news != state.news:
        actions.append(Action.REPORT)
    return state._replace(beat_due_ns=now_ns + BEAT_NS) if is_due else state


def _is_done(state: KeeperState, now_ns: int) -> bool:
    if state.closing_ns is None:
        return False
    return state.off_writes >= OFF_SERIES or now_ns - state.closing_ns >= CLOSING_LIMIT_NS

"""The values of the relay keeper: its limits, what it hears, what it does, what it remembers.

Inputs say what happened, actions what must be done about it; `relay.keeper` holds
the rules between the two. Nothing here has behavior beyond refusing bad limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from handguard.errors import ConfigError, mismatch
from handguard.relay.board import Command
from handguard.relay.wire import Fault, Trait, WirePermit, WireReport

MS = 1_000_000
NEVER_NS = 1 << 62
OFF_REPEAT_NS = 100 * MS  # the pause published LCUS programs keep between two commands


@dataclass(frozen=True, slots=True)
class KeeperLimits:
    """How long trust lasts. Hard bounds: no configuration may loosen them."""

    deadline_ns: int = 100 * MS  # from the moment the permit was judged
    max_frame_age_ns: int = 250 * MS  # from capture to arrival at the keeper
    feedback_ns: int = 300 * MS  # the contact must have followed by then (EDM)

    def __post_init__(self) -> None:
        for name, longest_ms in (("deadline", 1000), ("max_frame_age", 2000), ("feedback", 1000)):
            found_ns = getattr(self, f"{name}_ns")
            if not 10 * MS <= found_ns <= longest_ms * MS:
                expected = f"from 10 to {longest_ms} ms"
                raise ConfigError(mismatch(f"relay.{name}_ms", expected, f"{found_ns / MS:g}"))


@dataclass(frozen=True, slots=True)
class Woke:
    """Nothing but time has passed."""


@dataclass(frozen=True, slots=True)
class PermitRead:
    permit: WirePermit


@dataclass(frozen=True, slots=True)
class PermitUnreadable:
    """Something came through the pipe that is no permit."""


@dataclass(frozen=True, slots=True)
class PipeClosed:
    """The monitor is gone; nobody can ever permit again."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """The operating system asks the keeper to stop."""


@dataclass(frozen=True, slots=True)
class BoardOpened:
    min_interval_ns: int
    readback: bool
    renew_ns: int | None = None  # a board that drops out by itself: told ON again this often


@dataclass(frozen=True, slots=True)
class BoardFailed:
    """The port did not open, or a command may not have arrived."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Written:
    """The port took the last command."""


@dataclass(frozen=True, slots=True)
class ContactRead:
    """What the board's answers had come to when they were looked at; None: nothing new, or nothing to tell."""

    contactor_open: bool | None
    reset_down: bool | None = None


Input = (
    Woke | PermitRead | PermitUnreadable | PipeClosed | Terminated
    | BoardOpened | BoardFailed | Written | ContactRead
)  # fmt: skip


class Action(Enum):
    """What the process must do, in the order given."""

    WRITE_OFF = auto()
    WRITE_ON = auto()
    CLOSE = auto()
    OPEN = auto()
    ASK = auto()
    LOOK = auto()  # read the port; a lost one shows here
    REPORT = auto()
    EXIT = auto()


class KeeperState(NamedTuple):
    """What the keeper remembers. The defaults are the state at power-up.

    A tuple, because a stop passes through half a dozen of its successors: `_replace` takes a fifth of the
    time of `dataclasses.replace`.
    """

    output: Command = Command.OFF
    armed: bool = False  # an OFF permit was seen since the last cause other than one
    held: Fault = Fault.NONE  # causes remembered until an OFF permit
    standing: Fault = Fault.RELAY_PORT  # what is wrong right now
    permit_seq: int = -1
    frame_seq: int = -1
    captured_ns: int = -1  # of the newest frame in any sound permit
    expires_ns: int = -1  # ON ends after this
    changed_ns: int = 0  # when `output` last changed
    closing_ns: int | None = None  # when the end of the pipe or SIGTERM came
    # the board
    is_open: bool = False
    told: Command | None = None  # newest command put on the wire of this opening
    written_ns: int = -1
    spoke_ns: int = -NEVER_NS  # newest command or question, for the board's rest
    told_on_ns: int = -NEVER_NS
    min_interval_ns: int = 0
    renew_ns: int | None = None
    readback: bool = False
    retry_ns: int = 0
    retry_wait_ns: int = 0
    off_writes: int = 0
    off_due_ns: int = 0
    # its answers
    contactor_open: bool | None = None
    reset_down: bool | None = None
    answered: bool = False  # ever; survives a reopening
    unanswered: int = 0
    ask_due_ns: int = 0
    beat_due_ns: int = 0

    def is_rested(self, now_ns: int) -> bool:
        """Would the board hear a word that may wait until it does?"""
        return now_ns - self.spoke_ns >= self.min_interval_ns

    def awaits_on(self, now_ns: int) -> bool:
        """Is an ON permitted that still waits for the board?"""
        return self.output is Command.OFF and self.armed and now_ns <= self.expires_ns

    @property
    def is_open_for_all_we_know(self) -> bool:
        """Was the contact seen to open since the last ON? A board that never answers cannot tell."""
        return self.contactor_open is True or not self.answered

    @property
    def off_repeat_ns(self) -> int:
        """A board that may be answering a renewal, and is deaf then, is told OFF again right after it."""
        return self.min_interval_ns if self.renew_ns and self.min_interval_ns else OFF_REPEAT_NS

    @property
    def news(self) -> tuple[object, ...]:
        """What is reported at once when it changes."""
        return self.permit_seq, self.output, self.written_ns, self.contactor_open, self.reset_down, self.faults

    @property
    def faults(self) -> Fault:
        """Everything wrong now, and everything still held against an ON."""
        return self.held | self.standing


Step = tuple[KeeperState, tuple[Action, ...]]  # what `keeper.step` answers


def report_of(state: KeeperState, now_ns: int, granted: Trait) -> WireReport:
    """What the monitor is told. A contact that is open because its ON still waits does not disobey: nothing is said."""
    return WireReport(
        permit_seq=state.permit_seq,
        command=state.output,
        written_ns=state.written_ns,
        sent_ns=now_ns,
        contactor_open=None if state.contactor_open and state.awaits_on(now_ns) else state.contactor_open,
        reset_down=state.reset_down,
        faults=state.faults,
        traits=granted | (Trait.READBACK if state.answered else Trait.NONE),
    )

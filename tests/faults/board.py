"""What boards, their cables and their contacts do wrong. The witness is the log of the board itself."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import count

from handguard.relay.simulated_modbus import checksum
from handguard.relay.simulated_model import BoardFaults
from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live
from tests.faults.stand import EDM_MS, Build, Stand

AT_ONCE_MS, HAND_MS, TIMEOUT_MS = 100, 100, 150
OWN = Build(("heartbeat",), cable=True)  # a board with a time limit of its own and feedback from the contactor
FINE = BoardFaults()
TWO = Build(("lcus", "lcus"), (FINE, FINE), cable=True)
NETWORKED = Build(("modbus-tcp", "lcus"), (FINE, FINE))
WELDED = Build(("heartbeat", "numato"), (BoardFaults(welded=True), FINE))
MUMBLING = Build(faults=(BoardFaults(echo_garbage=True, silent=True),))
ANSWER_SIZE, INPUTS_AT = 12, 5
_odd = count()


def on_the_wire(*, down: Callable[[bytes], bytes] | None = None, up: Callable[[bytes], bytes] | None = None,
                lag_s: float = 0.0, mends: bool = True) -> Live:  # fmt: skip
    """What goes to the board, or comes from it, changed between two real terminals."""

    def inject(stand: Stand) -> None:
        cable = stand.cable
        cable.down, cable.up, cable.lag_s = down or cable.down, up or cable.up, lag_s

    return Live(inject, (lambda stand: stand.cable.mend()) if mends else None, OWN)


def told(contact_open: Callable[[], bool]) -> Callable[[bytes], bytes]:
    """Answers of the board with another feedback, and a checksum that fits."""

    def change(said: bytes) -> bytes:
        frames = [said[at : at + ANSWER_SIZE] for at in range(0, len(said), ANSWER_SIZE)]
        return b"".join(_with_feedback(frame, contact_open()) for frame in frames)

    return change


def _with_feedback(frame: bytes, is_open: bool) -> bytes:
    if len(frame) != ANSWER_SIZE:
        return frame
    body = frame[:INPUTS_AT] + bytes((frame[INPUTS_AT] & ~1 | is_open,)) + frame[INPUTS_AT + 1 : -2]
    return body + checksum(body)


def wrong_sum(said: bytes) -> bytes:
    return said[:-1] + bytes((said[-1] ^ 1,))


class Echo:
    """The first answer, to whatever is asked later."""

    def __call__(self, said: bytes) -> bytes:
        self.first = getattr(self, "first", said)
        return self.first


def a_hand_after(change: Callable[[Stand], object]) -> Callable[[Stand], object]:
    """Break it while nothing shows, and then reach in."""

    def inject(stand: Stand) -> None:
        change(stand)
        stand.reach_in()

    return inject


def feedback_stays_closed(stand: Stand) -> None:
    stand.cable.up = told(lambda: False)


def wire_goes_dead(stand: Stand) -> None:
    stand.cable.down = lambda message: b""


def pulled_and_pushed(stand: Stand) -> None:
    stand.boards[0].unplug()
    stand.boards[0].replug()


def off_the_network(stand: Stand) -> None:
    """Long enough that a keeper which waits for an answer would be taken for dead."""
    stand.boards[0].unplug()
    assert stand.until(lambda: not stand.is_on())
    time.sleep(1.0)


def long_enough(stand: Stand) -> None:
    """Feedback counts once the contactor has had its time."""
    time.sleep(EDM_MS / 1000)


NOTHING = b""
BETWEEN = "between keeper and board: "
DRIVER = "the driver permits only a board that answered the word before; the board drops out by itself"
LOCKOUT, STOP = Reaction.LOCKOUT, Reaction.STOP
# fmt: off
FAULTS = (
    Fault("B01", "the cable of the board is pulled", "its terminal hangs up", "a write or a look fails",
          STOP, AT_ONCE_MS, "blind: relay-port",
          Live(lambda stand: stand.boards[0].unplug(), lambda stand: stand.boards[0].replug())),
    Fault("B02", "the cable is pulled and pushed in again", "its terminal hangs up, and another appears",
          "a write or a look fails; the port is opened again and told OFF",
          STOP, AT_ONCE_MS, "relay-port", Live(pulled_and_pushed, lambda stand: None)),
    Fault("B03", "nothing reaches the board any more", BETWEEN + "every byte lost on the way there", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(down=lambda message: NOTHING)),
    Fault("B04", "the board does not answer any more", BETWEEN + "every byte lost on the way back", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(up=lambda said: NOTHING)),
    Fault("B05", "the board answers garbage", BETWEEN + "noise in place of answers", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(up=lambda said: os.urandom(len(said)))),
    Fault("B06", "the board answers with a wrong checksum", BETWEEN + "one bit of each answer", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(up=wrong_sum)),
    Fault("B07", "the board answers late", BETWEEN + "answers held back for 200 ms", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(lag_s=0.2)),
    Fault("B08", "words arrive half", BETWEEN + "four of eight bytes", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(down=lambda message: message[:4])),
    Fault("B09", "an old answer comes again and again", BETWEEN + "the first answer in place of every other", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(up=Echo())),
    Fault("B10", "a word to the board is changed on the way", BETWEEN + "one bit of each word", DRIVER,
          STOP, TIMEOUT_MS, "relay-write", on_the_wire(down=wrong_sum)),
    Fault("B11", "the feedback reads open although the contact is closed", BETWEEN + "the feedback in each answer",
          "feedback that does not follow the command", LOCKOUT, EDM_MS + 100, "fault: ",
          on_the_wire(up=told(lambda: True), mends=False)),
    Fault("B12", "the feedback bounces", BETWEEN + "another feedback in every answer",
          "feedback that does not follow the command", LOCKOUT, EDM_MS + 100, "fault: ",
          on_the_wire(up=told(lambda: next(_odd) % 2 == 0), mends=False)),
    Fault("B13", "the feedback stays closed when the contact opens", BETWEEN + "the feedback in each answer; then a hand",
          "feedback that does not follow within the limit: nothing starts over it", LOCKOUT, HAND_MS, "fault: ",
          Live(a_hand_after(feedback_stays_closed), build=OWN)),
    Fault("B14", "the contact is welded", "a contact that never opens, in series with a sound one; then a hand",
          "the other channel opens; feedback that does not follow within the limit", LOCKOUT, HAND_MS, "fault: ",
          Live(lambda stand: stand.reach_in(), build=WELDED)),
    Fault("B15", "one of two boards is unplugged", "its terminal hangs up", "the other is told OFF before anybody hears of it",
          STOP, AT_ONCE_MS, "relay-port",
          Live(lambda stand: stand.boards[1].unplug(), lambda stand: stand.boards[1].replug(), TWO)),
    Fault("B16", "one of two boards is dead, and holds its contact", BETWEEN + "every byte to the first lost; then a hand",
          "the other channel opens; no answer to three questions", LOCKOUT, HAND_MS, "relay-silent",
          Live(a_hand_after(wire_goes_dead), build=TWO)),
    Fault("B17", "a board without feedback answers everything with noise", "a board that echoes garbage and nothing else",
          "it has no feedback, and the record says so at every tick", Reaction.RUNS_ON, HAND_MS, '"contactor_open":null',
          Live(lambda stand: None, lambda stand: None, MUMBLING)),
    Fault("B18", "a board on the network is cut off for a second, and holds its contact",
          "its connection ends, and whoever connects hears nothing; a sound board in series",
          "a write or a look fails; the other is told OFF; attempts to connect are given up soon",
          STOP, AT_ONCE_MS, "relay-port",
          Live(off_the_network, lambda stand: stand.boards[0].replug(), NETWORKED)),
)
# fmt: on

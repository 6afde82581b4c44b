"""What can happen to permits on their way, and to the keeper that waits for them."""


from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from handguard.relay.board import Command
from handguard.relay.wire import WirePermit, encode_permit
from handguard.types import Output, Permit
from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live
from tests.faults.stand import DEADLINE_MS, Stand

AT_ONCE_MS, SILENCE_MS = 50, 300
PIDFD_GETFD = 438
NUMBERS = 10**9  # far above those in use


def sound(**over: int) -> bytes:
    """A permit as the monitor would make it now, with a number far above its own."""
    now_ns = time.monotonic_ns()
    fields = {"seq": NUMBERS, "frame_seq": NUMBERS, "captured_ns": now_ns - 10**7, "judged_ns": now_ns} | over
    return encode_permit(WirePermit(**fields, command=Command.ON))


def flipped(message: bytes) -> bytes:
    """One bit is another."""
    return message[:20] + bytes((message[20] ^ 4,)) + message[21:]


def sent(make: Callable[[], list[bytes]]) -> Live:
    """These bytes through the pipe that the permits take."""

    def inject(stand: Stand) -> None:
        for message in make():
            stand.link._socket.send(message)

    return Live(inject)


def later(ns: int) -> bytes:
    return sound(judged_ns=time.monotonic_ns() + ns)


def passed_through(change: Callable[[Permit], Permit | None]) -> Live:
    """Each permit that asks for ON changed, or lost, before it is sent."""

    def inject(stand: Stand) -> None:
        send = stand.link.send

        def bent(permit: Permit) -> None:
            changed = change(permit) if permit.output is Output.ON else permit
            if changed is not None:
                send(changed)

        stand.link.send = bent  # type: ignore[method-assign]

    def mend(stand: Stand) -> None:
        del stand.link.send

    return Live(inject, mend)


class OneFrame:
    """The frame of the first permit, in every one after it; a pause begins anew."""

    PAUSE_NS = 2 * DEADLINE_MS * 10**6

    def __init__(self) -> None:
        self._first: Permit | None = None
        self._newest_ns = 0

    def __call__(self, permit: Permit) -> Permit:
        if self._first is None or permit.judged_ns - self._newest_ns > self.PAUSE_NS:
            self._first = permit
        self._newest_ns = permit.judged_ns
        return replace(permit, frame_seq=self._first.frame_seq, captured_ns=self._first.captured_ns)


def delayed(permit: Permit) -> Permit:
    time.sleep((DEADLINE_MS + 60) / 1000)
    return permit


def signalled(number: signal.Signals) -> Live:
    return Live(lambda stand: os.kill(stand.link.keeper_pid, number))


def noise_from_the_keeper(stand: Stand) -> None:
    """Speak through the keeper's own end of the pipe."""
    pid = stand.link.keeper_pid
    entries = Path(f"/proc/{pid}/fd").iterdir()
    (number,) = (int(entry.name) for entry in entries if os.readlink(entry).startswith("socket:"))
    pidfd = os.pidfd_open(pid)
    theirs = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, number, 0)
    assert theirs >= 0, os.strerror(ctypes.get_errno())
    os.write(theirs, b"noise")
    os.close(theirs)
    os.close(pidfd)


def killed_without_a_cable(stand: Stand) -> None:
    """The keeper dies while the board is out; it is back half a second later, with whoever speaks to it."""
    stand.boards[0].unplug()
    os.kill(stand.link.keeper_pid, signal.SIGKILL)
    assert stand.until(lambda: "relay-unreached" in stand.link.report().faults)
    replugged_ns = time.monotonic_ns()
    stand.boards[0].replug()
    assert stand.until(lambda: any(ns > replugged_ns for ns in stand.boards[0].off_bytes_ns())), "no OFF came"


PIPE = "into the pipe between monitor and keeper: "
READS = "the keeper holds every permit to its form, order and time"
LOCKOUT, STOP = Reaction.LOCKOUT, Reaction.STOP
# fmt: off
FAULTS = (
    Fault("K01", "a permit is damaged", PIPE + "a sound one with one bit flipped", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [flipped(sound())])),
    Fault("K02", "a permit is cut short", PIPE + "its first 20 bytes", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [sound()[:20]])),
    Fault("K03", "two permits run together", PIPE + "twice as many bytes", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [sound() + sound(seq=NUMBERS + 1)])),
    Fault("K04", "a permit comes twice", PIPE + "the same bytes again", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [sound()] * 2)),
    Fault("K05", "permits overtake each other", PIPE + "a later one first", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [sound(seq=NUMBERS + 1, frame_seq=NUMBERS + 1), sound()])),
    Fault("K06", "a permit comes from the future", PIPE + "one judged in a second", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [later(10**9)])),
    Fault("K07", "a permit names no frame", PIPE + "frame -1", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [sound(frame_seq=-1)])),
    Fault("K08", "something else writes into the pipe", PIPE + "a line of text", READS,
          LOCKOUT, AT_ONCE_MS, "permit-bad", sent(lambda: [b"GET / HTTP/1.1"])),
    Fault("K09", "permits are lost on their way", "none is sent any more", "the keeper's deadline",
          STOP, DEADLINE_MS, "permit-late", passed_through(lambda permit: None)),
    Fault("K10", "the loop renews its permit from one frame", "every permit names the same frame",
          "a frame is a token: the same again renews nothing; the deadline",
          STOP, DEADLINE_MS + 34, "permit-late", passed_through(OneFrame())),
    Fault("K11", "permits are held up", "each is sent after the deadline", "time of judging, by the keeper's own clock",
          STOP, DEADLINE_MS + 34, "permit-late", passed_through(delayed)),
    Fault("K12", "the keeper is killed", "SIGKILL", "the end of the pipe; the monitor opens the port and writes OFF",
          LOCKOUT, AT_ONCE_MS, "fault: keeper-dead", signalled(signal.SIGKILL)),
    Fault("K13", "the keeper hangs", "SIGSTOP", "no report for 300 ms; the monitor kills it and writes OFF",
          LOCKOUT, SILENCE_MS + 50, "keeper-silent", signalled(signal.SIGSTOP)),
    Fault("K14", "the operating system ends the keeper", "SIGTERM", "the keeper says OFF and leaves",
          LOCKOUT, AT_ONCE_MS, "keeper-dead", signalled(signal.SIGTERM)),
    Fault("K15", "the keeper talks nonsense", "five bytes through its own end of the pipe",
          "every report is held to its form; the monitor kills it and writes OFF",
          LOCKOUT, AT_ONCE_MS, "keeper-garbled", Live(noise_from_the_keeper)),
    Fault("K16", "the pipe breaks", "shut down in both directions", "both ends see it",
          LOCKOUT, AT_ONCE_MS, "keeper-dead", Live(lambda stand: stand.link._socket.shutdown(2))),
    Fault("K17", "the keeper dies while the board is unplugged", "SIGKILL; the cable is back half a second later",
          "the monitor tries again until the port takes its OFF",
          LOCKOUT, AT_ONCE_MS, "relay-unreached", Live(killed_without_a_cable)),
)
# fmt: on

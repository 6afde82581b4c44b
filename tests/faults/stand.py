"""The stop path on a stand: the live loop with a real camera thread, network, keeper, board and record.

    recorded table → [Camera] → mailbox → [Network] → rules → keeper ─ [Cable] → board program
                                   [Finger] ─────────┘           record on disk, feed for viewers

Only what stands in brackets is not the product's own: switches, which pass
everything through until one is thrown. The board's log, written by another
process, is the only witness of whether the machine may run.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.capture.camera import Backoff, CameraThread
from handguard.capture.mailbox import Mailbox
from handguard.desk.feed import FeedReader, FeedWriter
from handguard.detection.detector import HandDetector
from handguard.evidence.ledger import Stamp, WritePolicy, stamp_now
from handguard.evidence.schema import Genesis
from handguard.evidence.signing import SigningKey
from handguard.evidence.summary import Summary
from handguard.evidence.writer import EvidenceWriter
from handguard.monitor import Monitor, Parts
from handguard.pipeline import Rules
from handguard.ports import Detector
from handguard.relay.board import BoardSettings
from handguard.relay.keeper_state import MS, KeeperLimits
from handguard.relay.link import KeeperLink
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_model import BoardFaults
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import Zone, ZoneRole
from tests.faults import precedence
from tests.faults.cable import Cable
from tests.faults.switches import Camera, Finger, Network, Truth

AGE_MS, DEADLINE_MS, EDM_MS = 250, 250, 300
ZONE = "blades"
PRESS_S, HELD_OFF_S = 0.2, 0.25
PATIENCE_S = 20.0  # for what has no limit of its own
WALL_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"
WRITTEN = re.compile(r'"monotonic_ns":(\d+)')
POLICY = WritePolicy(
    sync_every_s=0.05, retry_every_s=0.05, queue_records=32, urgent_records=32, min_free_bytes=1
)


@dataclass(frozen=True)
class Build:
    """What a stand is made of: its boards (all contacts in series), and whether a cable lies between."""

    boards: tuple[str, ...] = ("lcus",)
    faults: tuple[BoardFaults, ...] = (BoardFaults(),)  # of each board
    cable: bool = False  # to the first board
    network: bool = False  # look with the real one, instead of knowing the truth
    fps: float = 30.0
    held: bool = False  # the reset button, from the beginning
    deadline_ms: int = DEADLINE_MS


PLAIN = Build()


@dataclass(frozen=True)
class Supplies:
    """What all stands of a session share: it is dear to make and is never harmed."""

    folder: Path  # pictures of an empty table
    hand: NDArray[np.uint8]  # one with a hand over the zone
    hand_px: tuple[float, float, float, float]
    network: Callable[[], HandDetector]
    size_px: tuple[int, int]
    zone_px: tuple[tuple[float, float], ...]

    @property
    def rules(self) -> Rules:
        return Rules(
            ZoneField((Zone(ZONE, ZoneRole.STOP, self.zone_px),), *self.size_px, fastest_px_s=5.0 * self.size_px[0]),
            interlock.Limits(AGE_MS * MS, EDM_MS * MS, free_frames=3),
            camera_trust.Limits(),
        )


class Stand:
    """One stop path that runs. Close it."""

    def __init__(self, place: Path, build: Build, supplies: Supplies) -> None:
        self.build, self.supplies, self.place = build, supplies, place
        self.clock_is_off_s = 0  # the wall clock, seen by the record
        self.evidence = place / "evidence"
        self.is_spent = False  # locked out or ended: of no use to the next fault
        self.broke: BaseException | None = None
        precedence.take()
        with ExitStack() as stack:
            stack.callback(precedence.give_back)
            self._make(stack)
            self._stack = stack.pop_all()
        self._thread.start()

    def _make(self, stack: ExitStack) -> None:
        self.boards = [stack.enter_context(self._board(i, kind)) for i, kind in enumerate(self.build.boards)]
        self.cable = self._cable(stack)
        self.link = KeeperLink(self._settings(), KeeperLimits(self.build.deadline_ms * MS, feedback_ns=EDM_MS * MS))
        stack.callback(self.link.close)
        key, genesis = SigningKey.load_or_create(self.place / "key.pem"), Genesis("m", "0", "c", "w", "b")
        self.record = EvidenceWriter.open(self.evidence, genesis, key, POLICY, self._now)
        stack.callback(self.record.close, timeout_s=2.0)
        self.camera = Camera(self.supplies.folder, self.build.fps)
        self.network = Network(self._detector())
        stack.callback(self.network.release)
        self.button = Finger()
        if self.build.held:
            self.button.hold()
        self.feed = FeedWriter(*self.supplies.size_px)
        stack.callback(self.feed.close)
        self._view = FeedReader(self.feed.name)
        stack.callback(self._view.close)
        self.monitor = self._monitor()
        self._thread = threading.Thread(target=self._run, name="stand", daemon=True)
        stack.callback(self._ended)

    def _board(self, i: int, kind: str) -> SimulatedBoard:
        return SimulatedBoard(self.place / f"tty{i}", self.place / f"log{i}", self.build.faults[i], kind)

    def _detector(self) -> Detector:
        supplies = self.supplies
        return supplies.network() if self.build.network else Truth(supplies.hand, supplies.hand_px)

    def _cable(self, stack: ExitStack) -> Cable | None:
        if not self.build.cable:
            return None
        cable = Cable(self.place / "cable", self.boards[0].link)
        stack.callback(cable.close)
        return cable

    def _settings(self) -> BoardSettings:
        ports = [str(self.cable.port) if self.cable and i == 0 else one.port for i, one in enumerate(self.boards)]
        first, *second = [BoardSettings(*each) for each in zip(self.build.boards, ports, strict=True)]
        return replace(first, second=second[0]) if second else first

    def _monitor(self) -> Monitor:
        mailbox = Mailbox()
        thread = CameraThread(self.camera, mailbox, reopen=lambda: self.camera.reopen(), backoff=Backoff(0.02, 0.05))
        sinks, rules = (self.record,), self.supplies.rules
        parts = Parts(thread, mailbox, self.network, rules, self.link, self.button, self.feed, sinks)
        return Monitor(parts, Summary())

    def _run(self) -> None:
        precedence.take()
        try:
            self.monitor.run()
        except BaseException as error:  # noqa: BLE001  a trial looks at it
            self.broke = error

    def _now(self) -> Stamp:
        stamp = stamp_now()
        return replace(stamp, wall_time_utc=_shifted(stamp.wall_time_utc, self.clock_is_off_s))

    def _ended(self) -> None:
        self.camera.mend()
        self.network.mend()
        self.monitor.stop()
        self._thread.join(10)

    def close(self) -> None:
        self._stack.close()

    # What a person does --------------------------------------------------------------------

    def run(self) -> None:
        """Press reset until the machine may run."""
        self.settle()
        give_up_s = time.monotonic() + PATIENCE_S
        while not self.is_on():
            assert time.monotonic() < give_up_s, f"it does not start: {self.shown()}"
            self.press()
            self.until(lambda: self.is_on() and self.shown()["state"] == "RUN", limit_s=0.5)

    def runs(self) -> bool:
        """Press reset until the machine may run; False where it is locked out by then."""
        try:
            self.run()
        except AssertionError:
            if not self.is_locked_out:
                raise
            return False
        return True

    def begins(self) -> bool:
        """Has it come to its reset, and not to a lockout?"""
        self.until(lambda: self.shown()["state"] in ("AWAIT_RESET", "LOCKOUT"))
        return not self.is_locked_out

    def settle(self) -> None:
        """Wait until the field has been free for long enough."""
        assert self.until(lambda: self.shown()["state"] in ("AWAIT_RESET", "RUN")), self.shown()

    def press(self, for_s: float = PRESS_S) -> None:
        """Press reset, and the button of a board that latches."""
        for board, kind in zip(self.boards, self.build.boards, strict=True):
            if kind == "heartbeat":
                board.press()
        self.button.hold()
        time.sleep(for_s)
        self.button.let_go()

    def reach_in(self) -> None:
        """A hand over the zone, in every picture from now on."""
        picture = self.supplies.hand
        self.camera.bend = lambda frame: replace(frame, image=(picture & 254) | np.uint8(frame.seq & 1))

    # What can be seen from outside ------------------------------------------------------------

    def is_on(self) -> bool:
        """May the machine run? The contacts of all boards are in series."""
        return all(board.closed() for board in self.boards)

    def opened_ms(self, since_ns: int, limit_s: float) -> float:
        """Milliseconds until the series of contacts was open; fails when it is not within the limit."""
        assert self.until(lambda: not self.is_on(), limit_s), f"STILL ON after {limit_s} s: {self.shown()}"
        opened = [ns for board in self.boards for ns, closed in board.contact_changes()[-1:] if not closed]
        return max(0.0, (min(opened) - since_ns) / MS)

    def closed_since(self, since_ns: int) -> bool:
        """Has any contact closed since? A welded one that never opened has not."""
        return any(ns >= since_ns and closed for board in self.boards for ns, closed in board.contact_changes())

    def shown(self) -> dict[str, Any]:
        """What the panel shows a person now."""
        view = self._view.newest(picture=False)
        return dict(view.snapshot) if view else {"state": "", "cause": repr(self.broke), "faults": []}

    @property
    def is_locked_out(self) -> bool:
        return self.shown()["state"] == "LOCKOUT"

    @property
    def has_ended(self) -> bool:
        """Is the loop over?"""
        return not self._thread.is_alive()

    def records(self, since_ns: int) -> Sequence[str]:
        """The lines written on disk since, whatever has become of those before them. A half-written one waits."""
        texts = [path.read_text() for path in sorted(self.evidence.glob("*.jsonl"))]
        lines = [line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if int(WRITTEN.findall(line)[-1]) >= since_ns]

    def until(self, holds: Callable[[], bool], limit_s: float = PATIENCE_S) -> bool:
        """Look again and again; True as soon as it holds."""
        give_up_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > give_up_s:
                return holds()
            time.sleep(0.01)
        return True


def _shifted(wall_time_utc: str, by_s: int) -> str:
    return (datetime.strptime(wall_time_utc, WALL_FORM) + timedelta(seconds=by_s)).strftime(WALL_FORM)  # noqa: DTZ007

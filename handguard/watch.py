"""One live run, from settings to summary: makes the parts in order and takes them apart in reverse.

    source → rules → detector → evidence → self-test → board, keeper (says OFF) → reset → feed, viewers → camera

What is wrong with the settings or the devices is found before the keeper is
started, so that nothing has ever been switched on when the message appears.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from handguard import __version__
from handguard.assembly import detector_of, rules_of, source_of
from handguard.capture.camera import CameraThread
from handguard.capture.clock import MonotonicClock
from handguard.capture.mailbox import Mailbox
from handguard.capture.sources import is_device, is_network
from handguard.checkup import DIFFERS, Checkup
from handguard.config import Settings, cautions, fingerprint
from handguard.desk.feed import FeedWriter
from handguard.evidence.ledger import WritePolicy, stamp_now
from handguard.evidence.lockout import LockoutKeeper, held, lockout_file
from handguard.evidence.machine import boot_id, machine_id
from handguard.evidence.schema import Genesis, OperatorAction
from handguard.evidence.signing import KEY_NAME
from handguard.evidence.standing import stamped
from handguard.evidence.summary import Summary, percentiles
from handguard.evidence.writer import EvidenceWriter
from handguard.liveness import Liveness
from handguard.monitor import Monitor, Parts
from handguard.onlookers import Onlookers
from handguard.ports import FrameSource, SelfCheck
from handguard.proof_test import Exam
from handguard.relay.simulated_board import SimulatedBoard
from handguard.scheduling import Precedence
from handguard.scorekeeper import Scorekeeper, Truthful
from handguard.self_test import SelfTest, key_of, proven
from handguard.systemd import ServiceManager
from handguard.types import PictureFormat
from handguard.wiring import board_settings, lamp_of, relay_of, require_deadline, reset_of, simulated_board

Say = Callable[[str], None]
TO_CLEAR = "repair the cause, then: handguard service clear-lockout --config FILE --who NAME --reason TEXT"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may add to the settings."""

    out: Path | None = None
    duration_s: float | None = None
    window: bool = False
    panel: bool = True
    realtime: bool = True  # ask for precedence over ordinary programs
    source: FrameSource | None = None  # in place of what camera.source names
    exam: Exam | None = None  # this run is a proof test, and needs none to begin


def watch(settings: Settings, options: Options, say: Say) -> dict[str, Any]:
    """Run until the source ends, the time is up or a signal comes; returns the summary that was written.

    Raises `HandguardError` for what is wrong before the start. Main thread only (signals).
    """
    out = options.out or stamped(Path(settings.evidence.dir))
    say_cautions(settings, say)
    with ExitStack() as stack:
        run = LiveRun(settings, options, out, stack)
        for line in run.told:
            say(line)
        run.evidence.operator(OperatorAction.ARM, detail="start")
        with stopped_by_signals(run.monitor):
            run.monitor.run(options.duration_s)
        run.finish()
    return run.written()


def say_cautions(settings: Settings, say: Say) -> None:
    """What a person must be told before anything else."""
    for caution in cautions(settings):
        say(f"CAUTION   {caution}")


class LiveRun:
    """The parts of one run. Whatever was opened is closed by the stack, newest first."""

    def __init__(self, settings: Settings, options: Options, out: Path, stack: ExitStack) -> None:
        self.settings, self.out, began = settings, out, stamp_now()
        self.source = options.source or source_of(settings, live=True)
        stack.callback(self.source.close)
        picture = self.source.format
        require_deadline(settings, picture)
        rules = rules_of(settings, picture)
        zones = rules.zones.zones
        detector = detector_of(settings, zones, picture)
        lockout = stack.enter_context(_lockout(settings, out.name))
        self.locked = None if lockout is None else lockout.cause
        book = book_of(settings, out, picture, detector.weights_sha256, self.locked)
        evidence = self.evidence = stack.enter_context(book)
        self.tried = SelfTest(settings, evidence)
        self.checkup = _checkup(settings, self.tried.before_the_relay(detector, out, began), evidence)
        self._connect(options, picture, stack)
        reset = reset_of(settings, self.relay, stack)
        feed = FeedWriter(picture.width_px, picture.height_px)
        onlookers = Onlookers(settings, feed.name, zones, stack)
        onlookers.look_on(panel=options.panel, window=options.window)
        recording = onlookers.record(evidence, out)
        stack.callback(feed.close)  # first of all, for then they end by themselves
        self.mailbox = Mailbox()
        reopen = None if options.source else _reopening(settings)
        camera = CameraThread(self.source, self.mailbox, reopen=reopen)
        self.summary = Summary()
        self.score = Scorekeeper(self.source, zones) if isinstance(self.source, Truthful) else None
        lamp = lamp_of(settings, self.board, stack)
        liveness = Liveness(ServiceManager())
        stack.callback(liveness.close)
        listeners = (evidence, lockout, lamp, self.score, liveness, options.exam)
        sinks = tuple(sink for sink in listeners if sink is not None)
        shows_picture = options.window or settings.evidence.clips.enabled
        self.parts = Parts(
            camera, self.mailbox, detector, rules, self.relay, reset, feed, sinks, shows_picture,
            self.checkup, lockout=self.locked, beside=recording,
        )
        self.about = {"source": self.source.name, "detector": detector.description, "evidence": str(out)}
        self.told = [f"{name:<9} {value}" for name, value in self.about.items()]
        precedence = Precedence(settings.detector.cores)
        notices = self.relay.notices
        if options.realtime:
            stack.callback(precedence.give_back)
            granted = precedence.take()
            self.told.append(f"granted   {granted}")
            notices += granted.refusals
        self.told += self.tried.told()
        self._caution(evidence, notices)
        self.monitor = Monitor(self.parts, self.summary, precedence.extend)

    def _caution(self, evidence: EvidenceWriter, notices: tuple[str, ...]) -> None:
        """What a person must know of this installation: told, on the panel while it runs, and in the record."""
        if self.locked is not None:
            notices = (f"LOCKED OUT: {self.locked}; {TO_CLEAR}", *notices)
        self.told += [f"notice    {notice}" for notice in notices]
        self.parts.cautions = (*cautions(self.settings), *notices)
        for caution in self.parts.cautions:
            evidence.caution(caution)

    def _connect(self, options: Options, picture: PictureFormat, stack: ExitStack) -> None:
        """Board and keeper, which has said OFF; raises `SelfTestFailed` where arming is not allowed."""
        settings = self.settings
        if options.exam is None:
            self.tried.hear(proven(settings))
        self.board = simulated_board(settings, self.out, stack)
        if settings.relay.driver != "none" and self.locked is None:  # a machine locked out is not moved
            self.tried.move_contact(board_settings(settings, self.board))
        self.relay = relay_of(settings, picture, self.board, stack)
        self.tried.with_the_relay(self.relay)

    def finish(self) -> None:
        """Hear the last of relay and board, while they are still there."""
        self.summary.heard(self.relay.report())
        self.summary.count_dropped(self.mailbox.dropped)

    def written(self) -> dict[str, Any]:
        """Write DIR/summary.json; returns what it says."""
        more: dict[str, Any] = {**self.about, "config_sha256": fingerprint(self.settings)}
        more["cautions"] = list(self.parts.cautions)
        if self.board is not None:
            more["board_response_ms"] = percentiles(_at_the_board(self.summary, self.board))
        if self.checkup is not None:
            more["self_check"] = {"asked": self.checkup.asked, "longest_ms": round(self.checkup.longest_ms, 1)}
        if self.score is not None:
            more["truth"] = self.score.result()
        self.summary.write(self.out / "summary.json", **more)
        return {**self.summary.to_json(), **more}


@contextmanager
def _lockout(settings: Settings, run: str) -> Iterator[LockoutKeeper | None]:
    """What an earlier run left locked, and what will lock the next one; None where no machine is wired."""
    folder = Path(settings.evidence.dir)
    file = lockout_file(folder, folder / KEY_NAME)
    if settings.relay.driver in ("simulated", "none"):
        yield None
        return
    with held(folder, alone=False):
        keeper = LockoutKeeper(file, run)
        try:
            yield keeper
        finally:
            keeper.close()


def book_of(
    settings: Settings, out: Path, picture: PictureFormat | None, model_hash: str, lockout: str | None = None
) -> EvidenceWriter:
    """A new book in OUT/evidence, for pictures of that size or for none."""
    key = key_of(settings)
    genesis = Genesis(
        machine_id(),
        __version__,
        fingerprint(settings),
        model_hash,
        boot_id(),
        settings=settings.model_dump(mode="json"),
        picture=None if picture is None else asdict(picture),
        lockout=lockout,
    )
    policy = WritePolicy(sync_every_s=settings.evidence.fsync_s)
    return EvidenceWriter.open(out / "evidence", genesis, key, policy)


def _checkup(settings: Settings, check: SelfCheck | None, evidence: EvidenceWriter) -> Checkup | None:
    """The question asked of the running detector every minute; None for a model that cannot be asked."""
    if check is None:
        return None
    clock, every_s = MonotonicClock(), settings.detector.self_check_s
    return Checkup(check, every_s, clock, partial(evidence.fault, DIFFERS))


def _reopening(settings: Settings) -> Callable[[], FrameSource] | None:
    """How a camera or stream is opened again after a failure; what is finite is not."""
    source = str(settings.camera.source)
    if is_device(source) or is_network(source):
        return lambda: source_of(settings, live=True)
    return None


@contextmanager
def stopped_by_signals(monitor: Monitor) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the loop cleanly."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        monitor.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_the_board(summary: Summary, board: SimulatedBoard) -> list[float]:
    """Milliseconds from the capture of each frame that tripped to the OFF bytes in the board's own log."""
    off_ns = board.off_bytes_ns()
    times = []
    for captured_ns in summary.tripped_frames_ns:
        after = [ns for ns in off_ns if ns >= captured_ns]
        times += [(after[0] - captured_ns) / 1e6] if after else []
    return times

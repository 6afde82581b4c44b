"""One live run, from settings to summary: makes the parts in order and takes them apart in reverse.

    source → rules → detector → evidence → board, keeper (says OFF) → reset → feed, viewers → camera

What is wrong with the settings or the devices is found before the keeper is
started, so that nothing has ever been switched on when the message appears.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any

from handguard import __version__
from handguard.assembly import detector_of, rules_of, source_of
from handguard.capture.camera import CameraThread
from handguard.capture.mailbox import Mailbox
from handguard.capture.simulated import SimulatedScene
from handguard.capture.sources import is_device, is_network
from handguard.config import Settings, cautions, fingerprint
from handguard.desk.feed import FeedWriter
from handguard.errors import ConfigError, mismatch
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.machine import boot_id, machine_id
from handguard.evidence.schema import Genesis, OperatorAction
from handguard.evidence.signing import SigningKey
from handguard.evidence.summary import Summary, percentiles
from handguard.evidence.writer import EvidenceWriter
from handguard.liveness import Liveness
from handguard.monitor import Monitor, Parts
from handguard.onlookers import Onlookers
from handguard.ports import FrameSource
from handguard.relay.simulated_board import SimulatedBoard
from handguard.scheduling import Precedence
from handguard.scorekeeper import Scorekeeper
from handguard.systemd import ServiceManager
from handguard.types import PictureFormat
from handguard.wiring import lamp_of, relay_of, reset_of, simulated_board

Say = Callable[[str], None]
KEY_NAME = "signing-key.pem"
PERIODS_PER_DEADLINE = 1.2  # one frame's time, and some for judging it


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may add to the settings."""

    out: Path | None = None
    duration_s: float | None = None
    window: bool = False
    panel: bool = True
    realtime: bool = True  # ask for precedence over ordinary programs
    source: FrameSource | None = None  # in place of what camera.source names


def watch(settings: Settings, options: Options, say: Say) -> dict[str, Any]:
    """Run until the source ends, the time is up or a signal comes; returns the summary that was written.

    Raises `HandguardError` for what is wrong before the start. Main thread only (signals).
    """
    out = options.out or Path(settings.evidence.dir) / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%SZ")
    for caution in cautions(settings):
        say(f"CAUTION   {caution}")
    with ExitStack() as stack:
        run = LiveRun(settings, options, out, stack)
        for line in run.told:
            say(line)
        with _stopped_by_signals(run.monitor):
            run.monitor.run(options.duration_s)
        run.finish()
    return run.written()


class LiveRun:
    """The parts of one run. Whatever was opened is closed by the stack, newest first."""

    def __init__(self, settings: Settings, options: Options, out: Path, stack: ExitStack) -> None:
        self.settings, self.out = settings, out
        self.source = options.source or source_of(settings, live=True)
        stack.callback(self.source.close)
        picture = self.source.format
        _require_fast_enough(settings, picture)
        rules = rules_of(settings, picture)
        zones = rules.zones.zones
        detector = detector_of(settings, zones, picture)
        evidence = stack.enter_context(_evidence(settings, out, picture, detector.weights_sha256))
        evidence.operator(OperatorAction.ARM, detail="start")
        self.board = simulated_board(settings, out, stack)
        self.relay = relay_of(settings, self.board, stack)
        reset = reset_of(settings, self.relay, stack)
        feed = FeedWriter(picture.width_px, picture.height_px)
        onlookers = Onlookers(settings, feed.name, zones, stack)
        onlookers.look_on(panel=options.panel, window=options.window)
        onlookers.record(evidence, out)
        stack.callback(feed.close)  # first of all, for then they end by themselves
        self.mailbox = Mailbox()
        reopen = None if options.source else _reopening(settings)
        camera = CameraThread(self.source, self.mailbox, reopen=reopen)
        self.summary = Summary()
        self.score = Scorekeeper(self.source, zones) if isinstance(self.source, SimulatedScene) else None
        lamp = lamp_of(settings, self.board, stack)
        liveness = Liveness(ServiceManager())
        stack.callback(liveness.close)
        sinks = tuple(sink for sink in (evidence, lamp, self.score, liveness) if sink is not None)
        shows_picture = options.window or settings.evidence.clips.enabled
        self.parts = Parts(
            camera, self.mailbox, detector, rules, self.relay, reset, feed, sinks, shows_picture
        )
        precedence = Precedence()
        self.monitor = Monitor(self.parts, self.summary, precedence.extend)
        self.about = {"source": self.source.name, "detector": detector.description, "evidence": str(out)}
        self.told = [f"{name:<9} {value}" for name, value in self.about.items()]
        if options.realtime:
            stack.callback(precedence.give_back)
            self.told.append(f"granted   {precedence.take()}")
        self.told += [f"notice    {notice}" for notice in self.relay.notices]

    def finish(self) -> None:
        """Hear the last of relay and board, while they are still there."""
        self.summary.heard(self.relay.report())
        self.summary.count_dropped(self.mailbox.dropped)

    def written(self) -> dict[str, Any]:
        """Write DIR/summary.json; returns what it says."""
        more: dict[str, Any] = {**self.about, "config_sha256": fingerprint(self.settings)}
        if self.board is not None:
            more["board_response_ms"] = percentiles(_at_the_board(self.summary, self.board))
        if self.score is not None:
            more["truth"] = self.score.result()
        self.summary.write(self.out / "summary.json", **more)
        return {**self.summary.to_json(), **more}


def _require_fast_enough(settings: Settings, picture: PictureFormat) -> None:
    """A permit must be renewed before it ends. Raises `ConfigError` for a camera too slow for the deadline."""
    needed_ms = PERIODS_PER_DEADLINE * picture.period_ns / 1e6
    if settings.relay.deadline_ms < needed_ms:
        where = f"{settings.origin.file}: relay.deadline_ms"
        expected = f"at least {needed_ms:.0f} for a source of {picture.fps:g} frames/s, or a faster source"
        raise ConfigError(mismatch(where, expected, settings.relay.deadline_ms))


def _evidence(settings: Settings, out: Path, picture: PictureFormat, model_hash: str) -> EvidenceWriter:
    key = SigningKey.load_or_create(Path(settings.evidence.dir) / KEY_NAME)
    genesis = Genesis(
        machine_id(),
        __version__,
        fingerprint(settings),
        model_hash,
        boot_id(),
        settings=settings.model_dump(mode="json"),
        picture=asdict(picture),
    )
    policy = WritePolicy(sync_every_s=settings.evidence.fsync_s)
    return EvidenceWriter.open(out / "evidence", genesis, key, policy)


def _reopening(settings: Settings) -> Callable[[], FrameSource] | None:
    """How a camera or stream is opened again after a failure; what is finite is not."""
    source = str(settings.camera.source)
    if is_device(source) or is_network(source):
        return lambda: source_of(settings, live=True)
    return None


@contextmanager
def _stopped_by_signals(monitor: Monitor) -> Iterator[None]:
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

"""The live loop: a frame from the mailbox, a decision, a permit.

    tick     take the newest frame → advance → permit → (only then) evidence, viewers
    now and then, right after a tick: is the detector still itself? (`checkup`)

The loop waits for nothing but the mailbox, and for that no longer than half a
frame. Writing records, drawing, printing and ringing happen in other threads and
processes, behind queues that drop. `watch` makes the parts and takes them apart.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from handguard.capture.camera import CameraThread
from handguard.capture.clock import MonotonicClock
from handguard.capture.mailbox import Mailbox
from handguard.checkup import Checkup
from handguard.desk.feed import FeedWriter
from handguard.desk.snapshot import Chronicle
from handguard.errors import DeviceError
from handguard.evidence.summary import Summary
from handguard.pipeline import Rules, Senses, advance, beginning, permit_of
from handguard.ports import Detector, EventSink, PermitLine, ResetInput
from handguard.relay.operator import SimulatedOperator
from handguard.types import Button, Decision, Frame, KeeperReport, Output, Permit

CAMERA_FAULT = "camera"
TIDY_EVERY = 256  # ticks; a collection takes a fraction of a millisecond
RECOVERABLE = frozenset({"relay-port", "relay-write", "permit-late", "permit-unsent"})  # a reset may follow


class Fallible(Protocol):
    """A part that people are told about when something is wrong with it."""

    @property
    def faults(self) -> frozenset[str]:
        """What is wrong with it now."""


@dataclass(slots=True)
class Parts:
    """Everything the loop needs, already started except the camera."""

    camera: CameraThread
    mailbox: Mailbox
    detector: Detector
    rules: Rules
    relay: PermitLine
    reset: ResetInput
    feed: FeedWriter
    sinks: tuple[EventSink, ...]  # evidence, lamp: whoever must hear of every tick
    shows_picture: bool = False  # somebody looks at the picture, so it is fed too
    checkup: Checkup | None = None  # None: this detector cannot be asked
    lockout: str | None = None  # the cause of an earlier run's lockout, if service has not cleared it
    cautions: tuple[str, ...] = ()  # what people must go on seeing
    beside: tuple[Fallible, ...] = ()  # whose faults people must see, and nobody else needs to hear


class Monitor:
    """Runs the loop. One thread; `stop` may be called from any thread or a signal handler.

    `settled` is called once, when all its threads run.
    """

    def __init__(self, parts: Parts, summary: Summary, settled: Callable[[], None] = lambda: None) -> None:
        self._parts, self._summary, self._settled = parts, summary, settled
        self._clock = MonotonicClock()
        self._memory = beginning(parts.lockout)
        self._chronicle = Chronicle(cautions=parts.cautions)
        self._permit_seq = 0
        self._shown: tuple[object, object] | None = None  # cause and faults, as viewers were told last
        self._stopping = threading.Event()
        self._patience_s = parts.camera.format.period_ns / 2e9

    def stop(self) -> None:
        """End the loop after the tick that is going on."""
        self._stopping.set()

    def run(self, duration_s: float | None = None) -> None:
        """Judge frames until the source ends, `stop` is called or the time is up; then OFF."""
        parts = self._parts
        ends_ns = None if duration_s is None else self._clock.now_ns() + round(duration_s * 1e9)
        gc.collect()
        gc.freeze()  # what lives now lives until the end; a later collection need not look at it
        gc.disable()  # `_tidy` collects, when the permit is out
        try:
            parts.camera.start()
            self._settled()
            while not self._stopping.is_set():
                frame = parts.mailbox.take(self._patience_s)
                self.tick(frame)
                self._between_frames()
                if frame is None and parts.mailbox.finished:
                    break
                if ends_ns is not None and self._clock.now_ns() >= ends_ns:
                    break
        finally:
            self._say_off()
            parts.camera.stop()
            gc.enable()
            gc.unfreeze()

    def tick(self, frame: Frame | None) -> Decision:
        """One tick: judge, tell the relay, and only then remember and show."""
        report = self._parts.relay.report()
        senses = self._senses(frame, report)
        self._memory, decision = advance(
            self._memory, senses, self._parts.detector, self._clock, self._parts.rules
        )
        self._permit_seq += 1
        permit = permit_of(self._memory, decision, self._permit_seq)
        if decision.detections is not None or decision.output is Output.OFF:
            self._parts.relay.send(permit)
        self._remember(decision, permit, report, frame)
        return decision

    def _senses(self, frame: Frame | None, report: KeeperReport) -> Senses:
        parts = self._parts
        camera = {CAMERA_FAULT} if parts.mailbox.failure is not None else set()
        button = self._button()
        return Senses(
            taken_ns=self._clock.now_ns(),
            frame=frame,
            reset_down=None if button is None else button.down,
            reset_since_ns=None if button is None else button.since_ns,
            contactor_open=report.contactor_open,
            impairments=frozenset(camera | (report.faults & RECOVERABLE)),
            faults=(report.faults - RECOVERABLE) | (parts.checkup.faults if parts.checkup else frozenset()),
        )

    def _button(self) -> Button | None:
        """The reset button; None when it cannot be read, which blinds."""
        try:
            return self._parts.reset.read()
        except DeviceError:
            return None

    def _between_frames(self) -> None:
        """What may cost some milliseconds, while the next frame is on its way."""
        self._tidy()
        checkup = self._parts.checkup
        if checkup is not None and checkup.look(self._parts.mailbox.holds_frame):
            self.tick(None)  # without waiting for a frame: OFF

    def _tidy(self) -> None:
        """Collect garbage now and then, between two frames: what ran since the start is little."""
        if self._permit_seq % TIDY_EVERY == 0:
            gc.collect()

    def _say_off(self) -> None:
        """The last word to the relay, whatever ended the loop."""
        self._permit_seq += 1
        self._parts.relay.send(Permit(self._permit_seq, -1, 0, self._clock.now_ns(), Output.OFF))

    def _remember(
        self, decision: Decision, permit: Permit, report: KeeperReport, frame: Frame | None
    ) -> None:
        parts = self._parts
        self._summary.add(decision, permit, report)
        for sink in parts.sinks:
            sink.record(decision, permit, report)
        if isinstance(parts.reset, SimulatedOperator):
            parts.reset.look(decision.state, decision.times.judged_ns)
        faults = frozenset().union(*(part.faults for part in (*parts.sinks, *parts.beside)))
        snapshot = self._chronicle.snapshot(decision, report, parts.mailbox.dropped, faults)
        image = frame.image if frame is not None and parts.shows_picture else None
        told = snapshot["cause"], snapshot["faults"]
        if image is not None or decision.events or told != self._shown or not parts.shows_picture:
            parts.feed.publish(snapshot, image)  # a trip without a picture too, and why no picture comes
            self._shown = told

"""What the pipeline and the monitor need from the outside world, as Protocols.

A room that implements one of these is a driver; nothing above it may ask which.
Fakes live in the product (`capture/simulated`, `relay/simulated`) and implement
the same Protocols. What a relay board must offer is not here but in
`relay.board`: only the keeper speaks to boards, and it may not import numpy.
"""

from __future__ import annotations

from typing import Protocol

from handguard.types import Button, Decision, Detections, Frame, KeeperReport, Permit, PictureFormat


class Clock(Protocol):
    """Monotonic time. The live clock is `time.monotonic_ns`; replay reads the recording's."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary fixed point; never goes back."""


class FrameSource(Protocol):
    """A stream of frames, read one after another by exactly one thread."""

    @property
    def format(self) -> PictureFormat:
        """Size and nominal rate, known once the source is constructed."""

    @property
    def name(self) -> str:
        """What a person calls it: the path, URL or device."""

    def read(self) -> Frame:
        """Block until the next frame.

        Raises `EndOfVideo` after the last frame of a finite source and
        `DeviceError` when the device fails; never returns an old frame twice.
        """

    def close(self) -> None:
        """Release the device. Safe to call twice."""


class Detector(Protocol):
    """Finds hands in a frame."""

    @property
    def description(self) -> str:
        """Network, back end and precision, for records: `handnet-320 openvino bf16`."""

    def detect(self, frame: Frame) -> Detections:
        """All hands at or above the operating point, in pixels of the whole frame."""


class SelfCheck(Protocol):
    """Asks a running detector for something whose answer is known."""

    def failure(self) -> str | None:
        """What is wrong, in words; None if nothing is. Never raises."""


class PermitLine(Protocol):
    """The monitor's end of the pipe to the relay keeper."""

    def send(self, permit: Permit) -> None:
        """Hand over a permit without blocking. Never raises: a broken pipe shows as a fault in `report`."""

    def report(self) -> KeeperReport:
        """The newest report, without blocking."""


class ResetInput(Protocol):
    """The reset button. What counts as a press is the interlock's business alone."""

    def read(self) -> Button:
        """The raw level, now. Never waits; raises `DeviceError` when the button cannot be read."""


class EventSink(Protocol):
    """Where decisions go to be remembered or shown. Must return at once and never raise."""

    @property
    def faults(self) -> frozenset[str]:
        """What is wrong with it now: shown to people, and never a reason to stop the machine."""

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """Queue one decision, the permit it produced, and what the keeper had said by then."""

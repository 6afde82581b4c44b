"""What cameras do wrong. All of it must end in blindness, which stops."""


from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from handguard.capture import faulty
from handguard.errors import DeviceError, EndOfVideo
from handguard.types import Frame
from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live
from tests.faults.stand import AGE_MS, Stand

PERIOD_MS = 34
STALE_MS = AGE_MS + 2 * PERIOD_MS  # the newest frame grows too old, and the tick after it says so


def struck(fault: faulty.Fault) -> Live:
    """One of the product's own camera faults, switched on and off."""
    return Live(lambda stand: stand.camera.strike(fault), lambda stand: stand.camera.mend())


def bent(change: Callable[[Frame], Frame], *, mends: bool = True) -> Live:
    """Each frame changed on its way."""

    def inject(stand: Stand) -> None:
        stand.camera.bend = change

    return Live(inject, (lambda stand: stand.camera.mend()) if mends else None)


class Hang:
    """A driver that does not come back until somebody lets it."""

    def __init__(self) -> None:
        self._go_on = threading.Event()

    def inject(self, stand: Stand) -> None:
        self._go_on.clear()
        stand.camera.bend = self._wait

    def mend(self, stand: Stand) -> None:
        stand.camera.mend()
        self._go_on.set()

    def _wait(self, frame: Frame) -> Frame:
        self._go_on.wait(20)
        return frame


class Stutter:
    """The same frame again and again: number, time and picture."""

    def inject(self, stand: Stand) -> None:
        self._frame: Frame | None = None
        stand.camera.bend = self._first

    def _first(self, frame: Frame) -> Frame:
        self._frame = self._frame or frame
        return self._frame


def raises(error: Exception) -> Callable[[Frame], Frame]:
    def bend(frame: Frame) -> Frame:
        raise error

    return bend


def other_size_when_opened_again(stand: Stand) -> None:
    """The camera fails once, and comes back with half the picture."""
    picture = stand.camera.format
    small = replace(picture, width_px=picture.width_px // 2, height_px=picture.height_px // 2)
    camera = stand.camera

    def reopen() -> object:
        camera._open()
        camera._picture = small
        return camera

    camera.reopen = reopen  # type: ignore[method-assign]
    camera.bend = raises(DeviceError("unplugged for a moment"))


HANG, STUTTER = Hang(), Stutter()
IMAGE = "each picture changed before the loop sees it"
STOP, LOCKOUT, END = Reaction.STOP, Reaction.LOCKOUT, Reaction.END
# fmt: off
FAULTS = (
    Fault("C01", "the camera repeats its last picture, with new numbers and times",
          "the picture replaced by the one before", "two equal samples of the picture in a row",
          STOP, 4 * PERIOD_MS, "blind: frozen", struck(faulty.Freeze())),
    Fault("C02", "the light goes out", "brightness times 0.02", "mean brightness of three pictures in a row",
          STOP, 5 * PERIOD_MS, "blind: dark", struck(faulty.Dark(gain=0.02))),
    Fault("C03", "the sun, or a lamp, shines into the lens", "brightness times 20",
          "mean brightness of three pictures in a row",
          STOP, 5 * PERIOD_MS, "overexposed", struck(faulty.Dark(gain=20.0))),
    Fault("C04", "something flat hangs before the lens", "every pixel the same gray",
          "no sensor gives equal samples twice", STOP, 5 * PERIOD_MS, "blind: frozen", struck(faulty.Covered())),
    Fault("C05", "the cable of the camera is pulled", "reading raises, and so does every attempt to open it again",
          "the camera thread posts a failure", STOP, 3 * PERIOD_MS, "blind: camera", struck(faulty.Unplugged())),
    Fault("C06", "the bus is blocked: frames come half a second late", "delivery delayed by 500 ms",
          "age of the newest frame", STOP, STALE_MS, "blind: stale frame", struck(faulty.Stall(by_ms=500))),
    Fault("C07", "frames are lost on the way", "every frame swallowed", "age of the newest frame",
          STOP, STALE_MS, "blind: stale frame", struck(faulty.Drop())),
    Fault("C08", "the driver hangs inside a call", "reading does not return", "age of the newest frame",
          STOP, STALE_MS, "blind: stale frame", Live(HANG.inject, HANG.mend)),
    Fault("C09", "the driver delivers one frame over and over", "the same frame object at every reading",
          "number and time of the frame", STOP, 3 * PERIOD_MS, "blind: repeated frame",
          Live(STUTTER.inject, lambda stand: stand.camera.mend())),
    Fault("C10", "time stamps lie in the past", "one second taken off each", "order and age of frames",
          STOP, STALE_MS, "blind: repeated frame", bent(lambda f: replace(f, captured_ns=f.captured_ns - 10**9))),
    Fault("C11", "time stamps lie in the future", "a minute added to each",
          "age of the frame; the keeper refuses a permit that is older than its frame",
          LOCKOUT, 3 * PERIOD_MS, "frame from the future",
          bent(lambda f: replace(f, captured_ns=f.captured_ns + 60 * 10**9), mends=False)),
    Fault("C12", "the camera changes the size of its pictures", IMAGE + ": half the size", "size of the picture",
          STOP, 3 * PERIOD_MS, "blind: wrong picture size", bent(lambda f: replace(f, image=f.image[::2, ::2].copy()))),
    Fault("C13", "the camera comes back with pictures of another size", "a failure, then another format",
          "format after opening again", STOP, 3 * PERIOD_MS, "blind: camera", Live(other_size_when_opened_again)),
    Fault("C14", "a mistake in the driver", "reading raises what no driver should", "the camera thread posts its death",
          STOP, 3 * PERIOD_MS, "blind: camera", bent(raises(RuntimeError("a mistake in the driver")), mends=False)),
    Fault("C15", "the stream ends", "the end of the recording", "the source says so",
          END, 3 * PERIOD_MS, '"kind":"decision"', bent(raises(EndOfVideo("over")), mends=False)),
)
# fmt: on

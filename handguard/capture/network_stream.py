"""A camera on the network: `rtsp://`, `http://` (MJPEG and others), `udp://`.

Frames are stamped when their packet arrives, before it is decoded. What happens
before that (encoder, camera queue, network) is not seen from here and may be
hundreds of milliseconds: measure it before a stream may stop a machine.
MPEG-TS over UDP hides two more periods, since a picture's end is known only by
the beginning of the next (92 ms at 25 fps, measured on the loopback).

A reader that was held up finds packets waiting in the socket; what time they are given
stands in `pace`. It takes the period of the stream, which is measured. A reader so busy
that it never waits can measure nothing: where nobody told the rate, that is a failure
which says what helps.

A stream has no proper end. When the other side closes it, that is a failure, and so is
one that goes on bringing damaged pictures, longer than the way to the next key frame: opened
again it may begin with a whole one.
"""

from __future__ import annotations

import re
from collections.abc import Generator

import av
import numpy as np
from numpy.typing import NDArray

from handguard.capture.clock import MonotonicClock
from handguard.capture.decoding import PictureDecoder, arrival_ns
from handguard.capture.pace import Stamps
from handguard.errors import DeviceError, DeviceMissing, mismatch
from handguard.ports import Clock
from handguard.safety.limits import BOUNDS
from handguard.types import Frame, PictureFormat

SCHEMES = ("http", "https", "rtsp", "rtsps", "udp")
_UNKNOWN_RATE_FPS = 25.0  # libav's own guess for streams without times
_LONGEST_GROUP_S = 15.0  # from one key frame to the next; x264 puts one every 250 pictures at least
_MEASURED_WITHIN_S = 10.0  # of reading

_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "max_delay": "0"}
_PER_SCHEME = {
    "rtsp": {"rtsp_transport": "tcp", "reorder_queue_size": "0"},
    "rtsps": {"rtsp_transport": "tcp", "reorder_queue_size": "0"},
    "http": {"probesize": "65536", "analyzeduration": "200000"},  # bytes, µs
    "https": {"probesize": "65536", "analyzeduration": "200000"},
    "udp": {"overrun_nonfatal": "1"},
}


class NetworkStream:
    """`FrameSource` over a URL. Passwords in it never reach a message.

    Raises `DeviceMissing` at construction if no picture comes within `open_timeout_s`.

    Synchronization: one thread reads and closes.
    """

    def __init__(
        self,
        url: str,
        *,
        open_timeout_s: float = 5.0,
        read_timeout_s: float = 1.0,
        fps: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`fps`: the rate as a person told it; it counts where this computer is too busy to measure it."""
        self._name = without_password(url)
        self._clock = clock if clock is not None else MonotonicClock()
        self._read_timeout_s = read_timeout_s
        opening_ns = self._clock.now_ns()
        self._container = _opened(url, self._name, self._clock, open_timeout_s, read_timeout_s)
        opened_ns = self._clock.now_ns()
        self._reading_ns: int | None = None  # since when
        try:
            self._stream = self._picture_stream()
            self._decoder = PictureDecoder(self._stream, self._name, "SLICE")
            self._pictures = self._decoded()
            is_whole_each = self._stream.codec_context.name == "mjpeg"
            self._patience_s = read_timeout_s if is_whole_each else _LONGEST_GROUP_S  # for a picture that is whole
            self._fps = _stated_fps(self._stream)
            self._stamps = Stamps(opening_ns, opened_ns, self._fps, fps)
            self._delivered = 0
            self._closed = False
            self._format = self._first_format()
        except BaseException:
            self._container.close()
            raise

    @property
    def name(self) -> str:
        """The URL without user name and password."""
        return self._name

    @property
    def format(self) -> PictureFormat:
        """Size of the first picture and the rate the stream states (25 if none that can be)."""
        return self._format

    @property
    def damaged(self) -> int:
        """Pictures skipped so far because their data was broken; each leaves a gap in `seq`."""
        return self._decoder.damaged

    def read(self) -> Frame:
        """The next picture. Raises `DeviceError` when none comes in time or the stream closes."""
        if self._closed:
            raise DeviceError(f"{self.name}: closed")
        self._require_pace()
        picture = self._next_picture()
        image = self._checked(self._converted(picture))
        self._delivered += 1
        return Frame(self._delivered + self.damaged - 1, arrival_ns(picture), image)

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._pictures.close()
            self._container.close()

    def _next_picture(self) -> av.VideoFrame:
        try:
            picture = next(self._pictures, None)
        except av.error.ExitError as error:
            raise DeviceError(f"{self.name}: no data for {self._read_timeout_s:g} s") from error
        except (av.FFmpegError, OSError) as error:
            raise DeviceError(f"{self.name}: the stream broke off: {error.strerror}") from error
        if picture is None:
            raise DeviceError(f"{self.name}: the other side closed the stream")
        return picture

    def _converted(self, picture: av.VideoFrame) -> NDArray[np.uint8]:
        try:
            return self._decoder.bgr(picture)
        except (av.FFmpegError, OSError) as error:
            raise DeviceError(f"{self.name}: a picture that cannot be converted: {error.strerror}") from error

    def _decoded(self) -> Generator[av.VideoFrame, None, None]:
        packets = self._container.demux(self._stream)
        whole_ns, damaged = self._clock.now_ns(), 0  # until when nothing was missed
        while True:
            asked_ns = self._clock.now_ns()
            packet = next(packets, None)
            if packet is None or packet.size == 0:  # 0: libav's sign for the end
                return
            arrived_ns = self._stamps.of(asked_ns, self._clock.now_ns())
            for picture in self._decoder.decode(packet, arrived_ns):
                yield picture
                whole_ns, damaged = self._clock.now_ns(), self.damaged
            if self.damaged > damaged and self._clock.now_ns() - whole_ns > self._patience_s * 1e9:
                raise DeviceError(f"{self.name}: nothing but damaged pictures for {self._patience_s:g} s")

    def _require_pace(self) -> None:
        """Raise `DeviceError` where nobody can tell how old pictures that lay waiting are."""
        now_ns = self._clock.now_ns()
        self._reading_ns = now_ns if self._reading_ns is None else self._reading_ns
        if self._stamps.period_ns is None and now_ns - self._reading_ns > _MEASURED_WITHIN_S * 1e9:
            advice = "ask the camera for fewer or smaller pictures, or tell its rate in camera.fps"
            raise DeviceError(f"{self.name}: this computer is too busy to tell how old the pictures are: {advice}")

    def _picture_stream(self) -> av.VideoStream:
        if not self._container.streams.video:
            raise DeviceMissing(mismatch(self.name, "a video stream", "none"))
        return self._container.streams.video[0]

    def _first_format(self) -> PictureFormat:
        """Decode one picture to learn the size. It is not delivered: it would grow old."""
        try:
            height_px, width_px = self._converted(self._next_picture()).shape[:2]
        except DeviceError as error:
            raise DeviceMissing(f"{error} (before the first picture)") from error
        return PictureFormat(width_px, height_px, self._fps)

    def _checked(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        expected = (self._format.height_px, self._format.width_px)
        if image.shape[:2] != expected:
            raise DeviceError(mismatch(self.name, f"pictures of {expected} pixels", f"{image.shape[:2]}"))
        return image


def _stated_fps(stream: av.VideoStream) -> float:
    """What the stream says, if it can be: some state their clock of 90 kHz."""
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    bound = BOUNDS["camera.fps"]
    return fps if bound.low <= fps <= bound.high else _UNKNOWN_RATE_FPS


def scheme_of(url: str) -> str:
    """What stands before `://`, in small letters."""
    return url.partition("://")[0].lower()


def without_password(url: str) -> str:
    """The URL fit for messages and records: `rtsp://user:secret@host/x?pwd=1` becomes `rtsp://host/x`.

    Everything up to the last `@` goes, so that a password with a slash in it goes too.
    """
    return re.sub(r"^([a-z]+://).*@", r"\1", url.split("?")[0], flags=re.IGNORECASE)


def _opened(
    url: str, name: str, clock: Clock, open_timeout_s: float, read_timeout_s: float
) -> av.container.InputContainer:
    options = _LOW_DELAY | _PER_SCHEME.get(scheme_of(url), {})
    asked_ns = clock.now_ns()
    try:
        return av.open(url, mode="r", options=options, timeout=(open_timeout_s, read_timeout_s))
    except (av.FFmpegError, OSError) as error:
        if clock.now_ns() - asked_ns >= open_timeout_s * 1e9:  # libav names this differently per protocol
            raise DeviceMissing(mismatch(name, "an answer", f"none within {open_timeout_s:g} s")) from error
        raise DeviceMissing(mismatch(name, "a video stream", error.strerror)) from error

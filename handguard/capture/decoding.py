"""From packets to pictures: what files and network streams have in common.

A picture known to be damaged is never shown, nor are those drawn from it: all are
skipped up to the next key frame, since decoders hide the damage behind a smear that looks
like a scene and could hide a hand. They are counted, and leave a gap in the numbering.

Of a JPEG that was cut short libav shows the upper part, and below it whatever its
memory held: the table of a moment ago, say, without the hand. It is told to refuse such
pictures. A picture that never came leaves no damage in the data of the next one, and a
decoder draws on; in H.264 a number tells (`h264`), and what follows counts as damaged. In
other codecs whose pictures build on one another (H.265) it is not noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, cast

import av
import numpy as np
from av.buffer import Buffer
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from handguard.capture.h264 import Succession
from handguard.errors import DeviceError, mismatch

Orientation = tuple[int, int, int, int]  # x' = a·x + c·y, y' = b·x + d·y, each -1, 0 or 1

UPRIGHT: Orientation = (1, 0, 0, 1)
_ONE = 1 << 16  # display matrices hold 16.16 fixed point numbers, three to a row


class _Tag(NamedTuple):
    """Hung on a packet; libav hands it back with the picture, whatever the reordering."""

    number: int  # in decoding order
    arrived_ns: int


class PictureDecoder:
    """Decodes one video stream into upright BGR pictures. One thread at a time.

    `threads` is a libav thread type: `AUTO` for throughput, `SLICE` where a frame of
    delay would cost distance.
    """

    def __init__(self, stream: av.VideoStream, name: str, threads: str) -> None:
        stream.codec_context.thread_type = threads
        stream.codec_context.copy_opaque = True
        if stream.codec_context.name == "mjpeg":
            stream.codec_context.options = stream.codec_context.options | {"err_detect": "explode"}
        is_h264 = stream.codec_context.name == "h264"
        self._succession = Succession(stream.codec_context.extradata) if is_h264 else None
        self._name = name
        self._converter = VideoReformatter()  # kept: making one per picture costs twice the conversion
        self._fed = 0
        self._damaged = 0
        self._broken_at: int | None = None  # newest packet known to be bad, until a key frame after it

    @property
    def damaged(self) -> int:
        """Pictures known to be lost because their data, or what they build on, was broken."""
        return self._damaged

    def decode(self, packet: av.Packet[av.VideoStream], arrived_ns: int = 0) -> Iterator[av.VideoFrame]:
        """The whole pictures that `packet` completes; none is normal, so are several at the end.

        `arrived_ns` comes back through `arrival_ns` with the picture made of this packet.
        """
        self._fed += 1
        packet.opaque = _Tag(self._fed, arrived_ns)
        if self._succession is not None and not self._succession.follows(bytes(packet)):
            self._broken_at = self._fed
        try:
            pictures = packet.decode()
        except av.error.InvalidDataError:
            self._damaged += 1
            self._broken_at = self._fed
            return
        yield from filter(self._is_whole, pictures)

    def _is_whole(self, picture: av.VideoFrame) -> bool:
        """Whether nothing that the picture is made of was damaged, as far as can be known.

        A key frame ends the trouble only if it was decoded after it: pictures come
        out in the order of display, and one from before may come out later.
        """
        tag = _tag_of(picture)
        if picture.is_corrupt:
            self._broken_at = max(self._broken_at or 0, tag.number)
        elif self._broken_at is not None and picture.key_frame and tag.number > self._broken_at:
            self._broken_at = None
        self._damaged += self._broken_at is not None
        return self._broken_at is None

    def bgr(self, picture: av.VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, upright. Raises `DeviceError` for a turn by an odd angle."""
        converted = self._converter.reformat(picture, format="bgr24", threads=1)
        image = cast("NDArray[np.uint8]", converted.to_ndarray())  # bgr24 is always uint8
        return turned(image, orientation(picture, self._name))


def arrival_ns(picture: av.VideoFrame) -> int:
    """The time given to `decode` with the packet that this picture was made of; 0 if that was lost."""
    return _tag_of(picture).arrived_ns


def _tag_of(picture: av.VideoFrame) -> _Tag:
    """The packet's tag; a decoder that loses it gets one that mends nothing and is old."""
    return picture.opaque if isinstance(picture.opaque, _Tag) else _Tag(0, 0)


def orientation(picture: av.VideoFrame, name: str) -> Orientation:
    """How the picture must be turned to be upright; phones store this beside the pixels.

    Raises `DeviceError` for anything but quarter turns and mirrors.
    """
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = (int(number) for number in np.frombuffer(bytes(cast(Buffer, matrix)), np.int32)[:5])
    if sorted((abs(a), abs(b))) != [0, _ONE] or (abs(a), abs(b)) != (abs(d), abs(c)):
        found_deg = round(math.degrees(math.atan2(c, a)))
        raise DeviceError(mismatch(name, "pictures turned by a multiple of 90 degrees", found_deg))
    return (a // _ONE, b // _ONE, c // _ONE, d // _ONE)


def turned(image: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """The image turned; contiguous, and the same array when it is upright already."""
    if orientation == UPRIGHT:
        return image
    a, b, c, d = orientation
    if a == 0:
        image = image.transpose(1, 0, 2)
    columns, rows = a + c, b + d  # one of each pair is zero
    return np.ascontiguousarray(image[::rows, ::columns])

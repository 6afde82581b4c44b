"""A picture that is missing is noticed in real H.264, whatever the coder's habits, and none where none is."""

from __future__ import annotations

import io
import itertools

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.capture.decoding import PictureDecoder
from handguard.capture.h264 import IDR, NON_IDR, Succession

HABITS = {
    "a camera's": {"tune": "zerolatency", "g": "18", "sc_threshold": "0"},
    "slices": {"tune": "zerolatency", "slices": "4", "g": "20"},
    "reordered": {"g": "20"},
    "pyramid": {"bf": "3", "b-pyramid": "normal", "g": "25"},
    "intra refresh": {"intra-refresh": "1", "g": "20"},
    "baseline": {"profile": "baseline", "g": "20"},
    "open groups": {"x264-params": "open-gop=1:keyint=12:bframes=2"},
    "interlaced": {"flags": "+ildct+ilme", "g": "20"},
    "scaling lists": {"x264-params": "cqm=jvt:keyint=15"},
}
FORMS = ["mp4", "mpegts", "h264"]  # lengths before units; start codes, once with and once without times
PICTURES = 40


def coded(habit: dict[str, str], form: str, pictures: int = PICTURES) -> io.BytesIO:
    """Something bright that moves over a noisy table."""
    file, chance = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("libx264", rate=30, options=habit)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(pictures):
            image = np.full((120, 160, 3), 90, np.uint8)
            image[40:80, 3 * number : 3 * number + 30] = 200
            noisy = image + chance.integers(0, 9, image.shape).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="bgr24")))
        container.mux(stream.encode())
    file.seek(0)
    return file


def packets_of(file: io.BytesIO) -> tuple[bytes | None, list[bytes]]:
    with av.open(file) as container:
        stream = container.streams.video[0]
        extradata = stream.codec_context.extradata
        return extradata, [bytes(packet) for packet in container.demux(stream) if packet.size]


def slice_of(succession: Succession, packet: bytes) -> bytes:
    return next(unit for unit in succession._units(packet) if unit[0] & 31 in (NON_IDR, IDR))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("habit", HABITS)
def test_every_picture_of_a_whole_stream_follows_the_one_before(habit: str, form: str):
    extradata, packets = packets_of(coded(HABITS[habit], form))
    succession = Succession(extradata)
    assert len(packets) == PICTURES
    assert all(succession.follows(packet) for packet in packets)
    assert succession._parameters is not None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("habit", [name for name in HABITS if name != "interlaced"])
def test_every_lost_picture_that_others_build_on_is_noticed(habit: str, form: str):
    extradata, packets = packets_of(coded(HABITS[habit], form))
    harmful = 0
    for lost in range(2, PICTURES - 1):
        succession = Succession(extradata)
        follows = [succession.follows(packet) for number, packet in enumerate(packets) if number != lost]
        is_reference = slice_of(succession, packets[lost])[0] >> 5 & 3
        if is_reference and slice_of(succession, packets[lost + 1])[0] & 31 != IDR:
            harmful += 1
            assert follows.index(False) == lost
    assert harmful > 10


def test_a_lost_picture_is_noticed_before_its_smear_is_shown():
    file = coded(HABITS["a camera's"], "mpegts", pictures=60)
    shown = []
    with av.open(file) as container:
        stream = container.streams.video[0]
        decoder = PictureDecoder(stream, "stream", "SLICE")
        for number, packet in enumerate(container.demux(stream)):
            if number != 24:  # key frames are 0, 18, 36 and 54
                shown += [round(picture.pts / 3000) for picture in decoder.decode(packet)]
    assert [after - before for before, after in itertools.pairwise(shown)].count(1) == len(shown) - 2
    assert len(shown) == 60 - 12
    assert decoder.damaged == 11


def test_a_stream_that_may_leave_numbers_out_is_not_judged_by_them():
    extradata, packets = packets_of(coded(HABITS["a camera's"], "h264"))
    succession = Succession(extradata)
    assert succession.follows(packets[0])
    allowing = succession._parameters
    succession._parameters = type(allowing)(allowing.number_bits, False, True, False)
    assert succession.follows(packets[5])


def test_without_parameters_nothing_is_said():
    _, packets = packets_of(coded(HABITS["a camera's"], "mp4"))
    succession = Succession(None)
    assert all(succession.follows(packet) for packet in packets[::3])


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=5), st.booleans())
def test_no_bytes_are_an_error(extradata: bytes, packets: list[bytes], has_starts: bool):
    head = b"\0\0\1\x67" + extradata if has_starts else b"\1\2\3\4\5\xe1\0\x20\x67" + extradata
    succession = Succession(head)
    for packet in packets:
        succession.follows(b"\0\0\1" + packet if has_starts else b"\0\0" + packet)

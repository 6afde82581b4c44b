from __future__ import annotations

import itertools
import wave
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from handguard.capture.video_file import VideoFile
from handguard.errors import DeviceError, DeviceMissing, EndOfVideo
from handguard.types import Frame


def test_every_frame_comes_once_in_order_with_its_time(make_video, read_all, number_on):
    source = VideoFile(make_video(frames=12, fps=25))
    frames = read_all(source)
    assert [f.seq for f in frames] == list(range(12))
    assert [f.captured_ns for f in frames] == [n * 40_000_000 for n in range(12)]
    assert [number_on(f.image) for f in frames] == list(range(12))
    assert (source.format.width_px, source.format.height_px, source.format.fps) == (96, 64, 25.0)
    assert all(f.image.flags.c_contiguous for f in frames)


def test_the_end_is_told_again_and_again(make_video, read_all):
    source = VideoFile(make_video(frames=3))
    read_all(source)
    for _ in range(3):
        with pytest.raises(EndOfVideo, match=r"clip\.mp4: ended after frame 2"):
            source.read()


def test_images_stay_as_they_were_after_the_source_moved_on_and_closed(make_video, read_all):
    source = VideoFile(make_video(frames=6))
    frames = [source.read()]
    kept = frames[0].image.copy()
    read_all(source)
    source.close()
    assert np.array_equal(frames[0].image, kept)


def test_a_closed_file_reads_no_more_and_closes_twice(make_video):
    source = VideoFile(make_video())
    source.close()
    source.close()
    with pytest.raises(DeviceError, match="closed"):
        source.read()


def test_variable_frame_rate_keeps_its_true_gaps(make_video, read_all):
    times_ms = [0, 40, 80, 500, 533, 1200]
    path = make_video("vfr.mkv", 6, times_ms=times_ms)
    assert [f.captured_ns // 1_000_000 for f in read_all(VideoFile(path))] == times_ms


def test_a_recording_that_starts_late_begins_at_zero(make_video, read_all):
    path = make_video("late.mkv", 3, times_ms=[700, 740, 780])
    assert [f.captured_ns // 1_000_000 for f in read_all(VideoFile(path))] == [0, 40, 80]


@pytest.mark.parametrize("turned_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_phone_video_stands_upright(make_video, corners, turned_deg: int, mirrored: bool):
    plain = np.array([["red", "blue"], ["white", "black"]])
    upright = np.rot90(plain, turned_deg // 90)  # counter-clockwise, as the matrix says
    upright = upright[:, ::-1] if mirrored else upright
    source = VideoFile(make_video(turned_deg=turned_deg, mirrored=mirrored))
    frame = source.read()
    assert corners(frame.image) == tuple(upright.ravel())
    expected = (96, 64) if turned_deg % 180 == 0 else (64, 96)
    assert (source.format.width_px, source.format.height_px) == expected
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize("turned_deg", [90, 180, 270])
def test_turning_agrees_with_opencv_to_the_pixel(make_video, turned_deg: int):
    path = make_video(turned_deg=turned_deg)
    ok, reference = cv2.VideoCapture(str(path)).read()
    assert ok
    assert np.array_equal(VideoFile(path).read().image, reference)


def test_a_video_turned_by_an_odd_angle_is_refused(make_video):
    with pytest.raises(DeviceMissing, match="multiple of 90 degrees, found 30"):
        VideoFile(make_video(turned_deg=30))


@pytest.mark.parametrize("width_px", [98, 130, 322])
def test_widths_that_need_padding_come_out_straight(make_video, number_on, width_px: int):
    frame = VideoFile(make_video(size_px=(width_px, 66))).read()
    assert frame.image.shape == (66, width_px, 3)
    assert number_on(frame.image) == 0


def _write_audio(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return path


def _text(tmp_path: Path) -> Path:
    path = tmp_path / "letter.mp4"
    path.write_text("Dear Sir or Madam,\n" * 100)
    return path


def _empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.mp4"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda folder: folder / "missing.mp4", "no such file"),
        (lambda folder: folder, "a folder"),
        (_empty, "an empty file"),
        (_text, "Invalid data"),
        (lambda folder: _write_audio(folder / "sound.wav"), "audio stream only"),
    ],
)
def test_what_is_no_video_is_named_with_what_was_expected_and_found(tmp_path: Path, make, found: str):
    path = make(tmp_path)
    with pytest.raises(DeviceMissing) as caught:
        VideoFile(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected a video")
    assert found in message
    assert "\n" not in message


def test_a_cover_picture_in_an_audio_file_is_no_video(tmp_path: Path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(64, 64, "rgb24")))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with pytest.raises(DeviceMissing, match="expected a video stream, found audio, video stream only"):
        VideoFile(path)


def test_a_truncated_recording_does_not_pass_for_a_complete_one(make_video, read_all):
    path = make_video(frames=120, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = VideoFile(path)
    frames: list[Frame] = []
    with pytest.raises(DeviceError, match="the file is truncated") as caught:
        read_all(source, into=frames)
    assert not isinstance(caught.value, EndOfVideo)
    assert 10 < len(frames) < 120
    with pytest.raises(DeviceError, match="the file is truncated"):
        source.read()


def test_a_truncated_matroska_file_is_noticed_by_its_stated_length(make_video, read_all):
    path = make_video("long.mkv", frames=120)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(DeviceError, match=r"expected 4\.80 s as its header says"):
        read_all(VideoFile(path))


def test_an_mp4_that_lost_its_index_is_refused_at_once(make_video):
    path = make_video(frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DeviceMissing, match="Invalid data"):
        VideoFile(path)


def _overwrite_packets(path: Path, numbers: range, fill: Callable[[int], bytes]) -> None:
    """Spoil packets of an MP4, counted in decoding order."""
    with av.open(str(path)) as container:
        places = [(e.pos, e.size) for e in container.streams.video[0].index_entries]
    data = bytearray(path.read_bytes())
    for number in numbers:
        start, size = places[number]
        data[start + 8 : start + size] = fill(size - 8)
    path.write_bytes(data)


@pytest.mark.parametrize("fill", [bytes, lambda size: b"\xa5" * size], ids=["zeros", "noise"])
@pytest.mark.parametrize("number", [3, 8, 13])
def test_damage_in_the_middle_never_shows_a_smeared_picture(make_video, read_all, fill, number: int):
    path = make_video(frames=24, options={"movflags": "faststart"})
    whole = {f.captured_ns: f.image for f in read_all(VideoFile(path))}
    _overwrite_packets(path, range(number, number + 1), fill)
    source = VideoFile(path)
    frames = read_all(source)
    assert 24 - 12 <= len(frames) < 24  # at most two groups of six are lost
    assert all(np.array_equal(f.image, whole[f.captured_ns]) for f in frames)
    assert source.damaged > 0
    assert frames[-1].seq == len(frames) + source.damaged - 1
    assert any(b.seq > a.seq + 1 for a, b in itertools.pairwise(frames))


def test_the_real_recording_is_read_whole(footage: Path, read_all):
    source = VideoFile(footage / "bottle-picking.mp4")
    first = source.read()
    times_ns = [first.captured_ns] + [f.captured_ns for f in read_all(source)]
    assert len(times_ns) == 1189
    assert (source.format.width_px, source.format.height_px) == (640, 360)
    assert source.format.fps == pytest.approx(29.8333, abs=1e-3)
    gaps_ns = np.diff(times_ns)
    assert (gaps_ns > 0).all()
    assert times_ns[-1] / 1e9 == pytest.approx(1188 / source.format.fps, abs=0.005)
    ok, reference = cv2.VideoCapture(str(footage / "bottle-picking.mp4")).read()
    assert ok
    assert np.array_equal(first.image, reference)


def test_a_change_of_size_in_mid_recording_is_a_failure(make_video, read_all):
    small, large = make_video("a.ts", 10), make_video("b.ts", 10, size_px=(192, 128))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(DeviceError, match="expected 96x64 pixels as in the first, found 192x128"):
        read_all(VideoFile(small))


def test_a_recording_joined_from_two_goes_forward_in_time_all_the_way(make_video, read_all):
    one, two = make_video("a.ts", 10), make_video("b.ts", 10)
    one.write_bytes(one.read_bytes() + two.read_bytes())
    source = VideoFile(one)
    times_ns = [f.captured_ns for f in read_all(source)]
    assert len(times_ns) == 20
    assert (np.diff(times_ns) > 0).all()


def test_a_stream_without_times_is_given_its_nominal_rate(make_video, read_all):
    source = VideoFile(make_video("raw.h264", 10))
    frames = read_all(source)
    assert len(frames) == 10
    assert {b - a for a, b in itertools.pairwise(f.captured_ns for f in frames)} == {source.format.period_ns}


def test_a_video_in_which_nothing_can_be_decoded_is_refused(make_video):
    path = make_video(frames=4, options={"movflags": "faststart"})
    _overwrite_packets(path, range(4), bytes)
    with pytest.raises(DeviceMissing, match="expected a video with at least one picture"):
        VideoFile(path)

"""Against a real HTTP server on the loopback; nothing here is pretended."""

from __future__ import annotations

import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from handguard.capture import network_stream
from handguard.capture.camera import Backoff, CameraThread
from handguard.capture.mailbox import Mailbox
from handguard.capture.network_stream import NetworkStream, _stated_fps, without_password
from handguard.capture.sources import open_source
from handguard.errors import DeviceError, DeviceMissing, EndOfVideo

_LONG_S = 20.0


def jpeg(seq: int) -> bytes:
    return cv2.imencode(".jpg", np.full((64, 96, 3), 20 + 10 * seq % 230, np.uint8))[1].tobytes()


class Camera(ThreadingHTTPServer):
    """An MJPEG camera. `script(send)` decides what a viewer gets and when."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, script: Callable[[Callable[[bytes], None]], None], port: int = 0) -> None:
        self.script = script
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/video"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with suppress(OSError):  # the viewer hung up
            self.server.script(self._send)  # type: ignore[attr-defined]

    def _send(self, data: bytes) -> None:
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
        self.wfile.write(head + data + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(script: Callable[[Callable[[bytes], None]], None], port: int = 0) -> Iterator[Camera]:
    camera = Camera(script, port)
    thread = threading.Thread(target=camera.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield camera
    finally:
        camera.shutdown()
        thread.join()
        camera.server_close()


def steady(send: Callable[[bytes], None], frames: int = 2000, period_s: float = 0.03) -> None:
    for seq in range(frames):
        send(jpeg(seq))
        time.sleep(period_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_stream_is_read_and_stamped_on_the_live_clock():
    with serving(steady) as camera:
        source = NetworkStream(camera.url)
        before_ns = time.monotonic_ns()
        frames = [source.read() for _ in range(15)]
        assert (source.format.width_px, source.format.height_px) == (96, 64)
        assert [f.seq for f in frames] == list(range(15))
        times_ns = [f.captured_ns for f in frames]
        assert all(b > a for a, b in itertools.pairwise(times_ns))
        assert before_ns - 1e9 < times_ns[0]
        assert times_ns[-1] <= time.monotonic_ns()
        assert frames[0].image.shape == (64, 96, 3)
        source.close()


def test_frames_that_lay_waiting_are_not_taken_for_fresh_ones():
    with serving(steady) as camera:
        source = NetworkStream(camera.url)
        for _ in range(5):
            source.read()
        time.sleep(0.9)  # the reader is held up; pictures pile up in the socket
        resumed_ns = time.monotonic_ns()
        age_s = (resumed_ns - source.read().captured_ns) / 1e9
        source.close()
    assert age_s > 0.6


class Kept:
    """The live clock of a reader that other programs keep from its core for `for_ns` between any two looks."""

    def __init__(self) -> None:
        self.for_ns = self.lost_ns = 0

    def now_ns(self) -> int:
        self.lost_ns += self.for_ns
        return time.monotonic_ns() + self.lost_ns


def test_a_reader_kept_from_its_core_takes_no_waiting_frame_for_a_fresh_one():
    clock = Kept()
    with serving(steady) as camera:
        source = NetworkStream(camera.url, clock=clock)
        for _ in range(5):
            source.read()
        time.sleep(0.9)
        clock.for_ns = 15_000_000  # longer than a quarter of a period
        resumed_ns = clock.now_ns()
        ages_s = [(resumed_ns - source.read().captured_ns) / 1e9 for _ in range(10)]
        source.close()
    assert min(ages_s) > 0.3


def test_after_a_backlog_frames_are_fresh_again():
    with serving(steady) as camera:
        source = NetworkStream(camera.url)
        source.read()
        time.sleep(0.5)
        frames = [source.read() for _ in range(40)]
        age_s = (time.monotonic_ns() - frames[-1].captured_ns) / 1e9
        source.close()
    assert age_s < 0.1


def swift(send: Callable[[bytes], None]) -> None:
    """60 pictures a second."""
    begin_s = time.monotonic()
    for seq in range(2000):
        time.sleep(max(0.0, begin_s + seq / 60 - time.monotonic()))
        send(jpeg(seq))


def test_a_backlog_that_grows_is_seen_whatever_rate_the_stream_states():
    """MJPEG over HTTP states 25 a second; this camera gives 60, and the reader manages 40."""
    sent_ns: list[int] = []

    def noting(send: Callable[[bytes], None]) -> None:
        swift(lambda picture: (sent_ns.append(time.monotonic_ns()), send(picture)))

    with serving(noting) as camera:
        source = NetworkStream(camera.url)
        calm = [source.read() for _ in range(180)]
        frames = []
        for _ in range(200):
            frames.append(source.read())
            time.sleep(0.025)
        late_ns = time.monotonic_ns()
        source.close()
    assert source.format.fps == 25
    assert calm[-1].captured_ns >= sent_ns[len(calm)] - 1_000_000_000
    assert late_ns - sent_ns[len(calm) + len(frames)] > 1_000_000_000  # so old it was indeed
    for number, frame in enumerate([*calm, *frames], start=1):  # the first picture told the size
        assert frame.captured_ns - sent_ns[number] < 400_000_000, number  # this machine may stand still itself


def test_a_told_rate_is_for_stamps_and_the_stated_one_for_the_loop():
    with serving(swift) as camera:
        source = open_source(camera.url, live=True, fps=60.0)
        assert source.format.fps == 25
        assert source._stamps.period_ns == round(1e9 / 60)
        source.close()


def test_a_reader_too_busy_to_measure_a_rate_that_nobody_told_says_so(monkeypatch):
    monkeypatch.setattr(network_stream, "_MEASURED_WITHIN_S", 1.0)
    with serving(swift) as camera:
        source = NetworkStream(camera.url)
        with pytest.raises(DeviceError, match=r"too busy to tell how old the pictures are: .*camera\.fps"):
            while_it_lasts(source, busy_s=0.016)
        source.close()


@pytest.mark.parametrize(
    ("average", "guessed", "fps"), [(30, None, 30), (None, 15, 15), (None, None, 25), (90_000, 25, 25), (0, 0, 25)]
)
def test_a_stated_rate_that_cannot_be_is_not_believed(average, guessed, fps):
    assert _stated_fps(SimpleNamespace(average_rate=average, guessed_rate=guessed)) == fps


def scene(seq: int, with_a_hand: bool) -> bytes:
    """A table with the noise of a sensor, and something bright in its lower part."""
    image = np.random.default_rng(0).integers(60, 190, (24, 32, 3)).astype(np.uint8)
    image = cv2.resize(image, (320, 240), interpolation=cv2.INTER_CUBIC)
    if with_a_hand:
        cv2.circle(image, (160, 200), 30, (150, 170, 230), -1)
    noise = np.random.default_rng(seq).integers(-4, 5, image.shape)
    return cv2.imencode(".jpg", np.clip(image + noise, 0, 255).astype(np.uint8))[1].tobytes()


def test_a_picture_that_was_cut_short_is_never_shown_with_the_table_of_before_below():
    def script(send: Callable[[bytes], None]) -> None:
        for seq in range(40):
            whole = scene(seq, with_a_hand=seq >= 15)
            is_cut = 15 <= seq < 25
            send(whole[: len(whole) * 45 // 100] if is_cut else whole)
            time.sleep(0.03)

    with serving(script) as camera:
        source = NetworkStream(camera.url)
        images: list[np.ndarray] = []
        with suppress(DeviceError):  # at its end
            while len(images) < 40:
                images.append(source.read().image)
        damaged = source.damaged
        source.close()
    shows_a_hand = [abs(image[190:210, 150:170].mean() - 183) < 10 for image in images]
    assert damaged == 10
    assert shows_a_hand == sorted(shows_a_hand)  # never the table again once the hand is there
    assert len(shows_a_hand) > 20
    assert 10 < sum(shows_a_hand) < 16


def test_a_stream_of_nothing_but_damaged_pictures_is_given_up():
    def script(send: Callable[[bytes], None]) -> None:
        for seq in range(600):
            whole = scene(seq, with_a_hand=False)
            send(whole if seq < 5 else whole[: len(whole) // 2])
            time.sleep(0.03)

    with serving(script) as camera:
        source = NetworkStream(camera.url, read_timeout_s=0.5)
        with pytest.raises(DeviceError, match=r"nothing but damaged pictures for 0\.5 s"):
            while_it_lasts(source)
        source.close()


def test_a_camera_that_dies_in_mid_stream_is_a_failure_not_the_end_of_a_video(read_all):
    with serving(lambda send: steady(send, frames=8)) as camera:
        source = NetworkStream(camera.url)
        with pytest.raises(DeviceError, match=r"127\.0\.0\.1.*(broke off|closed the stream)") as caught:
            read_all(source)
        assert not isinstance(caught.value, EndOfVideo)
        with pytest.raises(DeviceError):
            source.read()
        source.close()


def test_a_camera_that_falls_silent_is_given_up_after_the_read_time(read_all):
    def then_silent(send: Callable[[bytes], None]) -> None:
        steady(send, frames=8)
        time.sleep(_LONG_S)

    with serving(then_silent) as camera:
        source = NetworkStream(camera.url, read_timeout_s=0.3)
        started = time.monotonic()
        with pytest.raises(DeviceError, match=r"no data for 0\.3 s"):
            read_all(source)
        assert time.monotonic() - started < _LONG_S / 2
        source.close()
        source.close()


def test_a_closed_stream_reads_no_more():
    with serving(steady) as camera:
        source = NetworkStream(camera.url)
        source.close()
        with pytest.raises(DeviceError, match="closed"):
            source.read()


def test_a_wrong_port_says_connection_refused():
    url = f"http://127.0.0.1:{free_port()}/video"
    with pytest.raises(DeviceMissing, match="expected a video stream, found Connection refused") as caught:
        NetworkStream(url)
    assert str(caught.value).startswith(url)


def test_an_rtsp_address_where_nobody_listens_says_connection_refused():
    with pytest.raises(DeviceMissing, match="Connection refused"):
        NetworkStream(f"rtsp://127.0.0.1:{free_port()}/live")


def test_a_server_that_accepts_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        with pytest.raises(DeviceMissing, match=r"expected an answer, found none within 0\.4 s"):
            NetworkStream(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/live", open_timeout_s=0.4)
        assert time.monotonic() - started < _LONG_S / 2


def test_a_page_that_is_no_video_is_refused():
    page = b"<html>log in first</html>" * 50
    refused = pytest.raises(DeviceMissing, match=r"expected a video stream|before the first picture")
    with serving(lambda send: send(page)) as camera, refused:
        NetworkStream(camera.url)


def test_a_camera_thread_finds_the_camera_again_after_it_restarted():
    port, box = free_port(), Mailbox()
    url = f"http://127.0.0.1:{port}/video"
    with serving(lambda send: steady(send, frames=10), port):
        source = NetworkStream(url, read_timeout_s=0.5)
        camera = CameraThread(
            source, box, reopen=lambda: NetworkStream(url, read_timeout_s=0.5), backoff=Backoff(0.02, 0.1)
        )
        camera.start()
        _wait_for(lambda: box.failure is not None)
    with serving(steady, port):
        back_ns = time.monotonic_ns()
        _wait_for(lambda: (frame := box.take(0.2)) is not None and frame.captured_ns > back_ns)
    assert camera.stop(_LONG_S)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:se/cret@10.0.0.5:554/live", "rtsp://10.0.0.5:554/live"),
        ("rtsp://admin:p@ss@10.0.0.5/live", "rtsp://10.0.0.5/live"),
        ("http://10.0.0.5/video.cgi?user=admin&pwd=888888", "http://10.0.0.5/video.cgi"),
        ("http://10.0.0.5/video?user=a@b", "http://10.0.0.5/video"),
        ("http://10.0.0.5:8080/video", "http://10.0.0.5:8080/video"),
        ("HTTP://u:p@host/", "HTTP://host/"),
    ],
)
def test_passwords_do_not_reach_names(url: str, shown: str):
    assert without_password(url) == shown


def test_passwords_do_not_reach_messages():
    with pytest.raises(DeviceMissing) as caught:
        NetworkStream(f"rtsp://admin:hunter2@127.0.0.1:{free_port()}/live")
    assert "hunter2" not in str(caught.value)


def _wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONG_S
    while not done() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert done()


def grouped(group: int, pictures: int) -> bytes:
    """H.264 in MPEG-TS, 25 pictures a second, a key frame every so many."""
    file, chance = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format="mpegts") as container:
        options = {"g": str(group), "tune": "zerolatency", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(pictures):
            picture = chance.integers(0, 255, (64, 96, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return file.getvalue()


def test_a_stream_whose_key_frames_are_seconds_apart_is_waited_for():
    """The probe may throw the first one away; and damage lasts up to the next, which is no reason to hang up."""
    port, film = free_port(), grouped(group=100, pictures=260)
    with socket.create_server(("127.0.0.1", port)) as server:

        def send() -> None:
            viewer, _ = server.accept()
            with viewer, suppress(OSError):
                for at in range(0, len(film), len(film) // 260):
                    lost = 0.60 * len(film) < at < 0.61 * len(film)
                    viewer.sendall(b"" if lost else film[at : at + len(film) // 260])
                    time.sleep(0.04)

        sender = threading.Thread(target=send)
        sender.start()
        source = NetworkStream(f"tcp://127.0.0.1:{port}", open_timeout_s=1.0, read_timeout_s=0.5)
        frames = []
        with suppress(DeviceError):
            while len(frames) < 260:
                frames.append(source.read())
        source.close()
        sender.join()
    assert source.damaged > 0
    assert len(frames) > 60


@contextmanager
def sending_udp(port: int) -> Iterator[None]:
    """An H.264 camera in MPEG-TS over UDP, 25 frames a second until the block ends."""
    ended = threading.Event()

    def send() -> None:
        with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=25, options={"g": "5", "tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for seq in itertools.count():
                if ended.wait(0.04):
                    return
                picture = np.full((64, 96, 3), seq % 230, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def test_h264_over_udp_is_read_until_the_sender_stops():
    port = free_port()
    with sending_udp(port):
        source = NetworkStream(f"udp://127.0.0.1:{port}", open_timeout_s=_LONG_S, read_timeout_s=0.5)
        for _ in range(10):  # what came while opening is old and says so
            source.read()
        frames = [source.read() for _ in range(25)]
        newest_age_s = (time.monotonic_ns() - frames[-1].captured_ns) / 1e9
    assert (source.format.width_px, source.format.height_px) == (96, 64)
    assert all(b.captured_ns >= a.captured_ns for a, b in itertools.pairwise(frames))
    assert newest_age_s < 1.0
    with pytest.raises(DeviceError, match=r"no data for 0\.5 s"):
        while_it_lasts(source)
    source.close()


def while_it_lasts(source: NetworkStream, busy_s: float = 0.0) -> None:
    for _ in range(500):
        source.read()
        time.sleep(busy_s)

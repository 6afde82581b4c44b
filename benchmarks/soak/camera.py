"""A camera on the network that does not exist: the drawn scene as a stream of JPEGs over HTTP.

    python -m benchmarks.soak.camera PORT LOG SEED

A process of its own, like a real camera, and like one it drops a reader that is too
slow. Every picture it has sent is a line in LOG: when, whether a hand was truly in
the stop zone, and which fault it had. Orders come as JSON lines on its standard
input: {"fault": "freeze", "for_s": 2.0}; the faults are those of `capture.faulty`.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import cv2

from handguard.capture.faulty import Dark, Drop, Fault, Freeze, Jitter, Stall, Unplugged
from handguard.capture.simulated import SimulatedScene
from handguard.errors import DeviceError
from handguard.types import Frame

SIZE_PX, FPS = (640, 360), 30.0
STOP_NORM = (0.27, 0.0, 0.73, 0.36)  # x1 y1 x2 y2 of the zone that stops, over the picture
SEND_LIMIT_S = 0.3
JPEG_QUALITY = 90
PRIORITY = 10  # below keeper and boards
_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
FAULTS: dict[str, Fault] = {
    "freeze": Freeze(),
    "dark": Dark(),
    "silence": Drop(),
    "late": Stall(by_ms=300.0),
    "jitter": Jitter(most_ms=25.0),
    "unplugged": Unplugged(),
}


class Camera:
    """One scene, at most one reader, at most one fault. One thread."""

    def __init__(self, port: int, log: str, seed: int) -> None:
        self._scene = SimulatedScene(seed, *SIZE_PX, FPS, live=True)
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.setblocking(False)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._reader: socket.socket | None = None
        self._previous: Frame | None = None
        self._fault, self._ends_ns = "", 0
        self._orders = b""

    def run(self) -> None:
        """Until the standard input ends."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while self._obey():
            self._accept()
            self._show(self._scene.read())

    def _obey(self) -> bool:
        if time.monotonic_ns() >= self._ends_ns:
            self._fault = ""
        if not select.select([0], [], [], 0)[0]:
            return True
        got = os.read(0, 4096)
        *lines, self._orders = (self._orders + got).split(b"\n")
        for line in lines:
            order = json.loads(line)
            self._fault, self._ends_ns = order["fault"], time.monotonic_ns() + round(order["for_s"] * 1e9)
        return bool(got)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            reader, _ = self._server.accept()
            self._hang_up()
            reader.settimeout(SEND_LIMIT_S)
            self._reader = reader
            self._send(_HEAD)

    def _hang_up(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _show(self, frame: Frame) -> None:
        """One picture on its way, as the fault of the moment leaves it."""
        fault = FAULTS.get(self._fault, Fault())
        time.sleep(fault.delay_ns(frame.seq) / 1e9)
        try:
            struck = fault.apply(frame, self._previous)
        except DeviceError:
            self._hang_up()
            return
        if struck is None:
            return
        self._previous = struck
        if self._send(_part(struck)):
            self._note(frame)

    def _send(self, message: bytes) -> bool:
        if self._reader is None:
            return False
        try:
            self._reader.sendall(message)
        except OSError:
            self._hang_up()
            return False
        return True

    def _note(self, frame: Frame) -> None:
        boxes = [hand.box_px for hand in self._scene.hands(frame.seq)]
        line: dict[str, Any] = {"ns": time.monotonic_ns(), "event": "frame", "seq": frame.seq}
        line |= {"taken_ns": frame.captured_ns, "stop": any(map(in_stop_zone, boxes)), "fault": self._fault}
        os.write(self._log, (json.dumps(line) + "\n").encode())


def in_stop_zone(box_px: tuple[float, float, float, float]) -> bool:
    """Does a true hand's box overlap the zone? The product's own geometry is not asked."""
    x1, y1, x2, y2 = box_px
    left, top, right, bottom = STOP_NORM
    width_px, height_px = SIZE_PX
    return x1 < right * width_px and x2 > left * width_px and y1 < bottom * height_px and y2 > top * height_px


def _part(frame: Frame) -> bytes:
    taken, jpeg = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert taken
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg.tobytes() + b"\r\n"


def as_prompt_as_a_device() -> None:
    """A real camera does not wait for this machine's scheduler; where it is allowed, nor does this one."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


if __name__ == "__main__":
    as_prompt_as_a_device()
    cv2.setNumThreads(1)
    Camera(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])).run()

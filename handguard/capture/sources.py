"""One word for where pictures come from: what `--source` and `source:` accept.

    0                      camera number 0 of this computer
    /dev/video2            a camera by its device (also /dev/v4l/by-id/…)
    rtsp:// http:// udp:// a network stream
    file.mp4               a video file; live, it is shown at its own pace
    folder/                a folder of pictures, at `fps`
    simulated              the drawn scene

Live and replay read through the same classes; live only adds the pacing. Replay
takes what can be read twice with the same result, so no cameras and no streams.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from handguard.capture.camera_device import CameraDevice, CameraWish
from handguard.capture.network_stream import SCHEMES, NetworkStream, scheme_of, without_password
from handguard.capture.pacing import Paced
from handguard.capture.picture_folder import PictureFolder
from handguard.capture.video_file import VideoFile
from handguard.errors import ConfigError, DeviceMissing, mismatch
from handguard.ports import Clock, FrameSource

ACCEPTED = (
    "a camera number such as 0, a device such as /dev/video0, a URL beginning with "
    + ", ".join(f"{scheme}://" for scheme in SCHEMES)
    + ", a video file, a folder of pictures, or simulated"
)
_FOLDER_FPS = 30.0


def open_source(
    spec: str,
    *,
    live: bool,
    fps: float | None = None,
    size_px: tuple[int, int] | None = None,
    loop: bool = False,
    seed: int = 0,
    clock: Clock | None = None,
) -> FrameSource:
    """Open what `spec` names; see the top of this file.

    `fps` and `size_px` (width, height) are wishes to a camera and orders to the
    simulated scene, `fps` is also the rate of a folder, and of a stream where it
    cannot be measured; a file has its own. `loop`
    repeats a file or folder for ever (live only); `seed` draws the scene.

    Raises `ConfigError` for a spec that means nothing, `DeviceMissing` for one
    that names something that is not there.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise ConfigError(mismatch("source rate", "a positive number of frames per second", fps))
    if spec == "simulated":
        return _open_simulated(seed, live, fps, size_px, clock)
    if is_device(spec) or is_network(spec):
        if not live:
            raise ConfigError(mismatch("source", "a file or folder for replay", without_password(spec)))
        return _open_device(spec, fps, size_px, clock)
    open_recording = _recording(spec, fps)
    if not live:
        return open_recording()
    return Paced(open_recording(), clock, reopen=open_recording if loop else None)


def is_device(spec: str) -> bool:
    """Whether `spec` names a camera at this computer."""
    return (spec.isascii() and spec.isdigit()) or spec.startswith("/dev/")


def is_network(spec: str) -> bool:
    """Whether `spec` is a URL of a known kind."""
    return "://" in spec and scheme_of(spec) in SCHEMES


def _open_device(
    spec: str, fps: float | None, size_px: tuple[int, int] | None, clock: Clock | None
) -> FrameSource:
    if is_network(spec):
        return NetworkStream(spec, fps=fps, clock=clock)
    width_px, height_px = size_px if size_px is not None else (None, None)
    wish = CameraWish(width_px=width_px, height_px=height_px, fps=fps)
    return CameraDevice(int(spec) if spec.isdigit() else spec, wish, clock=clock)


def _recording(spec: str, fps: float | None) -> Callable[[], FrameSource]:
    """What opens the recording, and can open it again for another round."""
    if not spec or "://" in spec:
        raise ConfigError(mismatch("source", ACCEPTED, repr(spec)))
    path = Path(spec).expanduser()
    if path.is_dir():
        return partial(PictureFolder, path, fps if fps is not None else _FOLDER_FPS)
    if not path.exists():
        raise DeviceMissing(mismatch(f"source {spec}", ACCEPTED, "nothing of that name"))
    return partial(VideoFile, path)


def _open_simulated(
    seed: int, live: bool, fps: float | None, size_px: tuple[int, int] | None, clock: Clock | None
) -> FrameSource:
    """The scene paces itself and keeps its truth, so it is not wrapped.

    Imported here so that a real camera does not wait for it to load.
    """
    simulated = importlib.import_module("handguard.capture.simulated")
    orders: dict[str, Any] = {} if fps is None else {"fps": fps}
    if size_px is not None:
        orders |= {"width_px": size_px[0], "height_px": size_px[1]}
    source: FrameSource = simulated.SimulatedScene(seed=seed, live=live, clock=clock, **orders)
    return source

"""How long a recording says it is. Only for progress: what is judged is what is read."""

from __future__ import annotations

from pathlib import Path

import av


def stated_frames(video: Path) -> int | None:
    """Frames by the file's own word, or by its length and mean rate; None if it does not tell."""
    if video.is_dir():
        return None
    try:
        with av.open(f"file:{video}") as container:
            stream = container.streams.best("video")
            if stream is None or stream.type != "video":
                return None
            if stream.frames:
                return int(stream.frames)
            if container.duration is None or stream.average_rate is None:
                return None
            return round(container.duration / 1_000_000 * stream.average_rate)
    except av.FFmpegError:
        return None

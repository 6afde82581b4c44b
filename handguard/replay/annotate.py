"""The annotated film of a replay: every frame with what was decided on it, at its own time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handguard.evidence import overlay
from handguard.evidence.film import DrawnFilm, drawn_film, pts_of
from handguard.replay.ticks import Tick
from handguard.types import Zone


class AnnotatedVideo:
    """A sink of ticks: draws and encodes each frame. One thread."""

    def __init__(self, film: DrawnFilm, zones: Sequence[Zone]) -> None:
        self._film, self._zones = film, zones
        self._origin_ns: int | None = None

    def __call__(self, tick: Tick) -> None:
        """Draw and encode one frame. Raises `OSError`."""
        captured_ns = tick.frame.captured_ns
        if self._origin_ns is None:
            self._origin_ns = captured_ns
        drawn = overlay.draw(tick.frame.image, tick.decision, self._zones, self._origin_ns, shows_age=False)
        self._film.add(pts_of(captured_ns, self._origin_ns), drawn)


@contextmanager
def annotated_video(path: Path, zones: Sequence[Zone]) -> Iterator[AnnotatedVideo]:
    """The sink for `path`, an MP4 that appears, whole, when the block ends well. Raises `OSError`."""
    with drawn_film(path, threads=0) as film:
        yield AnnotatedVideo(film, zones)

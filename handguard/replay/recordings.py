"""What an audit finds in its folder: videos, and the folders of live runs.

A live run is one recording: its book tells what was decided, and its films lie beside
it and are not judged again as videos. So no video inside the folder of a run is looked at.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from handguard.errors import ConfigError, mismatch
from handguard.replay.book import holds_book, picture_of
from handguard.replay.replay import opened
from handguard.types import PictureFormat

VIDEOS = frozenset({".mp4", ".mkv", ".avi", ".mov", ".m4v", ".webm", ".ts"})


def find(folder: Path) -> dict[str, Path]:
    """Every video and every live run below the folder, by its path in it. Raises `ConfigError` if there is none."""
    runs = {path.parent for path in folder.rglob("evidence") if holds_book(path.parent)}
    films = (path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS and path.is_file())
    videos = {path for path in films if runs.isdisjoint(path.parents)}
    if not runs and not videos:
        expected = f"recordings ({', '.join(sorted(VIDEOS))}) or folders of live runs"
        raise ConfigError(mismatch(str(folder), expected, "none"))
    return {_name(path, folder): path for path in sorted(runs | videos)}


def picture_format(recording: Path, fps: float | None) -> PictureFormat:
    """Size and rate of a video, a folder of pictures or a live run. Raises `HandguardError`."""
    if holds_book(recording):
        return picture_of(recording)
    with closing(opened(recording, fps)) as source:
        return source.format


def _name(path: Path, folder: Path) -> str:
    return folder.resolve().name if path == folder else path.relative_to(folder).as_posix()

"""Replay: every frame of a recording through the stop path, as fast as the machine can.

    DIR/decisions.jsonl   one line a frame; equal bytes for equal input
    DIR/annotated.mp4     the pictures with zones, hands and state, on request
    DIR/summary.json      written last: where it stands, the others are whole and belong to it

Each appears under its name only when it is whole. Nothing in the first and the
last depends on the machine that replays, so both can be compared byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from handguard.assembly import detector_of, rules_of
from handguard.capture.picture_folder import PictureFolder
from handguard.capture.video_file import VideoFile
from handguard.config.resolved import fingerprint
from handguard.config.schema import Settings
from handguard.errors import ConfigError, RecordingError, mismatch
from handguard.evidence.summary import Summary, percentiles
from handguard.pipeline import Rules
from handguard.ports import Detector, FrameSource
from handguard.relay.operator import SimulatedOperator
from handguard.replay.annotate import annotated_video
from handguard.replay.clock import JUDGING_NS
from handguard.replay.decision_file import DecisionFile, decision_file
from handguard.replay.length import stated_frames
from handguard.replay.ticks import Tick, ticks
from handguard.types import PictureFormat, Zone

DECISIONS, SUMMARY, ANNOTATED = "decisions.jsonl", "summary.json", "annotated.mp4"
_FOLDER_FPS = 30.0

Sink = Callable[[Tick], None]
DetectorMaker = Callable[[Settings, Sequence[Zone], PictureFormat], Detector]
Progress = Callable[[int, "int | None"], None]  # frames done, frames the file says it has


@dataclass(frozen=True, slots=True)
class Replayed:
    """A finished replay."""

    summary: dict[str, Any]  # as in summary.json
    out: Path
    recorded_s: float
    took_s: float

    @property
    def times_real_time(self) -> float:
        """How much faster than the recording it went."""
        return self.recorded_s / self.took_s


def replay(
    source: FrameSource,
    detector: Detector,
    rules: Rules,
    operator: SimulatedOperator,
    sinks: Sequence[Sink] = (),
) -> Summary:
    """Judge every frame of a finite source; each sink sees every tick, in order.

    The summary holds no response times: nothing here is wired to anything.

    Raises `RecordingError` where the recording breaks off before its end, and
    whatever a sink raises.
    """
    summary = Summary()
    with closing(ticks(source, detector, rules, operator)) as moments:
        for tick in moments:
            summary.add(tick.decision, tick.permit)
            for sink in sinks:
                sink(tick)
    return summary


def replay_video(
    video: Path,
    settings: Settings,
    out: Path,
    *,
    annotate: bool = False,
    progress: Progress | None = None,
    detector_for: DetectorMaker = detector_of,
) -> Replayed:
    """Replay a video file or a folder of pictures into `out`, which is made if it is not there.

    Whatever button the settings name, a simulated operator presses it.

    Raises `DeviceMissing` for a video that cannot be opened, `RecordingError` for
    one that breaks off and for results that cannot be written, `ConfigError` for
    zones that do not fit the picture, and what `detector_for` raises.
    """
    with closing(opened(video, settings.camera.fps)) as source:
        rules = rules_of(settings, source.format)
        detector = detector_for(settings, rules.zones.zones, source.format)
        _make(out)
        watch = _Watch(rules.interlock.max_frame_age_ns, stated_frames(video), progress)
        run = _Run(settings, out, source, detector, rules, watch)
        with _told_clearly(out):
            return run.go(annotate)


def opened(video: Path, fps: float | None) -> FrameSource:
    """A video file, or a folder of pictures at this rate. Raises `DeviceMissing`."""
    if video.is_dir():
        return PictureFolder(video, fps or _FOLDER_FPS)
    return VideoFile(video)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(mismatch(f"--out {out}", "a folder for the results", error.strerror)) from error


def _operator_in_words(settings: Settings) -> str:
    reset = settings.reset
    words = f"simulated, presses reset {reset.after_free_s:g} s after free"
    return words if reset.input == "simulated" else f"{words}; live, the settings say: {reset.input}"


@contextmanager
def _told_clearly(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise RecordingError(mismatch(str(out), "a place to write the results", error)) from error


class _Watch:
    """A sink that counts what the summary does not, and tells how far the replay is."""

    def __init__(self, max_frame_age_ns: int, of_frames: int | None, progress: Progress | None) -> None:
        self._max_frame_age_ns, self._of_frames, self._progress = max_frame_age_ns, of_frames, progress
        self._times_ns: tuple[int, int] | None = None  # first and newest
        self.frames = self.gaps = 0

    @property
    def recorded_ns(self) -> int:
        """From the first frame to the newest."""
        return 0 if self._times_ns is None else self._times_ns[1] - self._times_ns[0]

    def __call__(self, tick: Tick) -> None:
        now_ns = tick.frame.captured_ns
        first_ns, last_ns = self._times_ns or (now_ns, now_ns)
        self.frames += 1
        self.gaps += now_ns - last_ns > self._max_frame_age_ns
        self._times_ns = first_ns, now_ns
        if self._progress is not None:
            self._progress(self.frames, self._of_frames)


@dataclass(frozen=True, slots=True)
class _Run:
    """One replay from an open source to its files."""

    settings: Settings
    out: Path
    source: FrameSource
    detector: Detector
    rules: Rules
    watch: _Watch

    def go(self, annotate: bool) -> Replayed:
        began_s = time.monotonic()
        with decision_file(self.out / DECISIONS) as lines:
            summary = self._judged(lines, annotate)
            (self.out / SUMMARY).unlink(missing_ok=True)  # an older one would not belong to what comes now
        facts = self._facts(lines.sha256, annotate)
        summary.write(self.out / SUMMARY, **facts)
        recorded_ns = self.watch.recorded_ns + self.source.format.period_ns
        whole = {**summary.to_json(), **facts}
        return Replayed(whole, self.out, recorded_ns / 1e9, time.monotonic() - began_s)

    def _judged(self, lines: DecisionFile, annotate: bool) -> Summary:
        operator = SimulatedOperator(self.settings.reset.after_free_s)
        film = annotated_video(self.out / ANNOTATED, self.rules.zones.zones)
        with film if annotate else nullcontext() as picture_sink:
            sinks: list[Sink] = [lines, *([picture_sink] if picture_sink else []), self.watch]
            return replay(self.source, self.detector, self.rules, operator, sinks)

    def _facts(self, decisions_sha256: str, annotate: bool) -> dict[str, Any]:
        """What the summary says beyond its counts."""
        picture = self.source.format
        size = {"width_px": picture.width_px, "height_px": picture.height_px, "fps": round(picture.fps, 6)}
        return {
            "judged_ms": percentiles([]),  # time is virtual: there is nothing to measure
            "judging_ms": JUDGING_NS / 1e6,  # what judging takes in that time
            "gaps": self.watch.gaps,  # frames further apart than a frame may be old: blind in between
            "operator": _operator_in_words(self.settings),
            "video": self.source.name,
            "picture": size,
            "detector": self.detector.description,
            "settings_sha256": fingerprint(self.settings),
            "decisions": DECISIONS,
            "decisions_sha256": decisions_sha256,
            "annotated": ANNOTATED if annotate else None,
        }

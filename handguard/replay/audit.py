"""Audit: every recording of a folder judged, held against what is known, and summed up.

    OUT/audit.json                          the whole result
    OUT/recordings/NAME-xxxxxxxx/a, b       what each judgment decided
    OUT/index.html, OUT/recordings/*.html   to be read by people

A recording that was judged before, by the same settings, network and program, is
not judged again: an audit that was broken off goes on where it was. The numbers are
always made anew from the decisions, so truth and expectations may change in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handguard.assembly import model_sha256
from handguard.atomic import write_atomically
from handguard.config import Settings, fingerprint
from handguard.errors import ConfigError, RecordingError, mismatch
from handguard.evidence.decisions import DecisionLine, read_decisions
from handguard.replay.approaches import Approach, read_approaches
from handguard.replay.compare import Comparison, compare
from handguard.replay.expects import NOBODY, PLAN, Wanted, read_plan
from handguard.replay.identity import Identity, sha256_of, software
from handguard.replay.job import Job, Outcome, finished
from handguard.replay.length import stated_frames
from handguard.replay.replay import DECISIONS, SUMMARY
from handguard.replay.score import Score, Totals, score, together
from handguard.replay.workers import Done, OnFrames, do_here

AUDIT = "audit.json"
VIDEOS = frozenset({".mp4", ".mkv", ".avi", ".mov", ".m4v", ".webm", ".ts"})
Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How an audit is run."""

    out: Path
    workers: int = 1
    scheduler: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One recording as one set of settings judged it."""

    job: Job
    outcome: Outcome
    lines: tuple[DecisionLine, ...] = ()  # empty where the outcome is an error
    summary: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One recording of an audit."""

    name: str
    video: Path
    a: Judged
    b: Judged | None
    score: Score | None  # None where A could not be judged
    comparison: Comparison | None
    approaches: tuple[Approach, ...] | None

    @property
    def failures(self) -> tuple[str, ...]:
        """Why this recording fails, in words; empty when all is well."""
        found = [each.outcome.error for each in (self.a, self.b) if each and each.outcome.error]
        found += [] if self.score is None else self.score.failures
        if self.comparison is not None and self.comparison.fails:
            counts = self.comparison.counts
            vacuous = "B never lets the machine run" if self.comparison.vacuous else ""
            found.append(vacuous or f"B loses {counts['lost']} trip(s) of A and makes {counts['later']} later")
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The whole result."""

    folder: Path
    a: Settings
    b: Settings | None
    rows: tuple[Row, ...]
    totals: Totals
    software: str

    @property
    def fails(self) -> bool:
        """True if any recording fails."""
        return any(row.failures for row in self.rows)

    @property
    def times_real_time(self) -> float | None:
        """How much faster than the recordings the judging went, each process for itself; None if nothing was."""
        took_s = sum(row.a.outcome.took_s for row in self.rows)
        return sum(row.a.outcome.recorded_s for row in self.rows) / took_s if took_s else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "fails": self.fails,
            "folder": str(self.folder),
            "software": self.software,
            "a": {"file": self.a.origin.file, "sha256": fingerprint(self.a)},
            "b": None if self.b is None else {"file": self.b.origin.file, "sha256": fingerprint(self.b)},
            "totals": self.totals.to_json(),
            "recordings": [_row_json(row) for row in self.rows],
        }


def audit(
    folder: Path, a: Settings, b: Settings | None, options: Options, progress: Progress | None = None
) -> Audit:
    """Judge what must be judged, score everything, and write `audit.json`.

    Raises `ConfigError` for a folder without recordings, a plan or a place for the
    results that will not do, and `DatasetError` for a truth file that is none. What
    is wrong with one recording is a failure of that recording.
    """
    plan = read_plan(folder)
    videos = find(folder)
    _require_known(plan, videos, folder)
    sides = {"a": a} | ({"b": b} if b is not None else {})
    truths = {name: _truth(videos[name], plan.get(name, Wanted())) for name in videos}
    jobs = {
        (name, side): _job(name, videos[name], side, settings, options.out)
        for name in videos
        for side, settings in sides.items()
    }
    outcomes = _outcomes(list(jobs.values()), options, progress)
    judged = {place: _judged(job, outcomes[job.out]) for place, job in jobs.items()}
    rows = tuple(
        _row(name, videos[name], judged[name, "a"], judged.get((name, "b")), truths[name], plan.get(name, Wanted()))
        for name in videos
    )
    scores = [row.score for row in rows if row.score is not None]
    result = Audit(folder, a, b, rows, together(scores), software())
    write_atomically(options.out / AUDIT, json.dumps(result.to_json(), indent=1).encode() + b"\n")
    return result


def find(folder: Path) -> dict[str, Path]:
    """Every video below the folder, by its path in it. Raises `ConfigError` if there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS and path.is_file())
    if not found:
        raise ConfigError(mismatch(str(folder), f"recordings ({', '.join(sorted(VIDEOS))})", "none"))
    return {path.relative_to(folder).as_posix(): path for path in found}


def _require_known(plan: dict[str, Wanted], videos: dict[str, Path], folder: Path) -> None:
    for name in plan:
        if name not in videos:
            where = f"{folder / PLAN}: recordings.{name}"
            raise ConfigError(mismatch(where, f"one of {', '.join(videos)}", "no such file"))


def _truth(video: Path, wanted: Wanted) -> tuple[Approach, ...] | None:
    if wanted.truth == NOBODY:
        return ()
    if wanted.truth is not None:
        return read_approaches(video.parent / wanted.truth)
    beside = video.with_suffix(".json")
    return read_approaches(beside) if beside.exists() else None


def _job(name: str, video: Path, side: str, settings: Settings, out: Path) -> Job:
    own = f"{video.stem}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    identity = Identity(sha256_of(video), fingerprint(settings), model_sha256(settings), software())
    place = (out / "recordings" / own / side).resolve()
    values = settings.model_dump(mode="json")
    return Job(f"{name} ({side.upper()})", str(video.resolve()), str(place), values, settings.origin.file, identity)


def _outcomes(jobs: Sequence[Job], options: Options, progress: Progress | None) -> dict[str, Outcome]:
    """Of every job by its folder; what was done before is not done again."""
    found = {job.out: outcome for job in jobs if (outcome := finished(job)) is not None}
    todo = [job for job in jobs if job.out not in found]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(mismatch(f"--out {options.out}", "a folder for the results", error.strerror)) from error
    meter = _Meter(todo, progress)
    for job, outcome in _done(todo, options, meter.frames):
        meter.finished(job)
        found[job.out] = outcome
    return found


def _done(jobs: Sequence[Job], options: Options, on_frames: OnFrames) -> Iterator[Done]:
    if not jobs:
        return iter(())
    if options.scheduler is None:
        return do_here(jobs, options.workers, on_frames)
    from handguard.replay.cluster import do_there  # brings Dask, which nothing else needs

    return do_there(jobs, options.scheduler)


class _Meter:
    """Adds up how far every job is. Any thread."""

    def __init__(self, jobs: Sequence[Job], progress: Progress | None) -> None:
        self._progress = progress
        self._of = {job.out: stated_frames(Path(job.video)) or 0 for job in jobs}
        self._done = dict.fromkeys(self._of, 0)

    def frames(self, job: Job, done: int) -> None:
        """So many frames of a job are done; fewer than before where a worker died."""
        self._done[job.out] = done
        if self._progress is not None:
            self._progress(sum(self._done.values()), sum(self._of.values()) or None)

    def finished(self, job: Job) -> None:
        """All of it."""
        self.frames(job, self._of[job.out])


def _judged(job: Job, outcome: Outcome) -> Judged:
    if outcome.error is not None:
        return Judged(job, outcome)
    try:
        lines = tuple(read_decisions(Path(job.out) / DECISIONS))
        summary = json.loads((Path(job.out) / SUMMARY).read_bytes())
    except (RecordingError, OSError, ValueError) as error:
        return Judged(job, Outcome(error=f"{job.name}: {error}"))
    return Judged(job, outcome, lines, summary)


def _row(
    name: str, video: Path, a: Judged, b: Judged | None, truth: tuple[Approach, ...] | None, wanted: Wanted
) -> Row:
    scored = score(a.lines, truth, wanted, a.summary["warnings"]) if a.summary is not None else None
    both = b is not None and b.summary is not None and a.summary is not None
    comparison = compare(a.lines, b.lines) if b is not None and both else None
    return Row(name, video, a, b, scored, comparison, truth)


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "failures": list(row.failures),
        "identity": asdict(row.a.job.identity),
        "decisions_sha256": None if row.a.summary is None else row.a.summary["decisions_sha256"],
        "score": None if row.score is None else row.score.to_json(),
        "comparison": None if row.comparison is None else row.comparison.to_json(),
        "lost_workers": row.a.outcome.lost_workers,
    }


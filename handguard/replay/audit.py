"""Audit: every recording of a folder judged, held against what is known, and summed up.

    OUT/audit.json                          the whole result
    OUT/recordings/NAME-xxxxxxxx/a, b       what each judgment decided
    OUT/index.html, OUT/recordings/*.html   to be read by people

A recording is a video or the folder of a live run, whose record is proven before its
hands are judged. One that was judged before, by the same settings, network and program,
is not judged again: an audit that was broken off goes on where it was. The numbers are
always made anew from the decisions, so truth and expectations may change in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handguard.assembly import model_sha256
from handguard.atomic import write_json
from handguard.config import Settings, fingerprint, load
from handguard.detection.card import locate
from handguard.errors import ConfigError, RecordingError, mismatch
from handguard.evidence.decisions import DecisionLine, read_decisions
from handguard.replay.approaches import Approach, read_approaches
from handguard.replay.compare import Comparison, compare
from handguard.replay.drift import Drift, Limits, between
from handguard.replay.expects import PLAN, Wanted, read_plan
from handguard.replay.identity import Identity, sha256_of, software
from handguard.replay.job import Job, Outcome, finished
from handguard.replay.length import stated_frames
from handguard.replay.recordings import find
from handguard.replay.replay import DECISIONS, SUMMARY
from handguard.replay.score import Score, Totals, score, together
from handguard.replay.workers import Done, OnFrames, do_here

AUDIT = "audit.json"
Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How an audit is run."""

    out: Path
    workers: int = 1
    scheduler: str | None = None
    expects: Path | None = None  # the plan; None: audit.yaml in the folder, if there is one
    drift: Limits = field(default_factory=Limits)  # where A and B differ in nothing but the back end


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One recording as one set of settings judged it."""

    settings: Settings
    job: Job
    outcome: Outcome
    lines: tuple[DecisionLine, ...] = ()  # empty where the outcome is an error
    summary: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One recording of an audit."""

    name: str
    path: Path
    a: Judged
    b: Judged | None
    score: Score | None  # None where A could not be judged
    comparison: Comparison | None
    drift: Drift | None  # where A and B are two back ends
    approaches: tuple[Approach, ...] | None

    @property
    def failures(self) -> tuple[str, ...]:
        """Why this recording fails, in words; empty when all is well."""
        found = [each.outcome.error for each in (self.a, self.b) if each and each.outcome.error]
        found += [] if self.score is None else self.score.failures
        if self.drift is not None and self.drift.fails:
            found.append(self.drift.words)
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
    results that will not do, and for a relative path to a network where a cluster is to
    judge; `ModelError` for one that is not there; `DatasetError` for a truth file that is
    none. What is wrong with one recording is a failure of that recording.
    """
    tasks = _tasks(folder, a, b, options)
    outcomes = _outcomes([job for task in tasks for job in task.jobs], options, progress)
    rows = tuple(_row(task, outcomes, options.drift) for task in tasks)
    scores = [row.score for row in rows if row.score is not None]
    result = Audit(folder, a, b, rows, together(scores), software())
    write_json(options.out / AUDIT, result.to_json())
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One recording, before it is judged."""

    name: str
    path: Path
    wanted: Wanted
    truth: tuple[Approach, ...] | None
    sides: tuple[Settings, ...]  # A, and B where there is one
    jobs: tuple[Job, ...]  # in the order of the sides


def _tasks(folder: Path, a: Settings, b: Settings | None, options: Options) -> list[_Task]:
    recordings = find(folder)
    plan = _plan(folder, recordings, options.expects)
    tasks = []
    for name, path in recordings.items():
        wanted = plan.get(name, Wanted())
        sides = (a if wanted.settings is None else load(wanted.settings), *([] if b is None else [b]))
        if options.scheduler is not None:
            _require_found_anywhere(sides)
        jobs = tuple(_job(name, path, side, each, options.out) for side, each in zip("ab", sides, strict=False))
        tasks.append(_Task(name, path, wanted, _truth(path, wanted), sides, jobs))
    return tasks


def _require_found_anywhere(sides: Sequence[Settings]) -> None:
    """Workers of a cluster work in folders of their own. Raises `ConfigError` for a network beside this one."""
    for settings in sides:
        model = settings.detector.model
        if model is not None and not locate(model).card.is_absolute():
            expected = "the name of a shipped model or, with --scheduler, an absolute path"
            raise ConfigError(mismatch(f"{settings.origin.file}: detector.model", expected, model))


def _plan(folder: Path, recordings: dict[str, Path], given: Path | None) -> dict[str, Wanted]:
    path = given or folder / PLAN
    plan = read_plan(path) if given or path.exists() else {}
    for name in plan:
        if name not in recordings:
            where = f"{path}: recordings.{name}"
            raise ConfigError(mismatch(where, f"one of {', '.join(recordings)}", "no such recording"))
    return plan


def _truth(recording: Path, wanted: Wanted) -> tuple[Approach, ...] | None:
    if wanted.approaches is not None:
        return wanted.approaches
    beside = recording.with_suffix(".json")
    path = wanted.truth or (beside if beside.is_file() else None)
    return None if path is None else read_approaches(path)


def _job(name: str, recording: Path, side: str, settings: Settings, out: Path) -> Job:
    own = f"{recording.stem}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    identity = Identity(sha256_of(recording), fingerprint(settings), model_sha256(settings), software())
    place = (out / "recordings" / own / side).resolve()
    values = settings.model_dump(mode="json")
    source = str(recording.resolve())
    return Job(f"{name} ({side.upper()})", source, str(place), values, settings.origin.file, identity)


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
        self._of = {job.out: stated_frames(Path(job.recording)) or 0 for job in jobs}
        self._done = dict.fromkeys(self._of, 0)

    def frames(self, job: Job, done: int) -> None:
        """So many frames of a job are done; fewer than before where a worker died."""
        self._done[job.out] = done
        if self._progress is not None:
            self._progress(sum(self._done.values()), sum(self._of.values()) or None)

    def finished(self, job: Job) -> None:
        """All of it."""
        self.frames(job, self._of[job.out])


def _judged(settings: Settings, job: Job, outcome: Outcome) -> Judged:
    if outcome.error is not None:
        return Judged(settings, job, outcome)
    try:
        lines = tuple(read_decisions(Path(job.out) / DECISIONS))
        summary = json.loads((Path(job.out) / SUMMARY).read_bytes())
    except (RecordingError, OSError, ValueError) as error:
        return Judged(settings, job, Outcome(error=f"{job.name}: {error}"))
    return Judged(settings, job, outcome, lines, summary)


def _row(task: _Task, outcomes: dict[str, Outcome], limits: Limits) -> Row:
    sides = [_judged(each, job, outcomes[job.out]) for each, job in zip(task.sides, task.jobs, strict=True)]
    a, b = sides[0], sides[1] if len(sides) > 1 else None
    scored = score(a.lines, task.truth, task.wanted, a.summary["warnings"]) if a.summary is not None else None
    both = b is not None and b.summary is not None and a.summary is not None
    comparison = compare(a.lines, b.lines) if b is not None and both else None
    found = between(a.settings, b.settings, a.lines, b.lines, limits) if b is not None and both else None
    return Row(task.name, task.path, a, b, scored, comparison, found, task.truth)


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "failures": list(row.failures),
        "identity": asdict(row.a.job.identity),
        "decisions_sha256": None if row.a.summary is None else row.a.summary["decisions_sha256"],
        "score": None if row.score is None else row.score.to_json(),
        "proof": list(row.a.outcome.proof),
        "comparison": None if row.comparison is None else row.comparison.to_json(),
        "back_ends": None if row.drift is None else row.drift.to_json(),
        "lost_workers": row.a.outcome.lost_workers,
    }


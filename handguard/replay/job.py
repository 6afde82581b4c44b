"""One recording to be judged, as a value that can travel to another process or computer.

    JOB.out/decisions.jsonl, summary.json    as of any replay
    JOB.out/result.json                      written last: with it, and the right identity, the job is done

Whoever does a job writes into its folder and nowhere else, so a worker that dies
leaves at most a half-done folder, and another worker starts it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handguard.assembly import detector_of, model_sha256
from handguard.atomic import write_json
from handguard.config import Settings
from handguard.config.loading import checked
from handguard.config.strict_yaml import Tree
from handguard.digest import sha256_of
from handguard.errors import HandguardError, mismatch
from handguard.replay.book import holds_book
from handguard.replay.identity import Identity, software
from handguard.replay.proof import judge_run
from handguard.replay.replay import DECISIONS, DetectorMaker, replay_video

RESULT = "result.json"
Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What to judge, by what, and where to. Paths are absolute and mean the same to whoever does it.

    Only `detector.model` may be relative: to the folder that whoever asks works in, and whoever does it
    must work there too. A network other than that of `identity` is refused.
    """

    name: str  # of the recording, as a person knows it; with the side: `cups.mp4 (A)`
    recording: str  # a video, a folder of pictures, or the folder of a live run
    out: str
    settings: dict[str, Any]  # resolved, as plain values
    settings_from: str  # file they came from, for messages
    identity: Identity

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the way."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Job:
        """The job again, at its destination."""
        return cls(**{**values, "identity": Identity(**values["identity"])})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. `error` is None where its results stand in its folder."""

    error: str | None = None
    recorded_s: float = 0.0
    took_s: float = 0.0
    kept: bool = False  # done before, found again
    lost_workers: int = 0  # died on the way
    proof: tuple[str, ...] = ()  # what was proven of a live run, in words

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Outcome:
        """The outcome again, at its destination."""
        return cls(**{**values, "proof": tuple(values.get("proof", ()))})


def do(job: Job, progress: Progress | None = None, detector_for: DetectorMaker = detector_of) -> Outcome:
    """Judge the recording. What is wrong with it is an outcome, not an exception."""
    try:
        _require_same_program(job)
        settings = checked(Tree(job.settings, {}), job.settings_from)
        _require_same_network(job, settings)
        (Path(job.out) / RESULT).unlink(missing_ok=True)  # it would vouch for what is now written over
        outcome = _judged(job, settings, progress, detector_for)
        kept = {"recorded_s": outcome.recorded_s, "took_s": outcome.took_s, "proof": outcome.proof}
        result = {"identity": asdict(job.identity), **kept}
        write_json(Path(job.out) / RESULT, result)
    except (HandguardError, OSError) as error:
        return Outcome(error=str(error))
    return outcome


def finished(job: Job) -> Outcome | None:
    """The outcome of the same job done earlier, if its results still stand as they were written."""
    out = Path(job.out)
    try:
        result = json.loads((out / RESULT).read_bytes())
        summary = json.loads((out / "summary.json").read_bytes())
        decisions = sha256_of(out / DECISIONS)
        same = Identity(**result["identity"]) == job.identity and decisions == summary["decisions_sha256"]
        proof = tuple(result["proof"])
        return Outcome(None, result["recorded_s"], result["took_s"], kept=True, proof=proof) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _judged(
    job: Job, settings: Settings, progress: Progress | None, detector_for: DetectorMaker
) -> Outcome:
    recording, out, began_s = Path(job.recording), Path(job.out), time.monotonic()
    if holds_book(recording):
        proven = judge_run(recording, settings, out)
        took_s = time.monotonic() - began_s
        return Outcome(None, round(proven.recorded_s, 3), round(took_s, 3), proof=proven.words)
    done = replay_video(recording, settings, out, progress=progress, detector_for=detector_for)
    return Outcome(recorded_s=round(done.recorded_s, 3), took_s=round(done.took_s, 3))


def _require_same_program(job: Job) -> None:
    if job.identity.software != software():
        expected = f"a worker with the same program, libraries and kind of processor ({job.identity.software})"
        raise HandguardError(mismatch(job.name, expected, software()))


def _require_same_network(job: Job, settings: Settings) -> None:
    """What the settings name here must be what they named where the job was made. Raises `ModelError` too."""
    wanted, found = job.identity.model_sha256, model_sha256(settings)
    if found != wanted:
        expected = f"a worker that finds the network of card sha256 {wanted[:16]}…"
        raise HandguardError(f"{job.name}: expected {expected}, found {found[:16]}…")

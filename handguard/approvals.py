"""What a person asks of a machine that does not run yet: a self-test, acceptance, and the proof test.

Each leaves a book like any run's (`evidence.standing`). The proof test is a live run, the
same parts in the same order, with an `Exam` among its sinks; a thread of its own
tells the person what to do, so that a slow terminal delays nothing.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from handguard.assembly import card_of, model_sha256
from handguard.atomic import write_atomically
from handguard.config import Settings, fingerprint, tells_of_its_contact
from handguard.errors import RecordingError, mismatch, require_words
from handguard.evidence import standing
from handguard.evidence.schema import OperatorAction
from handguard.evidence.writer import EvidenceWriter
from handguard.proof_test import Exam, ExamLimits, told
from handguard.types import ZoneRole
from handguard.watch import LiveRun, Options, Say, book_of, say_cautions, stopped_by_signals

SUMMARY = "proof-test.txt"
LOW_DISK = "evidence-disk-low"  # written all the same


@dataclass(frozen=True, slots=True)
class Examined:
    """How a proof test went, and where its record is."""

    passed: bool
    folder: Path


def self_test(settings: Settings, out: Path | None) -> tuple[str, ...]:
    """Start everything as a run does, and end before the first frame; returns a line for each part.

    Raises `SelfTestFailed` with those lines, and `HandguardError` for what is wrong before.
    """
    folder = out or standing.stamped(Path(settings.evidence.dir), "self-test")
    with ExitStack() as stack:
        return LiveRun(settings, Options(folder, panel=False, realtime=False), folder, stack).tried.table()


def accept(settings: Settings, who: str) -> Path:
    """Write that this person accepts configuration and model as they are; returns the folder of the record."""
    require_words("--who", who)
    out = standing.stamped(Path(settings.evidence.dir), standing.ACCEPTED)
    with book_of(settings, out, None, card_of(settings).weights_sha256) as evidence:
        word = standing.detail_of(model_sha256(settings), passed=True, zones_sha256=zones_sha256(settings))
        evidence.operator(OperatorAction.ACCEPT, who, word)
    _require_written(evidence, out)
    return out


def proof_test(settings: Settings, out: Path | None, who: str, say: Say) -> Examined:
    """Guide a person through all steps; writes and signs the record whatever comes of it. Main thread only."""
    require_words("--who", who)
    folder = out or standing.stamped(Path(settings.evidence.dir), standing.PROOF_TEST)
    say_cautions(settings, say)
    with ExitStack() as stack:
        exam = _exam(settings)
        run = LiveRun(settings, Options(folder, panel=False, exam=exam), folder, stack)
        for line in run.told:
            say(line)
        run.evidence.operator(OperatorAction.ARM, who, "proof test")
        _examine(run, exam, say)
        record = _record(settings, exam)
        run.evidence.operator(OperatorAction.PROOF_TEST, who, record)
    _require_written(run.evidence, folder)
    run.written()
    write_atomically(folder / SUMMARY, _summary(settings, exam, who).encode())
    return Examined(exam.passed, folder)


def _require_written(evidence: EvidenceWriter, folder: Path) -> None:
    """Raise `RecordingError` where a person's word did not reach the disk: it would count for nothing."""
    faults = evidence.faults - {LOW_DISK}
    if faults or evidence.lost_records:
        raise RecordingError(mismatch(str(folder), "a record that was written whole", ", ".join(sorted(faults))))


def zones_sha256(settings: Settings) -> str:
    """Names the zones alone."""
    zones = settings.model_dump(mode="json")["zones"]
    return hashlib.sha256(json.dumps(zones, sort_keys=True).encode()).hexdigest()


def _exam(settings: Settings) -> Exam:
    wanted = settings.safety.proof_test
    roles = {zone.role for zone in settings.zones} if isinstance(settings.zones, tuple) else set(ZoneRole)
    limits = ExamLimits(
        max_response_ms=wanted.max_response_ms,
        step_limit_s=wanted.step_limit_s,
        attempts=wanted.attempts,
        warns=ZoneRole.WARNING in roles,
        confirms=tells_of_its_contact(settings),
    )
    return Exam(wanted.steps, limits)


def _examine(run: LiveRun, exam: Exam, say: Say) -> None:
    """Run the loop until the exam, the person or the source ends it."""

    def guide() -> None:
        while (line := exam.lines.get()) is not None:
            say(line)
        run.monitor.stop()

    exam.begin()
    guiding = Thread(target=guide, name="proof-test-guide", daemon=True)
    guiding.start()
    with stopped_by_signals(run.monitor):
        run.monitor.run()
    exam.end("stopped by the person, or the pictures ended")
    run.finish()
    guiding.join(5.0)


def _record(settings: Settings, exam: Exam) -> str:
    return standing.detail_of(
        model_sha256(settings),
        exam.passed,
        config_sha256=fingerprint(settings),
        zones_sha256=zones_sha256(settings),
        ended_early=exam.ended_early,
        steps=[outcome.to_json() for outcome in exam.outcomes],
    )


def _summary(settings: Settings, exam: Exam, who: str) -> str:
    """For people; the signed record beside it is what counts."""
    lines = [
        f"Proof test by {who}: {'PASSED' if exam.passed else 'FAILED'}",
        f"configuration {settings.origin.file}, sha256 {fingerprint(settings)}",
        f"model card sha256 {model_sha256(settings)}",
        f"zones sha256 {zones_sha256(settings)}",
        *([f"ended early: {exam.ended_early}"] if exam.ended_early else []),
        "",
    ]
    for outcome in exam.outcomes:
        lines.append(
            f"{'passed' if outcome.passed else 'FAILED'}  {outcome.step.name} ({outcome.step.point})"
        )
        lines += [f"          try {n}: {told(attempt)}" for n, attempt in enumerate(outcome.attempts, 1)]
    return "\n".join(lines) + "\n"

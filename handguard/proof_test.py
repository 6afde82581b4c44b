"""The proof test: a person reaches in with test pieces, and every reach must warn, stop, and be confirmed.

`Exam` is a sink like any other: it sees each decision of the live loop, the permit that
followed and what the keeper said, and changes nothing. So a proof test is a
run of the whole machine, camera to contact, with somebody taking notes. For each step:

    waiting    the person clears the zones and presses reset; the machine's permission comes on
    reaching   the hand comes; a warning, then a stop in a stop zone, within the step's time limit
    checking   the keeper has written OFF in time after that picture was taken, and the contact says open

A reach that fails may be repeated; a step that fails for good fails the test, and the
test goes on, so that its record is whole. A lockout ends it.

Nothing here prints or reads a clock. `lines` is what the person must hear, for a
thread that may be slow; None in it means that the test is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from queue import SimpleQueue
from typing import Any

from handguard.config.safety import ProofStep
from handguard.types import (
    Decision,
    KeeperReport,
    Output,
    Permit,
    State,
    Tripped,
    WarningCleared,
    WarningRaised,
)

CONFIRM_LIMIT_MS = 2000.0  # small boards are asked once a second; the keeper itself holds the contact to EDM
PIECES = {
    "bare hand": "your bare hand",
    "glove": "your hand in a glove as worn today",
    "rod": "a stuffed glove on a rod",
}
SPEEDS = {"slow": "slowly (about 0.25 m a second)", "brisk": "briskly (about 1 m a second)"}


@dataclass(frozen=True, slots=True)
class ExamLimits:
    """What a reach is held to."""

    max_response_ms: float  # from capture of the picture that stopped to OFF written
    step_limit_s: float
    attempts: int
    warns: bool  # there is a warning zone, so a warning must come first
    confirms: bool  # there is a board that tells of its contact


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reach. Times in ms; None: it did not come to that."""

    passed: bool
    why: str  # empty when it passed
    ended_ns: int  # monotonic
    zone: str | None = None
    score: float | None = None
    warned_ms: float | None = None  # the warning came so long before the stop
    response_ms: float | None = None  # from capture to OFF written
    confirmed_ms: float | None = None  # from OFF written until the contact was known to be open


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step with all its attempts."""

    step: ProofStep
    attempts: tuple[Attempt, ...]

    @property
    def passed(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].passed

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the record."""
        return {
            **self.step.model_dump(mode="json"),
            "passed": self.passed,
            "attempts": [asdict(attempt) for attempt in self.attempts],
        }


class _Phase(Enum):
    WAITING = auto()
    REACHING = auto()
    CHECKING = auto()
    OVER = auto()


@dataclass(slots=True)
class _Reach:
    """The attempt that is going on."""

    began_ns: int = 0
    warned_ns: int | None = None  # capture of the picture with the first hand in a warning zone
    trip: Tripped | None = None
    captured_ns: int = 0  # of the picture that stopped
    off_ns: int | None = None  # when OFF was first written after that; the keeper writes it again


@dataclass(slots=True)
class Exam:
    """See the module. An `EventSink`; `record` belongs to the loop's thread, the results to any once it is over."""

    steps: tuple[ProofStep, ...]
    limits: ExamLimits
    lines: SimpleQueue[str | None] = field(default_factory=SimpleQueue)
    outcomes: list[Outcome] = field(default_factory=list)
    ended_early: str = ""  # why, if not every step was tried
    _phase: _Phase = _Phase.WAITING
    _attempts: list[Attempt] = field(default_factory=list)
    _reach: _Reach = field(default_factory=_Reach)

    @property
    def faults(self) -> frozenset[str]:
        """None: whoever takes notes has nothing to say about the machine."""
        return frozenset()

    @property
    def passed(self) -> bool:
        """Every step was tried and passed."""
        return len(self.outcomes) == len(self.steps) and all(outcome.passed for outcome in self.outcomes)

    def begin(self) -> None:
        """Say the first step. Once, before the loop."""
        self._invite()

    def end(self, why: str) -> None:
        """The person, or the end of the run, breaks it off. Nothing if it is over already."""
        if self._phase is not _Phase.OVER:
            self.ended_early = why
            self._over(f"The proof test ended early: {why}.")

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """See one tick. Returns at once."""
        if self._phase is _Phase.OVER:
            return
        if decision.state is State.LOCKOUT:
            self.end(f"locked out ({decision.cause})")
        elif self._phase is _Phase.WAITING:
            self._wait(decision)
        elif self._phase is _Phase.REACHING:
            self._watch(decision)
        else:
            self._check(decision, report)

    # The phases ---------------------------------------------------------------------------------

    def _wait(self, decision: Decision) -> None:
        if decision.output is Output.ON:
            self._reach = _Reach(began_ns=decision.times.judged_ns)
            self._phase = _Phase.REACHING
            self.lines.put("  The machine may run. Reach in now.")

    def _watch(self, decision: Decision) -> None:
        reach, now_ns = self._reach, decision.times.judged_ns
        for event in decision.events:
            if isinstance(event, WarningRaised) and reach.warned_ns is None:
                reach.warned_ns = decision.times.captured_ns
            elif isinstance(event, WarningCleared):
                reach.warned_ns = None
            elif isinstance(event, Tripped):
                reach.trip, reach.captured_ns = event, decision.times.captured_ns
        if reach.trip is not None:
            self._phase = _Phase.CHECKING
        elif now_ns - reach.began_ns > self.limits.step_limit_s * 1e9:
            self._note(Attempt(False, f"no stop within {self.limits.step_limit_s:g} s", now_ns))

    def _check(self, decision: Decision, report: KeeperReport | None) -> None:
        """Wait until the keeper has confirmed, or has had long enough."""
        reach, now_ns = self._reach, decision.times.judged_ns
        trip = reach.trip
        assert trip is not None
        if reach.off_ns is None and report and _is_off_since(report, trip.at_ns):
            reach.off_ns = report.written_ns
        is_open = reach.off_ns is not None and report is not None and report.contactor_open is True
        late = now_ns - trip.at_ns > CONFIRM_LIMIT_MS * 1e6
        if late or is_open or (reach.off_ns is not None and not self.limits.confirms):
            self._note(self._judged(trip, is_open, now_ns))

    # What comes of a reach ------------------------------------------------------------------------

    def _judged(self, trip: Tripped, is_open: bool, now_ns: int) -> Attempt:
        reach, off_ns = self._reach, self._reach.off_ns
        response_ms = None if off_ns is None else (off_ns - reach.captured_ns) / 1e6
        why = "; ".join(self._flaws(trip, response_ms, is_open))
        return Attempt(
            passed=not why,
            why=why,
            ended_ns=now_ns,
            zone=trip.zone,
            score=round(float(trip.score), 4),
            warned_ms=None if reach.warned_ns is None else _ms(reach.captured_ns - reach.warned_ns),
            response_ms=None if response_ms is None else round(response_ms, 1),
            confirmed_ms=_ms(now_ns - off_ns) if off_ns is not None and is_open else None,
        )

    def _flaws(self, trip: Tripped, response_ms: float | None, is_open: bool) -> Iterator[str]:
        wanted, limit_ms = self.steps[len(self.outcomes)].zone, self.limits.max_response_ms
        if trip.zone is None:
            yield f"it stopped for another reason: {trip.cause}"
        elif wanted not in (None, trip.zone):
            yield f"it stopped in zone {trip.zone} instead of {wanted}"
        if self.limits.warns and self._reach.warned_ns is None:
            yield "no warning came with it"
        if response_ms is None:
            yield f"the relay was not told OFF within {CONFIRM_LIMIT_MS:g} ms"
        elif response_ms > limit_ms:
            yield f"OFF was written {response_ms:.0f} ms after the picture, {limit_ms:g} ms are allowed"
        if self.limits.confirms and not is_open:
            yield f"the contact was not reported open within {CONFIRM_LIMIT_MS:g} ms"

    def _note(self, attempt: Attempt) -> None:
        self._attempts.append(attempt)
        left = self.limits.attempts - len(self._attempts)
        if attempt.passed:
            self.lines.put(f"  PASSED: {told(attempt)}.")
        else:
            again = f" Please repeat it; {left} more" if left else " That was the last try"
            self.lines.put(f"  FAILED: {attempt.why}.{again}.")
        if attempt.passed or not left:
            self.outcomes.append(Outcome(self.steps[len(self.outcomes)], tuple(self._attempts)))
            self._attempts = []
        self._next()

    def _next(self) -> None:
        if len(self.outcomes) == len(self.steps):
            self._over("The proof test is PASSED." if self.passed else "The proof test FAILED.")
        else:
            self._phase = _Phase.WAITING
            self._invite()

    def _over(self, line: str) -> None:
        self._phase = _Phase.OVER
        self.lines.put(line)
        self.lines.put(None)

    def _invite(self) -> None:
        step, number = self.steps[len(self.outcomes)], len(self.outcomes) + 1
        where = f"{step.point}, zone {step.zone}" if step.zone else step.point
        self.lines.put(
            f"Step {number} of {len(self.steps)}, {step.name}: keep the zones free, press reset, then reach with "
            f"{PIECES[step.piece]}, {SPEEDS[step.speed]}, to {where}."
        )


def told(attempt: Attempt) -> str:
    """One attempt in words."""
    if not attempt.passed:
        return attempt.why
    warned = "" if attempt.warned_ms is None else f"warning {attempt.warned_ms:.0f} ms before the stop, "
    confirmed = "" if attempt.confirmed_ms is None else f", contact open {attempt.confirmed_ms:.0f} ms later"
    return f"{warned}stop in {attempt.zone}, OFF written {attempt.response_ms:.0f} ms after the picture{confirmed}"


def _is_off_since(report: KeeperReport, at_ns: int) -> bool:
    """Has OFF been written for this trip?"""
    return report.output is Output.OFF and report.written_ns >= at_ns


def _ms(span_ns: int) -> float:
    return round(span_ns / 1e6, 1)

"""The start-up self-test: what must prove itself before the machine may be switched on at all.

    room           the disk has room for records
    clock          wall time and monotonic time run alike, and neither went back since the last record
    configuration  it is the one that a person accepted, where somebody did
    proof test     one was passed for this configuration and model, and lately, where that is asked for
    detector       the golden picture through the live engine gives what the model's card says
    standby        and through that of the detector that takes over when a device is lost, where there is one
    contact        it is open; and it follows OFF, ON and OFF, where the site allows it to be moved

Each part tells one finding: passed, failed, or a caution where something could not be
tried. One failure refuses the start with one sentence. Every finding goes into the
book of the run. The contact comes last: nothing is moved while anything else is wrong.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from handguard.assembly import model_sha256
from handguard.config import Settings, fingerprint
from handguard.detection.detector import HandDetector
from handguard.detection.self_check import SelfCheck
from handguard.errors import HandguardError, ModelError, SelfTestFailed
from handguard.evidence import standing
from handguard.evidence.ledger import Stamp, stamp_now
from handguard.evidence.lockout import lockout_file
from handguard.evidence.moments import moment_of
from handguard.evidence.schema import OperatorAction
from handguard.evidence.signing import KEY_NAME, SigningKey
from handguard.evidence.writer import EvidenceWriter
from handguard.ports import PermitLine
from handguard.relay.board import BoardSettings
from handguard.relay.boards import promised
from handguard.relay.pulse import moved

FAULT = "self-test"
BUILT = "2025-01-01"  # no clock of a machine that runs this software shows less
APART_S = 0.5  # how far the two clocks may drift apart while a start lasts
CONTACT_LIMIT_S = 2.0  # small boards are asked once a second
NOT_MOVED = "open; whether it follows was not tried (safety.self_test.move_contact is false)"


class Verdict(Enum):
    """What came of one part."""

    PASSED = "passed"
    CAUTION = "caution"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    part: str
    verdict: Verdict
    told: str

    def __str__(self) -> str:
        return f"{self.part:<14} {self.verdict.value:<8} {self.told}"


def passed(part: str, told: str) -> Finding:
    return Finding(part, Verdict.PASSED, told)


def caution(part: str, told: str) -> Finding:
    return Finding(part, Verdict.CAUTION, told)


def failed(part: str, told: str) -> Finding:
    return Finding(part, Verdict.FAILED, told)


class SelfTest:
    """Collects the findings of one start, refuses it at a failure, and leaves one record of all in the book."""

    def __init__(self, settings: Settings, evidence: EvidenceWriter) -> None:
        self._settings, self._evidence = settings, evidence
        self._findings: list[Finding] = []

    def before_the_relay(self, detector: HandDetector, out: Path, began: Stamp) -> SelfCheck | None:
        """All that needs no relay. Raises `SelfTestFailed`, and then no contact was ever moved."""
        settings, runs = self._settings, Path(self._settings.evidence.dir)
        self.hear(room(settings, out), clock(began, stamp_now(), standing.newest_time(runs, out)))
        self.hear(accepted(settings))
        check, finding = golden(detector)
        self.hear(finding)
        self.hear(*standby(detector))
        return check

    def move_contact(self, board: BoardSettings) -> None:
        """OFF, ON, OFF, where the site allows it. Before the keeper starts. Raises `SelfTestFailed`."""
        if self._settings.safety.self_test.move_contact:
            self.hear(follows(self._settings, board))

    def with_the_relay(self, relay: PermitLine) -> None:
        """The keeper has said OFF: is the contact open? The last part. Raises `SelfTestFailed`."""
        if self._settings.relay.driver != "none":
            self.hear(is_open(self._settings, relay))
        self._write()

    def hear(self, *findings: Finding) -> None:
        """Remember; a caution fails in the strict profile, which takes nothing on trust.

        Raises `SelfTestFailed` at the first failure, once it is in the book.
        """
        for finding in findings:
            if finding.verdict is Verdict.CAUTION and self._settings.safety.profile == "strict":
                finding = failed(finding.part, f"{finding.told}; the strict profile takes nothing on trust")
            self._findings.append(finding)
            if finding.verdict is Verdict.FAILED:
                self._write()
                self._evidence.fault(FAULT, f"{finding.part}: {finding.told}")
                raise SelfTestFailed(
                    f"self-test: {finding.part}: {finding.told}; nothing was armed", self.table()
                )

    def _write(self) -> None:
        parts = (f"{one.part} {one.verdict.value}: {one.told}" for one in self._findings)
        self._evidence.operator(OperatorAction.SELF_TEST, detail=" | ".join(parts))

    def table(self) -> tuple[str, ...]:
        """Every finding so far, a line each."""
        return tuple(map(str, self._findings))

    def told(self) -> list[str]:
        """What a person should see at each start: one line, and every caution."""
        cautions = [one for one in self._findings if one.verdict is Verdict.CAUTION]
        proven = f"self-test {len(self._findings) - len(cautions)} of {len(self._findings)} parts passed"
        return [proven, *(f"CAUTION   {one.part}: {one.told}" for one in cautions)]


def key_of(settings: Settings) -> SigningKey:
    """The machine's own key, beside its runs; made at the first start, with the state of its lockout.

    Raises `ConfigError` or `RecordingError`.
    """
    folder = Path(settings.evidence.dir)
    return lockout_file(folder, folder / KEY_NAME).key


def room(settings: Settings, out: Path) -> Finding:
    """The disk that the records go to."""
    free_mb, wanted_mb = shutil.disk_usage(out).free // 1_000_000, settings.safety.self_test.min_free_mb
    told = f"{free_mb} MB free of {wanted_mb} wanted for records in {out}"
    return passed("room", told) if free_mb >= wanted_mb else failed("room", told)


def clock(began: Stamp, now: Stamp, newest: str | None) -> Finding:
    """Two stamps of this start, and the newest time in any earlier book."""
    took = moment_of(now.wall_time_utc) - moment_of(began.wall_time_utc)
    apart_s = abs(took.total_seconds() - (now.monotonic_ns - began.monotonic_ns) / 1e9)
    if now.monotonic_ns < began.monotonic_ns or apart_s > APART_S:
        return failed("clock", f"the wall clock moved by {apart_s:.1f} s while handguard was starting")
    if now.wall_time_utc < BUILT:
        return failed("clock", f"it shows {now.wall_time_utc}: expected {BUILT} or later; set the clock")
    if newest is not None and now.wall_time_utc < newest:
        return failed(
            "clock", f"it shows {now.wall_time_utc}, before the newest record ({newest}); set the clock"
        )
    return passed("clock", now.wall_time_utc)


def accepted(settings: Settings) -> Finding:
    """The configuration against the one that a person accepted with `handguard accept`."""
    part = "configuration"
    word, problem = _newest(settings, standing.ACCEPTED)
    if problem is not None:
        return failed(part, problem)
    if word is None:
        return caution(part, "nobody has accepted it yet (`handguard accept`)")
    if (change := _change(settings, word)) is not None:
        return failed(part, f"{change} since {word.who} accepted it at {word.at:%Y-%m-%d %H:%M} UTC")
    return passed(part, f"accepted by {word.who} at {word.at:%Y-%m-%d %H:%M} UTC")


def proven(settings: Settings) -> Finding:
    """A passed proof test of the same configuration and model, young enough, where one is asked for."""
    part, limit_h = "proof test", settings.safety.proof_test.max_age_h
    if limit_h is None:
        return passed(part, "none is asked for (safety.proof_test.max_age_h is null)")
    word, problem = _newest(settings, standing.PROOF_TEST)
    wanted = f"a passed one within {limit_h:g} h is needed (`handguard proof-test`)"
    if problem is not None:
        return failed(part, problem)
    if word is None:
        return failed(part, f"{wanted}; there was none")
    age_h = (datetime.now(timezone.utc) - word.at) / timedelta(hours=1)
    change = _change(settings, word)
    reasons = {
        f"the newest, {word.folder.name}, was not passed": not word.passed,
        f"{change} since": change is not None,
        f"the newest is {age_h:.1f} h old": not 0 <= age_h <= limit_h,
    }
    wrong = next((reason for reason, holds in reasons.items() if holds), None)
    if wrong is not None:
        return failed(part, f"{wanted}; {wrong}")
    return passed(part, f"passed {age_h:.1f} h ago, {word.who}")


@runtime_checkable
class _Relieved(Protocol):
    """A detector that is two. Told by what it has, for to import it is to import torch."""

    @property
    def both(self) -> tuple[HandDetector, HandDetector]:
        """The first choice, and the one that takes over when its device is lost."""


def golden(detector: HandDetector) -> tuple[SelfCheck | None, Finding]:
    """The golden picture through the live engine; None where the card holds no answer for it."""
    return _golden("detector", "", detector)


def standby(detector: HandDetector) -> tuple[Finding, ...]:
    """The same through the standby, which nobody asks again before it judges alone; empty where there is none."""
    if not isinstance(detector, _Relieved):
        return ()
    _, second = detector.both
    return (_golden("standby", " from the standby, which takes over when the device is lost,", second)[1],)


def _golden(part: str, whose: str, detector: HandDetector) -> tuple[SelfCheck | None, Finding]:
    try:
        check = SelfCheck(detector)
    except ModelError as error:
        return None, caution(part, f"it cannot be checked: {error}")
    began_s = time.monotonic()
    failure = check.failure()
    took_ms = 1000 * (time.monotonic() - began_s)
    if failure is not None:
        return check, failed(
            part, f"the golden picture gives another answer{whose} than its card says: {failure}"
        )
    return check, passed(part, f"{detector.description} knows the golden picture, {took_ms:.0f} ms")


def follows(settings: Settings, board: BoardSettings) -> Finding:
    """Move the contact. Nobody may hold the port."""
    if not promised(board).readback:
        return caution("contact", "it was not moved: the board cannot be asked whether it follows")
    limit_ms = settings.relay.edm_timeout_ms
    try:
        steps = moved(board, limit_ms)
    except HandguardError as error:
        return failed("contact", str(error))
    told = ", ".join(f"{step.command} followed after {step.after_ms} ms" for step in steps if step.after_ms)
    late = next((step.command for step in steps if step.after_ms is None), None)
    if late is None:
        return passed("contact", told)
    return failed(
        "contact", f"told {late}, it did not follow within {limit_ms} ms" + f" ({told})" * bool(told)
    )


def is_open(settings: Settings, relay: PermitLine) -> Finding:
    """What the keeper, which has said OFF, hears of the contact."""
    give_up_s = time.monotonic() + CONTACT_LIMIT_S
    while (report := relay.report()).contactor_open is not True and time.monotonic() < give_up_s:
        time.sleep(0.01)
    if report.contactor_open is None:
        return caution("contact", "the board has not said whether it is open")
    if not report.contactor_open:
        return failed("contact", f"it is still closed {CONTACT_LIMIT_S:g} s after OFF")
    return passed("contact", "open" if settings.safety.self_test.move_contact else NOT_MOVED)


def _newest(settings: Settings, what: str) -> tuple[standing.Standing | None, str | None]:
    """The newest approval, or what is wrong with it."""
    try:
        return standing.newest(Path(settings.evidence.dir), what, key_of(settings).public), None
    except (HandguardError, ValueError, KeyError, TypeError) as error:
        return None, str(error)


def _change(settings: Settings, word: standing.Standing) -> str | None:
    """What is no longer as it was when a person gave that word."""
    if fingerprint(settings) != word.config_sha256:
        return "the configuration has changed"
    return None if model_sha256(settings) == word.card_sha256 else "the model or its card has changed"

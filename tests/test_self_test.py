"""Each part of the start-up self-test, and what a failure does."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import yaml

from handguard import approvals, self_test
from handguard.assembly import model_sha256
from handguard.config import Settings, fingerprint, load
from handguard.detection.detector import Region
from handguard.detection.device_detector import DetectorWithStandby
from handguard.detection.loading import Choice, load_detector
from handguard.errors import ConfigError, DeviceError, RecordingError, SelfTestFailed
from handguard.evidence import standing
from handguard.evidence.ledger import Stamp, stamp_now
from handguard.evidence.reading import read_records
from handguard.evidence.schema import Genesis, OperatorAction
from handguard.evidence.signing import SigningKey
from handguard.evidence.writer import EvidenceWriter
from handguard.self_test import SelfTest, Verdict, caution, failed, passed
from handguard.types import KeeperReport, Output

STAMP = Stamp(5_000_000_000, "2026-03-01T12:00:00.000000Z")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return site(tmp_path)


def site(folder: Path, **safety: object) -> Settings:
    path = folder / "site.yaml"
    zones = {"orientation": "left-right", "warning_percent": 30, "stop_percent": 15}
    settings = {
        "version": 1,
        "camera": {"source": "simulated"},
        "zones": zones,
        "relay": {"driver": "none"},
        "evidence": {"dir": str(folder / "runs")},
        "safety": safety,
    }
    path.write_text(yaml.safe_dump(settings))
    return load(path)


def book(settings: Settings, folder: Path, key: SigningKey | None = None) -> EvidenceWriter:
    genesis = Genesis("machine", "1", fingerprint(settings), "model", "boot")
    return EvidenceWriter.open(folder / "evidence", genesis, key or self_test.key_of(settings))


def approved(settings: Settings, what: str, word: bool = True, key: SigningKey | None = None) -> Path:
    """A finished approval of this moment."""
    folder = Path(settings.evidence.dir) / f"20260101-120000Z-{what}"
    with book(settings, folder, key) as evidence:
        evidence.operator(standing.ACTION[what], "A. Person", standing.detail_of(model_sha256(settings), word))
    return folder


def test_a_full_disk_refuses(settings: Settings, tmp_path: Path):
    assert self_test.room(settings, tmp_path).verdict is Verdict.PASSED
    greedy = site(tmp_path, self_test={"min_free_mb": 10_000_000})
    found = self_test.room(greedy, tmp_path)
    assert found.verdict is Verdict.FAILED
    assert "MB free of 10000000 wanted" in found.told


def after(seconds_wall: float, seconds_monotonic: float) -> Stamp:
    at = datetime(2026, 3, 1, 12, tzinfo=timezone.utc).timestamp() + seconds_wall
    wall = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Stamp(STAMP.monotonic_ns + round(seconds_monotonic * 1e9), wall)


@pytest.mark.parametrize(
    ("now", "newest", "said"),
    [
        (after(3, 3), None, None),
        (after(3.4, 3), STAMP.wall_time_utc, None),
        (after(3, 3), after(3, 3).wall_time_utc, None),
        (after(3.6, 3), None, "moved by 0.6 s"),
        (after(2.4, 3), None, "moved by 0.6 s"),
        (after(3, -1), None, "moved by"),
        (after(3, 3), after(3.001, 3).wall_time_utc, "before the newest record"),
    ],
)
def test_a_clock_that_jumps_or_went_back_refuses(now: Stamp, newest: str | None, said: str | None):
    found = self_test.clock(STAMP, now, newest)
    assert (found.verdict is Verdict.PASSED) is (said is None)
    assert said is None or said in found.told


def test_a_clock_without_a_battery_refuses():
    old = Stamp(5, "1970-01-01T00:00:05.000000Z")
    assert "set the clock" in self_test.clock(old, old, None).told


def test_the_newest_time_is_read_from_the_tails_of_other_books(settings: Settings):
    runs = Path(settings.evidence.dir)
    assert standing.newest_time(runs, runs / "mine") is None
    folder = approved(settings, standing.ACCEPTED)
    *_, last = read_records(folder / "evidence")
    with (folder / "evidence").glob("*").__next__().open("ab") as file:
        file.write(b"torn")
    assert standing.newest_time(runs, runs / "mine") == last["wall_time_utc"]
    assert standing.newest_time(runs, folder) is None


def test_what_nobody_accepted_is_a_caution(settings: Settings):
    assert self_test.accepted(settings).verdict is Verdict.CAUTION


def test_what_was_accepted_passes_and_any_change_refuses(settings: Settings, tmp_path: Path):
    approvals.accept(settings, "A. Person")
    found = self_test.accepted(settings)
    assert found.verdict is Verdict.PASSED
    assert "A. Person" in found.told
    changed = site(tmp_path, self_test={"min_free_mb": 201})
    assert "the configuration has changed since A. Person accepted it" in self_test.accepted(changed).told
    assert self_test.accepted(changed).verdict is Verdict.FAILED


def test_another_model_is_a_change_too(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    approvals.accept(settings, "A. Person")
    monkeypatch.setattr(self_test, "model_sha256", lambda _settings: "0" * 64)
    assert "the model or its card has changed" in self_test.accepted(settings).told


def test_an_approval_that_was_tampered_with_refuses(settings: Settings):
    folder = approved(settings, standing.ACCEPTED)
    (segment,) = (folder / "evidence").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"A. Person", b"B. Person"))
    found = self_test.accepted(settings)
    assert found.verdict is Verdict.FAILED
    assert "signed by this machine" in found.told


def test_an_approval_of_another_machine_refuses(settings: Settings):
    approved(settings, standing.ACCEPTED, key=SigningKey.generate())
    assert self_test.accepted(settings).verdict is Verdict.FAILED


def test_a_proof_test_is_only_needed_where_it_is_asked_for(settings: Settings, tmp_path: Path):
    assert self_test.proven(settings).verdict is Verdict.PASSED
    found = self_test.proven(site(tmp_path, proof_test={"max_age_h": 8}))
    assert (found.verdict, "there was none" in found.told) == (Verdict.FAILED, True)


def test_a_passed_proof_test_of_the_same_settings_is_enough(tmp_path: Path):
    wanted = site(tmp_path, proof_test={"max_age_h": 8})
    approved(wanted, standing.PROOF_TEST)
    assert self_test.proven(wanted).verdict is Verdict.PASSED
    other = site(tmp_path, proof_test={"max_age_h": 9})
    assert "the configuration has changed since" in self_test.proven(other).told


def test_a_failed_proof_test_is_not(tmp_path: Path):
    wanted = site(tmp_path, proof_test={"max_age_h": 8})
    approved(wanted, standing.PROOF_TEST, word=False)
    assert "was not passed" in self_test.proven(wanted).told


def test_an_old_proof_test_is_not_and_neither_is_one_from_the_future(tmp_path: Path):
    wanted = site(tmp_path, proof_test={"max_age_h": 1e-7})
    approved(wanted, standing.PROOF_TEST)
    assert "h old" in self_test.proven(wanted).told


def test_a_proof_test_that_was_killed_is_none(tmp_path: Path):
    wanted = site(tmp_path, proof_test={"max_age_h": 8})
    folder = approved(wanted, standing.PROOF_TEST)
    (segment,) = (folder / "evidence").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-2]))  # close and head are gone
    assert self_test.proven(wanted).verdict is Verdict.FAILED


def test_a_card_without_a_golden_answer_is_a_caution():
    detector = load_detector(Choice(backend="torch-cpu"), Region(0, 0, 320, 320))
    check, found = self_test.golden(detector)
    assert check is not None
    assert found.verdict is Verdict.PASSED
    detector.card = replace(detector.card, golden=None)
    check, found = self_test.golden(detector)
    assert check is None
    assert (found.verdict, "handguard golden" in found.told) == (Verdict.CAUTION, True)


@pytest.fixture
def relieved() -> DetectorWithStandby:
    first, second = (load_detector(Choice(backend="torch-cpu"), Region(0, 0, 320, 320)) for _ in range(2))
    return DetectorWithStandby(first, second)


def test_a_detector_without_a_standby_has_none_to_prove(relieved: DetectorWithStandby):
    assert self_test.standby(relieved.both[0]) == ()


def test_a_standby_is_proven_at_the_start_too(relieved: DetectorWithStandby, settings: Settings, tmp_path: Path):
    with book(settings, tmp_path / "run") as evidence:
        tried = SelfTest(settings, evidence)
        assert tried.before_the_relay(relieved, tmp_path, stamp_now()) is not None
    parts = {line.split()[0]: line for line in tried.table()}
    assert parts["standby"].startswith("standby        passed   ")
    assert relieved.both[1].description in parts["standby"]
    assert relieved.description in parts["detector"]


def blind(logits: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full_like(logits, -9), offsets


def raising(_logits: np.ndarray, _offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    raise DeviceError("out of memory")


@pytest.mark.parametrize(("answers", "said"), [(blind, "missing: "), (raising, "DeviceError: out of memory")])
def test_a_standby_that_answers_otherwise_refuses_the_start_and_is_named(
    relieved: DetectorWithStandby, settings: Settings, tmp_path: Path, answers: Callable, said: str
):
    engine = relieved.both[1].engine
    honest = engine.infer
    engine.infer = lambda: answers(*honest())
    sentence = "^self-test: standby: the golden picture gives another answer from the standby, which takes over .*"
    with book(settings, tmp_path / "run") as evidence, pytest.raises(SelfTestFailed, match=sentence + said):
        SelfTest(settings, evidence).before_the_relay(relieved, tmp_path, stamp_now())


class Contact:
    """A keeper that reports this of its contact."""

    def __init__(self, is_open: bool | None) -> None:
        self._report = KeeperReport(1, Output.OFF, 1, is_open)

    def report(self) -> KeeperReport:
        return self._report

    def send(self, permit: object) -> None: ...


@pytest.mark.parametrize(
    ("is_open", "verdict"), [(True, Verdict.PASSED), (False, Verdict.FAILED), (None, Verdict.CAUTION)]
)
def test_the_contact_must_be_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, is_open: bool | None, verdict: Verdict
):
    monkeypatch.setattr(self_test, "CONTACT_LIMIT_S", 0.01)
    assert self_test.is_open(settings, Contact(is_open)).verdict is verdict


def test_a_failure_is_in_the_book_before_it_refuses(settings: Settings, tmp_path: Path):
    with book(settings, tmp_path / "run") as evidence:
        tried = SelfTest(settings, evidence)
        tried.hear(passed("room", "enough"), caution("detector", "no answer"))
        with pytest.raises(SelfTestFailed, match="clock: it went back; nothing was armed") as refused:
            tried.hear(failed("clock", "it went back"))
    assert [line.split()[:2] for line in refused.value.table] == [
        ["room", "passed"], ["detector", "caution"], ["clock", "FAILED"],
    ]  # fmt: skip
    records = list(read_records(tmp_path / "run" / "evidence"))
    told = [one for one in records if one.get("action") == OperatorAction.SELF_TEST.value]
    assert [one["detail"] for one in told] == [
        "room passed: enough | detector caution: no answer | clock FAILED: it went back"
    ]
    assert [one["detail"] for one in records if one["kind"] == "fault"] == ["clock: it went back"]


def test_a_start_that_passed_leaves_one_record_of_all_parts(settings: Settings, tmp_path: Path):
    with book(settings, tmp_path / "run") as evidence:
        tried = SelfTest(settings, evidence)
        tried.hear(passed("room", "enough"))
        tried.with_the_relay(Contact(is_open=None))  # there is no relay in these settings, so nobody is asked
    (told,) = [one for one in read_records(tmp_path / "run" / "evidence") if one["kind"] == "operator"]
    assert (told["action"], told["detail"]) == ("self_test", "room passed: enough")


def test_the_strict_profile_takes_no_caution(tmp_path: Path):
    strict = Settings.model_validate_json(
        json.dumps(
            {
                **site(tmp_path).model_dump(mode="json"),
                "safety": {"profile": "strict"},
                "relay": {"driver": "heartbeat", "port": "/dev/null"},
            }
        )
    )
    with book(strict, tmp_path / "run") as evidence, pytest.raises(SelfTestFailed, match="takes nothing on trust"):
        SelfTest(strict, evidence).hear(caution("detector", "no answer"))


def test_a_start_says_how_much_passed_and_every_caution(settings: Settings, tmp_path: Path):
    with book(settings, tmp_path / "run") as evidence:
        tried = SelfTest(settings, evidence)
        tried.hear(passed("room", "enough"), caution("detector", "no answer"))
    assert tried.told() == ["self-test 1 of 2 parts passed", "CAUTION   detector: no answer"]


@pytest.mark.parametrize("who", ["", "  ", "a\nb", "a\x1b[2J"])
def test_nobody_accepts_under_no_name(settings: Settings, who: str):
    with pytest.raises(ConfigError, match="--who: expected a few words"):
        approvals.accept(settings, who)


def test_a_word_that_did_not_reach_the_disk_is_no_acceptance(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    write, said, is_full = os.write, EvidenceWriter.operator, []

    def written(fd: int, data: bytes) -> int:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    def word_on_a_full_disk(writer: EvidenceWriter, *word: object) -> None:
        is_full.append(True)
        said(writer, *word)

    monkeypatch.setattr("handguard.evidence.store.os.write", written)
    monkeypatch.setattr(EvidenceWriter, "operator", word_on_a_full_disk)
    with pytest.raises(RecordingError, match="expected a record that was written whole, found evidence-"):
        approvals.accept(settings, "A. Person")

"""A disk that fills up, goes away or forbids: real file systems, real limits, real processes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from handguard.errors import RecordingError
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.reading import read_records
from handguard.evidence.verification import ProblemKind, Verdict
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter

WAIT_S = 60
QUICK = WritePolicy(
    sync_every_s=0.02, retry_every_s=0.02, queue_records=64, urgent_records=8, min_free_bytes=1
)


def wait_for(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def record_until(writer, judge, condition):
    """Record frames as a camera would, a little faster, until `condition`; returns how many."""
    deadline, frame_seq = time.monotonic() + WAIT_S, 0
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        writer.record(*judge(frame_seq))
        frame_seq += 1
        time.sleep(0.0005)
    return frame_seq


def faults_in(directory):
    return [record for record in read_records(directory) if record["kind"] == "fault"]


@pytest.fixture
def small_disk(mounted_disk):
    return mounted_disk("1m")


def test_a_full_disk_is_a_fault_and_recording_goes_on_when_there_is_room(small_disk, genesis, key, judge):
    ballast, run = small_disk / "ballast", small_disk / "run"
    ballast.write_bytes(bytes(700_000))
    with EvidenceWriter.open(run, genesis, key, QUICK) as writer:
        record_until(writer, judge, lambda: "evidence-lost" in writer.faults)
        assert writer.faults >= {"evidence-disk", "evidence-lost"}
        assert writer._queue.qsize() <= QUICK.queue_records + QUICK.urgent_records
        ballast.unlink()
        wait_for(lambda: "evidence-disk" not in writer.faults)
        writer.record(*judge(99_999))
    verification = verify(run, key.public)
    assert verification.verdict is Verdict.INTACT, verification.text()
    assert verification.lost_records == writer.lost_records > 0
    assert any("No space left" in fault["detail"] for fault in faults_in(run))
    assert [r["frame_seq"] for r in read_records(run) if r["kind"] == "decision"][-1] == 99_999


def test_a_disk_still_full_at_the_end_leaves_an_unclosed_recording(small_disk, genesis, key, judge):
    (small_disk / "ballast").write_bytes(bytes(900_000))
    writer = EvidenceWriter.open(small_disk / "run", genesis, key, QUICK)
    recorded = record_until(writer, judge, lambda: "evidence-disk" in writer.faults)
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 10
    assert "evidence-disk" in writer.faults
    verification = verify(small_disk / "run")
    assert verification.verdict is Verdict.UNCLOSED, verification.text()
    decisions = sum(record["kind"] == "decision" for record in read_records(small_disk / "run"))
    assert recorded <= decisions + writer.lost_records  # each is in the book or counted


def test_a_disk_with_little_room_is_told_before_it_is_full(small_disk, genesis, key, judge):
    policy = WritePolicy(min_free_bytes=500_000)
    with EvidenceWriter.open(small_disk / "run", genesis, key, policy) as writer:
        assert writer.faults == frozenset()
        (small_disk / "ballast").write_bytes(bytes(700_000))
        writer.record(*judge(0))
        wait_for(lambda: writer.faults == {"evidence-disk-low"})
        (small_disk / "ballast").unlink()
        wait_for(lambda: writer.faults == frozenset())
    assert [fault["name"] for fault in faults_in(small_disk / "run")] == ["evidence-disk-low"]


def test_a_start_on_a_full_disk_is_refused_in_words(small_disk, genesis, key):
    (small_disk / "run").mkdir()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "ballast").write_bytes(bytes(2_000_000))
    with pytest.raises(
        RecordingError, match=r"run: expected an empty folder that can be written, found.*No space left"
    ):
        EvidenceWriter.open(small_disk / "run", genesis, key)


def test_a_limit_hit_inside_a_line_leaves_no_half_record(tmp_path, limit_file_size, genesis, key, judge):
    with EvidenceWriter.open(tmp_path / "run", genesis, key, QUICK) as writer:
        limit_file_size(20_001)
        record_until(writer, judge, lambda: "evidence-disk" in writer.faults)
        assert verify(tmp_path / "run").verdict is Verdict.UNCLOSED
        limit_file_size(None)
        wait_for(lambda: "evidence-disk" not in writer.faults)
    assert verify(tmp_path / "run").verdict is Verdict.INTACT
    assert any("File too large" in fault["detail"] for fault in faults_in(tmp_path / "run"))


def test_an_end_that_cannot_be_written_shows(tmp_path, limit_file_size, genesis, key):
    writer = EvidenceWriter.open(tmp_path / "run", genesis, key, QUICK)
    limit_file_size((tmp_path / "run" / "segment-000001.jsonl").stat().st_size)
    writer.close()
    limit_file_size(None)
    assert writer.faults == {"evidence-disk"}
    assert verify(tmp_path / "run").verdict is Verdict.UNCLOSED


def test_a_deleted_folder_is_a_fault_and_the_gap_shows_for_ever(tmp_path, genesis, key, judge):
    run = tmp_path / "run"
    with EvidenceWriter.open(run, genesis, key, QUICK) as writer:
        writer.record(*judge(0))
        wait_for(lambda: writer.synced_seq >= 2)
        shutil.rmtree(run)
        writer.record(*judge(1))
        wait_for((run / "segment-000002.jsonl").exists)
        wait_for(lambda: "evidence-disk" not in writer.faults)
        writer.record(*judge(2))
    problem = verify(run).problems[0]
    assert (problem.kind, problem.segment) == (ProblemKind.MISSING_SEGMENT, "segment-000001.jsonl")
    text = (run / "segment-000002.jsonl").read_text()
    assert "No such file or directory" in text
    assert '"frame_seq":2' in text


def test_a_stranger_in_the_segments_place_is_left_alone(tmp_path, genesis, key, judge):
    run = tmp_path / "run"
    with EvidenceWriter.open(run, genesis, key, QUICK) as writer:
        (run / "segment-000001.jsonl").rename(run / "moved")
        (run / "segment-000001.jsonl").write_text("mine\n")
        wait_for((run / "segment-000002.jsonl").exists)
        writer.record(*judge(0))
    assert (run / "segment-000001.jsonl").read_text() == "mine\n"
    assert verify(run).verdict is Verdict.DAMAGED


@pytest.fixture
def as_nobody():
    """Rights bind only those who are not root; root becomes nobody for the time of the test."""
    place = Path(tempfile.mkdtemp(prefix="handguard-"))
    was_root = os.geteuid() == 0
    if was_root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    yield place
    if was_root:
        os.seteuid(0)
    shutil.rmtree(place)


def test_a_lost_permission_is_a_fault_until_it_is_given_back(as_nobody, genesis, key, judge):
    run = as_nobody / "run"
    policy = WritePolicy(sync_every_s=0.02, retry_every_s=0.02, segment_records=10, min_free_bytes=1)
    with EvidenceWriter.open(run, genesis, key, policy) as writer:
        run.chmod(0o555)
        record_until(writer, judge, lambda: "evidence-disk" in writer.faults)
        run.chmod(0o755)
        wait_for(lambda: "evidence-disk" not in writer.faults)
    assert verify(run).verdict is Verdict.INTACT
    assert any("Permission denied" in fault["detail"] for fault in faults_in(run))

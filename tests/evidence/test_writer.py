from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from handguard.errors import RecordingError
from handguard.evidence.ledger import Ledger, WritePolicy, stamp_now
from handguard.evidence.reading import read_records
from handguard.evidence.schema import OperatorAction, decision_record
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter
from handguard.ports import EventSink
from handguard.types import KeeperReport, Output, ZoneRole, ZoneStatus

WAIT_S = 60  # generous: the machine may be busy


class Gate:
    """A clock that can be held up, or that breaks after `limit` readings."""

    def __init__(self, limit=None):
        self._open, self._waited_for = threading.Event(), threading.Event()
        self._open.set()
        self._left = limit

    def __call__(self):
        if threading.current_thread().name == "evidence-writer" and not self._open.is_set():
            self._waited_for.set()
            self._open.wait(WAIT_S)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise RuntimeError("the clock broke")
        return stamp_now()

    def shut(self):
        self._open.clear()

    def open(self):
        self._open.set()

    def is_waited_for(self):
        return self._waited_for.is_set()


def wait_for(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def kinds(directory):
    return [record["kind"] for record in read_records(directory)]


def test_the_writer_is_an_event_sink(tmp_path, genesis, key, judge):
    sink: EventSink
    with EvidenceWriter.open(tmp_path / "run", genesis, key) as sink:
        sink.record(*judge(0))
    assert kinds(tmp_path / "run") == ["genesis", "head", "decision", "close", "head"]


def test_a_decision_is_remembered_exactly(tmp_path, genesis, key, judge):
    decision, permit = judge(7, boxes=((0.1, 1 / 3, 640.123456, 479.99997), (1, 2, 3, 4)))
    report = KeeperReport(106, Output.ON, 123, None, frozenset({"b", "a"}))
    with EvidenceWriter.open(tmp_path / "run", genesis, key) as writer:
        writer.record(decision, permit, report)
    (record,) = [record for record in read_records(tmp_path / "run") if record["kind"] == "decision"]
    boxes = np.array([hand["box_px"] for hand in record["hands"]], np.float32)
    scores = np.array([hand["score"] for hand in record["hands"]], np.float32)
    np.testing.assert_array_equal(boxes, decision.detections.boxes_px)
    np.testing.assert_array_equal(scores, decision.detections.scores)
    assert [hand["label"] for hand in record["hands"]] == ["hand", "gloved_hand"]
    assert record["age_ms"] == {"taken": 2.0, "detected": 9.0, "judged": 10.0}
    assert record["keeper"]["faults"] == ["a", "b"]
    assert (record["frame_seq"], record["permit_seq"], record["state"], record["output"]) == (
        7,
        107,
        "RUN",
        "on",
    )


def test_a_tick_without_a_frame_has_no_ages_and_no_hands(judge):
    decision, permit = judge(0)
    record = decision_record(replace(decision, frame_seq=-1, detections=None), permit)
    assert (record["age_ms"], record["hands"], record["keeper"]) == (None, None, None)


def test_a_trip_is_durable_and_signed_without_waiting_for_the_period(tmp_path, genesis, key, judge, trip):
    policy = WritePolicy(sync_every_s=3600, sign_every_s=3600)
    with EvidenceWriter.open(tmp_path / "run", genesis, key, policy) as writer:
        writer.record(*judge(0))
        writer.record(*trip(1))
        wait_for(lambda: writer.synced_seq >= 5)
        assert kinds(tmp_path / "run")[-4:] == ["decision", "event", "event", "head"]


def test_ticks_are_durable_after_the_sync_period(tmp_path, genesis, key, judge):
    with EvidenceWriter.open(tmp_path / "run", genesis, key, WritePolicy(sync_every_s=0.05)) as writer:
        writer.record(*judge(0))
        wait_for(lambda: writer.synced_seq >= 2)


def test_operator_actions_events_and_faults_are_remembered_in_order(tmp_path, genesis, key, trip):
    with EvidenceWriter.open(tmp_path / "run", genesis, key) as writer:
        writer.operator(OperatorAction.RESET, who="badge 17", detail="after jam")
        writer.fault("camera-stale", "no frame for 120 ms")
        writer.event(trip(0)[0].events[1])
    operator, fault, event = list(read_records(tmp_path / "run"))[2:5]
    assert (operator["action"], operator["who"], operator["detail"]) == ("reset", "badge 17", "after jam")
    assert (fault["name"], fault["lost_records"]) == ("camera-stale", 0)
    assert (event["event"], event["zone"]) == ("tripped", "intake")


def test_what_people_were_told_at_the_start_is_remembered(tmp_path, genesis, key):
    with EvidenceWriter.open(tmp_path / "run", genesis, key) as writer:
        writer.caution("the relay is simulated: no machine is stopped")
    caution = list(read_records(tmp_path / "run"))[2]
    assert (caution["kind"], caution["words"]) == ("caution", "the relay is simulated: no machine is stopped")
    assert verify(tmp_path / "run", key.public).verdict is Verdict.INTACT


def test_the_end_says_why(tmp_path, genesis, key):
    with EvidenceWriter.open(tmp_path / "a", genesis, key):
        pass
    with pytest.raises(ZeroDivisionError), EvidenceWriter.open(tmp_path / "b", genesis, key):
        1 / 0  # noqa: B018
    reasons = [list(read_records(tmp_path / run))[-2]["reason"] for run in "ab"]
    assert reasons == ["clean stop", "stopped by ZeroDivisionError: division by zero"]


def test_closing_twice_is_closing_once(tmp_path, genesis, key):
    writer = EvidenceWriter.open(tmp_path / "run", genesis, key)
    writer.close("first")
    writer.close("second")
    assert writer.faults == frozenset()
    assert verify(tmp_path / "run").verdict is Verdict.INTACT
    assert list(read_records(tmp_path / "run"))[-2]["reason"] == "first"


def test_what_comes_after_the_end_is_counted_as_lost(tmp_path, genesis, key, judge):
    writer = EvidenceWriter.open(tmp_path / "run", genesis, key)
    writer.close()
    writer.record(*judge(0))
    assert (writer.lost_records, writer.faults) == (1, {"evidence-lost"})


def test_a_folder_with_a_recording_is_not_written_over(small_recording, genesis, key):
    before = (small_recording / "segment-000001.jsonl").read_bytes()
    with pytest.raises(
        RecordingError, match=r"expected an empty folder that can be written, found.*File exists"
    ):
        EvidenceWriter.open(small_recording, genesis, key)
    assert (small_recording / "segment-000001.jsonl").read_bytes() == before


def test_a_value_that_cannot_be_written_becomes_a_fault_and_what_follows_is_kept(
    tmp_path, genesis, key, judge
):
    decision, permit = judge(0)
    nan = replace(decision, zones=(ZoneStatus("intake", ZoneRole.STOP, False, float("nan")),))
    nonsense = replace(decision, state="RUN")
    with EvidenceWriter.open(tmp_path / "run", genesis, key) as writer:
        writer.record(nan, permit)
        writer.record(nonsense, permit)
        writer.record(decision, permit)
    assert kinds(tmp_path / "run") == ["genesis", "head", "fault", "fault", "decision", "close", "head"]
    assert verify(tmp_path / "run").lost_records == 2


def test_a_signature_comes_each_period_in_front_of_what_is_late(tmp_path, genesis, key, clock, judge):
    ledger = Ledger(tmp_path / "run", genesis, key, WritePolicy(sign_every_s=60), clock)
    clock.advance(59)
    ledger.write([decision_record(*judge(0))])
    ledger.upkeep()
    assert kinds(tmp_path / "run") == ["genesis", "head", "decision"]
    clock.advance(1)
    ledger.write([decision_record(*judge(1))])
    assert kinds(tmp_path / "run")[3:] == ["head", "decision"]
    clock.advance(60)
    ledger.upkeep()
    assert kinds(tmp_path / "run")[5:] == ["head"]


def test_a_segment_ends_signed_and_the_next_goes_on(tmp_path, genesis, key, judge):
    ledger = Ledger(tmp_path / "run", genesis, key, WritePolicy(segment_bytes=3000))
    for frame_seq in range(20):
        ledger.write([decision_record(*judge(frame_seq))])
        ledger.upkeep()
    ledger.close("clean stop", 0)
    segments = sorted((tmp_path / "run").iterdir())
    assert len(segments) > 3
    assert all(b'"kind":"head"' in path.read_bytes().splitlines()[-1] for path in segments)
    assert verify(tmp_path / "run").verdict is Verdict.INTACT


def test_a_full_queue_loses_ticks_keeps_trips_and_says_how_many(tmp_path, genesis, key, judge, trip):
    """The disk is held up on purpose: the ledger is slow because this test holds its clock."""
    gate = Gate()
    policy = WritePolicy(queue_records=10, urgent_records=5)
    writer = EvidenceWriter.open(tmp_path / "run", genesis, key, policy, now=gate)
    gate.shut()
    writer.record(*judge(0))
    wait_for(gate.is_waited_for)
    for frame_seq in range(1, 31):
        writer.record(*judge(frame_seq))
    writer.record(*trip(31))
    assert (writer.lost_records, writer.faults) == (20, {"evidence-lost"})
    gate.open()
    writer.close()
    records = list(read_records(tmp_path / "run"))
    assert [record["frame_seq"] for record in records if record["kind"] == "decision"] == [*range(11), 31]
    (fault,) = [record for record in records if record["kind"] == "fault"]
    assert (fault["name"], fault["lost_records"]) == ("evidence-lost", 20)
    assert records[-2]["lost_records"] == verify(tmp_path / "run").lost_records == 20


def test_a_dead_writer_thread_shows(tmp_path, genesis, key, judge, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    writer = EvidenceWriter.open(tmp_path / "run", genesis, key, now=Gate(limit=3))
    wait_for(lambda: writer.faults)
    assert writer.faults == {"evidence-writer"}
    writer.record(*judge(0))  # still neither blocks nor raises


@pytest.mark.parametrize("setting", ["sync_every_s", "queue_records", "segment_bytes"])
def test_a_policy_without_a_period_or_size_is_refused(setting):
    with pytest.raises(ValueError, match=f"{setting} must be positive"):
        WritePolicy(**{setting: 0})

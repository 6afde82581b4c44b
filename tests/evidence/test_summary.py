from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.atomic import write_atomically
from handguard.errors import RecordingError
from handguard.evidence.summary import Summary, percentile, percentiles
from handguard.types import KeeperReport, Output, Permit, State, StateChanged, Tripped, WarningRaised

MS = 1_000_000


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from(["50", "99", "99.9", "100"]))
def test_a_percentile_is_the_smallest_value_that_covers_its_share(values, percent):
    values.sort()
    found = percentile(values, float(percent))
    share = Fraction(percent) / 100
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, (0, 0, 0, 0)), (100, (49, 98, 99, 99)), (1000, (499, 989, 998, 999))]
)
def test_nearest_rank_by_hand(count, expected):
    found = percentiles([float(value) for value in reversed(range(count))])
    assert found == dict(zip(["p50", "p99", "p999", "max"], expected, strict=True)) | {"count": count}


@given(st.lists(st.floats(0, 1e3)))
def test_counted_values_have_the_percentiles_of_the_values(values):
    ordered = sorted(round(value, 3) for value in values)
    shares = {"p50": 50.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
    expected = {name: percentile(ordered, share) for name, share in shares.items()}
    assert percentiles(values) == {"count": len(values)} | expected


def test_a_long_run_needs_no_more_memory_than_a_short_one(judge):
    summary = Summary()
    decision, permit = judge(0)
    for frame_seq in range(5000):
        summary.add(replace(decision, frame_seq=frame_seq), permit)
    assert summary.to_json()["judged_ms"]["count"] == 5000
    assert len(summary._judged_ms) == 1


def test_of_nothing_every_percentile_is_null():
    assert percentiles([]) == {"count": 0, "p50": None, "p99": None, "p999": None, "max": None}


def test_an_empty_run_has_a_summary():
    summary = Summary().to_json()
    assert (summary["frames"], summary["judged"], summary["dropped"], summary["warnings"]) == (0, 0, 0, 0)
    assert (summary["trips"], summary["states_visited"]) == ([], [])
    assert summary["response_ms"]["p50"] is None


def test_frames_that_were_never_looked_at_are_dropped(judge):
    summary = Summary()
    for frame_seq in (0, 1, 4, 4, 5):  # 2 and 3 were replaced in the mailbox; 4 was ticked twice
        summary.add(*judge(frame_seq))
    blind, permit = judge(6)
    summary.add(replace(blind, detections=None), permit)
    summary.add(replace(blind, frame_seq=-1, detections=None), permit)
    found = summary.to_json()
    assert (found["frames"], found["judged"], found["dropped"]) == (7, 4, 2)
    assert found["judged_ms"] == {"count": 4, "p50": 10.0, "p99": 10.0, "p999": 10.0, "max": 10.0}


def test_the_sources_own_counts_win(judge):
    summary = Summary()
    summary.add(*judge(0))
    summary.count_source(frames=10, dropped=9)
    assert (summary.to_json()["frames"], summary.to_json()["dropped"]) == (10, 9)


def test_warnings_and_states_are_counted_from_events(judge):
    summary = Summary()
    woke = StateChanged(0, 0, State.SELF_TEST, State.AWAIT_RESET, "free")
    summary.add(*judge(0, state=State.AWAIT_RESET, events=[woke]))
    summary.add(*judge(1, events=[WarningRaised(0, 1, "table", 0.9), WarningRaised(0, 1, "hopper", 0.9)]))
    summary.add(*judge(2, state=State.AWAIT_RESET))
    assert summary.to_json()["warnings"] == 2
    assert summary.to_json()["states_visited"] == ["SELF_TEST", "AWAIT_RESET", "RUN"]


def test_a_trip_says_frame_time_cause_zone_and_its_response(judge, trip):
    summary = Summary()
    summary.add(*judge(0))
    decision, permit = trip(10)
    summary.add(decision, permit)
    captured_ns = decision.times.captured_ns
    summary.heard(KeeperReport(permit.seq - 1, Output.ON, captured_ns + 5 * MS, None))  # old news
    summary.heard(KeeperReport(permit.seq, Output.OFF, captured_ns + 12 * MS, None))
    summary.heard(KeeperReport(permit.seq + 1, Output.OFF, captured_ns + 45 * MS, None))  # said again
    found = summary.to_json()
    assert found["trips"] == [
        {"frame": 10, "time": 0.33, "cause": "intruded", "zone": "intake", "response_ms": 12.0}
    ]
    assert found["response_ms"] == {"count": 1, "p50": 12.0, "p99": 12.0, "p999": 12.0, "max": 12.0}


def test_a_report_in_the_same_tick_counts(trip):
    summary = Summary()
    decision, permit = trip(0)
    summary.add(
        decision, permit, KeeperReport(permit.seq, Output.OFF, decision.times.captured_ns + 3 * MS, True)
    )
    assert summary.to_json()["response_ms"]["max"] == 3.0


def test_a_relay_that_was_off_before_the_hand_came_has_no_response_time(trip):
    summary = Summary()
    decision, permit = trip(0)
    summary.add(decision, permit, KeeperReport(permit.seq, Output.OFF, decision.times.captured_ns - 1, True))
    assert summary.to_json()["response_ms"]["count"] == 0
    assert summary.to_json()["trips"][0]["response_ms"] is None


def test_a_blind_trip_does_not_color_the_response_to_hands(judge):
    summary = Summary()
    decision, _ = judge(3, events=[Tripped(5_200 * MS, -1, "blind: stale", None, 0.0)])
    permit = Permit(9, 3, 0, 0, Output.OFF)
    summary.add(decision, permit, KeeperReport(9, Output.OFF, decision.times.captured_ns + 150 * MS, True))
    assert summary.to_json()["trips"][0]["response_ms"] == 150.0
    assert summary.to_json()["trips"][0]["zone"] is None
    assert summary.to_json()["response_ms"]["count"] == 0


def test_a_replay_without_a_relay_has_trips_and_no_response_times(trip):
    summary = Summary()
    summary.add(trip(0)[0])
    assert len(summary.to_json()["trips"]) == 1
    assert summary.to_json()["response_ms"]["p50"] is None


def test_the_file_is_whole_and_takes_more_keys(tmp_path, judge):
    summary = Summary()
    summary.add(*judge(0))
    path = tmp_path / "summary.json"
    path.write_text("old")
    summary.write(path, evidence="runs/1")
    assert json.loads(path.read_text()) == {**summary.to_json(), "evidence": "runs/1"}
    assert os.listdir(tmp_path) == ["summary.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RecordingError, match=r"summary\.json: expected a place to write"):
        Summary().write(tmp_path / "nothing" / "summary.json")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.mkdir()  # cannot be renamed over
    with pytest.raises(OSError, match="file"):
        write_atomically(path, b"new")
    assert os.listdir(tmp_path) == ["file"]

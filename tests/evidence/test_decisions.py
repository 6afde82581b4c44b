from __future__ import annotations

import json
from dataclasses import replace

import pytest

from handguard.errors import RecordingError
from handguard.evidence.decisions import DecisionLine, HandLine, decision_line, read_decisions
from handguard.types import Output, State

MS = 1_000_000
HAND = {"box_px": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "label": "hand"}
GOOD = {"frame": 3, "t_ms": 99.0, "hands": [HAND],
        "zones": {"intake": False}, "state": "RUN", "output": "on", "cause": "free"}  # fmt: skip


def test_a_line_reads_as_promised(judge):
    decision, _ = judge(3, boxes=((10.504, 20.25, 60.125, 90.0),), intruded=True, state=State.TRIPPED)
    assert decision_line(decision, origin_ns=5_000 * MS) == (
        '{"frame":3,"t_ms":99.0,"hands":[{"box_px":[10.5,20.25,60.12,90.0],"score":0.9731,"label":"hand"}],'
        '"zones":{"intake":true},"state":"TRIPPED","output":"off","cause":"intruded: intake"}\n'
    )


def test_equal_decisions_give_equal_bytes(judge):
    boxes = ((0.1, 0.2, 0.3, 0.4), (-0.001, 1 / 3, 2 / 3, 1e-9))
    lines = {decision_line(judge(3, boxes=boxes)[0]) for _ in range(5)}
    assert len(lines) == 1
    assert "-0.0" not in lines.pop()


def test_a_frame_that_was_not_judged_is_not_a_frame_without_hands(judge):
    decision, _ = judge(0)
    assert json.loads(decision_line(replace(decision, detections=None)))["hands"] is None
    assert json.loads(decision_line(judge(0, boxes=())[0]))["hands"] == []


def test_what_was_written_reads_back(tmp_path, judge, trip):
    path = tmp_path / "decisions.jsonl"
    unjudged = replace(judge(1)[0], detections=None)
    decisions = [judge(0)[0], unjudged, trip(2)[0]]
    path.write_text("".join(decision_line(decision, 5_000 * MS) for decision in decisions))
    first, second, third = read_decisions(path)
    hand = HandLine((10.5, 20.25, 60.12, 90.0), 0.9731, "hand")
    assert first == DecisionLine(0, 0.0, (hand,), {"intake": False}, State.RUN, Output.ON, "free")
    assert second.hands is None
    assert (third.state, third.output, third.zones) == (State.TRIPPED, Output.OFF, {"intake": True})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": "3"}, r":2: frame: expected int, found '3'"),
        ({"frame": True}, r":2: frame: expected int, found True"),
        ({"t_ms": None}, r":2: t_ms: expected number, found None"),
        ({"state": "SLEEP"}, r":2: state: expected one of SELF_TEST, RUN"),
        ({"output": "ON"}, r":2: output: expected one of off, on, found 'ON'"),
        ({"zones": {"intake": 1}}, r":2: zones\.intake: expected true or false, found 1"),
        ({"hands": 3}, r":2: hands: expected list, found 3"),
        ({"hands": [3]}, r":2: hands\[0\]: expected an object, found 3"),
        ({"hands": [HAND | {"box_px": [1, 2, 3]}]}, r":2: hands\[0\]\.box_px: expected four numbers"),
        ({"hands": [HAND | {"score": None}]}, r":2: hands\[0\]: score: expected number, found None"),
    ],
)
def test_a_bad_value_names_file_line_and_key(tmp_path, change, words):
    path = tmp_path / "decisions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(RecordingError, match=r"decisions\.jsonl" + words):
        list(read_decisions(path))


@pytest.mark.parametrize("key", GOOD)
def test_a_missing_key_is_named(tmp_path, key):
    path = tmp_path / "decisions.jsonl"
    path.write_text(json.dumps({name: value for name, value in GOOD.items() if name != key}) + "\n")
    with pytest.raises(RecordingError, match=f":1: {key}: expected .* found nothing"):
        list(read_decisions(path))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "at least one decision, found an empty file"),
        (b"oops\n", ":1: expected one JSON object"),
        (b"[]\n", ":1: expected one JSON object, found list"),
        (b"\xff\n", ":1: expected one JSON object"),
        (json.dumps(GOOD).encode(), ":1: expected a whole line, found no newline"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, data, words):
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=words):
        list(read_decisions(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecordingError, match="expected a file of decisions"):
        list(read_decisions(tmp_path / "nothing"))

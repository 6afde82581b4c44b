from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.errors import RecordingError
from handguard.evidence.chain import ROOT, Link, extend, split_line
from handguard.evidence.ledger import Ledger, WritePolicy
from handguard.evidence.reading import read_records
from handguard.evidence.schema import Kind, decision_record, event_record, genesis_record
from handguard.evidence.signing import SigningKey
from handguard.evidence.verification import ProblemKind, Verdict
from handguard.evidence.verify import verify

FIRST = "segment-000001.jsonl"


def lines_of(directory, segment=FIRST):
    return (directory / segment).read_bytes().splitlines(keepends=True)


def put(directory, lines, segment=FIRST):
    (directory / segment).write_bytes(b"".join(lines))


def records_of(lines):
    return [json.loads(split_line(line)[1]) for line in lines]


def chained(bodies, key=None):
    """Lines for these bodies, as somebody would forge them; with a key each `head` is signed anew."""
    link, lines = ROOT, []
    for body in bodies:
        if key and body["kind"] == "head":
            unsigned, _ = extend(link, {name: value for name, value in body.items() if name != "signature"})
            body = {**body, "signature": key.sign(unsigned).hex()}
        link, line = extend(link, body)
        lines.append(line)
    return lines


@pytest.fixture
def three_segments(tmp_path, genesis, key, judge):
    directory = tmp_path / "three"
    ledger = Ledger(directory, genesis, key, WritePolicy(segment_records=6))
    for frame_seq in range(10):
        ledger.write([decision_record(*judge(frame_seq))])
        ledger.upkeep()
    ledger.close("clean stop", 0)
    assert len(list(directory.iterdir())) == 3
    return directory


def first_problem(directory, public_key=None):
    verification = verify(directory, public_key)
    assert verification.verdict is Verdict.DAMAGED, verification.text()
    with pytest.raises(RecordingError, match="segment-"):
        verification.raise_if_damaged()
    json.dumps(verification.to_json())
    return verification.problems[0]


def test_an_untouched_recording_is_intact(small_recording, key):
    verification = verify(small_recording)
    assert verification.verdict is Verdict.INTACT
    assert verification.records == len(lines_of(small_recording))
    assert verification.signed_through == verification.records - 1
    assert verification.text().startswith("INTACT")
    assert "the key named in the recording" in verification.text()
    assert "the key you gave" in verify(small_recording, key.public).text()


def test_three_segments_are_one_chain(three_segments, key):
    assert verify(three_segments, key.public).verdict is Verdict.INTACT


@pytest.mark.slow
def test_a_changed_byte_at_any_position_is_found(small_recording):
    """Exhaustive: every byte of a small recording, one bit at a time in turn."""
    path = small_recording / FIRST
    original = path.read_bytes()
    ends = [index for index, byte in enumerate(original) if byte == 10]
    for position in range(len(original)):
        changed = bytearray(original)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        verification = verify(small_recording)
        line = sum(end < position for end in ends)
        assert verification.verdict is not Verdict.INTACT, position
        assert verification.records == line, position  # every record before the change still counts
        if position < ends[-1]:
            assert verification.problems[0].line == line + 1, position


def test_an_end_whose_last_newline_is_gone_does_not_count_as_an_end(small_recording):
    path = small_recording / FIRST
    path.write_bytes(path.read_bytes()[:-1])
    verification = verify(small_recording)
    assert (verification.verdict, verification.torn, verification.closed) == (Verdict.UNCLOSED, True, False)


@pytest.mark.slow
def test_a_recording_cut_at_any_byte_is_unclosed_never_intact_nor_blamed(small_recording):
    """Exhaustive: what a kill or a power cut can leave. Only complete records count."""
    path = small_recording / FIRST
    original = path.read_bytes()
    genesis_end = original.index(b"\n") + 1
    for length in range(genesis_end, len(original)):
        path.write_bytes(original[:length])
        verification = verify(small_recording)
        assert verification.verdict is Verdict.UNCLOSED, length
        assert verification.records == original[:length].count(b"\n"), length
        assert verification.torn == (not original[:length].endswith(b"\n")), length
        assert "ends without close: unsynced tail may be lost" in verification.text()


def test_a_recording_cut_inside_its_genesis_is_no_recording(small_recording):
    path = small_recording / FIRST
    for data in (b"", path.read_bytes()[:50]):
        path.write_bytes(data)
        assert first_problem(small_recording).kind is ProblemKind.UNREADABLE


def test_any_deleted_record_is_found(small_recording):
    lines = lines_of(small_recording)
    for index in range(1, len(lines) - 1):
        put(small_recording, lines[:index] + lines[index + 1 :])
        problem = first_problem(small_recording)
        assert (problem.kind, problem.line, problem.seq) == (ProblemKind.MISSING, index + 1, index)


def test_any_two_swapped_neighbors_are_found(small_recording):
    lines = lines_of(small_recording)
    for index in range(1, len(lines) - 1):
        put(small_recording, [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]])
        problem = first_problem(small_recording)
        assert (problem.kind, problem.line) == (ProblemKind.OUT_OF_ORDER, index + 1)


def test_any_repeated_record_is_found(small_recording):
    lines = lines_of(small_recording)
    for index in range(len(lines)):
        put(small_recording, [*lines[: index + 1], *lines[index:]])
        assert first_problem(small_recording).line == index + 2


def test_a_record_with_its_own_hash_made_anew_breaks_the_next(small_recording):
    lines = lines_of(small_recording)
    previous = Link(3, split_line(lines[3])[0])
    edited = {**records_of(lines)[4], "cause": "nobody was there"}
    put(small_recording, [*lines[:4], extend(previous, edited)[1], *lines[5:]])
    problem = first_problem(small_recording)
    assert (problem.kind, problem.seq) == (ProblemKind.EDITED, 5)


def test_a_chain_made_anew_without_the_key_fails_at_the_next_signature(small_recording):
    bodies = records_of(lines_of(small_recording))
    bodies[4]["cause"] = "nobody was there"
    put(small_recording, chained(bodies))
    problem = first_problem(small_recording)
    assert problem.kind is ProblemKind.BAD_SIGNATURE
    assert bodies[problem.seq]["kind"] == "head"
    assert "a record from 2 to" in problem.why


def test_a_changed_time_in_the_last_signature_is_found(small_recording):
    bodies = records_of(lines_of(small_recording))
    bodies[-1]["monotonic_ns"] += 1
    put(small_recording, chained(bodies))
    assert first_problem(small_recording).seq == len(bodies) - 1


def test_a_signature_of_another_key_is_found(small_recording):
    put(small_recording, chained(records_of(lines_of(small_recording)), SigningKey.generate()))
    assert first_problem(small_recording).kind is ProblemKind.BAD_SIGNATURE


def test_a_book_written_anew_with_another_key_needs_the_true_key_to_be_found(small_recording, key):
    forger = SigningKey.generate()
    bodies = records_of(lines_of(small_recording))
    bodies[0]["public_key"] = forger.public.hex
    put(small_recording, chained(bodies, forger))
    assert verify(small_recording).verdict is Verdict.INTACT  # it says whose key it used; see the text
    problem = first_problem(small_recording, key.public)
    assert problem.kind is ProblemKind.WRONG_KEY
    assert key.public.fingerprint in problem.why
    assert forger.public.fingerprint in problem.why


@pytest.mark.parametrize("bad", ["", "zz", "00", None, 7])
def test_a_signature_that_is_no_signature_is_found(small_recording, bad):
    bodies = records_of(lines_of(small_recording))
    bodies[1]["signature"] = bad
    put(small_recording, chained(bodies))
    assert first_problem(small_recording).kind is ProblemKind.BAD_SIGNATURE


@pytest.mark.parametrize(("gone", "named"), [(1, 1), (2, 2)])
def test_a_missing_segment_is_named(three_segments, gone, named):
    (three_segments / f"segment-{gone:06d}.jsonl").unlink()
    problem = first_problem(three_segments)
    assert (problem.kind, problem.segment) == (ProblemKind.MISSING_SEGMENT, f"segment-{named:06d}.jsonl")


def test_a_missing_last_segment_is_a_missing_end(three_segments):
    (three_segments / "segment-000003.jsonl").unlink()
    assert verify(three_segments).verdict is Verdict.UNCLOSED


def test_a_truncated_middle_segment_is_found_at_the_start_of_the_next(three_segments):
    path = three_segments / "segment-000002.jsonl"
    original = path.read_bytes()
    for length in (0, 10, len(original) // 2, len(original) - 1):
        path.write_bytes(original[:length])
        problem = first_problem(three_segments)
        assert (problem.kind, problem.segment, problem.line) == (
            ProblemKind.MISSING,
            "segment-000003.jsonl",
            1,
        )


def test_swapped_segments_are_found(three_segments):
    second, third = (three_segments / f"segment-00000{n}.jsonl" for n in (2, 3))
    shutil.move(second, three_segments / "x")
    shutil.move(third, second)
    shutil.move(three_segments / "x", third)
    problem = first_problem(three_segments)
    assert (problem.kind, problem.segment, problem.line) == (ProblemKind.OUT_OF_ORDER, second.name, 1)


def test_nothing_may_follow_the_end(small_recording, key):
    lines = lines_of(small_recording)
    bodies = records_of(lines)
    put(small_recording, chained([*bodies, bodies[2]], key))
    assert first_problem(small_recording).kind is ProblemKind.AFTER_END
    put(small_recording, chained([*bodies[:-1], bodies[2]], key))
    assert first_problem(small_recording).kind is ProblemKind.AFTER_END


def test_a_forged_end_without_signature_is_no_end(small_recording):
    put(small_recording, lines_of(small_recording)[:-1])
    verification = verify(small_recording)
    assert verification.verdict is Verdict.UNCLOSED
    assert verification.unsigned_records > 0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("monotonic_ns", 1, "monotonic clock went back by"),
        ("wall_time_utc", "2001-01-01T00:00:00.000000Z", "to 2001"),
    ],
)
def test_a_clock_that_went_back_is_found_and_read_past(small_recording, key, field, value, words):
    bodies = records_of(lines_of(small_recording))
    bodies[5][field] = value
    put(small_recording, chained(bodies, key))
    problem = first_problem(small_recording)
    assert (problem.kind, problem.seq) == (ProblemKind.CLOCK_WENT_BACK, 5)
    assert words in problem.why
    assert verify(small_recording).records == len(bodies)


def test_a_long_stretch_without_signatures_is_found(tmp_path, genesis, key, clock, judge):
    """A forger who leaves the signatures out has one signing period, not more."""
    ledger = Ledger(tmp_path / "run", genesis, key, WritePolicy(sign_every_s=60), clock)
    for frame_seq in range(10):
        ledger.write([decision_record(*judge(frame_seq))])
        ledger.upkeep()
        clock.advance(20)
    ledger.close("clean stop", 0)
    assert verify(tmp_path / "run").verdict is Verdict.INTACT
    bodies = [body for body in records_of(lines_of(tmp_path / "run")) if body["kind"] != "head"]
    put(tmp_path / "run", chained(bodies, key))
    assert first_problem(tmp_path / "run").kind is ProblemKind.UNSIGNED


@pytest.mark.parametrize(
    ("schema", "words"), [(2, "update handguard"), (0, "1 to 1"), ("1", "a schema number")]
)
def test_another_schema_is_refused_in_words(small_recording, key, schema, words):
    bodies = records_of(lines_of(small_recording))
    bodies[0]["schema"] = schema
    put(small_recording, chained(bodies, key))
    problem = first_problem(small_recording)
    assert problem.kind is ProblemKind.SCHEMA
    assert words in problem.why
    with pytest.raises(RecordingError, match=rf"{FIRST}:1.*{words}"):
        next(read_records(small_recording))


@pytest.mark.parametrize(
    "change", [{"public_key": "00"}, {"public_key": 3}, {"sign_every_s": "x"}, {"kind": "event"}]
)
def test_a_genesis_that_makes_no_sense_is_found(small_recording, key, change):
    bodies = records_of(lines_of(small_recording))
    bodies[0] |= change
    put(small_recording, chained(bodies, key))
    assert first_problem(small_recording).line == 1


@pytest.mark.parametrize(
    "change", [{"kind": "poem"}, {"kind": None}, {"kind": "genesis"}, {"monotonic_ns": "now"}]
)
def test_a_well_chained_record_that_makes_no_sense_is_found(small_recording, key, change):
    bodies = records_of(lines_of(small_recording))
    bodies[4] |= change
    put(small_recording, chained(bodies, key))
    assert first_problem(small_recording).seq == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
FIELDS = (
    "kind",
    "schema",
    "public_key",
    "sign_every_s",
    "signature",
    "monotonic_ns",
    "wall_time_utc",
    "lost_records",
)


@given(
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1),
    kind=st.sampled_from([kind.value for kind in Kind]),
    index=st.integers(0, 4),
)
def test_whatever_a_forger_writes_the_verifier_answers(small_recording, changes, kind, index):
    original = lines_of(small_recording)
    bodies = records_of(original)
    bodies[index] |= {"kind": kind, **changes}
    put(small_recording, chained(bodies))
    verification = verify(small_recording)
    put(small_recording, original)
    assert verification.verdict in Verdict
    assert verification.text()


def test_a_folder_without_a_recording_is_refused_in_words(tmp_path):
    with pytest.raises(RecordingError, match=f"expected {FIRST}, found no segment at all"):
        verify(tmp_path)
    with pytest.raises(RecordingError, match="a folder with a recording"):
        verify(tmp_path / "nothing")
    (tmp_path / FIRST).mkdir()
    with pytest.raises(RecordingError, match=rf"{FIRST}: expected a segment that can be read"):
        verify(tmp_path)


def test_reading_gives_every_record_and_names_a_bad_line(small_recording, judge):
    records = list(read_records(small_recording))
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert records[0]["machine_id"] == "machine"
    lines = lines_of(small_recording)
    put(small_recording, [*lines[:2], b"oops\n", *lines[3:]])
    with pytest.raises(RecordingError, match=rf"{FIRST}:3: expected a record"):
        list(read_records(small_recording))
    put(small_recording, [*lines[:3], b"oops"])
    assert len(list(read_records(small_recording))) == 3


def test_a_trip_is_signed_with_the_records_that_carry_it(tmp_path, genesis, key, trip):
    decision, permit = trip(0)
    ledger = Ledger(tmp_path / "run", genesis, key, WritePolicy())
    ledger.write([decision_record(decision, permit), *map(event_record, decision.events)])
    ledger.abandon()
    verification = verify(tmp_path / "run", key.public)
    assert verification.unsigned_records == 0
    assert records_of(lines_of(tmp_path / "run"))[-2]["event"] == "tripped"


def test_a_genesis_record_needs_every_text(genesis, key):
    assert genesis_record(genesis, key.public.hex, 60.0)["config_hash"] == "c0ffee"
    with pytest.raises(RecordingError, match=r"genesis\.model_hash: expected a text that is not empty"):
        replace(genesis, model_hash="")

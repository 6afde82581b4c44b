from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.errors import RecordingError
from handguard.evidence.chain import ROOT, Link, canonical, extend, hash_after, split_line

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=9
)
RECORDS = st.dictionaries(st.text(), VALUES, max_size=5)


@given(RECORDS)
def test_canonical_reads_back_to_the_same_record_and_the_same_bytes(record):
    written = canonical(record)
    assert json.loads(written) == record
    assert canonical(json.loads(written)) == written


@given(RECORDS, st.randoms())
def test_the_order_of_keys_does_not_matter(record, random):
    shuffled = list(record.items())
    random.shuffle(shuffled)
    assert canonical(dict(shuffled)) == canonical(record)


@given(RECORDS)
def test_a_line_is_one_ascii_line(record):
    _, line = extend(ROOT, record)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


@given(st.lists(RECORDS, max_size=6))
def test_each_hash_is_sha256_of_the_hash_before_and_the_record(records):
    link = ROOT
    for seq, record in enumerate(records):
        after, line = extend(link, record)
        stored, raw = split_line(line)
        assert after == Link(seq, stored)
        assert stored == hashlib.sha256(link.hash + raw).digest() == hash_after(link.hash, raw)
        assert raw == canonical({**record, "seq": seq})
        link = after


@given(st.lists(RECORDS, min_size=1, max_size=6), st.data())
def test_any_change_of_any_record_changes_the_last_hash(records, data):
    def last(chain):
        link = ROOT
        for record in chain:
            link, _ = extend(link, record)
        return link.hash

    index = data.draw(st.integers(0, len(records) - 1))
    changed = [*records]
    changed[index] = {**records[index], "added": data.draw(SCALARS)}
    differs = canonical(changed[index]) != canonical(records[index])
    assert (last(changed) != last(records)) == differs


@given(st.binary(max_size=300))
def test_splitting_a_line_never_raises(data):
    split_line(data)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), np.float32(1), np.int64(1), b"x", {1}, object()],
    ids=lambda v: type(v).__name__,
)
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(RecordingError, match=r"'decision'.*plain finite JSON"):
        canonical({"kind": "decision", "value": value})


@pytest.mark.parametrize("bad", [(-2, bytes(32)), (0, bytes(31))])
def test_a_link_is_a_number_and_32_bytes(bad):
    with pytest.raises(ValueError, match="32 bytes"):
        Link(*bad)

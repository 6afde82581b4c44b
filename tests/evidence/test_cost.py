"""What recording costs the stop path. Measured and printed (`pytest -s`); speed is not asserted."""

from __future__ import annotations

import time

from handguard.evidence.ledger import WritePolicy
from handguard.evidence.summary import percentiles
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter


def costs_us(writer, ticks, pause_s):
    """Time of each `record` call in µs."""
    found = []
    for decision, permit in ticks:
        began_ns = time.perf_counter_ns()
        writer.record(decision, permit)
        found.append((time.perf_counter_ns() - began_ns) / 1e3)
        time.sleep(pause_s)
    return percentiles(found)


def test_cost_of_a_record_call_at_ten_times_the_frame_rate(tmp_path, genesis, key, judge, trip):
    ticks = [(trip if n % 50 == 49 else judge)(n) for n in range(600)]
    with EvidenceWriter.open(tmp_path / "run", genesis, key) as writer:
        print("\nrecord() at about 300 per second, µs:", costs_us(writer, ticks, 1 / 300))
    assert writer.lost_records == 0


def test_throughput_of_the_writer_and_of_the_verifier(tmp_path, genesis, key, judge):
    ticks = [judge(n) for n in range(5000)]
    began_s = time.perf_counter()
    with EvidenceWriter.open(tmp_path / "run", genesis, key, WritePolicy(queue_records=5000)) as writer:
        print("\nrecord() in one burst of 5000, µs:", costs_us(writer, ticks, 0))
    written_s = time.perf_counter()
    assert verify(tmp_path / "run").records == 5000 + 4
    verified_s = time.perf_counter()
    size = (tmp_path / "run" / "segment-000001.jsonl").stat().st_size
    print(
        f"writer {5000 / (written_s - began_s):.0f} records/s, verifier {5000 / (verified_s - written_s):.0f}"
    )
    print(f"{size / 5000:.0f} bytes a record, {size / 5000 * 30 * 3600 / 1e6:.0f} MB an hour at 30 frames/s")

"""kill -9 at random moments: what was synced is there, and the verifier says what is not.

A nest process forks one writer after another (so that Python starts once),
kills each without warning, and reports the last record it had heard to be synced.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from handguard.evidence.reading import read_records
from handguard.evidence.signing import PublicKey
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify

RUNS = 24
NEST = """
import json, os, random, signal, sys, time
from pathlib import Path
import numpy as np
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.schema import Genesis
from handguard.evidence.signing import SigningKey
from handguard.evidence.writer import EvidenceWriter
from handguard.types import *

def decision(n):
    times = StageTimes(n, n, n, n)
    found = Detections(np.ones((2, 4), np.float32), np.ones(2, np.float32), np.zeros(2, np.int64), n, n)
    events = (Tripped(n, n, "intruded", "intake", 1.0),) if n % 97 == 96 else ()
    return Decision(n, times, found, (), State.RUN, Output.ON, "free", events), Permit(n, n, n, n, Output.ON)

def write_until_killed(directory, pipe):
    policy = WritePolicy(sync_every_s=0.02, segment_records=150, queue_records=100_000)
    writer = EvidenceWriter.open(directory, Genesis("m", "0", "c", "h", "b"), SigningKey.generate(), policy)
    told, n = -2, 0
    while True:
        for _ in range(10):
            writer.record(*decision(n)); n += 1
        if writer.synced_seq != told:
            told = writer.synced_seq
            os.write(pipe, b"%d\\n" % told)
        time.sleep(0.001)

def one_run(directory, seconds):
    reader, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(directory, pipe)
        finally:
            os._exit(1)
    os.close(pipe)
    first = os.read(reader, 100)  # the genesis is on disk
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    told = first
    while more := os.read(reader, 65536):
        told += more
    os.close(reader)
    return {"synced_seq": int(told.split()[-1]), "signal": os.WTERMSIG(status)}

for run in range(int(sys.argv[2])):
    seconds = random.Random(run).uniform(0, 0.25)
    print(json.dumps(one_run(Path(sys.argv[1]) / str(run), seconds)), flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Each run's directory and what its writer had said before it was killed."""
    place = tmp_path_factory.mktemp("killed")
    nest = [sys.executable, "-c", NEST, str(place), str(RUNS)]
    done = subprocess.run(nest, check=True, capture_output=True, text=True, timeout=300)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [run["signal"] for run in said] == [9] * RUNS
    return [(place / str(number), run["synced_seq"]) for number, run in enumerate(said)]


def test_a_killed_writer_leaves_a_good_unclosed_recording_with_all_that_was_synced(killed):
    counts = []
    for directory, synced_seq in killed:
        verification = verify(directory)
        assert verification.verdict is Verdict.UNCLOSED, verification.text()
        assert verification.records > synced_seq, verification.text()
        assert "ends without close: unsynced tail may be lost" in verification.text()
        counts.append(verification.records)
    assert max(counts) > 100  # the kills came at moments that matter


def test_a_power_cut_at_any_point_after_the_sync_leaves_all_that_was_synced(killed):
    """A power cut may also take what the kernel had not written: cut the file anywhere behind the sync."""
    directory, synced_seq = max(killed, key=lambda run: run[1])
    public = PublicKey.read(next(read_records(directory))["public_key"])
    path = sorted(directory.iterdir())[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    before = verify(directory).records - sum(line.endswith(b"\n") for line in lines)
    synced_bytes = sum(len(line) for line in lines[: max(0, synced_seq + 1 - before)])
    randomly = random.Random(5)
    for length in {randomly.randint(synced_bytes, path.stat().st_size) for _ in range(20)}:
        cut(path, b"".join(lines)[:length])
        verification = verify(directory, public)
        assert verification.verdict is Verdict.UNCLOSED, verification.text()
        assert verification.records > synced_seq


def cut(path: Path, data: bytes) -> None:
    path.write_bytes(data)

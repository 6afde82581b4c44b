"""Many recordings at once: nothing is lost with a worker, nothing finished is done again."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from handguard.assembly import model_sha256
from handguard.config import fingerprint
from handguard.detection.card import SHIPPED
from handguard.errors import ConfigError, DatasetError
from handguard.evidence.reading import read_records
from handguard.replay import identity
from handguard.replay.audit import Audit, Options, audit
from handguard.replay.book import settings_of
from handguard.replay.identity import Identity, software
from handguard.replay.job import Job, do, finished
from handguard.replay.recordings import find
from handguard.replay.report.pages import write_audit_pages
from handguard.replay.workers import ATTEMPTS
from tests.replay.conftest import SITE

ROOT = Path(__file__).parents[2]
QUIET = "recordings:\n" + "".join(f"  {name}.mkv: {{truth: nobody, expects: trips == 0}}\n" for name in "ab")


def calm_video(path: Path, frames: int) -> None:
    """A dull, slightly noisy table: nothing to find, and no two frames alike."""
    rng = np.random.default_rng(frames)
    noise = rng.integers(0, 12, (16, 240, 320, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.bit_rate = 320, 240, 4_000_000
        for i in range(frames):
            picture = noise[i % 16] + np.array((96, 104, 110 + i % 7), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


@pytest.fixture
def settings(settings_from):
    """So sure must a hand be here that nobody mistakes noise for one."""
    return settings_from(SITE)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two short recordings in which nothing is to be found."""
    (tmp_path / "films").mkdir()
    for i, name in enumerate("ab"):
        calm_video(tmp_path / "films" / f"{name}.mkv", frames=60 + i)
    (tmp_path / "films" / "audit.yaml").write_text(QUIET)
    return tmp_path / "films"


def mtimes(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("result.json")}


def test_every_recording_is_judged_by_workers_and_summed_up(folder, settings, tmp_path) -> None:
    told: list[tuple[int, int | None]] = []
    result = audit(folder, settings, None, Options(tmp_path / "out", workers=2), lambda *at: told.append(at))
    assert [row.name for row in result.rows] == ["a.mkv", "b.mkv"]
    assert not result.fails, [row.failures for row in result.rows]
    assert [row.score.frames for row in result.rows] == [60, 61]
    assert result.totals.nuisance == 0
    assert told[-1] == (121, 121)
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["fails"] is False
    assert written["totals"]["recordings"] == 2


def test_what_is_finished_is_kept_and_what_was_touched_is_done_again(folder, settings, tmp_path) -> None:
    options = Options(tmp_path / "out")
    first = audit(folder, settings, None, options)
    before = mtimes(tmp_path / "out")
    second = audit(folder, settings, None, options)
    assert mtimes(tmp_path / "out") == before
    assert [row.a.outcome.kept for row in second.rows] == [True, True]
    assert second.to_json() == first.to_json()
    with (Path(first.rows[0].a.job.out) / "decisions.jsonl").open("a") as file:
        file.write("\n")
    third = audit(folder, settings, None, options)
    assert [row.a.outcome.kept for row in third.rows] == [False, True]
    assert third.to_json() == first.to_json()


def test_another_setting_network_or_program_is_another_job(folder, settings, settings_from, tmp_path) -> None:
    result = audit(folder, settings, None, Options(tmp_path / "out"))
    job = result.rows[0].a.job
    assert finished(job) is not None
    for name in ("video_sha256", "settings_sha256", "model_sha256", "software"):
        assert finished(replace(job, identity=replace(job.identity, **{name: "0"}))) is None


@pytest.mark.parametrize("changed", ["a library", "the processor"])
def test_another_library_or_processor_is_another_program(changed: str, monkeypatch) -> None:
    before = identity.software()
    identity.software.cache_clear()
    if changed == "a library":
        version_of = identity._version_of
        monkeypatch.setattr(identity, "_version_of", lambda name: version_of(name) + ".1" * (name == "openvino"))
    else:
        monkeypatch.setattr(identity, "_instructions", lambda: ["avx2"])
    assert identity.software() != before
    monkeypatch.undo()
    identity.software.cache_clear()
    assert identity.software() == before


def test_a_job_broken_off_leaves_no_word_for_what_it_wrote_over(folder, settings, tmp_path, monkeypatch) -> None:
    """Its decisions stand there, whole, under the word for those of an earlier job."""
    job = audit(folder, settings, None, Options(tmp_path / "out")).rows[0].a.job
    assert finished(job) is not None

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("handguard.replay.job.write_json", full)
    assert "No space left" in str(do(job).error)
    assert finished(job) is None


@pytest.fixture
def beside(settings_from, tmp_path, monkeypatch):
    """Settings with a network beside them, by its relative path, in the folder that is worked in.

    A file there has the name of a module of Python's own.
    """
    (tmp_path / "m").mkdir()
    for name in ("palmnet-s.json", "palmnet-s.safetensors"):
        shutil.copy(SHIPPED / name, tmp_path / "m" / name)
    (tmp_path / "queue.py").write_text("raise ImportError('a file of the person took part')")
    monkeypatch.chdir(tmp_path)
    return settings_from(SITE.replace("min_score: 0.9", "min_score: 0.9, model: m/palmnet-s"))


def test_workers_find_a_network_from_the_folder_that_the_audit_is_started_in(folder, beside, tmp_path) -> None:
    result = audit(folder, beside, None, Options(Path("out"), workers=2))
    assert not result.fails, [row.failures for row in result.rows]
    assert [row.score.frames for row in result.rows] == [60, 61]
    assert (tmp_path / "out" / "audit.json").exists()
    assert {row.a.summary["detector"].split()[0] for row in result.rows} == {"palmnet-s"}


def test_a_cluster_is_given_no_network_by_a_relative_path(folder, beside, tmp_path) -> None:
    options = Options(tmp_path / "out", scheduler=f"tcp://127.0.0.1:{free_port()}")
    expected = r"site\.yaml: detector\.model: expected .* with --scheduler, an absolute path, found m/palmnet-s"
    with pytest.raises(ConfigError, match=expected):
        audit(folder, beside, None, options)
    assert not (tmp_path / "out").exists()


def test_a_worker_that_finds_another_network_than_the_one_that_was_hashed_judges_nothing(
    folder, beside, tmp_path
) -> None:
    asked = Identity("", fingerprint(beside), model_sha256(beside), software())
    values = beside.model_dump(mode="json")
    job = Job("a.mkv (A)", str(folder / "a.mkv"), str(tmp_path / "out"), values, "site.yaml", asked)
    card = tmp_path / "m" / "palmnet-s.json"
    card.write_text(card.read_text().replace('"chosen": "', '"chosen": "otherwise: '))
    assert "a.mkv (A): expected a worker that finds the network of card sha256" in str(do(job).error)
    assert not (tmp_path / "out").exists()


def test_a_worker_with_other_libraries_or_another_processor_says_what_must_be_the_same(settings, tmp_path) -> None:
    asked = Identity("", fingerprint(settings), model_sha256(settings), "0.1.0+other")
    values = settings.model_dump(mode="json")
    done = do(Job("a.mkv (A)", "a.mkv", str(tmp_path / "out"), values, "site.yaml", asked))
    expected = "expected a worker with the same program, libraries and kind of processor (0.1.0+other), found"
    assert expected in str(done.error)


def test_a_worker_killed_in_the_middle_loses_no_recording(folder, settings, tmp_path, children) -> None:
    calm_video(folder / "c.mkv", frames=400)
    (folder / "audit.yaml").write_text(QUIET + "  c.mkv: {expects: trips == 0}\n")
    killed: list[int] = []

    def kill_once(done: int, of: int | None) -> None:
        workers = children(os.getpid(), "replay.worker")
        if workers and not killed:
            killed.append(workers[-1])
            os.kill(workers[-1], signal.SIGKILL)

    result = audit(folder, settings, None, Options(tmp_path / "out", workers=2), kill_once)
    assert killed
    assert not result.fails, [row.failures for row in result.rows]
    assert sum(row.a.outcome.lost_workers for row in result.rows) == 1
    assert [row.score.frames for row in result.rows] == [60, 61, 400]


def test_a_recording_that_kills_every_worker_is_named_and_the_others_are_judged(
    folder, settings, tmp_path, monkeypatch
) -> None:
    dying = (sys.executable, "-c", "import json, os, sys; job = json.load(sys.stdin); "
             "print(json.dumps({'outcome': {}})) if 'b.mkv' in job['name'] else os.abort()")  # fmt: skip
    monkeypatch.setattr("handguard.replay.workers._COMMAND", dying)
    result = audit(folder, settings, None, Options(tmp_path / "out"))
    assert f"a.mkv (A): {ATTEMPTS} workers died over it (exit -6, -6, -6)" in result.rows[0].failures[0]
    assert result.rows[0].a.outcome.lost_workers == ATTEMPTS


def test_a_broken_recording_fails_by_name_and_the_others_are_judged(folder, settings, tmp_path) -> None:
    (folder / "z.mp4").write_bytes(b"")
    result = audit(folder, settings, None, Options(tmp_path / "out"))
    assert result.fails
    assert [bool(row.failures) for row in result.rows] == [False, False, True]
    assert "z.mp4: expected" in result.rows[2].failures[0]


def test_a_stricter_second_judgment_is_compared(folder, settings, settings_from, tmp_path) -> None:
    b = settings_from(SITE.replace("free_frames: 3", "free_frames: 19"))
    result = audit(folder, settings, b, Options(tmp_path / "out", workers=2))
    row = result.rows[0]
    assert row.comparison is not None
    assert row.comparison.counts == {"same": 0, "earlier": 0, "held": 0, "later": 0, "lost": 0, "extra": 0}
    assert row.comparison.ran_ms[1] < row.comparison.ran_ms[0]


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ("recordings: {q.mkv: {expects: trips == 0}}", "recordings.q.mkv: expected one of a.mkv, b.mkv"),
        ("recordings: {a.mkv: {expects: tripps == 0}}", "recordings.a.mkv.expects: expected one of trips"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_judged(folder, settings, tmp_path, plan, says) -> None:
    (folder / "audit.yaml").write_text(plan)
    with pytest.raises(ConfigError, match=says):
        audit(folder, settings, None, Options(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_wrong_folders_and_truths_are_named(folder, settings, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: expected recordings"):
        audit(tmp_path / "empty", settings, None, Options(tmp_path / "out"))
    (folder / "audit.yaml").unlink()
    (folder / "a.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"a\.json: approaches"):
        audit(folder, settings, None, Options(tmp_path / "out"))


def test_a_scheduler_that_does_not_answer_is_named(folder, settings, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("handguard.replay.cluster._CONNECT_S", 0.5)
    with pytest.raises(ConfigError, match=r"--scheduler tcp://127\.0\.0\.1:\d+: expected the address"):
        audit(folder, settings, None, Options(tmp_path / "out", scheduler=f"tcp://127.0.0.1:{free_port()}"))


@pytest.fixture
def cluster(tmp_path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process of its own; a worker that dies stays dead."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    scheduler = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    worker = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    with (tmp_path / "cluster.log").open("w") as log:
        options = {"cwd": ROOT, "stdout": log, "stderr": log}
        processes = [subprocess.Popen(scheduler, **options)]
        processes += [
            subprocess.Popen([*worker, "--local-directory", str(tmp_path / f"worker{i}")], **options) for i in range(2)
        ]
        yield address, processes[1:]
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_cluster_loses_a_worker_and_no_recording(folder, settings, tmp_path, cluster) -> None:
    address, workers = cluster
    calm_video(folder / "c.mkv", frames=400)
    (folder / "audit.yaml").write_text(QUIET + "  c.mkv: {expects: trips == 0}\n")
    at_work = tmp_path / "out" / "recordings"
    victims: list[int] = []

    def kill_whoever_has_c() -> None:
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up and not victims:
            for path in at_work.glob("c-*/a/.decisions.jsonl.*"):
                victims.extend(worker.pid for worker in workers if holds(worker.pid, path))
            time.sleep(0.02)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    assassin = threading.Thread(target=kill_whoever_has_c)
    assassin.start()
    result = audit(folder, settings, None, Options(tmp_path / "out", scheduler=address))
    assassin.join()
    assert len(victims) == 1
    assert sorted(worker.poll() for worker in workers if worker.poll() is not None) == [-signal.SIGKILL]
    assert not result.fails, [row.failures for row in result.rows]
    assert [row.score.frames for row in result.rows] == [60, 61, 400]


def holds(pid: int, path: Path) -> bool:
    """Whether a process has this file open."""
    try:
        return any(os.path.realpath(fd) == str(path) for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_plan_may_lie_elsewhere_and_bring_truth_and_settings(folder, settings, tmp_path) -> None:
    (folder / "audit.yaml").unlink()
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "strict.yaml").write_text(SITE.replace("free_frames: 3", "free_frames: 19"))
    plan = tmp_path / "plans" / "plan.yaml"
    plan.write_text(QUIET.replace("truth: nobody", "truth: [[20, 30]], settings: strict.yaml", 1))
    result = audit(folder, settings, None, Options(tmp_path / "out", workers=2, expects=plan))
    assert [row.a.settings.interlock.free_frames for row in result.rows] == [19, 3]
    assert result.rows[0].failures == ("1 of 1 approaches missed",)
    assert result.rows[1].failures == ()
    assert result.rows[0].score.ran_ms < result.rows[1].score.ran_ms
    with pytest.raises(ConfigError, match=r"gone\.yaml: expected a plan that can be read"):
        audit(folder, settings, None, Options(tmp_path / "out", expects=tmp_path / "gone.yaml"))


def test_a_live_run_is_a_recording_that_is_proven_before_it_is_judged(live_run, settings, tmp_path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(live_run, runs / "monday")
    calm_video(runs / "monday" / "a-film-inside.mkv", frames=3)
    (runs / "audit.yaml").write_text("recordings: {monday: {expects: judged >= 50}}\n")
    own = settings_of(next(read_records(live_run / "evidence")), live_run)
    result = audit(runs, own, None, Options(tmp_path / "out"))
    (row,) = result.rows
    assert (row.name, row.failures) == ("monday", ())
    assert row.score.hands > 0
    assert any("REPRODUCED" in words for words in row.a.outcome.proof)
    assert row.a.outcome.recorded_s > 10
    assert audit(runs, own, None, Options(tmp_path / "out")).rows[0].a.outcome.kept
    assert "live run in an audit" in _page(result, tmp_path / "out")
    assert not (runs / "index.sqlite").exists()

    segment = runs / "monday" / "evidence" / "segment-000001.jsonl"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    (row,) = audit(runs, own, None, Options(tmp_path / "out")).rows
    assert "segment-000001.jsonl" in row.failures[0]


def _page(result: Audit, out: Path) -> str:
    write_audit_pages(result, out)
    (page,) = (out / "recordings").glob("monday-*.html")
    return page.read_text()


def test_only_videos_are_recordings(folder) -> None:
    (folder / "notes.txt").write_text("")
    assert sorted(find(folder)) == ["a.mkv", "b.mkv"]

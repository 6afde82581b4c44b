"""Many jobs at once on this computer: a process for each recording, so many at a time.

A process that dies, for whatever reason, loses its job only for a moment: the job
is started again, up to `ATTEMPTS` times in all. After that the recording itself is
the suspect, and its outcome says so.

They work in the folder that this program works in: a network that the settings name by a
relative path is the same to them.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from handguard.replay.command import command_of
from handguard.replay.job import Job, Outcome

ATTEMPTS = 3
OnFrames = Callable[[Job, int], None]  # frames done of a job
Done = tuple[Job, Outcome]
_COMMAND = command_of("handguard.replay.worker")
_LOG = "worker.log"


def do_here(jobs: Sequence[Job], workers: int, on_frames: OnFrames) -> Iterator[Done]:
    """Every job with its outcome, as they end. Close the iterator to stop what runs."""
    crew = _Crew(on_frames, threads=max(1, len(os.sched_getaffinity(0)) // workers))
    with ThreadPoolExecutor(workers, thread_name_prefix="audit") as pool:
        futures = [pool.submit(crew.done, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            crew.stop()
            pool.shutdown(cancel_futures=True)


class _Crew:
    """The running processes. Any thread."""

    def __init__(self, on_frames: OnFrames, threads: int) -> None:
        self._on_frames, self._threads = on_frames, threads
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def done(self, job: Job) -> Done:
        """Do one job, with as many processes as it takes."""
        ends: list[int] = []
        while len(ends) < ATTEMPTS and not self._stopped:
            outcome, code = self._attempt(job)
            if outcome is not None:
                return job, replace(outcome, lost_workers=len(ends))
            ends.append(code)
        codes = ", ".join(str(code) for code in ends)
        error = f"{job.name}: {len(ends)} workers died over it (exit {codes}); see {job.out}/{_LOG}"
        return job, Outcome(error=error, lost_workers=len(ends))

    def stop(self) -> None:
        """Kill what runs; nothing starts any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def _attempt(self, job: Job) -> tuple[Outcome | None, int]:
        Path(job.out).mkdir(parents=True, exist_ok=True)
        with (Path(job.out) / _LOG).open("w") as log, self._started(log.fileno()) as process:
            try:
                return self._heard(job, process), process.wait()
            finally:
                process.kill()
                with self._lock:
                    self._running.discard(process)

    def _started(self, log: int) -> subprocess.Popen[str]:
        with self._lock:
            process = subprocess.Popen(
                [*_COMMAND, str(self._threads)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
            self._running.add(process)
            if self._stopped:
                process.kill()
            return process

    def _heard(self, job: Job, process: subprocess.Popen[str]) -> Outcome | None:
        """Give the job, listen until the process ends; None if it ended without an outcome."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.to_json()))
            process.stdin.close()
        except BrokenPipeError:
            return None
        outcome = None
        for line in process.stdout:
            told = json.loads(line) if line.endswith("\n") else {}
            if "done" in told:
                self._on_frames(job, told["done"])
            if "outcome" in told:
                outcome = Outcome.from_json(told["outcome"])
        return outcome

"""Many jobs on a Dask cluster: the same jobs, done by whichever worker is free.

Recordings and results are files, so every worker must see them under the same
paths, and must run the same version of this program and find the same network: a worker
that does not says so. Each works in a folder of its own, where a relative path leads
elsewhere: an audit does not begin with settings that name their network by one.
A worker that dies takes no recording with it. The scheduler gives its job to another
one; only a job that three workers died over is given up.

    dask scheduler --port 8786                      once
    dask worker tcp://HOST:8786 --nthreads 1        on every computer, one per two cores
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from distributed import Client, Future, as_completed

from handguard.errors import ConfigError, mismatch
from handguard.replay.job import Job, Outcome, do
from handguard.replay.workers import Done

_CONNECT_S = 10


def do_there(jobs: Sequence[Job], scheduler: str) -> Iterator[Done]:
    """Every job with its outcome, as they end. Raises `ConfigError` if no scheduler answers."""
    try:
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(mismatch(f"--scheduler {scheduler}", "the address of a Dask scheduler", error)) from error
    with client, client.as_current():
        futures = {client.submit(_done, job.to_json(), key=_key(job), pure=False): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], _outcome(futures[future], future)


def _outcome(job: Job, future: Future) -> Outcome:
    failure = future.exception()
    return Outcome.from_json(future.result()) if failure is None else Outcome(error=f"{job.name}: {failure}")


def _done(values: dict[str, Any]) -> dict[str, Any]:
    """What a worker of the cluster runs."""
    return asdict(do(Job.from_json(values)))


def _key(job: Job) -> str:
    return f"{job.name}-{job.identity.key[:16]}"

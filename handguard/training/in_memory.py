"""Pictures decoded and hands outlined once, before workers are forked that all inherit them.

Reading, decoding and GrabCut are most of what a worker does, and each worker does them anew. With many
workers before a fast card, that is what training would wait for. A picture takes width × height × 3 bytes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from handguard.errors import ConfigError, DatasetError, mismatch
from handguard.training.batches import fit_to_fork
from handguard.training.coco import Sample, decode_picture
from handguard.training.evaluation import OnProgress
from handguard.training.regions import outline_of

MEMORY = Path("/proc/meminfo")
SHARE = 0.5  # of the memory that is free, at most, for pictures
CHUNK = 16  # pictures that a process takes at a time


def in_memory(samples: Sequence[Sample], processes: int, progress: OnProgress) -> list[Sample]:
    """The same samples, each with its picture and its outlines, made by so many processes.

    Raises `ConfigError` where memory is short, and `DatasetError` for a picture that does not decode.
    """
    _require_room(samples)
    remembered: list[Sample] = []
    for found in _found(samples, max(processes, 1)):
        if isinstance(found, DatasetError):
            raise found
        assert found.image is not None
        found.image.flags.writeable = False  # all inputs made of it start from the same
        remembered.append(found)
        progress(len(remembered), len(samples))
    return remembered


def _found(samples: Sequence[Sample], processes: int) -> Iterator[Sample | DatasetError]:
    fit_to_fork()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_remembering, samples, chunksize=CHUNK)


def _remembering(sample: Sample) -> Sample | DatasetError:
    """An error as a value: raised in a worker, it would arrive wrapped in a stack trace."""
    try:
        seen = replace(sample, image=decode_picture(sample))
    except DatasetError as error:
        return error
    return replace(seen, outlines=tuple(outline_of(seen, index) for index in range(len(seen.labels))))


def _require_room(samples: Sequence[Sample]) -> None:
    needed = sum(one.width_px * one.height_px * 3 for one in samples)
    free = next(int(row.split()[1]) * 1024 for row in MEMORY.read_text().splitlines() if row.startswith("MemAvailable"))
    if needed > SHARE * free:
        expected = f"{needed / 1e9:.1f} GB of pictures in at most half of the free memory"
        raise ConfigError(mismatch("--in-memory", expected, f"{free / 1e9:.1f} GB free"))

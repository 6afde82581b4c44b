"""Pictures kept in memory: the same inputs as from disk, made after OpenCV's threads have run."""

from __future__ import annotations

import gc
import multiprocessing
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from handguard.errors import ConfigError, DatasetError
from handguard.training import in_memory as remembering
from handguard.training.augment import Augmentation
from handguard.training.batches import Asked, Batches, Plan, arriving, fit_to_fork
from handguard.training.command import _kept
from handguard.training.datasets import Split, load_split
from handguard.training.in_memory import in_memory
from handguard.training.listening import Listener
from handguard.training.regions import hand_region

EVERYTHING = Augmentation(glove_recolor=1.0, glove_texture=1.0, paste=1.0, mosaic=0.5, motion_blur=1.0)


def unheard(done: int, total: int | None) -> None:
    """No bar."""


def test_inputs_are_those_made_from_disk(drawn) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    kept = in_memory(samples, 2, unheard)
    plan = Plan(samples, 4, ((1.0, (64,)),), 3, how=EVERYTHING)
    from_disk, from_memory = (Batches(replace(plan, samples=one)) for one in (samples, kept))
    for step in range(3):
        one, other = from_disk[Asked(step, 64, plan.how)], from_memory[Asked(step, 64, plan.how)]
        assert torch.equal(one.images, other.images) and torch.equal(one.truth.boxes_norm, other.truth.boxes_norm)
    assert not any(one.image.flags.writeable for one in kept)


def test_the_outlines_are_those_found_at_first_use_and_the_files_are_read_once(drawn) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    seen: list[tuple[int, int | None]] = []
    kept = in_memory(samples, 1, lambda *how_far: seen.append(how_far))
    assert seen == [(n, len(samples)) for n in range(1, len(samples) + 1)]
    for one, other in zip(samples, kept, strict=True):
        for index in range(len(one.labels)):
            np.testing.assert_array_equal(hand_region(one, index).weight, hand_region(other, index).weight)
        one.path.unlink()
    Batches(Plan(kept, 4, ((1.0, (64,)),), 1, how=EVERYTHING))[Asked(0, 64, EVERYTHING)]


def test_new_and_old_pictures_stay_apart(drawn) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    plan = Plan(samples[:5], 2, ((1.0, (64,)),), 2, old=samples[5:], old_share=0.25)
    kept = _kept(plan, 2, Listener(unheard, lambda line: None))
    assert [one.path for one in kept.samples] == [one.path for one in plan.samples]
    assert [one.path for one in kept.old] == [one.path for one in plan.old]
    assert kept.fingerprint == plan.fingerprint and kept.old_share == 0.25


def test_workers_come_to_an_end_also_after_opencv_has_used_threads(drawn) -> None:
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 5)
    kept = in_memory(load_split(drawn.root, Split.TRAIN), 2, unheard)
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 5)
    plan = Plan(kept, 2, ((1.0, (64,)),), 2)
    assert len(list(arriving(plan, 0, 2, lambda _: 0.0))) == 2


def test_a_worker_does_not_wait_for_the_threads_of_a_decoder_that_nobody_uses() -> None:
    gc.disable()  # left in a cycle, it goes when a collector comes by: in the child, without its threads
    try:
        decoder = av.CodecContext.create("h264", "r")
        decoder.thread_count = 2
        decoder.open()
        cycle = [decoder]
        cycle.append(cycle)
        del decoder, cycle
        fit_to_fork()
        child = multiprocessing.get_context("fork").Process(target=gc.collect)
        child.start()
    finally:
        gc.enable()
    child.join(20)
    child.kill()
    child.join()
    assert child.exitcode == 0


def test_a_broken_picture_is_told_as_from_disk(drawn) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    samples[3].path.write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match=f"{samples[3].path.name}: expected a complete picture"):
        in_memory(samples, 2, unheard)


def test_more_than_half_of_the_free_memory_is_refused_before_any_is_used(
    drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       1000000 kB\nMemAvailable:        100 kB\n")
    monkeypatch.setattr(remembering, "MEMORY", told)
    with pytest.raises(ConfigError, match=r"--in-memory: expected 0\.0 GB of pictures in at most half"):
        in_memory(load_split(drawn.root, Split.TRAIN), 2, unheard)

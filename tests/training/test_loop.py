"""What the training loop does with bad numbers, empty pictures and full disks."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from handguard.detection.ssd import Ssd
from handguard.errors import ConfigError, DatasetError, DeviceError, HandguardError, ModelError
from handguard.training import checkpoints
from handguard.training.augment import NONE, Augmentation
from handguard.training.batches import Asked, Batches, Plan, arriving
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe, _share_done, train
from handguard.training.meter import LOSSES, METRICS, Progress, read_rows
from tests.training.conftest import DrawnSet

CALM = Recipe("palmnet-s", warmup_steps=1, precision="float32", workers=0, checkpoint_every_s=0)
SOFTMAX = "ssdlite320-mobilenet-v3-large"


def plan_of(samples: list[Sample], steps: int, side: int = 64) -> Plan:
    return Plan(samples, 2, ((1.0, (side,)),), steps)


def losses_of(recipe: Recipe, plan: Plan, out: Path) -> list[float]:
    told: list[Progress] = []
    train(recipe, plan, out, lambda average: {"seen": 1.0}, told.append)
    return [float(one.loss.total) for one in told]


@pytest.mark.parametrize("architecture", ["palmnet-s", SOFTMAX])
def test_a_batch_without_any_hand_gives_a_finite_loss_that_teaches(
    drawn: DrawnSet, tmp_path: Path, architecture: str
) -> None:
    hand_free = [one for one in load_split(drawn.root, Split.TRAIN) if len(one.boxes_px) == 0]
    assert hand_free
    losses = losses_of(replace(CALM, architecture=architecture), plan_of(hand_free, 3), tmp_path)
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    drawn: DrawnSet, tmp_path: Path
) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    wild = replace(CALM, learning_rate=1e30, checkpoint_every_s=1e9)
    losses_of(wild, plan_of(samples, 1), tmp_path)
    before = (tmp_path / checkpoints.CHECKPOINT).read_bytes()
    with pytest.raises(
        HandguardError, match=r"training: (loss|gradient) at step \d+: expected a finite number"
    ):
        losses_of(wild, plan_of(samples, 8), tmp_path)
    assert (tmp_path / checkpoints.CHECKPOINT).read_bytes() == before
    weights = checkpoints.read(tmp_path / checkpoints.CHECKPOINT).average
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_softmax_network_may_learn_with_a_focal_loss_and_no_other_may(drawn: DrawnSet, tmp_path: Path) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 2)
    softmax = replace(CALM, architecture=SOFTMAX)
    mined = losses_of(softmax, plan, tmp_path / "mined")
    focal = losses_of(replace(softmax, focal_loss=True), plan, tmp_path / "focal")
    assert all(math.isfinite(loss) and loss > 0 for loss in focal)
    assert focal != mined
    with pytest.raises(ConfigError, match="focal_loss: expected false for a network with sigmoid scores, found True"):
        losses_of(replace(CALM, focal_loss=True), plan, tmp_path / "aligned")


def test_frozen_parts_keep_weights_and_statistics_and_the_rest_learns(drawn: DrawnSet, tmp_path: Path) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 2)
    start = CALM.network()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    recipe = replace(CALM, frozen=("backbone.stem", "backbone.edge"))
    after = train(recipe, plan, tmp_path, lambda average: {}, lambda progress: None, start).state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(recipe.frozen)}
    assert {"backbone.part.0.0.weight", "backbone.part.0.1.running_mean", "class_head.predictors.0.weight"} <= changed


@pytest.mark.parametrize("name", ["", "backbone.steam"])
def test_a_part_that_the_network_does_not_have_cannot_be_frozen(name: str, drawn: DrawnSet, tmp_path: Path) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 1)
    with pytest.raises(ConfigError, match=rf"frozen: expected parts .* backbone\.stem, .*, found '{name}'"):
        losses_of(replace(CALM, frozen=(name,)), plan, tmp_path)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_the_run_with_one_sentence_and_keeps_the_old_checkpoint(
    drawn: DrawnSet, tmp_path: Path
) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    losses_of(CALM, plan_of(samples, 1), tmp_path)
    before = (tmp_path / checkpoints.CHECKPOINT).read_bytes()
    wanted = r"checkpoint\.pt: expected room and leave to write, found .*too large; the checkpoint"
    with no_file_larger_than(len(before) // 2), pytest.raises(DeviceError, match=wanted):
        losses_of(CALM, plan_of(samples, 3), tmp_path)
    assert (tmp_path / checkpoints.CHECKPOINT).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["checkpoint.pt", LOSSES, METRICS]
    assert len(losses_of(CALM, plan_of(samples, 3), tmp_path)) == 2, "the same command goes on"


@pytest.mark.parametrize(
    ("recipe", "plan", "told"),
    [
        ({"architecture": "palmnet-m"}, {}, "architecture: expected palmnet-s, as this run began"),
        ({"learning_rate": 0.5}, {}, "learning_rate: expected 0.002, as this run began with, found 0.5"),
        ({"weight_decay": 0.0}, {}, "weight_decay: expected 0.03"),
        ({"start": "the weights of another"}, {}, "start: expected scratch"),
        ({}, {"seed": 1}, "seed: expected 0, as this run began with, found 1"),
        ({}, {"how": NONE}, "augmentation: expected"),
        ({}, {"samples": slice(1, None)}, "pictures_sha256: expected"),
    ],
)
def test_a_run_goes_on_only_as_it_began(
    drawn: DrawnSet, tmp_path: Path, recipe: dict[str, Any], plan: dict[str, Any], told: str
) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    losses_of(CALM, plan_of(samples, 1), tmp_path)
    if "samples" in plan:
        plan = {"samples": samples[plan["samples"]]}
    with pytest.raises(ModelError, match=rf"checkpoint\.pt: {told}.*; go on with the same, or .* --out"):
        losses_of(replace(CALM, **recipe), replace(plan_of(samples, 2), **plan), tmp_path)
    longer = replace(CALM, time_budget_s=3600.0, checkpoint_every_s=1e9, workers=1)
    assert len(losses_of(longer, plan_of(samples, 2), tmp_path)) == 1


@pytest.mark.parametrize("weights", [{"drawn_0": 0.0, "drawn_1": 0.0}])
def test_pictures_of_which_none_may_be_drawn_are_refused(drawn: DrawnSet, weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="source_weights: expected a source drawn from, with more than 0"):
        replace(plan_of(load_split(drawn.root, Split.TRAIN), 1), source_weights=weights)


def test_every_evaluation_is_a_row_of_the_metrics(drawn: DrawnSet, tmp_path: Path) -> None:
    losses_of(replace(CALM, evaluate_every_s=0), plan_of(load_split(drawn.root, Split.TRAIN), 3), tmp_path)
    rows = read_rows(tmp_path / METRICS)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["seen"] == 1 for row in rows)


def test_every_checkpoint_is_a_row_of_mean_losses(drawn: DrawnSet, tmp_path: Path) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 3)
    every = losses_of(replace(CALM, checkpoint_every_s=0), plan, tmp_path / "every")
    rows = read_rows(tmp_path / "every" / LOSSES)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["loss_classes"] + row["loss_boxes"] for row in rows] == pytest.approx(every, rel=1e-6)
    half_way_down = CALM.cooldown_to + (1 - CALM.cooldown_to) / 2
    rates = [CALM.learning_rate * share for share in (1, 1, half_way_down)]  # warm-up, top, middle of the cosine
    assert [row["learning_rate"] for row in rows] == pytest.approx(rates, rel=1e-9)
    last = losses_of(replace(CALM, checkpoint_every_s=1e9), plan, tmp_path / "last")
    (row,) = read_rows(tmp_path / "last" / LOSSES)
    assert row["step"] == 3
    assert row["loss_classes"] + row["loss_boxes"] == pytest.approx(sum(last) / 3, rel=1e-6)


def test_a_time_budget_ends_the_run_with_a_checkpoint(drawn: DrawnSet, tmp_path: Path) -> None:
    short = replace(CALM, time_budget_s=1e-6)
    assert len(losses_of(short, plan_of(load_split(drawn.root, Split.TRAIN), 1000), tmp_path)) == 1
    assert checkpoints.read(tmp_path / checkpoints.CHECKPOINT).step == 1


class Killed(Exception):
    """In place of a signal: nothing after it is done."""


def killed(average: object) -> dict[str, float]:
    raise Killed


def test_a_run_killed_in_its_last_evaluation_makes_up_for_it_and_trains_nothing(
    drawn: DrawnSet, tmp_path: Path
) -> None:
    plan, told = plan_of(load_split(drawn.root, Split.TRAIN), 3), []
    with pytest.raises(Killed):
        train(CALM, plan, tmp_path, killed, told.append)
    assert [row["step"] for row in read_rows(tmp_path / LOSSES)] == [1, 2, 3], "the last losses are known already"
    assert read_rows(tmp_path / METRICS) == []
    before, weighed = (tmp_path / checkpoints.CHECKPOINT).read_bytes(), []

    def evaluate(average: Ssd) -> dict[str, float]:
        weighed.append(average.state_dict())
        return {"seen": 2.0}

    for times in (1, 0, 0):
        told.clear()
        average = train(CALM, plan, tmp_path, evaluate, told.append).state_dict()
        assert (tmp_path / checkpoints.CHECKPOINT).read_bytes() == before
        assert [(row["step"], row["seen"]) for row in read_rows(tmp_path / METRICS)] == [(3, 2)]
        assert [row["step"] for row in read_rows(tmp_path / LOSSES)] == [1, 2, 3]
        assert (len(told), len(weighed)) == (times, 1)
        assert all(torch.equal(value, average[name]) for name, value in weighed[0].items())


def test_an_evaluation_made_up_for_is_told_with_the_losses_of_its_step(drawn: DrawnSet, tmp_path: Path) -> None:
    plan, told = plan_of(load_split(drawn.root, Split.TRAIN), 2), []
    with pytest.raises(Killed):
        train(CALM, plan, tmp_path, killed, told.append)
    train(CALM, plan, tmp_path, lambda average: {"seen": 2.0}, told.append)
    row, last = read_rows(tmp_path / LOSSES)[-1], told[-1]
    assert (last.step, last.steps, last.metrics) == (2, 2, {"seen": 2.0})
    assert float(last.loss.total) == pytest.approx(row["loss_classes"] + row["loss_boxes"])
    (tmp_path / LOSSES).unlink()  # as a run of an earlier version has it
    (tmp_path / METRICS).unlink()
    train(CALM, plan, tmp_path, lambda average: {"seen": 2.0}, told.append)
    assert math.isnan(float(told[-1].loss.total)) and told[-1].metrics == {"seen": 2.0}


def test_a_run_whose_time_is_used_up_trains_nothing_more(drawn: DrawnSet, tmp_path: Path) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 1000)
    short = replace(CALM, time_budget_s=1e-6)
    assert len(losses_of(short, plan, tmp_path)) == 1
    for _ in range(2):
        assert losses_of(short, plan, tmp_path) == []
        assert checkpoints.read(tmp_path / checkpoints.CHECKPOINT).step == 1
    assert [row["step"] for row in read_rows(tmp_path / METRICS)] == [1]
    assert len(losses_of(replace(short, time_budget_s=None), replace(plan, steps=2), tmp_path)) == 1, "more was asked"


@pytest.mark.parametrize("workers", [0, 1])
def test_under_a_time_budget_inputs_grow_with_the_time_and_not_with_the_steps(
    drawn: DrawnSet, workers: int
) -> None:
    growing = replace(
        plan_of(load_split(drawn.root, Split.TRAIN), 10**6), sides_px=((0.5, (64,)), (1.0, (96,)))
    )
    used_up = iter([0.0] * 4 + [0.7] * 100)
    batches = arriving(growing, 0, workers, lambda step: next(used_up))
    sides = [next(batches).side_px for _ in range(6)]
    assert sides == [64] * 4 + [96] * 2


def test_half_of_the_time_is_half_of_the_run_however_many_steps_were_planned() -> None:
    recipe = replace(CALM, time_budget_s=100.0)
    assert _share_done(7, 10**6, 50.0, recipe) == 0.5
    assert _share_done(10**6, 10**6, 0.0, recipe) == 1.0
    assert _share_done(7, 10**6, 10**9, replace(CALM, time_budget_s=None)) < 1e-5


def test_a_batch_depends_on_its_number_alone(drawn: DrawnSet) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 8)
    direct = [Batches(plan)[Asked(i, 64, plan.how)] for i in range(8)]
    resumed = list(arriving(plan, 5, 1, lambda step: step / 8))
    assert len(resumed) == 3
    for one, again in zip(direct[5:], resumed, strict=True):
        assert one.side_px == again.side_px and torch.equal(one.images, again.images)
        assert torch.equal(one.truth.boxes_norm, again.truth.boxes_norm)
        assert torch.equal(one.truth.labels, again.truth.labels)
        assert torch.equal(one.truth.picture, again.truth.picture)
    assert not torch.equal(direct[0].images, direct[1].images)


def test_the_end_of_a_run_shows_whole_pictures(drawn: DrawnSet) -> None:
    plan = replace(plan_of(load_split(drawn.root, Split.TRAIN), 4), how=Augmentation(mosaic=1.0, mosaic_until=0.5))
    arrived = list(arriving(plan, 0, 0, lambda step: step / 4))
    for step, batch in enumerate(arrived):
        mosaic = Batches(plan)[Asked(step, 64, plan.how)]
        assert torch.equal(batch.images, mosaic.images) == (step / 4 <= 0.5)


def test_old_pictures_are_drawn_as_often_as_was_asked(drawn: DrawnSet) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    plan = replace(plan_of(samples[:8], 4), old=samples[8:], old_share=0.25)
    assert sum(plan.chances[8:]) == pytest.approx(0.25) and sum(plan.chances) == pytest.approx(1)
    assert plan.pictures[8:] == samples[8:]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_old_pictures_want_a_share_and_a_share_wants_old_pictures(drawn: DrawnSet, share: float) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    with pytest.raises(ValueError, match="old pictures"):
        replace(plan_of(samples, 4), old=samples, old_share=share)
    with pytest.raises(ValueError, match="old pictures"):
        replace(plan_of(samples, 4), old_share=0.5)


def test_each_process_of_a_crew_draws_its_own_pictures(drawn: DrawnSet) -> None:
    plan = plan_of(load_split(drawn.root, Split.TRAIN), 2)
    asked = Asked(0, 64, plan.how)
    first, second = Batches(plan)[asked], Batches(replace(plan, rank=1, ranks=2))[asked]
    assert not torch.equal(first.images, second.images)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_picture_is_named_in_one_sentence(drawn: DrawnSet, workers: int) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    for sample in samples:
        data = sample.path.read_bytes()
        sample.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError) as caught:
        list(arriving(plan_of(samples, 1), 0, workers, lambda step: 0.0))
    assert ".jpg: expected a complete picture, found" in str(caught.value)
    assert "\n" not in str(caught.value)

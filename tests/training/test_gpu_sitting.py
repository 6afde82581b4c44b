"""Training on a lent card, rehearsed: pictures packed and unpacked, a sitting that ends, and one that goes on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu_pack
from benchmarks.gpu_pack import Packing, pack, unpack
from handguard.detection.card import read_card
from handguard.training import checkpoints
from handguard.training.card_making import Order as PackageOrder
from handguard.training.card_making import package
from handguard.training.checkpoints import CHECKPOINT
from handguard.training.coco import decode_picture
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe
from handguard.training.recipe_file import read_recipe_file

SHIPPED = Path(__file__).parents[2] / "models" / "recipes"


@pytest.fixture
def sitting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(gpu_pack.__file__).parent))  # as when it is run as a program
    import gpu_sitting

    yield gpu_sitting
    sys.modules.pop("gpu_sitting")
    sys.modules.pop("gpu_pack")


def test_a_packed_set_is_the_same_set_smaller(drawn, tmp_path: Path):
    pack(drawn.root, tmp_path / "pack", Packing(longest_px=48))
    there = unpack(tmp_path / "pack", tmp_path / "there")
    for split in Split:
        before, after = load_split(drawn.root, split), load_split(there, split)
        assert len(before) == len(after)
        for one, small in zip(before, after, strict=True):
            assert max(decode_picture(small).shape) == max(small.width_px, small.height_px) == 48
            np.testing.assert_allclose(small.boxes_px, one.boxes_px / 2, atol=0.02)
            assert (small.labels.tolist(), small.source) == (one.labels.tolist(), one.source)


def test_a_small_picture_keeps_its_own_bytes_if_they_are_fewer(drawn, tmp_path: Path):
    pack(drawn.root, tmp_path / "pack", Packing(longest_px=400, quality=100))
    there = unpack(tmp_path / "pack", tmp_path / "there")
    before, after = (load_split(root, Split.VAL)[0].path.read_bytes() for root in (drawn.root, there))
    assert before == after


def test_no_piece_is_larger_than_asked_and_none_is_lost(drawn, tmp_path: Path):
    written = pack(drawn.root, tmp_path / "pack", Packing(longest_px=96, piece_mb=0.03))
    assert len(written) > 2
    assert max(path.stat().st_size for path in written) <= 30_000
    assert len(load_split(unpack(tmp_path / "pack", tmp_path / "there"), Split.TRAIN)) == 12


def test_a_file_in_pieces_comes_together_whatever_else_lies_there(sitting, tmp_path: Path):
    whole, back = tmp_path / "file.bin", tmp_path / "back"
    whole.write_bytes(os.urandom(5500))
    sitting.split(whole, back, 1000)
    whole.write_bytes(os.urandom(2500))
    *parts, _ = sitting.split(whole, back, 1000)
    assert [part.stat().st_size for part in parts] == [1000, 1000, 500]
    assert len(list(back.glob("*.part-*"))) == 6  # three of them of the larger file
    assert sitting.joined(back, "file.bin") == whole.read_bytes()
    assert sitting.joined(back, "other.bin") is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_piece_is_told_also_the_last(sitting, tmp_path: Path, number: int):
    whole = tmp_path / "file.bin"
    whole.write_bytes(os.urandom(2500))
    sitting.split(whole, tmp_path / "back", 1000)[number].unlink()
    with pytest.raises(SystemExit, match=rf"expected 3 pieces, found no file\.bin\.part-00{number}$"):
        sitting.joined(tmp_path / "back", "file.bin")


def test_a_piece_of_another_file_and_pieces_without_their_list_are_told(sitting, tmp_path: Path):
    whole = tmp_path / "file.bin"
    whole.write_bytes(os.urandom(2500))
    *parts, listed = sitting.split(whole, tmp_path / "back", 1000)
    parts[1].write_bytes(os.urandom(1000))
    with pytest.raises(SystemExit, match=r"file\.bin\.parts\.json: expected pieces of one file, sha256"):
        sitting.joined(tmp_path / "back", "file.bin")
    listed.unlink()
    with pytest.raises(SystemExit, match=r"expected file\.bin\.parts\.json beside the pieces of file\.bin"):
        sitting.joined(tmp_path / "back", "file.bin")


def test_what_an_earlier_sitting_brought_back_gives_way(sitting, tmp_path: Path):
    run, back = tmp_path / "run", tmp_path / "back"
    run.mkdir()
    (run / CHECKPOINT).write_bytes(os.urandom(5500))
    sitting.bring_back(run, back, 1000, average_only=False)
    (run / CHECKPOINT).write_bytes(os.urandom(2500))
    (back / "notes.txt").write_text("a person's own")
    brought = sitting.bring_back(run, back, 1000, average_only=False)
    assert sorted(back.iterdir()) == sorted([*brought, back / "notes.txt"])
    sitting.resume(back, tmp_path / "next")
    assert (tmp_path / "next" / CHECKPOINT).read_bytes() == (run / CHECKPOINT).read_bytes()


def test_a_sitting_that_is_to_go_on_from_nothing_does_not_begin_anew(sitting, tmp_path: Path):
    (tmp_path / "back").mkdir()
    with pytest.raises(SystemExit, match=rf"back: expected pieces of {CHECKPOINT}, .*/run has none either"):
        sitting.resume(tmp_path / "back", tmp_path / "run")


def test_a_sitting_ends_only_after_a_checkpoint_that_came_after_its_time(sitting, tmp_path: Path):
    checkpoint = tmp_path / CHECKPOINT
    watch = sitting.Watch(checkpoint, limit_s=0)
    watch.progress(1, 100)  # the time is up, and nothing is on disk yet
    watch.progress(2, 100)
    checkpoint.write_bytes(b"1")
    with pytest.raises(sitting.SittingOver):
        watch.progress(3, 100)
    watch.progress(100, 100)  # the last step is never taken away


def test_a_sitting_before_its_time_goes_on(sitting, tmp_path: Path):
    watch = sitting.Watch(tmp_path / CHECKPOINT, limit_s=3600)
    for step in range(5):
        (tmp_path / CHECKPOINT).write_bytes(bytes([step]))
        watch.progress(step, 100)


def test_packing_is_one_command(drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_pack.py", str(drawn.root), str(tmp_path / "pack")])
    gpu_pack.main()
    assert "1 pieces, 0." in capsys.readouterr().out
    assert len(load_split(unpack(tmp_path / "pack", tmp_path / "there"), Split.VAL)) == 6


def test_a_smaller_set_packed_over_a_larger_one_is_the_smaller_one(drawn, tmp_path: Path):
    how = Packing(piece_mb=0.02)
    larger = pack(drawn.root, tmp_path / "pack", how)
    unpack(tmp_path / "pack", tmp_path / "there")
    kept = json.loads(drawn.annotations("train").read_text())["images"][:2]
    drawn.change("train", "images", kept)
    drawn.change("train", "annotations", [])
    smaller = pack(drawn.root, tmp_path / "pack", how)
    assert len(smaller) < len(larger)
    assert sorted((tmp_path / "pack").iterdir()) == smaller
    there = unpack(tmp_path / "pack", tmp_path / "there")
    assert len(load_split(there, Split.TRAIN)) == len(list((there / "train" / "images").iterdir())) == 2


ORDER = ["gpu_sitting.py", "--pack", "pack", "--run", "run", "--back", "back", "--device", "cpu"]


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("ssd300-vgg16", "ssd300-vgg16"),
        ("ssd512-vgg16", "ssd512-vgg16"),
        ("ssd512-vgg16+fpn", "ssd512-vgg16"),
        ("ssdlite-mobilenet-v2", None),
    ],
)
def test_every_network_is_trained_by_its_own_recipe(
    sitting, monkeypatch: pytest.MonkeyPatch, architecture: str, name: str | None
):
    monkeypatch.setattr(sys, "argv", [*ORDER, "--architecture", architecture])
    job = sitting.job_of(sitting.orders(), Path("data"))
    assert job.recipe == (None if name is None else SHIPPED / f"{name}.yaml")
    recipe = read_recipe_file(job.recipe, architecture).applied(Recipe(architecture)) if name else None
    assert recipe is None or recipe.learning_rate <= 1e-3  # without batch normalization, more diverges


def test_recipe_seed_heads_and_teacher_are_as_ordered(sitting, monkeypatch: pytest.MonkeyPatch):
    more = ["--architecture", "ssd300-vgg16", "--recipe", "mine.yaml", "--seed", "7", "--reset-heads"]
    monkeypatch.setattr(sys, "argv", [*ORDER, *more, "--init", "whole.pth", "--teacher", "ssd300"])
    job = sitting.job_of(sitting.orders(), Path("data"))
    assert (job.recipe, job.seed, job.reset_heads, job.teacher) == (Path("mine.yaml"), 7, True, "ssd300")
    assert (job.data, job.out, job.architecture, job.steps) == (Path("data"), Path("run"), "ssd300-vgg16", 20_000)


def test_a_whole_sitting_trains_by_the_recipe_it_names(
    sitting, drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    pack(drawn.root, tmp_path / "pack", Packing(longest_px=48))
    (tmp_path / "mine.yaml").write_text("{learning_rate: 3e-4, sides_px: [[1, [64]]]}")
    more = {"pack": "pack", "run": "run", "back": "back", "recipe": "mine.yaml"}
    order = [word for name, path in more.items() for word in (f"--{name}", str(tmp_path / path))]
    order += ["--device", "cpu", "--workers", "0", "--steps", "2", "--batch-size", "2", "--seed", "5"]
    monkeypatch.setattr(sys, "argv", ["gpu_sitting.py", *order])
    sitting.main()
    said = capsys.readouterr().out
    assert f"recipe {tmp_path / 'mine.yaml'}" in said and "training is over" in said
    saved = checkpoints.read(tmp_path / "run" / CHECKPOINT)
    assert (saved.step, saved.recipe["seed"], saved.recipe["learning_rate"]) == (2, 5, 3e-4)
    assert sitting.joined(tmp_path / "back", CHECKPOINT) == (tmp_path / "run" / CHECKPOINT).read_bytes()
    (tmp_path / "run" / "metrics.csv").unlink()
    monkeypatch.setattr(sys, "argv", ["gpu_sitting.py", *order[2:], "--average-only", "--only-bring-back"])
    sitting.main()
    assert not (tmp_path / "run" / "metrics.csv").exists(), "it was trained again"
    (tmp_path / "light.pt").write_bytes(sitting.joined(tmp_path / "back", "average.pt"))
    files = package(PackageOrder(tmp_path / "light.pt", drawn.root, "light", tmp_path), lambda *_: None)
    assert read_card(files).recipe["steps_done"] == 2
    monkeypatch.setattr(sys, "argv", ["gpu_sitting.py", *order, "--seed", "6"])
    with pytest.raises(SystemExit, match="seed: expected 5, as this run began with, found 6"):
        sitting.main()

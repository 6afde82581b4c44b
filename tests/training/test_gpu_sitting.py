"""Training on a lent card, rehearsed: pictures packed and unpacked, a sitting that ends, and one that goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu_pack
from benchmarks.gpu_pack import Packing, pack, unpack
from handguard.training.checkpoints import CHECKPOINT
from handguard.training.coco import decode_picture
from handguard.training.datasets import Split, load_split


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


def test_a_file_in_pieces_comes_together_and_a_missing_piece_is_told(sitting, tmp_path: Path):
    whole = tmp_path / "file.bin"
    whole.write_bytes(os.urandom(2500))
    parts = sitting.split(whole, tmp_path / "back", 1000)
    assert [part.stat().st_size for part in parts] == [1000, 1000, 500]
    assert sitting.joined(tmp_path / "back", "file.bin") == whole.read_bytes()
    assert sitting.joined(tmp_path / "back", "other.bin") is None
    parts[1].unlink()
    with pytest.raises(SystemExit, match=r"expected file\.bin\.part-000, file\.bin\.part-001, found"):
        sitting.joined(tmp_path / "back", "file.bin")


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

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.capture.picture_folder import SUFFIXES, PictureFolder
from handguard.errors import DeviceError, DeviceMissing, EndOfVideo


def test_nine_comes_before_ten(make_pictures, read_all, number_on):
    names = [f"shot{n}.png" for n in range(12)]
    frames = read_all(PictureFolder(make_pictures(names), fps=10.0))
    assert [number_on(f.image) for f in frames] == list(range(12))
    assert [f.seq for f in frames] == list(range(12))
    assert [f.captured_ns for f in frames] == [n * 100_000_000 for n in range(12)]


def test_time_does_not_drift_at_an_uneven_rate(make_pictures, read_all):
    frames = read_all(PictureFolder(make_pictures([f"{n}.png" for n in range(8)]), fps=29.97))
    assert frames[7].captured_ns == round(7e9 / 29.97)


def test_other_files_and_hidden_ones_are_passed_over(make_pictures, read_all):
    folder = make_pictures(["a.png", ".hidden.png", "b.JPG"])
    (folder / "notes.txt").write_text("x")
    (folder / "sub").mkdir()
    assert len(read_all(PictureFolder(folder))) == 2


def test_an_empty_folder_says_which_endings_it_looked_for(tmp_path: Path):
    with pytest.raises(DeviceMissing, match=r"expected pictures ending in \.bmp, .*, found none"):
        PictureFolder(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(DeviceMissing, match="nowhere: expected a folder of pictures, found no such folder"):
        PictureFolder(tmp_path / "nowhere")


def test_a_picture_of_another_size_is_named_with_both_sizes(make_pictures, read_all):
    folder = make_pictures(["a.png", "b.png"])
    cv2.imwrite(str(folder / "b.png"), np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(DeviceError, match=r"b\.png: expected 96x64 pixels as in a\.png, found 20x10"):
        read_all(PictureFolder(folder))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_cut_short_is_named_whatever_its_kind(make_pictures, read_all, suffix: str):
    folder = make_pictures(["a.png", f"b{suffix}"])
    data = (folder / f"b{suffix}").read_bytes()
    (folder / f"b{suffix}").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DeviceError, match=rf"b\{suffix}: expected a whole picture") as caught:
        read_all(PictureFolder(folder))
    assert not isinstance(caught.value, EndOfVideo)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\xff\xd8"])
def test_what_is_no_picture_is_an_error_not_a_gap(make_pictures, read_all, content: bytes):
    folder = make_pictures(["a.png"])
    (folder / "b.jpg").write_bytes(content)
    with pytest.raises(DeviceError, match=r"b\.jpg: expected a whole picture"):
        read_all(PictureFolder(folder))


def test_gray_and_transparent_pictures_become_three_channels(make_pictures, read_all):
    folder = make_pictures(["a.png"])
    cv2.imwrite(str(folder / "b.png"), np.full((64, 96), 7, np.uint8))
    cv2.imwrite(str(folder / "c.png"), np.full((64, 96, 4), 7, np.uint8))
    assert [f.image.shape for f in read_all(PictureFolder(folder))] == [(64, 96, 3)] * 3


def test_a_picture_that_vanished_meanwhile_is_named(make_pictures):
    folder = make_pictures(["a.png", "b.png"])
    source = PictureFolder(folder)
    source.read()
    (folder / "b.png").unlink()
    with pytest.raises(DeviceError, match=r"b\.png: expected a readable picture, found No such file"):
        source.read()

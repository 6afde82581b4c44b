"""The same pictures in COCO, VOC and YOLO form are the same data; what is wrong with them is said by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.cli import main
from handguard.errors import DatasetError
from handguard.training.coco import Sample, decode_picture
from handguard.training.dataset_report import check, priors, stats
from handguard.training.datasets import Split, load_split
from handguard.training.yolo import class_names
from handguard.types import HandClass
from tests.training.conftest import DrawnSet


def voc_xml(sample: Sample) -> str:
    objects = "".join(
        f"<object><name>{HandClass(label).title}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{x1 + 1:g}</xmin><ymin>{y1 + 1:g}</ymin><xmax>{x2:g}</xmax><ymax>{y2:g}</ymax></bndbox></object>"
        for (x1, y1, x2, y2), label in zip(sample.boxes_px.tolist(), sample.labels.tolist(), strict=True)
    )
    size = f"<size><width>{sample.width_px}</width><height>{sample.height_px}</height><depth>3</depth></size>"
    return f"<annotation><filename>{sample.path.name}</filename>{size}{objects}</annotation>"


def as_voc(samples: list[Sample], folder: Path) -> None:
    (folder / "Annotations").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    for sample in samples:
        shutil.copy(sample.path, folder / "JPEGImages")
        (folder / "Annotations" / f"{sample.path.stem}.xml").write_text(voc_xml(sample))


def as_yolo(samples: list[Sample], root: Path, split: str) -> None:
    (root / split / "images").mkdir(parents=True)
    (root / split / "labels").mkdir()
    (root / "data.yaml").write_text("train: train/images\nval: val/images\nnames: [gloved_hand, hand]\n")
    for sample in samples:
        shutil.copy(sample.path, root / split / "images")
        lines = []
        for (x1, y1, x2, y2), label in zip(sample.boxes_px.tolist(), sample.labels.tolist(), strict=True):
            w, h = sample.width_px, sample.height_px
            row = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
            lines.append(f"{1 - label} " + " ".join(f"{v:.8f}" for v in row))
        if lines:  # a hand-free picture has no file
            (root / split / "labels" / f"{sample.path.stem}.txt").write_text("\n".join(lines) + "\n")


def same(first: list[Sample], second: list[Sample]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.path.name == other.path.name
        assert (one.width_px, one.height_px) == (other.width_px, other.height_px)
        np.testing.assert_allclose(one.boxes_px, other.boxes_px, atol=1e-3)
        assert one.labels.tolist() == other.labels.tolist()
        decode_picture(other)


def test_voc_folders_say_the_same_as_coco(drawn: DrawnSet, tmp_path: Path) -> None:
    for split in Split:
        as_voc(load_split(drawn.root, split), tmp_path / "voc" / split.value)
        same(load_split(drawn.root, split), load_split(tmp_path / "voc", split))


def test_voc_with_lists_of_both_splits_says_the_same(drawn: DrawnSet, tmp_path: Path) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    as_voc(samples, tmp_path / "voc")
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"{one.path.stem}\n" for one in samples[:9]))
    (lists / "val.txt").write_text("".join(f"{one.path.stem}\n" for one in samples[9:]))
    same(samples[:9], load_split(tmp_path / "voc", Split.TRAIN))
    same(samples[9:], load_split(tmp_path / "voc", Split.VAL))


def test_names_in_a_list_of_voc_may_have_spaces_and_a_verdict(drawn: DrawnSet, tmp_path: Path) -> None:
    samples = load_split(drawn.root, Split.TRAIN)[:4]
    as_voc(samples, tmp_path / "voc")
    renamed = {"001": "left hand", "002": "left", "003": "shift 1", "004": "4"}
    for old, new in renamed.items():
        file = tmp_path / "voc" / "Annotations" / f"{old}.xml"
        file.rename(file.with_name(f"{new}.xml"))
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("left hand\nleft  1\nshift 1\n4 -1\n")
    same(samples, load_split(tmp_path / "voc", Split.TRAIN))
    (lists / "train.txt").write_text("left hand 0\nleft\nshift 1 1\n 4\t1 \n")
    same(samples, load_split(tmp_path / "voc", Split.TRAIN))
    (lists / "train.txt").write_text("left hand 2\n")
    with pytest.raises(DatasetError, match=r"left hand 2\.xml: expected a VOC annotation"):
        load_split(tmp_path / "voc", Split.TRAIN)


def test_yolo_folders_say_the_same_as_coco(drawn: DrawnSet, tmp_path: Path) -> None:
    for split in Split:
        as_yolo(load_split(drawn.root, split), tmp_path / "yolo", split.value)
        same(load_split(drawn.root, split), load_split(tmp_path / "yolo", split))


@pytest.mark.parametrize("split_first", [True, False])
def test_yolo_folders_may_have_sub_folders(drawn: DrawnSet, tmp_path: Path, split_first: bool) -> None:
    samples, root = load_split(drawn.root, Split.TRAIN), tmp_path / "yolo"
    as_yolo(samples, root, "train")
    images, labels = root / "train" / "images", root / "train" / "labels"
    for path in [*images.iterdir(), *labels.iterdir()]:
        day = path.parent / ("day1" if path.stem < "007" else "day2/late")
        day.mkdir(parents=True, exist_ok=True)
        path.rename(day / path.name)
    if not split_first:
        for folder in (images, labels):
            (root / folder.name).mkdir()
            folder.rename(root / folder.name / "train")
    found = load_split(root, Split.TRAIN)
    same(samples, found)
    assert sum(len(one.boxes_px) for one in found) > 0
    assert {one.path.parent.name for one in found} == {"day1", "late"}


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIF"])
def test_yolo_pictures_may_be_tiff(drawn: DrawnSet, tmp_path: Path, suffix: str) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    as_yolo(samples, tmp_path / "yolo", "train")
    picture = tmp_path / "yolo" / "train" / "images" / "001.jpg"
    picture.with_suffix(suffix).write_bytes(cv2.imencode(".tif", cv2.imread(str(picture)))[1].tobytes())
    picture.unlink()
    first, *_ = found = load_split(tmp_path / "yolo", Split.TRAIN)
    assert len(found) == len(samples) and first.path.suffix == suffix
    np.testing.assert_allclose(first.boxes_px, samples[0].boxes_px, atol=1e-3)
    assert len(first.boxes_px) == 1
    decode_picture(first)


@pytest.mark.parametrize("moved", ["999.txt", "day1/001.txt", "001.TXT"])
def test_a_yolo_label_file_that_belongs_to_no_picture_is_refused(drawn: DrawnSet, tmp_path: Path, moved: str) -> None:
    as_yolo(load_split(drawn.root, Split.TRAIN), tmp_path / "yolo", "train")
    labels = tmp_path / "yolo" / "train" / "labels"
    (labels / "classes.txt").write_text("gloved_hand\nhand\n")
    assert len(load_split(tmp_path / "yolo", Split.TRAIN)) == 12
    (labels / moved).parent.mkdir(exist_ok=True)
    (labels / "001.txt").rename(labels / moved)
    expected = r"expected a picture of this name, .*images/\S+ with one of \.bmp .*\.jpg .*, found none"
    with pytest.raises(DatasetError, match=rf"labels/{moved}: {expected}"):
        load_split(tmp_path / "yolo", Split.TRAIN)


@pytest.mark.parametrize(
    "names",
    ["[gloved_hand, hand]", "{0: gloved_hand, 1: hand}", "{1: hand, 0: gloved_hand}", "\n- gloved_hand\n- hand"],
)
def test_yolo_names_may_be_a_list_or_a_table_of_numbers(tmp_path: Path, names: str) -> None:
    (tmp_path / "data.yaml").write_text(f"nc: 2\ndownload: |\n  a: b\nnames: {names}\n")
    assert class_names([tmp_path]) == [HandClass.GLOVED_HAND, HandClass.HAND]


def test_the_tenth_yolo_name_comes_after_the_second(tmp_path: Path) -> None:
    rows = "".join(f"  {number}: {'hand' if number < 10 else 'gloved_hand'}\n" for number in range(11))
    (tmp_path / "data.yaml").write_text(f"names:\n{rows}")
    assert class_names([tmp_path]) == [HandClass.HAND] * 10 + [HandClass.GLOVED_HAND]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: []\n", "data.yaml: names: expected a list of class names, or one for each number from 0 on, found []"),
        ("names: {1: hand, 2: gloved_hand}\n", "data.yaml: names: expected .* from 0 on, found a block of keys"),
        ("names: hand\n", 'data.yaml: names: expected .*, found "hand"'),
        ("nc: 2\n", "data.yaml: names: expected .*, found nothing"),
        ("- hand\n", "data.yaml: names: expected .*, found nothing"),
        ("names:\n  0: hand\n  0: gloved_hand\n", "data.yaml:3: names.0: expected each key once, found it again"),
        ("names: {0.5: hand}\n", 'data.yaml:1: names: expected a key that is text or a whole number, found "0.5"'),
        ("names: [hand\n", "data.yaml:2: expected YAML in its plain form"),
        ("names: [foot]\n", "data.yaml: class names: expected .*, found 'foot'"),
    ],
)
def test_yolo_names_that_leave_a_class_in_doubt_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DatasetError, match=message.replace("[]", r"\[\]")):
        class_names([tmp_path])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "line 1: expected a class and four numbers"),
        ("7 0.5 0.5 0.2 0.2", "line 1: expected a class from 0 to 1, found 7"),
        ("0 0.9 0.5 0.4 0.2", "line 1: expected a box with area inside 96x80"),
        ("0 a b c d", "line 1: expected numbers"),
        ("nan 0.5 0.5 0.2 0.2", "line 1: expected a class from 0 to 1, found nan"),
        ("inf 0.5 0.5 0.2 0.2", "line 1: expected a class from 0 to 1, found inf"),
        ("0.5 0.5 0.5 0.2 0.2", "line 1: expected a class from 0 to 1, found 0.5"),
        ("0 0.5 0.5 0.2 0.2\udce9", "expected text in UTF-8, found byte 17 that is none"),
        ("\n0 nan 0.5 0.2 0.2", "line 2: expected a box with area inside"),
    ],
)
def test_a_bad_yolo_line_is_refused_by_file_and_line(
    drawn: DrawnSet, tmp_path: Path, line: str, message: str
) -> None:
    as_yolo(load_split(drawn.root, Split.TRAIN), tmp_path / "yolo", "train")
    (tmp_path / "yolo" / "train" / "labels" / "004.txt").write_bytes(line.encode(errors="surrogateescape"))
    with pytest.raises(DatasetError, match=rf"004\.txt: {message}"):
        load_split(tmp_path / "yolo", Split.TRAIN)


def test_lists_of_names_that_are_no_text_are_refused_by_file(drawn: DrawnSet, tmp_path: Path) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    as_yolo(samples, tmp_path / "yolo", "train")
    (tmp_path / "yolo" / "data.yaml").unlink()
    (tmp_path / "yolo" / "classes.txt").write_bytes(b"hand\nglov\xe9\n")
    with pytest.raises(DatasetError, match=r"classes\.txt: expected text in UTF-8, found byte 9 that is none"):
        load_split(tmp_path / "yolo", Split.TRAIN)
    as_voc(samples, tmp_path / "voc")
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_bytes(b"\xff001\n")
    with pytest.raises(DatasetError, match=r"train\.txt: expected text in UTF-8, found byte 0 that is none"):
        load_split(tmp_path / "voc", Split.TRAIN)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<name>hand</name>", "<name>foot</name>", "object/name: expected hand or gloved_hand, found 'foot'"),
        ("<width>96</width>", "", "size/width: expected a value, found nothing"),
        ("<width>96</width>", "<width>wide</width>", 'size/width: expected a whole number of pixels .* found "wide"'),
        ("<width>96</width>", "<width>nan</width>", 'size/width: expected a whole number of pixels .* found "nan"'),
        ("<height>80</height>", "<height>1e999</height>", "size/height: expected a whole number of pixels"),
        ("<xmin>", "<xmin>n", "bndbox/xmin: expected a number, found 'n"),
        ("<annotation>", '<?xml version="1.0" encoding="nonsense"?><annotation>', "expected a VOC annotation"),
        ("<annotation>", '<?xml version="1.0" encoding="utf-32"?><annotation>', "expected a VOC annotation"),
        ("<annotation>", '<?xml version="1.0" encoding="big5"?><annotation>', "expected a VOC annotation"),
        ("</annotation>", "", "expected a VOC annotation"),
    ],
)
def test_a_bad_voc_file_is_refused_by_name(
    drawn: DrawnSet, tmp_path: Path, old: str, new: str, message: str
) -> None:
    samples = [one for one in load_split(drawn.root, Split.TRAIN) if 0 in one.labels]
    as_voc(samples, tmp_path / "voc" / "train")
    file = tmp_path / "voc" / "train" / "Annotations" / f"{samples[0].path.stem}.xml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=rf"\.xml: {message}|\.xml.*{message}"):
        load_split(tmp_path / "voc", Split.TRAIN)


def test_a_folder_of_no_known_form_is_refused_with_the_forms(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"expected train pictures as COCO .* VOC .* or YOLO .* found none"
    ):
        load_split(tmp_path, Split.TRAIN)
    with pytest.raises(DatasetError, match="found no such folder"):
        load_split(tmp_path / "nowhere", Split.TRAIN)


def quiet(done: int, total: int | None) -> None:
    pass


def test_a_sound_set_passes_the_check(drawn: DrawnSet) -> None:
    checked = check(drawn.root, quiet)
    assert checked.pictures == 18 and checked.problems == []


def test_the_check_names_broken_pictures_and_pictures_in_both_splits(drawn: DrawnSet) -> None:
    train, val = (load_split(drawn.root, split) for split in Split)
    data = train[0].path.read_bytes()
    train[0].path.write_bytes(data[:-30])
    shutil.copy(train[1].path, val[1].path)
    first, second = check(drawn.root, quiet).problems
    assert "train/images/001.jpg: expected a complete picture" in first
    assert "val/images/002.jpg: the same picture as" in second and "of train" in second


def test_statistics_count_what_is_there(drawn: DrawnSet) -> None:
    found = stats(drawn.root)["train"]
    samples = load_split(drawn.root, Split.TRAIN)
    assert found["pictures"] == 12 and found["hand_free_pictures"] == 4
    assert sum(found["hands"].values()) == sum(len(one.boxes_px) for one in samples)
    assert sum(found["hands_by_size"].values()) == sum(found["hands"].values())
    assert found["sources"] == {"drawn_0": 6, "drawn_1": 6}


def test_fitted_priors_fit_better_the_more_there_are(drawn: DrawnSet) -> None:
    few, more = priors(drawn.root, 1, 1), priors(drawn.root, 4, 2)
    assert [len(one) for one in more["sizes"]] == [2, 2, 2, 2]
    assert 0 < few["mean_best_iou"] < more["mean_best_iou"] <= 1


def test_the_program_prints_statistics_and_refuses_a_broken_set(
    drawn: DrawnSet, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "stats", str(drawn.root)])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["val"]["pictures"] == 6
    drawn.change("val", "images", [])
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "check", str(drawn.root)])
    assert ended.value.code == 2
    assert "images: expected at least one picture, found none" in capsys.readouterr().err

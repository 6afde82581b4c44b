"""A drawn data set: ellipses for hands on noise. It stands for no real picture and proves no accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.cli import main


@dataclass
class DrawnSet:
    """Folders train/ and val/ in COCO form, to be spoilt by a test before use."""

    root: Path

    def annotations(self, split: str) -> Path:
        return self.root / split / "annotations.json"

    def change(self, split: str, key: str, value: object) -> None:
        data = json.loads(self.annotations(split).read_text())
        data[key] = value
        self.annotations(split).write_text(json.dumps(data))


def draw(root: Path, split: str, pictures: int, size_px: tuple[int, int] = (96, 80)) -> None:
    rng = np.random.default_rng(len(split))
    folder = root / split / "images"
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, pictures + 1):
        image = rng.integers(60, 110, (size_px[1], size_px[0], 3), dtype=np.uint8)
        for _ in range(number % 3):  # every third picture is hand-free
            w, h = (int(v) for v in rng.integers(20, 40, 2))
            x, y = int(rng.integers(0, size_px[0] - w)), int(rng.integers(0, size_px[1] - h))
            kind = int(rng.integers(1, 3))
            color = (90, 130, 220) if kind == 1 else (40, 220, 240)
            cv2.ellipse(image, (x + w // 2, y + h // 2), (w // 2, h // 2), 0, 0, 360, color, -1)
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": kind}
            annotations.append({**row, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})
        name = f"{number:03d}.jpg"
        cv2.imwrite(str(folder / name), image)
        size = {"width": size_px[0], "height": size_px[1]}
        images.append({"id": number, "file_name": name, "source": f"drawn_{number % 2}", **size})
    categories = [{"id": 1, "name": "hand"}, {"id": 2, "name": "gloved_hand"}]
    (root / split / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )


def filmed(path: Path, frames: int) -> Path:
    """A recording that grows brighter."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (96, 64))
    for i in range(frames):
        film.write(np.full((64, 96, 3), 20 * i, np.uint8))
    film.release()
    return path


@pytest.fixture(autouse=True)
def _steps_on_one_thread(one_thread: None) -> None:
    """Steps this small are slower on two cores than on one."""


@pytest.fixture
def drawn(tmp_path: Path) -> DrawnSet:
    root = tmp_path / "data"
    draw(root, "train", 12)
    draw(root, "val", 6)
    return DrawnSet(root)


def ran(*arguments: object) -> int:
    """The exit status of the program with these arguments."""
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)

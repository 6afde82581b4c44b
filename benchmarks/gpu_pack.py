"""Pictures packed small enough to travel: `python benchmarks/gpu_pack.py DATA OUT`.

DATA is a folder with train and val in any form `handguard train` takes. OUT gets
tar files of at most `--piece-mb`, and together they hold the same folder as COCO:
pictures no longer than `--longest-px`, boxes scaled with them, as WebP, which takes half the
bytes of JPEG; a picture that is smaller still as it is keeps its own.

Pictures of people must not be committed: write to a folder that git ignores (`out/`).
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from handguard.training.coco import Sample, decode_picture
from handguard.training.datasets import Split, load_split
from handguard.types import HandClass

PIECES = "piece-*.tar.gz"
File = tuple[str, bytes]  # path in the packed folder, content


@dataclass(frozen=True, slots=True)
class Packing:
    """How small."""

    longest_px: int = 512
    quality: int = 70  # of WebP, 1 to 100
    piece_mb: float = 14.0


def packed_picture(sample: Sample, how: Packing) -> tuple[bytes, int, int]:
    """The picture's bytes, width and height: its own where it is small enough, else resized and encoded again."""
    image = decode_picture(sample)
    longest = max(image.shape[:2])
    if longest > how.longest_px:
        width, height = (max(1, round(side * how.longest_px / longest)) for side in image.shape[1::-1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, how.quality])[1].tobytes()
    own = sample.path.read_bytes()
    if longest <= how.longest_px and len(own) <= len(encoded):
        encoded = own
    return encoded, image.shape[1], image.shape[0]


def files_of(samples: Sequence[Sample], split: str, how: Packing) -> Iterator[File]:
    """Every picture of a split, and its annotations last."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, 1):
        data, width, height = packed_picture(sample, how)
        name = f"{number:06d}.webp"  # OpenCV goes by content
        images.append({"id": number, "file_name": name, "source": sample.source, "width": width, "height": height})
        scale = width / sample.width_px, height / sample.height_px
        annotations += [
            {"id": len(annotations) + i, "image_id": number, **scaled(box, label, scale)}
            for i, (box, label) in enumerate(zip(sample.boxes_px.tolist(), sample.labels.tolist(), strict=True), 1)
        ]
        yield f"{split}/images/{name}", data
    kinds = [{"id": int(kind) + 1, "name": kind.title} for kind in HandClass]
    table = {"images": images, "annotations": annotations, "categories": kinds}
    yield f"{split}/annotations.json", json.dumps(table).encode()


def scaled(box_px: Sequence[float], label: int, scale: tuple[float, float]) -> dict[str, Any]:
    """One hand in COCO's words."""
    x1, y1, x2, y2 = (round(side * scale[i % 2], 2) for i, side in enumerate(box_px))
    bbox = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
    return {"category_id": label + 1, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0}


def pieces(files: Iterator[File], out: Path, limit_bytes: int) -> list[Path]:
    """Tar files in `out`, none larger than the limit unless one file alone is."""
    out.mkdir(parents=True, exist_ok=True)
    for earlier in out.glob(PIECES):  # of a larger set, perhaps: they would be unpacked too
        earlier.unlink()
    written: list[Path] = []
    waiting: list[File] = []
    size = 0
    for file in files:
        needs = 512 + -(-len(file[1]) // 512) * 512
        if waiting and size + needs > limit_bytes - 10_240:
            written.append(_tar(waiting, out, len(written)))
            waiting, size = [], 0
        waiting.append(file)
        size += needs
    return [*written, _tar(waiting, out, len(written))]


def _tar(files: Sequence[File], out: Path, number: int) -> Path:
    path = out / f"piece-{number:03d}.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=6) as tar:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def pack(data: Path, out: Path, how: Packing) -> list[Path]:
    """All pieces, val first. Raises `DatasetError`."""

    def both() -> Iterator[File]:
        for split in (Split.VAL, Split.TRAIN):
            yield from files_of(load_split(data, split), split.value, how)

    return pieces(both(), out, round(how.piece_mb * 1e6))


def unpack(folder: Path, out: Path) -> Path:
    """The packed folder, ready for `handguard train --data`; what was unpacked there before goes."""
    for split in Split:
        shutil.rmtree(out / split.value, ignore_errors=True)
    for piece in sorted(folder.glob(PIECES)):
        with tarfile.open(piece) as tar:
            tar.extractall(out, filter="data")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    usual = Packing()
    parser.add_argument("--longest-px", type=int, default=usual.longest_px)
    parser.add_argument("--quality", type=int, default=usual.quality)
    parser.add_argument("--piece-mb", type=float, default=usual.piece_mb)
    wanted = parser.parse_args()
    written = pack(wanted.data, wanted.out, Packing(wanted.longest_px, wanted.quality, wanted.piece_mb))
    total = sum(path.stat().st_size for path in written)
    sys.stdout.write(f"{len(written)} pieces, {total / 1e6:.1f} MB in {wanted.out}\n")


if __name__ == "__main__":
    main()

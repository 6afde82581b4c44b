"""A page of faults as pictures: each cut out with its surroundings, framed and captioned.

The pictures show people. A sheet goes into the folder a person named, and a
`.gitignore` beside it keeps it out of every repository. One that a person wrote is
left as it is; where it lets anything through, the folder is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.atomic import write_atomically
from handguard.errors import ConfigError, mismatch
from handguard.training.coco import decode_picture
from handguard.training.faults import Fault

TILE_PX, CAPTION_PX = 220, 34
COLUMNS, ROWS = 6, 4
SURROUNDINGS = 3.0  # side of the cut-out, in longer sides of the box; at most the whole picture
LEAST_CUT_PX = 64
FRAME_BGR, INK_BGR, PAPER_BGR = (60, 60, 235), (40, 40, 40), (245, 245, 245)

EVERYTHING = {b"*", b"/*", b"**", b"/**"}  # lines of a .gitignore
LET_THROUGH = {b"!.gitignore", b"!/.gitignore"}  # may be: the file itself shows nobody

Image = NDArray[np.uint8]


def keep_out_of_repositories(folder: Path) -> None:
    """Make the folder, and let git pass it by. Raises `ConfigError` where its own `.gitignore` does not."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".gitignore"
    try:
        with file.open("xb") as fresh:
            fresh.write(b"*\n")
    except FileExistsError:
        lines = {line.rstrip() for line in file.read_bytes().splitlines()}
        excepted = {line for line in lines if line.startswith(b"!")}
        if not lines & EVERYTHING or excepted - LET_THROUGH:
            expected = "one that ignores everything (*), for the pictures show people"
            told = mismatch(str(file), expected, "one that lets files through")
            raise ConfigError(f"{told}; name a folder of their own") from None


def draw_sheet(faults: Sequence[Fault], path: Path) -> None:
    """The first faults of a list as one PNG; a sheet without faults is blank."""
    sheet = np.full((ROWS * (TILE_PX + CAPTION_PX), COLUMNS * TILE_PX, 3), PAPER_BGR, np.uint8)
    for number, fault in enumerate(faults[: ROWS * COLUMNS]):
        row, column = divmod(number, COLUMNS)
        y, x = row * (TILE_PX + CAPTION_PX), column * TILE_PX
        sheet[y : y + TILE_PX, x : x + TILE_PX] = _tile(fault)
        name = f"{fault.sample.source} {fault.sample.image_id}"
        for line, text in enumerate((fault.words, f"{name}, {fault.badness:.2f}")):
            at = (x + 4, y + TILE_PX + 13 + 14 * line)
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK_BGR, 1, cv2.LINE_AA)
    _, coded = cv2.imencode(".png", sheet)
    write_atomically(path, coded.tobytes())


def _tile(fault: Fault) -> Image:
    """A square round the box, enlarged to the tile; grey where the picture ends."""
    image = decode_picture(fault.sample)
    x1, y1, x2, y2 = (float(v) for v in fault.box_px)
    longer = float(max(image.shape[:2]))
    side = min(max(SURROUNDINGS * max(x2 - x1, y2 - y1), LEAST_CUT_PX), longer)
    scale = TILE_PX / side
    left, top = (max((low + high - side) / 2, 0.0) for low, high in ((x1, x2), (y1, y2)))
    left, top = min(left, max(image.shape[1] - side, 0.0)), min(top, max(image.shape[0] - side, 0.0))
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = cv2.warpAffine(image, matrix, (TILE_PX, TILE_PX), flags=method, borderValue=(160, 160, 160))
    first, second = ((round((x - left) * scale), round((y - top) * scale)) for x, y in ((x1, y1), (x2, y2)))
    return np.asarray(cv2.rectangle(tile, first, second, FRAME_BGR, 2), np.uint8)

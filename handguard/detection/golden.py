"""The golden picture: one picture whose answer is known, to ask a running detector whether it is still itself.

The picture is our own, drawn by the simulated scene (`training.golden_making` draws
it again, and a test holds the file to that): a bare and a gloved hand over a table.
A model's card holds what the model answered for it, once for every input size the
network can be given, because a site's zones decide that size. So neither crop nor
letterbox nor score of a site matters here.

Back ends and precisions do not agree to the last bit. How far they were apart on
this picture was measured when the model was packaged, and three times that, within
hard limits, is what a running engine may differ:

- every hand that the card expects clearly must be found, at its place, with its score;
- every hand that is found clearly must be one that the card expects.

Clearly means above the card's score by more than the tolerance, so that a
score which wavers about a threshold decides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.errors import ModelError, mismatch

PICTURE = Path(__file__).parents[2] / "models" / "golden.png"
LARGEST_SCORE_CHANGE, LEAST_OVERLAP = 0.15, 0.7  # no card may ask for less
FILL_IN = "`handguard golden` writes it into the card"

Row = tuple[float, float, float, float, float]  # x1 y1 x2 y2 in pixels of the golden picture, score


@dataclass(frozen=True, slots=True)
class Golden:
    """What one model answers for the golden picture, and how far an engine may differ from that."""

    picture_sha256: str
    min_score: float  # hands from this score on are listed
    max_score_change: float
    min_overlap: float  # IoU of an expected and a found box
    answers: dict[str, tuple[Row, ...]]  # by input size, `320x320`; best score first
    measured: dict[str, Any] = field(default_factory=dict)  # what the tolerance comes from

    def __post_init__(self) -> None:
        if not (0 < self.min_score < 1 and 0 < self.max_score_change <= LARGEST_SCORE_CHANGE):
            raise ValueError(
                f"golden: expected scores within bounds, found {self.min_score}, {self.max_score_change}"
            )
        if not LEAST_OVERLAP <= self.min_overlap < 1:
            raise ValueError(
                f"golden: expected an overlap from {LEAST_OVERLAP} to 1, found {self.min_overlap}"
            )
        for size, rows in self.answers.items():
            if any(len(row) != 5 or not np.isfinite(row).all() for row in rows):
                raise ValueError(f"golden: {size}: expected rows of five finite numbers, found {rows}")
            if not any(row[4] >= self.clear_score for row in rows):
                raise ValueError(
                    f"golden: {size}: expected a hand of at least {self.clear_score:.3f}, found {rows}"
                )

    @classmethod
    def read(cls, data: dict[str, Any]) -> Golden:
        """From a card. Raises `TypeError`, `ValueError` or `KeyError` for anything that is none."""
        answers = {size: tuple(tuple(row) for row in rows) for size, rows in data["answers"].items()}
        return cls(**{**data, "answers": answers})

    @property
    def clear_score(self) -> float:
        """From here on a hand must be on both sides."""
        return self.min_score + self.max_score_change

    def differences(self, expected: tuple[Row, ...], found: tuple[Row, ...]) -> Iterator[str]:
        """Where an answer is not the expected one, in words; nothing if it is."""
        for said, other, verb in ((expected, found, "missing"), (found, expected, "unexpected")):
            for row in said:
                if row[4] >= self.clear_score and not any(self._alike(row, one) for one in other):
                    yield f"{verb}: {told(row)}"

    def _alike(self, a: Row, b: Row) -> bool:
        return abs(a[4] - b[4]) <= self.max_score_change and overlap(a, b) >= self.min_overlap


def expected_rows(golden: Golden | None, input_px: tuple[int, int], model: str) -> tuple[Row, ...]:
    """What the card says for an input of this size. Raises `ModelError` where it says nothing that can be used."""
    size = size_name(input_px)
    where = f"model {model}: golden"
    if golden is None:
        raise ModelError(mismatch(where, f"an answer for the golden picture ({FILL_IN})", "none"))
    if golden.picture_sha256 != picture_sha256():
        raise ModelError(
            mismatch(where, f"an answer for the picture {PICTURE.name} ({FILL_IN})", "another picture's")
        )
    if size not in golden.answers:
        raise ModelError(mismatch(where, f"an answer at an input of {size}", "others"))
    return golden.answers[size]


def size_name(input_px: tuple[int, int]) -> str:
    """`416x256`, as answers are named."""
    return f"{input_px[0]}x{input_px[1]}"


def told(row: Row) -> str:
    """One hand in words."""
    return f"{row[4]:.3f} at {', '.join(f'{side:.0f}' for side in row[:4])}"


def overlap(a: Row, b: Row) -> float:
    """Intersection over union; 0 where they do not touch."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / max(_area(a) + _area(b) - shared, 1e-9)


def _area(row: Row) -> float:
    return (row[2] - row[0]) * (row[3] - row[1])


@cache
def picture() -> NDArray[np.uint8]:
    """The golden picture (H, W, 3) BGR, not to be written to. Raises `ModelError` if it is not there."""
    image = cv2.imread(str(PICTURE), cv2.IMREAD_COLOR)
    if image is None:
        raise ModelError(mismatch(str(PICTURE), "the golden picture", "no picture"))
    image.setflags(write=False)
    return np.asarray(image, np.uint8)


@cache
def picture_sha256() -> str:
    """Names the golden picture by its pixels. Raises `ModelError`."""
    return hashlib.sha256(picture().tobytes()).hexdigest()

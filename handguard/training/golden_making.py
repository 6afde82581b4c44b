"""The golden picture drawn, and a model's answer to it measured for its card (`detection.golden`).

The reference is torch in float32. Beside it the same weights answer through OpenVINO
in every precision this CPU computes, at the inputs of the usual pictures; the
tolerance of the card is three times the largest difference from the reference. A
model that differs by more than any card may allow gets no answer, and so does a
size of input at which no hand is clear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.atomic import write_atomically
from handguard.capture.scene.play import Play
from handguard.detection import golden
from handguard.detection.backends.openvino_engine import precisions_here
from handguard.detection.card import Card, ModelFiles, locate, read_card, write_card
from handguard.detection.detector import Region, fitted_input
from handguard.detection.golden import LARGEST_SCORE_CHANGE, LEAST_OVERLAP, Golden, Row, overlap, size_name
from handguard.detection.loading import Choice, load_detector
from handguard.detection.self_check import SelfCheck, rows_of
from handguard.detection.ssd import Ssd
from handguard.detection.weights import save_model
from handguard.errors import ModelError, mismatch

REFERENCE = ("torch-cpu", "float32")
SEED, SCENE_PX, RATE = 0, (640, 360), 30
CROPS = ((65, 245, 90), (155, 250, 62))  # frame, left and top: a bare hand, and a gloved one beside it
CROP_PX = (160, 192)
LOWEST_SCORE = 0.3  # below it a hand is no landmark
LEAST_CHANGE, MOST_OVERLAP, MARGIN = 0.05, 0.9, 3.0  # floors: another CPU may round otherwise than the one here
WIDEST = 4.0  # aspect ratio of a region
COMPILED_AT = (
    (16, 9),
    (4, 3),
    (1, 1),
)  # shapes of pictures at whose inputs OpenVINO is asked: it takes seconds
NOTHING_CLEAR = (
    "The model finds no clear hand in the golden picture, or back ends differ too much on it: "
    "it cannot be checked while it runs."
)

Sizes = tuple[tuple[int, int], ...]


def drawn() -> NDArray[np.uint8]:
    """The golden picture, drawn by the simulated scene: takes some seconds."""
    play = Play(SEED, *SCENE_PX)
    (width, height), crops = CROP_PX, []
    for frame, x, y in CROPS:
        crops.append(play.picture(frame / RATE, frame)[y : y + height, x : x + width])
    return np.ascontiguousarray(np.hstack(crops))


def write_picture() -> None:
    """Draw the golden picture into `models/`. Every card must be filled in anew afterwards."""
    _, coded = cv2.imencode(golden.PICTURE.suffix, drawn())
    write_atomically(golden.PICTURE, coded.tobytes())


def fill_in(files: ModelFiles) -> Golden:
    """Write the model's answer into its card. Raises `ModelError` where there is none."""
    card = read_card(files)
    made = golden_of(files)
    if made is None:
        raise ModelError(mismatch(str(files.weights), "a clear hand in the golden picture", "none"))
    write_card(replace(card, golden=made), files.card)
    return made


def with_golden(network: Ssd, card: Card) -> Card:
    """The card of unsaved weights with its answer, or with a note that there is none."""
    with tempfile.TemporaryDirectory() as folder:
        made = golden_of(save_model(network, card, Path(folder)))
    return replace(card, golden=made) if made else replace(card, notes=[*card.notes, NOTHING_CLEAR])


def golden_of(files: ModelFiles) -> Golden | None:
    """What the saved model answers; None if no hand is clear at the size it was made for. Raises `ModelError`."""
    card = read_card(files)
    min_score = max(card.operating_point.min_score, LOWEST_SCORE)
    if not _has_clear(_answer(files, card.input_px, *REFERENCE, min_score), min_score + LEAST_CHANGE):
        return None
    compiled = [("openvino", precision) for precision in _compiled_precisions()]
    references = {size: _answer(files, size, *REFERENCE, min_score) for size in sizes_of(card)}
    apart = [
        _apart(" ".join(way), references[size], _answer(files, size, *way, min_score / 2))
        for way in compiled
        for size in _compiled_sizes(card)
    ]
    return _golden(references, apart, min_score)


def departures(choice: Choice) -> list[str]:
    """At which of its inputs a model would not start, because it is not what its card says, and how; empty without a
    golden answer. Raises `ModelError`."""
    card = read_card(locate(choice.model))
    found: list[str] = []
    for input_px in sizes_of(card):
        if card.golden is not None and size_name(input_px) in card.golden.answers:
            failure = SelfCheck(load_detector(choice, Region(0, 0, *input_px))).failure()
            found += [f"golden picture at {size_name(input_px)}: {failure}"] if failure else []
    return found


def _compiled_precisions() -> tuple[str, ...]:
    """Those that the tolerance is measured in. Raises `ModelError` where OpenVINO is not installed."""
    if precisions := precisions_here():
        return precisions
    expected = "OpenVINO, in which its tolerance is measured (pip install openvino, or package on another computer)"
    raise ModelError(mismatch("golden picture", expected, "not installed"))


def sizes_of(card: Card) -> Sizes:
    """Every input that some region can ask for, up to four times as wide as high."""
    if card.any_multiple_of_px is None:
        return (card.input_px,)
    ratios = [exp(step / 400 * log(WIDEST)) for step in range(-400, 401)]
    regions = [(round(2000 * max(1, ratio)), round(2000 * max(1, 1 / ratio))) for ratio in ratios]
    return tuple(sorted({fitted_input(region, card.input_px, card.any_multiple_of_px) for region in regions}))


@dataclass(frozen=True, slots=True)
class _Apart:
    """How far one way of running the network was from the reference at one input."""

    how: str
    score_change: float
    overlap: float


def _compiled_sizes(card: Card) -> Sizes:
    multiple = card.any_multiple_of_px
    if multiple is None:
        return (card.input_px,)
    return tuple(fitted_input(size, card.input_px, multiple) for size in COMPILED_AT)


def _answer(
    files: ModelFiles, input_px: tuple[int, int], backend: str, precision: str, min_score: float
) -> tuple[Row, ...]:
    detector = load_detector(Choice(str(files.weights), backend, precision), Region(0, 0, *input_px))
    if detector.input_px != input_px:
        raise ModelError(
            mismatch(f"{files.weights}: input", size_name(input_px), size_name(detector.input_px))
        )
    return rows_of(detector.recall(golden.picture(), min_score))


def _apart(how: str, reference: tuple[Row, ...], found: tuple[Row, ...]) -> _Apart:
    """The worst of all hands of the reference, each with the found one that overlaps it most."""
    pairs = [(row, max(found, key=lambda one: overlap(row, one), default=(0.0,) * 5)) for row in reference]
    change = max((abs(row[4] - one[4]) for row, one in pairs), default=0.0)
    return _Apart(how, change, min((overlap(row, one) for row, one in pairs), default=1.0))


def _has_clear(rows: tuple[Row, ...], score: float) -> bool:
    return any(row[4] >= score for row in rows)


def _golden(
    references: dict[tuple[int, int], tuple[Row, ...]], apart: list[_Apart], min_score: float
) -> Golden | None:
    """The card's entry; sizes at which no hand is clear under the tolerance are left out."""
    change = max(LEAST_CHANGE, MARGIN * max(one.score_change for one in apart))
    least = min(MOST_OVERLAP, 1 - MARGIN * (1 - min(one.overlap for one in apart)))
    clear = {size: rows for size, rows in references.items() if _has_clear(rows, min_score + change)}
    if not clear or change > LARGEST_SCORE_CHANGE or least < LEAST_OVERLAP:
        return None
    rounded = {size_name(size): tuple(_rounded(row) for row in rows) for size, rows in clear.items()}
    return Golden(
        golden.picture_sha256(), min_score, round(change, 4), round(least, 4), rounded, dict(_measured(apart))
    )


def _rounded(row: Row) -> Row:
    x1, y1, x2, y2, score = row
    return round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2), round(score, 4)


def _measured(apart: list[_Apart]) -> Iterator[tuple[str, Any]]:
    """For each way of running, its worst figures against torch in float32."""
    for how in sorted({one.how for one in apart}):
        its = [one for one in apart if one.how == how]
        worst = max(one.score_change for one in its), min(one.overlap for one in its)
        yield how, {"inputs": len(its), "score_change": round(worst[0], 4), "overlap": round(worst[1], 4)}

"""The golden picture, what a card says about it, and a running engine that is held to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from handguard.detection import golden
from handguard.detection.card import SHIPPED, locate, read_card
from handguard.detection.detector import HandDetector, Region
from handguard.detection.golden import Golden, Row
from handguard.detection.loading import Choice, load_detector
from handguard.detection.self_check import SelfCheck
from handguard.errors import ModelError
from handguard.training import golden_making
from handguard.training.golden_making import drawn, sizes_of
from handguard.types import Frame

HAND: Row = (10.0, 10.0, 110.0, 110.0, 0.8)
CARD = Golden("0" * 64, min_score=0.3, max_score_change=0.1, min_overlap=0.8, answers={"320x320": (HAND,)})
SITE = Region(100, 40, 420, 240)  # a crop, letterboxed, of a larger picture
Floats = NDArray[np.float32]


def test_the_picture_is_what_the_simulated_scene_draws():
    again = drawn().astype(np.int16)
    assert again.shape == golden.picture().shape
    assert np.abs(again - golden.picture()).max() <= 2


def test_without_openvino_no_tolerance_is_made_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(golden_making, "precisions_here", lambda: ())
    monkeypatch.setattr(golden_making, "_has_clear", lambda rows, score: True)
    with pytest.raises(ModelError, match=r"golden picture: expected OpenVINO, .*, found not installed"):
        golden_making.golden_of(locate("palmnet-s"))


def test_the_picture_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        golden.picture()[0, 0] = 0


@pytest.mark.parametrize("model", [path.stem for path in SHIPPED.glob("*.json")])
def test_the_shipped_cards_answer_for_every_input_a_site_can_ask_for(model: str):
    card = read_card(locate(model))
    assert card.golden is not None
    assert set(card.golden.answers) == {golden.size_name(size) for size in sizes_of(card)}
    assert card.golden.picture_sha256 == golden.picture_sha256()
    assert all(len(rows) >= 2 for rows in card.golden.answers.values())
    assert any("bf16" in way for way in card.golden.measured)


def test_a_card_reads_back_as_it_was_written():
    assert Golden.read(json.loads(json.dumps(asdict(CARD)))) == CARD


@pytest.mark.parametrize(
    "change",
    [
        {"min_score": 0.0},
        {"min_score": float("nan")},
        {"max_score_change": 0.0},
        {"max_score_change": 0.16},
        {"min_overlap": 0.69},
        {"min_overlap": 1.0},
        {"answers": {"320x320": ()}},
        {"answers": {"320x320": ((10.0, 10.0, 110.0, 110.0, 0.39),)}},
        {"answers": {"320x320": ((10.0, 10.0, 110.0, 110.0),)}},
        {"answers": {"320x320": ((10.0, 10.0, float("nan"), 110.0, 0.8),)}},
    ],
)
def test_a_card_that_asks_for_nothing_is_refused(change: dict[str, object]):
    with pytest.raises(ValueError, match="golden"):
        replace(CARD, **change)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((HAND,), []),
        (((12.0, 10.0, 112.0, 110.0, 0.71),), []),
        ((HAND, (200.0, 10.0, 240.0, 60.0, 0.39)), []),  # wavers about the threshold
        ((), ["missing: 0.800 at 10, 10, 110, 110"]),
        (((10.0, 10.0, 110.0, 110.0, 0.69),), ["missing", "unexpected"]),
        (((22.0, 10.0, 122.0, 110.0, 0.8),), ["missing", "unexpected"]),
        ((HAND, (200.0, 10.0, 240.0, 60.0, 0.41)), ["unexpected: 0.410"]),
    ],
)
def test_what_differs_by_more_than_was_measured_is_told(found: tuple[Row, ...], said: list[str]):
    differences = list(CARD.differences((HAND,), found))
    assert len(differences) == len(said)
    assert all(words in difference for words, difference in zip(said, differences, strict=True))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "handguard golden"),
        (CARD, "another picture's"),
        (replace(CARD, picture_sha256=golden.picture_sha256()), "at an input of 416x256"),
    ],
)
def test_a_card_without_the_answer_says_what_is_missing(card: Golden | None, said: str):
    with pytest.raises(ModelError, match=said):
        golden.expected_rows(card, (416, 256), "site")


def test_an_answer_that_fits_is_returned():
    card = replace(CARD, picture_sha256=golden.picture_sha256())
    assert golden.expected_rows(card, (320, 320), "site") == (HAND,)


class Bent:
    """An engine whose answers pass through `bend`, as those of a broken accelerator would."""

    def __init__(self, engine, bend: Callable[[Floats, Floats], tuple[Floats, Floats]]) -> None:
        self._engine, self._bend = engine, bend
        self.canvas, self.priors, self.description = engine.canvas, engine.priors, engine.description

    def infer(self) -> tuple[Floats, Floats]:
        logits, offsets = self._engine.infer()
        return self._bend(logits.copy(), offsets.copy())


@pytest.fixture(scope="module")
def detector() -> HandDetector:
    return load_detector(Choice(backend="torch-cpu", precision="float32", min_score=0.9), SITE)


def test_the_live_engine_knows_the_picture_whatever_the_site_looks_at(detector: HandDetector):
    assert SelfCheck(detector).failure() is None


def test_the_check_leaves_the_next_frame_as_it_was(detector: HandDetector):
    rng = np.random.default_rng(5)
    frame = Frame(3, 9, rng.integers(0, 255, (360, 640, 3), dtype=np.uint8))
    detector.detect(frame)
    before = detector.engine.canvas.copy()
    SelfCheck(detector).failure()
    detector.detect(frame)
    np.testing.assert_array_equal(detector.engine.canvas, before)


def _spoiled(value: float) -> Callable[[Floats, Floats], tuple[Floats, Floats]]:
    def bend(logits: Floats, offsets: Floats) -> tuple[Floats, Floats]:
        logits[0, 0] = value
        return logits, offsets

    return bend


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (_spoiled(np.nan), "finite"),
        (lambda logits, offsets: (logits, offsets * np.nan), "finite"),
        (lambda logits, offsets: (logits[:-1], offsets), "ValueError: the network: expected"),
        (lambda logits, offsets: (logits, offsets[:, :3]), "ValueError: the network: expected"),
        (lambda logits, offsets: (logits - 0.4, offsets), "missing"),
        (lambda logits, offsets: (logits + 0.4, offsets), "missing"),
        (lambda logits, offsets: (logits * 0 - 9, offsets), "missing"),
        (lambda logits, offsets: (logits, offsets + 2), "missing"),
        (lambda logits, offsets: (logits[::-1], offsets), "missing"),
    ],
)
def test_an_engine_gone_wrong_is_found_out(
    detector: HandDetector, monkeypatch: pytest.MonkeyPatch, bend: Callable, said: str
):
    monkeypatch.setattr(detector, "engine", Bent(detector.engine, bend))
    failure = SelfCheck(detector).failure()
    assert failure is not None
    assert said in failure


def test_an_engine_that_raises_is_found_out(detector: HandDetector, monkeypatch: pytest.MonkeyPatch):
    def lost(_logits: Floats, _offsets: Floats) -> tuple[Floats, Floats]:
        raise RuntimeError("the accelerator is gone")

    monkeypatch.setattr(detector, "engine", Bent(detector.engine, lost))
    assert SelfCheck(detector).failure() == "RuntimeError: the accelerator is gone"

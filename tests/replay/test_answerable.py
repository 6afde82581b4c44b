"""What the record of a live run can answer, and what only its pictures could."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from handguard.assembly import card_of
from handguard.config import Settings
from handguard.detection.card import SHIPPED
from handguard.errors import ConfigError
from handguard.evidence.decisions import read_decisions
from handguard.replay.answerable import least_score
from handguard.replay.book import Book, read_book
from handguard.replay.proof import judge_run
from handguard.replay.whatif import replay_book
from handguard.types import Detections, Frame
from tests.replay.conftest import CONFIG

HAND = (10.0, 40.0, 30.0, 60.0)


class Sure:
    """Finds a hand in some frames, each with its score."""

    description = "sure"

    def __init__(self, scores: dict[int, float]) -> None:
        self._scores = scores

    def detect(self, frame: Frame) -> Detections:
        found = [self._scores[frame.seq]] if frame.seq in self._scores else []
        boxes = np.array([HAND] * len(found), np.float32).reshape(-1, 4)
        return Detections(boxes, np.array(found, np.float32), np.zeros(len(found), np.int64), frame.seq,
                          frame.captured_ns)  # fmt: skip


@pytest.fixture
def site(settings_from) -> Callable[..., Settings]:
    """`site(min_score=0.4)`: settings with these keys of `detector`."""

    def make(zones: str = "", **detector: object) -> Settings:
        text = CONFIG.replace("zones:", f"detector: {json.dumps(detector)}\nzones:")
        return settings_from(text.replace("warning_percent: 80, stop_percent: 40", zones) if zones else text)

    return make


@pytest.fixture
def book_with(make_run) -> Callable[..., Book]:
    """The book of a run by these settings, with hands of these scores."""

    def make(settings: Settings, scores: dict[int, float], **more: object) -> Book:
        return read_book(make_run(settings, Sure(scores), **more))

    return make


def test_a_higher_score_than_that_of_the_run_is_answered_though_no_hand_has_it(site, book_with, tmp_path) -> None:
    book = book_with(site(min_score=0.5), {30: 0.9, 50: 0.95})
    assert least_score(book, site(min_score=0.6)) == 0.6
    replay_book(book, site(min_score=0.6), tmp_path / "b")
    seen = [line.frame for line in read_decisions(tmp_path / "b" / "decisions.jsonl") if line.hands]
    assert seen == [30, 50]


def test_a_lower_score_than_that_of_the_run_is_refused_also_where_no_hand_was_found(site, book_with) -> None:
    book = book_with(site(min_score=0.5), {})
    with pytest.raises(ConfigError, match=r"detector\.min_score: expected 0\.5, from which on .* found 0\.3"):
        least_score(book, site(min_score=0.3))


def test_the_very_score_of_the_run_is_answered_though_single_precision_lies_below_it(site, book_with) -> None:
    book = book_with(site(min_score=0.7), {30: float(np.float32(0.7))})
    assert float(np.float32(0.7)) < 0.7
    assert least_score(book, site(min_score=0.7)) == 0.7


def test_a_run_without_a_score_had_that_of_the_card_with_its_weights(site, book_with) -> None:
    point = card_of(site()).operating_point.min_score
    book = book_with(site(), {30: 0.97})
    assert least_score(book, site(min_score=round(point + 0.01, 4))) == round(point + 0.01, 4)
    assert least_score(book, site()) == point
    with pytest.raises(ConfigError, match="from which on the run counted hands, or more"):
        least_score(book, site(min_score=round(point - 0.01, 4)))


def test_a_card_that_a_recorded_hand_contradicts_is_not_that_of_the_run(site, book_with) -> None:
    point = card_of(site()).operating_point.min_score
    book = book_with(site(), {30: 0.97, 40: round(point - 0.1, 4)})
    with pytest.raises(ConfigError, match="tells only that it was not above"):
        least_score(book, site(min_score=round(point - 0.15, 4)))
    assert least_score(book, site(min_score=round(point - 0.05, 4))) == round(point - 0.05, 4)


def test_weights_that_the_record_does_not_name_are_another_network(site, book_with) -> None:
    book = book_with(site(), {30: 0.97}, weights="0" * 64)
    with pytest.raises(ConfigError, match=r"expected the network of the run, weights sha256 0000"):
        least_score(book, site())


@pytest.fixture
def gone(site, make_run, tmp_path) -> Callable[..., Book]:
    """The book of a run whose network was deleted since."""

    def make(scores: dict[int, float], **detector: object) -> Book:
        for name in ("palmnet-s.json", "palmnet-s.safetensors"):
            shutil.copy(SHIPPED / name, tmp_path / name)
        run = make_run(site(model=str(tmp_path / "palmnet-s"), **detector), Sure(scores))
        (tmp_path / "palmnet-s.json").unlink()
        return read_book(run)

    return make


def test_a_record_that_does_not_tell_its_score_says_so(site, gone, tmp_path) -> None:
    book, model = gone({30: 0.8}), str(tmp_path / "palmnet-s")
    assert least_score(book, site(model=model)) == 0.0
    assert least_score(book, site(model=model, min_score=0.8)) == 0.8
    with pytest.raises(ConfigError, match=r"found 0\.75, and a record that tells only that it was not above 0\.8"):
        least_score(book, site(model=model, min_score=0.75))


def test_a_card_that_is_gone_leaves_a_run_with_a_score_nothing_to_compare(site, gone, tmp_path) -> None:
    book, model = gone({}, min_score=0.5), str(tmp_path / "palmnet-s")
    assert least_score(book, site(model=model, min_score=0.5)) == 0.5
    with pytest.raises(ConfigError, match=r"or the card of the run's network at hand, found neither"):
        least_score(book, site(model=model))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"model": "palmnet-s"}, "another model"),
        ({"region": "full"}, "another region"),
        ({"backend": "torch-cpu"}, "another backend"),
    ],
)
def test_another_detector_is_refused_by_the_key_that_differs(site, book_with, more, named) -> None:
    with pytest.raises(ConfigError, match=rf"a book holds hands, not pictures, found .*{named}"):
        least_score(book_with(site(min_score=0.5), {30: 0.9}), site(min_score=0.5, **more))


def test_how_many_threads_a_network_has_and_how_often_it_is_checked_is_no_other_detector(site, book_with) -> None:
    book = book_with(site(min_score=0.5), {30: 0.9})
    assert least_score(book, site(min_score=0.5, threads=3, cores=[0], self_check_s=30.0)) == 0.5


def test_zones_beyond_what_was_looked_at_are_refused(site, book_with) -> None:
    strict = {"min_score": 0.5, "region_margin": 0.0}
    book = book_with(site("warning_percent: 50, stop_percent: 40", **strict), {30: 0.9})
    assert least_score(book, site("warning_percent: 45, stop_percent: 20", **strict)) == 0.5
    with pytest.raises(ConfigError, match=r"zone warning: expected zones within 0,32 to 96,64 px, .* 0,26 to 96,64 px"):
        least_score(book, site("warning_percent: 60, stop_percent: 40", **strict))
    whole = {"min_score": 0.5, "region": "full"}
    book = book_with(site("warning_percent: 50, stop_percent: 40", **whole), {30: 0.9}, name="whole")
    assert least_score(book, site("warning_percent: 60, stop_percent: 40", **whole)) == 0.5


def test_an_audit_asks_no_more_of_a_run_than_its_record_tells(site, make_run, tmp_path: Path) -> None:
    run = make_run(site(min_score=0.5), Sure({30: 0.9}))
    assert judge_run(run, site(min_score=0.6), tmp_path / "b").recorded_s > 2
    with pytest.raises(ConfigError, match="from which on the run counted hands"):
        judge_run(run, site(min_score=0.4), tmp_path / "c")

"""Our average precision against COCO's own program, and against examples computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handguard.errors import DatasetError
from handguard.training.coco import Sample
from handguard.training.coco_numbers import coco_numbers
from handguard.training.measures import (
    Answer,
    against_truth,
    any_name,
    by_source,
    false_per_picture,
    recalls,
    wilson,
)
from handguard.training.metrics import Judged, curve, voc07
from handguard.training.operating_point import Empty, Wishes, choose, quiet_score
from handguard.types import Detections, HandClass

NOTHING = np.zeros((0, 4), np.float32)


def answer(
    hands: list[tuple[list[float], int]],
    found: list[tuple[list[float], float, int]],
    *,
    side: int = 320,
    source: str = "a",
) -> Answer:
    boxes = np.array([box for box, _ in hands], np.float32).reshape(-1, 4)
    labels = np.array([label for _, label in hands], np.int64)
    sample = Sample(1, Path("none.jpg"), side, side, source, boxes, labels)
    detections = Detections(
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([label for _, _, label in found], np.int64),
        0,
        0,
    )
    return Answer(sample, detections)


def random_answers(seed: int, pictures: int = 40) -> list[Answer]:
    """Crowded pictures with near misses, doubles, wrong names and inventions."""
    rng = np.random.default_rng(seed)
    answers = []
    for _ in range(pictures):
        hands = [(random_box(rng), int(rng.integers(2))) for _ in range(rng.integers(0, 6))]
        found = []
        for box, label in hands:
            for _ in range(rng.integers(0, 4)):
                size = np.tile([box[2] - box[0], box[3] - box[1]], 2)
                moved = (np.array(box) + rng.normal(0, 0.12, 4) * size).tolist()
                label = label if rng.random() < 0.8 else 1 - label
                found.append((moved, float(rng.random()), label))
        found += [
            (random_box(rng), float(rng.random()), int(rng.integers(2))) for _ in range(rng.integers(0, 5))
        ]
        answers.append(answer(hands, found))
    return answers


def random_box(rng: np.random.Generator) -> list[float]:
    x, y = rng.uniform(0, 250, 2)
    w, h = rng.uniform(8, 70, 2)
    return [x, y, x + w, y + h]


@pytest.mark.parametrize("seed", range(6))
def test_our_average_precision_is_pycocotools_own(seed: int) -> None:
    answers = random_answers(seed)
    theirs = coco_numbers(answers)
    views = {"any": against_truth(answers)}
    views |= {kind.title: against_truth(answers, kind) for kind in HandClass}
    for name, view in views.items():
        assert curve(view, iou=0.5).average_precision() == pytest.approx(theirs[name]["AP50"], abs=1e-6)
        assert curve(view, iou=0.75).average_precision() == pytest.approx(theirs[name]["AP75"], abs=1e-6)


def test_pycocotools_mean_is_the_mean_of_both_classes() -> None:
    numbers = coco_numbers(random_answers(1))
    both = [numbers[kind.title]["AP"] for kind in HandClass]
    assert numbers["mean"]["AP"] == pytest.approx(np.mean(both), abs=1e-9)


def test_no_detection_at_all_is_zero_and_nothing_to_find_is_none() -> None:
    numbers = coco_numbers([answer([([10, 10, 60, 60], 0)], [])])
    assert numbers["any"]["AP50"] == 0
    assert numbers["gloved_hand"]["AP50"] is None
    assert np.isnan(curve([]).average_precision())
    assert np.isnan(voc07([]))


LEFT, RIGHT, FAR_AWAY = [0.0, 0.0, 40.0, 40.0], [100.0, 0.0, 140.0, 40.0], [250.0, 250.0, 290.0, 290.0]


def three_hands() -> list[Judged]:
    """Three hands; right, wrong, right, a double; one hand is never found.

    recall     1/3  1/3  2/3  2/3
    precision   1   1/2  2/3  1/2
    """
    first = answer([(LEFT, 0), (FAR_AWAY, 0)], [(LEFT, 0.9, 0), (RIGHT, 0.8, 0), (LEFT, 0.6, 0)])
    second = answer([(RIGHT, 0)], [(RIGHT, 0.7, 0)])
    return against_truth([first, second])


def test_voc07_equals_the_example_computed_by_hand() -> None:
    # recalls 0, .1, .2, .3 at precision 1; .4, .5, .6 at 2/3; .7 and up never reached
    assert voc07(three_hands()) == pytest.approx((4 * 1 + 3 * 2 / 3) / 11, abs=1e-12)


def test_coco_ap_equals_the_example_computed_by_hand() -> None:
    # 34 of 101 recalls (0 to .33) at precision 1, 33 (.34 to .66) at 2/3
    assert curve(three_hands()).average_precision() == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-6)


def test_voc_gives_a_detection_to_its_best_hand_only_where_coco_takes_the_next() -> None:
    hands = [([0.0, 0.0, 40.0, 40.0], 0), ([10.0, 0.0, 50.0, 40.0], 0)]
    found = [([0.0, 0.0, 40.0, 40.0], 0.9, 0), ([2.0, 0.0, 42.0, 40.0], 0.8, 0)]
    view = against_truth([answer(hands, found)])
    assert curve(view).recall[-1] == 1.0  # the second hand overlaps the second box by 2/3
    assert voc07(view) == pytest.approx(6 / 11)  # in VOC the second box is a double of the first hand


def test_small_hands_count_neither_way_among_near_ones() -> None:
    small, large = [0.0, 0.0, 10.0, 10.0], [100.0, 100.0, 200.0, 200.0]
    view = against_truth([answer([(small, 0), (large, 0)], [(small, 0.9, 0), (large, 0.8, 0)])])
    near = curve(view, min_side=1 / 12)
    assert near.wanted == 1
    assert near.right.tolist() == [True]


def test_recall_by_kind_counts_a_glove_called_a_hand_as_found() -> None:
    answers = [answer([(LEFT, 1)], [(LEFT, 0.9, 0)])]
    assert curve(against_truth(answers, HandClass.GLOVED_HAND)).recall.tolist() == []
    assert curve(any_name(answers, HandClass.GLOVED_HAND)).recall.tolist() == [1.0]
    assert recalls(answers, 0.5)["gloved_hand"]["all"]["share"] == 1
    assert recalls(answers, 0.5)["hand"]["all"]["share"] is None


def test_wilson_interval_is_the_textbook_one() -> None:
    low, high = wilson(81, 263)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe, 1998, table I
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1


def test_each_source_is_measured_by_itself() -> None:
    rows = by_source(
        [answer([(LEFT, 0)], [(LEFT, 0.9, 0)], source="a"), answer([], [(LEFT, 0.9, 0)], source="b")], 0.5
    )
    assert rows["a"]["ap50"] == 1
    assert rows["b"]["ap50"] is None
    assert rows["b"]["false_per_picture"] == 1


def near_and_free(quiet_score: float) -> list[Answer]:
    """Ten pictures with a near hand each, found at 0.95, 0.85 … 0.05; ten hand-free with one false hit."""
    seen = [answer([(LEFT, 0)], [(LEFT, 0.95 - 0.1 * i, 0)]) for i in range(10)]
    return seen + [answer([], [(LEFT, quiet_score - 0.001 * i, 0)]) for i in range(10)]


def test_the_score_is_the_highest_that_finds_the_wanted_share() -> None:
    chosen = choose(near_and_free(0.04), Wishes(recall_near=0.9, false_per_hand_free=0.1))
    assert chosen.fulfilled
    assert chosen.min_score == pytest.approx(0.15, abs=2e-4)
    assert "90.0 %" in chosen.words and "0.00 a hand-free picture" in chosen.words


def test_false_hits_decide_where_both_wishes_cannot_be_had_and_the_words_say_so() -> None:
    answers = near_and_free(0.4)
    chosen = choose(answers, Wishes(recall_near=0.9, false_per_hand_free=0.1))
    assert not chosen.fulfilled
    assert false_per_picture(answers[10:], chosen.min_score) == 0.1
    assert false_per_picture(answers[10:], chosen.min_score - 0.002) > 0.1
    assert "cannot be found at that price" in chosen.words


def test_without_hand_free_pictures_those_from_elsewhere_hold_false_hits_down() -> None:
    hands_only, elsewhere = near_and_free(0.4)[:10], near_and_free(0.6)
    wishes = Wishes(recall_near=0.9, false_per_hand_free=0.1)
    alone, helped = choose(hands_only, wishes), choose(hands_only, wishes, elsewhere)
    assert alone.min_score == pytest.approx(0.15, abs=2e-4) and "hand-free" not in alone.words
    assert false_per_picture(elsewhere[10:], helped.min_score) == 0.1
    assert "at most 0.1 false hits a hand-free picture of the old folder" in helped.words


def test_hand_free_pictures_of_the_place_itself_count_before_those_from_elsewhere() -> None:
    answers = near_and_free(0.4)
    assert choose(answers, elsewhere=near_and_free(0.9)) == choose(answers)


def test_the_score_lies_above_all_that_was_seen_on_recordings_without_a_hand() -> None:
    answers, wishes = near_and_free(0.04), Wishes(recall_near=0.9, false_per_hand_free=0.1)
    raised = choose(answers, wishes, empty=Empty(1500, 0.61237))
    assert raised.min_score == 0.6124 and not raised.fulfilled
    assert raised.words.startswith("just above every score given on 1,500 recorded frames without a hand. On 20")
    assert "40.0 %" in raised.words
    for quiet in (Empty(1500, 0.1), Empty(1500, 0.0)):
        assert choose(answers, wishes, empty=quiet) == choose(answers, wishes)


def test_recordings_count_false_hits_where_every_picture_shows_a_hand() -> None:
    doubtful = [([300.0, 300.0, 340.0, 340.0], 0.7, 0)]  # a false hit beside each hand
    hands_only = [answer([(LEFT, 0)], [(LEFT, 0.95 - 0.1 * i, 0), *doubtful]) for i in range(10)]
    wishes = Wishes(recall_near=0.9, false_per_hand_free=0.1)
    alone, watched = choose(hands_only, wishes), choose(hands_only, wishes, empty=Empty(1500, 0.30001))
    assert alone.min_score > 0.7 and "at most 0.1 false hits a picture" in alone.words
    assert watched.min_score == 0.3001 and not watched.fulfilled
    assert watched.words.startswith("just above every score given on 1,500 recorded frames without a hand. On 10")
    assert "1.00 false hits a picture" in watched.words
    quieter = choose(hands_only, wishes, empty=Empty(1500, 0.1))
    assert quieter.min_score == pytest.approx(0.15, abs=2e-4) and quieter.fulfilled
    nothing = choose(hands_only, Wishes(recall_near=1.0), empty=Empty(1500, 0.0))
    assert nothing.min_score == pytest.approx(0.05, abs=2e-4) and nothing.fulfilled


def test_recordings_decide_also_where_the_wanted_share_is_found_at_no_score() -> None:
    missed = [answer([(LEFT, 0)], []), answer([(LEFT, 0)], [(LEFT, 0.9, 0)])]
    for highest, score in ((0.0, 0.01), (0.2, 0.2001)):
        chosen = choose(missed, empty=Empty(1500, highest))
        assert chosen.min_score == score and chosen.words.startswith("just above every score given on 1,500")


SURE = Wishes(recall_near=0.9, false_per_hand_free=0.1)


def sure_and_free(false_score: float, found_score: float = 0.99999) -> list[Answer]:
    """Ten pictures with a near hand each, found at one score; ten hand-free with a false hit at another."""
    seen = [answer([(LEFT, 0)], [(LEFT, found_score, 0)]) for _ in range(10)]
    return seen + [answer([], [(LEFT, false_score, 0)]) for _ in range(10)]


def test_surer_false_hits_raise_the_score_above_them() -> None:
    chosen = choose(sure_and_free(0.9962), SURE)
    assert chosen.fulfilled and chosen.min_score == 0.9999
    lower = choose(sure_and_free(0.9962, found_score=0.9), SURE)
    assert not lower.fulfilled and lower.min_score == 0.9963
    assert lower.words.startswith("the lowest score with at most 0.1 false hits a hand-free picture")
    raised = choose(near_and_free(0.04), SURE, empty=Empty(1500, 0.9962))
    assert raised.min_score == 0.9963 and raised.words.startswith("just above every score")


@pytest.mark.parametrize("false_score", [0.99992, 1.0])
def test_false_hits_above_the_highest_score_that_can_be_set_are_told_and_nothing_else_is_claimed(
    false_score: float,
) -> None:
    for found_score in (0.9, 0.99999, 1.0):
        chosen = choose(sure_and_free(false_score, found_score), SURE)
        assert chosen.min_score == 0.9999 and not chosen.fulfilled
        assert chosen.words.startswith("the highest score that can be set, at which there are still more than 0.1 ")
        assert "1.00 a hand-free picture" in chosen.words
    empty = choose(near_and_free(0.04), SURE, empty=Empty(1500, false_score))
    assert empty.min_score == 0.9999 and not empty.fulfilled
    told = "the highest score that can be set, NOT above every score given on 1,500 recorded frames without a hand"
    assert empty.words.startswith(f"{told} (up to {false_score:.6f})")


def test_a_score_that_no_card_can_name_still_counts_no_false_hit() -> None:
    quiet = quiet_score(sure_and_free(1.0), 0.1)
    assert quiet is not None and false_per_picture(sure_and_free(1.0)[10:], quiet) == 0


def test_without_a_near_hand_nothing_can_be_chosen() -> None:
    with pytest.raises(DatasetError, match="at least one near hand, found none"):
        choose([answer([], [(LEFT, 0.5, 0)])])

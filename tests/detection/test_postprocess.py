from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handguard.detection import boxes
from handguard.detection.postprocess import Thresholds, decoded, found, scores_of, suppressed
from handguard.detection.scores import ScoreKind

PRIORS = np.array([[0.3, 0.3, 0.2, 0.2], [0.31, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]], np.float32)
STILL = np.zeros((3, 4), np.float32)


def logits_for(*scores: tuple[float, float]) -> np.ndarray:
    chosen = np.array(scores, np.float32)
    return np.log(chosen / (1 - chosen))


def run(logits: np.ndarray, **limits: object) -> tuple[list[float], list[int]]:
    hands = found(logits, STILL, PRIORS, ScoreKind.SIGMOID, Thresholds(**limits))
    return [round(float(score), 3) for score in hands.scores], hands.labels.tolist()


def test_numpy_decoding_equals_torch_decoding():
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 3, (500, 4)).astype(np.float32)
    priors = rng.uniform(0.05, 0.95, (500, 4)).astype(np.float32)
    reference = boxes.decode(torch.from_numpy(offsets), torch.from_numpy(priors)).numpy()
    np.testing.assert_allclose(decoded(offsets, priors), reference, rtol=1e-5, atol=1e-5)


def test_a_wild_size_offset_stays_finite():
    wild = np.full((1, 4), 1e6, np.float32)
    wild[:, :2] = 0
    assert np.isfinite(decoded(wild, PRIORS[:1])).all()


def test_softmax_leaves_the_background_out():
    scores = scores_of(np.array([[0.0, 1.0, 2.0]], np.float32), ScoreKind.SOFTMAX)
    np.testing.assert_allclose(scores, np.exp([[1, 2]]) / np.exp([0, 1, 2]).sum(), rtol=1e-6)


def test_of_two_boxes_on_one_hand_the_better_stays():
    assert run(logits_for((0.6, 0.001), (0.9, 0.001), (0.5, 0.001))) == ([0.9, 0.5], [0, 0])


def test_classes_are_suppressed_apart_unless_a_hand_is_of_one_class():
    both = logits_for((0.6, 0.001), (0.001, 0.9), (0.001, 0.001))
    assert run(both) == ([0.9, 0.6], [1, 0])
    assert run(both, one_class_per_hand=True) == ([0.9], [1])


def test_a_score_at_the_threshold_counts_and_one_below_does_not():
    logits = np.array([[0.0, -9], [-0.01, -9], [-9, -9]], np.float32)
    assert run(logits, min_score=0.5) == ([0.5], [0])


def test_nothing_found_is_an_empty_result():
    hands = found(logits_for(*[(0.001, 0.001)] * 3), STILL, PRIORS, ScoreKind.SIGMOID, Thresholds())
    assert hands.boxes_norm.shape == (0, 4)
    assert hands.scores.shape == (0,)
    assert hands.labels.dtype == np.int64


def test_more_hands_than_candidates_keeps_the_best():
    rng = np.random.default_rng(1)
    priors = np.concatenate([rng.uniform(0, 1, (900, 2)), np.full((900, 2), 0.001)], axis=1).astype(
        np.float32
    )
    scores = np.linspace(0.1, 0.9, 900, dtype=np.float32)
    logits = np.stack([np.log(scores / (1 - scores)), np.full(900, -20)], axis=1).astype(np.float32)
    hands = found(logits, np.zeros((900, 4), np.float32), priors, ScoreKind.SIGMOID, Thresholds())
    assert len(hands.scores) == 200
    assert hands.scores[0] == pytest.approx(0.9, abs=1e-5)
    assert hands.scores.min() > 0.6


def apart(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of so many hands that nowhere overlap, the first one best, and their priors."""
    at = (np.indices((32, 32)).reshape(2, -1).T[:count] + 0.5) / 32
    priors = np.concatenate([at, np.full((count, 2), 0.01)], axis=1).astype(np.float32)
    logits = np.stack([np.linspace(5, 4, count), np.full(count, -20)], axis=1).astype(np.float32)
    return logits, priors


@pytest.mark.parametrize(
    ("hands", "candidates", "keep", "left_out"),
    [
        (20, 21, 20, None),  # everything is looked at
        (20, 20, 20, 19),  # there may have been more: the last candidate says how sure they were at most
        (20, 15, 20, 14),
        (20, 21, 12, 12),  # the first hand that is beyond the limit
        (20, 15, 12, 12),
    ],
)
def test_how_sure_what_is_left_out_may_have_been(hands: int, candidates: int, keep: int, left_out: int | None):
    logits, priors = apart(hands)
    limits = Thresholds(0.5, candidates=candidates, keep=keep)
    told = found(logits, np.zeros((hands, 4), np.float32), priors, ScoreKind.SIGMOID, limits)
    assert told.left_out == (0.0 if left_out is None else scores_of(logits, ScoreKind.SIGMOID)[left_out, 0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_suppression_keeps_the_best_and_leaves_no_overlap(seed: int, count: int):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.8, (count, 2))
    some = np.concatenate([low, low + rng.uniform(0.02, 0.4, (count, 2))], axis=1).astype(np.float32)
    kept = suppressed(some, np.zeros(count, np.int64), 0.45)
    assert kept[0] == 0 and (np.diff(kept) > 0).all()
    overlap = boxes.iou_matrix(torch.from_numpy(some[kept]), torch.from_numpy(some[kept])).numpy()
    assert (overlap - np.eye(len(kept)) <= 0.4501).all()
    for lost in set(range(count)) - set(kept.tolist()):
        rivals = kept[kept < lost]
        ious = boxes.iou_matrix(torch.from_numpy(some[[lost]]), torch.from_numpy(some[rivals])).numpy()
        assert ious.max() > 0.4499


def test_suppression_leaves_other_groups_alone():
    same = np.array([[0.1, 0.1, 0.4, 0.4]] * 4, np.float32)
    assert suppressed(same, np.array([1, 0, 1, 0]), 0.45).tolist() == [0, 1]

"""Arithmetic on boxes, against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handguard.detection import boxes

sides = st.floats(0.02, 1.0)  # within the factor of 62 that `decode` allows
centers = st.floats(0.0, 1.0)
some_box = st.tuples(centers, centers, sides, sides)


def box(*numbers: float) -> torch.Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


@given(some_box, some_box)
def test_decode_undoes_encode(gt: tuple[float, ...], prior: tuple[float, ...]) -> None:
    gt_xyxy = boxes.to_xyxy(box(*gt))
    assert torch.allclose(boxes.decode(boxes.encode(gt_xyxy, box(*prior)), box(*prior)), gt_xyxy, atol=1e-9)


@given(some_box)
def test_both_notations_say_the_same(cxcywh: tuple[float, ...]) -> None:
    assert torch.allclose(boxes.to_cxcywh(boxes.to_xyxy(box(*cxcywh))), box(*cxcywh), atol=1e-12)


@given(some_box, some_box)
def test_overlap_is_symmetric_and_a_share(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    a, b = boxes.to_xyxy(box(*first)), boxes.to_xyxy(box(*second))
    iou = float(boxes.iou_matrix(a, b))
    assert iou == pytest.approx(float(boxes.iou_matrix(b, a)))
    assert 0 <= iou <= 1 + 1e-9
    assert float(boxes.iou_matrix(a, a)) == pytest.approx(1)


def test_encode_counts_shifts_in_priors_and_sizes_in_logs() -> None:
    """A prior of 0.2 × 0.4 in the middle; the box lies half a prior to the right and is twice as wide."""
    coded = boxes.encode(boxes.to_xyxy(box(0.6, 0.5, 0.4, 0.4)), box(0.5, 0.5, 0.2, 0.4))
    assert coded[0].tolist() == pytest.approx([0.5 / 0.1, 0, math.log(2) / 0.2, 0], abs=1e-9)


def test_a_wild_size_offset_does_not_overflow() -> None:
    decoded = boxes.decode(torch.full((1, 4), 1e6), torch.tensor([[0.5, 0.5, 0.1, 0.1]]))
    assert decoded.isfinite().all()


def test_overlap_of_two_boxes_worked_by_hand() -> None:
    """2 × 2 and 2 × 2, shifted by one: 1 shared of 7."""
    assert float(boxes.iou_matrix(box(0, 0, 2, 2), box(1, 1, 3, 3))) == pytest.approx(1 / 7)


def test_empty_boxes_overlap_nothing() -> None:
    assert float(boxes.iou_matrix(box(1, 1, 1, 1), box(1, 1, 1, 1))) == 0
    assert boxes.iou_matrix(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)


def test_an_inverted_box_has_no_area() -> None:
    assert float(boxes.areas(box(2, 2, 1, 3))) == 0


def test_complete_iou_worked_by_hand() -> None:
    """2 × 2 at the origin and 2 × 2 shifted by one: same shape, centres √2 apart, hull 3 × 3."""
    expected = 1 / 7 - 2 / 18
    assert float(boxes.complete_iou(box(0, 0, 2, 2), box(1, 1, 3, 3))) == pytest.approx(expected)


def test_complete_iou_counts_unlike_shapes() -> None:
    """4 × 2 and 2 × 4 round one centre: 4 shared of 12, no distance, only the angles differ."""
    unlike = 4 / math.pi**2 * (math.atan(2) - math.atan(0.5)) ** 2
    expected = 1 / 3 - unlike**2 / (1 - 1 / 3 + unlike)
    found = float(boxes.complete_iou(box(-2, -1, 2, 1), box(-1, -2, 1, 2)))
    assert found == pytest.approx(expected)


@given(some_box, some_box)
def test_complete_iou_stays_in_its_bounds(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    a, b = boxes.to_xyxy(box(*first)), boxes.to_xyxy(box(*second))
    assert -2.0 <= float(boxes.complete_iou(a, b)) <= float(boxes.iou_matrix(a, b)) + 1e-9


def test_complete_iou_has_a_finite_gradient_for_empty_boxes() -> None:
    flat = box(0.5, 0.5, 0.5, 0.5).requires_grad_()
    boxes.complete_iou(flat, box(0, 0, 1, 1)).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()

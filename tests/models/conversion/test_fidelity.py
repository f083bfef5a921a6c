"""Figures of merit against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.records import FloatArray
from models.common.geometry import iou_matrix, paired_iou
from models.common.logits import sigmoid
from models.conversion.fidelity import Raw, fidelity


def boxes(*rows: tuple[float, float, float, float]) -> FloatArray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_overlap_of_pairs() -> None:
    a = boxes((0, 0, 10, 20), (0, 0, 10, 20), (0, 0, 10, 20))
    b = boxes((0, 0, 10, 20), (5, 0, 15, 20), (20, 0, 30, 20))
    assert paired_iou(a, b).tolist() == pytest.approx([1, 1 / 3, 0])


def test_overlap_of_all_with_all() -> None:
    found = iou_matrix(boxes((0, 0, 2, 2), (1, 0, 3, 2)), boxes((0, 0, 2, 2), (0, 0, 4, 2), (9, 9, 10, 10)))
    assert found.shape == (2, 3)
    assert found.tolist() == [pytest.approx([1, 0.5, 0]), pytest.approx([1 / 3, 0.5, 0])]
    assert iou_matrix(boxes(), boxes((0, 0, 1, 1))).shape == (0, 1)


def test_fidelity() -> None:
    reference = Raw(boxes((0, 0, 10, 10), (0, 0, 4, 4)), np.array([[0.45, 0.01], [0.05, 0.02]], np.float32))
    other = Raw(boxes((0, 0, 10, 5), (9, 9, 10, 10)), np.array([[0.35, 0.12], [0.05, 0.02]], np.float32))
    found = fidelity([(reference, other)])
    assert found.pairs == 2  # the second anchor is below 0.1 in both
    assert found.score_mean == pytest.approx((0.10 + 0.11) / 2, abs=1e-6)
    assert found.score_bias == pytest.approx((-0.10 + 0.11) / 2, abs=1e-6)
    assert found.flips == (0, 1, 0)
    assert found.box_iou == pytest.approx(0.5)


def test_fidelity_of_nothing_is_no_figure() -> None:
    empty = Raw(boxes((0, 0, 1, 1)), np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match="saw nothing"):
        fidelity([(empty, empty)])


def test_a_very_low_logit_is_a_score_of_nothing_without_overflow() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-200, 0, 200], np.float32)), [0, 0.5, 1], atol=1e-30)

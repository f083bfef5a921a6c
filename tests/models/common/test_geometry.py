"""Test areas and overlaps of boxes against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.records import FloatArray
from models.common.geometry import covered_share, iou_matrix, paired_iou


def boxes(*rows: tuple[float, float, float, float]) -> FloatArray:
    """Return the rows as boxes."""
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


def test_the_covered_share_is_of_the_first_box() -> None:
    inner, outer = boxes((0, 0, 10, 10)), boxes((5, 0, 30, 30), (20, 20, 30, 30))
    assert covered_share(inner, outer).tolist() == [[0.5, 0.0]]
    assert covered_share(inner[:0], outer).shape == (0, 2)

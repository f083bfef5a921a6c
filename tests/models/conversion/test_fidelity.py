"""Test figures of fidelity against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.records import FloatArray
from models.conversion.fidelity import Raw, fidelity


def boxes(*rows: tuple[float, float, float, float]) -> FloatArray:
    """Return the rows as boxes."""
    return np.array(rows, np.float32).reshape(-1, 4)


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

"""Areas and overlaps of boxes. Pure numpy.

Boxes are float32 (N, 4), x0 y0 x1 y1, in any unit that is the same in both directions for areas and overlaps to mean
something; a share of areas does not depend on the unit.
"""

from __future__ import annotations

import numpy as np

from edge_app.records import FloatArray


def area(boxes: FloatArray) -> FloatArray:
    """Return the area of each box, float32 (N,)."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float32)


def shared_area(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the area of the intersection of each box of `a` (N, 4) with each of `b` (M, 4), float32 (N, M)."""
    side = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    side = np.maximum(side, 0)
    return np.asarray(side[..., 0] * side[..., 1], np.float32)


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU of each box of `a` (N, 4) with each of `b` (M, 4), float32 (N, M)."""
    both = shared_area(a, b)
    union = area(a)[:, None] + area(b)[None] - both
    return np.asarray(both / np.maximum(union, 1e-9), np.float32)


def paired_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the IoU of each box of `a` (N, 4) with the box in the same row of `b` (N, 4), float32 (N,)."""
    side = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0)
    both = side[:, 0] * side[:, 1]
    return np.asarray(both / np.maximum(area(a) + area(b) - both, 1e-9), np.float32)


def covered_share(boxes: FloatArray, by: FloatArray) -> FloatArray:
    """Return the share of each box of `boxes` (N, 4) that lies within each of `by` (M, 4), float32 (N, M) in 0..1."""
    return np.asarray(shared_area(boxes, by) / np.maximum(area(boxes)[:, None], 1e-12), np.float32)

"""Areas and overlaps of boxes x0, y0, x1, y1 by the plain formula, to check the program against."""

from __future__ import annotations

from collections.abc import Sequence


def area(box: Sequence[float]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def common_area(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return float(max(0, width) * max(0, height))


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection of two boxes over their union."""
    common = common_area(a, b)
    return common / (area(a) + area(b) - common)

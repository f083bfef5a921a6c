"""Lay a grid of metres on the road, so that a person sees in the picture whether a geometry is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from edge_app.measures.ground import GroundPlane, Points

_STEPS: Final = (1, 2, 5, 10, 20, 50, 100)
_MOST: Final = 30
"""Largest number of squares in each direction."""
_BESIDE: Final = 0.5
"""How far the grid reaches beyond the marked points, as a share of their extent, and at least, m:"""
_LEAST_M: Final = 2.0
_LOOKS: Final = 33
"""Points along a line of the grid: it ends where the picture does, and is bent where the lens bends it."""
_NEAR: Final = 2.0
"""How far beyond the picture a line is followed, in widths and heights of it."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid on the road. step_m: side of its squares. lines: each (N, 2), in 0..1 of the frame, N at least 2."""

    step_m: int
    lines: tuple[Points, ...]


def road_grid(plane: GroundPlane) -> Grid:
    """Return the grid around the marked points of a plane; its corner is where the places are 0, 0."""
    low, high = plane.road.min(axis=0), plane.road.max(axis=0)
    beside = np.maximum((high - low) * _BESIDE, _LEAST_M)
    longest = float((high - low + 2 * beside).max())
    step = next((step for step in _STEPS if longest / step <= _MOST), _STEPS[-1])
    first, last = np.floor((low - beside) / step) * step, np.ceil((high + beside) / step) * step
    lines = tuple(line for axis in (0, 1) for line in _lines(plane, first, last, axis, step))
    return Grid(step, lines)


def _lines(plane: GroundPlane, first: Points, last: Points, axis: int, step: int) -> Iterator[Points]:
    """Yield the parts that are seen of the lines on which one axis of the road has multiples of the step."""
    places = np.empty((_LOOKS, 2))
    places[:, 1 - axis] = np.linspace(first[1 - axis], last[1 - axis], _LOOKS)
    for value in np.arange(first[axis], last[axis] + step / 2, step):
        places[:, axis] = value
        points = plane.in_picture(places) / plane.size
        seen = [bool((np.abs(point - 0.5) <= 0.5 + _NEAR).all()) for point in points]  # false for NaN
        for is_seen, run in groupby(range(_LOOKS), key=seen.__getitem__):
            rows = list(run)
            if is_seen and len(rows) > 1:
                yield points[rows] if plane.distortion else points[[rows[0], rows[-1]]]

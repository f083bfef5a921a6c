"""A line across a road with its lanes: how far before or behind it a place lies, and in which lane."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.ground import GroundPlane, Points
from edge_app.records import Line

_BESIDE = 0.1
"""Part of its length by which a vehicle may pass beside the line and still be at it."""


class LaneLine:
    """A line with lanes on the road, m, or in the picture, px, where the plane is not known.

    lanes: where they part, 0..1 of the way from the line's start to its end in the picture, rising; lane 1 is at the
    start. size: of the frame, px.
    """

    def __init__(self, line: Line, lanes: Sequence[float], size: tuple[int, int], plane: GroundPlane | None) -> None:
        start, end = np.array(line.start) * size, np.array(line.end) * size
        shown = np.stack([start, end, *(start + part * (end - start) for part in lanes)])
        points = shown if plane is None else plane.on_road(shown)
        self._start, way = points[0], points[1] - points[0]
        self._length = float(np.hypot(*way))
        self.along = way / self._length
        self.across = np.array([-self.along[1], self.along[0]])
        self._splits = ((points[2:] - self._start) @ self.along / self._length).tolist()

    def distances(self, places: Points) -> NDArray[np.float64]:
        """Return how far places, (N, 2), lie from the line; the sign is the side."""
        return np.asarray((places - self._start) @ self.across)

    def positions(self, places: Points) -> NDArray[np.float64]:
        """Return how far along the line places, (N, 2), lie: 0 at its start, 1 at its end."""
        return np.asarray((places - self._start) @ self.along / self._length)

    def lane(self, position: float) -> int | None:
        """Return the lane of a position along the line, from 1; None for one beside it."""
        if not -_BESIDE <= position <= 1 + _BESIDE:
            return None
        return bisect_right(self._splits, position) + 1

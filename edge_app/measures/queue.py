"""Sum up the queue before a line: vehicles that stand in a region of the picture.

A vehicle stands while its place changed by less than a limit over the last second, so that a box which trembles does
not drive. On the road the limit is 3 km/h; without a geometry it is half the longer side of its box a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.footprint import lower_edges
from edge_app.measures.ground import GroundPlane, Points
from edge_app.records import Tracks

STANDING_MPS: Final = 3.0 / 3.6
"""Speed, m/s, below which a vehicle stands."""
STANDING_BOXES: Final = 0.5
"""The same without geometry, in longer sides of its box a second."""
_OVER_S: Final = 1.0
"""Time, s, over which a vehicle's place is compared."""
_EVERY_S: Final = 0.2
"""Shortest time, s, between two frames that are looked at."""
_FEWEST: Final = 3
"""Number of corners of a polygon; two are opposite corners of a rectangle."""


@dataclass(frozen=True, slots=True)
class QueueSums:
    """Sums of a span of time: vehicle_s and any_s may be added up, of `most` the maximum counts.

    vehicle_s: of all standing vehicles together, s. any_s: with at least one, s. most: at the same time.
    """

    vehicle_s: float
    any_s: float
    most: int


class Queue:
    """Queue of one line. region: two opposite corners, or three or more of a polygon, in 0..1 of the frame."""

    def __init__(self, region: Sequence[tuple[float, float]]) -> None:
        corners = np.array(region, np.float64)
        if len(corners) < _FEWEST:
            (x0, y0), (x1, y1) = corners
            corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        self._region = Polygon(corners)
        self._places: dict[int, deque[tuple[float, float, float]]] = {}
        self._steps: deque[tuple[float, float, int]] = deque()
        self._last: tuple[float, int] | None = None

    def feed(
        self, time: float, tracks: Tracks, size: tuple[int, int], plane: GroundPlane | None, *, unseen: bool
    ) -> None:
        """Take the tracks of every frame. time: s. size: of the frame, px. unseen: since the frame before."""
        if unseen:
            self._last = None
        if self._last is not None and time - self._last[0] < _EVERY_S:
            return
        standing = self._standing(time, tracks, size, plane)
        if self._last is not None:
            self._add(self._last[0], time, self._last[1])
        self._last = time, standing

    def take(self, until: float) -> QueueSums:
        """Return the sums of what was fed and lies before a time, s, and forget it."""
        vehicle_s, any_s, most = 0.0, 0.0, 0
        while self._steps and self._steps[0][0] < until:
            start, end, number = self._steps.popleft()
            if end > until:
                self._steps.appendleft((until, end, number))
            lasted = min(end, until) - start
            vehicle_s, any_s, most = vehicle_s + number * lasted, any_s + lasted * (number > 0), max(most, number)
        return QueueSums(vehicle_s, any_s, most)

    def _add(self, start: float, end: float, number: int) -> None:
        if not number:
            return
        if self._steps and self._steps[-1][1:] == (start, number):
            start = self._steps.pop()[0]
        self._steps.append((start, end, number))

    def _standing(self, time: float, tracks: Tracks, size: tuple[int, int], plane: GroundPlane | None) -> int:
        ids = tracks.ids.tolist()
        feet = lower_edges(tracks.boxes)
        there = np.flatnonzero(self._region.holds(feet / size))
        self._places = {track: found for track in ids if (found := self._places.get(track))}
        if not len(there):
            return 0
        if plane is None:
            boxes = tracks.boxes[there]
            at, limits = feet[there], (STANDING_BOXES * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)).tolist()
        else:
            at, limits = plane.on_road(feet[there]), [STANDING_MPS] * len(there)
        rows = zip(there.tolist(), at.tolist(), limits, strict=True)
        return sum(self._stands(ids[row], time, x, y, limit) for row, (x, y), limit in rows)

    def _stands(self, track: int, time: float, x: float, y: float, limit: float) -> bool:
        """Note a place, m or px; return whether it changed by less than the limit, m/s or px/s."""
        places = self._places.setdefault(track, deque())
        places.append((time, x, y))
        while len(places) > 1 and places[1][0] <= time - _OVER_S:
            places.popleft()
        since, x0, y0 = places[0]
        elapsed = time - since
        return elapsed >= _OVER_S and hypot(x - x0, y - y0) < limit * elapsed


class Polygon:
    """Region with these corners, (M, 2)."""

    def __init__(self, corners: Points) -> None:
        way = np.roll(corners, -1, axis=0) - corners
        self._x, self._y = corners.T
        self._end_y = self._y + way[:, 1]
        self._slope = way[:, 0] / np.where(way[:, 1] == 0, 1.0, way[:, 1])

    def holds(self, points: Points) -> NDArray[np.bool_]:
        """Return which points, (N, 2), lie in it, by the crossings of a ray."""
        x, y = points[:, :1], points[:, 1:]
        spans = (self._y > y) != (self._end_y > y)
        left = x < self._x + (y - self._y) * self._slope
        return np.asarray((spans & left).sum(axis=1) % 2 == 1)

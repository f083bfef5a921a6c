"""Tell which error speeds at a line will have, before a vehicle has passed."""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_app.measures.ground import Geometry
from edge_app.measures.scale_error import POINT_PX, speed_error
from edge_app.measures.speed import AROUND_S
from edge_app.records import Line

KMH: Final = 30.0
"""Speed for which the error is told: that of the slowest band in which percentages matter."""
_LIKE_ONE: Final = 3.0
"""Number of boxes of successive frames that tell no more than one."""


def expected_error(geometry: Geometry, line: Line, size: tuple[int, int], rate: float) -> float:
    """Return the standard deviation of a vehicle's speed at the middle of a line, as a share, at 30 km/h.

    size: of the frame, px. rate: frames/s. The vehicle crosses the line at a right angle; its box is off by 1.5 px.
    Raises GeometryError: when no plane follows from the geometry.
    """
    plane = geometry.plane(size)
    ends = plane.on_road(np.array([line.start, line.end]) * size)
    middle = plane.on_road(np.array([line.start, line.end]).mean(axis=0, keepdims=True) * size)[0]
    along = ends[1] - ends[0]
    way = np.array([-along[1], along[0]]) / np.hypot(*along)
    shown = plane.in_picture(np.stack([middle - way / 2, middle + way / 2]))
    look = POINT_PX / float(np.hypot(*(shown[1] - shown[0])))
    times = np.arange(-AROUND_S, AROUND_S, 1 / rate)
    slope = look * np.sqrt(_LIKE_ONE / float((times**2).sum())) / (KMH / 3.6)
    return float(np.hypot(speed_error(plane, middle, way * (2 * AROUND_S * KMH / 3.6), "car"), slope))

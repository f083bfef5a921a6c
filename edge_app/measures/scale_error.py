"""Tell how far speeds at a place may be wrong because the geometry is: four points leave no residual.

Each marked point may be off by a part of the picture and each measured length by a share; what a small change of each
does to the scale at the place is added up as squares (first-order propagation of errors).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from edge_app.measures.ground import GroundPlane, Points

POINT_PX: Final = 1.5
"""Standard deviation of a marked point, px of the frame, in each direction."""
LENGTH: Final = 0.02
"""Standard deviation of a measured length, as a share of it."""


def scale_error(plane: GroundPlane, place: Points, heading: Points) -> float:
    """Return the standard deviation of lengths along a way on the road, as a share of them.

    place: (2,), m. heading: (2,), of any length above 0. Infinite where a small change leads beyond the horizon.
    """
    ahead = np.asarray(heading) / np.hypot(*heading)
    ends = plane.in_picture(np.stack([place - ahead / 2, place + ahead / 2]))
    total = 0.0
    for altered in _altered(plane):
        first, last = altered.on_road(ends)
        total += (float(np.hypot(*(last - first))) - 1.0) ** 2
    return float(np.sqrt(total)) if np.isfinite(total) else float("inf")


@lru_cache(maxsize=2)
def _altered(plane: GroundPlane) -> tuple[GroundPlane, ...]:
    """Return the plane with each thing that may be wrong changed a little; a road has one plane for years."""
    return tuple(
        GroundPlane(plane.picture + picture, plane.road + road, plane.size, distortion=plane.distortion)
        for picture, road in _changes(plane)
    )


def _changes(plane: GroundPlane) -> list[tuple[Points, Points]]:
    """Return what may be wrong, each by its standard deviation: shifts in the picture, and on the road."""
    none = np.zeros_like(plane.picture)
    found = []
    for index in np.ndindex(none.shape):
        shift = none.copy()
        shift[index] = POINT_PX / plane.size[index[1]]
        found.append((shift, none))
    for axis in range(2):
        stretch = none.copy()
        stretch[:, axis] = plane.road[:, axis] * LENGTH
        found.append((none, stretch))
    return found

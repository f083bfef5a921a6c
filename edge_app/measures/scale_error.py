"""Tell how far speeds at a place may be wrong because the geometry is, or the vehicle is not what its class is.

Four points leave no residual. So a vehicle is put on the road at two places, and it is told what would be measured of
its way if one thing were off by its standard deviation: a marked point, a measured length, a size of the vehicle. What
each does is added up as squares (propagation of errors, both ways, since it is not linear far from the marks).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from edge_app.measures import footprint
from edge_app.measures.footprint import SOLIDS, VARIETY, Solid
from edge_app.measures.ground import GroundPlane, Points

POINT_PX: Final = 1.5
"""Standard deviation of a marked point, px of the frame, in each direction."""
LENGTH: Final = 0.02
"""Standard deviation of a measured length, as a share of it."""
_CLEAR: Final = 0.2
_WHEELS: Final = 0.1
"""The same of the height of a bumper and of the distance between the wheels, for those of a class."""
_PLACE_M: Final = 3.0
_SHORTEST_M: Final = 4.0
_TURN: Final = np.pi / 8
"""Places, m, and ways that differ by less have the same error: it is told once for the many vehicles of a lane. Over a
shorter way it would hang on whether just there another corner of the vehicle becomes the lowest."""


def scale_error(plane: GroundPlane, place: Points, heading: Points) -> float:
    """Return the standard deviation of lengths on the road along a way, as a share of them.

    place: (2,), m. heading: (2,), of any length above 0. Infinite where a small change leads beyond the horizon.
    """
    return _scale_error(plane, *_cell(place, heading))


@lru_cache(maxsize=512)
def _scale_error(plane: GroundPlane, place: tuple[float, float], ahead: tuple[float, float]) -> float:
    ends = plane.in_picture(np.array(place) + np.array([[-0.5], [0.5]]) * ahead)
    shares = [_length(altered.on_road(ends)) - 1.0 for altered in _altered(plane)]
    return _together(shares)


def speed_error(plane: GroundPlane, place: Points, way: Points, label: str) -> float:
    """Return the standard deviation of the speed of vehicles of a class, as a share of it; see `scale_error`.

    place: (2,), m, in the middle of the way, (2,), m, over which the speed is told.
    """
    length = 2.0 ** int(np.log2(max(float(np.hypot(*way)), _SHORTEST_M)))
    (x, y), ahead = _cell(place, way)
    error = float("inf")
    while length >= 1 and not np.isfinite(error):  # a long way may begin beneath the camera
        error = _speed_error(plane, (x, y), (length * ahead[0], length * ahead[1]), label)
        length /= 2
    return error


@lru_cache(maxsize=512)
def _speed_error(plane: GroundPlane, place: tuple[float, float], way: tuple[float, float], label: str) -> float:
    ends = np.array(place) + np.array([[-0.5], [0.5]]) * way
    usual, heading = SOLIDS[label], np.array(way)
    feet, true = footprint.shown(plane, ends, usual, heading), float(np.hypot(*way))
    shares = [_length(_found(altered, feet, usual, None)) / true - 1.0 for altered in _altered(plane)]
    for solid in _others(label):
        seen = footprint.shown(plane, ends, solid, heading)
        shares.append(_length(_found(plane, seen, usual, heading)) / true - 1.0)
    return _together(shares)


def _cell(place: Points, way: Points) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a place nearby and the direction of a way, for which errors are told once."""
    turn = round(float(np.arctan2(way[1], way[0])) / _TURN) * _TURN
    x, y = (round(float(value) / _PLACE_M) * _PLACE_M for value in place)
    return (x, y), (float(np.cos(turn)), float(np.sin(turn)))


def _found(plane: GroundPlane, feet: Points, solid: Solid, heading: Points | None) -> Points:
    """Return where the solid stands of which these px, (2, 2), are the middles of the lower edges."""
    boxes = np.concatenate([feet - (0, 1), feet], axis=1).astype(np.float32)
    edges = plane.on_road(feet)
    return footprint.places(plane, boxes, solid, edges[1] - edges[0] if heading is None else heading)


def _length(ends: Points) -> float:
    return float(np.hypot(*(ends[1] - ends[0])))


def _together(shares: list[float]) -> float:
    """Return the standard deviation that follows from shares of changes up and down, infinite with one unknown."""
    total = float(np.square(shares).sum()) / 2
    return float(np.sqrt(total)) if np.isfinite(total) else float("inf")


@lru_cache(maxsize=2)
def _altered(plane: GroundPlane) -> tuple[GroundPlane, ...]:
    """Return the plane with each thing that may be wrong changed up and down; a road has one plane for years."""
    return tuple(
        GroundPlane(plane.picture + picture * sign, plane.road + road * sign, plane.size, distortion=plane.distortion)
        for picture, road in _changes(plane)
        for sign in (1, -1)
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


def _others(label: str) -> list[Solid]:
    """Return the solid of a class with each size changed up and down by its standard deviation."""
    usual, (length, width, height) = SOLIDS[label], VARIETY[label]
    found = []
    for sign in (1, -1):
        longer = 1 + sign * length
        found += [
            replace(usual, length=usual.length * longer, wheels=usual.wheels * longer),
            replace(usual, width=usual.width * (1 + sign * width)),
            replace(usual, height=usual.height * (1 + sign * height)),
            replace(usual, clear=usual.clear * (1 + sign * _CLEAR)),
            replace(usual, wheels=usual.wheels * (1 + sign * _WHEELS)),
        ]
    return found

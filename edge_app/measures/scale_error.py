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
from numpy.typing import NDArray

from edge_app.measures import footprint
from edge_app.measures.footprint import SOLIDS, VARIETY, Solid, corners, for_each
from edge_app.measures.ground import GroundPlane, Points, one_for_each

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
_ENDS: Final = np.array([[-0.5], [0.5]])


def scale_error(plane: GroundPlane, place: Points, heading: Points) -> float:
    """Return the standard deviation of lengths on the road along a way, as a share of them.

    place: (2,), m. heading: (2,), of any length above 0. Infinite where a small change leads beyond the horizon.
    """
    return _scale_error(plane, *_cell(place, heading))


@lru_cache(maxsize=512)
def _scale_error(plane: GroundPlane, place: tuple[float, float], ahead: tuple[float, float]) -> float:
    ends = plane.in_picture(np.array(place) + _ENDS * ahead)
    altered, number = _altered(plane)
    return _together(_lengths(altered.on_road(np.tile(ends, (number, 1)))) - 1.0)


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
    ends, heading, true = np.array(place) + _ENDS * way, np.array(way), float(np.hypot(*way))
    usual, others, (altered, number) = SOLIDS[label], _others(label), _altered(plane)
    feet = np.tile(footprint.shown(plane, ends, corners(usual, heading)), (number, 1))
    edges = altered.on_road(feet)
    turned = for_each([corners(usual, turn) for turn in edges[1::2] - edges[::2]], [2] * number)
    shares = _lengths(footprint.stood(altered, feet, turned)) / true - 1.0
    sized = for_each([corners(solid, heading) for solid in others], [2] * len(others))
    seen = footprint.shown(plane, np.tile(ends, (len(others), 1)), sized)
    found = footprint.stood(plane, seen, corners(usual, heading))
    return _together(np.concatenate([shares, _lengths(found) / true - 1.0]))


def _cell(place: Points, way: Points) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a place nearby and the direction of a way, for which errors are told once."""
    turn = round(float(np.arctan2(way[1], way[0])) / _TURN) * _TURN
    x, y = (round(float(value) / _PLACE_M) * _PLACE_M for value in place)
    return (x, y), (float(np.cos(turn)), float(np.sin(turn)))


def _lengths(ends: Points) -> NDArray[np.float64]:
    """Return the lengths, (N,) m, of ways of which one end after the other is given, (2 N, 2) m."""
    return np.asarray(np.hypot(*(ends[1::2] - ends[::2]).T))


def _together(shares: NDArray[np.float64]) -> float:
    """Return the standard deviation that follows from shares of changes up and down, infinite with one unknown."""
    total = float(np.square(shares).sum()) / 2
    return float(np.sqrt(total)) if np.isfinite(total) else float("inf")


@lru_cache(maxsize=2)
def _altered(plane: GroundPlane) -> tuple[GroundPlane, int]:
    """Return the plane with each thing that may be wrong changed up and down, each twice, and how many that are.

    Two ends of a way are mapped by each. A road has one plane for years.
    """
    planes = [
        GroundPlane(plane.picture + picture * sign, plane.road + road * sign, plane.size, distortion=plane.distortion)
        for picture, road in _changes(plane)
        for sign in (1, -1)
    ]
    return one_for_each([one for one in planes for _ in range(2)]), len(planes)


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

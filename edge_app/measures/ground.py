"""Map picture points to the road and back: a plane in metres, from points whose places on the road are known.

The map is a homography (R. Hartley, A. Zisserman: Multiple View Geometry, 2nd edition 2004, chapter 4) between the road
and the picture without lens distortion; the distortion follows the division model with one coefficient (A. Fitzgibbon:
Simultaneous linear estimation of multiple view geometry and lens distortion, CVPR 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_app.errors import GeometryError
from edge_app.records import Line

Points: TypeAlias = NDArray[np.float64]
"""(N, 2): px of the frame, or m on the road."""

_USUAL: Final = (1280, 720)
"""Width and height of a frame, px, before one has come."""
_FOCAL: Final = (0.4, 8.0)
"""Range of focal lengths, in widths of the frame."""
_FLAT: Final = 0.01
"""Smallest area of the largest triangle of the given points, as a share of the square of their longest distance."""
_LEAST: Final = 1e-9
"""Instead of nothing, where the lens shows nothing any more."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Points in 0..1 of the frame and their places on the road, m, from which the plane follows; see GroundPlane."""

    picture: tuple[tuple[float, float], ...]
    road: tuple[tuple[float, float], ...]
    distortion: float = 0.0

    def plane(self, size: tuple[int, int]) -> GroundPlane:
        """Return the plane in frames of this width and height, px. Raises GeometryError.

        All that measure on one road get the same: what is told once of a plane is told once for all of them.
        """
        return _plane(self, size)

    def refuse_beyond(self, lines: Sequence[Line]) -> None:
        """Raise GeometryError for a line that reaches the horizon."""
        plane = self.plane(_USUAL)
        for line in lines:
            if not np.isfinite(plane.on_road(np.array([line.start, line.end]) * _USUAL)).all():
                raise GeometryError(
                    f'line "{line.id}" reaches the horizon, where nothing can be measured: lower it', code="beyond"
                )


class GroundPlane:
    """Plane of the road, in metres, as a camera sees it.

    picture: (N, 2), at least four points in 0..1 of the frame's width and height. road: (N, 2), their places, m, the
    second axis to the left of the first as seen from above. size: width and height of the frame, px. distortion:
    coefficient of the division model, with radii in half diagonals of the frame; negative for a barrel.
    Raises GeometryError: points from which no plane follows.
    """

    def __init__(self, picture: ArrayLike, road: ArrayLike, size: tuple[int, int], *, distortion: float = 0.0) -> None:
        self.picture, self.road = np.asarray(picture, np.float64), np.asarray(road, np.float64)
        self.size, self.distortion = size, distortion
        self._centre, self._radius = np.array(size) / 2, float(np.hypot(*size)) / 2
        pixels = self._straightened(self.picture * size)
        for points, where in ((pixels, "in the picture"), (self.road, "on the road")):
            if _flatness(points) < _FLAT:
                raise GeometryError(
                    f"the points lie nearly in a line {where}: choose points that span an area", code="flat"
                )
        self._to_road = _homography(pixels, self.road)
        self._to_picture = np.asarray(np.linalg.inv(self._to_road), np.float64)
        self._up = _upwards(self._to_picture, self._centre, size[0])

    def on_road(self, points: ArrayLike) -> Points:
        """Return the places on the road, m, of points of the frame, px; NaN above the horizon."""
        return _mapped(self._to_road, self._straightened(np.asarray(points, np.float64)))[0]

    def in_picture(self, places: ArrayLike, up: ArrayLike = 0.0) -> Points:
        """Return the px of places on the road, m, or of points `up` m above them; NaN behind the camera."""
        return self._distorted(_mapped(self._to_picture, np.asarray(places, np.float64), self._lifts(up))[0])

    def changes(self, places: Points, up: ArrayLike) -> NDArray[np.float64]:
        """Return by how much the px of such points change with their places: (..., 2, 2), px/m.

        The derivatives of x and y by the first axis of the road, then those by the second.
        """
        pixels, inverse = _mapped(self._to_picture, places, self._lifts(up))
        matrix = self._to_picture.T
        found = (matrix[..., :2, :2] - matrix[..., :2, 2:] * pixels[..., None, :]) * inverse[..., None, None]
        return np.asarray(found @ self._bends(pixels) if self.distortion else found)

    def _lifts(self, up: ArrayLike) -> tuple[NDArray[np.float64], ...]:
        height = np.asarray(up, np.float64)
        return tuple(height * one for one in self._up)

    def _straightened(self, points: Points) -> Points:
        """Return px without lens distortion."""
        if not self.distortion:
            return points
        offset = (points - self._centre) / self._radius
        square = (offset**2).sum(axis=-1, keepdims=True)
        return np.asarray(self._centre + self._radius * offset / (1 + self.distortion * square))

    def _distorted(self, points: Points) -> Points:
        """Return px with lens distortion: the inverse of `_straightened`."""
        if not self.distortion:
            return points
        offset = (points - self._centre) / self._radius
        square = (offset**2).sum(axis=-1, keepdims=True)
        root = np.sqrt(np.maximum(1 - 4 * self.distortion * square, 0))
        return np.asarray(self._centre + self._radius * offset * 2 / (1 + root))

    def _bends(self, points: Points) -> NDArray[np.float64]:
        """Return by how much px with lens distortion change with those without: (..., 2, 2), the derivatives."""
        offset = (points - self._centre) / self._radius
        root = np.sqrt(np.maximum(1 - 4 * self.distortion * (offset**2).sum(axis=-1), _LEAST))[..., None, None]
        wider = 2 / (1 + root)
        return np.asarray(
            wider * np.eye(2) + 2 * self.distortion / root * wider**2 * offset[..., :, None] * offset[..., None, :]
        )


def one_for_each(planes: Sequence[GroundPlane]) -> GroundPlane:
    """Return a plane that maps the n-th of points, (..., N, 2), as the n-th of these planes of one camera does."""
    found = copy(planes[0])
    found._to_road = np.stack([plane._to_road for plane in planes], axis=-1)
    found._to_picture = np.stack([plane._to_picture for plane in planes], axis=-1)
    found._up = np.stack([plane._up for plane in planes], axis=-1)
    return found


@lru_cache(maxsize=4)
def _plane(geometry: Geometry, size: tuple[int, int]) -> GroundPlane:
    return GroundPlane(geometry.picture, geometry.road, size, distortion=geometry.distortion)


def of_rectangle(
    corners: Sequence[tuple[float, float]], sides: tuple[float, float], distortion: float = 0.0
) -> Geometry:
    """Return the geometry that follows from a rectangle on the road.

    corners: four, one after the other, in 0..1 of the frame. sides: m, from the first corner to the second and from
    there to the third. Raises GeometryError: corners that are no picture of a rectangle.
    """
    (a, b), turns = sides, _turns(np.asarray(corners, np.float64))
    if not (np.all(turns > 0) or np.all(turns < 0)):
        raise GeometryError(
            "the corners of the rectangle must follow one another around it; two of them cross over", code="crossed"
        )
    ahead = -b if turns[0] > 0 else b  # y points down in the picture and to the left of x on the road
    return Geometry(tuple(corners), ((0.0, 0.0), (a, 0.0), (a, ahead), (0.0, ahead)), distortion)


def _turns(corners: Points) -> Points:
    """Return on which side each corner's way on goes, by its sign."""
    ways = np.roll(corners, -1, axis=0) - corners
    after = np.roll(ways, -1, axis=0)
    return np.asarray(ways[:, 0] * after[:, 1] - ways[:, 1] * after[:, 0])


def _homography(pixels: Points, road: Points) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from px to m, positive where the camera sees the road. Raises GeometryError."""
    matrix, _ = cv2.findHomography(pixels, road, 0)
    if matrix is None:
        raise GeometryError("no plane follows from the points: check their order and their places")
    weights = pixels @ matrix[2, :2] + matrix[2, 2]
    if not (np.all(weights > 0) or np.all(weights < 0)):
        raise GeometryError("the horizon would lie between the points: check their order")
    matrix = matrix * np.sign(weights[0])
    # Seen from above the road a left turn is one in the picture too, in which y points down.
    if np.linalg.det(matrix) > 0:
        raise GeometryError("the road would be seen from below: the points are mirrored, or in the wrong order")
    return np.asarray(matrix, np.float64)


def _upwards(to_picture: NDArray[np.float64], centre: Points, width: int) -> NDArray[np.float64]:
    """Return the column (3,) of the camera matrix for heights above the road, m.

    The axes of the road are at right angles and of one unit, and the pixels are square: that gives the focal length,
    px, where the camera looks down at an angle, and with it the third axis (Hartley and Zisserman, chapter 8).
    """
    shift = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1]])
    first, second, _ = (shift @ to_picture).T
    flat = np.array([first[:2] @ second[:2], first[:2] @ first[:2] - second[:2] @ second[:2]])
    deep = np.array([first[2] * second[2], first[2] ** 2 - second[2] ** 2])
    square = -float(flat @ flat) / float(flat @ deep) if flat @ deep else 0.0
    low, high = (share * width for share in _FOCAL)
    focal = min(max(square**0.5, low), high) if square > 0 else float(width)
    lens = np.diag([1 / focal, 1 / focal, 1])
    across, ahead = lens @ first, lens @ second
    up = np.cross(across, ahead) / np.sqrt(np.linalg.norm(across) * np.linalg.norm(ahead))
    return np.asarray(np.linalg.inv(shift) @ np.linalg.inv(lens) @ up)


def _mapped(
    matrix: NDArray[np.float64], points: Points, more: Sequence[NDArray[np.float64] | float] = (0.0, 0.0, 0.0)
) -> tuple[Points, NDArray[np.float64]]:
    """Return points mapped by a homography, and what they were multiplied with; NaN for those behind.

    more: added before that.
    """
    x, y = points[..., 0], points[..., 1]  # by hand: a matrix product is slower for so few
    across, down, weights = (row[0] * x + row[1] * y + (row[2] + lift) for row, lift in zip(matrix, more, strict=True))
    inverse = 1 / np.where(weights > 0, weights, np.nan)
    mapped = np.empty((*inverse.shape, 2))
    mapped[..., 0], mapped[..., 1] = across * inverse, down * inverse
    return mapped, inverse


def _flatness(points: Points) -> float:
    """Return the area of the largest triangle of the points as a share of the square of their longest distance."""
    longest = max(float(np.hypot(*(a - b))) for a, b in combinations(points, 2))
    area = max(abs(_cross(b - a, c - a)) / 2 for a, b, c in combinations(points, 3))
    return area / longest**2 if longest else 0.0


def _cross(a: Points, b: Points) -> float:
    return float(a[0] * b[1] - a[1] * b[0])

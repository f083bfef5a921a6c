"""A pinhole camera over a flat road, and vehicles as solids on it: what box each has, exactly.

The road has x to the right and y ahead, m; the camera stands over its origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.ground import GroundPlane

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RoadCamera:
    """Camera at `height` m that looks `down` degrees below the horizon and `aside` degrees to the right.

    focal: px. fps: frames/s. distortion: as GroundPlane has it.
    """

    width: int
    height_px: int
    focal: float
    height: float
    down: float
    aside: float = 0.0
    fps: float = 25.0
    distortion: float = 0.0

    def project(self, points: Array) -> Array:
        """Return the px of points (N, 3), m, in front of the camera."""
        aside, forward, depth = np.radians(self.aside), self._forward(), self.depths(points)
        right = np.array([np.cos(aside), -np.sin(aside), 0.0])
        below = np.cross(forward, right)
        relative = points - (0, 0, self.height)
        assert (depth > 0).all()
        flat = np.stack([relative @ right, relative @ below], axis=1) / depth[:, None] * self.focal
        return self._distorted(flat) + np.array([self.width, self.height_px]) / 2

    def depths(self, points: Array) -> Array:
        """Return how far points (N, 3), m, lie in front of the camera: (N,), below 0 behind it."""
        return np.asarray((points - (0, 0, self.height)) @ self._forward())

    def _forward(self) -> Array:
        down, aside = np.radians(self.down), np.radians(self.aside)
        return np.array([np.cos(down) * np.sin(aside), np.cos(down) * np.cos(aside), -np.sin(down)])

    def _distorted(self, offset: Array) -> Array:
        radius = np.hypot(self.width, self.height_px) / 2
        square = ((offset / radius) ** 2).sum(axis=1, keepdims=True)
        if not self.distortion:
            return offset
        return np.asarray(offset * 2 / (1 + np.sqrt(1 - 4 * self.distortion * square)))

    def plane(self, corners: Array, rng: np.random.Generator | None = None, lengths: float = 0.02) -> GroundPlane:
        """Return the plane that follows from points on the road, (N, 2) m, as a person marks and measures them.

        rng: for the errors of a person, 1.5 px in the picture and this share of the lengths; None for none.
        """
        size = np.array([self.width, self.height_px])
        pixels = self.project(np.column_stack([corners, np.zeros(len(corners))]))
        road = corners - corners[0]
        if rng is not None:
            pixels = pixels + rng.normal(0, 1.5, pixels.shape)
            road = road * (1 + rng.normal(0, lengths, 2))
        return GroundPlane(pixels / size, road, (self.width, self.height_px), distortion=self.distortion)


@dataclass(frozen=True, slots=True)
class Solid:
    """Vehicle of a class: a body over wheels and a narrower cabin. length, width, top: m."""

    label: str
    length: float
    width: float
    top: float
    cabin: float
    """Share of the length that is as high as `top`."""
    wheels: float = 0.62
    """Share of the length between the wheels."""
    clear: float = 0.25
    """Height of the bumpers above the road, m."""

    def corners(self, at: Array, heading: Array) -> Array:
        """Return its corners, (N, 3) m, with the middle of its footprint at a place, (2,) m."""
        half, side = self.length / 2, self.width / 2
        belt = self.top if self.cabin == 1 else 0.6 * self.top
        rows = [(x, y, z) for x in (-half, half) for y in (-side, side) for z in (self.clear, belt)]
        rows += [(x, y, 0.0) for x in (-self.wheels * half, self.wheels * half) for y in (-side, side)]
        rows += [(x * self.cabin, y * 0.85, self.top) for x in (-half, half) for y in (-side, side)]
        local = np.array(rows)
        ahead = heading / np.hypot(*heading)
        left = np.array([-ahead[1], ahead[0]])
        flat = at + local[:, :1] * ahead + local[:, 1:2] * left
        return np.column_stack([flat, local[:, 2]])


SOLIDS: Mapping[str, tuple[Solid, ...]] = {
    "car": (
        Solid("car", 3.6, 1.65, 1.50, 0.7),
        Solid("car", 4.3, 1.80, 1.45, 0.55),
        Solid("car", 4.9, 1.90, 1.75, 0.65),
    ),
    "motorcycle": (Solid("motorcycle", 1.9, 0.7, 1.6, 0.3), Solid("motorcycle", 2.2, 0.8, 1.7, 0.3)),
    "bus": (Solid("bus", 12.0, 2.5, 3.1, 1.0),),
    "truck": (Solid("truck", 6.5, 2.3, 3.0, 1.0), Solid("truck", 9.5, 2.5, 3.6, 1.0)),
}


def box(camera: RoadCamera, solid: Solid, at: Array, heading: Array) -> Array:
    """Return the box of a vehicle, (4,) px, also beyond the frame."""
    pixels = camera.project(solid.corners(at, heading))
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])

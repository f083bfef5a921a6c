"""Vehicles of many sizes that pass a line under cameras of many kinds, seen by a detector whose boxes tremble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.ground import GroundPlane
from edge_app.measures.scale_error import speed_error
from edge_app.measures.speed import Speed, measure
from tests.support.road_camera import SOLIDS, Array, RoadCamera, Solid, box

SPAN_S = 1.0
"""Time, s, before and after the line in which a vehicle is seen."""
_ALIKE, _TREMBLE, _ROUNDED = 0.7, 0.012, 0.3
"""Boxes: how alike errors of successive frames are, their size in box sizes and, besides, in px."""


@dataclass(frozen=True, slots=True)
class RoadView:
    """A camera over a road. rectangle: measured on it, (4, 2) m. at: of the line, m. ways: in which vehicles drive."""

    camera: RoadCamera
    rectangle: tuple[tuple[float, float], ...]
    at: tuple[float, float]
    ways: tuple[tuple[float, float], ...]


def _lane(left: float, right: float, near: float, far: float) -> tuple[tuple[float, float], ...]:
    return (left, near), (right, near), (right, far), (left, far)


VIEWS: Mapping[str, RoadView] = {
    "near, along the road, 1280x720 at 25/s": RoadView(
        RoadCamera(1280, 720, 1000, 6.0, 22), _lane(-1.75, 1.75, 10, 20), (0, 14), ((0, 1), (0, -1), (0.35, -1))
    ),
    "far and oblique, 640x360 at 10/s": RoadView(
        RoadCamera(640, 360, 620, 8.0, 14, 12, 10), _lane(3, 6.5, 22, 40), (4.75, 30), ((0.05, 1), (0.05, -1))
    ),
    "far and oblique, 640x360 at 25/s": RoadView(
        RoadCamera(640, 360, 620, 8.0, 14, 12, 25), _lane(3, 6.5, 22, 40), (4.75, 30), ((0.05, 1), (0.05, -1))
    ),
    "across the road, 1280x720 at 15/s": RoadView(
        RoadCamera(1280, 720, 900, 5.8, 12, fps=15), _lane(-4, 4, 14, 20), (0, 17), ((1, 0), (-1, 0))
    ),
    "wide lens with distortion, 1280x720 at 15/s": RoadView(
        RoadCamera(1280, 720, 800, 6.5, 25, fps=15, distortion=-0.12),
        _lane(-1.75, 1.75, 8, 16),
        (0, 11),
        ((0, 1), (0, -1)),
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One vehicle at the line at time 0. kmh: its true speed there. plane: as a person marked and measured it.

    times: s, boxes: float32 (N, 4) px, of the looks at it; heading: on the road.
    """

    solid: Solid
    kmh: float
    heading: Array
    plane: GroundPlane
    times: Array
    boxes: NDArray[np.float32]

    def measure(self) -> Speed | None:
        """Return its speed as the product measures it, None where it tells none."""
        return measure(0.0, self.times, self.boxes, self.solid.label, self.plane, speed_error)


def passages(
    view: RoadView,
    number: int,
    seed: int,
    *,
    each: int = 1,
    kmh: tuple[float, float] = (8.0, 100.0),
    lengths: float = 0.02,
) -> Iterator[Passage]:
    """Yield vehicles of all classes; some brake and some accelerate, by up to 1.5 m/s2.

    each: number of vehicles after which a person marks and measures anew, with errors. lengths: share by which lengths
    are measured wrongly.
    """
    rng = np.random.default_rng(seed)
    labels = ("car", "car", "car", "motorcycle", "bus", "truck")
    for index in range(number):
        if index % each == 0:
            plane = view.camera.plane(np.array(view.rectangle), rng, lengths)
        solids = SOLIDS[labels[rng.integers(len(labels))]]
        solid = solids[rng.integers(len(solids))]
        if solid.label != "motorcycle":
            solid = replace(solid, wheels=rng.uniform(0.58, 0.75), clear=rng.uniform(0.18, 0.35))
        way = np.array(view.ways[rng.integers(len(view.ways))], np.float64)
        heading, speed = way / np.hypot(*way), float(rng.uniform(*kmh))
        times, boxes = _looks(view, solid, heading, speed / 3.6, float(rng.uniform(-1.5, 1.5)), rng)
        yield Passage(solid, speed, heading, plane, times, boxes)


def _looks(
    view: RoadView, solid: Solid, heading: Array, speed: float, gain: float, rng: np.random.Generator
) -> tuple[Array, NDArray[np.float32]]:
    """Return times and boxes of the looks at a vehicle that is whole in the frame. speed, gain: m/s and m/s2."""
    camera, step = view.camera, 1 / view.camera.fps
    at = np.array(view.at) + rng.uniform(-1, 1) * np.array([-heading[1], heading[0]])
    found, wrong = [], np.zeros(4)
    for time in np.arange(-SPAN_S, SPAN_S, step) + rng.uniform(0, step):
        place = at + heading * (speed * time + gain * time**2 / 2)
        wrong = _ALIKE * wrong + np.sqrt(1 - _ALIKE**2) * rng.normal(0, 1, 4)
        if place[1] - solid.length < 1.0:  # beneath the camera or behind it
            continue
        exact = box(camera, solid, place, heading)
        size = np.tile(exact[2:] - exact[:2], 2)
        seen = exact + wrong * _TREMBLE * size + rng.normal(0, _ROUNDED, 4)
        if (seen[:2] > 1).all() and (seen[2:] < np.array([camera.width, camera.height_px]) - 1).all():
            found.append((time, seen))
    times = np.array([time for time, _ in found])
    return times, np.array([seen for _, seen in found], np.float32).reshape(-1, 4)

"""A road of two lanes with queues at a light, under cameras of several kinds, and its headways, occupancy and queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.measures.ground import Geometry
from edge_app.records import Line
from tests.support.road_camera import Array, RoadCamera
from tests.support.road_traffic import Trip, crossed, drive, phases, straight_road

LANES = (3.0, 6.5)
"""Middle of each lane, m to the right of the camera."""
_EDGES = (-0.5, 4.75, 10.5)
_GREEN_S, _CLEAR_S, _PER_S = 25.0, 15.0, 0.18
_FAR, _NEAR = 110.0, 3.0


@dataclass(frozen=True, slots=True)
class LaneView:
    """A camera over the road. at: distance of the line, m. rectangle: measured on the road, (4, 2) m."""

    camera: RoadCamera
    at: float
    rectangle: tuple[tuple[float, float], ...]

    @property
    def ends(self) -> Array:
        """Return the ends of the line on the road, m."""
        return np.array([(_EDGES[0], self.at), (_EDGES[-1], self.at)])

    def line(self) -> Line:
        """Return the line with its lanes and the region of its queue."""
        size = np.array([self.camera.width, self.camera.height_px])
        middle = (_EDGES[1], self.at)
        points = self._shown(np.array([*self.ends, middle])) / size
        (x0, y0), (x1, y1), split = points.tolist()
        share = float(np.hypot(*(np.array(split) - points[0])) / np.hypot(*(points[1] - points[0])))
        region = [
            (_EDGES[0], self.at),
            (_EDGES[-1], self.at),
            (_EDGES[-1], self.queue_end),
            (_EDGES[0], self.queue_end),
        ]
        queue = tuple((float(x), float(y)) for x, y in np.clip(self._shown(np.array(region)) / size, 0, 1))
        return Line("stop", (x0, y0), (x1, y1), lanes=(share,), queue=queue)

    @property
    def queue_end(self) -> float:
        return self.at + 20.0

    def geometry(self, rng: np.random.Generator) -> Geometry:
        """Return the geometry as a person marks and measures it."""
        plane = self.camera.plane(np.array(self.rectangle), rng)
        picture, road = (tuple((float(x), float(y)) for x, y in array) for array in (plane.picture, plane.road))
        return Geometry(picture, road, self.camera.distortion)

    def _shown(self, places: Array) -> Array:
        return self.camera.project(np.column_stack([places, np.zeros(len(places))]))


def _lane(near: float, far: float) -> tuple[tuple[float, float], ...]:
    return (1.25, near), (4.75, near), (4.75, far), (1.25, far)


VIEWS: Mapping[str, LaneView] = {
    "near, along the road, 1280x720 at 15/s": LaneView(RoadCamera(1280, 720, 900, 6.5, 20, 14, 15), 14, _lane(10, 20)),
    "far and oblique, 640x360 at 10/s": LaneView(RoadCamera(640, 360, 620, 8.0, 14, 12, 10), 30, _lane(22, 40)),
    "far and oblique, 640x360 at 25/s": LaneView(RoadCamera(640, 360, 620, 8.0, 14, 12, 25), 30, _lane(22, 40)),
    "wide lens with distortion, 1280x720 at 15/s": LaneView(
        RoadCamera(1280, 720, 800, 6.5, 25, 12, fps=15, distortion=-0.12), 12, _lane(8, 16)
    ),
}


def traffic(view: LaneView, number: int, seed: int) -> list[Trip]:
    """Return vehicles that stop at a light two metres before the line, lane by lane."""
    rng = np.random.default_rng(seed)
    light = phases(1, _GREEN_S, _CLEAR_S)
    return drive(
        straight_road(LANES, _FAR, _NEAR, stop=view.at + 2.0),
        number,
        _PER_S,
        rng,
        wish=(7.0, 16.0),
        green=lambda _arm, time: light(0, time),
    )


def passages(view: LaneView, trips: Sequence[Trip]) -> list[list[tuple[float, float]]]:
    """Return, lane by lane, s at which each front came to the line and each rear left it, in order."""
    found: list[list[tuple[float, float]]] = [[] for _ in LANES]
    for trip in trips:
        passage = crossed(trip.driven, *view.ends)
        if passage is not None:
            found[trip.way].append(passage[:2])
    return [sorted(lane) for lane in found]


def queue(view: LaneView, trips: Sequence[Trip], until: float, step: float = 0.1) -> tuple[float, float, int]:
    """Return vehicle seconds, seconds with any, and the most vehicles that stood with their front before the line."""
    times = np.arange(0, until, step)
    number = np.zeros(len(times), np.intp)
    for trip in trips:
        fronts = trip.driven.places[:, 1] - trip.driven.solid.length / 2
        inside = (fronts > view.at) & (fronts < view.queue_end)
        speeds = np.gradient(trip.along, trip.driven.times)
        stands = inside & (speeds < 3 / 3.6)
        number += np.interp(times, trip.driven.times, stands.astype(float), 0, 0) > 0.5
    return float(number.sum() * step), float((number > 0).sum() * step), int(number.max())

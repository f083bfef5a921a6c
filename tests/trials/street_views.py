"""Measure speeds on the rendered street with the shipped detector, seen by other cameras than the street's own.

    python -m tests.trials.street_views [--seconds 60] [--geometries 20] [--view oblique]

The camera is turned about its lens and gets another lens and size: its pictures are exactly those that such a camera
would take of the drawing. Vehicles are flat there, and taken as flat: with the width of real ones speeds would be 2 to
4 % too fast. Time on the street goes slower and faster, so that vehicles drive at 10 to 80 km/h, and brake and
accelerate by up to 1.5 m/s2. Each geometry is as wrong as a person's. Prints for each view and band of speeds what
`tests.trials.speeds` does.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from unittest.mock import patch

import cv2
import numpy as np

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config
from edge_app.measures.footprint import SOLIDS
from edge_app.measures.ground import Geometry
from edge_app.measures.speed import Speed
from edge_app.measures.speed_meter import SpeedMeter
from edge_app.records import Frame, FrameResult, Image
from edge_app.sources.street.street import Street
from edge_app.sources.street.view import CAMERA_HEIGHT, View
from tests.support.road_camera import Array, RoadCamera
from tests.trials.speeds import BANDS, line_of, row_of

_DRAWN = View(2720, 540)
"""The street as it is drawn: wide enough for a camera that is turned aside."""
_MEAN, _SWING, _PERIOD_S = 1.4, 1.1, 40.0
"""How much faster than usual time goes on the street, by how much that swings, and in which time."""
_FLAT_M = 0.01
_RATE = 1000.0
"""Frames/s of the street, of which those are drawn that are wanted."""


@dataclass(frozen=True, slots=True)
class StreetView:
    """A camera at the street. across: m to the right, of the line and the middle of the measured rectangle."""

    camera: RoadCamera
    across: float

    @property
    def rectangle(self) -> Array:
        """Corners of what was measured on the road, m."""
        x = self.across
        return np.array([(x - 4, 16.5), (x + 4, 16.5), (x + 4, 23), (x - 4, 23)])

    @property
    def line(self) -> Array:
        """Ends of the counting line, in 0..1 of the picture: the middles of vehicles pass it, not their wheels."""
        size = self.camera.width, self.camera.height_px
        return self.camera.project(np.array([(self.across, 14.5, 0.0), (self.across, 40.0, 0.0)])) / size


VIEWS: Mapping[str, StreetView] = {
    "oblique, 640x360 at 10/s": StreetView(RoadCamera(640, 360, 700, CAMERA_HEIGHT, 10, 25, 10), 8.5),
    "oblique, 640x360 at 25/s": StreetView(RoadCamera(640, 360, 700, CAMERA_HEIGHT, 10, 25, 25), 8.5),
    "across, lens with distortion, 1280x720 at 15/s": StreetView(
        RoadCamera(1280, 720, 1100, CAMERA_HEIGHT, 10, fps=15, distortion=-0.12), 0.0
    ),
}


def street_time(t: float) -> float:
    """Return the time on the street, s, at a time of the camera."""
    return _MEAN * t + _SWING * _PERIOD_S / (2 * math.pi) * (1 - math.cos(2 * math.pi * t / _PERIOD_S))


def pace(t: float) -> float:
    """Return how much faster than usual time goes on the street."""
    return _MEAN + _SWING * math.sin(2 * math.pi * t / _PERIOD_S)


def sources(camera: RoadCamera) -> tuple[Array, Array]:
    """Return x and y in the drawing, px, of each pixel of the camera's picture, float32 (height, width)."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height_px) + 0.5)
    offset = np.stack([u - camera.width / 2, v - camera.height_px / 2], axis=-1)
    square = (offset**2).sum(axis=-1, keepdims=True) / (np.hypot(camera.width, camera.height_px) / 2) ** 2
    offset = offset / (1 + camera.distortion * square) / camera.focal
    down, aside = np.radians(camera.down), np.radians(camera.aside)
    ahead = np.cos(down) - offset[..., 1] * np.sin(down)  # along the road's axes: ahead of the turned camera, and below
    below = np.sin(down) + offset[..., 1] * np.cos(down)
    right = offset[..., 0] * np.cos(aside) + ahead * np.sin(aside)
    ahead = ahead * np.cos(aside) - offset[..., 0] * np.sin(aside)
    middle, horizon = _DRAWN.project(0.0, 1.0, CAMERA_HEIGHT)
    found = middle + right / ahead * _DRAWN.scale(1.0), horizon + below / ahead * _DRAWN.scale(1.0)
    return found[0].astype(np.float32), found[1].astype(np.float32)


def frames(street: Street, camera: RoadCamera, seconds: float) -> Iterator[Frame]:
    """Yield what the camera sees."""
    x, y = sources(camera)
    for index in range(int(seconds * camera.fps)):
        t = index / camera.fps
        street._next = round(street_time(t) * _RATE)
        drawn = street.read(0.0)
        assert drawn is not None
        image: Image = cv2.remap(drawn.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        yield Frame(image, index, street.start_at + t, t)


def number_at(street: Street, camera: RoadCamera, place: Array) -> int:
    """Return the number of the vehicle whose middle is nearest to a place in the camera's picture, px."""
    middle, horizon = _DRAWN.project(0.0, 1.0, CAMERA_HEIGHT)
    vehicles = street.boxes()
    at = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for _, _, (x0, y0, x1, y1) in vehicles])
    right, below = (at - (middle, horizon)).T / _DRAWN.scale(1.0)
    shown = camera.project(np.stack([right, np.ones(len(at)), CAMERA_HEIGHT - below], axis=1))
    return vehicles[int(np.hypot(*(shown - place).T).argmin())][0]


def measured(view: StreetView, seconds: float, geometries: int, seed: int) -> Iterator[tuple[float, Speed | None]]:
    """Yield the true speed, km/h, of each counted vehicle and the measured one, geometry by geometry."""
    camera, street = view.camera, Street(width=_DRAWN.width, height=_DRAWN.height, fps=_RATE, seed=seed)
    start, end = view.line.tolist()
    config = Config.model_validate(
        {"source": {"kind": "street"}, "lines": [{"id": "main", "start": start, "end": end}]}
    )
    pipeline, rng = build_pipeline(config, build_detector(config)), np.random.default_rng(seed)
    planes = [camera.plane(view.rectangle, rng) for _ in range(geometries)]
    meters = [SpeedMeter(Geometry(_pairs(p.picture), _pairs(p.road), camera.distortion)) for p in planes]
    numbers: dict[int, int] = {}
    told = []
    for frame in frames(street, camera, seconds):
        result = pipeline.process(frame)
        numbers.update(_numbers(street, camera, result))
        told += [one for meter in meters for one in meter.observe(result)]
    told += [one for meter in meters for one in meter.finish()]
    usual = street.speeds(street_time(seconds))
    for one in told:
        crossing = one.crossing
        yield usual[numbers[crossing.track_id]] * pace(crossing.at - street.start_at) * 3.6, one.speed


def _numbers(street: Street, camera: RoadCamera, result: FrameResult) -> Iterator[tuple[int, int]]:
    """Yield track and vehicle of each crossing that a frame confirms."""
    for crossing in result.crossings:
        (row,) = np.flatnonzero(result.tracks.ids == crossing.track_id)
        x0, y0, x1, y1 = result.tracks.boxes[row].tolist()
        yield crossing.track_id, number_at(street, camera, np.array([(x0 + x1) / 2, (y0 + y1) / 2]))


def _pairs(points: Array) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each view (default 60)")
    parser.add_argument("--geometries", type=int, default=20, help="a view (default 20)")
    parser.add_argument("--view", default="", help="only views with this in their name")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    flat = {label: replace(solid, width=_FLAT_M) for label, solid in SOLIDS.items()}
    for name, view in VIEWS.items():
        if arguments.view in name:
            print(name)
            with patch.dict(SOLIDS, flat):
                pairs = list(measured(view, arguments.seconds, arguments.geometries, arguments.seed))
            for band in BANDS:
                print(line_of(row_of(pairs, band), band))


if __name__ == "__main__":
    main()

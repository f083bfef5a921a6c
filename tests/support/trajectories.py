"""Seeded synthetic traffic for the tests of the counting core: exact paths, observed by a detector with faults.

Paths, sizes and lines are in 0..1 of picture width and height, so one scene can be observed in any resolution and at
any frame rate; only a Sensor knows pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.config.model import CountingConfig
from edge_app.counting.line_counter import LineCounter
from edge_app.counting.tracker import Tracker, TrackerSettings
from edge_app.records import DIRECTIONS, LABELS, Detections, Direction, Line, Tracks

Point: TypeAlias = tuple[float, float]
Path: TypeAlias = Callable[[float], Point]
"""Function from time, s, to the centre of a vehicle."""
BAND: float = CountingConfig.model_fields["dead_band"].default
"""Default of the product."""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Vehicle in sight from `since` to before `until`, s, except in the `hidden` spans of time.

    size: width and height.
    """

    path: Path
    since: float
    until: float
    size: Point = (0.1, 0.12)
    label: str = "car"
    hidden: tuple[tuple[float, float], ...] = ()

    def is_visible_at(self, time: float) -> bool:
        return self.since <= time < self.until and not any(a <= time < b for a, b in self.hidden)


def straight(start: Point, end: Point, since: float, until: float) -> Vehicle:
    """Return a vehicle that drives straight at constant speed."""
    return Vehicle(lambda t: _between(start, end, (t - since) / (until - since)), since, until)


def curved(start: Point, via: Point, end: Point, since: float, until: float) -> Vehicle:
    """Return a vehicle on a quadratic Bezier curve."""

    def path(time: float) -> Point:
        u = (time - since) / (until - since)
        return _between(_between(start, via, u), _between(via, end, u), u)

    return Vehicle(path, since, until)


def driven(*stops: tuple[float, Point]) -> Vehicle:
    """Return a vehicle that drives from one (time, point) to the next and stands still for a moment at each."""

    def path(time: float) -> Point:
        for (t0, a), (t1, b) in pairwise(stops):
            if time < t1:
                u = max(0.0, (time - t0) / (t1 - t0))
                return _between(a, b, u * u * (3 - 2 * u))
        return stops[-1][1]

    return Vehicle(path, stops[0][0], stops[-1][0])


def mirrored(vehicle: Vehicle) -> Vehicle:
    """Return the same vehicle with left and right exchanged."""

    def path(time: float) -> Point:
        x, y = vehicle.path(time)
        return 1 - x, y

    return replace(vehicle, path=path)


def _between(a: Point, b: Point, u: float) -> Point:
    return a[0] + (b[0] - a[0]) * u, a[1] + (b[1] - a[1]) * u


Array: TypeAlias = NDArray[np.float64]
_Row: TypeAlias = tuple[Point, Point, float, int]
"""Centre, size, score and index of the class."""


class Observation(NamedTuple):
    """Detections of one frame at a time, s."""

    time: float
    detections: Detections


@dataclass(frozen=True, slots=True)
class Sensor:
    """Camera and detector with faults.

    width, height: px. fps: frames per second. noise: sigma of centre and size, box sizes.
    missed, flipped, doubled: share of the observations of a vehicle without a box, with the wrong class, with a second
    box on its front half. false: boxes per frame that are no vehicle. scores: range.
    """

    width: int = 1280
    height: int = 720
    fps: float = 15.0
    noise: float = 0.02
    missed: float = 0.0
    flipped: float = 0.0
    doubled: float = 0.0
    false: float = 0.0
    scores: Point = (0.5, 0.9)
    seed: int = 1

    def observe(self, vehicles: Sequence[Vehicle], seconds: float) -> list[Observation]:
        rng = np.random.default_rng(self.seed)
        times = [index / self.fps for index in range(math.ceil(seconds * self.fps))]
        return [Observation(time, self._observation(vehicles, time, rng)) for time in times]

    def _observation(self, vehicles: Sequence[Vehicle], time: float, rng: np.random.Generator) -> Detections:
        rows = [row for vehicle in vehicles for row in self._rows(vehicle, time, rng)]
        for _ in range(rng.poisson(self.false)):
            (x, y), (width, height) = rng.random(2).tolist(), rng.uniform(0.03, 0.15, 2).tolist()
            rows.append(((x, y), (width, height), rng.uniform(0.15, 0.5), int(rng.integers(4))))
        return self._detections(rows)

    def _rows(self, vehicle: Vehicle, time: float, rng: np.random.Generator) -> list[_Row]:
        """Return the boxes of one vehicle.

        Always draws the same number of random values, so that scenes that differ a little stay comparable.
        """
        right, down, wider, higher = (
            min(max(self.noise * drawn, -0.3), 0.3) for drawn in rng.standard_normal(4).tolist()
        )
        missed, flipped, doubled, share = rng.random(4).tolist()
        wrong = int(rng.integers(4))
        if missed < self.missed or not vehicle.is_visible_at(time):
            return []
        (x, y), (width, height), (least, most) = vehicle.path(time), vehicle.size, self.scores
        x, y, score = x + right * width, y + down * height, least + (most - least) * share
        label = wrong if flipped < self.flipped else LABELS.index(vehicle.label)
        box = ((x, y), (width * (1 + wider), height * (1 + higher)), score, label)
        if doubled >= self.doubled:
            return [box]
        return [box, ((x + 0.22 * width, y), (0.55 * width, 0.9 * height), score * 0.8, label)]

    def _detections(self, rows: Iterable[_Row]) -> Detections:
        columns = tuple(zip(*rows, strict=True))
        if not columns:
            return Detections.empty()
        centres, sizes, scores, labels = columns
        scale = np.array([self.width, self.height], np.float64)
        middle, half = np.array(centres) * scale, np.array(sizes) * scale / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
        return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int16))


class Passing(NamedTuple):
    """True passage of a vehicle over a line. time: s."""

    time: float
    direction: Direction


def truth(vehicles: Iterable[Vehicle], line: Line, step: float = 0.01) -> list[Passing]:
    """Return when and in which direction the centre of each vehicle passes the segment, in order of time.

    step: precision, s.
    """
    return sorted(p for vehicle in vehicles for p in _passings(vehicle, line, step))


def _passings(vehicle: Vehicle, line: Line, step: float) -> list[Passing]:
    times = np.arange(vehicle.since, vehicle.until, step)
    places = np.array([vehicle.path(float(t)) for t in times])
    start, end = np.array(line.start), np.array(line.end)
    side = _cross(end - start, places - start) >= 0
    found = []
    for i in np.flatnonzero(side[1:] != side[:-1]).tolist():
        move = places[i + 1] - places[i]
        beyond = [_cross(move, np.array([point - places[i]]))[0] > 0 for point in (start, end)]
        if beyond[0] != beyond[1]:
            found.append(Passing(float(times[i + 1]), "left_to_right" if side[i + 1] else "right_to_left"))
    return found


def _cross(e: Array, p: Array) -> Array:
    return np.asarray(e[0] * p[:, 1] - e[1] * p[:, 0])


class Counted(NamedTuple):
    """Counted crossing. time: s. track: its id."""

    time: float
    direction: Direction
    track: int
    label: str
    line: str


def track(observations: Iterable[Observation], settings: TrackerSettings | None = None) -> list[Tracks]:
    """Return the confirmed tracks after each observation, from a new tracker."""
    tracker = Tracker(settings)
    return [tracker.update(observation.detections, observation.time) for observation in observations]


def count(observations: Sequence[Observation], *lines: Line, sensor: Sensor, band: float = BAND) -> list[Counted]:
    """Return the crossings that tracker and line counters find, in the order in which they were confirmed."""
    counters = [(line, counter(line, sensor, band)) for line in lines]
    return [
        Counted(c.time, DIRECTIONS[c.direction], int(tracks.ids[c.row]), LABELS[tracks.classes[c.row]], line.id)
        for observation, tracks in zip(observations, track(observations), strict=True)
        for line, each in counters
        for c in each.update(tracks, observation.time)
    ]


def counter(line: Line, sensor: Sensor, band: float = BAND) -> LineCounter:
    """Return a counter of a line in the px of this sensor."""
    (x0, y0), (x1, y1), w, h = line.start, line.end, sensor.width, sensor.height
    return LineCounter((x0 * w, y0 * h), (x1 * w, y1 * h), band=band)

"""Vehicles on paths over a road under a camera: the boxes that a detector finds, with those that hide one another.

A detector's boxes tremble as in `road_passages`; of a vehicle that others hide it sees the part that shows, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.counting.pipeline import Pipeline
from edge_app.records import LABELS, Detections, Frame, FrameResult, Image, Line
from tests.support.road_camera import Array, RoadCamera, Solid
from tests.support.scripted import COUNTED, NOON, Scripted, pipeline
from tests.support.trajectories import Observation

_SHRUNK = 8
"""Size of a pixel of the picture in which it is found out what shows."""
_NOTICED, _WHOLE = 0.35, 0.95
"""Share of a vehicle that must show, and from which on all of it does."""
_MISSED = 0.03
_ALIKE, _TREMBLE, _ROUNDED = 0.7, 0.012, 0.3
BEGIN = 100.0
"""Monotonic s of time 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """A vehicle and its way: times, (N,) s, places, (N, 2) m, of its middle, and headings, (N, 2)."""

    solid: Solid
    times: Array
    places: Array
    headings: Array

    def at(self, time: float) -> tuple[Array, Array] | None:
        """Return its place and heading at a time, s, None where it is not there."""
        if not self.times[0] <= time <= self.times[-1]:
            return None
        both = np.column_stack([self.places, self.headings])
        found = np.array([np.interp(time, self.times, column) for column in both.T])
        return found[:2], found[2:]

    def extents(self, start: Array, end: Array) -> tuple[Array, Array, Array]:
        """Return distance from the line between two places, half the extent across it and position along it, (N,)."""
        way = (end - start) / np.hypot(*(end - start))
        across = np.array([-way[1], way[0]])
        ahead = np.abs(self.headings @ across) / np.hypot(*self.headings.T)
        half = (self.solid.length * ahead + self.solid.width * np.sqrt(np.maximum(0, 1 - ahead**2))) / 2
        along = (self.places - start) @ way / float(np.hypot(*(end - start)))
        return (self.places - start) @ across, half, along


class Eye:
    """A camera with a detector of vehicles, as people have set it up; used from one frame to the next."""

    def __init__(self, camera: RoadCamera, seed: int) -> None:
        self._camera, self._rng = camera, np.random.default_rng(seed)
        self._wrong: dict[int, Array] = {}

    def look(self, vehicles: Sequence[tuple[int, Solid, Array, Array]]) -> Detections:
        """Return what is detected of vehicles, each with number, solid, place and heading."""
        size = np.array([self._camera.width, self._camera.height_px])
        shown = []
        for number, solid, place, heading in vehicles:
            corners = solid.corners(place, heading)
            if (depths := self._camera.depths(corners)).min() < 1.0:
                continue
            pixels = self._camera.project(corners)
            box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
            if (box[2:] > 0).all() and (box[:2] < size).all():
                shown.append((float(depths.mean()), number, solid, box, pixels))
        shown.sort(key=lambda one: -one[0])
        self._wrong = {one[1]: self._wrong.get(one[1], np.zeros(4)) for one in shown}
        return self._detected(shown)

    def _detected(self, shown: Sequence[tuple[float, int, Solid, Array, Array]]) -> Detections:
        boxes, scores, classes = [], [], []
        edge = np.array([self._camera.width, self._camera.height_px] * 2) - 1.0
        for index, (_, number, solid, box, pixels) in enumerate(shown):
            wrong = _ALIKE * self._wrong[number] + np.sqrt(1 - _ALIKE**2) * self._rng.normal(0, 1, 4)
            self._wrong[number] = wrong
            before = [pixels for *_, other, pixels in shown[index + 1 :] if _meet(box, other)]
            share, part = self._visible(pixels, before) if before else (1.0, box)
            if share < _NOTICED or self._rng.random() < _MISSED:
                continue
            if share < _WHOLE:
                box = np.concatenate([np.maximum(box[:2], part[:2]), np.minimum(box[2:], part[2:])])
            extent = np.tile(box[2:] - box[:2], 2)
            boxes.append(np.clip(box + wrong * _TREMBLE * extent + self._rng.normal(0, _ROUNDED, 4), 0, edge))
            scores.append(0.9 * share**0.5)
            classes.append(LABELS.index(solid.label))
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int16)
        )

    def _visible(self, pixels: Array, before: Sequence[Array]) -> tuple[float, Array]:
        """Return the share of a vehicle that others do not hide, and the box, px, of that part."""
        mask = np.zeros((self._camera.height_px // _SHRUNK, self._camera.width // _SHRUNK), np.uint8)
        _fill(mask, pixels, 1)
        whole = int(mask.sum())
        for other in before:
            _fill(mask, other, 0)
        rows, columns = np.nonzero(mask)
        if not len(rows):
            return 0.0, np.zeros(4)
        part = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * float(_SHRUNK)
        return len(rows) / whole, part


def _fill(mask: Image, pixels: Array, value: int) -> None:
    cv2.fillConvexPoly(mask, np.asarray(cv2.convexHull((pixels / _SHRUNK).astype(np.int32))), [value])


def _meet(box: Array, other: Array) -> bool:
    return bool((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all())


def watched(
    camera: RoadCamera, vehicles: Sequence[Driven], lines: Sequence[Line], until: float, seed: int
) -> Iterator[FrameResult]:
    """Yield what the pipeline finds in each frame from 0 s on; its monotonic time is 100 s more."""
    times = np.arange(0, until, 1 / camera.fps)
    eye, answers, order = Eye(camera, seed), list[Observation](), sorted(vehicles, key=lambda one: one.times[0])
    numbers = {id(one): number for number, one in enumerate(order)}
    waiting, here = list(reversed(order)), list[Driven]()
    for time in times.tolist():
        while waiting and waiting[-1].times[0] <= time:
            here.append(waiting.pop())
        here = [one for one in here if one.times[-1] >= time]
        found = [(numbers[id(one)], one.solid, *at) for one in here if (at := one.at(time)) is not None]
        answers.append(Observation(time, eye.look(found)))
    image = np.zeros((camera.height_px, camera.width, 3), np.uint8)
    through: Pipeline = pipeline(Scripted(answers), *lines, classes=COUNTED)
    for index, one in enumerate(answers):
        yield through.process(Frame(image, index, NOON + one.time, BEGIN + one.time))

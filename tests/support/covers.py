"""Things that stand or drive between the camera and the road, and what a detector sees of the vehicles behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from edge_app.records import Detections, FloatArray
from tests.support.trajectories import Observation, Sensor

Cover: TypeAlias = Callable[[float], tuple[float, float]]
"""Function from time, s, to the px between which an upright thing hides everything."""
_LEAST = 0.2
"""Smallest part of a vehicle that is still detected, as a share of its width."""


def post(middle: float, width: float, sensor: Sensor) -> Cover:
    """Return a post, a trunk or a mask; middle, width: in 0..1 of the picture's width."""
    return lambda _time: ((middle - width / 2) * sensor.width, (middle + width / 2) * sensor.width)


def lorry(arrives: float, leaves: float, sensor: Sensor) -> Cover:
    """Return a lorry in the nearer lane, half the picture long, that drives in and away in a second."""

    def cover(time: float) -> tuple[float, float]:
        behind, ahead = 1.25 * max(0.0, 1 - (time - arrives)), 1.25 * max(0.0, time - (leaves - 1))
        middle = 0.55 - behind + ahead
        return (middle - 0.25) * sensor.width, (middle + 0.25) * sensor.width

    return cover


def hidden(observations: Sequence[Observation], cover: Cover) -> list[Observation]:
    """Return what is detected of vehicles behind a cover: a box for each part that is left and right of it."""
    return [Observation(time, _uncovered(found, *cover(time))) for time, found in observations]


def lopsided(observations: Sequence[Observation], width: float) -> list[Observation]:
    """Lower the upper edge of boxes that are narrower than `width`, px: a small part has a bad box."""

    def lowered(found: Detections) -> Detections:
        small, boxes = found.boxes[:, 2] - found.boxes[:, 0] < width, found.boxes.copy()
        boxes[small, 1] += np.float32(0.4) * (boxes[small, 3] - boxes[small, 1])
        return Detections(boxes, found.scores, found.classes)

    return [Observation(time, lowered(found)) for time, found in observations]


def joined(observations: Sequence[Observation], cover: Cover, seed: int) -> list[Observation]:
    """Take the parts beside a cover for one now and then, as a detector does that sees through it.

    The left part then ends where the right one does, or a doubtful box lies on both.
    """
    rng = np.random.default_rng(seed)
    return [Observation(time, _joined(found, cover(time)[0], *rng.random(2))) for time, found in observations]


def _joined(found: Detections, x0: float, longer: float, doubtful: float) -> Detections:
    boxes = found.boxes.copy()
    if len(boxes) != 2 or not boxes[0, 2] <= x0 <= boxes[1, 0]:
        return found
    both = np.concatenate([boxes[0, :2], boxes[1, 2:]])[None]
    if longer < 0.4:
        boxes[0, 2] = boxes[1, 2] - 0.1 * (boxes[1, 2] - boxes[0, 0])
    if doubtful > 0.3:
        return Detections(boxes, found.scores, found.classes)
    scores = np.append(found.scores, np.float32(0.2 + doubtful / 3))
    return Detections(np.append(boxes, both, axis=0), scores, np.append(found.classes, found.classes[:1]))


def _uncovered(found: Detections, x0: float, x1: float) -> Detections:
    parts = [(row, part) for row, box in enumerate(found.boxes) for part in _parts(box, x0, x1)]
    rows = np.array([row for row, _ in parts], np.intp)
    boxes = np.array([part for _, part in parts], np.float32).reshape(-1, 4)
    return Detections(boxes, found.scores[rows], found.classes[rows])


def _parts(box: FloatArray, x0: float, x1: float) -> Iterator[FloatArray]:
    least = _LEAST * (box[2] - box[0])
    if box[2] <= x0 or box[0] >= x1:
        yield box
        return
    for left, right in ((box[0], x0), (x1, box[2])):
        if right - left >= least:
            yield np.array([left, box[1], right, box[3]], np.float32)

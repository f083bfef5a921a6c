"""Choose parts of the view where vehicles are too small for the network, and merge what is found in them.

A part lies on a line and is half as wide and half as high as the watched picture, so that the network sees twice as
much of a vehicle in it. It pays only where vehicles at the lines are small; then it finds half of those that are missed
(docs/experiments/2026-11-30-second-look.md). Whether they are is learnt from the tracks that pass the lines, within one
or two vehicles. Pure: no clock, no I/O; what is learnt depends on the frames before alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes
from edge_app.records import Detections, FloatArray, Line

Box: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 px of the frame."""

_SMALL: Final = 24.0
_LARGE: Final = 32.0
"""Box sizes, px of the network's input, below which vehicles are small and from which they are not; in between it stays
as it is, since boxes of other sizes from one frame to the next mislead the tracker."""
_KNOWN: Final = 10
"""Boxes at the lines after which it is known whether vehicles are small; until then they are taken to be."""
_UNKNOWN_S: Final = 30.0
"""Time, s, without so many boxes after which vehicles are no longer taken to be small: hardly anything drives there."""
_NEWEST: Final = 200
"""Boxes that are remembered."""
_LONG: Final = 0.42
"""Extent of a line, part of the picture, from which it needs two parts."""
_SAME: Final = 0.1
"""Distance of two parts, part of the picture, up to which one of them is enough."""
_MOST: Final = 4
"""Largest number of parts: each is one inference more."""
_EDGE: Final = 0.01
"""Distance, in sides of a part, from its edge within which a box is cut by it."""
_DOUBLE: Final = 0.7
"""Share of the smaller of two boxes that the other covers, from which both are the same vehicle."""


class SecondLook:
    """Parts of one camera's view that the network sees at full detail, and the sizes of vehicles at its lines."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = tuple(lines)
        self._sizes: deque[float] = deque(maxlen=_NEWEST)
        self._noted: deque[tuple[int, list[float]]] = deque()
        self._pays, self._began = True, math.inf

    def note(self, number: int, vehicles: FloatArray, size: tuple[int, int], scale: float) -> None:
        """Note the vehicles of a frame that was searched.

        number: of the frame. vehicles: float32 (N, 4), boxes px of those that drive. size: width and height of the
        frame, px. scale: px of the network's input per px of the frame.
        """
        sides = boxes.sizes(boxes.sides(vehicles))
        near = np.zeros(len(vehicles), np.bool_)
        for line in self._lines:
            near |= _distances(boxes.centres(vehicles), line, size) <= sides
        if near.any():
            self._noted.append((number, (sides[near] * np.float32(scale)).tolist()))

    def parts(self, watched: Box, size: tuple[int, int], known: int, time: float) -> tuple[Box, ...]:
        """Return the parts of a frame that are to be seen as well, none where that does not pay.

        watched: the part of the frame that is watched at all. size: width and height of the frame, px. known: number of
        the newest frame whose vehicles may be used. time: of the frame, s.
        """
        while self._noted and self._noted[0][0] <= known:
            self._sizes.extend(self._noted.popleft()[1])
            if len(self._sizes) >= _KNOWN:
                self._pays = float(np.median(self._sizes)) < (_LARGE if self._pays else _SMALL)
        self._began = min(self._began, time)
        if len(self._sizes) < _KNOWN and time - self._began > _UNKNOWN_S:
            self._pays = False
        return _parts(self._lines, watched, size) if self._pays else ()


def most_parts(lines: Sequence[Line]) -> int:
    """Return the number of inferences that a frame needs beside the first where vehicles at these lines are small."""
    return len(_parts(lines, (0, 0, 1000, 1000), (1000, 1000)))


def merged(whole: Detections, looks: Sequence[Detections], parts: Sequence[Box], watched: Box) -> Detections:
    """Return the detections of the whole picture and of its parts, each vehicle once, strongest first.

    whole: detections in `watched`. looks: those in each of the parts; all px of the frame. Boxes that are cut by the
    edge of a part are left to the other looks. Then, from the strongest on, a box goes that lies on another (greedy
    suppression by the share of the smaller box): the whole picture and a part see a vehicle in different sizes, and in
    a part pieces of a vehicle look like vehicles. So does a motorcycle close in front of a bus.
    """
    uncut = [_without_cut(look, part, watched) for look, part in zip(looks, parts, strict=True)]
    found = [whole, *uncut]
    box, score, label = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("boxes", "scores", "classes")
    )
    double = _shares(box) >= _DOUBLE
    keep: list[int] = []
    for row in np.argsort(-score, kind="stable").tolist():
        if not double[row, keep].any():
            keep.append(row)
    return Detections(box[keep], score[keep], label[keep])


def _parts(lines: Sequence[Line], watched: Box, size: tuple[int, int]) -> tuple[Box, ...]:
    x0, y0, x1, y1 = watched
    width, height = max(1, (x1 - x0) // 2), max(1, (y1 - y0) // 2)
    found: list[Box] = []
    for x, y in (centre for line in lines for centre in _centres(line, watched, size)):
        left = round(min(max(x - width / 2, x0), x1 - width))
        top = round(min(max(y - height / 2, y0), y1 - height))
        apart = [max(abs(left - one[0]) / (x1 - x0), abs(top - one[1]) / (y1 - y0)) for one in found]
        if min(apart, default=1.0) > _SAME:
            found.append((left, top, left + width, top + height))
    return tuple(found[:_MOST])


def _centres(line: Line, watched: Box, size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Yield the middle of a line, px, or of its halves where it is long."""
    ends = np.multiply([line.start, line.end], size)
    x0, y0, x1, y1 = watched
    long = (np.abs(ends[1] - ends[0]) > _LONG * np.array([x1 - x0, y1 - y0])).any()
    for near, far in pairwise(np.linspace(0, 1, 3 if long else 2)):
        x, y = ends[0] + (near + far) / 2 * (ends[1] - ends[0])
        yield float(x), float(y)


def _distances(points: FloatArray, line: Line, size: tuple[int, int]) -> FloatArray:
    """Return float32 (N,), px: the distances of points (N, 2) from a line."""
    start, end = np.multiply([line.start, line.end], size).astype(np.float32)
    along = end - start
    share = ((points - start) @ along / np.float32(max(float(along @ along), 1e-6))).clip(0, 1)
    return boxes.lengths(points - start - share[:, None] * along)


def _without_cut(look: Detections, part: Box, watched: Box) -> Detections:
    """Return the detections in a part that its edges do not cut; where the watched picture ends nothing is cut."""
    inner = np.sign(np.subtract(part, watched)) != 0
    margin = np.tile(_EDGE * (np.array(part[2:]) - part[:2]), 2)
    inside = np.array([1, 1, -1, -1]) * (look.boxes - np.array(part, np.float32)) > margin
    whole = (inside | ~inner).all(axis=1)
    return Detections(look.boxes[whole], look.scores[whole], look.classes[whole])


def _shares(box: FloatArray) -> NDArray[np.float32]:
    """Return float32 (N, N): the intersection of each pair of boxes (N, 4), as a share of the smaller of both."""
    overlap = np.minimum(box[:, None, 2:], box[None, :, 2:]) - np.maximum(box[:, None, :2], box[None, :, :2])
    area = np.prod(boxes.sides(box), axis=1)
    shares: NDArray[np.float32] = overlap.clip(0).prod(axis=2) / np.minimum(area[:, None], area[None])
    return shares

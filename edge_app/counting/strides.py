"""Find vehicles that are too fast for the tracker, which sees each of their detections as a new vehicle. Pure.

Such a vehicle leaves a row of detections at equal distances, each further from the one before than the association
radius. Its speed tells that looks are too rare, which the speeds of tracked vehicles alone would not: where every
vehicle is too fast there are none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.records import Detections

FloatRows: TypeAlias = NDArray[np.float64]

_CLEAR: Final = 0.5
"""Score from which a detection is surely a vehicle."""
_LONGEST: Final = 4.0
"""Longest stride, box sizes: over more of them anything would fit."""
_EQUAL: Final = 0.3
"""Largest difference of two strides of a vehicle, as a share of the first."""
_SAME_SIZE: Final = 1.5
"""Largest ratio of the sizes of two detections of a vehicle."""
_SHORTEST_S: Final = 0.07
"""Time, s, between two looks below which no vehicle is too fast."""

_NO_PAIRS: Final[FloatRows] = np.empty((0, 6))


@dataclass(frozen=True, slots=True)
class Passage:
    """A vehicle that three looks have shown at first, between and at last. first, last: px. speed: box sizes/s."""

    first: tuple[float, float]
    last: tuple[float, float]
    speed: float


class Strides:
    """Detections of the two looks before, of vehicles that had none near them in the look before theirs.

    reach: association radius, box sizes.
    """

    def __init__(self, reach: float) -> None:
        self._reach = reach
        self._time = -math.inf
        self._last = Detections.empty()
        self._pairs = _NO_PAIRS

    def update(self, found: Detections, time: float) -> list[Passage]:
        """Return the vehicles that the last three looks have shown once each. time: of this look, monotonic s."""
        elapsed, self._time = time - self._time, time
        before, self._last = self._last, found
        earlier, self._pairs = self._pairs, _NO_PAIRS
        if elapsed >= _SHORTEST_S and len(found) and len(before):
            self._pairs = self._paired(_clear(found), _clear(before), elapsed)
        return _continued(self._pairs, earlier)

    def _paired(self, now: FloatRows, before: FloatRows, elapsed: float) -> FloatRows:
        """Return rows of both centres, the stride in box sizes and its time, s, for what was alone in both looks."""
        shift = now[:, None, :2] - before[None, :, :2]
        distance = np.hypot(*np.moveaxis(shift / np.maximum(now[:, None, 2:4], before[None, :, 2:4]), 2, 0))
        alone, left = (distance > self._reach).all(axis=1), (distance > self._reach).all(axis=0)
        ratio = np.abs(np.log(now[:, None, 2:4] / before[None, :, 2:4])).max(axis=2)
        same = (ratio <= np.log(_SAME_SIZE)) & (now[:, None, 4] == before[None, :, 4])
        rows, columns = np.nonzero(alone[:, None] & left[None] & same & (distance <= _LONGEST))
        stride = distance[rows, columns]
        return np.column_stack([now[rows, :2], before[columns, :2], stride, np.full(len(rows), elapsed)])


def _clear(found: Detections) -> FloatRows:
    """Return rows of centre, width, height and class of the detections that are surely vehicles."""
    clear = found.scores >= _CLEAR
    boxes = found.boxes[clear].astype(np.float64)
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    return np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, sizes, found.classes[clear]])


def _continued(pairs: FloatRows, earlier: FloatRows) -> list[Passage]:
    """Return the passages of pairs that go on from the end of an earlier one at the same speed."""
    passages = []
    for x, y, from_x, from_y, stride, elapsed in pairs.tolist():
        for via_x, via_y, first_x, first_y, before, took in earlier.tolist():
            share = elapsed / took  # of the earlier stride that is to be expected
            expected = (share * (via_x - first_x), share * (via_y - first_y))
            off = math.hypot(x - from_x - expected[0], y - from_y - expected[1])
            if (via_x, via_y) == (from_x, from_y) and off <= _EQUAL * math.hypot(*expected):
                passages.append(Passage((first_x, first_y), (x, y), (before + stride) / (took + elapsed)))
    return passages

"""Find out which vehicle comes out behind a post, a trunk or a mask: the one that went behind it.

A box at a post shrinks from the front, because only the rear still shows; another grows beyond the post from the rear.
Their centres move at half the speed, and nothing fits. But the rear edge of the first and the front edge of the second
move as the vehicle does, one length of the vehicle apart. Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray

_HIDDEN_S = 1.0
"""Longest time, s, for which a moving vehicle may be hidden completely."""
_UNSEEN = 0.3
"""Largest part, in lengths, of a vehicle that shows on either side of what hides it and is not detected."""
LONGEST_S: Final = 1.75
"""Longest time, s, between the detections before and after it, however slow the vehicle is."""
EDGE_S: Final = 0.25
"""Time constant, s, of the velocity of an edge."""
WHOLE_S: Final = 2.0
"""Time constant, s, with which the largest size of a track falls: vehicles that drive away shrink."""
_CUT = 0.85
"""Length, as a share of the whole, below which a part of a vehicle is hidden."""
_AHEAD = 0.1
"""Largest part, in lengths, of a front that lies on the rear."""
_TOGETHER = 1.2
"""Largest distance, in lengths, from the rear edge to the front edge of the two parts of one vehicle."""
_HELD = 0.5
"""Largest speed of the rear edge that is held by a post, as a share of the speed of the front edge."""
_SHRINKS = 0.8
"""The same of the front edge held by the post, whose speed is that of the vehicle before."""
_MISFIT = 0.4
"""Largest distance, in lengths of the vehicle, between its front edge and where it should be by now."""
_BESIDE = 0.35
"""Largest distance beside its way, in its extents across it."""
_TURN = 0.1
"""The same for each px between them: the direction of its way is known to some degrees."""
_WIDEST = 1.4
"""Largest ratio of the extents across the way."""
_SLOWEST, _FASTEST = 0.4, 2.5
"""Speed of the new track, as a share of the speed of the lost one: it has had only a few detections."""
_MOVING = 0.3
"""Speed, lengths/s, from which a vehicle has a direction."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What was last seen of a track.

    box, edge_speeds: float32 (4,), px, and px/s of each edge. whole: float32 (2,), px, largest size of late.
    course: float32 (2,), px/s, velocity of late. seen: s, time of that detection. first_seen: s, of the first one.
    """

    box: FloatArray
    edge_speeds: FloatArray
    whole: FloatArray
    course: FloatArray
    seen: float
    first_seen: float


def misfit(lost: Part, new: Part, time: float) -> float:
    """Return how far, in its lengths, the front of the new part is from where that of the lost vehicle must be.

    Infinite where they are two vehicles. time: s, now.
    """
    speed = float(np.hypot(*lost.course))
    if not speed:
        return math.inf
    way = lost.course / np.float32(speed)
    length = float(np.abs(way) @ lost.whole)
    if new.first_seen - lost.seen > _longest(length, max(_ends(lost.edge_speeds, way))):
        return math.inf
    (rear, front), (new_rear, new_front) = _ends(lost.box, way), _ends(new.box, way)
    if new_rear < front - _MISFIT * length or new_front - new_rear > _WIDEST * length:
        return math.inf  # it is not beyond it, or is larger
    if not (_moves_behind(lost, new, way, length) and _in_one_lane(lost, new, way)):
        return math.inf
    speed = max(_ends(lost.edge_speeds, way))
    off = abs(new_front - (rear + length + speed * (time - lost.seen))) / length
    return off if off <= _MISFIT else math.inf


def _longest(length: float, speed: float) -> float:
    """Return the longest time, s, between two detections of a vehicle that is hidden completely for _HIDDEN_S at most.

    length: px. speed: px/s.
    """
    return min(LONGEST_S, _HIDDEN_S + 2 * _UNSEEN * length / max(speed, 1.0))


def are_cut(sides: FloatArray, whole: FloatArray, courses: FloatArray) -> NDArray[np.bool_]:
    """Return bool (N,): whether boxes may show only a part of their vehicles, seen along the courses of these.

    sides, whole: widths and heights of the boxes and of whole vehicles, (N, 2) px. courses: (N, 2) px/s.
    """
    longer = np.abs(courses) * (sides - np.float32(_CUT) * whole)
    cut: NDArray[np.bool_] = longer[:, 0] + longer[:, 1] <= 0
    return cut


def is_ahead(rear_part: Part, box: FloatArray) -> bool:
    """Return whether a new box, float32 (4,), px, may be the front of a vehicle whose track is left with its rear."""
    speed = float(np.hypot(*rear_part.course))
    if not speed:
        return False
    way = rear_part.course / np.float32(speed)
    beside = np.array([-way[1], way[0]], np.float32)
    length, width = float(np.abs(way) @ rear_part.whole), float(np.abs(beside) @ rear_part.whole)
    (rear, front), (low, high) = _ends(rear_part.box, way), _ends(rear_part.box, beside)
    (new_rear, new_front), (new_low, new_high) = _ends(box, way), _ends(box, beside)
    cut = front - rear <= _CUT * length
    ahead = new_rear >= front - _AHEAD * length and new_front <= rear + _TOGETHER * length
    return cut and ahead and abs(new_low + new_high - low - high) / 2 <= _BESIDE * width


def are_one(rear_part: Part, box: FloatArray, time: float) -> bool:
    """Return whether a box, px, that began as the front of this vehicle still is: the rear has not stayed behind."""
    if rear_part.seen < time:
        return True
    way = rear_part.course / np.float32(np.hypot(*rear_part.course))
    length = float(np.abs(way) @ rear_part.whole)
    return _ends(box, way)[1] - _ends(rear_part.box, way)[0] <= _TOGETHER * length


def _moves_behind(lost: Part, new: Part, way: FloatArray, length: float) -> bool:
    """Return whether both move alike, one into what hides it, the other out of it."""
    (rear, front), (new_rear, new_front) = _ends(lost.box, way), _ends(new.box, way)
    (rear_speed, front_speed), (new_rear_speed, new_front_speed) = (_ends(p.edge_speeds, way) for p in (lost, new))
    enters = front - rear <= _CUT * length and front_speed <= _SHRINKS * rear_speed
    if not enters and new.first_seen <= lost.seen:
        return False
    leaves = new_rear_speed <= _HELD * new_front_speed
    if not leaves and not (enters and new_front - new_rear >= length / _WIDEST):
        return False
    speed = max(rear_speed, front_speed)
    return speed >= _MOVING * length and _SLOWEST * speed <= new_front_speed <= _FASTEST * speed


def _in_one_lane(lost: Part, new: Part, way: FloatArray) -> bool:
    beside = np.array([-way[1], way[0]], np.float32)
    width = float(np.abs(beside) @ lost.whole)
    (low, high), (new_low, new_high) = _ends(lost.box, beside), _ends(new.box, beside)
    shift = abs(new_low + new_high - low - high) / 2
    apart = _ends(new.box, way)[0] - _ends(lost.box, way)[1]
    return (
        shift <= _BESIDE * width + _TURN * max(apart, 0.0)
        and (high - low) / _WIDEST <= new_high - new_low <= width * _WIDEST
    )


def _ends(edges: FloatArray, way: FloatArray) -> tuple[float, float]:
    """Return the values of the rear and the front edge along a way (unit vector) of x0, y0, x1, y1, px or px/s."""
    x, y = (0, 2) if way[0] >= 0 else (2, 0), (1, 3) if way[1] >= 0 else (3, 1)
    rear, front = (float(way[0] * edges[a] + way[1] * edges[b]) for a, b in zip(x, y, strict=True))
    return rear, front

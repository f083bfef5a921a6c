"""Tells a second track on a vehicle that has just crossed a line from a second vehicle. Pure: no clock, no I/O.

Two crossings are suspected to be one when they lie closer together, in time and along the line, than two vehicles fit,
or when one box lies on the other. But a camera sees one vehicle before another, and their boxes then lie so too. What
decides is whether both tracks were seen apart for a while, each with a detection of its own: a second track on a
vehicle comes into being on that vehicle and stays there, and two vehicles were two before one hid the other, or are
again when it no longer does. So a suspected crossing is held for a moment before it is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.records import LineCrossing, Tracks

_SAME_S = 1.0
"""Crossings further apart, s, are of two vehicles."""
_HELD_S = 0.5
"""How long a suspected crossing waits for its vehicle to be seen apart from the other."""
_KEPT_S = 3.0 + _HELD_S
"""How long a crossing is remembered, s: _SAME_S and the time until one becomes certain."""
_LOOKS_S = 1.5
"""How far back two tracks may have been seen apart, s."""
_APART_S = 0.15
"""How long two vehicles are seen apart at the least, s, on end: a box that jumps for one look is nothing."""
_SAME = 0.5
"""Overlap with where the other would be by now from which two are one; one behind the other, they share less."""
_LANE = 0.35
"""Part of a box's extent along the line by which two vehicles side by side are apart at the least."""
_LENGTH = 0.6
"""Part of a box's extent across the line that lies between two vehicles one behind the other at the least."""


@dataclass(frozen=True, slots=True, eq=False)
class _Crossed:
    """A crossing as it is remembered for a moment: of which track, time s and place px along the line at which the
    centre passed, the box's extents px along and across the line, its speed px/s across; and when (seen, s), where
    (box) and how fast (velocity) it was when that became certain.
    """

    track: int
    time: float
    direction: int
    place: float
    along: float
    across: float
    speed: float
    seen: float
    box: Sequence[float]
    velocity: Sequence[float]

    def is_like(self, old: _Crossed) -> bool:
        """Whether this looks like the vehicle of `old` once more, under another track."""
        gap = abs(self.time - old.time)
        if self.direction != old.direction or gap > _SAME_S:
            return False
        # One vehicle cannot follow another in its track closer than its own length.
        beside = abs(self.place - old.place) > _LANE * min(self.along, old.along)
        behind = gap * min(self.speed, old.speed) > _LENGTH * min(self.across, old.across)
        elapsed = self.seen - old.seen
        moved = [edge + elapsed * speed for edge, speed in zip(old.box, (*old.velocity, *old.velocity), strict=True)]
        return not (beside or behind) or _overlap(self.box, moved) > _SAME


class Duplicates:
    """Of one line. along, across: unit vectors of the line and of the way over it, in px.

    count: crossings left out since the start.
    """

    def __init__(self, along: NDArray[np.float64], across: NDArray[np.float64]) -> None:
        self._along, self._across = np.abs(along), across
        self._looks: deque[tuple[float, dict[int, list[float]]]] = deque()
        self._crossed: list[_Crossed] = []
        self._held: list[_Crossed] = []
        self.count = 0

    def look(self, tracks: Tracks, time: float) -> None:
        """Before the crossings of every look."""
        seen = tracks.seen
        self._looks.append((time, dict(zip(tracks.ids[seen].tolist(), tracks.boxes[seen].tolist(), strict=True))))
        while time - self._looks[0][0] > _LOOKS_S:
            self._looks.popleft()

    def admits(self, crossing: LineCrossing, place: float, tracks: Tracks, time: float) -> bool:
        """Whether it counts at once; if not, `cleared` may give it later. place: px along the line."""
        box, velocity = tracks.boxes[crossing.row], tracks.velocities[crossing.row]
        sides = box[2:] - box[:2]
        new = _Crossed(
            int(tracks.ids[crossing.row]),
            crossing.time,
            crossing.direction,
            place,
            float(sides @ self._along),
            float(sides @ np.abs(self._across)),
            abs(float(velocity @ self._across)),
            time,
            box.tolist(),
            velocity.tolist(),
        )
        self._crossed = [old for old in self._crossed if crossing.time - old.time <= _KEPT_S]
        if self._is_known(new):
            self._held.append(new)
            return False
        self._crossed.append(new)
        return True

    def cleared(self, tracks: Tracks, time: float) -> list[LineCrossing]:
        """Held crossings of vehicles that have turned out to be others; after `admits`, at every look."""
        found, waiting = list[LineCrossing](), list[_Crossed]()
        for new in self._held:
            rows = np.flatnonzero(tracks.ids == new.track).tolist()
            if rows and not self._is_known(new):
                found.append(LineCrossing(rows[0], new.time, new.direction))
                self._crossed.append(new)
            elif time - new.seen <= _HELD_S:
                waiting.append(new)
            else:
                self.count += 1
        self._held = waiting
        return found

    def _is_known(self, new: _Crossed) -> bool:
        return any(new.is_like(old) and not self._were_apart(new.track, old.track) for old in self._crossed)

    def _were_apart(self, a: int, b: int) -> bool:
        """Whether both tracks were seen apart lately, for _APART_S on end."""
        since: float | None = None
        for time, boxes in self._looks:
            if a not in boxes or b not in boxes or _overlap(boxes[a], boxes[b]) > _SAME:
                since = None
            elif since is None:
                since = time
            elif time - since >= _APART_S:
                return True
        return False


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over the smaller of two boxes x0, y0, x1, y1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / smaller

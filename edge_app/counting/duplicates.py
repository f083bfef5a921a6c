"""Tell a second track on a vehicle that has just crossed a line from a second vehicle. Pure: no clock, no I/O.

Two crossings are suspected to be one when they lie closer together, in time and along the line, than two vehicles fit,
or when one box lies on the other. But one vehicle may hide another from the camera, and then their boxes lie so too.
The decision rests on whether both tracks were seen apart for a while, each with a detection of its own: a second track
on a vehicle starts on that vehicle and stays there, while two vehicles were apart before one hid the other, or are
apart again afterwards. So a suspected crossing is held for a moment before it is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.records import LineCrossing, Tracks

_SAME_VEHICLE_S = 1.0
"""Crossings further apart than this, s, are of two vehicles."""
_HOLD_S = 0.5
"""Time, s, for which a suspected crossing waits for its vehicle to be seen apart from the other."""
_REMEMBER_S = 3.0 + _HOLD_S
"""Time, s, for which a crossing is remembered: _SAME_VEHICLE_S and the time until a crossing is confirmed."""
_HISTORY_S = 1.5
"""Time, s, over which boxes are remembered, to find out whether two tracks were seen apart."""
_APART_S = 0.15
"""Shortest uninterrupted time, s, for which two vehicles are seen apart: a box that jumps in one frame is no proof."""
_SAME_OVERLAP = 0.5
"""Overlap with the predicted box of the other from which two tracks are one vehicle; two in a row share less."""
_LANE = 0.35
"""Smallest distance between two vehicles side by side, in extents of a box along the line."""
_LENGTH = 0.6
"""Smallest distance between two vehicles one behind the other, in extents of a box across the line."""


@dataclass(frozen=True, slots=True, eq=False)
class _RecentCrossing:
    """A crossing as remembered for a moment.

    track: its id. time: s, and position: px along the line, at which the centre passed. direction: as LineCrossing.
    along, across: extents of the box, px, along and across the line. speed: px/s across the line.
    confirmed_at: s; box: px and velocity: px/s at that time.
    """

    track: int
    time: float
    direction: int
    position: float
    along: float
    across: float
    speed: float
    confirmed_at: float
    box: Sequence[float]
    velocity: Sequence[float]

    def resembles(self, old: _RecentCrossing) -> bool:
        """Return whether this may be the vehicle of `old` again, under another track."""
        gap = abs(self.time - old.time)
        if self.direction != old.direction or gap > _SAME_VEHICLE_S:
            return False
        # One vehicle cannot follow another in its lane closer than its own length.
        beside = abs(self.position - old.position) > _LANE * min(self.along, old.along)
        behind = gap * min(self.speed, old.speed) > _LENGTH * min(self.across, old.across)
        elapsed = self.confirmed_at - old.confirmed_at
        velocity = (*old.velocity, *old.velocity)
        predicted = [edge + elapsed * speed for edge, speed in zip(old.box, velocity, strict=True)]
        return not (beside or behind) or _overlap(self.box, predicted) > _SAME_OVERLAP


class DuplicateFilter:
    """Filter of the crossings of one line.

    along, across: unit vectors of the line and perpendicular to it, px.
    count: crossings left out since the start.

    For each frame call `observe`, then `accept` for each crossing, then `release`.
    """

    def __init__(self, along: NDArray[np.float64], across: NDArray[np.float64]) -> None:
        self._along, self._across = np.abs(along), across
        self._history: deque[tuple[float, dict[int, list[float]]]] = deque()
        self._accepted: list[_RecentCrossing] = []
        self._held: list[_RecentCrossing] = []
        self.count = 0

    def observe(self, tracks: Tracks, time: float) -> None:
        """Remember the boxes of the tracks detected in this frame. time: monotonic s."""
        rows = zip(tracks.ids.tolist(), tracks.boxes.tolist(), tracks.seen.tolist(), strict=True)
        self._history.append((time, {track: box for track, box, seen in rows if seen}))
        while time - self._history[0][0] > _HISTORY_S:
            self._history.popleft()

    def accept(self, crossing: LineCrossing, position: float, tracks: Tracks, time: float) -> bool:
        """Return whether a crossing counts at once; one that is held may come out of `release` later.

        position: of the crossing, px along the line. time: of this frame, monotonic s.
        """
        new = self._recent_crossing(crossing, position, tracks, time)
        self._accepted = [old for old in self._accepted if crossing.time - old.time <= _REMEMBER_S]
        if self._is_duplicate(new):
            self._held.append(new)
            return False
        self._accepted.append(new)
        return True

    def release(self, tracks: Tracks, time: float) -> list[LineCrossing]:
        """Return held crossings that have turned out to be of another vehicle; leave out those held too long."""
        released, held = list[LineCrossing](), list[_RecentCrossing]()
        for crossing in self._held:
            rows = np.flatnonzero(tracks.ids == crossing.track).tolist()
            if rows and not self._is_duplicate(crossing):
                released.append(LineCrossing(rows[0], crossing.time, crossing.direction))
                self._accepted.append(crossing)
            elif time - crossing.confirmed_at <= _HOLD_S:
                held.append(crossing)
            else:
                self.count += 1
        self._held = held
        return released

    def _recent_crossing(self, crossing: LineCrossing, position: float, tracks: Tracks, time: float) -> _RecentCrossing:
        box, velocity = tracks.boxes[crossing.row], tracks.velocities[crossing.row]
        sides = box[2:] - box[:2]
        return _RecentCrossing(
            track=int(tracks.ids[crossing.row]),
            time=crossing.time,
            direction=crossing.direction,
            position=position,
            along=float(sides @ self._along),
            across=float(sides @ np.abs(self._across)),
            speed=abs(float(velocity @ self._across)),
            confirmed_at=time,
            box=box.tolist(),
            velocity=velocity.tolist(),
        )

    def _is_duplicate(self, new: _RecentCrossing) -> bool:
        return any(new.resembles(old) and not self._were_apart(new.track, old.track) for old in self._accepted)

    def _were_apart(self, a: int, b: int) -> bool:
        """Return whether both tracks were recently seen apart, for _APART_S without a break."""
        since: float | None = None
        for time, boxes in self._history:
            if a not in boxes or b not in boxes or _overlap(boxes[a], boxes[b]) > _SAME_OVERLAP:
                since = None
            elif since is None:
                since = time
            elif time - since >= _APART_S:
                return True
        return False


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection of two boxes x0, y0, x1, y1 over the area of the smaller."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0.0, width) * max(0.0, height) / smaller

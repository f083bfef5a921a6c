"""Decide when a track has crossed a line, and in which direction. Pure: no clock, no I/O.

A track crosses when its centroid passes the segment and then leaves a dead band around the line, so that a box that
trembles on the line counts nothing. Seen from `start` towards `end`, a movement from the left-hand side to the
right-hand side is `left_to_right`; in picture coordinates (y down) the right is where ex * py - ey * px > 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_app.counting.duplicates import DuplicateFilter
from edge_app.counting.standing import HIDDEN_S
from edge_app.records import LineCrossing, Tracks

_FORGET_S = 1.5 * HIDDEN_S
"""Time, s, after which a track is forgotten: longer than any track lives undetected."""
_MANY_TRACKS = 256
"""Number of remembered tracks from which old ones are removed; with fewer it is not worth the time."""
_UNSEEN_S = 0.8
"""Longest time, s, between a crossing and the first detection of its vehicle."""
_UNSEEN_EXTENTS = 1.0
"""Longest distance of that first detection behind the line, in box extents across the line."""
_STOOD_S = 0.25
"""Time, s, between first detection and start from which a vehicle was seen standing: it was not detected late."""
_SCENE_S = 2.0
"""Time, s, from the first frame within which standing vehicles appear that were there before."""


@dataclass(slots=True)
class _TrackMemory:
    """State of one track at one line, as of the last frame that moved it.

    distance: px from the line, its sign is the side. along: position along the line, 0..1 of its length. time: s.
    side: 1 or -1, the last side on which the track was clear of the dead band.
    crossed_at: s at which the track passed the segment since then, None when it did not; position: 0..1, where.
    """

    distance: float
    along: float
    time: float
    side: int
    crossed_at: float | None = None
    position: float = 0.0

    def move(self, distance: float, along: float, time: float) -> None:
        """Take the place of this frame, and note a change of side between the ends of the segment."""
        if (distance >= 0) != (self.distance >= 0):
            part = self.distance / (self.distance - distance)
            self.position = self.along + part * (along - self.along)
            inside = 0.0 <= self.position <= 1.0
            self.crossed_at = self.time + part * (time - self.time) if inside else None
        self.distance, self.along, self.time = distance, along, time

    def leave_band(self, row: int) -> LineCrossing | None:
        """Return the crossing that is confirmed now that the track is clear of the dead band, if any."""
        side = 1 if self.distance >= 0 else -1
        changed, self.side = side != self.side, side
        crossed_at, self.crossed_at = self.crossed_at, None
        if not changed or crossed_at is None:
            return None
        return LineCrossing(row, crossed_at, 0 if side > 0 else 1)

    def assume_crossing(self, distance: float, along: float, time: float, extent: float, since: float) -> None:
        """Assume that a track which starts just behind the line and drives away from it has crossed it unseen.

        distance, along, time: place of this frame; extent: px of the box across the line. since: s of the first frame.

        A vehicle cannot appear on the road from nowhere, so it was detected late. Vehicles in the very first frame are
        left alone.
        """
        elapsed = time - self.time
        if elapsed <= 0:
            return
        speed = (distance - self.distance) / elapsed
        ago = self.distance / speed if speed else -1.0
        position = self.along - (along - self.along) / elapsed * ago
        near = ago <= _UNSEEN_S and abs(self.distance) <= _UNSEEN_EXTENTS * extent
        if near and 0 < ago <= self.time - since and 0 <= position <= 1:
            self.crossed_at, self.position = self.time - ago, position
            self.side = -self.side


class LineCounter:
    """Counter of one line.

    start, end: px. band: half-width of the dead band, in box extents across the line.
    """

    def __init__(self, start: tuple[float, float], end: tuple[float, float], *, band: float) -> None:
        vector = np.array(end, np.float64) - start
        self._start, self._length = start, float(np.hypot(*vector))
        along = vector / self._length
        across = np.array([-along[1], along[0]])
        self._along: tuple[float, float] = tuple(along.tolist())
        self._across: tuple[float, float] = tuple(across.tolist())
        self._band = band
        self._memories: dict[int, _TrackMemory] = {}
        self._duplicates = DuplicateFilter(along, across)
        self._first_update = float("inf")

    @property
    def duplicates(self) -> int:
        """Number of crossings left out since the start, because a second track of the same vehicle made them."""
        return self._duplicates.count

    def update(self, tracks: Tracks, time: float) -> list[LineCrossing]:
        """Return the crossings that are confirmed by this frame; call it for every frame with all its tracks.

        time: monotonic s.
        """
        self._first_update = min(self._first_update, time)
        self._duplicates.observe(tracks, time)
        crossings = []
        columns = (tracks.ids, tracks.centroids, tracks.boxes, tracks.seen)
        rows = zip(*(column.tolist() for column in columns), strict=True)  # plain numbers: faster for so few tracks
        for row, (track, centre, box, is_seen) in enumerate(rows):
            (distance, along), extent = self._locate(*centre), self._extent(*box)
            if track not in self._memories:
                self._memories[track] = self._new_memory(tracks, row, distance, along, extent, time)
            memory = self._memories[track]
            # A predicted place may complete a passage that was detected, but never begin one.
            if not is_seen and memory.crossed_at is None:
                continue
            memory.move(distance, along, time)
            crossing = memory.leave_band(row) if abs(distance) > self._band * extent else None
            if crossing and self._duplicates.accept(crossing, memory.position * self._length, tracks, time):
                crossings.append(crossing)
        self._forget(time)
        return crossings + self._duplicates.release(tracks, time)

    def lies_between(self, first: tuple[float, float], last: tuple[float, float]) -> bool:
        """Return whether the straight way from one point, px, to another passes the segment."""
        (a, along_a), (b, along_b) = self._locate(*first), self._locate(*last)
        if (a >= 0) == (b >= 0):
            return False
        return bool(0.0 <= along_a + a / (a - b) * (along_b - along_a) <= 1.0)

    def _new_memory(
        self, tracks: Tracks, row: int, distance: float, along: float, extent: float, time: float
    ) -> _TrackMemory:
        """Return the memory of a track that is new in this frame, from its first detection on."""
        first, first_along = self._locate(*tracks.origins[row].tolist())
        memory = _TrackMemory(first, first_along, float(tracks.born[row]), 1 if first >= 0 else -1)
        if self._may_have_crossed(memory, float(tracks.first_seen[row]), extent):
            memory.assume_crossing(distance, along, time, extent, self._first_update)
        return memory

    def _may_have_crossed(self, memory: _TrackMemory, first_seen: float, extent: float) -> bool:
        """Return whether a new track may have crossed the line before its first detection.

        One that was seen standing before it moved did not cross just then; it may have come there hidden by others
        only where it stands in the dead band, and only when it was not there from the beginning.
        """
        if memory.time - first_seen <= _STOOD_S:
            return True
        return abs(memory.distance) <= self._band * extent and first_seen - self._first_update > _SCENE_S

    def _forget(self, time: float) -> None:
        # A track that is only hidden for now stays: when it comes back it must not cross a second time.
        if len(self._memories) > _MANY_TRACKS:
            self._memories = {track: m for track, m in self._memories.items() if time - m.time <= _FORGET_S}

    def _locate(self, x: float, y: float) -> tuple[float, float]:
        """Return a point's signed distance from the line in px, and its position along it in 0..1 of its length."""
        right, down = x - self._start[0], y - self._start[1]
        (across_x, across_y), (along_x, along_y) = self._across, self._along
        return right * across_x + down * across_y, (right * along_x + down * along_y) / self._length

    def _extent(self, x0: float, y0: float, x1: float, y1: float) -> float:
        """Return the extent of a box across the line, px."""
        return abs((x1 - x0) * abs(self._across[0]) + (y1 - y0) * abs(self._across[1]))

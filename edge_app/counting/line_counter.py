"""Decides when a track has crossed a line, and in which direction. Pure: no clock, no I/O.

A track crosses when its centroid passes the segment and then leaves a dead band around the line, so a box that
trembles on the line counts nothing. Standing at `start` and looking to `end`, what goes from the left-hand side to the
right-hand side is `left_to_right`; in picture coordinates (y down) the right is where ex * py - ey * px > 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.counting.duplicates import Duplicates
from edge_app.records import LineCrossing, Tracks

_FORGET_S = 30.0
"""Longer than any track lives unseen."""
_MANY = 256
"""Tracks remembered before it is worth while to look for old ones."""
_BACK_S = 0.8
"""How long s before it was first seen a vehicle may have crossed."""
_BACK = 1.0
"""How far behind the line, in box extents, it may have been seen first."""


@dataclass(slots=True)
class _Passage:
    """What one line remembers of one track.

    distance px and time s of the last look, signed as the side; side: the last one on which the track was clear of
    the band; passed: when it went over the segment since, None when it did not.
    """

    distance: float
    along: float
    time: float
    side: int
    passed: float | None = None
    place: float = 0.0


class LineCounter:
    """One line, in px, and the tracks near it. band: half-width of the dead band in box extents across the line."""

    def __init__(self, start: tuple[float, float], end: tuple[float, float], *, band: float) -> None:
        self._start = np.array(start, np.float64)
        vector = np.array(end, np.float64) - self._start
        self._length = float(np.hypot(*vector))
        self._along = vector / self._length
        self._across = np.array([-self._along[1], self._along[0]])
        self._band = band
        self._passages: dict[int, _Passage] = {}
        self._duplicates = Duplicates(self._along, self._across)
        self._begun = float("inf")

    @property
    def duplicates(self) -> int:
        """Crossings left out since the start: of a second track on a vehicle that has just crossed."""
        return self._duplicates.count

    def update(self, tracks: Tracks, time: float) -> list[LineCrossing]:
        """The crossings that became certain with this look; call it for every look, with all tracks shown."""
        self._begun = min(self._begun, time)
        self._duplicates.look(tracks, time)
        distance, along = self._place(tracks.centroids)
        first, first_along = self._place(tracks.origins)
        extent = np.abs((tracks.boxes[:, 2:] - tracks.boxes[:, :2]) @ np.abs(self._across))
        clear = np.abs(distance) > self._band * extent
        crossings = []
        columns = (tracks.ids, distance, along, clear, tracks.seen)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for row, (track, d, u, is_clear, is_seen) in enumerate(rows):
            passage = self._passages.get(track)
            if passage is None:
                d0 = float(first[row])
                passage = _Passage(d0, float(first_along[row]), float(tracks.born[row]), 1 if d0 >= 0 else -1)
                self._passages[track] = passage
                self._look_back(passage, d, u, time, float(extent[row]))
            # Where an unseen track should be may complete a passage that was seen, never begin one.
            if not is_seen and passage.passed is None:
                continue
            self._pass(passage, d, u, time)
            side = 1 if d >= 0 else -1
            if is_clear and side != passage.side:
                if passage.passed is not None:
                    made = LineCrossing(row, passage.passed, 0 if side > 0 else 1)
                    if self._duplicates.admits(made, passage.place * self._length, tracks, time):
                        crossings.append(made)
                passage.side = side
            if is_clear:
                passage.passed = None
        self._forget(time)
        return crossings + self._duplicates.cleared(tracks, time)

    def _look_back(self, passage: _Passage, distance: float, along: float, time: float, extent: float) -> None:
        """Takes a track that was born just behind the line and drives away from it as having crossed unseen.

        A vehicle does not come into being on the road: the detector found it late. One that stood there drives off too
        slowly for this, and what was there at the first look of all is left alone.
        """
        elapsed = time - passage.time
        if elapsed <= 0:
            return
        speed = (distance - passage.distance) / elapsed
        back = passage.distance / speed if speed else -1.0
        place = passage.along - (along - passage.along) / elapsed * back
        near = back <= _BACK_S and abs(passage.distance) <= _BACK * extent
        if near and 0 < back <= passage.time - self._begun and 0 <= place <= 1:
            passage.passed, passage.place = passage.time - back, place
            passage.side = -passage.side

    def _forget(self, time: float) -> None:
        # Not what merely is not shown now: a track that comes back must not cross a second time.
        if len(self._passages) > _MANY:
            self._passages = {k: p for k, p in self._passages.items() if time - p.time <= _FORGET_S}

    def _place(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Signed distance from the line in px, and the place along it in 0..1 of its length."""
        relative = points - self._start
        return relative @ self._across, relative @ self._along / self._length

    def _pass(self, passage: _Passage, distance: float, along: float, time: float) -> None:
        """Moves the memory on to this look, noting a change of side within the segment's ends."""
        if (distance >= 0) != (passage.distance >= 0):
            part = passage.distance / (passage.distance - distance)
            place = passage.along + part * (along - passage.along)
            inside = 0.0 <= place <= 1.0
            passage.passed = passage.time + part * (time - passage.time) if inside else None
            passage.place = place
        passage.distance, passage.along, passage.time = distance, along, time

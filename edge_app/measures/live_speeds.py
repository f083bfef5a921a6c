"""Tell how fast the vehicles in sight drive now, for somebody who looks; nothing of it is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.errors import GeometryError
from edge_app.measures.ground import Geometry, GroundPlane, Points
from edge_app.measures.scale_error import scale_error
from edge_app.measures.speed import AROUND_S, measure
from edge_app.measures.track_looks import TrackLooks
from edge_app.records import LABELS, FloatArray, FrameResult, Tracks


@dataclass(frozen=True, slots=True)
class Sighted:
    """Looks of the last second until `now`, s: track id, class, and times and boxes as TrackLooks has them."""

    plane: GroundPlane
    now: float
    vehicles: tuple[tuple[int, str, NDArray[np.float64], FloatArray], ...]

    def speeds(self) -> dict[int, float]:
        """Return id -> km/h of the tracks whose speed is known well enough.

        The error leaves the size of the vehicle out, which takes fifty times as long: this is done for each picture.
        """
        found = {}
        for track, label, times, boxes in self.vehicles:
            speed = measure(self.now - AROUND_S, times, boxes, label, self.plane, _error)
            if speed is not None:
                found[track] = speed.kmh
        return found


class LiveSpeeds:
    """The looks of the last second at the vehicles of one camera. One thread at a time may use it."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry, self._looks = geometry, TrackLooks()
        self._plane: GroundPlane | None = None
        self._size, self._now = (0, 0), 0.0

    def use(self, geometry: Geometry) -> None:
        """Measure by another geometry from now on, with the looks that there are."""
        self._geometry, self._plane = geometry, None
        if self._size != (0, 0):
            self._plane = _plane(geometry, self._size)

    def observe(self, result: FrameResult) -> None:
        """Take the result of a frame.

        No speed is told without the camera's own time: pictures may come late. Nor in frames of a size from which no
        plane follows.
        """
        if result.frame.media_s is None:
            self._looks.clear()
            return
        frame = (result := result.at_media_time()).frame
        if frame.size != self._size or frame.monotonic < self._now:  # another size, or a recording begins again
            self._looks.clear()
        if frame.size != self._size:
            self._size, self._plane = frame.size, _plane(self._geometry, frame.size)
        self._now = frame.monotonic
        self._looks.observe(result)

    def sighted(self, tracks: Tracks) -> Sighted | None:
        """Return the looks at those of the tracks that are detected now, None where no plane is known.

        It takes no time, so that whoever observes need not wait for the speeds.
        """
        if self._plane is None:
            return None
        rows = np.flatnonzero(tracks.seen).tolist()
        of = ((int(tracks.ids[row]), LABELS[int(tracks.classes[row])]) for row in rows)
        since = self._now - 2 * AROUND_S
        return Sighted(self._plane, self._now, tuple((one, label, *self._looks.of(one, since)) for one, label in of))


def _plane(geometry: Geometry, size: tuple[int, int]) -> GroundPlane | None:
    try:
        return geometry.plane(size)
    except GeometryError:
        return None


def _error(plane: GroundPlane, place: Points, way: Points, _label: str) -> float:
    return scale_error(plane, place, way)

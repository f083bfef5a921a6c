"""Tell how fast the vehicles in sight drive now, for somebody who looks; nothing of it is counted."""

from __future__ import annotations

import numpy as np

from edge_app.errors import GeometryError
from edge_app.measures.ground import Geometry, GroundPlane
from edge_app.measures.scale_error import speed_error
from edge_app.measures.speed import AROUND_S, measure
from edge_app.measures.track_looks import TrackLooks
from edge_app.records import LABELS, FrameResult, Tracks


class LiveSpeeds:
    """Speeds of the last second, by track. One thread at a time may use it."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry, self._looks = geometry, TrackLooks()
        self._plane: GroundPlane | None = None
        self._size, self._now = (0, 0), 0.0

    def observe(self, result: FrameResult) -> None:
        """Take the result of a frame. In frames of a size from which no plane follows no speed is told."""
        frame = result.frame
        if frame.size != self._size or frame.monotonic < self._now:  # another size, or a recording begins again
            self._looks.clear()
        if frame.size != self._size:
            self._size, self._plane = frame.size, self._plane_of(frame.size)
        self._now = frame.monotonic
        self._looks.observe(result)

    def of(self, tracks: Tracks) -> dict[int, float]:
        """Return id -> km/h of the tracks whose speed is known well enough."""
        found: dict[int, float] = {}
        for row in np.flatnonzero(tracks.seen).tolist():
            track = int(tracks.ids[row])
            times, boxes = self._looks.of(track, self._now - 2 * AROUND_S)
            if self._plane is None or not len(times):
                continue
            label = LABELS[int(tracks.classes[row])]
            speed = measure(self._now - AROUND_S, times, boxes, label, self._plane, speed_error)
            if speed is not None:
                found[track] = speed.kmh
        return found

    def _plane_of(self, size: tuple[int, int]) -> GroundPlane | None:
        try:
            return self._geometry.plane(size)
        except GeometryError:
            return None

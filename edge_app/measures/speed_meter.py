"""Keep the looks at each vehicle around the lines, and tell its speed half a second after it has crossed one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.ground import Geometry, GroundPlane
from edge_app.measures.scale_error import scale_error
from edge_app.measures.speed import AROUND_S, Speed, measure
from edge_app.records import Crossing, FloatArray, Frame, FrameResult

_KEPT_S: Final = 4.0
"""Time, s, for which looks are kept: a crossing that is confirmed later has no speed."""
_EDGE: Final = 0.004
"""Share of the frame within which a box may be cut off by its edge."""
_SAME: Final = 0.5
"""Overlap (IoU) from which a detection is that of a track."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A crossing with its speed; speed: None where it is not known well enough."""

    crossing: Crossing
    speed: Speed | None


class SpeedMeter:
    """Speeds at the lines of one road.

    Times of the frames must be those of the camera's own clock: times of arrival over a network tremble.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._plane: GroundPlane | None = None
        self._looks: dict[int, deque[tuple[float, FloatArray]]] = {}
        self._waiting: deque[tuple[Crossing, float]] = deque()

    def observe(self, result: FrameResult) -> list[Measured]:
        """Take the result of every frame; return the crossings of half a second ago, in order, with their speeds.

        Raises GeometryError: when no plane follows from the geometry.
        """
        frame = result.frame
        done: list[Measured] = []
        if self._plane is None or self._plane.size != frame.size:
            done += self.finish()  # none wait before the first frame
            self._plane, self._looks = self._geometry.plane(frame.size), {}
        if not result.still:
            self._keep(result)
        self._waiting += ((crossing, _moment(frame, crossing)) for crossing in result.crossings)
        while self._waiting and self._waiting[0][1] + AROUND_S <= frame.monotonic:
            done.append(self._measured(*self._waiting.popleft()))
        self._forget(frame.monotonic)
        return done

    def finish(self) -> Iterator[Measured]:
        """Yield the crossings that wait for looks which will not come."""
        while self._waiting:
            yield self._measured(*self._waiting.popleft())

    def _keep(self, result: FrameResult) -> None:
        """Note the detected box of each track where it is whole in the frame."""
        rows = np.flatnonzero(result.tracks.seen)
        if not len(rows) or not len(result.detections):
            return
        found = result.detections.boxes
        overlap = _overlaps(result.tracks.boxes[rows], found)
        best = overlap.argmax(axis=1)
        size = np.array(result.frame.size * 2, np.float32)
        inside = (found > _EDGE * size) & (found < (1 - _EDGE) * size)
        good = (overlap[np.arange(len(rows)), best] >= _SAME) & inside[best].all(axis=1)
        for row, box in zip(rows[good].tolist(), found[best[good]], strict=True):
            looks = self._looks.setdefault(int(result.tracks.ids[row]), deque())
            looks.append((result.frame.monotonic, box))

    def _measured(self, crossing: Crossing, moment: float) -> Measured:
        looks = self._looks.get(crossing.track_id, ())
        assert self._plane is not None
        if not looks:
            return Measured(crossing, None)
        times = np.array([time for time, _ in looks])
        boxes = np.array([box for _, box in looks], np.float32)
        return Measured(crossing, measure(moment, times, boxes, crossing.label, self._plane, scale_error))

    def _forget(self, now: float) -> None:
        for looks in self._looks.values():
            while looks and now - looks[0][0] > _KEPT_S:
                looks.popleft()
        if not all(self._looks.values()):
            self._looks = {track: looks for track, looks in self._looks.items() if looks}


def _moment(frame: Frame, crossing: Crossing) -> float:
    """Return the monotonic s of a crossing."""
    return frame.monotonic - (frame.captured_at - crossing.at)


def _overlaps(tracks: FloatArray, found: FloatArray) -> NDArray[np.float32]:
    """Return the IoU of each track with each detection: float32 (M, N)."""
    low = np.maximum(tracks[:, None, :2], found[None, :, :2])
    high = np.minimum(tracks[:, None, 2:], found[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (tracks, found)]
    shares: NDArray[np.float32] = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-6)
    return shares

"""Tell the speed of each vehicle half a second after it has crossed a line, where speeds are measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from edge_app.measures.ground import Geometry, GroundPlane
from edge_app.measures.scale_error import speed_error
from edge_app.measures.speed import AROUND_S, Speed, measure
from edge_app.measures.track_looks import TrackLooks
from edge_app.records import Crossing, Frame, FrameResult


@dataclass(frozen=True, slots=True)
class Measured:
    """A crossing with its speed and lane; None where they are not known (well enough). lane: from 1."""

    crossing: Crossing
    speed: Speed | None
    lane: int | None = None


class SpeedMeter:
    """Speeds at the lines of one road.

    Times of the frames must be those of the camera's own clock: times of arrival over a network tremble.
    geometry: None knows no speed. looks: of a camera that others use too, and then let observe; without it the meter
    keeps its own. waits: False tells crossings at once where there is no geometry. plane: of the newest frame.
    """

    def __init__(self, geometry: Geometry | None, looks: TrackLooks | None = None, *, waits: bool = True) -> None:
        self._geometry, self._behind_s = geometry, AROUND_S if geometry or waits else 0.0
        self.plane: GroundPlane | None = None
        self._size = (0, 0)
        self._looks, self._own = TrackLooks() if looks is None else looks, looks is None
        self._waiting: deque[tuple[Crossing, float]] = deque()

    def observe(self, result: FrameResult) -> list[Measured]:
        """Take the result of every frame; return the crossings of half a second ago, in order, with their speeds.

        Where nothing is waited for, those that the frame confirms.

        Raises GeometryError: when no plane follows from the geometry.
        """
        frame = result.frame
        done: list[Measured] = []
        if frame.size != self._size:
            done += self.finish()  # none wait before the first frame
            self._size = frame.size
            self.plane = self._geometry.plane(frame.size) if self._geometry else None
            self._looks.clear()
        if self._own:
            self._looks.observe(result)
        self._waiting += ((crossing, moment(frame, crossing)) for crossing in result.crossings)
        while self._waiting and self._waiting[0][1] + self._behind_s <= frame.monotonic:
            done.append(self._measured(*self._waiting.popleft()))
        return done

    def finish(self) -> Iterator[Measured]:
        """Yield the crossings that wait for looks which will not come."""
        while self._waiting:
            yield self._measured(*self._waiting.popleft())

    def _measured(self, crossing: Crossing, at: float) -> Measured:
        times, boxes = self._looks.of(crossing.track_id)
        if self.plane is None or not len(times):
            return Measured(crossing, None)
        return Measured(crossing, measure(at, times, boxes, crossing.label, self.plane, speed_error))


def moment(frame: Frame, crossing: Crossing) -> float:
    """Return the monotonic s of a crossing that a frame confirms."""
    return frame.monotonic - (frame.captured_at - crossing.at)

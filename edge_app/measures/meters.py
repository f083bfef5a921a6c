"""All that is measured at the lines of one road beside the count: fed frame by frame, taken interval by interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edge_app.measures.flows import ArmCrossing, Flows
from edge_app.measures.ground import Geometry, GroundPlane
from edge_app.measures.headway import ANY, Front, Headways
from edge_app.measures.lane_line import LaneLine
from edge_app.measures.occupancy import LaneTime, Occupancy
from edge_app.measures.passages import Cover, Passages
from edge_app.measures.queue import Queue, QueueSums
from edge_app.measures.speed_meter import Measured, SpeedMeter, moment
from edge_app.measures.track_looks import TrackLooks
from edge_app.records import Crossing, FrameResult, Line

_WAIT_S: Final = 10.0
"""Longest time, s, after a crossing for which the arrival of the vehicle's front at the line is waited for: its middle,
which crosses, lies above the road, so that it may come first."""


@dataclass(frozen=True, slots=True)
class LineSums:
    """Sums of one line over a span of time; None what is not measured.

    headway: lane -> bin -> number. occupancy: lane -> times. Lanes count from 1.
    """

    headway: Mapping[int, Counter[str]] | None
    occupancy: Mapping[int, LaneTime] | None
    queue: QueueSums | None


class Meters:
    """The meters of one road. Times are the monotonic s of the frames, which must come from the camera's own clock.

    geometry: None measures no speed and no occupancy.
    """

    def __init__(self, lines: Sequence[Line], geometry: Geometry | None) -> None:
        self._lines = {line.id: line for line in lines}
        self._looks = TrackLooks()
        self._geometry, self._size = geometry, (0, 0)
        self._lanes = {name: line.lanes for name, line in self._lines.items() if line.lanes is not None}
        self._speeds = SpeedMeter(geometry, self._looks, waits=bool(self._lanes))
        self._headways = {name: Headways() for name in self._lanes}
        self._occupancy = {name: Occupancy(len(lanes) + 1) for name, lanes in self._lanes.items() if geometry}
        self._queues = {name: Queue(line.queue) for name, line in self._lines.items() if line.queue is not None}
        self._passages = Passages(None, {})
        self._waiting: list[tuple[float, Crossing]] = []
        self._last: float | None = None
        enters = {name: line.enters for name, line in self._lines.items() if line.enters is not None}
        self.flows = Flows(enters) if enters else None

    def observe(self, result: FrameResult) -> list[Measured]:
        """Take the result of every frame; return the crossings of half a second ago, in order, with speed and lane.

        Without geometry and lanes those that the frame confirms.
        Raises GeometryError: when no plane follows from the geometry.
        """
        before = self._begin(result.frame.size) if result.frame.size != self._size else []
        self._looks.observe(result)
        done = self._speeds.observe(result)
        if self._lanes:
            self._cover(result)
        for name, queue in self._queues.items():
            plane, unseen = self._speeds.plane, name in result.unseen
            queue.feed(result.frame.monotonic, result.tracks, self._size, plane, unseen=unseen)
        if self.flows is not None:
            found = [_arm_crossing(result, crossing) for crossing in result.crossings]
            self.flows.feed(result.frame.monotonic, result.tracks.ids.tolist(), found)
        self._last = result.frame.monotonic
        return before + [self._with_lane(one) for one in done]

    def overdue(self) -> list[Measured]:
        """Return the crossings that wait for looks, with what is known."""
        return [self._with_lane(one) for one in self._speeds.finish()]

    def finish(self) -> list[Measured]:
        """Return the crossings that wait for looks which will not come, and settle all that waits for more frames."""
        self._take_covers(self._passages.finish())
        done = [self._with_lane(one) for one in self._speeds.finish()]
        self._settle(float("inf"))
        if self.flows is not None:
            self.flows.finish()
        return done

    def take(self, until: float) -> dict[str, LineSums]:
        """Return line -> sums of what happened before a time, s, and is certain; forget them.

        Three seconds later all but a few vehicles that stood on the line are certain; those are in the next sums.
        """
        return {
            name: LineSums(
                self._headways[name].take(until) if name in self._headways else None,
                self._occupancy[name].take(until) if name in self._occupancy else None,
                self._queues[name].take(until) if name in self._queues else None,
            )
            for name in self._lines
        }

    def _begin(self, size: tuple[int, int]) -> list[Measured]:
        """Place the lines in frames of another size, px; return the crossings that were waiting."""
        done = self.overdue()
        self._looks.clear()
        self._size = size
        plane: GroundPlane | None = self._geometry.plane(size) if self._geometry else None
        lines = {name: LaneLine(self._lines[name], lanes, size, plane) for name, lanes in self._lanes.items()}
        self._take_covers(self._passages.finish())
        self._passages = Passages(plane, lines)
        return done

    def _cover(self, result: FrameResult) -> None:
        """Feed headway and occupancy."""
        frame = result.frame
        for name, headways in self._headways.items():
            if name in result.unseen:
                headways.unseen(frame.monotonic)
            elif self._last is not None and name in self._occupancy:
                self._occupancy[name].see(self._last, frame.monotonic)
        self._take_covers(self._passages.observe(result, self._looks))
        self._waiting += ((moment(frame, c), c) for c in result.crossings if c.line in self._lanes)
        self._settle(frame.monotonic)

    def _take_covers(self, covers: Iterable[Cover]) -> None:
        for cover in covers:
            if cover.line in self._occupancy:
                self._occupancy[cover.line].cover(cover.lane, cover.start, cover.end)

    def _settle(self, now: float) -> None:
        """Give headways the fronts of counted vehicles, as soon as they are known."""
        kept = []
        for at, crossing in self._waiting:
            arrival = self._passages.arrival(crossing.track_id, crossing.line)
            if arrival is not None:
                self._headways[crossing.line].cross(Front(arrival.at, arrival.lane, at))
            elif now - at > _WAIT_S:
                self._headways[crossing.line].cross(Front(at, ANY, at))
            else:
                kept.append((at, crossing))
        self._waiting = kept
        for name, headways in self._headways.items():
            headways.go_on(min([now, *(at for at, crossing in kept if crossing.line == name)]))

    def _with_lane(self, one: Measured) -> Measured:
        return replace(one, lane=self._passages.lane(one.crossing.track_id, one.crossing.line))


def _arm_crossing(result: FrameResult, crossing: Crossing) -> ArmCrossing:
    at = moment(result.frame, crossing)
    return ArmCrossing(crossing.track_id, crossing.line, crossing.direction, crossing.label, at)

"""Turn what the meters of a road tell into sums of intervals, in the form of the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from edge_app.measures.flows import FlowSums
from edge_app.measures.ground import Geometry
from edge_app.measures.meters import LineSums, Meters
from edge_app.measures.speed_meter import Measured
from edge_app.measures.speed_sums import SpeedSums
from edge_app.records import FLOWS, FrameResult, Line, Sums, grid_end

GRACE_S: Final = 6.0
"""Time, s, after its end at which an interval may close: by then headways are certain, and most ways through a
junction."""
_BEHIND_S: Final = GRACE_S - 0.5
"""Time, s, after which sums are taken."""
_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 30.0
"""Time, s, after which it is told that there is no clock of the camera: a dozen go by before one is known."""
_JUST: Final = 1e-3
"""A moment, s, before the end of what is summed up."""


class Summed(NamedTuple):
    """Sums of one line, or of FLOWS, of an interval that contains a time. at: UTC s."""

    line: str
    at: float
    sums: Sums


class IntervalSums:
    """Measures of one road, frame by frame. interval_s: length of an interval, s.

    Speeds and occupancy need the camera's own clock; without one only what a tremble of the times hardly changes is
    measured.
    """

    def __init__(self, lines: Sequence[Line], geometry: Geometry | None, interval_s: float) -> None:
        self._lines = tuple(lines)
        self._geometry, self._interval_s = geometry, interval_s
        self._meters = Meters(self._lines, None)
        self._clocked = False
        self._offset = self._began = self._unclocked_s = 0.0
        self._until: float | None = None
        self._left: list[Summed] = []

    @property
    def problem(self) -> str:
        """One sentence on why nothing is measured that needs the geometry; empty when it is."""
        if self._geometry is None or self._clocked or self._unclocked_s < _PATIENCE_S:
            return ""
        return "speeds are not measured: this source tells only when its pictures arrive, not when they were taken"

    def observe(self, result: FrameResult) -> list[Measured]:
        """Take the result of every frame; return crossings of the last second, in order, with speed and lane.

        Raises GeometryError: when no plane follows from the geometry.
        """
        clocked, ended = result.frame.media_s is not None and self._geometry is not None, list[Measured]()
        frame = (result := result.at_media_time() if clocked else result).frame
        if self._until is None or self._clocked != clocked:
            ended = self._begin(frame.monotonic, clocked=clocked)
        self._offset = frame.captured_at - frame.monotonic
        self._unclocked_s = 0.0 if clocked else frame.monotonic - self._began
        return ended + self._meters.observe(result)

    def overdue(self) -> list[Measured]:
        """Return the crossings that wait for looks, when no frames come, with what is known."""
        return self._meters.overdue()

    def take(self, now: float) -> list[Summed]:
        """Return what is certain by this time, UTC s of the clock of the frames, and was not returned yet."""
        if self._until is None:
            return []
        last, until = self._until, now - _BEHIND_S
        ended = self._ended(until)
        if self._until > last or until - self._offset - last >= _EVERY_S:
            ended += self._taken(until)
        return ended

    def finish(self, now: float) -> tuple[list[Measured], list[Summed]]:
        """Return all that is left, when no further frame comes. now: UTC s."""
        return self._meters.finish(), [*self._ended(now), *self._sums(float("inf"), now)]

    @property
    def under_way(self) -> Sums:
        """What is to be added to FLOWS if the program ends now."""
        return flow_sums(self._meters.flows.waiting()) if self._meters.flows is not None else {}

    def _begin(self, time: float, *, clocked: bool) -> list[Measured]:
        """Begin with the first frame, and with another clock; return crossings that were waiting."""
        ended, left = self.finish(time + self._offset) if self._until is not None else ([], [])
        self._left = left
        self._meters = Meters(self._lines, self._geometry if clocked else None)
        self._clocked, self._until, self._began = clocked, time, time
        return ended

    def _ended(self, until: float) -> list[Summed]:
        """Take what lies in intervals that ended before a time, UTC s, each by itself."""
        found, self._left = self._left, []
        if self._until is not None:
            edge = grid_end(self._until + self._offset, self._interval_s)
            while edge < until:
                found += self._taken(edge)
                edge += self._interval_s
        return found

    def _taken(self, until: float) -> list[Summed]:
        self._until = until - self._offset
        return self._sums(self._until, until)

    def _sums(self, until: float, at: float) -> list[Summed]:
        found = {name: line_sums(sums) for name, sums in self._meters.take(until).items()}
        if self._meters.flows is not None:
            found[FLOWS] = flow_sums(self._meters.flows.take(until))
        return [Summed(name, at - _JUST, sums) for name, sums in found.items() if sums]


def closes_late(lines: Sequence[Line]) -> bool:
    """Return True where intervals close only after `GRACE_S`: something that takes time is measured."""
    return any(line.lanes is not None or line.queue is not None or line.enters for line in lines)


def nothing(lines: Sequence[Line], geometry: Geometry | None) -> dict[str, Sums]:
    """Return line -> what is measured there, as sums of nothing; with FLOWS where lines are arms of a junction."""
    found: dict[str, Sums] = {}
    for line in lines:
        lanes = [] if line.lanes is None else [str(lane) for lane in range(1, len(line.lanes) + 2)]
        none = {
            "speed": {} if geometry else None,
            "headway": {} if lanes else None,
            "occupancy": {lane: {"occupied_s": 0.0, "seen_s": 0.0} for lane in lanes} if lanes and geometry else None,
            "queue": {"vehicle_s": 0.0, "any_s": 0.0, "most": 0} if line.queue is not None else None,
        }
        found[line.id] = {name: sums for name, sums in none.items() if sums is not None}
    if any(line.enters for line in lines):
        found[FLOWS] = {"flows": {}, "entered": {}, "entered_only": {}, "left_only": {}}
    return {name: sums for name, sums in found.items() if sums}


def speed_of(measured: Measured) -> Sums:
    """Return the sums of one vehicle's speed; nothing where that is not known: it is then left out of `n`."""
    if measured.speed is None:
        return {}
    sums = SpeedSums()
    sums.add(measured.speed.kmh)
    fields = {name: value for name, value in sums.as_fields().items() if name != "unmeasured"}
    return {"speed": {measured.crossing.label: {measured.crossing.direction: fields}}}


def line_sums(sums: LineSums) -> Sums:
    """Return headway, occupancy and queue of a line as a message has them, without what is nothing."""
    found: dict[str, Sums] = {}
    if sums.headway:
        found["headway"] = {str(lane): dict(bins) for lane, bins in sums.headway.items()}
    if sums.occupancy and any(time.seen_s or time.occupied_s for time in sums.occupancy.values()):
        found["occupancy"] = {
            str(lane): {"occupied_s": time.occupied_s, "seen_s": time.seen_s} for lane, time in sums.occupancy.items()
        }
    if sums.queue is not None and sums.queue.most:
        queue = sums.queue
        found["queue"] = {"vehicle_s": queue.vehicle_s, "any_s": queue.any_s, "most": queue.most}
    return found


def flow_sums(sums: FlowSums) -> Sums:
    """Return turning flows as a message has them, without what is nothing."""
    parts: Mapping[str, Sums] = {
        "flows": {origin: {to: dict(n) for to, n in ways.items()} for origin, ways in sums.flows.items()},
        "entered": {line: dict(n) for line, n in sums.entered.items()},
        "entered_only": {line: dict(n) for line, n in sums.entered_only.items()},
        "left_only": {line: dict(n) for line, n in sums.left_only.items()},
    }
    return {name: part for name, part in parts.items() if part}

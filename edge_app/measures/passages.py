"""Tell when each vehicle covers a line: from its front's arrival until its rear has left.

With a geometry a vehicle is its footprint on the road; without one its box in the picture, and the line is that of the
picture. Between two looks it drives evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_app.measures import footprint
from edge_app.measures.footprint import SOLIDS, Solid
from edge_app.measures.ground import GroundPlane, Points
from edge_app.measures.lane_line import LaneLine
from edge_app.measures.scale_error import scale_error
from edge_app.measures.track_looks import TrackLooks
from edge_app.records import LABELS, FloatArray, FrameResult

_STEP_S: Final = 0.8
"""Time, s, after which new looks are taken, many at once: that is quicker than one by one."""
_REACH: Final = 1.5
_BESIDE_M: Final = 2.0
"""Distance from a line beyond which no vehicle covers it: in lengths of its class, and m besides."""
_GAP_S: Final = 1.0
"""Longest time, s, without a look for which a vehicle is taken to drive on evenly."""
_STOOD: Final = 0.1
"""Way over a longer time, in lengths of the vehicle, after which it stood there."""
_HEADING_S: Final = 1.0
_MOVED: Final = 0.1
"""Time, s, in whose halves a vehicle is compared, and the way from one to the other, in lengths of it, from which its
heading is told."""
_FEWEST: Final = 4
_ENOUGH: Final = 8
"""Fewest looks from which a vehicle's length is told, and most: those nearest to a line."""
_FORGET_S: Final = 70.0
"""Longer than a vehicle may stand hidden by others, s."""


class Cover(NamedTuple):
    """A vehicle covers a line in a lane from `start` to `end`, s."""

    line: str
    lane: int
    start: float
    end: float


class Arrival(NamedTuple):
    """A vehicle's front came to the line at a time, s, in a lane."""

    at: float
    lane: int


class _Place(NamedTuple):
    """Middle of a vehicle at a time, s. distance: from a line. position: along it. half: its extent across the line."""

    time: float
    distance: float
    position: float
    half: float


@dataclass(slots=True)
class _Course:
    """What is known of one vehicle.

    seen: s of the newest look. solid: told by its boxes. last: newest place at each line; pace: m/s there.
    """

    seen: float = float("-inf")
    heading: Points | None = None
    solid: Solid | None = None
    last: dict[str, _Place] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    arrivals: dict[str, Arrival] = field(default_factory=dict)
    ended: bool = False


class _Seen(NamedTuple):
    """Looks at one vehicle, of which those from `first` on are new: times, (N,) s, and boxes, (N, 4) px."""

    track: int
    course: _Course
    label: str
    times: NDArray[np.float64]
    boxes: FloatArray
    first: int


class _Near(NamedTuple):
    """A vehicle near a line. heading: (2,), of length 1. feet: (N, 2) px, of its new looks. way: m to a line, least."""

    seen: _Seen
    heading: Points
    feet: Points
    way: float


class Passages:
    """Passages of one camera at lines, by their id. plane: None measures in the picture."""

    def __init__(self, plane: GroundPlane | None, lines: Mapping[str, LaneLine]) -> None:
        self._plane, self._lines = plane, dict(lines)
        self._courses: dict[int, _Course] = {}
        self._next = float("-inf")

    def arrival(self, track: int, line: str) -> Arrival | None:
        """Return when the front of a vehicle came to a line last, None where that is not known (yet)."""
        course = self._courses.get(track)
        return course.arrivals.get(line) if course else None

    def lane(self, track: int, line: str) -> int | None:
        """Return the lane in which a vehicle passes a line, as far as that is known."""
        course = self._courses.get(track)
        if course is None or line not in course.last:
            return None
        arrival = course.arrivals.get(line)
        return arrival.lane if arrival else self._lines[line].lane(course.last[line].position)

    def observe(self, result: FrameResult, looks: TrackLooks) -> Iterator[Cover]:
        """Take the result of every frame and the looks up to it; yield the spans in which vehicles covered lines."""
        now = result.frame.monotonic
        if now < self._next:
            return
        self._next = now + _STEP_S
        labels = dict(zip(result.tracks.ids.tolist(), result.tracks.classes.tolist(), strict=True))
        here = set(result.tracks.ids[result.tracks.seen].tolist()) if result.still else frozenset[int]()
        found = []
        for track in looks:
            course = self._courses.get(track) or _Course()
            if track in here:  # nothing moves: it is where it was
                times, boxes = looks.of(track)
                times, boxes = np.append(times, now), np.concatenate([boxes, boxes[-1:]])
            else:
                times, boxes = looks.of(track, since=course.seen - _HEADING_S)
            if track in labels and len(times) and times[-1] > course.seen:
                self._courses[track] = course
                first = int(np.searchsorted(times, course.seen, side="right"))
                course.seen, course.ended = float(times[-1]), False
                found.append(_Seen(track, course, LABELS[labels[track]], times, boxes, first))
        if found:
            yield from self._in_picture(found) if self._plane is None else self._on_road(found, self._plane, looks)
        yield from self._end(now)

    def finish(self) -> Iterator[Cover]:
        """Yield what remains of vehicles that no look follows any more."""
        yield from self._end(float("inf"))

    def _in_picture(self, found: list[_Seen]) -> Iterator[Cover]:
        for one in found:
            times, boxes = one.times[one.first :], one.boxes[one.first :]
            sizes, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2
            edges = footprint.lower_edges(boxes)
            for name, line in self._lines.items():
                half = sizes.astype(np.float64) @ np.abs(line.across) / 2
                places = _located(times, line.distances(middles), line.positions(edges), half)
                yield from self._passed(name, line, one.course, places)

    def _on_road(self, found: list[_Seen], plane: GroundPlane, looks: TrackLooks) -> Iterator[Cover]:
        """Yield the covers of vehicles with new looks. All are put on the road at once: that is quicker."""
        numbers = [len(one.boxes) for one in found]
        feet = footprint.lower_edges(np.concatenate([one.boxes for one in found]))
        edges = plane.on_road(feet)
        parts = zip(found, *(_parted(rows, numbers) for rows in (feet, edges, self._ways(edges))), strict=True)
        near = [one for one in (_near(*part) for part in parts) if one is not None]
        if not near:
            return
        self._size(near, plane, looks)
        solids = [one.seen.course.solid or SOLIDS[one.seen.label] for one in near]
        each = [footprint.corners(solid, one.heading) for one, solid in zip(near, solids, strict=True)]
        numbers = [len(one.feet) for one in near]
        places = footprint.stood(plane, np.concatenate([one.feet for one in near]), footprint.for_each(each, numbers))
        for one, solid, at in zip(near, solids, _parted(places, numbers), strict=True):
            for name, line in self._lines.items():
                half = np.full(len(at), _half(solid, one.heading, line))
                located = _located(one.seen.times[one.seen.first :], line.distances(at), line.positions(at), half)
                yield from self._passed(name, line, one.seen.course, located)

    def _ways(self, places: Points) -> NDArray[np.float64]:
        """Return how far places, (N, 2), are from the nearest line, m; infinite where there is none."""
        ways = np.min([np.abs(line.distances(places)) for line in self._lines.values()], axis=0)
        return np.where(np.isfinite(ways), ways, np.inf)

    def _size(self, near: Sequence[_Near], plane: GroundPlane, looks: TrackLooks) -> None:
        """Tell the size of vehicles at a line by their boxes, those that are nearest to it."""
        courses, sightings = [], []
        for (track, course, label, *_), heading, _, way in near:
            if course.solid is not None or way >= SOLIDS[label].length:
                continue
            _, boxes = looks.of(track)
            edges = plane.on_road(footprint.lower_edges(boxes))
            nearest = self._ways(edges).argsort()[:_ENOUGH]
            if len(nearest) >= _FEWEST:
                wrong = scale_error(plane, edges[nearest[0]], heading[::-1] * (1, -1))
                courses.append(course)
                sightings.append(footprint.Sighting(label, boxes[nearest], heading, wrong))
        if sightings:
            for course, solid in zip(courses, footprint.fitted(plane, sightings), strict=True):
                course.solid = solid

    def _passed(self, name: str, line: LaneLine, course: _Course, found: list[_Place]) -> Iterator[Cover]:
        """Yield the covers between successive places, and note arrivals of the front."""
        if not found:
            return
        before = course.last.get(name)
        if before is None:
            yield from self._appeared(name, line, course, found)
            before = found[0]
        for place in found:
            span = _covered(before, place)
            lane = line.lane(place.position) if span else None
            if span and lane is not None and place.time > before.time and _goes_on(before, place):
                if abs(before.distance) > before.half:
                    course.arrivals[name] = Arrival(span[0], lane)
                yield Cover(name, lane, *span)
            before = place
        course.last[name], course.pace[name] = before, _pace(found, course.pace.get(name, 0.0))

    def _appeared(self, name: str, line: LaneLine, course: _Course, found: list[_Place]) -> Iterator[Cover]:
        """Yield the cover before the first look at a vehicle that covers the line already."""
        first, pace = found[0], _pace(found, 0.0)
        lane = line.lane(first.position)
        if lane is None or abs(first.distance) > first.half or not pace:
            return
        ago = (first.half + first.distance * (1 if pace > 0 else -1)) / abs(pace)
        if ago <= _GAP_S:
            course.arrivals[name] = Arrival(first.time - ago, lane)
            yield Cover(name, lane, first.time - ago, first.time)

    def _end(self, now: float) -> Iterator[Cover]:
        """Yield the cover after the last look at vehicles that still covered a line, and forget old ones."""
        for course in self._courses.values():
            if course.ended or now - course.seen <= _GAP_S:
                continue
            course.ended = True
            for name, last in course.last.items():
                lane, pace = self._lines[name].lane(last.position), course.pace[name]
                if lane is None or abs(last.distance) > last.half or not pace:
                    continue
                left = (last.half - last.distance * (1 if pace > 0 else -1)) / abs(pace)
                yield Cover(name, lane, last.time, last.time + min(left, _GAP_S))
        if any(now - course.seen > _FORGET_S for course in self._courses.values()):
            self._courses = {track: c for track, c in self._courses.items() if now - c.seen <= _FORGET_S}


def _near(one: _Seen, feet: Points, edges: Points, ways: NDArray[np.float64]) -> _Near | None:
    """Return a vehicle that is near a line and known to drive somewhere, None for another one.

    feet: (N, 2) px, lower edges of its boxes. edges: (N, 2) m, their places. ways: (N,) m, from there to a line.
    """
    length, course = SOLIDS[one.label].length, one.course
    if ways[one.first :].min() >= _REACH * length + _BESIDE_M:
        return None
    _turn(course, one.times, edges, np.isfinite(ways), _MOVED * length)
    if course.heading is None:
        return None
    return _Near(one, course.heading, feet[one.first :], float(ways.min()))


def _turn(
    course: _Course, times: NDArray[np.float64], places: Points, known: NDArray[np.bool_], shortest: float
) -> None:
    """Note the way a vehicle drives, as long as it does. shortest: m."""
    rows = np.flatnonzero(known & (times >= times[-1] - _HEADING_S))
    if len(rows) < 2:
        return
    half = (len(rows) + 1) // 2
    way = (places[rows[-half:]].sum(axis=0) - places[rows[:half]].sum(axis=0)) / half
    length = float(np.hypot(*way))
    if length >= shortest:
        course.heading = way / length


def _parted(rows: NDArray[np.float64], numbers: Sequence[int]) -> list[NDArray[np.float64]]:
    """Return rows, one after the other, in parts of so many."""
    return np.split(rows, np.cumsum(numbers)[:-1])


def _located(
    times: NDArray[np.float64],
    distances: NDArray[np.float64],
    positions: NDArray[np.float64],
    half: NDArray[np.float64],
) -> list[_Place]:
    """Return the places of looks, without those beyond the horizon."""
    rows = zip(times.tolist(), distances.tolist(), positions.tolist(), half.tolist(), strict=True)
    return [_Place(*row) for row in rows if isfinite(row[1])]


def _half(solid: Solid, heading: Points, line: LaneLine) -> float:
    """Return half the extent, m, of a vehicle's footprint across a line."""
    ahead = abs(float(heading @ line.across))
    return (solid.length * ahead + solid.width * sqrt(max(0.0, 1 - ahead**2))) / 2


def _goes_on(before: _Place, place: _Place) -> bool:
    """Return whether a vehicle may be taken to drive evenly, or to stand, from one look to the next."""
    if place.time - before.time <= _GAP_S:
        return True
    return abs(place.distance - before.distance) <= _STOOD * 2 * place.half


def _covered(before: _Place, place: _Place) -> tuple[float, float] | None:
    """Return the span, s, between two looks in which a vehicle covers the line, None where it does not."""
    way, half = place.distance - before.distance, place.half
    if (before.distance > half and place.distance > half) or (before.distance < -half and place.distance < -half):
        return None
    if abs(way) < 1e-9:
        return (before.time, place.time) if abs(place.distance) <= half else None
    parts = sorted((side - before.distance) / way for side in (-half, half))
    start, end = max(0.0, parts[0]), min(1.0, parts[1])
    lasted = place.time - before.time
    return (before.time + start * lasted, before.time + end * lasted) if start < end else None


def _pace(found: list[_Place], before: float) -> float:
    """Return how fast the distance to a line changes, per s; the former value where one look tells nothing."""
    lasted = found[-1].time - found[0].time
    return (found[-1].distance - found[0].distance) / lasted if lasted > 0 else before

"""Tell which way vehicles take through a junction: from the line where one enters to the last where it leaves.

Each line is an arm of the junction and says which direction enters. A vehicle counts once, when it is certain that it
crosses no further line. So always: entered = flows + entered_only + under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge_app.records import Direction

GONE_S: Final = 2.0
"""Time, s, without a look at a vehicle that has left, after which it is gone; and that after which one never seen
again had been lost before it left is `LOST_S`."""
LOST_S: Final = 65.0
"""Longer than a vehicle may stand hidden by others."""
LATEST_S: Final = 30.0
"""Longest time, s, after the last crossing for which a further one is waited for."""


class ArmCrossing(NamedTuple):
    """Counted crossing of one vehicle. at: s."""

    track: int
    line: str
    direction: Direction
    label: str
    at: float


class Flow(NamedTuple):
    """What became of a vehicle. origin, to: lines; None where it did not enter or leave. at: s of the last crossing."""

    origin: str | None
    to: str | None
    label: str
    at: float


@dataclass(slots=True)
class _Trip:
    """Way of a vehicle so far. seen: s of the newest look."""

    flow: Flow
    seen: float

    def is_over(self, now: float) -> bool:
        if self.flow.to is None:
            return now - self.seen > LOST_S
        return now - self.seen > GONE_S or now - self.flow.at > LATEST_S


@dataclass(slots=True)
class FlowSums:
    """Vehicles of a span of time; every field may be added up.

    entered: line -> class -> n, by the time of entering. The others by the time of the last crossing: flows: from ->
    to -> class -> n. entered_only: line -> class -> n, lost before they left. left_only: line -> class -> n, that were
    not seen to enter.
    """

    entered: dict[str, Counter[str]] = field(default_factory=dict)
    flows: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    entered_only: dict[str, Counter[str]] = field(default_factory=dict)
    left_only: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, flow: Flow) -> None:
        """Take a vehicle whose way is certain."""
        if flow.origin is not None and flow.to is not None:
            _one(self.flows.setdefault(flow.origin, {}), flow.to, flow.label)
        elif flow.origin is not None:
            _one(self.entered_only, flow.origin, flow.label)
        elif flow.to is not None:
            _one(self.left_only, flow.to, flow.label)

    def enter(self, line: str, label: str) -> None:
        """Take a vehicle that enters."""
        _one(self.entered, line, label)


class Flows:
    """Ways through one junction. enters: line -> direction in which vehicles enter; other lines are no arms."""

    def __init__(self, enters: Mapping[str, Direction]) -> None:
        self._enters = dict(enters)
        self._trips: dict[int, _Trip] = {}
        self._entered: list[tuple[float, str, str]] = []
        self._done: list[Flow] = []

    @property
    def under_way(self) -> int:
        """Number of vehicles that entered and may still leave."""
        return sum(trip.flow.origin is not None for trip in self._trips.values())

    def feed(self, time: float, seen: Iterable[int], crossings: Iterable[ArmCrossing]) -> None:
        """Take every frame. time: s. seen: ids of its tracks. crossings: confirmed by it, in any order."""
        for track in seen:
            if track in self._trips:
                self._trips[track].seen = time
        for crossing in sorted(crossings, key=lambda one: one.at):
            self._cross(crossing, time)
        for track in [track for track, trip in self._trips.items() if trip.is_over(time)]:
            self._done.append(self._trips.pop(track).flow)

    def finish(self) -> None:
        """End every trip: nothing more will be seen."""
        self._done += (trip.flow for trip in self._trips.values())
        self._trips.clear()

    def waiting(self) -> FlowSums:
        """Return the sums of what `take` has not returned yet, as if every trip ended now."""
        found = FlowSums()
        for _, line, label in self._entered:
            found.enter(line, label)
        for flow in (*self._done, *(trip.flow for trip in self._trips.values())):
            found.add(flow)
        return found

    def take(self, until: float) -> FlowSums:
        """Return the sums of what is certain and happened before a time, s, and forget it."""
        found = FlowSums()
        for at, line, label in self._entered:
            if at < until:
                found.enter(line, label)
        for flow in self._done:
            if flow.at < until:
                found.add(flow)
        self._entered = [one for one in self._entered if one[0] >= until]
        self._done = [flow for flow in self._done if flow.at >= until]
        return found

    def _cross(self, crossing: ArmCrossing, time: float) -> None:
        track, line, direction, label, at = crossing
        if line not in self._enters:
            return
        trip = self._trips.get(track)
        if self._enters[line] != direction:
            before = trip.flow if trip else Flow(None, None, label, at)
            self._trips[track] = _Trip(before._replace(to=line, at=at), time)
        elif trip is None or trip.flow.to is not None:  # one that enters over a second line is still under way
            if trip is not None:
                self._done.append(trip.flow)
            self._trips[track] = _Trip(Flow(line, None, label, at), time)
            self._entered.append((at, line, label))


def _one(sums: dict[str, Counter[str]], line: str, label: str) -> None:
    sums.setdefault(line, Counter())[label] += 1

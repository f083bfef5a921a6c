"""What the standard feeds tell: sites, and the newest quarter of an hour of each. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from edge_app.city.records import Vector
from edge_app.city.sums import QUARTER_S
from edge_app.records import DIRECTIONS, VEHICLES, Direction

VEHICLE_TYPES: Final = {
    "car": "car",
    "motorcycle": "motorcycle",
    "bus": "bus",
    "truck": "lorry",
    "bicycle": "bicycle",
}
"""Classes as DATEX II and the smart data models both name them."""


class Series(NamedTuple):
    """What is counted apart at a site. column: its place in every vector of counts."""

    column: int
    vehicle: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Place:
    """A site as feeds describe it. bearings: degrees from north by DIRECTIONS. classes: those that are counted.

    period_s: of what is told of it: a quarter of an hour, or its interval where that is longer.
    """

    id: str
    road: str
    lat: float | None
    lon: float | None
    lanes: int | None
    bearings: tuple[int | None, int | None]
    classes: frozenset[str]
    period_s: int = QUARTER_S

    def series(self) -> Iterator[Series]:
        """Yield each class and direction that is counted: of others nothing is known, which is no zero."""
        many = len(DIRECTIONS)
        for row, vehicle in enumerate(VEHICLES):
            for side, direction in enumerate(DIRECTIONS):
                if vehicle in self.classes:
                    yield Series(row * many + side, vehicle, direction)


@dataclass(frozen=True, slots=True)
class Observed:
    """A quarter of an hour of a site, until the end of its last interval.

    covered_s: seconds of the intervals that begin in it in which no vehicle could pass unseen, more than 0. counts: of
    these intervals. seen_s: such seconds of the time from start to end, also of an interval that begins before it.
    straddling_s: seconds of its last interval beyond the quarter.
    """

    place: Place
    start: datetime
    end: datetime
    covered_s: float
    seen_s: float
    counts: Vector
    straddling_s: int = 0

    @property
    def covered(self) -> float:
        """Share of that time in which no vehicle could pass unseen, 0..1."""
        return min(1.0, self.seen_s / (self.end - self.start).total_seconds())

    def per_hour(self, column: int) -> int:
        """Return vehicles an hour of one series: what was not seen counts as what was."""
        return round(self.counts[column] * 3600 / self.covered_s)


def written_time(at: datetime) -> str:
    """Return a time in UTC as both formats write it, in whole seconds."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")

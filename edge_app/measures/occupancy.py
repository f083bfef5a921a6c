"""Sum up how long vehicles cover a line in each of its lanes, and how long that was seen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from edge_app.measures.spans import Spans


@dataclass(frozen=True, slots=True)
class LaneTime:
    """Time of one lane, s; both may be added up, and occupied_s / seen_s is the occupancy, 0..1."""

    occupied_s: float
    seen_s: float


class Occupancy:
    """Occupancy of one line with so many lanes; times are those of the frames, s."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._seen = Spans()
        self._covered: defaultdict[int, Spans] = defaultdict(Spans)

    def see(self, start: float, end: float) -> None:
        """Note that no vehicle could pass unseen from one time to another."""
        self._seen.add(start, end)

    def cover(self, lane: int, start: float, end: float) -> None:
        """Note that a vehicle covered the line; several count once. What `take` has returned already is left out."""
        self._covered[lane].add(start, end)

    def take(self, until: float) -> dict[int, LaneTime]:
        """Return the times of each lane before a time, s, and forget them."""
        seen = self._seen.take(until)
        covered = {lane: self._covered[lane].take(until) for lane in range(1, self._lanes + 1)}
        return {lane: LaneTime(spans.common(seen), seen.total()) for lane, spans in covered.items()}

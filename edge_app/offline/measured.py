"""Sum up what was measured beside the count of a recording, in bins of equal length. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_app.measures.flows import FlowSums
from edge_app.measures.interval_sums import flow_sums, line_sums
from edge_app.measures.meters import LineSums, Meters
from edge_app.measures.speed_meter import Measured
from edge_app.measures.speed_sums import SpeedSums, by_line, percentile
from edge_app.offline.bins import Bins
from edge_app.records import Line

MEASURES_HEADER: Final = ("start", "end", "line", "direction", "class", "lane", "measure", "value")
FLOWS_HEADER: Final = ("start", "end", "from", "to", "class", "count")


@dataclass(slots=True)
class MeasuredBin:
    """One bin. start, end: as the bins of counts have them. speeds: line -> class -> direction -> sums."""

    start: str
    end: str
    lines: dict[str, LineSums]
    flows: FlowSums | None
    speeds: dict[str, dict[str, dict[str, SpeedSums]]] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the bin as a result file has it: the fields of a message, in which nothing is left out."""
        found: dict[str, Any] = {"start": self.start, "end": self.end, "lines": {}}
        for line, sums in self.lines.items():
            speeds = {"speed": speed_fields(self.speeds[line])} if line in self.speeds else {}
            found["lines"][line] = {**speeds, **line_sums(sums)}
        return found if self.flows is None else {**found, **flow_sums(self.flows)}

    def rows(self) -> Iterator[tuple[str | int | float, ...]]:
        """Yield the rows of MEASURES_HEADER."""
        for line, sums in self.lines.items():
            for label, ways in self.speeds.get(line, {}).items():
                for way, speeds in ways.items():
                    for measure, value in _speed_values(speeds):
                        yield self.start, self.end, line, way, label, "", measure, value
            for lane, bins in (sums.headway or {}).items():
                for name, number in bins.items():
                    yield self.start, self.end, line, "", "", lane, f"headway_{name}", number
            for lane, time in (sums.occupancy or {}).items():
                yield self.start, self.end, line, "", "", lane, "occupied_s", round(time.occupied_s, 2)
                yield self.start, self.end, line, "", "", lane, "seen_s", round(time.seen_s, 2)
            if sums.queue is not None:
                for measure in ("vehicle_s", "any_s", "most"):
                    value = round(getattr(sums.queue, measure), 2)
                    yield self.start, self.end, line, "", "", "", f"queue_{measure}", value

    def flow_rows(self, arms: Sequence[str], classes: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
        """Yield the rows of FLOWS_HEADER, the matrix of a junction study: each arm to each, zeros included."""
        for origin in arms:
            for to in arms:
                ways = self.flows.flows.get(origin, {}).get(to) if self.flows is not None else None
                for label in classes:
                    yield self.start, self.end, origin, to, label, ways[label] if ways is not None else 0


def measured_bins(meters: Meters, measured: Sequence[Measured], bins: Bins, *, speeds: bool) -> list[MeasuredBin]:
    """Return what was measured in each bin of a recording that is over. speeds: True where they are measured."""
    found = []
    for number, until, start, end in bins.spans():
        own = [one for one in measured if bins.number(one.crossing.at) == number]
        flows = meters.flows.take(until) if meters.flows is not None else None
        found.append(MeasuredBin(start, end, meters.take(until), flows, by_line(own) if speeds else {}))
    return found


def speed_fields(speeds: dict[str, dict[str, SpeedSums]]) -> dict[str, Any]:
    """Return class -> direction -> fields of a message."""
    return {label: {way: one.as_fields() for way, one in ways.items()} for label, ways in speeds.items()}


def arms_of(lines: Sequence[Line]) -> list[str]:
    """Return the lines that are arms of a junction."""
    return [line.id for line in lines if line.enters is not None]


def _speed_values(speeds: SpeedSums) -> Iterator[tuple[str, float]]:
    yield "speed_n", speeds.n
    yield "speed_unmeasured", speeds.unmeasured
    if speeds.n:
        yield "speed_mean_kmh", round(speeds.sum / speeds.n, 1)
        yield "speed_space_mean_kmh", round(speeds.n / speeds.sum_inverse, 1)
        yield "speed_85_kmh", round(percentile(speeds.bins, 0.85), 1)

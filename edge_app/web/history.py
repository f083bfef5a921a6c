"""Sum past intervals up for the charts of the local page: by minute, hour and day of the device's time zone. Pure."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final, TypeAlias

from edge_app.measures.speed_sums import SpeedSums
from edge_app.records import DIRECTIONS, Sums
from edge_app.storage.counts import add_sums
from edge_app.storage.past_intervals import OpenCrossing, PastInterval

LONGEST_DAYS: Final = 7
_HOUR_S: Final = 3600
_RECENT_S: Final = 2 * 3600.0
"""Intervals are kept singly so long; of older ones only the sums are."""
_LEAST_BIN_S: Final = 60
_CLOSES_S: Final = 30
"""An interval is closed, and on disk, at the latest so long after its end."""
_UNKNOWN: Final = 0.05
"""Share of a bin that may be unseen before the bin is shown as unknown."""
SPEED_COLUMNS: Final = ("speed_n", "speed_mean_kmh", "speed_85_kmh")
"""Vehicles with a speed, its mean and its 85th percentile, km/h."""
Key: TypeAlias = tuple[str, int]
"""Class, and index of the direction in DIRECTIONS."""


@dataclass(slots=True)
class Sum:
    """Sum of the intervals in one bin.

    counts: class and direction -> vehicles. told_s, covered_s: how much of the bin the intervals tell about, and how
    much of that was seen.
    """

    counts: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    told_s: float = 0.0
    covered_s: float = 0.0
    quality: set[str] = field(default_factory=set)

    def add(self, interval: PastInterval, sign: int = 1) -> None:
        """Add an interval, or with a sign of -1 take it out again; its flags stay."""
        for label, by_direction in interval.counts.items():
            for n, direction in enumerate(DIRECTIONS):
                self.counts[label, n] += sign * int(by_direction.get(direction, 0))
        length = interval.end - interval.start
        self.told_s += sign * length
        self.covered_s += sign * length * interval.coverage
        self.quality |= set(interval.quality)


class History:
    """Counts of the last seven days and of the last hour.

    zone: time zone of the device, in which its days begin.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._hours: dict[tuple[str, date, int], Sum] = {}
        self._recent: dict[str, deque[PastInterval]] = defaultdict(deque)
        self._open: Sequence[OpenCrossing] = ()
        self._bounds: dict[date, tuple[float, float]] = {}

    def add(self, interval: PastInterval) -> None:
        """Take a closed interval, in the order of delivery; of overlapping ones `replaced_by` says which count."""
        recent = self._recent[interval.line]
        while recent and recent[0].start < interval.start - _RECENT_S:
            recent.popleft()
        replaced = replaced_by(interval, recent)
        if replaced is None:
            return
        for old in replaced:
            recent.remove(old)
            self._hour_of(old).add(old, -1)
        recent.append(interval)
        self._hour_of(interval).add(interval)

    def set_open(self, crossings: Iterable[OpenCrossing]) -> None:
        """Take the crossings of the intervals that are not over yet, in place of those of the call before."""
        self._open = tuple(crossings)

    def forget(self, now: float) -> None:
        """Drop what no chart shows any more. now: UTC s."""
        first = self.day_of(now) - timedelta(days=LONGEST_DAYS)
        self._hours = {key: hour for key, hour in self._hours.items() if key[1] >= first}
        self._bounds = {day: bounds for day, bounds in self._bounds.items() if day >= first}
        for recent in self._recent.values():
            while recent and recent[0].start < now - _RECENT_S:
                recent.popleft()

    @property
    def lines(self) -> list[str]:
        """Every line of which there are counts."""
        return sorted({line for line, _, _ in self._hours} | {crossing.line for crossing in self._open})

    def charts(self, line: str, now: float) -> dict[str, list[dict[str, Any]]]:
        """Return the bins of the last hour, of today by hour and of the last seven days. now: UTC s."""
        today = self.day_of(now)
        hours, days = self._by_hour(line, today), []
        for n in reversed(range(LONGEST_DAYS)):
            day = today - timedelta(days=n)
            days.append((*self.bounds(day), self._of_day(line, day)))
        length = self._length(line)
        bins = {"hour": self._last_hour(line, now), "today": hours, "week": days}
        return {name: [_bin(*one, now, length + _CLOSES_S) for one in of] for name, of in bins.items()}

    def day_of(self, at: float) -> date:
        """Return the day of a time, UTC s, where the device stands."""
        return datetime.fromtimestamp(at, self._zone).date()

    def bounds(self, day: date) -> tuple[float, float]:
        """Return begin and end of a day, UTC s."""
        if day not in self._bounds:
            begin, end = (datetime.combine(day + timedelta(days=n), time(), self._zone).timestamp() for n in (0, 1))
            self._bounds[day] = begin, end
        return self._bounds[day]

    def _hour_of(self, interval: PastInterval) -> Sum:
        day = self.day_of(interval.start)
        number = int((interval.start - self.bounds(day)[0]) // _HOUR_S)
        return self._hours.setdefault((interval.line, day, number), Sum())

    def _by_hour(self, line: str, day: date) -> list[tuple[float, float, Sum]]:
        begin, end = self.bounds(day)
        hours = []
        for n in range(math.ceil((end - begin) / _HOUR_S)):
            start = begin + n * _HOUR_S
            bounds = start, min(end, start + _HOUR_S)
            hours.append((*bounds, self._with_open(line, *bounds, [self._hours.get((line, day, n), Sum())])))
        return hours

    def _of_day(self, line: str, day: date) -> Sum:
        hours = [hour for (of, on, _), hour in self._hours.items() if (of, on) == (line, day)]
        return self._with_open(line, *self.bounds(day), hours)

    def _length(self, line: str) -> float:
        """Return the length of an interval of late, s, at least that of the shortest bin."""
        return max([_LEAST_BIN_S, *(math.ceil(one.end - one.start) for one in self._recent.get(line, ()))])

    def _last_hour(self, line: str, now: float) -> Iterator[tuple[float, float, Sum]]:
        recent, length = self._recent.get(line, ()), self._length(line)
        end = (now // length + 1) * length
        for n in reversed(range(max(1, int(_HOUR_S // length)))):
            start = end - (n + 1) * length
            inside = Sum()
            for interval in recent:
                if start <= interval.start < start + length:
                    inside.add(interval)
            yield start, start + length, self._with_open(line, start, start + length, [inside])

    def _with_open(self, line: str, begin: float, end: float, sums: Iterable[Sum]) -> Sum:
        """Return the total of the sums and of the open intervals' crossings in this time."""
        total = Sum()
        for one in sums:
            for key, n in one.counts.items():
                total.counts[key] += n
            total.told_s += one.told_s
            total.covered_s += one.covered_s
            total.quality |= one.quality
        for crossing in self._open:
            if crossing.line == line and begin <= crossing.at < end and crossing.direction in DIRECTIONS:
                total.counts[crossing.label, 0 if crossing.direction == DIRECTIONS[0] else 1] += 1
        return total


def replaced_by(interval: PastInterval, before: Iterable[PastInterval]) -> list[PastInterval] | None:
    """Return the intervals of other installations that one of the same line replaces; None when one of them counts.

    Where two installations overlap, after a step of the clock, the interval without `clock_stepped` counts, else the
    later, as consumers count (docs/mqtt.md).
    """
    others = [old for old in before if old.installation != interval.installation]
    replaced = [old for old in others if old.start < interval.end and interval.start < old.end]
    stepped = "clock_stepped" in interval.quality
    return None if stepped and any("clock_stepped" not in old.quality for old in replaced) else replaced


def day_rows(
    intervals: Sequence[PastInterval],
    bounds: tuple[float, float],
    minutes: int,
    zone: tzinfo,
    names: dict[str, dict[str, str]],
) -> Iterator[tuple[str | int | float, ...]]:
    """Yield the rows of a day as `count --csv` writes them: a bin, line, direction and class each, zeros included.

    Then come the quality flags of the bin's intervals and, where speeds were measured on that day, SPEED_COLUMNS.

    intervals: in the order of delivery. bounds: begin and end of the day, UTC s. minutes: length of a bin; one bin is
    at least an interval long. names: line -> direction -> its name.
    """
    length = max([minutes * 60.0, *(interval.end - interval.start for interval in intervals)])
    sums: dict[tuple[int, str], Sum] = defaultdict(Sum)
    kept: dict[str, list[PastInterval]] = defaultdict(list)
    for interval in intervals:
        before = kept[interval.line]
        replaced = replaced_by(interval, before)
        if replaced is not None:
            for old in replaced:
                before.remove(old)
            before.append(interval)
    speeds: dict[tuple[int, str], Sums] = defaultdict(dict)
    for interval in (interval for of_line in kept.values() for interval in of_line):
        key = int((interval.start - bounds[0]) // length), interval.line
        sums[key].add(interval)
        speeds[key] = add_sums(speeds[key], interval.speed)
    measured = any(speeds.values())
    classes = list(dict.fromkeys(label for interval in intervals for label in interval.counts))
    lines = sorted({interval.line for interval in intervals})
    for number in sorted({number for number, _ in sums}):
        begin = bounds[0] + number * length
        edges = [
            datetime.fromtimestamp(at, timezone.utc).astimezone(zone).isoformat()
            for at in (begin, min(bounds[1], begin + length))
        ]
        for line in lines:
            of_line = sums.get((number, line), Sum())
            for n, direction in enumerate(DIRECTIONS):
                name = names.get(line, {}).get(direction, direction)
                for label in classes:
                    counted, covered = of_line.counts[label, n], round(of_line.covered_s, 1)
                    flags = " ".join(sorted(of_line.quality))
                    row: tuple[str | int | float, ...] = (*edges, line, name, label, counted, covered, flags)
                    yield (*row, *_speed_cells(speeds.get((number, line), {}), label, direction)) if measured else row


def _speed_cells(speed: Sums, label: str, direction: str) -> tuple[int | float | str, ...]:
    """Return the cells of SPEED_COLUMNS; means are empty where no vehicle was measured."""
    sums: Any = speed
    speeds = SpeedSums()
    speeds.add_fields(sums.get(label, {}).get(direction, {}))
    mean, most = speeds.mean, speeds.percentile_85
    return speeds.n, "" if mean is None else round(mean, 1), "" if most is None else round(most, 1)


def _bin(start: float, end: float, total: Sum, now: float, open_s: float) -> dict[str, Any]:
    """Return a bin as the page reads it: times in ms, counts by class and direction.

    open_s: the newest time, of which nothing is told yet. `coverage` is null where nothing is told at all; `unknown` is
    true where vehicles can have passed uncounted: no vehicles and no picture are never confused.
    """
    counts: dict[str, list[int]] = {}
    for (label, direction), n in total.counts.items():
        counts.setdefault(label, [0, 0])[direction] += n
    over = max(0.0, min(end, now) - start)
    closed = over if end <= now - open_s else max(0.0, over - open_s)
    return {
        "start": round(start * 1000),
        "end": round(end * 1000),
        "counts": counts,
        "coverage": round(min(1.0, total.covered_s / total.told_s), 3) if total.told_s > 0 else None,
        "unknown": closed - total.covered_s > _UNKNOWN * closed,
        "quality": sorted(total.quality),
    }

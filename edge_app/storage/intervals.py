"""From crossings to closed intervals: counts, coverage and quality of each line. Pure: no clock, no I/O.

Every time is UTC seconds of one clock, that of `Frame.captured_at`; starts are multiples of the length. The rules:

- An interval closes when time has passed its end by `grace_s`, since a crossing is confirmed up to 2.5 s after it
  happened; until then it and its successor are both open. A closed interval never changes.
- A crossing belongs to the interval of `Crossing.at` while that is open, otherwise to the oldest open one of its line:
  it is never lost, and counted in `moved`.
- A processed frame observes the time since the newest processed frame when that is at most `max_gap_s`; a longer gap
  was not seen by anybody. Only time later than ever seen before is observed, so that no step of the clock can
  observe a second twice and coverage stays within 0..1.
- While this object lives no interval is skipped: a stall or a forward step of the clock closes the missed ones with
  coverage 0, at most the newest `max_missed_s` of them; the others are counted in `skipped`.
- When the clock steps back, what comes before the newest closed end goes into the open interval until time has caught
  up: a start is never used twice.
- Open intervals of an earlier run (`restored`) go on when they are still current and close as they stood when they
  are over. Those of a line that is no longer configured, or of another length, close as they stood at the first
  `advance`. Whole intervals in which the program did not run are not made up.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from edge_app.records import DIRECTIONS, Counts, Crossing, Direction, IntervalCounts, Quality


def zero_counts(classes: Iterable[str]) -> dict[str, dict[Direction, int]]:
    """Every class with both directions at 0."""
    return {label: dict.fromkeys(DIRECTIONS, 0) for label in classes}


def add_counts(left: Counts, right: Counts) -> dict[str, dict[Direction, int]]:
    """The sum, with the classes of either."""
    total = {label: dict(ways) for label, ways in left.items()}
    for label, ways in right.items():
        mine = total.setdefault(label, dict.fromkeys(DIRECTIONS, 0))
        for direction, n in ways.items():
            mine[direction] += n
    return total


@dataclass(slots=True)
class _Open:
    """One interval that still takes frames and crossings."""

    line: str
    start: float
    length: float
    counts: dict[str, dict[Direction, int]]
    observed_s: float = 0.0
    frames: int = 0
    dropped: int = 0
    quality: set[Quality] = field(default_factory=set)

    def frozen(self) -> IntervalCounts:
        counts = {label: dict(ways) for label, ways in self.counts.items()}
        quality = tuple(q for q in get_args(Quality) if q in self.quality)
        observed_s = min(self.observed_s, self.length)
        return IntervalCounts(
            self.line, self.start, self.length, counts, observed_s, self.frames, self.dropped, quality
        )


class _OpenLine:
    """The open intervals of one line. `first` is the earliest start that may still be opened."""

    def __init__(self, line: str, classes: Sequence[str], length: float, closed_end: float) -> None:
        self.line, self.classes, self.length = line, classes, length
        self.open: dict[float, _Open] = {}
        self.first = math.ceil(closed_end / length) * length
        self.opened = 0

    def grid(self, at: float) -> float:
        return math.floor(at / self.length) * self.length

    def is_open(self, start: float) -> bool:
        return start in self.open or start >= self.first

    def at(self, start: float) -> _Open:
        if start not in self.open:
            self.opened += 1
            self.open[start] = _Open(self.line, start, self.length, zero_counts(self.classes))
        return self.open[start]

    def restore(self, interval: IntervalCounts) -> None:
        into = self.at(interval.start)
        into.counts = add_counts(into.counts, interval.counts)
        into.observed_s, into.frames, into.dropped = interval.observed_s, interval.frames, interval.dropped
        into.quality = set(interval.quality)

    def start_for(self, at: float) -> float:
        """The start of the interval which `at` belongs to, or of the oldest open one when that is closed."""
        start = self.grid(at)
        return start if self.is_open(start) else min([*self.open, self.first])

    def close(self, until: float, max_missed_s: float) -> tuple[list[IntervalCounts], int]:
        """What ended by `until`, oldest first, and how many missed intervals were too many to be made up."""
        beyond = self.grid(until)  # the first start that has not ended
        oldest = max(self.first, beyond - self.grid(max_missed_s))
        grid = [n * self.length for n in range(round(oldest / self.length), round(beyond / self.length))]
        begun = [start for start in self.open if start < beyond]
        skipped = round(max(0.0, min(oldest, beyond) - self.first) / self.length)
        skipped -= sum(self.first <= start < oldest for start in begun)
        self.first = max(self.first, beyond)
        ended = [self.at(start).frozen() for start in sorted({*grid, *begun})]
        self.open = {start: interval for start, interval in self.open.items() if start >= beyond}
        return ended, skipped


class Intervals:
    """The open intervals of all lines."""

    def __init__(
        self,
        lines: Sequence[str],
        classes: Sequence[str],
        interval_s: float,
        *,
        grace_s: float = 3.0,
        max_gap_s: float = 2.0,
        max_missed_s: float = 86_400.0,
        restored: Iterable[IntervalCounts] = (),
        closed_ends: Mapping[str, float] | None = None,
    ) -> None:
        """interval_s: whole seconds, at least 1. restored: `open` of an earlier run. closed_ends: line -> end of its
        newest closed interval. Raises ValueError for another interval_s."""
        if interval_s < 1 or interval_s != int(interval_s):
            raise ValueError(f"An interval must be a whole number of seconds, at least 1, not {interval_s}")
        kept = list(restored)
        self._stale = [i for i in kept if i.line not in lines or i.interval_s != interval_s]
        ends = dict(closed_ends or {})
        for interval in self._stale:
            ends[interval.line] = max(interval.end, ends.get(interval.line, 0.0))
        self._lines = {line: _OpenLine(line, classes, interval_s, ends.get(line, 0.0)) for line in lines}
        for interval in kept:
            if interval not in self._stale:
                self._lines[interval.line].restore(interval)
        self._grace_s, self._max_gap_s, self._max_missed_s = grace_s, max_gap_s, max_missed_s
        self._newest = self._last_frame = -math.inf
        self.late_crossings = 0
        """Crossings that went into another interval than that of their time, because it was closed."""
        self.skipped = 0
        """Missed intervals that were not made up, because there were too many."""
        self.behind_s = 0.0
        """How far the clock is behind the newest closed end: 0 unless it has stepped back."""

    @property
    def opened(self) -> int:
        """How many intervals were opened since the start, all lines together."""
        return sum(line.opened for line in self._lines.values())

    @property
    def open(self) -> tuple[IntervalCounts, ...]:
        """The open intervals as they stand, for `restored` of the next run."""
        return (*self._stale, *(i.frozen() for line in self._lines.values() for i in line.open.values()))

    def record(
        self, frame_at: float, crossings: Sequence[Crossing], dropped: int, quality: Collection[Quality] = ()
    ) -> tuple[float, ...]:
        """Take one processed frame, the frames dropped before it, and the crossings it confirmed.

        Returns the start of the interval that each crossing went into. Raises ValueError for a line or class that is
        not configured.
        """
        self._see(frame_at)
        self._observe(frame_at)
        for line in self._lines.values():
            interval = line.at(line.start_for(frame_at))
            interval.frames += 1
            interval.dropped += dropped
            interval.quality.update(quality)
        return tuple(self._count(crossing) for crossing in crossings)

    def advance(self, now: float) -> tuple[IntervalCounts, ...]:
        """Let time pass, with or without frames; returns the intervals that closed, oldest first."""
        self._see(now)
        closed, self._stale = self._stale, []
        for line in self._lines.values():
            ended, skipped = line.close(self._newest - self._grace_s, self._max_missed_s)
            closed += ended
            self.skipped += skipped
        return tuple(sorted(closed, key=lambda interval: interval.start))

    def _see(self, at: float) -> None:
        if self._newest == -math.inf:
            for line in self._lines.values():
                line.first = max(line.first, line.grid(at))
        self._newest = max(self._newest, at)
        for line in self._lines.values():
            line.at(line.start_for(self._newest))  # an interval has begun although nothing may come to be seen in it
        self.behind_s = max([0.0, *(line.first - at for line in self._lines.values())])

    def _observe(self, frame_at: float) -> None:
        last, self._last_frame = self._last_frame, max(self._last_frame, frame_at)
        if not 0 < frame_at - last <= self._max_gap_s:
            return
        for line in self._lines.values():
            for start, seconds in _split(last, frame_at, line.length):
                if line.is_open(start):
                    line.at(start).observed_s += seconds

    def _count(self, crossing: Crossing) -> float:
        line = self._lines.get(crossing.line)
        if line is None:
            raise ValueError(f"A crossing of the line {crossing.line!r}, which is not configured")
        if crossing.label not in line.classes:
            raise ValueError(f"A crossing of the class {crossing.label!r}, which is not counted")
        # A crossing later than any time seen, from before a step of the clock, opens no interval of the future.
        at = min(crossing.at, self._newest)
        start = line.start_for(at)
        self.late_crossings += start != line.grid(crossing.at)
        line.at(start).counts[crossing.label][crossing.direction] += 1
        return start


def _split(begin: float, end: float, length: float) -> Iterator[tuple[float, float]]:
    """The parts of begin..end in each interval, as start of the interval and seconds."""
    while begin < end:
        start = math.floor(begin / length) * length
        edge = min(end, start + length)
        yield start, edge - begin
        begin = edge

"""Sum crossings up to closed intervals with counts, coverage and quality of each line. Pure: no clock, no I/O.

Every time is UTC seconds of one clock, that of `Frame.captured_at`; starts are multiples of the length. The rules:

- An interval closes when time has passed its end by `grace_s`, since a crossing is confirmed up to 2.5 s after it
  happened; until then it and its successor are both open. A closed interval never changes.
- A crossing belongs to the interval of `Crossing.at` while that is open, otherwise to the oldest open one of its line:
  it is never lost, and counted in `late_crossings`.
- A processed frame observes the time since the newest processed frame when that is at most `max_gap_s`; a longer gap
  is not observed. Only time later than any before is observed, so that a step of the clock cannot observe a second
  twice and coverage stays within 0..1.
- While this object lives no interval is skipped: after a stall or a forward step of the clock the missed ones close
  with coverage 0, at most the newest `max_missed_s` of them; the others are counted in `skipped`.
- When the clock steps back, everything before the newest closed end goes into the open interval until time has caught
  up: a start is never used twice.
- Open intervals of an earlier run (`restored`) continue while their time lasts, and close unchanged when it is over.
  Those of a line that is no longer configured, or of another length, close unchanged at the first `advance`. Intervals
  during which the program did not run at all are not created.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from edge_app.records import DIRECTIONS, Counts, Crossing, Direction, IntervalCounts, Quality


def zero_counts(classes: Iterable[str]) -> dict[str, dict[Direction, int]]:
    """Return a count of 0 for each class and direction."""
    return {label: dict.fromkeys(DIRECTIONS, 0) for label in classes}


def add_counts(left: Counts, right: Counts) -> dict[str, dict[Direction, int]]:
    """Return the sum of both, with the classes of either."""
    total = {label: dict(directions) for label, directions in left.items()}
    for label, directions in right.items():
        sums = total.setdefault(label, dict.fromkeys(DIRECTIONS, 0))
        for direction, n in directions.items():
            sums[direction] += n
    return total


@dataclass(slots=True)
class _OpenInterval:
    """Interval that still takes frames and crossings."""

    line: str
    start: float
    length: float
    counts: dict[str, dict[Direction, int]]
    observed_s: float = 0.0
    frames: int = 0
    dropped: int = 0
    quality: set[Quality] = field(default_factory=set)

    def snapshot(self) -> IntervalCounts:
        counts = {label: dict(directions) for label, directions in self.counts.items()}
        quality = tuple(q for q in get_args(Quality) if q in self.quality)
        observed_s = min(self.observed_s, self.length)
        return IntervalCounts(
            self.line, self.start, self.length, counts, observed_s, self.frames, self.dropped, quality
        )


class _LineIntervals:
    """Open intervals of one line, by start; all times in UTC s.

    length: of an interval, s. closed_end: end of the newest closed one, 0 without any.
    `first_start` is the earliest start that may still be opened.
    """

    def __init__(self, line: str, classes: Sequence[str], length: float, closed_end: float) -> None:
        self.line, self.classes, self.length = line, classes, length
        self.open: dict[float, _OpenInterval] = {}
        self.first_start = math.ceil(closed_end / length) * length
        self.opened = 0

    def own_start(self, at: float) -> float:
        """Return the start of the interval that contains this time, open or not."""
        return math.floor(at / self.length) * self.length

    def is_open(self, start: float) -> bool:
        return start in self.open or start >= self.first_start

    def interval(self, start: float) -> _OpenInterval:
        """Return the interval with this start, opened if it is not open yet."""
        if start not in self.open:
            self.opened += 1
            self.open[start] = _OpenInterval(self.line, start, self.length, zero_counts(self.classes))
        return self.open[start]

    def restore(self, saved: IntervalCounts) -> None:
        interval = self.interval(saved.start)
        interval.counts = add_counts(interval.counts, saved.counts)
        interval.observed_s, interval.frames, interval.dropped = saved.observed_s, saved.frames, saved.dropped
        interval.quality = set(saved.quality)

    def start_for(self, at: float) -> float:
        """Return the start of the interval that contains this time, or of the oldest open one if that is closed."""
        start = self.own_start(at)
        return start if self.is_open(start) else min([*self.open, self.first_start])

    def close(self, until: float, max_missed_s: float) -> tuple[list[IntervalCounts], int]:
        """Close the intervals that ended by `until`, missed ones included.

        Returns them, oldest first, and the number of missed intervals that lie more than `max_missed_s` back.
        """
        first_current = self.own_start(until)  # the first start that has not ended
        oldest = max(self.first_start, first_current - self.own_start(max_missed_s))
        due = [n * self.length for n in range(round(oldest / self.length), round(first_current / self.length))]
        opened = [start for start in self.open if start < first_current]
        skipped = round(max(0.0, min(oldest, first_current) - self.first_start) / self.length)
        skipped -= sum(self.first_start <= start < oldest for start in opened)
        self.first_start = max(self.first_start, first_current)
        ended = [self.interval(start).snapshot() for start in sorted({*due, *opened})]
        self.open = {start: interval for start, interval in self.open.items() if start >= first_current}
        return ended, skipped


class Intervals:
    """Open intervals of all lines."""

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
        """Continue the intervals of an earlier run, or start with none.

        interval_s: whole seconds, at least 1. restored: `open` of an earlier run. closed_ends: line -> end of its
        newest closed interval.
        Raises ValueError: for another interval_s.
        """
        if interval_s < 1 or interval_s != int(interval_s):
            raise ValueError(f"An interval must be a whole number of seconds, at least 1, not {interval_s}")
        saved = list(restored)
        self._stale = [i for i in saved if i.line not in lines or i.interval_s != interval_s]
        ends = dict(closed_ends or {})
        for interval in self._stale:
            ends[interval.line] = max(interval.end, ends.get(interval.line, 0.0))
        self._lines = {line: _LineIntervals(line, classes, interval_s, ends.get(line, 0.0)) for line in lines}
        for interval in saved:
            if interval not in self._stale:
                self._lines[interval.line].restore(interval)
        self._grace_s, self._max_gap_s, self._max_missed_s = grace_s, max_gap_s, max_missed_s
        self._newest = self._last_frame = -math.inf
        self.late_crossings = 0
        """Number of crossings that went into another interval than that of their time, because it was closed."""
        self.skipped = 0
        """Number of missed intervals that were not created, because there were too many."""
        self.behind_s = 0.0
        """Seconds by which the clock is behind the newest closed end: 0 unless it has stepped back."""

    @property
    def opened(self) -> int:
        """Number of intervals that were opened since the start, all lines together."""
        return sum(line.opened for line in self._lines.values())

    @property
    def open(self) -> tuple[IntervalCounts, ...]:
        """Open intervals with their counts so far, for `restored` of the next run."""
        return (*self._stale, *(i.snapshot() for line in self._lines.values() for i in line.open.values()))

    def record(
        self, frame_at: float, crossings: Sequence[Crossing], dropped: int, quality: Collection[Quality] = ()
    ) -> tuple[float, ...]:
        """Count the crossings that a processed frame confirmed, and the time that it observed.

        frame_at: its time. dropped: frames that were dropped before it.
        Returns the start of the interval in which each crossing was counted.
        Raises ValueError: for a line or class that is not configured.
        """
        self._set_time(frame_at)
        self._observe(frame_at)
        for line in self._lines.values():
            interval = line.interval(line.start_for(frame_at))
            interval.frames += 1
            interval.dropped += dropped
            interval.quality.update(quality)
        return tuple(self._count(crossing) for crossing in crossings)

    def advance(self, now: float) -> tuple[IntervalCounts, ...]:
        """Return the intervals that closed by this time, oldest first."""
        self._set_time(now)
        closed, self._stale = self._stale, []
        for line in self._lines.values():
            ended, skipped = line.close(self._newest - self._grace_s, self._max_missed_s)
            closed += ended
            self.skipped += skipped
        return tuple(sorted(closed, key=lambda interval: interval.start))

    def _set_time(self, now: float) -> None:
        if self._newest == -math.inf:
            for line in self._lines.values():
                line.first_start = max(line.first_start, line.own_start(now))
        self._newest = max(self._newest, now)
        for line in self._lines.values():
            line.interval(line.start_for(self._newest))  # opened even if it will never get a frame
        self.behind_s = max([0.0, *(line.first_start - now for line in self._lines.values())])

    def _observe(self, frame_at: float) -> None:
        last, self._last_frame = self._last_frame, max(self._last_frame, frame_at)
        if not 0 < frame_at - last <= self._max_gap_s:
            return
        for line in self._lines.values():
            for start, seconds in _split(last, frame_at, line.length):
                if line.is_open(start):
                    line.interval(start).observed_s += seconds

    def _count(self, crossing: Crossing) -> float:
        line = self._lines.get(crossing.line)
        if line is None:
            raise ValueError(f"A crossing of the line {crossing.line!r}, which is not configured")
        if crossing.label not in line.classes:
            raise ValueError(f"A crossing of the class {crossing.label!r}, which is not counted")
        # A crossing from before a backward step of the clock may lie in the future: it must not open an interval there.
        at = min(crossing.at, self._newest)
        start = line.start_for(at)
        self.late_crossings += start != line.own_start(crossing.at)
        line.interval(start).counts[crossing.label][crossing.direction] += 1
        return start


def _split(begin: float, end: float, length: float) -> Iterator[tuple[float, float]]:
    """Yield start of the interval and seconds of each interval that begin..end touches."""
    while begin < end:
        start = math.floor(begin / length) * length
        edge = min(end, start + length)
        yield start, edge - begin
        begin = edge

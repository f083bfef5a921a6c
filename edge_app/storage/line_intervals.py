"""Open and close the intervals of one line, by the rules in `intervals`. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import get_args

from edge_app.records import Direction, IntervalCounts, Quality, Sums, grid_end, grid_start
from edge_app.storage.counts import Counting, add_counts, add_sums, zero_counts


@dataclass(slots=True)
class _OpenInterval:
    """Interval that still takes frames and crossings."""

    line: str
    start: float
    end: float
    interval_s: float
    config: str
    model: str
    counts: dict[str, dict[Direction, int]]
    observed_s: float = 0.0
    frames: int = 0
    dropped: int = 0
    quality: set[Quality] = field(default_factory=set)
    measures: Sums = field(default_factory=dict)
    own: bool = True
    """False when it was counted under another configuration than this run's."""

    def snapshot(self) -> IntervalCounts:
        counts = {label: dict(directions) for label, directions in self.counts.items()}
        quality = tuple(q for q in get_args(Quality) if q in self.quality)
        cut = None if self.end == grid_end(self.start, self.interval_s) else self.end
        observed_s = min(self.observed_s, self.end - self.start)
        return IntervalCounts(
            self.line,
            self.start,
            self.interval_s,
            counts,
            observed_s,
            self.frames,
            self.dropped,
            quality,
            cut,
            self.config,
            self.model,
            self.measures,
        )

    def add(self, saved: IntervalCounts | _OpenInterval) -> None:
        """Add the counts, observations and measures of an interval."""
        self.counts = add_counts(self.counts, saved.counts)
        self.observed_s += saved.observed_s
        self.frames += saved.frames
        self.dropped += saved.dropped
        self.quality.update(saved.quality)
        self.measures = add_sums(self.measures, saved.measures)


class LineIntervals:
    """Open intervals of one line, by start; all times in UTC s.

    counting: None for a line that is no longer configured, which opens none.
    restored: open intervals of the run before.
    closed_end: end of the newest closed one, 0 without any.
    renamed: the restored ones are another device's, and nothing of them goes on here.
    told_until: up to here another installation has told the line's time, so that no missed interval is made up.
    `first_start` is the earliest time that a new interval may contain; it is off the grid after a change.
    """

    def __init__(
        self,
        line: str,
        counting: Counting | None,
        restored: Sequence[IntervalCounts],
        closed_end: float,
        *,
        renamed: bool = False,
        told_until: float = -math.inf,
    ) -> None:
        self.line, self.counting, self._renamed, self._told_until = line, counting, renamed, told_until
        self.open: dict[float, _OpenInterval] = {}
        self.opened = 0
        saved = sorted(restored, key=lambda interval: interval.start)
        for interval, next_start in zip(saved, [*(i.start for i in saved[1:]), math.inf], strict=False):
            self._restore(interval, next_start)
        self.first_start = max([closed_end, *(i.end for i in self.open.values())])
        self._closed_end = closed_end
        self.changed = bool(saved) and not self._is_own(self.open[saved[-1].start])
        """True when the newest interval of the earlier run cannot go on."""

    def _restore(self, saved: IntervalCounts, next_start: float) -> None:
        own = self.counting if self.counting and self.counting.covers(saved) and not self._renamed else None
        counts = zero_counts(own.classes) if own else {}
        config, model = (own.config, own.model) if own else (saved.config, saved.model)
        # A run that was killed soon after a change leaves both intervals open, and the first one not cut yet.
        end = min(saved.end, next_start)
        measures = own.measures.get(self.line, {}) if own else {}
        self.open[saved.start] = _OpenInterval(
            self.line, saved.start, end, saved.interval_s, config, model, counts, measures=measures, own=own is not None
        )
        self.open[saved.start].add(saved)

    def _is_own(self, interval: _OpenInterval) -> bool:
        return interval.own and interval.end == grid_end(interval.start, interval.interval_s)

    @property
    def oldest(self) -> float:
        """Begin of the oldest open interval: what lies before it is closed."""
        return min([self.first_start, *self.open])

    @property
    def told_until(self) -> float:
        """End of the newest interval, open or closed, of this installation or of one before a step back."""
        return max([self._told_until, self.first_start, *(interval.end for interval in self.open.values())])

    def begin(self, now: float, change_at: float | None) -> None:
        """Begin the run at this time. change_at: begin of the new configuration; None when it has not changed."""
        if change_at is not None and (self.changed or not self.open):
            self._cut(max([change_at, self._closed_end, *self.open]))
        elif self.counting:
            self.first_start = max(self.first_start, grid_start(now, self.counting.interval_s))

    def _cut(self, at: float) -> None:
        """End all intervals; one that has no second of its own goes into the next interval.

        Where no next one comes, it keeps its first second if it has counted: the clock may be behind the earlier run.
        """
        self.first_start = at
        for interval in list(self.open.values()):
            interval.end = min(interval.end, at)
            if interval.start == interval.end:
                if self.counting and not self._renamed:
                    del self.open[interval.start]
                    self.interval(at).add(interval)
                elif any(n for directions in interval.counts.values() for n in directions.values()):
                    interval.end += 1.0
                    self.first_start = interval.end
                else:
                    del self.open[interval.start]

    def change(self, counting: Counting, at: float) -> None:
        """Count with another model from this time on; nothing that is later has been counted.

        counting: with the same classes, length and measures.
        """
        begun = max(self.first_start, self._told_until)
        while begun < at:  # those that nobody has opened yet are the former model's too
            begun = self.interval(self.start_for(begun)).end
        for interval in self.open.values():
            if interval.start >= at:
                interval.config, interval.model = counting.config, counting.model
            else:
                interval.end, interval.own = min(interval.end, at), False
        self.counting, self.first_start = counting, max(self.first_start, at)
        self.interval(self.start_for(at))  # what is saved now tells by it where the one before ended

    def start_at(self, at: float) -> float | None:
        """Return the start of the interval that contains this time; None when that is closed, or not configured."""
        for interval in self.open.values():
            if interval.start <= at < interval.end:
                return interval.start
        if self.counting is None or at < self.first_start:
            return None
        return max(grid_start(at, self.counting.interval_s), self.first_start)

    def start_for(self, at: float) -> float:
        """Return the start of the interval that contains this time, or of the oldest open one if that is closed."""
        start = self.start_at(at)
        own = (start for start, interval in self.open.items() if interval.own)
        return min([*own, self.first_start]) if start is None else start

    def interval(self, start: float) -> _OpenInterval:
        """Return the interval with this start, opened if it is not open yet."""
        if start not in self.open:
            assert self.counting is not None
            self.opened += 1
            self.open[start] = _new(self.line, start, self.counting)
        return self.open[start]

    def observe(self, begin: float, end: float) -> None:
        """Add this time to the intervals that contain it; what is closed already is not observed again."""
        at = max(begin, self.first_start)
        while at < end:
            at = self.interval(self.start_for(at)).end
        for interval in self.open.values():
            interval.observed_s += max(0.0, min(end, interval.end) - max(begin, interval.start))

    def measure(self, start: float, sums: Sums) -> None:
        """Add to the interval with this start, if it is open."""
        interval = self.open.get(start)
        if interval is not None:
            interval.measures = add_sums(interval.measures, sums)

    def close(
        self, until: float, max_missed_s: float, jumps: Collection[tuple[float, float]]
    ) -> tuple[list[IntervalCounts], int]:
        """Close the intervals that ended by `until`, missed ones included.

        jumps: times from which and to which the clock was set forward.
        Returns them, oldest first, and the number of missed intervals that lie more than `max_missed_s` back.
        """
        ended = [self.open.pop(start) for start, interval in list(self.open.items()) if interval.end <= until]
        missed, skipped = self._missed(until, max_missed_s, {interval.start for interval in ended})
        for interval in missed:
            if any(interval.start < after and interval.end > before for before, after in jumps):
                interval.quality.add("clock_stepped")
        closed = sorted((*ended, *missed), key=lambda interval: interval.start)
        return [interval.snapshot() for interval in closed], skipped

    def _missed(self, until: float, max_missed_s: float, known: set[float]) -> tuple[list[_OpenInterval], int]:
        """Move `first_start` on to the interval of `until`; return those in between that nobody has told of."""
        if self.counting is None:
            return [], 0
        length = self.counting.interval_s
        first, current = math.floor(self.first_start / length), math.floor(until / length)
        if current <= first:
            return [], 0
        oldest = max(first, current - math.floor(max_missed_s / length))
        starts = [max(n * length, self.first_start) for n in range(oldest, current)]
        skipped = oldest - first - sum(self.first_start <= start < oldest * length for start in known)
        self.opened += len(starts)
        self.first_start = current * length
        missed = [start for start in starts if start not in known and start >= self._told_until]
        return [_new(self.line, start, self.counting) for start in missed], skipped

    def jump(self, now: float) -> None:
        """Make no intervals up to this time."""
        if self.counting:
            self.first_start = max(self.first_start, grid_start(now, self.counting.interval_s))

    def mark_stepped(self, begin: float, end: float) -> None:
        """Mark the open intervals that contain a time between these, both included."""
        if self.counting:
            self.interval(self.start_for(end))
        for interval in self.open.values():
            if interval.start <= end and interval.end > begin:
                interval.quality.add("clock_stepped")

    def end_restored(self) -> list[IntervalCounts]:
        """Close the intervals that were counted under another configuration or name."""
        ended = [self.open.pop(start) for start, interval in list(self.open.items()) if not interval.own]
        return [interval.snapshot() for interval in ended]

    def end_all(self) -> list[IntervalCounts]:
        """Close all open intervals."""
        ended, self.open = list(self.open.values()), {}
        return [interval.snapshot() for interval in ended]


def _new(line: str, start: float, counting: Counting) -> _OpenInterval:
    end, counts = grid_end(start, counting.interval_s), zero_counts(counting.classes)
    measures = counting.measures.get(line, {})
    return _OpenInterval(
        line, start, end, counting.interval_s, counting.config, counting.model, counts, measures=measures
    )

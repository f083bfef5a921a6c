"""Sum crossings up to closed intervals with counts, coverage and quality of each line. Pure: no clock, no I/O.

Every time is UTC seconds of one clock, that of `Frame.captured_at`. The rules:

- Intervals lie on the grid of their length. Only a change of the configuration cuts one: at the first whole second of
  the run with another configuration. The open interval ends there, or at its own end if that came first, with the
  configuration, the model, the classes and the length under which it was counted; the next one begins there and ends
  on the new grid. A change within the same second makes no interval. With the same configuration an open interval of
  an earlier run (`restored`) goes on as if nothing had happened.
- An interval closes when time has passed its end by `grace_s`, since a crossing is confirmed up to 2.5 s after it
  happened; until then it and its successor are both open. A closed interval never changes.
- A crossing belongs to the open interval that contains `Crossing.at`, otherwise to the oldest open one of its line:
  it is never lost, and counted in `late_crossings`.
- A processed frame observes the time since the newest processed frame, for each line that no vehicle could pass unseen
  meanwhile, unless that was more than `max_gap_s` ago. Only time later than any before is observed, so that a step of
  the clock cannot observe a second twice and coverage stays within 0..1.
- While this object lives no interval is skipped: after a stall or a forward step of the clock the missed ones close
  with coverage 0, at most the newest `max_missed_s` of them; the others are counted in `skipped`. A step of more than
  `max_missed_s` makes none.
- A clock that steps back across a closed interval (`is_behind`) cannot go on here: `restart` ends the open intervals
  and begins at the new time, under numbers of another installation.
- `clock_stepped` are the intervals that a step forward has made, and those that contain a step of either direction: the
  one that it ends or cuts, and the first one after it. After a step back across closed intervals, so are those that
  repeat their time by a clock that is `clock_unsynced`. Where installations overlap in time, the interval without it
  counts: so a piece of wrong time does not replace a whole interval.
- Intervals during which the program did not run at all are not created.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from edge_app.records import (
    DIRECTIONS,
    Counts,
    Crossing,
    Direction,
    IntervalCounts,
    Quality,
    grid_end,
    grid_start,
)


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


@dataclass(frozen=True, slots=True)
class Counting:
    """Settings of this run: classes, length of an interval in whole s, hashes of configuration and model."""

    classes: Sequence[str]
    interval_s: float
    config: str = ""
    model: str = ""

    def covers(self, saved: IntervalCounts) -> bool:
        """Return True when the interval can go on in this run. One without a hash is of a release that kept none."""
        return (
            saved.interval_s == self.interval_s
            and saved.config in ("", self.config)
            and saved.model in ("", self.model)
        )


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
        )

    def add(self, saved: IntervalCounts | _OpenInterval) -> None:
        """Add the counts and observations of an interval."""
        self.counts = add_counts(self.counts, saved.counts)
        self.observed_s += saved.observed_s
        self.frames += saved.frames
        self.dropped += saved.dropped
        self.quality.update(saved.quality)


class _LineIntervals:
    """Open intervals of one line, by start; all times in UTC s.

    counting: None for a line that is no longer configured, which opens none.
    restored: open intervals of the run before.
    closed_end: end of the newest closed one, 0 without any.
    renamed: the restored ones are another device's, and nothing of them goes on here.
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
    ) -> None:
        self.line, self.counting, self._renamed = line, counting, renamed
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
        self.open[saved.start] = _OpenInterval(
            self.line, saved.start, end, saved.interval_s, config, model, counts, own=own is not None
        )
        self.open[saved.start].add(saved)

    def _is_own(self, interval: _OpenInterval) -> bool:
        return interval.own and interval.end == grid_end(interval.start, interval.interval_s)

    @property
    def oldest(self) -> float:
        """Begin of the oldest open interval: what lies before it is closed."""
        return min([self.first_start, *self.open])

    @property
    def newest_end(self) -> float:
        """End of the newest interval, open or closed."""
        return max([self.first_start, *(interval.end for interval in self.open.values())])

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
        """Move `first_start` on to the interval of `until`; return those in between that were never opened."""
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
        return [_new(self.line, start, self.counting) for start in starts if start not in known], skipped

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
    return _OpenInterval(line, start, end, counting.interval_s, counting.config, counting.model, counts)


class Intervals:
    """Open intervals of all lines."""

    def __init__(
        self,
        lines: Sequence[str],
        counting: Counting,
        *,
        grace_s: float = 3.0,
        max_gap_s: float = 2.0,
        max_missed_s: float = 86_400.0,
        restored: Iterable[IntervalCounts] = (),
        closed_ends: Mapping[str, float] | None = None,
        renamed: bool = False,
    ) -> None:
        """Continue the intervals of an earlier run, or start with none.

        restored: `open` of an earlier run. closed_ends: line -> end of its newest closed interval. renamed: the earlier
        run was another device's, whose intervals do not go on here: take them with `end_restored`.
        Raises ValueError: for an interval_s that is no whole number of at least 1.
        """
        if counting.interval_s < 1 or counting.interval_s != int(counting.interval_s):
            raise ValueError(f"An interval must be a whole number of seconds, at least 1, not {counting.interval_s}")
        saved, ends = list(restored), closed_ends or {}
        self._lines = {
            line: _LineIntervals(
                line,
                counting if line in lines else None,
                [interval for interval in saved if interval.line == line],
                ends.get(line, 0.0),
                renamed=renamed,
            )
            for line in (*lines, *({interval.line for interval in saved} - set(lines)))
        }
        self._counting, self._renamed = counting, renamed
        self._grace_s, self._max_gap_s, self._max_missed_s = grace_s, max_gap_s, max_missed_s
        self._newest = self._last_frame = -math.inf
        self._jumps: list[tuple[float, float]] = []
        self._repeats_until = -math.inf  # up to here another installation has intervals too
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
        return tuple(i.snapshot() for line in self._lines.values() for i in line.open.values())

    def record(
        self,
        frame_at: float,
        crossings: Sequence[Crossing],
        dropped: int,
        quality: Collection[Quality] = (),
        *,
        unseen: Collection[str] = (),
        slow: Collection[str] = (),
    ) -> tuple[float, ...]:
        """Count the crossings that a processed frame confirmed, and the time that it observed.

        frame_at: its time. dropped: frames that were dropped before it. unseen, slow: lines, as in `FrameResult`.
        Returns the start of the interval in which each crossing was counted.
        Raises ValueError: for a line or class that is not configured.
        """
        self._set_time(frame_at)
        self._observe(frame_at, unseen)
        for line in self._configured:
            interval = line.interval(line.start_for(frame_at))
            interval.frames += 1
            interval.dropped += dropped
            interval.quality.update(quality)
            if line.line in slow:
                interval.quality.add("slow")
            if "clock_unsynced" in quality and interval.start < self._repeats_until:
                interval.quality.add("clock_stepped")
        return tuple(self._count(crossing) for crossing in crossings)

    def joins(self, saved: IntervalCounts) -> bool:
        """Return True when an interval of an earlier run is the one that is open here."""
        line = self._lines.get(saved.line)
        interval = line.open.get(saved.start) if line and line.counting else None
        return bool(interval and interval.own and line and line.counting and line.counting.covers(saved))

    def join(self, saved: IntervalCounts) -> None:
        """Add an interval of an earlier run, which could not be read at the start, to the one that is open here."""
        self._lines[saved.line].open[saved.start].add(saved)

    def oldest(self, line: str) -> float:
        """Return the begin of the oldest open interval of a line; infinity for one that is not counted."""
        return self._lines[line].oldest if line in self._lines else math.inf

    def advance(self, now: float) -> tuple[IntervalCounts, ...]:
        """Return the intervals that closed by this time, oldest first."""
        self._set_time(now)
        closed: list[IntervalCounts] = []
        until = self._newest - self._grace_s
        for line in self._lines.values():
            ended, skipped = line.close(until, self._max_missed_s, self._jumps)
            closed += ended
            self.skipped += skipped
        self._jumps = [jump for jump in self._jumps if jump[1] > until]
        return tuple(sorted(closed, key=lambda interval: interval.start))

    def is_behind(self, now: float) -> bool:
        """Return True when the clock lies before intervals that are closed, by more than the grace time."""
        return any(now < line.oldest - self._grace_s for line in self._lines.values())

    def end_restored(self, now: float) -> tuple[IntervalCounts, ...]:
        """Begin the run at this time, and return what a device of another name had open, cut there; oldest first."""
        if not self.is_behind(now):  # else nobody knows when they ended, and `restart` begins the run
            self._set_time(now)
        ended = [interval for line in self._lines.values() for interval in line.end_restored()]
        return tuple(sorted(ended, key=lambda interval: interval.start))

    def restart(self, now: float, before: float | None = None) -> tuple[IntervalCounts, ...]:
        """Begin anew at this time, after a step back; return the intervals that were open.

        before: what the clock would show without the step, where that is known.
        """
        # An earlier run has not seen the step: what it counted has its right time.
        if self._newest > -math.inf:
            self._set_time(self._newest if before is None else before)
            self._mark_stepped(self._newest, self._newest)
        self._repeats_until = max((line.newest_end for line in self._lines.values()), default=-math.inf)
        ended = [interval for line in self._lines.values() for interval in line.end_all()]
        self._lines = {line.line: _LineIntervals(line.line, self._counting, (), 0.0) for line in self._configured}
        self._newest = self._last_frame = -math.inf
        self._jumps = []
        self._set_time(now)
        self._mark_stepped(now, now)
        return tuple(sorted(ended, key=lambda interval: interval.start))

    def step_back(self, before: float, now: float) -> None:
        """Go on after a step of the clock from `before` back to `now`, which gives the seconds between them twice."""
        self._set_time(before)
        self._mark_stepped(now, before)

    def jump(self, before: float, now: float) -> None:
        """Go on after a step of the clock from `before` forward to `now`."""
        self._set_time(before)
        self._mark_stepped(before, before)
        if now - before > self._max_missed_s:
            self._newest = max(self._newest, now)
            for line in self._lines.values():
                line.jump(now)
        else:
            self._jumps.append((before, now))
        self._mark_stepped(now, now)

    @property
    def _configured(self) -> list[_LineIntervals]:
        return [line for line in self._lines.values() if line.counting]

    def _mark_stepped(self, begin: float, end: float) -> None:
        for line in self._lines.values():
            line.mark_stepped(begin, end)

    def _set_time(self, now: float) -> None:
        if self._newest == -math.inf:
            change_at = self._change_at(now)
            for line in self._lines.values():
                line.begin(now, change_at)
        self._newest = max(self._newest, now)
        for line in self._configured:
            line.interval(line.start_for(self._newest))  # opened even if it will never get a frame
        self.behind_s = max([0.0, *(line.oldest - now for line in self._configured)])

    def _change_at(self, now: float) -> float | None:
        """Return the time from which on the new configuration counts; None when it has not changed."""
        changed = [line for line in self._lines.values() if line.changed]
        if not changed:
            return None
        # The first whole second of this run; the second that has begun where no earlier interval reaches into it.
        begun = math.floor(now)
        if self._renamed:  # they close at once, which is not to be before their end
            return float(begun)
        return float(math.ceil(now) if any(line.first_start > begun for line in changed) else begun)

    def _observe(self, frame_at: float, unseen: Collection[str]) -> None:
        last, self._last_frame = self._last_frame, max(self._last_frame, frame_at)
        if not 0 < frame_at - last <= self._max_gap_s:
            return
        for line in self._configured:
            if line.line not in unseen:
                line.observe(last, frame_at)

    def _count(self, crossing: Crossing) -> float:
        line = self._lines.get(crossing.line)
        if line is None or line.counting is None:
            raise ValueError(f"A crossing of the line {crossing.line!r}, which is not configured")
        if crossing.label not in line.counting.classes:
            raise ValueError(f"A crossing of the class {crossing.label!r}, which is not counted")
        # A crossing from before a backward step of the clock may lie in the future: it must not open an interval there.
        at = min(crossing.at, self._newest)
        start = line.start_for(at)
        interval = line.interval(start)
        self.late_crossings += not interval.start <= crossing.at < interval.end
        counts = interval.counts.setdefault(crossing.label, dict.fromkeys(DIRECTIONS, 0))
        counts[crossing.direction] += 1
        return start

"""Sum crossings up to closed intervals with counts, coverage and quality of each line. Pure: no clock, no I/O.

Every time is UTC seconds of one clock, that of `Frame.captured_at`. The rules:

- Intervals lie on the grid of their length. Only a change of the configuration cuts one: at the first whole second of
  the run with another configuration. The open interval ends there, or at its own end if that came first, with the
  configuration, the model, the classes and the length under which it was counted; the next one begins there and ends
  on the new grid. A change within the same second makes no interval. With the same configuration an open interval of
  an earlier run (`restored`) goes on as if nothing had happened.
- Another model may take over while this object lives (`change`): the open interval ends at that whole second, in which
  nothing was counted by the former one, and the next one begins there.
- An interval closes when time has passed its end by `grace_s`, since a crossing is confirmed up to 2.5 s after it
  happened; until then it and its successor are both open. A closed interval never changes.
- A crossing belongs to the open interval that contains `Crossing.at`, otherwise to the oldest open one of its line:
  it is never lost, and counted in `late_crossings`.
- A processed frame observes the time since the newest processed frame, for each line that no vehicle could pass unseen
  meanwhile, unless that was more than `max_gap_s` ago. Only time later than any before is observed, so that a step of
  the clock cannot observe a second twice and coverage stays within 0..1.
- While this object lives no interval is skipped: after a stall or a forward step of the clock the missed ones close
  with coverage 0, at most the newest `max_missed_s` of them; the others are counted in `skipped`. A step of more than
  `max_missed_s` makes none. Nor is time made up that was told before a step back, under another installation: the empty
  interval would count as the later one.
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
from dataclasses import replace

from edge_app.records import DIRECTIONS, Crossing, IntervalCounts, Quality, Sums
from edge_app.storage.counts import Counting
from edge_app.storage.line_intervals import LineIntervals


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
            line: LineIntervals(
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

    def measure(self, line: str, at: float, sums: Sums) -> None:
        """Add what was measured at a time to the interval that contains it, or to the oldest open one of its line."""
        of = self._lines.get(line)
        if of is not None and of.counting is not None and self._newest > -math.inf:
            start = of.start_for(min(at, self._newest))
            of.interval(start)
            of.measure(start, sums)

    def measure_in(self, line: str, start: float, sums: Sums) -> None:
        """Add what was measured to the interval with this start, if that is still open."""
        if line in self._lines:
            self._lines[line].measure(start, sums)

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

    def change(self, config: str, model: str, at: float) -> None:
        """Count with another model from the whole second of a time on, or from the one after the newest frame.

        config, model: hashes. at: of the first frame that it has seen. All else is as before.
        """
        begin = max(math.floor(at), math.ceil(max(self._last_frame, 0.0)))
        self._counting = replace(self._counting, config=config, model=model)
        for line in self._configured:
            line.change(self._counting, float(begin))

    def restart(self, now: float, before: float | None = None) -> tuple[IntervalCounts, ...]:
        """Begin anew at this time, after a step back; return the intervals that were open.

        before: what the clock would show without the step, where that is known.
        """
        # An earlier run has not seen the step: what it counted has its right time.
        if self._newest > -math.inf:
            self._set_time(self._newest if before is None else before)
            self._mark_stepped(self._newest, self._newest)
        told = {line.line: line.told_until for line in self._lines.values()}
        self._repeats_until = max(told.values(), default=-math.inf)
        ended = [interval for line in self._lines.values() for interval in line.end_all()]
        self._lines = {
            line.line: LineIntervals(line.line, self._counting, (), 0.0, told_until=told[line.line])
            for line in self._configured
        }
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
    def _configured(self) -> list[LineIntervals]:
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
        if crossing.doubtful:
            line.measure(start, {"doubtful": {crossing.label: 1}})
        return start

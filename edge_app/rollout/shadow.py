"""Decide in which intervals a candidate is compared with the detector in service, and count both there. Pure.

Times are UTC seconds of the told time, which the frames carry. The rules:

- Intervals lie on the grid of their length. One is compared only when the candidate has seen every frame that the
  detector in service has processed, from some seconds before the interval, so that its tracks exist, until the
  interval closes as it does in service. All others are given up, and counted.
- When the candidate falls behind, the present intervals are given up and it rests. It begins again some seconds before
  an interval: before the next one at first, and the more often this happens in a row, the later.
- Both are counted frame by frame by one rule, that of `storage.intervals`: a crossing belongs to the open interval that
  contains its time, otherwise to the oldest open one. So two equal detectors have equal counts in every interval.
- A step of the clock gives the present intervals up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_app.records import DIRECTIONS, Counts, Crossing, Direction, grid_start

WARM_S: Final = 10.0
"""Time, s, before an interval at which the candidate begins."""
_LEAST_WARM_S: Final = 5.0
"""Time, s, before an interval from which on it must have seen every frame."""
_STEP_S: Final = 1.0
"""Seconds by which the told time and a clock that never steps part from one frame to the next where it was set."""
_LONGEST_PAUSE_S: Final = 3600.0

_Tallies = dict[str, dict[str, dict[Direction, int]]]


@dataclass(frozen=True, slots=True)
class Compared:
    """An interval of which both detectors have seen the same frames.

    start, end: UTC s. frames: their number. in_service, candidate: line -> counts, with every counted class.
    """

    start: float
    end: float
    frames: int
    in_service: Mapping[str, Counts]
    candidate: Mapping[str, Counts]


@dataclass(slots=True)
class _Open:
    """An interval that still takes crossings."""

    in_service: _Tallies
    candidate: _Tallies
    frames: int = 0


@dataclass(slots=True)
class _Sums:
    """What was compared since the start."""

    compared: int = 0
    given_up: int = 0
    in_service: int = 0
    candidate: int = 0


@dataclass(slots=True)
class Comparison:
    """The intervals of a candidate and of the detector in service; used by one thread.

    lines, classes: those that are counted. interval_s: length of an interval, s. grace_s: time after its end at which
    one closes. warm_s: time before an interval at which the candidate begins.

    Attributes: `sums` of what was compared; `why`: one sentence on the newest interval that was given up; `runs`: times
    that the candidate has begun to see every frame, another one after each interval that was given up.
    """

    lines: Sequence[str]
    classes: Sequence[str]
    interval_s: float
    grace_s: float
    warm_s: float = WARM_S
    sums: _Sums = field(default_factory=_Sums)
    why: str = ""
    runs: int = 0
    _since: float | None = None
    """When the candidate began to see every frame; None while it rests."""
    _resume_at: float = -math.inf
    _failures: int = 0
    _begun: float | None = None
    """Start of the interval of the newest frame."""
    _pending: set[float] = field(default_factory=set)
    """Starts of intervals that are going to be compared unless they are given up."""
    _open: dict[float, _Open] = field(default_factory=dict)
    _closed_until: float = -math.inf
    _newest: float = -math.inf
    _last: tuple[float, float] | None = None
    """Told time and monotonic time of the newest frame."""

    @property
    def rests(self) -> bool:
        """True while the candidate is to see no frames."""
        return self._since is None

    def wants(self, at: float, monotonic: float, *, able: bool = True) -> bool:
        """Return whether the candidate is to see a frame; call it with every frame that was counted in service.

        at: its told time. monotonic: s of a clock that never steps. able: the candidate can see frames at all.
        """
        if self._last is not None and abs((at - monotonic) - (self._last[0] - self._last[1])) > _STEP_S:
            self._end("the clock was set")
            self._resume_at = -math.inf
        self._last = at, monotonic
        if self._since is None and able and at >= self._resume_at:
            self._since, self._newest, self._closed_until = at, -math.inf, -math.inf
            self.runs += 1
        start = grid_start(at, self.interval_s)
        if start != self._begun:
            self._begun = start
            self._begin(start)
        return self._since is not None

    def give_up(self, why: str) -> None:
        """Give the present intervals up and rest, for longer when this happens again. why: one sentence."""
        if self._since is None:
            return
        self._end(why)
        self._failures += 1
        pause = self.interval_s * 2.0 ** (self._failures - 2) if self._failures > 1 else 0.0
        earliest = (self._last[0] if self._last else 0.0) + min(pause, _LONGEST_PAUSE_S) + self.warm_s
        self._resume_at = math.ceil(earliest / self.interval_s) * self.interval_s - self.warm_s

    def add(self, at: float, in_service: Sequence[Crossing], candidate: Sequence[Crossing]) -> list[Compared]:
        """Count a frame that both have seen, in order of the frames; return the intervals that it closes.

        at: its told time. in_service, candidate: crossings that each confirmed with it.
        """
        if self._since is None:
            return []
        self._newest = max(self._newest, at)
        self._of(at).frames += 1
        for crossing in in_service:
            _count(self._of(crossing.at).in_service, crossing)
        for crossing in candidate:
            _count(self._of(crossing.at).candidate, crossing)
        return self._close()

    def _begin(self, start: float) -> None:
        if self._since is not None and self._since <= start - _LEAST_WARM_S:
            self._pending.add(start)
        else:
            self.sums.given_up += 1
            self.why = self.why or "the candidate was not ready before the interval began"

    def _end(self, why: str) -> None:
        self.sums.given_up += len(self._pending)
        if self._since is not None:
            self.why = why
        self._since = None
        self._pending.clear()
        self._open.clear()

    def _of(self, at: float) -> _Open:
        """Return the open interval that contains a time, or the oldest open one for a time that is closed."""
        start = grid_start(min(at, self._newest), self.interval_s)
        if start < self._closed_until:
            start = min(self._open, default=self._closed_until)
        if start not in self._open:
            self._open[start] = _Open(self._zeros(), self._zeros())
        return self._open[start]

    def _zeros(self) -> _Tallies:
        return {line: {label: dict.fromkeys(DIRECTIONS, 0) for label in self.classes} for line in self.lines}

    def _close(self) -> list[Compared]:
        closed = []
        for start in sorted(self._open):
            end = start + self.interval_s
            if end + self.grace_s > self._newest:
                break
            tallies, self._closed_until = self._open.pop(start), end
            if start in self._pending:
                self._pending.remove(start)
                closed.append(Compared(start, end, tallies.frames, tallies.in_service, tallies.candidate))
                self._failures = 0
                self.sums.compared += 1
                self.sums.in_service += _vehicles(tallies.in_service)
                self.sums.candidate += _vehicles(tallies.candidate)
        return closed


def _count(tallies: _Tallies, crossing: Crossing) -> None:
    tallies[crossing.line][crossing.label][crossing.direction] += 1


def _vehicles(tallies: _Tallies) -> int:
    return sum(n for classes in tallies.values() for ways in classes.values() for n in ways.values())

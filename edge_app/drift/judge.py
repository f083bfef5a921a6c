"""Judge days of hours: data drift, model drift, or other traffic, and since when. Pure: no clock, no I/O.

Each signal is compared with its own history of the same hour of the week (`baseline`); the days go through a sequential
test (`sequential`). From the day on which a signal has moved nothing of it is learnt any more, or the new state would
become usual; that ends when the signal has come back for some days, or when a person has everything learnt anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge_app.drift.baseline import Baseline
from edge_app.drift.sequential import CumulativeSum
from edge_app.drift.signals import SIGNALS, Hour, Kind

SLACK: Final = 1.0
LIMIT: Final = 8.0
"""Of the sequential tests, so that all signals together give less than one false alarm in a year of a device whose days
hang together as weather does (docs/drift.md)."""
_LEARN_DAYS: Final = 28
"""Days until the spread of days is known."""
_BACK: Final = 1.5
_BACK_DAYS: Final = 3
"""A signal has come back after so many days in a row within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A signal that is no longer as usual.

    since: first day, as in `Hour`. up: it rose. now: newest day, in standard deviations of its days.
    """

    signal: str
    kind: Kind
    since: int
    up: bool
    now: float


class _Watched:
    """One signal."""

    def __init__(self, name: str) -> None:
        self._name, self._signal = name, SIGNALS[name]
        self._baseline = Baseline(self._signal)
        self._test = CumulativeSum(SLACK, LIMIT)
        self.moved: Moved | None = None
        self._began, self._back = 0, 0

    @property
    def known(self) -> bool:
        """True once any day was known of it."""
        return self._baseline.days > 0

    def day(self, day: int, slots: list[int], values: list[float], weights: list[float]) -> None:
        now = self._baseline.day(slots, values, weights, learn=self.moved is None)
        if now is None or self._baseline.days < _LEARN_DAYS:
            return
        if self.moved:
            self._look_back(now)
            return
        calm = self._test.up == self._test.down == 0.0
        if calm:
            self._began = day
        if moved := self._test.add(now):
            self.moved = Moved(self._name, self._signal.kind, self._began, moved > 0, now)

    def _look_back(self, now: float) -> None:
        self._back = self._back + 1 if abs(now) <= _BACK else 0
        if self._back >= _BACK_DAYS:
            self._test.restart()
            self.moved, self._back = None, 0
        elif self.moved:
            self.moved = Moved(self._name, self._signal.kind, self.moved.since, self.moved.up, now)


class Drift:
    """All signals of one camera; used by one thread."""

    def __init__(self) -> None:
        self._watched = {name: _Watched(name) for name in SIGNALS}
        self._day: int | None = None
        self._hours: list[Hour] = []

    def add(self, hours: Iterable[Hour]) -> bool:
        """Take hours in order of time; return whether a day has ended with them, so that `moved` may have changed."""
        ended = False
        for hour in hours:
            if self._day is not None and hour.day != self._day:
                self._end_day(self._day)
                ended = True
            self._day = hour.day
            self._hours.append(hour)
        return ended

    def begin_anew(self, kinds: Collection[Kind]) -> None:
        """Forget all that is known of the signals of these kinds; the others go on."""
        names = {name for name, signal in SIGNALS.items() if signal.kind in kinds}
        self._watched |= {name: _Watched(name) for name in names}
        self._hours = [
            replace(hour, values={name: value for name, value in hour.values.items() if name not in names})
            for hour in self._hours
        ]

    @property
    def moved(self) -> Mapping[str, Moved]:
        """The signals that are no longer as usual."""
        return {name: one.moved for name, one in self._watched.items() if one.moved}

    @property
    def verdicts(self) -> frozenset[Kind]:
        """The kinds of change: what lies nearer to the camera explains what lies behind it.

        A picture that has changed changes what the detector makes of it. The traffic has changed where less moves in
        the picture and less is counted; that changes scores and boxes too, since lorries stay away or nothing stands.
        """
        moved = self.moved
        if any(one.kind == "data" for one in moved.values()):
            return frozenset({"data"})
        if "counted" in moved:
            return frozenset({"model", "traffic"} if self._traffic_moved() else {"model"})
        if self._traffic_moved():
            return frozenset({"traffic"})
        return frozenset({"model"} if any(one.kind == "model" for one in moved.values()) else ())

    def _traffic_moved(self) -> bool:
        counts, picture = self.moved.get("vehicles"), self.moved.get("activity")
        if counts is None:
            return False
        return not self._watched["activity"].known if picture is None else picture.up == counts.up

    def _end_day(self, day: int) -> None:
        for name, watched in self._watched.items():
            seen = [hour for hour in self._hours if name in hour.values]
            if seen:
                weights = [hour.weights.get(name, 1.0) for hour in seen]
                watched.day(day, [hour.slot for hour in seen], [hour.values[name] for hour in seen], weights)
        self._hours = []

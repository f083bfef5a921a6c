"""Compare each hour of one signal with the same hour of weeks before, and make one value of a day. Pure: no I/O."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.drift.signals import Signal

_Values: TypeAlias = NDArray[np.float64]

WEEK: Final = 168
_OF_SLOT: Final = 1 / 6
"""Smallest weight of a new week in what is usual for an hour of the week."""
_OF_LEVEL: Final = 1 / 42
"""Weight of a day in the level that follows the season."""
_OF_SPREAD: Final = 1 / 28
"""Weight of a day in the usual spread of days."""
_TO_DEVIATION: Final = 1.2533
"""Standard deviation of a normal variable over its mean absolute value."""
_FEWEST_HOURS: Final = 6
_CUT: Final = 3.0
_TINY: Final = 1e-6


class Baseline:
    """What is usual of one signal, in each hour of the week and from day to day; used by one thread.

    The level of all hours follows the season within six weeks; a change that comes faster is what is left.
    """

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._usual = np.zeros(WEEK)
        self._weeks = np.zeros(WEEK, np.int64)
        self._level, self._spread, self.days = 0.0, 0.0, 0

    def day(self, slots: list[int], values: list[float], weights: list[float], *, learn: bool) -> float | None:
        """Return how far a day is from usual, in its own standard deviations; None with too few hours that are known.

        slots: hours of the week. values, weights: of each. learn: take the day into what is usual.
        """
        at = np.array(slots, np.int64)
        new = np.array(values)
        if self._signal.relative:
            new = np.log(np.maximum(new, _TINY))
        known = self._weeks[at] > 0
        residual = None
        if int(known.sum()) >= _FEWEST_HOURS:
            residual = _weighted_median(new[known] - self._usual[at][known], np.array(weights)[known])
        if learn:
            self._learn_hours(at, new, residual or 0.0)
        return None if residual is None else self._standardised(residual, learn=learn)

    def _learn_hours(self, at: NDArray[np.int64], new: _Values, moved: float) -> None:
        """Take values as usual for their hours, as if the day as a whole had not moved."""
        self._weeks[at] += 1
        share = np.maximum(1 / self._weeks[at], _OF_SLOT)
        self._usual[at] += share * (new - moved - self._usual[at])

    def _standardised(self, residual: float, *, learn: bool) -> float:
        spread = max(self._spread * _TO_DEVIATION, self._signal.least)
        off = residual - self._level
        if learn:
            self.days += 1
            cut = math.copysign(min(abs(off), _CUT * spread), off) if self.days > 1 else off
            self._level += max(1 / self.days, _OF_LEVEL) * cut
            self._spread += max(1 / self.days, _OF_SPREAD) * (abs(cut) - self._spread) if self.days > 1 else 0.0
        return off / spread


def _weighted_median(values: _Values, weights: _Values) -> float:
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(sums, sums[-1] / 2))])

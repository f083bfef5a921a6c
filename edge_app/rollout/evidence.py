"""Weigh a stream of differences: evidence that their mean is above zero, at whatever time one looks. Pure: no clock.

For values that lie symmetrically about a mean of at most zero, exp(a * sum - a**2 * squares / 2) is a supermartingale
for every a > 0, whatever their spread (de la Peña, "A general class of exponential inequalities for martingales and
ratios", Annals of Probability 27, 1999; Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform Chernoff bounds via
nonnegative supermartingales", Probability Surveys 17, 2020). Here a is drawn from half a normal distribution, which
keeps that. By Ville's inequality it ever reaches 1 / share with a probability of at most share: one may look after
each value, and stop when one likes. One value, however large, multiplies it by 1.65 at most: a single strange hour
decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_SPREAD: Final = 0.2
"""Standard deviation of a, in 1/vehicles: the usual excess of a difference over its variance is 0.02 to 0.6."""
_NONE: Final = -1e6


@dataclass(slots=True)
class Evidence:
    """Evidence that the mean of values is above zero.

    sum, squares: of the values so far, vehicles and vehicles**2.
    """

    sum: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take the next value, vehicles."""
        self.sum += value
        self.squares += value * value

    @property
    def strength(self) -> float:
        """Natural logarithm of the evidence; 0 before the first value."""
        spread = self.squares + 1 / _SPREAD**2
        z = self.sum / math.sqrt(spread)
        tail = math.erfc(-z / math.sqrt(2))  # twice the normal distribution up to z
        if tail <= 0.0:
            return _NONE
        return math.log(tail) + z * z / 2 - math.log1p(_SPREAD**2 * self.squares) / 2

    def shows(self, share: float) -> bool:
        """Return whether it is enough for a share of false alarms of at most `share`, over all times of looking."""
        return self.strength >= -math.log(share)

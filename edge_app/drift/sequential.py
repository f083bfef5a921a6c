"""Tell from a sequence of standardised values that their mean has moved. Pure: no clock, no I/O.

Two-sided cumulative sum (Page, "Continuous inspection schemes", Biometrika 41, 1954; as a test on a stream also known
as Page-Hinkley). Every value is cut to a few standard deviations first, so that no single day, however strange, is
enough: a football match is no drift.
"""

from __future__ import annotations

from typing import Final

_MOST: Final = 3.0
"""Largest value, standard deviations, that counts in full."""


class CumulativeSum:
    """Sum of what lies beyond a tolerance, upwards and downwards.

    slack: tolerance, standard deviations: half of the smallest shift that shall be found quickly. limit: of a sum, in
    standard deviations, from which the mean has moved.
    """

    def __init__(self, slack: float, limit: float) -> None:
        self._slack, self._limit = slack, limit
        self.up = self.down = 0.0

    def add(self, value: float) -> int:
        """Take the next value, standard deviations; return 1 or -1 when the mean has moved up or down, else 0."""
        cut = max(-_MOST, min(_MOST, value))
        self.up = max(0.0, self.up + cut - self._slack)
        self.down = max(0.0, self.down - cut - self._slack)
        if max(self.up, self.down) < self._limit:
            return 0
        return 1 if self.up >= self.down else -1

    def restart(self) -> None:
        """Forget all values."""
        self.up = self.down = 0.0

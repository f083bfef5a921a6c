"""Measure a rate, such as frames per second, from a running count."""

from __future__ import annotations


class RateMeter:
    """Rate of a count that only grows, measured at most every `over_s` seconds.

    over_s: shortest time over which the rate is measured, s; 0 measures from each update to the next.
    started: time in s at which the count was 0; None begins with the first update.
    """

    def __init__(self, over_s: float = 2.0, started: float | None = None) -> None:
        self._over_s, self._since, self._before = over_s, started, 0
        self.value = 0.0

    def update(self, count: int, now: float) -> float:
        """Take the count at time `now` and return the rate per second, 0 until it is known.

        now: s of a clock that never steps.
        """
        if self._since is None:
            self._since, self._before = now, count
        elapsed = now - self._since
        if elapsed > 0 and elapsed >= self._over_s:
            self.value = (count - self._before) / elapsed
            self._since, self._before = now, count
        return self.value

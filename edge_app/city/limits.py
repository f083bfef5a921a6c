"""Bound how often somebody may ask. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST_KEYS: Final = 10_000


class Buckets:
    """A bucket for each key, from which each request takes one (token bucket).

    rate: how many come back a second. most: how many a full one has, the requests that may come at once.
    """

    def __init__(self, rate: float, most: int) -> None:
        self._rate, self._most = rate, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take one at a time, s; return how long to wait for it, s, 0 when there is one."""
        left, at = self._left.get(key, (float(self._most), now))
        left = min(self._most, left + max(0.0, now - at) * self._rate)
        wait = 0.0 if left >= 1.0 else (1.0 - left) / self._rate
        self._left[key] = left if wait else left - 1.0, now
        self._left.move_to_end(key)
        if len(self._left) > _MOST_KEYS:
            self._left.popitem(last=False)
        return wait

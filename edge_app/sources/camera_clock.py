"""Tell whether the times that a camera gives its pictures may be used as its own clock.

Some streams have none, and some readers make them up from a rate that is not the camera's: over ten seconds and more,
true ones pass as fast as the time of arrival, in which pictures only come earlier or later.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_SHORTEST_S: Final = 10.0
"""Time, s, after which the two are compared."""
_LONGEST_S: Final = 60.0
_STEP_S: Final = 2.0
"""Time, s, between two pictures that are remembered."""
_DIFFERENCE: Final = 0.02
"""Largest difference of the rates: as large as that of a measured length."""


class CameraClock:
    """Clock of one camera, from one opening to the next."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, float]] = deque()
        self._newest = 0.0
        self._offset = 0.0
        self._known_good = False

    def update(self, stamp: float | None, now: float) -> float | None:
        """Return the time of a picture by the camera's clock, s, near that of its arrival; None where it has none.

        stamp: as the reader gives it, s; None without any. now: time of arrival, s of a clock that never steps.
        """
        if stamp is None or not (self._known and stamp > self._newest):
            self._known.clear()
        if stamp is None:
            return None
        if not self._known:
            self._offset = now - stamp
        if not self._known or now - self._known[-1][0] >= _STEP_S:
            self._known.append((now, stamp))
        while now - self._known[0][0] > _LONGEST_S:
            self._known.popleft()
        self._newest = stamp
        limit = _DIFFERENCE * (2 if self._known_good else 1)  # one at the limit must not come and go
        arrived, since = now - self._known[0][0], stamp - self._known[0][1]
        self._known_good = arrived >= _SHORTEST_S and abs(since / arrived - 1) <= limit
        return stamp + self._offset if self._known_good else None

"""Tell whether the times that a camera gives its pictures may be used as its own clock.

Some streams have none, and some readers make them up from a rate that is not the camera's. Pictures arrive late at
times, also all at once when a stream begins, and never early: the shortest delay of every two seconds tells whether
true time and that of the pictures pass alike.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_SHORTEST_S: Final = 10.0
"""Time, s, after which the two are compared."""
_LONGEST_S: Final = 60.0
_STEP_S: Final = 2.0
"""Time, s, of which the shortest delay is kept."""
_DIFFERENCE: Final = 0.02
"""Largest difference of the rates: as large as that of a measured length."""


@dataclass(slots=True)
class _Shortest:
    """Shortest delay of two seconds: time of arrival, s, minus that of the picture. at: when it arrived, s."""

    since: float
    at: float
    delay: float


class CameraClock:
    """Clock of one camera, from one opening to the next."""

    def __init__(self) -> None:
        self._known: deque[_Shortest] = deque()
        self._newest = self._offset = 0.0
        self._good = False

    def update(self, stamp: float | None, now: float) -> float | None:
        """Return the time of a picture by the camera's clock, s, near that of its arrival; None where it has none.

        stamp: as the reader gives it, s; None without any. now: time of arrival, s of a clock that never steps.
        """
        if stamp is None or (self._known and stamp <= self._newest):
            self._known.clear()
            self._good = False
        if stamp is None:
            return None
        self._newest = stamp
        self._note(now, now - stamp)
        good = self._passes_alike()
        if good and not self._good:
            self._offset = self._known[0].delay
        self._good = good
        return stamp + self._offset if good else None

    def _note(self, now: float, delay: float) -> None:
        if not self._known or now - self._known[-1].since >= _STEP_S:
            self._known.append(_Shortest(now, now, delay))
        elif delay < self._known[-1].delay:
            self._known[-1].at, self._known[-1].delay = now, delay
        while now - self._known[0].since > _LONGEST_S:
            self._known.popleft()

    def _passes_alike(self) -> bool:
        if len(self._known) < 3:
            return False
        first, last = self._known[0], self._known[-2]  # the newest is not over yet
        limit = _DIFFERENCE * (2 if self._good else 1)  # one at the limit must not come and go
        elapsed = last.at - first.at
        return elapsed >= _SHORTEST_S - _STEP_S and abs(last.delay - first.delay) <= limit * elapsed

"""Keep an answer for a while, however many ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """What a function reads, read anew at most once in a time; any thread may ask.

    read: from the present time, UTC s. clock: that time. keep_s: s; a clock that goes back has it read anew.
    """

    def __init__(self, read: Callable[[float], T], clock: Callable[[], float], keep_s: float) -> None:
        self._read, self._clock, self._keep_s = read, clock, keep_s
        self._lock = threading.Lock()
        self._last: tuple[float, T] | None = None

    def now(self) -> T:
        """Return it. Raises what the function raises, and keeps nothing then."""
        now = self._clock()
        with self._lock:
            if self._last is None or not 0 <= now - self._last[0] < self._keep_s:
                self._last = now, self._read(now)
            return self._last[1]

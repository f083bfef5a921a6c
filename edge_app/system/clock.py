"""Ask the kernel, which every time service informs, if the system's clock is set; write times as text."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

_UNSYNCED: Final = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES: Final = 512
"""Larger than any struct timex; a buffer of zeros reads the state and changes nothing."""
_ASK_EVERY_S: Final = 10.0
_STEP_S: Final = 1.0


def kernel_unsynced() -> bool:
    """Return True when the kernel says that no time service has set the clock.

    False when one has, and on systems without adjtimex(2). chrony informs the kernel when its configuration has
    `rtcsync`, as on Debian.
    """
    try:
        return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _UNSYNCED)
    except (AttributeError, OSError):
        return False


class ClockMonitor:
    """State of the system's clock, read again at most every ten seconds.

    ask: returns True while the clock is not set. clock: s, never steps.
    """

    def __init__(self, ask: Callable[[], bool] = kernel_unsynced, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._asked_at: float | None = None
        self._unsynced = False

    @property
    def unsynced(self) -> bool:
        """True while no time service has set the clock."""
        now = self._clock()
        if self._asked_at is None or now - self._asked_at >= _ASK_EVERY_S:
            self._asked_at, self._unsynced = now, self._ask()
        return self._unsynced


class StepMonitor:
    """Find steps of the system's clock by comparing it with one that never steps. Pure."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def update(self, wall: float, monotonic: float) -> float:
        """Return the seconds by which the clock was set forward since the call before; negative for back.

        0 for less than a second: a time service that corrects the rate of the clock is no step.
        """
        offset = wall - monotonic
        before, self._offset = self._offset, offset
        return 0.0 if before is None or abs(offset - before) < _STEP_S else offset - before

    def error_of(self, wall: float, monotonic: float) -> float:
        """Return the seconds to add to a time that was taken before the newest step; 0 for one taken after it."""
        error = 0.0 if self._offset is None else self._offset - (wall - monotonic)
        return 0.0 if abs(error) < _STEP_S else error


def rfc3339(at: float) -> str:
    """Return UTC seconds since 1970 as RFC 3339 text with Z; fractions only when there are any."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")

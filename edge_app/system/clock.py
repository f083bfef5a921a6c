"""Keep the told time, by which vehicles are counted, whatever sets the system's clock; write times as text."""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

_UNSYNCED: Final = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES: Final = 512
"""Larger than any struct timex; a buffer of zeros reads the state and changes nothing."""
_ASK_EVERY_S: Final = 10.0
_STEP_S: Final = 1.0
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_YEAR_10000: Final = 253_402_300_800
SETTLE_S: Final = 90.0
"""Seconds after which a step is followed: longer than the 64 s from one question to a time server to the next."""


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


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Step that is not followed yet: what the clock would differ by from one that never steps, and since when, s."""

    offset: float
    since: float


class SteadyClock:
    """Told time: that of the system's clock, which is followed over a step once that has lasted.

    A wrong answer of a time server stands until the next one; what is counted meanwhile must not lie in another hour.
    Steps are found by a clock that never steps. Pure; any thread may call `at`, one thread the rest.

    unsynced: returns True while no time service has set the clock; the step by which one sets it is followed at once.
    settle_s: seconds for which any other step must have lasted.
    """

    def __init__(self, unsynced: Callable[[], bool] = lambda: False, settle_s: float = SETTLE_S) -> None:
        self._unsynced, self._settle_s = unsynced, settle_s
        self._was_unsynced = False
        self._offset: float | None = None
        self._doubt: _Doubt | None = None

    @property
    def doubted(self) -> float:
        """Seconds by which the system's clock is ahead of the told time, negative for behind; 0 without a step."""
        return 0.0 if self._doubt is None or self._offset is None else self._doubt.offset - self._offset

    def update(self, wall: float, monotonic: float) -> float:
        """Return the seconds by which the told time steps with this call, negative for back; 0 without a step.

        wall: UTC s of the system's clock. monotonic: s of the clock that never steps. Less than a second between two
        calls is no step: a time service corrects the rate of the clock.
        """
        offset, unsynced = wall - monotonic, self._unsynced()
        before = offset if self._offset is None else self._offset
        if abs(offset - before) < _STEP_S:
            self._offset, self._doubt, self._was_unsynced = offset, None, unsynced
            return 0.0
        same = self._doubt is not None and abs(offset - self._doubt.offset) < _STEP_S
        since = self._doubt.since if self._doubt and same else monotonic
        self._doubt = _Doubt(offset, since)
        if monotonic - since < self._settle_s and not (self._was_unsynced and not unsynced):
            return 0.0
        self._offset, self._doubt, self._was_unsynced = offset, None, unsynced
        return offset - before

    def error_of(self, wall: float, monotonic: float) -> float:
        """Return the seconds to add to a time that the system's clock gave at `monotonic`; 0 where it gave the same."""
        error = 0.0 if self._offset is None else self._offset - (wall - monotonic)
        return 0.0 if abs(error) < _STEP_S else error

    def at(self, wall: float, monotonic: float) -> float:
        """Return the told time, UTC s, at a moment of the two clocks."""
        return wall + self.error_of(wall, monotonic)


def rfc3339(at: float) -> str:
    """Return UTC seconds since 1970 as RFC 3339 text with Z; fractions only when there are any."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")


def read_utc(text: str) -> float:
    """Return the time that a text in RFC 3339 form gives, UTC s. Raises ValueError: for any other text.

    One outside the years 1970 to 9999 of UTC, to which an offset may lead, is no time: it could not be written again.
    """
    return utc_of(read_rfc3339(text).timestamp())


def utc_of(value: object) -> float:
    """Return a time that a file gives, UTC s. Raises ValueError: for what is no number of the years 1970 to 9999."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _YEAR_10000:
        raise ValueError("must lie in the years 1970 to 9999")
    return float(value)


def read_rfc3339(text: str) -> datetime:
    """Return the time that a text in RFC 3339 form gives, with its offset. Raises ValueError: for any other text."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("must be a time in RFC 3339 form")
    # Python 3.10 reads neither Z nor fractions of other than 3 or 6 digits.
    day, time_of_day, fraction, zone = found.groups()
    exact = f"{fraction or '.'}000000"[:7]
    return datetime.fromisoformat(f"{day}T{time_of_day}{exact}{'+00:00' if zone in 'Zz' else zone}")

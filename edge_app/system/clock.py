"""Whether the system's clock is set: asked of the kernel, which every time service tells."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

_UNSYNCED: Final = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES: Final = 512
"""More than any struct timex; zeros ask and change nothing."""
_ASK_EVERY_S: Final = 10.0


def kernel_unsynced() -> bool:
    """True when the kernel says that no time service has set the clock; False when it has, and where none can tell.

    chrony says so with `rtcsync` in its configuration, as on Debian.
    """
    try:
        return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _UNSYNCED)
    except (AttributeError, OSError):
        return False


class ClockMonitor:
    """`kernel_unsynced`, asked every ten seconds."""

    def __init__(self, ask: Callable[[], bool] = kernel_unsynced, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._asked_at: float | None = None
        self._unsynced = False

    @property
    def unsynced(self) -> bool:
        now = self._clock()
        if self._asked_at is None or now - self._asked_at >= _ASK_EVERY_S:
            self._asked_at, self._unsynced = now, self._ask()
        return self._unsynced


def rfc3339(at: float) -> str:
    """UTC seconds since 1970 as RFC 3339 with Z, fractions only where there are any."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat().replace("+00:00", "Z")

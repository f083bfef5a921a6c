"""Which frame at what time: the media clock of a recording and the limit on the frame rate. Pure."""

from __future__ import annotations

import math

_LONGEST_STEP_S = 60.0
"""A recorder that writes only when something moves leaves gaps; one of more than a minute is a broken time stamp."""
_BACK_S = 1.0
_SANE_RATES = (0.1, 1000.0)
_USUAL_RATE = 25.0


def sane_rate(promised: float) -> float:
    """Frames/s that a container promises, or 25 where it promises nonsense (0, NaN, or its time base of 90000)."""
    low, high = _SANE_RATES
    return promised if math.isfinite(promised) and low <= promised <= high else _USUAL_RATE


class MediaClock:
    """Media time of each frame of a recording, in s from its first frame, strictly increasing.

    The container's time stamps count wherever they are sane, so frames of variable length stay where they belong. A
    stamp that repeats, goes back or leaps by more than a minute is replaced by one frame length (1 / `rate`) after the
    frame before; after a leap the clock goes on from the new place.
    """

    def __init__(self, rate: float) -> None:
        self.step = 1.0 / rate
        self._offset: float | None = None
        self._now = -self.step

    def tick(self, stamp: float) -> float:
        """The time of the next frame, whose container time is `stamp` s."""
        if not math.isfinite(stamp):
            stamp = math.inf
        if self._offset is None:
            self._offset = stamp if math.isfinite(stamp) else 0.0
        step = stamp - self._offset - self._now
        self._now += step if 0.0 < step <= _LONGEST_STEP_S else self.step
        if math.isfinite(stamp) and not -_BACK_S <= step <= _LONGEST_STEP_S:
            self._offset = stamp - self._now
        return self._now

    def restart(self) -> None:
        """The recording begins again: its time stamps start anew, the clock goes on."""
        self._offset = None


class RateLimit:
    """Lets through at most `rate` frames/s of a faster source, evenly; None lets everything through.

    Follows a fixed schedule and takes the frame nearest to each of its times, so that a jitter in arrival does not
    halve the rate.
    """

    def __init__(self, rate: float | None) -> None:
        self._period = 1.0 / rate if rate else 0.0
        self._due = -math.inf
        self._seen = math.inf

    def due(self, now: float) -> bool:
        """Whether the frame of time `now`, s, is wanted."""
        step, self._seen = max(0.0, now - self._seen), now
        if now + step / 2 < self._due:
            return False
        on_schedule = self._due + self._period
        self._due = on_schedule if on_schedule > now else now + self._period
        return True

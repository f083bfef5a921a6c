"""Time the frames of a recording by its media clock, and limit the frame rate. Pure."""

from __future__ import annotations

import math

_LONGEST_STEP_S = 60.0
"""A recorder that writes only when something moves leaves gaps; a longer one is taken for a broken time stamp."""
_BACK_S = 1.0
_LEAST_STAMP_S = -1e9
"""Below this a time stamp stands for none (FFmpeg's AV_NOPTS_VALUE, which OpenCV converts to seconds)."""
_PLAUSIBLE_RATES = (0.1, 1000.0)
_USUAL_RATE = 25.0
_CAMERA_RATES = (1.0, 120.0)
"""Frames/s of cameras that watch a road; a file that promises another rate has probably a wrong header."""


def plausible_rate(promised: float) -> float:
    """Return the frames/s that a container promises, or 25 for nonsense (0, NaN, or its time base of 90000)."""
    low, high = _PLAUSIBLE_RATES
    return promised if math.isfinite(promised) and low <= promised <= high else _USUAL_RATE


def usual_rate(rate: float) -> bool:
    """Return whether cameras that watch a road deliver this many frames/s."""
    low, high = _CAMERA_RATES
    return low <= rate <= high


class MediaClock:
    """Clock that gives each frame of a recording its time, s from the first frame, strictly increasing.

    It follows the container's time stamps wherever they are plausible, so that frames of variable length keep their
    times. A stamp that repeats, goes back or jumps by more than a minute is replaced by one frame length (1 / `rate`)
    after the frame before; after a jump the clock continues from the new stamp.
    rate: frames/s. stamped: False when the stamps are to be ignored, so that frames come evenly at `rate`.
    """

    def __init__(self, rate: float, *, stamped: bool = True) -> None:
        self.step = 1.0 / rate
        self._stamped = stamped
        self._offset: float | None = None
        self._stamp = math.nan
        self._now = -self.step
        self.timed = False
        """Whether any stamp was later than the one before."""
        self._leap: list[tuple[float, float]] = []
        self.leaps: list[tuple[float, float]] = []
        """Time and length of each jump of the stamps, s; the length of a jump back is negative."""

    def tick(self, stamp: float) -> float:
        """Return the time of the next frame, whose container time is `stamp` s."""
        if not self._stamped or not _LEAST_STAMP_S < stamp < math.inf:
            stamp = math.inf
        if self._offset is None:
            self._offset = stamp if math.isfinite(stamp) else 0.0
        step = stamp - self._offset - self._now
        self._now += step if 0.0 < step <= _LONGEST_STEP_S else self.step
        if math.isfinite(stamp):
            if not -_BACK_S <= step <= _LONGEST_STEP_S:
                self._offset = stamp - self._now
            self._watch(stamp)
        return self._now

    def _watch(self, stamp: float) -> None:
        moved, self._stamp = stamp - self._stamp, stamp
        self.timed |= moved > 0
        if -_BACK_S <= moved <= _LONGEST_STEP_S:
            self.leaps += self._leap
        # A single odd stamp, as decoders give the last frame, is no leap: the next one tells.
        odd = not math.isnan(moved) and not -_BACK_S <= moved <= _LONGEST_STEP_S
        self._leap = [(self._now, moved)] if odd else []

    def restart(self) -> None:
        """Continue the clock when the recording begins again and its time stamps start over."""
        self._offset, self._stamp, self._leap = None, math.nan, []


class RateLimit:
    """Limit that accepts at most `rate` frames/s of a faster source, evenly; None accepts every frame.

    It follows a fixed schedule and accepts the frame nearest to each of its times, so that jitter in arrival does not
    halve the rate.
    """

    def __init__(self, rate: float | None) -> None:
        self._period = 1.0 / rate if rate else 0.0
        self._due = -math.inf
        self._last = math.inf

    def due(self, now: float) -> bool:
        """Return True when the frame of time `now`, s, is accepted."""
        step, self._last = max(0.0, now - self._last), now
        if now + step / 2 < self._due:
            return False
        on_schedule = self._due + self._period
        self._due = on_schedule if on_schedule > now else now + self._period
        return True

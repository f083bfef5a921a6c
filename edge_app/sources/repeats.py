"""Detect pictures that repeat, so that a stream that hangs is noticed."""

from __future__ import annotations

import zlib
from collections import deque

from edge_app.records import Image

_ROW_STEP = 8
"""Distance of the compared rows, px: less than the height of the digits of a camera's clock, so that a running clock is
noticed. Takes 0.1 ms for a 720p picture."""
_RECENT = 16
_LONGEST_GAP_S = 1.0


class Repeats:
    """Detector of repeated pictures, by exact equality.

    A picture is new when it equals none of the last 16 different ones: an encoder that gets one frozen picture at
    constant quality repeats a cycle of a few. Equality is exact on purpose: when a camera hangs before an encoder with
    rate control, its pictures differ as much (block means by 0.2 to 3 levels, measured with x264) as those of an empty
    road after compression (0.5 to 2), and an empty road must never be taken for a fault.
    """

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._newest = 0
        self._last_at: float | None = None
        self.count = 0
        """Number of pictures that equal the one before."""
        self.still_s = 0.0
        """Seconds since the last new picture; of a gap between two pictures at most one second counts."""

    def update(self, image: Image, now: float) -> bool:
        """Take the picture of time `now`, s; return True when it is new."""
        gap = 0.0 if self._last_at is None else now - self._last_at
        self._last_at = now
        signature = zlib.crc32(image[::_ROW_STEP].tobytes())
        self.count += bool(self._recent) and signature == self._newest
        self._newest = signature
        if signature in self._recent:
            self.still_s += min(gap, _LONGEST_GAP_S)
            return False
        self._recent.append(signature)
        self.still_s = 0.0
        return True

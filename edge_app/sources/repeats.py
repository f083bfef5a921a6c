"""Whether the picture still changes."""

from __future__ import annotations

import zlib
from collections import deque

from edge_app.records import Image

_ROW_STEP = 8
"""Lower than the digits of a camera's clock, so that a clock that ticks is seen; 0.1 ms for a 720p picture."""
_RECENT = 16
_LONGEST_GAP_S = 1.0


class Repeats:
    """Tells a stream that hangs from one that lives, by exact equality of pictures.

    A picture is new when it equals none of the last 16 different ones: an encoder that is fed one frozen picture at
    constant quality goes round a few. Equality is exact on purpose. A camera that hangs before an encoder with rate
    control gives pictures that differ as much (block means by 0.2 to 3 levels, measured with x264) as those of an
    empty road after compression (0.5 to 2), and an empty road must never be taken for a fault.
    """

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._newest = 0
        self._seen_at: float | None = None
        self.count = 0
        self.still_s = 0.0

    def see(self, image: Image, now: float) -> bool:
        """Whether `image`, seen at `now` s, is new.

        Afterwards `count` is the number of pictures that equal the one before, and `still_s` the seconds of pictures
        since the last new one; of a gap between two pictures at most one second counts.
        """
        gap = 0.0 if self._seen_at is None else now - self._seen_at
        self._seen_at = now
        signature = zlib.crc32(image[::_ROW_STEP].tobytes())
        self.count += bool(self._recent) and signature == self._newest
        self._newest = signature
        if signature in self._recent:
            self.still_s += min(gap, _LONGEST_GAP_S)
            return False
        self._recent.append(signature)
        self.still_s = 0.0
        return True

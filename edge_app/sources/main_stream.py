"""The large stream of a camera that has two: for people, kept only while somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from edge_app.records import Frame, Image
from edge_app.sources.masks import Mask, burnt

_KEPT: Final = 12
"""Pictures until the frame of the same exposure has been counted: 0.4 s at 30 frames/s, 33 MB at 1280x720."""
_WANTED_S: Final = 2.0


class MainStream:
    """Called by the source's thread with each picture (`sources.picamera.Watcher`), asked by others.

    masks: burnt into what is kept. clock: that of `Frame.monotonic`.
    """

    def __init__(self, masks: Sequence[Mask] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._masks, self._clock = tuple(masks), clock
        self._wanted_until = -_WANTED_S
        self._kept: tuple[tuple[float, Image], ...] = ()
        self.size: tuple[int, int] | None = None
        """Width and height, px; None before the first picture."""

    def __call__(self, make: Callable[[], Image]) -> None:
        now = self._clock()
        if self.size is not None and now > self._wanted_until:
            self._kept = ()
            return
        picture = burnt(make(), self._masks) if self._masks else np.ascontiguousarray(make())
        self.size = picture.shape[1], picture.shape[0]
        self._kept = (*self._kept, (now, picture))[-_KEPT:]  # replaced as a whole: another thread reads it

    def want(self) -> None:
        """Pictures are kept for the next two seconds."""
        self._wanted_until = self._clock() + _WANTED_S

    def of(self, frame: Frame) -> Image | None:
        """The picture of the frame's own exposure, uint8 (H, W, 3) BGR; None where it was not kept, or no longer is.

        A frame is stamped just after its exposure was seen here and before the next one is.
        """
        return next((picture for at, picture in reversed(self._kept) if at <= frame.monotonic), None)

"""The larger stream of a camera that has two: kept for the preview while somebody looks, forgotten otherwise."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from edge_app.drawing.scene import scaled
from edge_app.records import Detections, FrameResult, Image
from edge_app.sources.masks import Mask, mask_image

_KEPT: Final = 12
"""More than are under way between camera and preview, at some 3 MB each."""


class MainStream:
    """`watch` belongs to the camera's thread, `sharpened` to the one that counts, `want` to anybody.

    masks: burnt into these pictures too, before anybody has them. clock: s, the one of Frame.monotonic.
    """

    def __init__(self, masks: Sequence[Mask] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.size: tuple[int, int] | None = None
        """Width and height, px; None before the first picture, and always for a camera of one stream."""
        self._masks, self._clock = tuple(masks), clock
        self._until = -1.0
        self._lock = threading.Lock()
        self._kept: deque[tuple[float, Image | None]] = deque(maxlen=_KEPT)

    def want(self, seconds: float) -> None:
        """Pictures are kept for so long from now on; else none is even copied."""
        self._until = max(self._until, self._clock() + seconds)

    def watch(self, picture: Callable[[], Image]) -> None:
        """Call it when a picture has come and before it is stamped; picture: makes it, uint8 (H, W, 3) BGR."""
        at, image = self._clock(), None
        if at < self._until or self.size is None:
            image = mask_image(picture(), self._masks) if self._masks else picture()
            self.size = image.shape[1], image.shape[0]
        with self._lock:  # one that is not wanted too, or the one before it would pass for it
            self._kept.append((at, image if at < self._until else None))

    def sharpened(self, result: FrameResult) -> FrameResult:
        """Return the same result in the main stream's picture, boxes and tracks in its px; itself without a picture.

        Call it in the order of the frames.
        """
        image = self._of(result.frame.monotonic)
        if image is None:
            return result
        factor = image.shape[1] / result.frame.size[0]
        found = result.detections
        return FrameResult(
            replace(result.frame, image=image),
            Detections(found.boxes * np.float32(factor), found.scores, found.classes),
            scaled(result.tracks, factor),
            result.crossings,
        )

    def _of(self, moment: float) -> Image | None:
        """The one that came last before a frame was stamped: exactly that frame's, or it is gone already."""
        with self._lock:
            while len(self._kept) > 1 and self._kept[1][0] <= moment:
                self._kept.popleft()
            return self._kept[0][1] if self._kept and self._kept[0][0] <= moment else None

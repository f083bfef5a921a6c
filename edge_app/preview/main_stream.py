"""Keep pictures of the larger stream of a camera that has two, while somebody watches the preview."""

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

_PICTURES: Final = 12
"""Number of pictures kept, at some 3 MB each: more than are under way between camera and preview."""


class MainStream:
    """The newest pictures of the larger stream.

    `offer` is called by the camera's thread, `replace_picture` by the counting thread, `request` by any.

    masks: burnt into the pictures before anybody gets them. clock: the one of Frame.monotonic, s.
    """

    def __init__(self, masks: Sequence[Mask] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.size: tuple[int, int] | None = None
        """Width and height, px; None before the first picture, and always for a camera of one stream."""
        self._masks, self._clock = tuple(masks), clock
        self._requested_until = -1.0
        self._lock = threading.Lock()
        self._pictures: deque[tuple[float, Image | None]] = deque(maxlen=_PICTURES)

    def request(self, seconds: float) -> None:
        """Keep pictures for so many seconds from now on; without a request none is even copied."""
        self._requested_until = max(self._requested_until, self._clock() + seconds)

    def offer(self, copy_picture: Callable[[], Image]) -> None:
        """Keep a picture if pictures are requested. To be called before its frame gets its time.

        copy_picture: returns the picture, uint8 (H, W, 3) BGR.
        """
        now, image = self._clock(), None
        if now < self._requested_until or self.size is None:
            image = mask_image(copy_picture(), self._masks) if self._masks else copy_picture()
            self.size = image.shape[1], image.shape[0]
        with self._lock:  # a picture that is not kept is noted too, or its frame would get the picture before it
            self._pictures.append((now, image if now < self._requested_until else None))

    def replace_picture(self, result: FrameResult) -> FrameResult:
        """Return the result with the main stream's picture and boxes and tracks in its px; unchanged without one.

        To be called in the order of the frames.
        """
        image = self._picture_of(result.frame.monotonic)
        if image is None:
            return result
        factor = image.shape[1] / result.frame.size[0]
        detections = result.detections
        return FrameResult(
            replace(result.frame, image=image),
            Detections(detections.boxes * np.float32(factor), detections.scores, detections.classes),
            scaled(result.tracks, factor),
            result.crossings,
        )

    def _picture_of(self, monotonic: float) -> Image | None:
        """Return the last picture offered before the time of a frame: that frame's own, None when it is gone."""
        with self._lock:
            pictures = self._pictures
            while len(pictures) > 1 and pictures[1][0] <= monotonic:
                pictures.popleft()
            return pictures[0][1] if pictures and pictures[0][0] <= monotonic else None

"""Paint masks, the parts of the picture that nobody may see, black before a frame leaves its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import cv2
import numpy as np

from edge_app.records import FloatArray, Frame, Image
from edge_app.sources import Source, SourceStatus

Mask: TypeAlias = Sequence[tuple[float, float]]
"""Points in 0..1 of the frame: two opposite corners of a rectangle, or three or more corners of a polygon."""

_MARGIN_PX: Final = 1.0


def corners(mask: Mask, size: tuple[int, int]) -> FloatArray:
    """Return the corners of a mask, float32 (P, 2) px, in a frame of this width and height."""
    points = np.multiply(mask, size)
    if len(points) == 2:
        (x0, y0), (x1, y1) = points.min(axis=0) - _MARGIN_PX, points.max(axis=0) + _MARGIN_PX
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return points.astype(np.float32)


def mask_image(image: Image, masks: Sequence[Mask]) -> Image:
    """Return a copy of the picture with every masked pixel black, so that nothing can restore it."""
    canvas: Image = image.copy()
    size = image.shape[1], image.shape[0]
    for mask in masks:
        outline = np.round(corners(mask, size)).astype(np.int32)
        cv2.fillPoly(canvas, [outline], (0, 0, 0))
        cv2.polylines(canvas, [outline], True, (0, 0, 0), thickness=3)  # a corner between two pixels covers both
    return canvas


class MaskedSource:
    """Source whose frames are masked: detector, harvest and preview never get the pixels beneath."""

    def __init__(self, source: Source, masks: Sequence[Mask]) -> None:
        self._source, self._masks = source, tuple(masks)

    @property
    def live(self) -> bool:
        return self._source.live

    @property
    def status(self) -> SourceStatus:
        return self._source.status

    def read(self, timeout: float) -> Frame | None:
        frame = self._source.read(timeout)
        return frame and replace(frame, image=mask_image(frame.image, self._masks))

    def close(self) -> None:
        self._source.close()


def mask_source(source: Source, masks: Sequence[Mask]) -> Source:
    """Return the source with its frames masked; without masks the source itself, so that it costs nothing."""
    return MaskedSource(source, masks) if masks else source

"""What a kept frame looks like: masked for good, cut to what the detector sees, no larger than wanted, JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image, Region, region_px
from edge_app.sources.masks import Mask, corners, mask_image

_THUMBNAIL: Final = (32, 18)


@dataclass(frozen=True, slots=True)
class Redaction:
    """How frames are made private and small. masks: burnt in before anything else. region: x0, y0, x1, y1 in 0..1, what
    the detector looks at, None for all. longest_side: px, of the picture that is kept."""

    masks: tuple[Mask, ...]
    region: Region | None
    longest_side: int

    def apply(self, image: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
        """A new picture and the boxes, float32 (N, 4) px, in it; those outside end with no area."""
        x0, y0, x1, y1 = region_px(self.region, (image.shape[1], image.shape[0]))
        part = mask_image(image, self.masks)[y0:y1, x0:x1]
        scale = min(1.0, self.longest_side / max(part.shape[:2]))
        sides = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        small = np.asarray(cv2.resize(part, sides, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else part
        moved = (boxes - np.array([x0, y0, x0, y0], np.float32)) * np.float32(scale)
        return small, np.clip(moved, 0, np.array(sides * 2, np.float32)).astype(np.float32)

    def hidden(self, boxes: FloatArray, size: tuple[int, int]) -> list[bool]:
        """For each box of a frame of this size whether its centre lies under a mask: nobody could label it."""
        outlines = [corners(mask, size) for mask in self.masks]
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
        return [any(cv2.pointPolygonTest(one, (x, y), False) >= 0 for one in outlines) for x, y in centres]


def thumbnail(image: Image) -> FloatArray:
    """Grey levels, float32 (18, 32), of a frame of any size. Every fourth pixel of it is enough."""
    step = max(1, math.isqrt(image.shape[0] * image.shape[1]) // 256)
    small = cv2.resize(image[::step, ::step], _THUMBNAIL, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)

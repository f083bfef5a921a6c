"""Redact frames before they are kept: masks burnt in, cut to the detector's region, no larger than wanted."""

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
    """Settings by which frames are made private and small.

    masks: burnt in before anything else. region: the part of the frame that is kept, which is what the detector sees;
    None for the whole frame. longest_side: of the kept picture, px.
    """

    masks: tuple[Mask, ...]
    region: Region | None
    longest_side: int

    def apply(self, image: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
        """Return a new picture, uint8 (h, w, 3) BGR, and the boxes in its px.

        image: uint8 (H, W, 3) BGR. boxes: float32 (N, 4) px of `image`; one outside of the region ends without area.
        """
        x0, y0, x1, y1 = region_px(self.region, (image.shape[1], image.shape[0]))
        part = mask_image(image, self.masks)[y0:y1, x0:x1]
        scale = min(1.0, self.longest_side / max(part.shape[:2]))
        sides = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        small = np.asarray(cv2.resize(part, sides, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else part
        shifted = (boxes - np.array([x0, y0, x0, y0], np.float32)) * np.float32(scale)
        return small, np.clip(shifted, 0, np.array(sides * 2, np.float32)).astype(np.float32)

    def hidden(self, boxes: FloatArray, size: tuple[int, int]) -> list[bool]:
        """Return for each box whether its centre lies under a mask, where nobody could label it.

        boxes: float32 (N, 4) px. size: width and height of the frame, px.
        """
        outlines = [corners(mask, size) for mask in self.masks]
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
        return [any(cv2.pointPolygonTest(one, (x, y), False) >= 0 for one in outlines) for x, y in centres]


def thumbnail(image: Image) -> FloatArray:
    """Return a frame of any size as grey levels 0..255, float32 (18, 32).

    A grid of its pixels is enough, every third in a frame of 1280 x 720.
    """
    step = max(1, math.isqrt(image.shape[0] * image.shape[1]) // 256)
    small = cv2.resize(image[::step, ::step], _THUMBNAIL, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)

"""Fit a picture into a detector's input without changing its aspect ratio, and map boxes back to the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import FloatArray, Image


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Input of an engine, and the place of the original image in it.

    pixels: uint8 (1, h, w, 3), RGB. width, height: of the original, px. scale: px of the input per px of the original.
    left, top: margins in the input, px.
    """

    pixels: Image
    width: int
    height: int
    scale: float
    left: int
    top: int

    def to_original(self, boxes: FloatArray) -> FloatArray:
        """Return boxes, float32 (N, 4) px of the input, in px of the original, clipped to it."""
        shifted = boxes - np.array([self.left, self.top, self.left, self.top], np.float32)
        scaled: FloatArray = shifted / np.float32(self.scale)
        return scaled.clip(0, np.array([self.width, self.height, self.width, self.height], np.float32))


def letterbox(image: Image, width: int, height: int, pad: int, detail: float = 1.0) -> Picture:
    """Return an image, uint8 (H, W, 3) BGR of any size, in an input of `width` x `height` px, centred on grey `pad`.

    detail: see manifest.Input. Each call allocates a new picture, so that the next can be prepared during inference.
    """
    image_height, image_width = image.shape[:2]
    scale = min(width / image_width, height / image_height)
    new_width, new_height = max(1, round(image_width * scale)), max(1, round(image_height * scale))
    left, top = (width - new_width) // 2, (height - new_height) // 2
    pixels = np.empty((1, height, width, 3), np.uint8)
    if (new_width, new_height) != (width, height):
        pixels.fill(pad)
    small = _resized(_softened(image, scale * detail) if detail < 1 else image, new_width, new_height)
    cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=pixels[0, top : top + new_height, left : left + new_width])
    return Picture(pixels, image_width, image_height, scale, left, top)


def _softened(image: Image, scale: float) -> Image:
    """Return the image with no more pixels than `scale` leaves it."""
    height, width = image.shape[:2]
    return _resized(image, max(1, round(width * scale)), max(1, round(height * scale))) if scale < 1 else image


def _resized(image: Image, width: int, height: int) -> Image:
    halved = _halved(image, width / image.shape[1])
    return np.asarray(cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _halved(image: Image, scale: float) -> Image:
    """Return the image shrunk by the powers of two in `scale`.

    Linear interpolation alone skips pixels below one half and loses small far vehicles; averaging directly to the
    final size takes seven times as long as averaging 2 x 2 first.
    """
    while scale <= 0.5:
        height, width = image.shape[:2]
        half = max(1, width // 2), max(1, height // 2)
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        scale *= 2
    return image

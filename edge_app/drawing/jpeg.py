"""Encode a picture as JPEG, and read one."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from edge_app.errors import StoreError
from edge_app.records import Image

_QUALITY: Final = 90
"""JPEG quality: with a lower one its blocks begin to look like far vehicles."""
_EVER_WORSE: Final = (_QUALITY, 75, 60, 45, 30)
_SMALLEST: Final = 32
"""Side, px, below which nothing is made smaller."""


def jpeg_within(image: Image, most: int) -> bytes:
    """Return an image, uint8 (H, W, 3) BGR, as JPEG of at most so many bytes: coarser, and then smaller, until it fits.

    Raises StoreError: when the picture cannot be encoded.
    """
    while True:
        for quality in _EVER_WORSE:
            if len(encoded := jpeg(image, quality)) <= most or min(image.shape[:2]) < _SMALLEST:
                return encoded
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg(image: Image, quality: int = _QUALITY) -> bytes:
    """Return an image, uint8 (H, W, 3) BGR, as JPEG without any metadata.

    Raises StoreError: when the picture cannot be encoded.
    """
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise StoreError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return encoded.tobytes()


def picture_of(content: bytes) -> Image | None:
    """Return a JPEG as an image, uint8 (H, W, 3) BGR; None where it is none."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    return None if image is None else np.asarray(image, np.uint8)

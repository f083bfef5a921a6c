"""Encode a picture as JPEG."""

from __future__ import annotations

from typing import Final

import cv2

from edge_app.errors import StoreError
from edge_app.records import Image

_QUALITY: Final = 90
"""JPEG quality: with a lower one its blocks begin to look like far vehicles."""


def jpeg(image: Image) -> bytes:
    """Return an image, uint8 (H, W, 3) BGR, as JPEG without any metadata.

    Raises StoreError: when the picture cannot be encoded.
    """
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not ok:
        raise StoreError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return encoded.tobytes()

"""Rotate pictures of a camera that is mounted on its side or upside down."""

from __future__ import annotations

from typing import Final

import cv2

from edge_app.records import Image

_CODES: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def rotated(image: Image, degrees: int) -> Image:
    """Return the picture rotated clockwise by 90, 180 or 270 degrees; the same one for 0."""
    code = _CODES.get(degrees)
    return image if code is None else cv2.rotate(image, code)  # type: ignore[return-value]  # stubs lack uint8

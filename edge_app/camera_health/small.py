"""From a frame to the small grey picture on which the view is judged."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import Image

WIDTH: Final = 256


def small_grey(image: Image) -> NDArray[np.float32]:
    """Grey, WIDTH px wide, float32 (H, W) 0..255; image: uint8 (H, W, 3) BGR."""
    height = max(16, round(image.shape[0] * WIDTH / image.shape[1]))
    small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)

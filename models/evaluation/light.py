"""Guess day, dusk or night from a picture alone. Pure."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import cv2
import numpy as np

from edge_app.records import Image

Light: TypeAlias = Literal["day", "dusk", "night"]
LIGHTS: Final[tuple[Light, ...]] = ("day", "dusk", "night")
NIGHT, DUSK = 50, 80
"""Median grey level of 0..255 below which it is night or dusk. Wet or dark asphalt by day has 85 and more; a junction
under floodlights and a camera that lifts the shadows read as day, which the picture alone cannot tell.
"""
_WIDTH, _HEIGHT = 64, 36


def light(image: Image) -> Light:
    """Return the light of a picture, uint8 (H, W, 3) BGR, by its median brightness."""
    small = cv2.resize(image, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    level = float(np.median(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)))
    return "night" if level < NIGHT else "dusk" if level < DUSK else "day"

"""Guess day, dusk or night from a picture alone. Pure."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import cv2
import numpy as np

from edge_app.records import Image

Light: TypeAlias = Literal["day", "dusk", "night"]
LIGHTS: Final[tuple[Light, ...]] = ("day", "dusk", "night")
NIGHT, DUSK = 50, 80
"""Median grey level of 0..255 below which it is night or dusk whatever else is seen."""
DIM: Final = 115
"""Median grey level below which lamps decide. Asphalt by day, wet or dark, has 85 to 115; so has a wet road at dusk."""
LIT, FLOODLIT = 0.0035, 0.02
"""Share of the picture that is warm lamps (head, tail and street lamps), from which it is dusk or night, if there is
more of them than of white highlights, which are the sun's. Of 398 training pictures between the two levels this called
72 dusk or night; looked at by eye, all but three were.
"""
_WIDTH, _HEIGHT = 64, 36
_WIDE, _HIGH = 320, 180
_SPOT: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))


def light(image: Image) -> Light:
    """Return the light of a picture, uint8 (H, W, 3) BGR, by its median brightness and the lamps in it."""
    small = cv2.resize(image, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    level = float(np.median(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)))
    if level < DUSK:
        return "night" if level < NIGHT else "dusk"
    lamps, highlights = _spots(image) if level < DIM else (0.0, 0.0)
    if lamps < LIT or lamps <= highlights:
        return "day"
    return "night" if lamps >= FLOODLIT else "dusk"


def _spots(image: Image) -> tuple[float, float]:
    """Return the shares of small warm lights and of small white ones, each brighter than what is around it."""
    small = cv2.resize(image, (_WIDE, _HIGH), interpolation=cv2.INTER_AREA).astype(np.int16)
    above = cv2.morphologyEx(small.astype(np.uint8), cv2.MORPH_TOPHAT, _SPOT)
    blue, green, red = small[..., 0], small[..., 1], small[..., 2]
    warm = (red - blue > 50) & (red > 190) & (above[..., 2] > 60)
    white = (green > 210) & (above[..., 1] > 90)
    return float(warm.mean()), float(white.mean())

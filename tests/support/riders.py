"""Draw a rider on a two-wheeler, as the tests of pasting need one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import Image
from models.data.samples import BICYCLE
from models.training.framing import Scene

ROAD = 128
"""Grey level of the road."""
SHIRT, SKIN, DARK = (60, 200, 60), (90, 120, 200), (30, 25, 25)


def road(level: int = ROAD) -> Image:
    """Return an empty road of 300x300 px with the grain of asphalt. level: mean grey."""
    grain = np.random.default_rng(0).normal(level, 3, (300, 300, 1))
    return np.asarray(np.repeat(grain, 3, axis=2).clip(0, 255), np.uint8)


def rider(kind: int = BICYCLE) -> tuple[Scene, NDArray[np.bool_]]:
    """Return a scene with one rider in a box of 100x140 px, and where the rider is, bool (300, 300)."""
    drawn = np.zeros((300, 300, 3), np.uint8)
    for x in (125, 175):
        cv2.circle(drawn, (x, 215), 25, DARK, -1)
    cv2.line(drawn, (125, 215), (150, 170), DARK, 8)
    cv2.line(drawn, (175, 215), (150, 170), DARK, 8)
    cv2.ellipse(drawn, (150, 155), (20, 45), 0, 0, 360, SHIRT, -1)
    cv2.circle(drawn, (150, 112), 12, SKIN, -1)
    there = np.asarray(drawn.any(axis=2), np.bool_)
    image = road()
    image[there] = drawn[there]
    box = np.array([[1 / 3, 1 / 3, 2 / 3, 0.8]], np.float32)
    return Scene(image, 1.0, box, np.array([kind], np.int8), np.zeros(1, bool), np.ones(1, bool)), there

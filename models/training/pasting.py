"""Cut two-wheelers out of one picture and paste them into another.

Ghiasi et al., "Simple Copy-Paste" (2021), here of single motorcycles and bicycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from models.common.geometry import shared_area
from models.training.framing import Scene

_PASTED_FROM: Final = 22
"""Px of the picture: smaller motorcycles are not worth copying."""


def cut_out(scene: Scene, kind: int) -> list[tuple[Image, float]]:
    """Return the objects of a kind that are whole and large enough, each with its true width / height."""
    height, width = scene.image.shape[:2]
    pixels = (scene.boxes * np.array([width, height] * 2, np.float32)).astype(int)
    sides = pixels[:, 2:] - pixels[:, :2]
    fit = (scene.kinds == kind) & ~scene.ignored & scene.placed & (sides.min(axis=1, initial=width) >= _PASTED_FROM)
    return [
        (scene.image[y0:y1, x0:x1], float((x1 - x0) / (y1 - y0) * scene.aspect * height / width))
        for x0, y0, x1, y1 in pixels[fit]
    ]


def overlaps(box: FloatArray, others: Sequence[FloatArray]) -> bool:
    """Return True when a box overlaps any of the others."""
    return bool((shared_area(box[None], np.array(others, np.float32)) > 0).any())


def put(image: Image, patch: Image, box: FloatArray) -> bool:
    """Blend a patch into a box of the image with soft edges. Return False when it would be only a few px.

    box: x0 y0 x1 y1 in 0..1.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (box * np.array([width, height] * 2)).round().astype(int)
    if min(x1 - x0, y1 - y0) < 5:
        return False
    enlarged = x1 - x0 > patch.shape[1]
    new = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA)
    y, x = np.mgrid[-1 : 1 : (y1 - y0) * 1j, -1 : 1 : (x1 - x0) * 1j]
    soft = np.clip((1.15 - (x**4 + y**4) ** 0.25) * 5, 0, 1)[..., None]
    window = image[y0:y1, x0:x1]
    window[:] = (new * soft + window * (1 - soft)).astype(np.uint8)
    return True

"""Draw a validation picture twice, with its labels and with what the network found. OpenCV and Pillow."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from models.common import lettering
from models.evaluation.observations import Observation
from models.training.losses import TRAINED

LOWEST: Final = 0.3
"""Score from which a detection is drawn."""
_COLOURS: Final = ((90, 200, 60), (220, 60, 220), (230, 200, 40), (40, 140, 250))
"""BGR, in the order of TRAINED."""
_EXCUSED: Final = (150, 150, 150)
"""BGR of labels that do not count: ignored, or of a class that is not judged."""
_DARK, _LIGHT = (40, 40, 40), (235, 235, 235)
_LETTERS: Final = 12
_STRIP: Final = 18
"""Height of a line of text, px."""
_GAP: Final = 4


def side_by_side(image: Image, observation: Observation) -> Image:
    """Return the labels on the left, the detections from LOWEST on at the right, and below which colour is what.

    image: uint8 (H, W, 3) BGR, as the network saw it; the boxes of the observation are in its px.
    The result is uint8 (H + 36, 2 W + 4, 3) RGB.
    """
    seen = observation.above(LOWEST)
    left, right = image.copy(), image.copy()
    for box, kind, excused in zip(seen.truth, seen.classes, seen.ignored, strict=True):
        _box(left, box, _EXCUSED if excused or kind >= len(TRAINED) else _COLOURS[kind])
    for box, score, kind in zip(seen.boxes, seen.scores, seen.found, strict=True):
        _box(right, box, _COLOURS[kind])
        place = (round(float(box[0])), max(_LETTERS, round(float(box[1])) - 2))
        lettering.write(right, f"{score:.2f}", place, _LETTERS - 2, _COLOURS[kind])
    height, width = image.shape[:2]
    canvas = np.full((height + 2 * _STRIP, 2 * width + _GAP, 3), _DARK, np.uint8)
    canvas[_STRIP : _STRIP + height, :width] = left
    canvas[_STRIP : _STRIP + height, width + _GAP :] = right
    _text(canvas, f"labels: {len(seen.truth)}", (4, _STRIP - 5), width)
    _text(canvas, f"detections from {LOWEST}: {len(seen.boxes)}", (width + _GAP + 4, _STRIP - 5), width)
    _legend(canvas)
    return np.ascontiguousarray(canvas[..., ::-1])


def _box(image: Image, box: FloatArray, colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, 1)


def _text(canvas: Image, text: str, place: tuple[int, int], room: int) -> None:
    lettering.write(canvas, lettering.fitted(text, room - 8, _LETTERS), place, _LETTERS, _LIGHT)


def _legend(canvas: Image) -> None:
    """Write the names of the colours into the lowest strip."""
    x, base = 4, canvas.shape[0] - 5
    for name, colour in zip((*TRAINED, "not judged"), (*_COLOURS, _EXCUSED), strict=True):
        cv2.rectangle(canvas, (x, base - 9), (x + 9, base), colour, -1)
        lettering.write(canvas, name, (x + 14, base), _LETTERS, _LIGHT)
        x += 14 + lettering.extent(name, _LETTERS)[0] + 14

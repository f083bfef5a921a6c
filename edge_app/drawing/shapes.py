"""Draw shapes on a picture: translucent plates, smooth strokes, arrows, text.

Each function changes its image, uint8 (H, W, 3) BGR, in place. Coordinates are px; parts outside the picture are left
out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_app.records import Image

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]
"""Box x0, y0, x1, y1 in whole px."""

DARK: Final[Colour] = (28, 22, 18)
LIGHT: Final[Colour] = (246, 246, 242)
_LETTERS: Final = str.maketrans(
    {"ß": "ss", "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "ł": "l", "Ł": "L", "\u2013": "-"}
)
"""Letters that are no letter of ASCII with an accent."""
_SHIFT: Final = 4
"""Fractional bits of coordinates: without them slow objects would jump from pixel to pixel."""


def paint(image: Image, mask: NDArray[np.uint8], x: int, y: int, colour: Colour) -> None:
    """Put a colour on the image through a mask, uint8 (h, w) with 255 for opaque, whose top left corner is at x, y."""
    height, width = mask.shape
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, image.shape[1]), min(y + height, image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0:y1, x0:x1]
    alpha = mask[y0 - y : y1 - y, x0 - x : x1 - x, None].astype(np.float32) / 255
    part[:] = (part + (np.array(colour, np.float32) - part) * alpha + 0.5).astype(np.uint8)


def plate(image: Image, box: Box, colour: Colour, *, alpha: float, radius: int) -> None:
    """Draw a translucent rectangle with round corners. alpha: opacity, 0..1. radius: px."""
    x0, y0, x1, y1 = box
    paint(image, _rounded(x1 - x0, y1 - y0, radius, round(alpha * 255)), x0, y0, colour)


def blur(image: Image, box: Box, *, radius: int, grain: int) -> None:
    """Draw a dark plate on a blurred part of the image, so that text on it stays legible on any road.

    radius: of the corners, px. grain: size of the blur, px.
    """
    x0, y0, x1, y1 = box
    part = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if part.size:
        size = part.shape[1], part.shape[0]
        coarse = max(1, size[0] // grain), max(1, size[1] // grain)
        # Resizing down and up is as smooth here as a Gaussian blur, in a thirtieth of its time.
        part[:] = cv2.resize(
            cv2.resize(part, coarse, interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_CUBIC
        )
    plate(image, box, DARK, alpha=0.62, radius=radius)


@lru_cache(maxsize=256)
def _rounded(width: int, height: int, radius: int, value: int) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    r = max(0, min(radius, (min(width, height) - 1) // 2))
    cv2.rectangle(mask, (r, 0), (width - 1 - r, height - 1), value, cv2.FILLED)
    cv2.rectangle(mask, (0, r), (width - 1, height - 1 - r), value, cv2.FILLED)
    for centre in ((r, r), (width - 1 - r, r), (r, height - 1 - r), (width - 1 - r, height - 1 - r)):
        cv2.circle(mask, centre, r, (value,), cv2.FILLED, cv2.LINE_AA)
    mask.flags.writeable = False  # the cache shares it between callers
    return mask


def strokes(image: NDArray[np.uint8], paths: Iterable[ArrayLike], colour: Colour | int, thickness: int) -> None:
    """Draw smooth open lines. paths: points (N, 2) px each. thickness: px."""
    cv2.polylines(image, [_fixed(path) for path in paths], False, _scalar(colour), thickness, cv2.LINE_AA, _SHIFT)


def dot(image: Image, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a filled circle."""
    centre = _fixed([x, y])
    cv2.circle(
        image, (int(centre[0]), int(centre[1])), round(radius * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT
    )


def arrow(image: Image, tail: ArrayLike, tip: ArrayLike, colour: Colour, thickness: float, *, rim: int = 0) -> None:
    """Draw an arrow with a head in proportion to its thickness. rim: width of a dark outline, px."""
    a, b = np.asarray(tail, float), np.asarray(tip, float)
    along = (b - a) / max(1e-6, float(np.hypot(*(b - a)))) * thickness
    across = np.array([-along[1], along[0]])
    neck = b - along * 2.4
    side = [a + across / 2, neck + across / 2, neck + across * 1.7]
    other = [neck - across * 1.7, neck - across / 2, a - across / 2]
    outline = np.array([*side, b, *other])
    if rim:
        strokes(image, [[*outline, outline[0]]], DARK, 2 * rim)
    cv2.fillPoly(image, [_fixed(outline)], colour, cv2.LINE_AA, _SHIFT)


def plain_letters(text: str) -> str:
    """Return a text in the letters that OpenCV's fonts have, those of ASCII: without accents, "Süden" as "Suden"."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(c if c.isascii() else "?" for c in decomposed if not unicodedata.combining(c))


def text_width(text: str, height: int, *, bold: bool = False) -> int:
    """Return the width, px, of a text whose capitals are `height` px high."""
    return int(cv2.getTextSize(plain_letters(text), _face(bold), _scale(height, bold), 1)[0][0])


def write(image: Image, text: str, x: int, base: int, height: int, colour: Colour, *, bold: bool = False) -> None:
    """Write a text from x on, on the base line at y = base, with capitals `height` px high."""
    thickness = max(1, height // 10)  # else large letters would be hairlines
    scale = _scale(height - 2 * (thickness - 1), bold)
    base -= thickness - 1
    cv2.putText(image, plain_letters(text), (x, base), _face(bold), scale, colour, thickness, cv2.LINE_AA)


def _face(bold: bool) -> int:
    return cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX


@lru_cache(maxsize=64)
def _scale(height: int, bold: bool) -> float:
    """Return OpenCV's font scale for capitals of this height, px.

    It is measured on a drawn letter: OpenCV 4 and 5 have different fonts behind the same name.
    """
    letter = np.zeros((160, 160), np.uint8)
    cv2.putText(letter, "H", (20, 140), _face(bold), 3.0, (255,), 1, cv2.LINE_AA)
    return 3.0 * height / int(np.count_nonzero((letter > 127).any(axis=1)))


def _fixed(points: ArrayLike) -> NDArray[np.int32]:
    """Return coordinates as fixed-point numbers with _SHIFT fractional bits."""
    return np.round(np.asarray(points, float) * 2**_SHIFT).astype(np.int32)


def _scalar(colour: Colour | int) -> Colour | tuple[int]:
    return (colour,) if isinstance(colour, int) else colour

"""Write text into pictures with all its letters: OpenCV's own fonts have nothing beyond ASCII."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from edge_app.records import Image


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib brings; the letters of Europe and of Vietnam are in it."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def extent(text: str, size: int) -> tuple[int, int]:
    """Return width and height of a line of text, px. size: of the letters, px."""
    left, top, right, bottom = _font(size).getbbox(text, anchor="ls")
    return round(right - left), round(bottom - top)


def fitted(text: str, width: int, size: int) -> str:
    """Return the text, or as much of it as fits into a width in px, with an ellipsis."""
    if extent(text, size)[0] <= width:
        return text
    while text and extent(f"{text}…", size)[0] > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def write(image: Image, text: str, place: tuple[int, int], size: int, colour: tuple[int, int, int]) -> None:
    """Write a line of text into a picture.

    image: uint8 (H, W, 3) BGR, changed in place. place: left end of the base line, px. size: of the letters, px.
    colour: BGR.
    """
    x, y = place
    rows = slice(max(0, y - 2 * size), min(image.shape[0], y + size))
    if rows.start >= rows.stop:
        return
    strip = Pillow.fromarray(np.ascontiguousarray(image[rows]))
    ImageDraw.Draw(strip).text((x, y - rows.start), text, fill=colour, font=_font(size), anchor="ls")
    image[rows] = np.asarray(strip)

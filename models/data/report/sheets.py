"""Draw contact sheets: many small pictures at once, each cut around its subject, with a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from models.common import lettering
from models.data.errors import DataError

TILE: Final = (256, 160)
"""Width and height of a tile's picture, px."""
CAPTION: Final = 18
LETTERS: Final = 11
"""Height of the caption and of its letters, px."""
COLUMNS: Final = 5
CONTEXT: Final = 2.5
"""Sides of the box that a tile shows at least."""
LEAST: Final = 0.2
"""Share of the picture's width that a tile shows at least."""
MARK: Final = (60, 60, 255)
OTHERS: Final = (90, 220, 90)
QUALITY: Final = 85


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a sheet. image: uint8 (h, w, 3) BGR, already cut. caption: the text below it, of which is
    shown what fits."""

    image: Image
    caption: str


def cut(image: Image, box: Sequence[float], labels: FloatArray, caption: str) -> Tile:
    """Return the surroundings of a box as a tile, the box in red and the labels in green.

    box: x0 y0 x1 y1 in 0..1. labels: float32 (N, 4) in 0..1.
    """
    height, width = image.shape[:2]
    side = np.array([width, height] * 2, np.float32)
    x0, y0, x1, y1 = np.asarray(box, np.float32) * side
    shown = max((x1 - x0) * CONTEXT, (y1 - y0) * CONTEXT * TILE[0] / TILE[1], width * LEAST)
    factor = TILE[0] / shown
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2], np.float32)
    shift = np.array(TILE, np.float32) / 2 - centre * np.float32(factor)
    matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]], np.float32)
    flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    tile = np.asarray(cv2.warpAffine(image, matrix, TILE, flags=flags, borderValue=(40, 40, 40)), np.uint8)
    for corners in labels * side:
        _rectangle(tile, corners * factor + np.tile(shift, 2), OTHERS, 1)
    _rectangle(tile, np.array([x0, y0, x1, y1]) * factor + np.tile(shift, 2), MARK, 2)
    return Tile(tile, caption)


def whole(image: Image, caption: str) -> Tile:
    """Return a tile with all of a picture, its shape kept."""
    height, width = image.shape[:2]
    factor = min(TILE[0] / width, TILE[1] / height)
    inner = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE[1], TILE[0], 3), 40, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return Tile(tile, caption)


def _rectangle(image: Image, corners: FloatArray, colour: tuple[int, int, int], thickness: int) -> None:
    x0, y0, x1, y1 = (round(float(v)) for v in corners)
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, thickness)


def sheet(tiles: Sequence[Tile], columns: int = COLUMNS) -> bytes:
    """Return a JPEG of all tiles, row by row. Raises DataError: when it cannot be encoded."""
    rows = -(-len(tiles) // columns)
    step = (TILE[0] + 4, TILE[1] + CAPTION + 4)
    canvas = np.full((rows * step[1], min(columns, len(tiles)) * step[0], 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        x, y = i % columns * step[0], i // columns * step[1]
        canvas[y : y + TILE[1], x : x + TILE[0]] = tile.image
        place = (x + 2, y + TILE[1] + CAPTION - 5)
        lettering.write(canvas, lettering.fitted(tile.caption, TILE[0] - 4, LETTERS), place, LETTERS, (0, 0, 0))
    done, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise DataError("A contact sheet cannot be encoded as JPEG.")
    return data.tobytes()

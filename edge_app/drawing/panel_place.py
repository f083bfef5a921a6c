"""Choose the corner of the picture in which the panel hides least of the traffic. Pure."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.drawing.shapes import Box
from edge_app.records import FloatArray, Image

Corner: TypeAlias = tuple[bool, bool]
"""Whether right instead of left, and whether low instead of high."""
CORNERS: Final[tuple[Corner, ...]] = ((False, False), (True, False), (False, True), (True, True))
_ROWS, _COLUMNS = 72, 128
_MOVED: Final = 60
"""Difference of the sum of three colours, 0..765, that is more than the noise of a camera at night."""


class TrafficMap:
    """Where vehicles are seen in a recording: frames in which each part of the picture is covered by one.

    A car that stands all day covers its place in every frame, and is as little to be hidden as one that drives. What
    moves is noted too: lights far off at night, which no detector takes for vehicles, are to be seen as well.
    """

    def __init__(self) -> None:
        self._covered = np.zeros((_ROWS, _COLUMNS), np.int64)
        self._moved = np.zeros((_ROWS, _COLUMNS), np.int64)
        self._last: NDArray[np.int32] | None = None

    def add(self, boxes: FloatArray, size: tuple[int, int]) -> None:
        """Note the vehicles of one frame. boxes: float32 (N, 4) px. size: width and height of the frame, px."""
        scale = np.array([_COLUMNS / size[0], _ROWS / size[1]] * 2)
        for x0, y0, x1, y1 in boxes * scale:
            rows = slice(max(0, int(y0)), max(0, int(np.ceil(y1))))
            self._covered[rows, max(0, int(x0)) : max(0, int(np.ceil(x1)))] += 1

    def look(self, image: Image) -> None:
        """Note what has moved since the last picture. image: uint8 (height, width, 3)."""
        rows = np.arange(_ROWS) * image.shape[0] // _ROWS
        columns = np.arange(_COLUMNS) * image.shape[1] // _COLUMNS
        seen = image[np.ix_(rows, columns)].sum(axis=2, dtype=np.int32)
        if self._last is not None:
            self._moved += np.abs(seen - self._last) > _MOVED
        self._last = seen

    def hidden(self, box: Box, size: tuple[int, int]) -> tuple[float, float]:
        """Return how much a box would hide: vehicles, and where that is equal, what moves.

        Each is a number of frames, summed over the area in parts of the picture.
        """
        x0, y0, x1, y1 = np.array(box) * ([_COLUMNS / size[0], _ROWS / size[1]] * 2)
        part = slice(int(y0), int(np.ceil(y1))), slice(int(x0), int(np.ceil(x1)))
        covered, moved = (float(seen[part].sum()) / (_ROWS * _COLUMNS) for seen in (self._covered, self._moved))
        return covered, moved


def corner_box(corner: Corner, size: tuple[int, int], panel: tuple[int, int], gap: int) -> Box:
    """Return the box of a panel in a corner. size, panel: width and height of picture and panel, px. gap: px."""
    x = size[0] - gap - panel[0] if corner[0] else gap
    y = size[1] - gap - panel[1] if corner[1] else gap
    return x, y, x + panel[0], y + panel[1]

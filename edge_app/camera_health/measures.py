"""Measure one small grey picture: brightness, contrast, sharpness, edges and their shift, in cells of 16 px."""

from __future__ import annotations

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import Image

Grey: TypeAlias = NDArray[np.float32]
"""Shape (H, W), 0..255."""
Field: TypeAlias = NDArray[np.complex64]
"""Shape (H, W): direction of the brightness gradient, length 0..1; the same by day and at dusk."""
Cells: TypeAlias = NDArray[np.float32]
"""Shape (H // CELL, W // CELL)."""

WIDTH: Final = 256
"""Width of the small picture, px."""
CELL: Final = 16
"""Side of a cell, px."""
_EDGE: Final = 6.0
"""Gradient, grey levels per px, at which an edge counts half: above the noise of a sensor, below a kerb at dusk."""
STRUCTURED: Final = 3.0
"""Standard deviation, grey levels, from which a cell shows something."""
_PRESENT: Final = 0.05
"""Mean squared length of the field from which a cell has edges."""
_SAME_CORRELATION: Final = 0.45
"""Correlation of the fields of a cell from which both pictures show the same."""
_FARTHEST: Final = 0.4
"""Largest shift that is searched for, part of the picture."""


def small_grey(image: Image) -> Grey:
    """Return a frame, uint8 (H, W, 3) BGR, as a grey picture WIDTH px wide."""
    height = max(16, round(image.shape[0] * WIDTH / image.shape[1]))
    small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)


def cells(values: Grey) -> Cells:
    """Return the mean of each cell; a rest at the right and at the bottom is not used."""
    rows, columns = values.shape[0] // CELL, values.shape[1] // CELL
    tiles = values[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    means: Cells = tiles.mean(axis=(1, 3), dtype=np.float32)
    return means


def brightness(grey: Grey) -> float:
    """Return the level, 0..255, below which three quarters of the picture lie: a few lamps do not make it bright."""
    return float(np.percentile(grey, 75))


def contrast(grey: Grey) -> Cells:
    """Return the standard deviation in each cell, after smoothing away the noise of the sensor."""
    smooth = _blurred(grey, 1)
    variance: Cells = np.maximum(cells(smooth * smooth) - cells(smooth) ** 2, np.float32(0.0))
    return np.sqrt(variance)


def sharpness(grey: Grey) -> Cells:
    """Return fine detail over coarse detail in each cell: it falls with blur alone, not with light, fog or contrast."""
    fine, coarse = _blurred(grey, 1), _blurred(grey, 4)
    return (cells(np.abs(grey - fine)) / (cells(np.abs(fine - coarse)) + 0.5)).astype(np.float32)


def edges(grey: Grey) -> Field:
    """Return the direction of the gradient with a saturating length, so that a lamp weighs no more than a kerb."""
    smooth = _blurred(grey, 1)
    down, right = np.gradient(smooth)
    field = right + 1j * down
    saturated: Field = (field / (np.abs(field) + _EDGE)).astype(np.complex64)
    return saturated


def similarity(reference: Field, now: Field) -> tuple[float, int]:
    """Return the share, 0..1, of the cells with edges in the reference that still show them, and their number."""
    before, after = _squared_lengths(reference), _squared_lengths(now)
    both = cells((reference * now.conj()).real.astype(np.float32))
    edged = before > _PRESENT
    same = edged & (both > _SAME_CORRELATION * np.sqrt(before * after + 1e-9))
    count = int(edged.sum())
    return (float(same.sum()) / count if count else 0.0), count


def count_edged_cells(field: Field) -> int:
    return int((_squared_lengths(field) > _PRESENT).sum())


def shift(reference: Field, now: Field) -> tuple[int, int]:
    """Return how far the picture has moved, px right and down: the peak of the cross-correlation of the edge fields.

    Source: Kuglin and Hines, The phase correlation image alignment method, 1975; on edge directions as in Fitch et
    al., Orientation correlation, 2002.
    """
    height, width = reference.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    spectrum = np.fft.fft2(now * window) * np.fft.fft2(reference * window).conj()
    surface = np.fft.ifft2(spectrum / (np.sqrt(np.abs(spectrum)) + 1e-6)).real
    rows = np.abs(np.fft.fftfreq(height)) <= _FARTHEST
    columns = np.abs(np.fft.fftfreq(width)) <= _FARTHEST
    surface[~rows] = surface[:, ~columns] = -np.inf
    y, x = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return int(x) - (width if x > width // 2 else 0), int(y) - (height if y > height // 2 else 0)


def similarity_after_shift(reference: Field, now: Field, right: int, down: int) -> float:
    """Return `similarity` where both pictures overlap, after moving the new one back by the shift, px."""
    height, width = reference.shape
    y0, x0 = max(0, -down), max(0, -right)
    y1, x1 = height - max(0, down), width - max(0, right)
    return similarity(reference[y0:y1, x0:x1], now[y0 + down : y1 + down, x0 + right : x1 + right])[0]


def _squared_lengths(field: Field) -> Cells:
    return cells(np.abs(field).astype(np.float32) ** 2)


def _blurred(grey: Grey, radius: int) -> Grey:
    """Return the mean over a square of 2 * radius + 1 px around each pixel, the border repeated."""
    size = (2 * radius + 1, 2 * radius + 1)
    return np.asarray(cv2.blur(grey, size, borderType=cv2.BORDER_REPLICATE), np.float32)

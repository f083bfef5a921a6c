"""Draw the table of running totals, on a blurred background in the corner that is furthest from the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.drawing import shapes
from edge_app.drawing.shapes import LIGHT, Box, Colour
from edge_app.records import DIRECTIONS, LABELS, Counts, Image, Line

Vector: TypeAlias = NDArray[np.float64]

_DIM: Final[Colour] = (206, 200, 194)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Row of the table.

    cells: a number each, or a direction that is drawn as an arrow: unit vector, float64 (2,).
    """

    name: str
    cells: tuple[str | Vector, ...] = ()
    colour: Colour | None = None
    bold: bool = False


def rows_of(line: Line, counts: Counts, directions: Sequence[Vector], colours: Mapping[str, Colour]) -> list[Row]:
    """Return the rows of one line: heading, classes in the order of LABELS, sum.

    directions: unit vectors of DIRECTIONS in the picture. colours: of each class.
    """
    sums = tuple(str(sum(numbers.get(direction, 0) for numbers in counts.values())) for direction in DIRECTIONS)
    return [
        Row(line.id, tuple(directions), bold=True),
        *(
            Row(label, tuple(str(counts[label].get(direction, 0)) for direction in DIRECTIONS), colours[label])
            for label in LABELS
            if label in counts
        ),
        Row("all", sums, bold=True),
    ]


def draw(canvas: Image, rows: Sequence[Row], avoid: Vector, scale: float) -> None:
    """Draw the table on `canvas`.

    avoid: points, float64 (N, 2) px, from which the table stays away. scale: 1 for a picture of 1280x720.
    """
    capitals, step, pad = round(10 * scale), round(21 * scale), round(13 * scale)
    numbers = [
        shapes.text_width(cell, capitals, bold=True) for row in rows for cell in row.cells if isinstance(cell, str)
    ]
    column = max(round(40 * scale), max(numbers, default=0) + pad)
    tables = [shapes.text_width(row.name, capitals, bold=True) + round(20 * scale) for row in rows if row.cells]
    titles = [shapes.text_width(row.name, capitals, bold=True) for row in rows if not row.cells]
    width = max(max(tables) + 2 * column if tables else 0, max(titles, default=0)) + 2 * pad
    x0, y0, x1, y1 = _corner(canvas, avoid, width, len(rows) * step + pad, pad)
    shapes.blur(canvas, (x0, y0, x1, y1), radius=round(9 * scale), grain=round(12 * scale))
    for n, row in enumerate(rows):
        base = y0 + pad // 2 + n * step + (step + capitals) // 2
        _draw_row(canvas, row, x0 + pad, x1 - pad, base, column, capitals, scale)


def _draw_row(
    canvas: Image, row: Row, left: int, right: int, base: int, column: int, capitals: int, scale: float
) -> None:
    middle = base - capitals / 2
    indent = 0
    if row.colour:
        shapes.dot(canvas, left + 5 * scale, middle, 4.5 * scale, row.colour)
        indent = round(16 * scale)
    shapes.write(canvas, row.name, left + indent, base, capitals, LIGHT if row.bold else _DIM, bold=row.bold)
    for n, cell in enumerate(row.cells):
        edge = right - (len(row.cells) - 1 - n) * column
        if isinstance(cell, str):
            x = edge - shapes.text_width(cell, capitals, bold=True)
            shapes.write(canvas, cell, x, base, capitals, LIGHT, bold=True)
        else:
            half = cell * 8 * scale
            centre = np.array([edge - 8 * scale, middle])
            shapes.arrow(canvas, centre - half, centre + half, LIGHT, 3 * scale)


def _corner(canvas: Image, avoid: Vector, width: int, height: int, gap: int) -> Box:
    """Return the corner box whose nearest point to avoid is furthest away; the top left where there is none."""
    right, low = canvas.shape[1] - gap - width, canvas.shape[0] - gap - height
    corners = [(x, y, x + width, y + height) for y in (gap, low) for x in (gap, right)]
    if not len(avoid):
        return corners[0]
    return max(corners, key=lambda box: _distance(avoid, box))


def _distance(points: Vector, box: Box) -> float:
    """Return the distance from a box to the nearest of the points, px."""
    nearest = np.clip(points, box[:2], box[2:])
    return float(np.hypot(*(points - nearest).T).min())

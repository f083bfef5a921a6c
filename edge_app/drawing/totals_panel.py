"""Draw the table of running totals, on a blurred background in the corner that is furthest from the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.drawing import shapes
from edge_app.drawing.panel_place import CORNERS, Corner, corner_box
from edge_app.drawing.shapes import LIGHT, Box, Colour
from edge_app.records import DIRECTIONS, LABELS, Counts, Image, Line

Vector: TypeAlias = NDArray[np.float64]

_DIM: Final[Colour] = (206, 200, 194)
_INDENT: Final = 18
"""Room for a dot or an arrow in front of a name."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Row of the table.

    cells: a text each, or a direction that is drawn as an arrow: unit vector, float64 (2,). sign: such an arrow in
    front of the name.
    """

    name: str
    cells: tuple[str | Vector, ...] = ()
    colour: Colour | None = None
    bold: bool = False
    sign: Vector | None = None


def rows_of(
    line: Line, counts: Counts, directions: Sequence[Vector], colours: Mapping[str, Colour], *, both: bool = False
) -> list[Row]:
    """Return the rows of one line: heading, names of directions, classes in the order of LABELS, sum.

    directions: unit vectors of DIRECTIONS in the picture. colours: of each class. both: whether a column has the sums
    of both directions.
    """
    by_label = {
        label: [counts[label].get(direction, 0) for direction in DIRECTIONS] for label in LABELS if label in counts
    }
    sums = [sum(column) for column in zip(*by_label.values(), strict=True)] if by_label else [0, 0]

    def figures(by_direction: Sequence[int]) -> tuple[str, ...]:
        return tuple(map(str, (*by_direction, sum(by_direction)) if both else by_direction))

    return [
        Row(line.id, (*directions, "both") if both else tuple(directions), bold=True),
        *(
            Row(line.names[direction], sign=towards)
            for direction, towards in zip(DIRECTIONS, directions, strict=True)
            if direction in line.names
        ),
        *(Row(label, figures(by_direction), colours[label]) for label, by_direction in by_label.items()),
        Row("all", figures(sums), bold=True),
    ]


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a panel, px: of its letters, from row to row, to its edges, of its columns of figures, and of all."""

    capitals: int
    step: int
    pad: int
    column: int
    width: int
    height: int


def layout_of(rows: Sequence[Row], scale: float) -> Layout:
    """Return the sizes of the panel with these rows. scale: 1 for a picture of 1280x720."""
    capitals, step, pad = round(10 * scale), round(21 * scale), round(13 * scale)
    figures = [cell for row in rows for cell in row.cells if isinstance(cell, str)]
    widths = [shapes.text_width(figure, capitals, bold=True) for figure in figures]
    column = max(round(40 * scale), max(widths, default=0) + pad)
    indent = {row.name: round(_INDENT * scale) * (row.sign is not None) for row in rows}
    names = {row.name: shapes.text_width(row.name, capitals, bold=True) + indent[row.name] for row in rows}
    tables = [names[row.name] + round(20 * scale) for row in rows if row.cells]
    titles = [names[row.name] for row in rows if not row.cells]
    columns = max((len(row.cells) for row in rows), default=0)
    width = max(max(tables) + columns * column if tables else 0, max(titles, default=0)) + 2 * pad
    return Layout(capitals, step, pad, column, width, len(rows) * step + pad)


def draw(canvas: Image, rows: Sequence[Row], avoid: Vector, scale: float, corner: Corner | None = None) -> None:
    """Draw the table on `canvas`.

    avoid: points, float64 (N, 2) px, from which the table stays away. scale: 1 for a picture of 1280x720. corner: the
    one to use whatever there is to avoid.
    """
    sizes, size = layout_of(rows, scale), (canvas.shape[1], canvas.shape[0])
    boxes = [corner_box(one, size, (sizes.width, sizes.height), sizes.pad) for one in ([corner] if corner else CORNERS)]
    box = max(boxes, key=lambda box: distance(avoid, box)) if len(avoid) else boxes[0]
    draw_at(canvas, rows, box, sizes, scale)


def draw_at(canvas: Image, rows: Sequence[Row], box: Box, sizes: Layout, scale: float) -> None:
    """Draw the table with its top left corner at that of `box`."""
    x0, y0, x1, _ = box
    shapes.blur(canvas, box, radius=round(9 * scale), grain=round(12 * scale))
    for n, row in enumerate(rows):
        base = y0 + sizes.pad // 2 + n * sizes.step + (sizes.step + sizes.capitals) // 2
        _draw_row(canvas, row, x0 + sizes.pad, x1 - sizes.pad, base, sizes, scale)


def _draw_row(canvas: Image, row: Row, left: int, right: int, base: int, sizes: Layout, scale: float) -> None:
    middle = base - sizes.capitals / 2
    indent = 0
    if row.colour:
        shapes.dot(canvas, left + 5 * scale, middle, 4.5 * scale, row.colour)
    if row.sign is not None:
        _draw_arrow(canvas, np.array([left + 6 * scale, middle]), row.sign, 6 * scale)
    if row.colour or row.sign is not None:
        indent = round(_INDENT * scale)
    shapes.write(canvas, row.name, left + indent, base, sizes.capitals, LIGHT if row.bold else _DIM, bold=row.bold)
    for n, cell in enumerate(row.cells):
        edge = right - (len(row.cells) - 1 - n) * sizes.column
        if isinstance(cell, str):
            x = edge - shapes.text_width(cell, sizes.capitals, bold=True)
            shapes.write(canvas, cell, x, base, sizes.capitals, LIGHT, bold=True)
        else:
            _draw_arrow(canvas, np.array([edge - 8 * scale, middle]), cell, 8 * scale)


def _draw_arrow(canvas: Image, centre: Vector, towards: Vector, half: float) -> None:
    shapes.arrow(canvas, centre - towards * half, centre + towards * half, LIGHT, 3 / 8 * half)


def distance(points: Vector, box: Box) -> float:
    """Return the distance from a box to the nearest of the points, px."""
    nearest = np.clip(points, box[:2], box[2:])
    return float(np.hypot(*(points - nearest).T).min())

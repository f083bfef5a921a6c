"""Draw the overlay on a picture: tracks with their trails, the lines, and the running totals.

Pure: a picture and its results go in, a new picture comes out. All sizes scale with the picture, so that 640x360 and
1920x1080 look the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.drawing import shapes, totals_panel
from edge_app.drawing.panel_place import CORNERS, Corner, TrafficMap, corner_box
from edge_app.drawing.shapes import DARK, LIGHT, Colour
from edge_app.drawing.totals_panel import Layout, Row
from edge_app.records import DIRECTIONS, LABELS, Counts, Crossing, Direction, FloatArray, Image, Line, Tracks

COLOURS: Final[Mapping[str, Colour]] = {
    "car": (222, 184, 92),
    "motorcycle": (92, 168, 250),
    "bus": (222, 146, 186),
    "truck": (138, 200, 122),
    "bicycle": (110, 220, 236),
    "person": (200, 200, 200),
}
_GLOW: Final[Colour] = (120, 235, 140)
_LARGEST_CARD, _LEAST_CARD = 2.0, 0.3
"""Scales of the closing card: as that of the panel, and below which nothing can be read."""
_SIGNS: Final[Mapping[Direction, int]] = {"left_to_right": 1, "right_to_left": -1}
Totals: TypeAlias = Mapping[str, Counts]
"""Mapping line id -> class -> direction -> n."""


class Trails:
    """Recent places of each track, forgotten with the track.

    keep_s: how far they reach back, s. most: largest number of places of one track.
    """

    def __init__(self, keep_s: float = 1.2, most: int = 128) -> None:
        self._keep_s = keep_s
        self._most = most
        self._now = 0.0
        self._trails: dict[int, deque[tuple[float, float, float]]] = {}

    def __len__(self) -> int:
        return len(self._trails)

    def add(self, tracks: Tracks, time: float) -> None:
        """Add the tracks of a frame at `time`, s; a time that steps back means that a recording began again."""
        if time < self._now:
            self._trails.clear()
        self._now = time
        for track, (x, y) in zip(tracks.ids.tolist(), tracks.centroids.tolist(), strict=True):
            self._trails.setdefault(track, deque(maxlen=self._most)).append((time, x, y))
        for track, points in list(self._trails.items()):
            while points and points[0][0] < time - self._keep_s:
                points.popleft()
            if not points:
                del self._trails[track]

    def of(self, track: int) -> tuple[FloatArray, FloatArray]:
        """Return the trail of a track: points, float32 (P, 2) px, oldest first, and their freshness.

        The freshness, float32 (P,), falls from 1 for now to 0 for forgotten.
        """
        points = np.array(self._trails.get(track, ()), np.float64).reshape(-1, 3)
        return points[:, 1:].astype(np.float32), (1 - (self._now - points[:, 0]) / self._keep_s).astype(np.float32)


class LineGlow:
    """Brightness of each line after a crossing: 1 at once, 0 after `last_s` seconds."""

    def __init__(self, last_s: float = 0.6) -> None:
        self._last_s = last_s
        self._lit: dict[str, float] = {}

    def add(self, crossings: Iterable[Crossing], time: float) -> None:
        """Light the lines of these crossings at `time`, s of the clock of the frames."""
        self._lit.update((crossing.line, time) for crossing in crossings)

    def at(self, time: float) -> dict[str, float]:
        """Return the brightness 0..1 of each line at `time`, by id."""
        return {line: max(0.0, 1 - (time - lit) / self._last_s) for line, lit in self._lit.items()}


def draw(
    image: Image,
    tracks: Tracks,
    lines: Sequence[Line],
    totals: Totals,
    trails: Trails,
    *,
    clock: str = "",
    notes: Sequence[str] = (),
    glow: Mapping[str, float] | None = None,
    title: str = "",
    corner: Corner | None = None,
    speeds: Mapping[int, float] | None = None,
) -> Image:
    """Return a new picture of the same size with everything drawn on it.

    image: uint8 (H, W, 3), BGR. tracks, trails: in px of it. totals: line id -> class -> direction -> n.
    title, clock, notes: short texts above the table. glow: line id -> brightness of the line, 0..1. corner: of the
    table; without one, that furthest from the lines. speeds: km/h of tracks, by id, drawn at their boxes in place of
    the numbers, and larger; None draws the numbers.
    """
    canvas: Image = image.copy()
    scale = _scale_of(image)
    for row in range(len(tracks)):
        _draw_trail(canvas, trails.of(int(tracks.ids[row])), _colour(tracks, row), scale)
    for line in lines:
        _draw_line(canvas, line, (glow or {}).get(line.id, 0.0), scale)
    for row in np.argsort(tracks.boxes[:, 3]).tolist():  # nearer vehicles are drawn on top
        _draw_vehicle(canvas, tracks, row, scale, speeds)
    for line in lines:
        _draw_directions(canvas, line, totals.get(line.id, {}), scale)
    rows = panel_rows(lines, totals, _towards_of(canvas, lines), title=title, clock=clock, notes=notes)
    if rows:
        totals_panel.draw(canvas, rows, _points_along(canvas, lines), scale, corner)
    return canvas


def _scale_of(image: Image) -> float:
    """Return 1 for 1280x720; small pictures get relatively larger shapes, so that they stay legible."""
    return max(0.66, float(np.sqrt(image.shape[0] * image.shape[1])) / 960)


def _px(size: float, scale: float) -> int:
    return max(1, round(size * scale))


def _colour(tracks: Tracks, row: int) -> Colour:
    return COLOURS[LABELS[int(tracks.classes[row])]]


def _draw_trail(canvas: Image, trail: tuple[FloatArray, FloatArray], colour: Colour, scale: float) -> None:
    points, fresh = trail
    if len(points) < 2:
        return
    edge = _px(5, scale)
    x, y = (int(v) for v in np.floor(points.min(axis=0)) - edge)
    width, height = (int(v) for v in np.ceil(points.max(axis=0)) + edge - (x, y))
    mask = np.zeros((height, width), np.uint8)
    for a, b, freshness in zip(points[:-1] - (x, y), points[1:] - (x, y), fresh[1:].tolist(), strict=True):
        shapes.strokes(mask, [[a, b]], round(200 * max(0.0, freshness)), _px(1 + 3 * freshness, scale))
    shapes.paint(canvas, mask, x, y, colour)


def _draw_vehicle(canvas: Image, tracks: Tracks, row: int, scale: float, speeds: Mapping[int, float] | None) -> None:
    colour = _colour(tracks, row)
    x0, y0, x1, y1 = tracks.boxes[row].tolist()
    radius = min(8 * scale, (x1 - x0) / 4, (y1 - y0) / 4)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    corners = _corners(x0, y0, x1, y1, radius, leg=0.16)
    if not tracks.seen[row]:  # a predicted place is drawn thinly
        shapes.strokes(canvas, corners, colour, _px(1, scale))
        return
    thick = max(2, _px(2, scale))
    shapes.strokes(canvas, corners, DARK, thick + _px(1.4, scale))
    shapes.strokes(canvas, corners, colour, thick)
    label, number = LABELS[int(tracks.classes[row])], int(tracks.ids[row])
    if speeds is None:
        _draw_name(canvas, tracks.boxes[row], (f"{label} {number}", str(number)), colour, _px(9, scale), scale)
    elif number in speeds:
        names = f"{speeds[number]:.0f} km/h", f"{speeds[number]:.0f}"
        _draw_name(canvas, tracks.boxes[row], names, colour, _px(16, scale), scale)


def _corners(x0: float, y0: float, x1: float, y1: float, radius: float, leg: float) -> list[NDArray[np.float64]]:
    """Return four open paths round the corners of a box. leg: length of each straight end, part of the side."""
    turn = np.linspace(0, np.pi / 2, 6)
    arc = radius - radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    path = np.vstack([[0, radius + (y1 - y0) * leg], arc, [radius + (x1 - x0) * leg, 0]])
    return [np.array([x, y]) + path * (sx, sy) for x, sx in ((x0, 1), (x1, -1)) for y, sy in ((y0, 1), (y1, -1))]


def _draw_name(
    canvas: Image, box: FloatArray, names: tuple[str, str], colour: Colour, height: int, scale: float
) -> None:
    """Draw a name on a plate above a box, or inside it where there is no room above.

    names: long and short; a small vehicle has the short one. height: of the letters, px.
    """
    pad = _px(5, scale)
    x, y, x1, _ = box.tolist()
    text, short = names
    if shapes.text_width(text, height, bold=True) > 1.3 * (x1 - x):
        text = short
    width = shapes.text_width(text, height, bold=True) + 2 * pad
    left = round(min(max(x, 0), canvas.shape[1] - width))
    top = round(y) - height - 2 * pad - _px(4, scale)
    top = top if top >= 0 else round(y) + _px(4, scale)
    shapes.plate(canvas, (left, top, left + width, top + height + 2 * pad), colour, alpha=0.88, radius=pad)
    shapes.write(canvas, text, left + pad, top + pad + height, height, DARK, bold=True)


def _draw_line(canvas: Image, line: Line, glow: float, scale: float) -> None:
    ends = _ends(canvas, line)
    colour = _mix(LIGHT, _GLOW, glow)
    shapes.strokes(canvas, [ends], DARK, _px(5 + 3 * glow, scale))
    shapes.strokes(canvas, [ends], colour, _px(3 + 2 * glow, scale))
    for x, y in ends.tolist():
        shapes.dot(canvas, x, y, 6 * scale, DARK)
        shapes.dot(canvas, x, y, 4.5 * scale, colour)


def _ends(canvas: Image, line: Line) -> NDArray[np.float64]:
    return np.array([line.start, line.end]) * (canvas.shape[1], canvas.shape[0])


def _mix(a: Colour, b: Colour, part: float) -> Colour:
    c = np.round(np.array(a) + (np.array(b) - a) * min(1.0, max(0.0, part))).astype(int)
    return int(c[0]), int(c[1]), int(c[2])


def _towards(canvas: Image, line: Line, direction: Direction) -> NDArray[np.float64]:
    """Return the unit vector of a vehicle that crosses at a right angle; right of the line is clockwise (y is down)."""
    start, end = _ends(canvas, line)
    x, y = (end - start) / max(1e-6, float(np.hypot(*(end - start))))
    return np.array([-y, x]) * _SIGNS[direction]


def _draw_directions(canvas: Image, line: Line, counts: Counts, scale: float) -> None:
    """Draw for each direction an arrow across the line and, at its tip, the name and the count."""
    start, end = _ends(canvas, line)
    for direction, part in zip(DIRECTIONS, (0.42, 0.58), strict=True):
        root = start + (end - start) * part
        towards = _towards(canvas, line, direction)
        tip = root + towards * 38 * scale
        shapes.arrow(canvas, root, tip, LIGHT, 5 * scale, rim=_px(1, scale))
        n = sum(by_direction[direction] for by_direction in counts.values())
        _draw_sign(canvas, f"{line.names.get(direction, '')} {n}".strip(), tip + towards * 6 * scale, towards, scale)


def _draw_sign(canvas: Image, text: str, at: NDArray[np.float64], towards: NDArray[np.float64], scale: float) -> None:
    height, pad = _px(10, scale), _px(6, scale)
    size = np.array([shapes.text_width(text, height, bold=True) + 2 * pad, height + 2 * pad])
    left, top = at - size / 2 + towards * size / 2
    x = round(min(max(float(left), 0), canvas.shape[1] - size[0]))
    y = round(min(max(float(top), 0), canvas.shape[0] - size[1]))
    shapes.plate(canvas, (x, y, x + int(size[0]), y + int(size[1])), LIGHT, alpha=0.9, radius=int(size[1]) // 2)
    shapes.write(canvas, text, x + pad, y + pad + height, height, DARK, bold=True)


def panel_rows(
    lines: Sequence[Line],
    totals: Totals,
    towards: Sequence[Sequence[NDArray[np.float64]]],
    *,
    title: str = "",
    clock: str = "",
    notes: Sequence[str] = (),
    both: bool = False,
) -> list[Row]:
    """Return the rows of the panel.

    towards: of each line, unit vectors of DIRECTIONS in the picture. both: with a column for both directions.
    """
    head = [Row(text, bold=True) for text in (title, clock) if text]
    if title and clock:
        head[1] = Row(clock)
    rows = [*head, *(Row(note) for note in notes)]
    for line, directions in zip(lines, towards, strict=True):
        rows += totals_panel.rows_of(line, totals.get(line.id, {}), directions, COLOURS, both=both)
    return rows


def _towards_of(canvas: Image, lines: Sequence[Line]) -> list[list[NDArray[np.float64]]]:
    return [[_towards(canvas, line, direction) for direction in DIRECTIONS] for line in lines]


def _points_along(canvas: Image, lines: Sequence[Line]) -> NDArray[np.float64]:
    along = np.linspace(0, 1, 16)[:, None]
    ends = [_ends(canvas, line) for line in lines]
    return np.concatenate([a + (b - a) * along for a, b in ends]) if ends else np.empty((0, 2))


def emptiest_corner(
    size: tuple[int, int], lines: Sequence[Line], totals: Totals, traffic: TrafficMap, *, title: str, clock: str
) -> Corner:
    """Return the corner in which the panel hides least of the traffic; of equal ones that furthest from the lines.

    size: width and height of the pictures, px. totals: those of the end, which take most room. clock: a longest one.
    """
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    scale, towards = _scale_of(canvas), _towards_of(canvas, lines)
    sizes = totals_panel.layout_of(panel_rows(lines, totals, towards, title=title, clock=clock), scale)
    points = _points_along(canvas, lines)

    def worth(corner: Corner) -> tuple[float, float, float]:
        box = corner_box(corner, size, (sizes.width, sizes.height), sizes.pad)
        vehicles, moves = traffic.hidden(box, size)
        return -vehicles, -moves, totals_panel.distance(points, box) if len(points) else 0.0

    return max(CORNERS, key=worth)


def closing_card(image: Image, lines: Sequence[Line], totals: Totals, *, title: str, clock: str) -> Image:
    """Return a picture with the totals in its middle, as large as they fit, in front of `image` out of focus.

    image: uint8 (H, W, 3) BGR. title, clock: what was counted, and when.
    """
    canvas: Image = image.copy()
    size = canvas.shape[1], canvas.shape[0]
    shapes.blur(canvas, (0, 0, *size), radius=0, grain=max(2, size[1] // 24))
    rows = panel_rows(lines, totals, _towards_of(canvas, lines), title=title, clock=clock, both=True)
    scale = _scale_of(canvas) * _LARGEST_CARD
    while not _fits(sizes := totals_panel.layout_of(rows, scale), size) and scale > _LEAST_CARD:
        scale *= 0.9
    left, top = (size[0] - sizes.width) // 2, (size[1] - sizes.height) // 2
    totals_panel.draw_at(canvas, rows, (left, top, left + sizes.width, top + sizes.height), sizes, scale)
    return canvas


def _fits(sizes: Layout, size: tuple[int, int]) -> bool:
    return sizes.width <= 0.9 * size[0] and sizes.height <= 0.9 * size[1]

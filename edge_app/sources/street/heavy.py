"""Draw buses and trucks, in metres, facing right."""

from __future__ import annotations

from typing import Final

from edge_app.sources.street.canvas import (
    BLACK,
    GLASS,
    HEADLIGHT,
    SKY_GLASS,
    TAIL_GLOW,
    TAILLIGHT,
    WHITE,
    Canvas,
    Colour,
    Points,
    mix,
    shade,
    smooth,
)
from edge_app.sources.street.cars import glass, surfaces, wheel

LIVERIES: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((60, 64, 178), (226, 228, 228)),
    ((150, 96, 40), (226, 226, 224)),
    ((84, 132, 60), (222, 226, 226)),
    ((54, 172, 226), (222, 224, 224)),
)
"""Lower and upper paint of a bus; BGR."""
BUS_LENGTH: Final = 7.8  # m
CABS: Final[tuple[Colour, ...]] = ((222, 224, 224), (160, 84, 36), (60, 60, 62), (70, 130, 70), (92, 90, 88))
LOADS: Final[tuple[Colour, ...]] = ((180, 160, 120), (206, 204, 200), (226, 226, 224), (150, 186, 200))


def draw_bus(canvas: Canvas, livery: tuple[Colour, Colour]) -> None:
    """Draw a small city bus: two doors on the kerb side, one row of windows, destination sign."""
    low, high = livery
    rear: Points = ((0.06, 0.32), (0.0, 0.6), (0.0, 2.6), (0.14, 2.86), (0.4, 2.92))
    front: Points = ((7.2, 2.92), (7.6, 2.84), (7.76, 2.3), (7.8, 0.8), (7.76, 0.28))
    outline = smooth([*rear, *front], 1)
    surfaces(canvas, outline, high, 9.0)
    canvas.fill(outline, shade(high, 0.72), mix(high, WHITE, 0.3))
    canvas.fill(((0.02, 0.3), (0.0, 1.25), (7.79, 1.25), (7.77, 0.28)), shade(low, 0.55), low)
    canvas.fill(((0.0, 1.16), (0.0, 1.25), (7.79, 1.25), (7.79, 1.16)), shade(low, 1.35))
    canvas.fill(((0.02, 0.3), (0.02, 0.4), (7.77, 0.4), (7.77, 0.28)), (32, 31, 30))
    canvas.fill(((0.15, 1.32), (0.15, 2.42), (7.72, 2.42), (7.77, 1.32)), (46, 42, 40))
    for i in range(6):
        _pane(canvas, 0.22 + 1.13 * i, 1.38, 1.28 + 1.13 * i, 2.36)
    glass(canvas, ((7.04, 1.3), (7.04, 2.38), (7.66, 2.38), (7.73, 1.2)))
    for x in (3.0, 6.05):
        _door(canvas, x)
    canvas.fill(((6.0, 2.5), (6.0, 2.74), (7.4, 2.74), (7.4, 2.5)), (26, 25, 24))
    for i in range(6):
        canvas.stroke(((6.14 + 0.2 * i, 2.57), (6.22 + 0.2 * i, 2.67)), 0.05, (60, 180, 250))
    for x in (1.6, 5.4):
        wheel(canvas, (x, 0.46), 0.46, 0.58)
    canvas.fill(((7.42, 0.82), (7.44, 1.02), (7.79, 1.0), (7.79, 0.8)), HEADLIGHT)
    canvas.fill(((0.0, 0.85), (0.0, 1.1), (0.16, 1.1), (0.16, 0.85)), TAILLIGHT)
    canvas.lamp((7.7, 0.9), 0.6, HEADLIGHT)
    canvas.lamp((0.06, 0.95), 0.4, TAIL_GLOW)


def draw_box_truck(canvas: Canvas, cab: Colour, load: Colour) -> None:
    """Draw a delivery truck of 6 m: cab in front, closed box behind."""
    _chassis(canvas)
    box: Points = ((0.0, 0.92), (0.0, 3.02), (4.1, 3.02), (4.1, 0.92))
    surfaces(canvas, box, load, 9.0)
    canvas.fill(box, shade(load, 0.74), mix(load, WHITE, 0.25))
    canvas.fill(((0.0, 0.92), (0.0, 1.0), (4.1, 1.0), (4.1, 0.92)), (86, 84, 82))
    for i in range(1, 8):
        canvas.stroke(((0.51 * i, 1.02), (0.51 * i, 2.98)), 0.02, shade(load, 0.72), 0.7)
    canvas.fill(((0.7, 1.7), (0.9, 2.3), (3.5, 2.3), (3.3, 1.7)), cab, mix(cab, WHITE, 0.2))
    _cab(canvas, cab, 4.2)
    _running_gear(canvas, (1.15, 5.1))


def draw_dumper(canvas: Canvas, cab: Colour, load: Colour) -> None:
    """Draw a tipper of 6 m: an open steel body with ribs, full of earth."""
    _chassis(canvas)
    body: Points = ((0.0, 1.05), (0.0, 2.2), (4.1, 2.2), (4.1, 0.95), (0.5, 0.95))
    surfaces(canvas, body, (70, 96, 116), 9.0)
    canvas.fill(body, shade(load, 0.62), mix(load, WHITE, 0.15))
    canvas.fill(((0.0, 2.07), (0.0, 2.2), (4.1, 2.2), (4.1, 2.07)), shade(load, 1.15))
    for i in range(7):
        x = 0.4 + 0.56 * i
        rib = ((x, 1.0), (x, 2.07), (x + 0.14, 2.07), (x + 0.14, 1.0))
        canvas.fill(rib, shade(load, 0.7), shade(load, 0.9))
    _cab(canvas, cab, 4.2)
    _running_gear(canvas, (0.8, 1.75, 5.1))


def _pane(canvas: Canvas, x0: float, y0: float, x1: float, y1: float) -> None:
    canvas.fill(((x0, y0), (x0, y1), (x1, y1), (x1, y0)), GLASS, mix(GLASS, SKY_GLASS, 0.5))
    w = x1 - x0
    streak = ((x0 + 0.2 * w, y0), (x0 + 0.6 * w, y1), (x0 + 0.85 * w, y1), (x0 + 0.45 * w, y0))
    canvas.fill(streak, SKY_GLASS, opacity=0.25)


def _door(canvas: Canvas, x: float) -> None:
    canvas.fill(((x, 0.42), (x, 2.44), (x + 0.98, 2.44), (x + 0.98, 0.42)), (40, 38, 37))
    for left in (x + 0.05, x + 0.51):
        _pane(canvas, left, 0.52, left + 0.42, 2.36)


def _chassis(canvas: Canvas) -> None:
    canvas.fill(canvas.beyond(((0.1, 0.5), (0.1, 0.9), (6.0, 0.9), (6.0, 0.4))), (24, 23, 23))
    canvas.fill(((0.1, 0.62), (0.1, 0.95), (4.4, 0.95), (4.4, 0.62)), (34, 33, 32), (56, 54, 53))
    canvas.fill(((2.4, 0.42), (2.4, 0.86), (3.8, 0.86), (3.8, 0.42)), (54, 52, 51), (104, 102, 100))


def _cab(canvas: Canvas, paint: Colour, rear: float) -> None:
    """Draw a tall cab over the engine, nearly upright in front: a sloping one would look like a car."""
    shape = ((0.0, 0.5), (0.0, 2.52), (0.12, 2.66), (1.3, 2.66), (1.52, 2.55), (1.72, 1.55), (1.78, 1.2), (1.8, 0.4))
    outline = smooth([(rear + x, y) for x, y in shape], 1)
    surfaces(canvas, outline, paint, 1.5)
    canvas.fill(outline, shade(paint, 0.55), mix(paint, WHITE, 0.15))
    glass(canvas, ((rear + 0.5, 1.5), (rear + 0.5, 2.36), (rear + 1.36, 2.36), (rear + 1.54, 1.42)))
    canvas.stroke(((rear + 0.4, 0.7), (rear + 0.4, 2.45)), 0.025, shade(paint, 0.4))
    canvas.stroke(((rear + 0.55, 1.3), (rear + 0.73, 1.3)), 0.05, shade(paint, 0.4))
    canvas.fill(((rear + 1.3, 0.38), (rear + 1.3, 0.66), (rear + 1.82, 0.66), (rear + 1.82, 0.34)), (44, 43, 42))
    canvas.fill(((rear + 1.58, 0.72), (rear + 1.58, 0.92), (rear + 1.78, 0.92), (rear + 1.8, 0.7)), HEADLIGHT)
    canvas.fill(((rear + 1.58, 1.6), (rear + 1.58, 2.2), (rear + 1.74, 2.2), (rear + 1.74, 1.6)), BLACK)
    canvas.lamp((rear + 1.74, 0.8), 0.6, HEADLIGHT)


def _running_gear(canvas: Canvas, axles: tuple[float, ...]) -> None:
    for x in axles:
        wheel(canvas, (x, 0.48), 0.48, 0.55)
    canvas.fill(((0.02, 0.7), (0.02, 0.86), (0.2, 0.86), (0.2, 0.7)), TAILLIGHT)
    canvas.lamp((0.1, 0.78), 0.4, TAIL_GLOW)

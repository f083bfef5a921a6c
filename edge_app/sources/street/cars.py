"""Draw cars from a table of bodies, in metres, facing right."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, pi, sin
from typing import Final

from edge_app.sources.street.canvas import (
    BLACK,
    CHROME,
    GLASS,
    HEADLIGHT,
    SKY_GLASS,
    TAIL_GLOW,
    TAILLIGHT,
    WHITE,
    Canvas,
    Colour,
    Point,
    Points,
    mix,
    shade,
    smooth,
)

PAINTS: Final[tuple[Colour, ...]] = (
    (228, 230, 230), (186, 184, 180), (120, 116, 112), (52, 48, 46), (40, 34, 168), (150, 84, 32), (110, 58, 26),
    (60, 88, 40), (92, 148, 196), (36, 40, 96), (200, 168, 128), (40, 150, 214),
)  # fmt: skip
"""White, silver, greys, black and the colours people buy; BGR."""


@dataclass(frozen=True, slots=True)
class Body:
    """Shape of a car seen from its right side, in metres.

    outline: from the lower rear corner over the roof to the lower front corner. windows: side glass. wheels: x of the
    axles. radius: of the wheels. doors: x of the gaps between panels. belt: height where glass begins.
    """

    length: float
    height: float
    outline: Points
    windows: tuple[Points, ...]
    wheels: tuple[float, float]
    radius: float
    doors: tuple[float, ...]
    belt: float


HATCHBACK: Final = Body(
    4.0, 1.52,
    ((0.06, 0.28), (0.0, 0.5), (0.05, 0.95), (0.12, 1.1), (0.42, 1.42), (0.75, 1.49), (1.6, 1.52), (2.15, 1.46),
     (2.35, 1.40), (2.98, 1.02), (3.6, 0.88), (3.9, 0.72), (3.98, 0.55), (3.95, 0.24)),
    (((0.40, 1.06), (0.60, 1.36), (1.40, 1.42), (1.40, 1.03)), ((1.49, 1.03), (1.49, 1.42), (2.2, 1.36), (2.8, 1.01))),
    (0.72, 3.22), 0.32, (1.44, 2.62), 1.0,
)  # fmt: skip
SEDAN: Final = Body(
    4.6, 1.45,
    ((0.05, 0.28), (0.0, 0.55), (0.04, 0.90), (0.12, 1.02), (0.75, 1.06), (1.42, 1.38), (1.9, 1.45), (2.5, 1.44),
     (2.75, 1.39), (3.45, 1.00), (4.2, 0.86), (4.5, 0.72), (4.58, 0.55), (4.55, 0.24)),
    (((1.08, 1.05), (1.52, 1.34), (2.08, 1.38), (2.08, 1.02)), ((2.16, 1.02), (2.16, 1.38), (2.66, 1.35), (3.22, 1.0))),
    (0.86, 3.68), 0.32, (1.25, 2.12, 3.1), 1.0,
)  # fmt: skip
SUV: Final = Body(
    4.5, 1.72,
    ((0.06, 0.36), (0.0, 0.6), (0.03, 1.1), (0.10, 1.2), (0.32, 1.6), (0.6, 1.68), (1.8, 1.72), (2.5, 1.66),
     (2.7, 1.6), (3.25, 1.14), (4.1, 1.02), (4.4, 0.88), (4.48, 0.6), (4.45, 0.32)),
    (((0.36, 1.2), (0.52, 1.52), (0.92, 1.56), (0.92, 1.18)), ((1.0, 1.18), (1.0, 1.57), (1.78, 1.6), (1.78, 1.16)),
     ((1.87, 1.16), (1.87, 1.6), (2.55, 1.54), (3.06, 1.14))),
    (0.82, 3.62), 0.38, (0.98, 1.82, 2.95), 1.13,
)  # fmt: skip
MINIVAN: Final = Body(
    4.6, 1.82,
    ((0.05, 0.32), (0.0, 0.6), (0.02, 1.2), (0.17, 1.68), (0.5, 1.79), (2.5, 1.82), (2.95, 1.7), (3.78, 1.15),
     (4.35, 0.95), (4.56, 0.7), (4.55, 0.28)),
    (((0.30, 1.2), (0.40, 1.6), (1.08, 1.67), (1.08, 1.18)), ((1.17, 1.18), (1.17, 1.67), (2.02, 1.69), (2.02, 1.16)),
     ((2.11, 1.16), (2.11, 1.69), (2.8, 1.6), (3.5, 1.14))),
    (0.84, 3.68), 0.33, (1.13, 2.07, 3.2), 1.12,
)  # fmt: skip
BODIES: Final = (HATCHBACK, SEDAN, SUV, MINIVAN)


def draw_car(canvas: Canvas, body: Body, paint: Colour) -> None:
    """Draw a car: far surfaces first, then its side, wheels and lamps."""
    outline = smooth(body.outline, 1)
    surfaces(canvas, outline, paint, body.belt)
    canvas.fill(outline, shade(paint, 0.5), mix(paint, (255, 250, 244), 0.12))
    _flank(canvas, body, paint)
    for window in body.windows:
        glass(canvas, window)
    for x in body.wheels:
        wheel(canvas, (x, body.radius), body.radius)
    _lamps(canvas, body)


def surfaces(canvas: Canvas, outline: Points, paint: Colour, belt: float) -> None:
    """Draw roof, bonnet and sloping glass, which a camera above the road sees between the near and the far edge.

    belt: height, m, above which sloping surfaces are glass.
    """
    far = canvas.beyond(outline)
    canvas.fill(far, shade(paint, 0.45))
    for (a, b), (c, d) in zip(pairwise(outline), pairwise(far), strict=True):
        up = (b[0] - a[0]) / max(1e-6, hypot(b[0] - a[0], b[1] - a[1]))
        if up <= 0:
            continue
        sloping_glass = (a[1] + b[1]) / 2 > belt + 0.03 and up < 0.93
        canvas.fill((a, b, d, c), mix(GLASS, SKY_GLASS, 0.35) if sloping_glass else shade(paint, 0.55 + 0.65 * up))


def glass(canvas: Canvas, window: Points) -> None:
    """Draw a dark pane with the sky in its upper part and a slanting reflection."""
    canvas.fill(smooth(window, 1), GLASS, mix(GLASS, SKY_GLASS, 0.4))
    (x0, y0), (x1, y1) = map(min, zip(*window, strict=True)), map(max, zip(*window, strict=True))
    x, width, low, high = (x0 + x1) / 2, (x1 - x0) * 0.16, y0 + 0.03, y1 - 0.05
    canvas.fill(((x - width, low), (x, low), (x + 1.5 * width, high), (x + width / 2, high)), SKY_GLASS, opacity=0.28)


def wheel(canvas: Canvas, centre: Point, radius: float, rim: float = 0.66) -> None:
    """Draw arch, tyre and a rim with five spokes. rim: its radius as a share of `radius`."""
    x, y = centre
    wide, low = radius * 1.18, y - radius * 0.35
    arch = [(x + px * wide, y + py * wide) for px, py in _HALF_CIRCLE]
    canvas.fill([*arch, (x - wide, low), (x + wide, low)], (26, 24, 24))
    canvas.disc(centre, radius, BLACK, (48, 46, 46))
    canvas.disc(centre, radius * rim, (70, 70, 70), (120, 120, 118))
    for px, py in _SPOKES:
        canvas.stroke((centre, (x + px * radius * rim * 0.86, y + py * radius * rim * 0.86)), radius * 0.2, CHROME)
    canvas.disc(centre, radius * rim, (150, 150, 148), (214, 214, 212), inner=radius * rim * 0.84)
    canvas.disc(centre, radius * 0.14, (110, 110, 108))


_HALF_CIRCLE: Final = tuple((cos(pi * i / 12), sin(pi * i / 12)) for i in range(13))
_SPOKES: Final = ((0.0, 1.0), (0.951, 0.309), (0.588, -0.809), (-0.588, -0.809), (-0.951, 0.309))


def _flank(canvas: Canvas, body: Body, paint: Colour) -> None:
    """Draw the light on the shoulder, the road's reflection below it, sill, gaps and handles."""
    rear, front = body.outline[0][0] + 0.1, body.length - 0.12
    low = body.outline[-1][1]
    shoulder = body.belt - 0.14
    canvas.fill(((rear, low), (rear, 0.55), (front, 0.52), (front, low)), shade(paint, 0.42), shade(paint, 0.8), 0.75)
    canvas.stroke(((rear, shoulder), (body.length * 0.8, shoulder - 0.05)), 0.05, mix(paint, WHITE, 0.45), 0.8)
    canvas.stroke(((rear, shoulder - 0.06), (body.length * 0.82, shoulder - 0.11)), 0.04, shade(paint, 0.66), 0.8)
    canvas.fill(((rear, low), (rear, low + 0.07), (front, low + 0.07), (front, low)), (30, 29, 28))
    for x in body.doors:
        canvas.stroke(((x, body.belt), (x, low + 0.14)), 0.02, shade(paint, 0.4))
    for x in body.doors[:-1]:
        canvas.stroke(((x + 0.1, shoulder - 0.02), (x + 0.26, shoulder - 0.02)), 0.04, shade(paint, 0.45))


def _lamps(canvas: Canvas, body: Body) -> None:
    nose, y = body.length - 0.08, body.belt - 0.3
    lamp = ((nose - 0.42, y + 0.12), (nose - 0.05, y + 0.04), (nose + 0.02, y - 0.06), (nose - 0.25, y - 0.04))
    canvas.fill(lamp, HEADLIGHT)
    canvas.fill(((0.03, y + 0.18), (0.3, y + 0.14), (0.24, y), (0.02, y - 0.02)), TAILLIGHT)
    canvas.fill(((nose - 0.3, 0.36), (nose + 0.02, 0.36), (nose, 0.28), (nose - 0.3, 0.28)), (34, 33, 33))
    x, belt = body.doors[-1] - 0.12, body.belt
    canvas.fill(smooth(((x, belt), (x + 0.02, belt + 0.13), (x + 0.17, belt + 0.1), (x + 0.15, belt))), BLACK)
    canvas.lamp((nose, y), 0.5, HEADLIGHT)
    canvas.lamp((0.06, y + 0.08), 0.35, TAIL_GLOW)

"""Draw motorcycles and step-throughs with their riders, in metres, facing right."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
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

METAL: Final[Colour] = (92, 90, 88)
ENGINE: Final[Colour] = (58, 56, 55)
SKIN: Final[Colour] = (120, 150, 198)


@dataclass(frozen=True, slots=True)
class Clothes:
    """Colours of a rider's clothes; BGR."""

    jacket: Colour
    trousers: Colour
    helmet: Colour


WARDROBE: Final = (
    Clothes((46, 44, 42), (92, 62, 44), (228, 228, 228)),
    Clothes((60, 60, 168), (48, 46, 44), (36, 34, 34)),
    Clothes((150, 104, 52), (60, 58, 56), (40, 40, 176)),
    Clothes((70, 104, 78), (86, 70, 58), (190, 188, 186)),
    Clothes((186, 190, 192), (110, 78, 52), (140, 84, 40)),
    Clothes((60, 150, 214), (52, 50, 50), (44, 42, 42)),
)


@dataclass(frozen=True, slots=True)
class Pose:
    """Positions of a rider's joints, in metres."""

    hip: Point
    shoulder: Point
    head: Point
    elbow: Point
    hand: Point
    knee: Point
    foot: Point


UPRIGHT: Final = Pose((0.78, 0.90), (0.90, 1.40), (0.99, 1.61), (1.12, 1.16), (1.40, 1.10), (1.18, 0.80), (0.98, 0.36))
SEATED: Final = Pose((0.66, 0.86), (0.72, 1.36), (0.79, 1.57), (0.94, 1.12), (1.26, 1.10), (1.10, 0.84), (1.06, 0.36))


def draw_motorcycle(canvas: Canvas, paint: Colour, clothes: Clothes) -> None:
    """Draw a motorcycle without fairing: spoked wheels, engine, tank, exhaust, and a rider leaning slightly forward."""
    rear, front, radius = (0.36, 0.31), (1.76, 0.31), 0.31
    _far_limbs(canvas, UPRIGHT, clothes)
    for centre in (rear, front):
        _spoked(canvas, centre, radius)
    canvas.stroke((rear, (0.88, 0.44)), 0.09, METAL)
    canvas.stroke(((0.40, 0.42), (0.66, 0.80)), 0.06, (60, 60, 190))
    canvas.stroke(((0.62, 0.80), (0.80, 0.42), (1.22, 0.34), (1.46, 0.90), (0.9, 0.86)), 0.06, (40, 38, 38))
    _engine(canvas)
    canvas.limb(((1.30, 0.52), (1.36, 0.34), (1.16, 0.24), (0.78, 0.26), (0.60, 0.32)), 0.06, (150, 152, 154))
    canvas.limb(((0.60, 0.32), (0.16, 0.46)), 0.12, CHROME)
    canvas.fill(_fender(front, radius, 20, 130), shade(paint, 0.7), paint)
    canvas.fill(_fender(rear, radius, 50, 170), (36, 35, 35), (62, 60, 60))
    canvas.limb((front, (1.50, 1.00)), 0.075, (168, 170, 172))
    _bodywork(canvas, paint)
    canvas.stroke(((1.46, 1.02), (1.36, 1.12)), 0.05, BLACK)
    canvas.stroke(((1.42, 1.08), (1.36, 1.28)), 0.03, BLACK)
    canvas.fill(smooth(((1.26, 1.27), (1.3, 1.36), (1.42, 1.36), (1.42, 1.27))), BLACK, METAL)
    canvas.disc((1.60, 0.97), 0.105, METAL, CHROME)
    canvas.fill(smooth(((1.61, 0.87), (1.61, 1.07), (1.70, 1.04), (1.72, 0.96), (1.69, 0.90))), HEADLIGHT)
    canvas.fill(((0.10, 0.90), (0.13, 0.98), (0.24, 0.98), (0.22, 0.90)), TAILLIGHT)
    _rider(canvas, UPRIGHT, clothes)
    canvas.lamp((1.66, 0.97), 0.3, HEADLIGHT)
    canvas.lamp((0.14, 0.94), 0.18, TAIL_GLOW)


def draw_underbone(canvas: Canvas, paint: Colour, clothes: Clothes) -> None:
    """Draw a step-through, the world's most common motorcycle: slim, open engine, a shield before the legs."""
    rear, front, radius = (0.34, 0.30), (1.66, 0.30), 0.30
    _far_limbs(canvas, SEATED, clothes)
    for centre in (rear, front):
        _spoked(canvas, centre, radius)
    canvas.stroke((rear, (0.84, 0.42)), 0.10, METAL)
    canvas.stroke(((0.38, 0.36), (0.44, 0.80)), 0.06, (60, 60, 190))
    canvas.stroke(((0.56, 0.76), (0.84, 0.46), (1.18, 0.50), (1.38, 0.92)), 0.10, shade(paint, 0.7))
    _engine(canvas)
    canvas.limb(((1.20, 0.40), (1.16, 0.24), (0.78, 0.22), (0.58, 0.28)), 0.055, (150, 152, 154))
    canvas.limb(((0.60, 0.28), (0.10, 0.42)), 0.11, CHROME)
    canvas.fill(_fender(front, radius, 10, 140), shade(paint, 0.7), paint)
    canvas.fill(_fender(rear, radius, 40, 170), (36, 35, 35), (62, 60, 60))
    canvas.limb((front, (1.42, 0.92)), 0.07, (168, 170, 172))
    flank = ((0.10, 0.78), (0.14, 0.88), (0.50, 0.84), (0.98, 0.76), (0.92, 0.58), (0.60, 0.62))
    canvas.fill(smooth(flank), shade(paint, 0.6), mix(paint, WHITE, 0.2))
    seat = ((0.20, 0.86), (0.24, 0.94), (0.60, 0.90), (0.98, 0.86), (0.98, 0.76), (0.58, 0.82))
    canvas.fill(smooth(seat), BLACK, (66, 64, 64))
    shield = ((1.20, 0.40), (1.24, 0.62), (1.32, 0.98), (1.42, 1.02), (1.46, 0.84), (1.36, 0.62), (1.30, 0.40))
    canvas.fill(smooth(shield), shade(paint, 0.55), mix(paint, WHITE, 0.25))
    canvas.stroke(((1.40, 1.00), (1.24, 1.10)), 0.05, BLACK)
    canvas.stroke(((1.34, 1.04), (1.26, 1.26)), 0.03, BLACK)
    canvas.fill(smooth(((1.16, 1.25), (1.20, 1.34), (1.32, 1.34), (1.32, 1.25))), BLACK, METAL)
    canvas.disc((1.48, 0.98), 0.10, METAL, CHROME)
    canvas.fill(smooth(((1.48, 0.88), (1.48, 1.08), (1.57, 1.05), (1.60, 0.97), (1.56, 0.90))), HEADLIGHT)
    canvas.fill(((0.08, 0.78), (0.11, 0.87), (0.22, 0.86), (0.20, 0.77)), TAILLIGHT)
    _rider(canvas, SEATED, clothes)
    canvas.lamp((1.54, 0.98), 0.3, HEADLIGHT)
    canvas.lamp((0.12, 0.82), 0.18, TAIL_GLOW)


def _spoked(canvas: Canvas, centre: Point, radius: float) -> None:
    x, y = centre
    canvas.disc(centre, radius, (20, 19, 19), (52, 50, 50), inner=radius * 0.70)
    canvas.disc(centre, radius * 0.72, (120, 120, 118), (190, 190, 188), inner=radius * 0.64)
    for px, py in ((0.0, 1.0), (0.866, 0.5), (0.866, -0.5), (0.0, -1.0), (-0.866, -0.5), (-0.866, 0.5)):
        canvas.stroke((centre, (x + px * radius * 0.68, y + py * radius * 0.68)), radius * 0.1, (140, 140, 138))
    canvas.disc(centre, radius * 0.42, (104, 104, 102), (160, 160, 158), inner=radius * 0.28)
    canvas.disc(centre, radius * 0.15, (70, 70, 70))


def _fender(centre: Point, radius: float, start: float, stop: float) -> Points:
    angles = [radians(start + (stop - start) * i / 10) for i in range(11)]
    outer = [(centre[0] + 1.22 * radius * cos(a), centre[1] + 1.22 * radius * sin(a)) for a in angles]
    inner = [(centre[0] + 1.06 * radius * cos(a), centre[1] + 1.06 * radius * sin(a)) for a in reversed(angles)]
    return [*outer, *inner]


def _engine(canvas: Canvas) -> None:
    block = ((0.78, 0.28), (0.76, 0.52), (0.92, 0.66), (1.30, 0.72), (1.40, 0.56), (1.30, 0.30))
    canvas.fill(smooth(block), (34, 33, 33), ENGINE)
    for i in range(5):
        y = 0.50 + 0.05 * i
        canvas.stroke(((1.06, y), (1.36, y + 0.03)), 0.022, (150, 150, 148))
    canvas.disc((0.98, 0.42), 0.13, (78, 77, 76), (150, 150, 148))
    canvas.disc((0.98, 0.42), 0.07, ENGINE)


def _bodywork(canvas: Canvas, paint: Colour) -> None:
    tail = ((0.08, 0.90), (0.12, 1.00), (0.44, 0.96), (0.80, 0.86), (0.80, 0.74), (0.50, 0.80))
    canvas.fill(smooth(tail), shade(paint, 0.6), mix(paint, WHITE, 0.2))
    seat = ((0.30, 0.96), (0.34, 1.03), (0.60, 0.94), (0.98, 0.90), (0.98, 0.82), (0.64, 0.86))
    canvas.fill(smooth(seat), BLACK, (66, 64, 64))
    tank = ((0.94, 0.80), (0.98, 0.98), (1.14, 1.08), (1.38, 1.06), (1.50, 0.94), (1.44, 0.78), (1.20, 0.72))
    canvas.fill(smooth(tank), shade(paint, 0.5), mix(paint, WHITE, 0.3))
    canvas.fill(smooth(((1.06, 0.98), (1.16, 1.04), (1.34, 1.03), (1.40, 0.98))), WHITE, opacity=0.35)


def _far_limbs(canvas: Canvas, pose: Pose, clothes: Clothes) -> None:
    near = (pose.hip, pose.knee, pose.foot)
    canvas.limb(canvas.beyond(near, 0.3), 0.15, shade(clothes.trousers, 0.55))
    canvas.limb(canvas.beyond((pose.shoulder, pose.elbow, pose.hand), 0.3), 0.10, shade(clothes.jacket, 0.55))


def _rider(canvas: Canvas, pose: Pose, clothes: Clothes) -> None:
    canvas.limb((pose.hip, pose.knee), 0.19, clothes.trousers)
    canvas.limb((pose.knee, pose.foot), 0.145, clothes.trousers)
    x, y = pose.foot
    boot = ((-0.09, -0.08), (-0.07, 0.08), (0.06, 0.06), (0.22, -0.03), (0.22, -0.08))
    canvas.fill(smooth([(x + px, y + py) for px, py in boot]), BLACK)
    canvas.stroke((pose.shoulder, pose.head), 0.1, SKIN)
    _torso(canvas, pose, clothes.jacket)
    canvas.limb((pose.shoulder, pose.elbow), 0.125, clothes.jacket)
    canvas.limb((pose.elbow, pose.hand), 0.10, clothes.jacket)
    canvas.disc(pose.hand, 0.06, BLACK)
    x, y = pose.head
    canvas.disc((x, y), 0.15, shade(clothes.helmet, 0.6), mix(clothes.helmet, WHITE, 0.25))
    visor = ((x + 0.02, y - 0.05), (x + 0.03, y + 0.06), (x + 0.13, y + 0.07), (x + 0.155, y), (x + 0.13, y - 0.07))
    canvas.fill(smooth(visor, 1), GLASS, mix(GLASS, SKY_GLASS, 0.5))


def _torso(canvas: Canvas, pose: Pose, jacket: Colour) -> None:
    (hx, hy), (sx, sy) = pose.hip, pose.shoulder
    back = ((hx - 0.15, hy - 0.04), (hx - 0.15, hy + 0.16), (sx - 0.19, sy - 0.12), (sx - 0.12, sy + 0.06))
    front = ((sx + 0.08, sy + 0.08), (sx + 0.14, sy - 0.08), (hx + 0.20, hy + 0.16), (hx + 0.18, hy - 0.04))
    canvas.fill(smooth(back + front), shade(jacket, 0.6), mix(jacket, WHITE, 0.14))

"""Draw vehicles in metres from polygons, discs and strokes, antialiased and with alpha."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import Image

Point: TypeAlias = tuple[float, float]
Points: TypeAlias = Sequence[Point]
Colour: TypeAlias = tuple[int, int, int]

BLACK: Final[Colour] = (18, 17, 17)
WHITE: Final[Colour] = (255, 255, 255)
GLASS: Final[Colour] = (58, 48, 42)
SKY_GLASS: Final[Colour] = (176, 160, 142)
CHROME: Final[Colour] = (196, 196, 194)
HEADLIGHT: Final[Colour] = (246, 250, 250)
TAILLIGHT: Final[Colour] = (40, 30, 190)
TAIL_GLOW: Final[Colour] = (50, 40, 255)

OVERSAMPLING: Final = 2
_CIRCLE: Final = tuple((cos(2 * pi * i / 48), sin(2 * pi * i / 48)) for i in range(49))


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour in more (factor > 1) or less light."""
    b, g, r = (int(min(255.0, max(0.0, c * factor))) for c in colour)
    return b, g, r


def tint(colour: Colour, light: tuple[float, float, float]) -> Colour:
    """Return the colour in coloured light, each channel 0..1."""
    b, g, r = (int(c * part) for c, part in zip(colour, light, strict=True))
    return b, g, r


def mix(a: Colour, b: Colour, part: float) -> Colour:
    """Return the mixture of `a` with `part`, 0..1, of `b`."""
    x, y, z = (round(p + (q - p) * part) for p, q in zip(a, b, strict=True))
    return x, y, z


def smooth(points: Points, rounds: int = 2) -> Points:
    """Round the corners of a closed polygon by cutting them `rounds` times (Chaikin, 1974)."""
    corners = np.asarray(points, np.float64)
    for _ in range(rounds):
        after = np.roll(corners, -1, axis=0)
        corners = np.stack((0.8 * corners + 0.2 * after, 0.2 * corners + 0.8 * after), axis=1).reshape(-1, 2)
    return [(float(x), float(y)) for x, y in corners]


@dataclass(frozen=True, slots=True)
class Lamp:
    """Lamp that shines after dark: x m forward and y m up, with the radius of its glow in m."""

    x: float
    y: float
    radius: float
    colour: Colour


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Finished drawing of a vehicle.

    colour: uint8 (h, w, 3) BGR, 0 where there is nothing. alpha: uint8 (h, w). scale: px per metre. origin: px of the
    point x = 0 on the ground. box: px x0, y0, x1, y1 of the opaque part. length: m.
    """

    colour: Image
    alpha: Image
    scale: float
    origin: tuple[float, float]
    box: tuple[int, int, int, int]
    length: float
    lamps: tuple[Lamp, ...]


class Canvas:
    """Canvas of one vehicle: x m forward from its rear end, y m up from the ground.

    The vehicle is seen from the side and from above, so every drawing has a far side, which lies nearer the horizon.
    scale: px per metre of the near side. camera: height above ground, m. across: scale of the far side divided by that
    of the near side.
    """

    def __init__(self, length: float, height: float, scale: float, camera: float, across: float) -> None:
        self._scale = scale * OVERSAMPLING
        self._margin = 0.6
        self._camera, self._across, self._middle = camera, across, length / 2
        top = height + camera * (1 - across) + self._margin / 2
        size = int((length + 2 * self._margin) * scale) * OVERSAMPLING, int((top + self._margin) * scale) * OVERSAMPLING
        self._origin = self._margin * self._scale, size[1] - self._margin * self._scale
        self._bgr: Image = np.zeros((size[1], size[0], 3), np.uint8)
        self._alpha: Image = np.zeros((size[1], size[0]), np.uint8)
        self._length = length
        self._lamps: list[Lamp] = []

    def beyond(self, points: Points, depth: float = 1.0) -> Points:
        """Return the outline moved towards the vehicle's far side, by `depth` of its width."""
        k = 1 - (1 - self._across) * depth
        return [(self._middle + (x - self._middle) * k, self._camera - (self._camera - y) * k) for x, y in points]

    def fill(self, points: Points, colour: Colour, top: Colour | None = None, opacity: float = 1.0) -> None:
        """Fill a polygon, shaded from `colour` at its lower to `top` at its upper edge."""
        corners = self._pixels(points)
        x, y, w, h = cv2.boundingRect(corners)
        mask: Image = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [corners], (255,), offset=(-x, -y))
        self._paint(mask, x, y, colour, top or colour, opacity)

    def disc(self, centre: Point, radius: float, colour: Colour, top: Colour | None = None, inner: float = 0.0) -> None:
        """Fill a disc, or a ring with an empty middle when the radius `inner` is above 0."""
        hole = self._circle(centre, inner)[::-1] if inner else ()
        self.fill([*self._circle(centre, radius), *hole], colour, top)

    def stroke(self, points: Points, width: float, colour: Colour, opacity: float = 1.0) -> None:
        """Draw a line with round ends, `width` m thick."""
        corners = self._pixels(points)
        thick = max(1, round(width * self._scale))
        x, y, w, h = cv2.boundingRect(corners)
        x, y, w, h = x - thick, y - thick, w + 2 * thick, h + 2 * thick
        mask: Image = np.zeros((h, w), np.uint8)
        cv2.polylines(mask, [corners - np.array([x, y], np.int32)], False, (255,), thick)
        self._paint(mask, x, y, colour, colour, opacity)

    def limb(self, points: Points, width: float, colour: Colour) -> None:
        """Draw a rounded, lit tube: an arm, a leg, a pipe."""
        self.stroke(points, width, shade(colour, 0.62))
        self.stroke([(x, y + width * 0.1) for x, y in points], width * 0.74, colour)
        self.stroke([(x, y + width * 0.24) for x, y in points], width * 0.24, shade(colour, 1.3))

    def lamp(self, centre: Point, radius: float, colour: Colour) -> None:
        """Add the light that surrounds a lamp after dark."""
        self._lamps.append(Lamp(*centre, radius, colour))

    def drawing(self) -> Drawing:
        """Return the finished drawing, antialiased."""
        size = self._alpha.shape[1] // OVERSAMPLING, self._alpha.shape[0] // OVERSAMPLING
        colour = np.asarray(cv2.resize(self._bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
        alpha = np.asarray(cv2.resize(self._alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
        x, y, w, h = cv2.boundingRect((alpha > 127).astype(np.uint8))
        origin = self._origin[0] / OVERSAMPLING, self._origin[1] / OVERSAMPLING
        box = (x, y, x + w, y + h)
        return Drawing(colour, alpha, self._scale / OVERSAMPLING, origin, box, self._length, tuple(self._lamps))

    def _circle(self, centre: Point, radius: float) -> Points:
        return [(centre[0] + radius * x, centre[1] + radius * y) for x, y in _CIRCLE]

    def _pixels(self, points: Points) -> NDArray[np.int32]:
        pixels = np.multiply(points, (self._scale, -self._scale)) + np.array(self._origin)
        return np.asarray(pixels.round(), np.int32)

    def _paint(self, mask: Image, x: int, y: int, low: Colour, high: Colour, opacity: float) -> None:
        x0, y0 = max(0, -x), max(0, -y)
        height, width = self._alpha[y + y0 : y + mask.shape[0], x + x0 : x + mask.shape[1]].shape
        mask, area = mask[y0 : y0 + height, x0 : x0 + width], np.s_[y + y0 : y + y0 + height, x + x0 : x + x0 + width]
        ramp = np.linspace(high, low, y0 + height).astype(np.uint8)[y0:, None, :]
        paint = np.repeat(ramp, width, axis=1)
        if opacity < 1.0:
            mask = np.asarray(cv2.bitwise_and(mask, self._alpha[area]), np.uint8)
            paint = np.asarray(cv2.addWeighted(paint, opacity, self._bgr[area], 1 - opacity, 0), np.uint8)
        cv2.copyTo(paint, mask, self._bgr[area])
        cv2.bitwise_or(self._alpha[area], mask, dst=self._alpha[area])

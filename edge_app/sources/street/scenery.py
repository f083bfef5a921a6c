"""Paint the scenery: sky, houses, trees, pavements, the road and its markings, by day and at dusk."""

from __future__ import annotations

from random import Random
from typing import Final, TypeAlias

import cv2
import numpy as np

from edge_app.records import Image
from edge_app.sources.street.canvas import Colour, Points, shade, tint
from edge_app.sources.street.view import View

ROAD: Final = (15.3, 24.6)
"""Distance of the near and of the far kerb, m."""
MIDDLE: Final = 19.9
"""Distance of the markings in the middle of the road, m."""
Light: TypeAlias = tuple[float, float, float]
DUSK: Final[Light] = (0.50, 0.37, 0.36)
"""Share of blue, green and red daylight that is left at dusk."""
LAMPLIT: Final[Light] = (0.60, 0.53, 0.54)
"""The same on the road, which has street lamps."""

_PAVEMENT, _LAWN, _HOUSES = 28.0, 29.0, 62.0
_FACADES: Final[tuple[Colour, ...]] = (
    (176, 206, 226), (150, 178, 206), (206, 214, 216), (164, 190, 178), (150, 160, 196), (196, 190, 168),
)  # fmt: skip
_CLEAR: Final = (226, 176, 128), (238, 224, 208), (244, 240, 236)
_LEAVES: Final[tuple[Colour, ...]] = ((52, 104, 72), (58, 120, 84), (60, 112, 100))
_ROOFS: Final[tuple[Colour, ...]] = ((64, 76, 138), (70, 72, 92), (60, 66, 116))


class Scenery:
    """Picture of the empty street. image: uint8 (height, width, 3) BGR, by day or at dusk."""

    def __init__(self, view: View, seed: int, *, dusk: bool) -> None:
        self._view, self._random, self._dusk = view, Random(f"scenery {seed}"), dusk
        self.image: Image = np.zeros((view.height, view.width, 3), np.uint8)
        self._sky()
        self._houses()
        self._street()
        self._texture(seed)
        self._trees()

    def _tone(self, colour: Colour, light: Light = DUSK) -> Colour:
        return tint(colour, light) if self._dusk else colour

    def _sky(self) -> None:
        top, low, cloud = ((98, 62, 46), (122, 142, 206), (108, 96, 134)) if self._dusk else _CLEAR
        height = round(self._view.project(0, _HOUSES)[1])
        self.image[:height] = np.linspace(top, low, height)[:, None]
        for _ in range(7):
            x, y = self._random.uniform(0, self._view.width), self._random.uniform(0, height * 0.4)
            for _ in range(6):
                at = int(x + self._random.uniform(-70, 70)), int(y + self._random.uniform(-8, 8))
                size = self._random.randint(20, 60), self._random.randint(6, 14)
                cv2.ellipse(self.image, at, size, 0, 0, 360, cloud, -1)
        sky = self.image[:height]
        sky[:] = cv2.GaussianBlur(sky, (0, 0), 7)

    def _houses(self) -> None:
        x, end = -self._view.reach(_HOUSES) - 3, self._view.reach(_HOUSES) + 3
        while x < end:
            width, floors = self._random.uniform(7, 12), self._random.choice((2, 2, 3))
            self._house(x, width, floors)
            x += width + self._random.choice((0.0, 0.0, 2.5))

    def _house(self, x: float, width: float, floors: int) -> None:
        paint, eaves = self._random.choice(_FACADES), 2.9 * floors
        self._wall(x, x + width, 0, eaves, paint, shade(paint, 1.06))
        roof = ((-0.3, eaves), (1.4, eaves + 3.0), (width - 1.4, eaves + 3.0), (width + 0.3, eaves))
        self._polygon([self._view.project(x + px, _HOUSES, up) for px, up in roof], self._random.choice(_ROOFS))
        columns = int(width / 2.2)
        for cell in range(floors * columns):
            floor, column = divmod(cell, columns)
            left, low = x + 0.7 + column * (width - 1.0) / columns, 0.9 + 2.9 * floor
            self._wall(left - 0.1, left + 1.2, low - 0.12, low + 1.6, shade(paint, 1.2), shade(paint, 1.2))
            self._window(left, low, lit=self._random.random() < 0.5)

    def _window(self, left: float, low: float, *, lit: bool) -> None:
        self._wall(left, left + 1.1, low, low + 1.5, (82, 70, 60), (150, 134, 118))
        if lit and self._dusk:
            x0, y1 = self._view.project(left, _HOUSES, low)
            x1, y0 = self._view.project(left + 1.1, _HOUSES, low + 1.5)
            cv2.rectangle(self.image, _round((x0, y0)), _round((x1, y1)), (120, 196, 240), -1)

    def _trees(self) -> None:
        positions = [(self._random.uniform(-1.1, 1.1), self._random.uniform(33, 58)) for _ in range(13)]
        for side, distance in sorted(positions, key=lambda position: -position[1]):
            self._tree(side * self._view.reach(distance), distance, self._random.uniform(1.6, 2.6))

    def _tree(self, x: float, distance: float, size: float) -> None:
        scale = self._view.scale(distance)
        foot, fork = _round(self._view.project(x, distance)), _round(self._view.project(x, distance, size * 1.1))
        ground = int(size * scale), int(0.18 * size * scale)
        cv2.ellipse(self.image, foot, ground, 0, 0, 360, self._tone((52, 88, 68)), -1, cv2.LINE_AA)
        cv2.line(self.image, foot, fork, self._tone((52, 68, 84)), max(2, int(0.28 * scale)), cv2.LINE_AA)
        leaf = self._random.choice(_LEAVES)
        for light, low, high, spread in ((0.70, 0.7, 1.7, 0.85), (0.92, 1.1, 2.2, 0.8), (1.16, 1.5, 2.5, 0.55)):
            for _ in range(34):
                side, up = size * self._random.uniform(-spread, spread), size * self._random.uniform(low, high)
                radius = int(size * scale * self._random.uniform(0.10, 0.24))
                colour = self._tone(shade(leaf, light * self._random.uniform(0.9, 1.1)))
                centre = _round(self._view.project(x + side, distance, up))
                cv2.circle(self.image, centre, radius, colour, -1, cv2.LINE_AA)

    def _street(self) -> None:
        near, far = ROAD
        self._band(_HOUSES, _LAWN, (98, 150, 132), (72, 122, 96))
        self._band(_LAWN, _PAVEMENT, (70, 116, 92), (58, 100, 78))
        self._band(_PAVEMENT, far, (170, 172, 174), (178, 180, 182))
        self._slabs(_PAVEMENT, far)
        self._band(far, far - 0.22, (198, 200, 200), (140, 141, 142))
        self._band(far - 0.22, near, (104, 103, 102), (114, 113, 112))
        self._band(near, near - 0.2, (208, 210, 210), (196, 198, 198))
        self._band(near - 0.2, 5.0, (174, 176, 178), (182, 184, 186))
        self._slabs(near - 0.2, 12.0)
        for distance in (far - 0.55, near + 0.4):
            self._band(distance, distance - 0.14, (214, 216, 216), (214, 216, 216))
        for i in range(-8, 9):
            x0, x1 = 3.2 * i, 3.2 * i + 1.6
            corners = ((x0, MIDDLE), (x1, MIDDLE), (x1, MIDDLE - 0.17), (x0, MIDDLE - 0.17))
            self._polygon([self._view.project(x, distance) for x, distance in corners], (220, 222, 222), LAMPLIT)

    def _slabs(self, far: float, near: float) -> None:
        for i in range(-24, 25):
            ends = _round(self._view.project(1.1 * i, far)), _round(self._view.project(1.1 * i, near))
            cv2.line(self.image, *ends, self._tone((150, 152, 154), LAMPLIT), 1, cv2.LINE_AA)

    def _texture(self, seed: int) -> None:
        """Add coarse and fine grain to the ground: nothing outdoors has one flat colour."""
        ground = self.image[round(self._view.project(0, _HOUSES)[1]) :]
        height, width = ground.shape[:2]
        random = np.random.default_rng(seed)
        grain = random.normal(0, 0.035, (height, width)).astype(np.float32)
        patches = random.normal(0, 0.03, (height // 24 + 1, width // 60 + 1)).astype(np.float32)
        grain += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
        ground[:] = np.clip(ground * (1 + grain[..., None]), 0, 255).astype(np.uint8)

    def _band(self, far: float, near: float, at_far: Colour, at_near: Colour) -> None:
        y0, y1 = (min(self._view.height, round(self._view.project(0, d)[1])) for d in (far, near))
        light = LAMPLIT if far < _LAWN else DUSK
        self.image[y0:y1] = np.linspace(self._tone(at_far, light), self._tone(at_near, light), y1 - y0)[:, None]

    def _wall(self, x0: float, x1: float, low: float, high: float, at_low: Colour, at_high: Colour) -> None:
        (left, bottom), (right, top) = self._view.project(x0, _HOUSES, low), self._view.project(x1, _HOUSES, high)
        area = self.image[max(0, round(top)) : round(bottom), max(0, round(left)) : max(0, round(right))]
        area[:] = np.linspace(self._tone(at_high), self._tone(at_low), area.shape[0])[:, None]

    def _polygon(self, corners: Points, colour: Colour, light: Light = DUSK) -> None:
        cv2.fillPoly(self.image, [np.array([_round(p) for p in corners])], self._tone(colour, light), cv2.LINE_AA)


def _round(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])

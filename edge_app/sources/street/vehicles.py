"""Draw every model of vehicle once at the start, and make sprites of them for a lane and its light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import cv2
import numpy as np

from edge_app.records import Image
from edge_app.sources.street import cars, heavy, riders
from edge_app.sources.street.canvas import Canvas, Drawing
from edge_app.sources.street.scenery import LAMPLIT
from edge_app.sources.street.view import CAMERA_HEIGHT, View

ENLARGED: Final = 1.05
"""Factor by which motorcycles are larger than in reality: a detector trained on photographs recognises these drawings
from about 170 px on."""

_BIKES: Final = ((40, 34, 168), (52, 48, 46), (36, 36, 150), (36, 110, 214), (150, 84, 32), (112, 88, 20))
_Draw: TypeAlias = Callable[[Canvas], None]


@dataclass(frozen=True, slots=True)
class Model:
    """Model of a vehicle, drawn.

    label: its true class. size: factor by which it is larger than in reality. middle: m by which the centre of its box
    lies ahead of its own middle, and above ground.
    """

    label: str
    drawing: Drawing
    size: float
    middle: tuple[float, float]

    @property
    def length(self) -> float:
        """Length in the street, m."""
        return self.drawing.length * self.size


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """Picture of a vehicle, ready to be blended into a frame.

    colour: uint8 (h, w, 3) BGR, multiplied by its alpha; light that only adds has colour without alpha.
    transparency: uint8 (h, w, 3), share of the frame beneath that stays, 255 = all. origin: px of the middle of the
    vehicle on the ground. box: px x0, y0, x1, y1 of the vehicle without its shadow, from the origin.
    """

    colour: Image
    transparency: Image
    origin: tuple[float, float]
    box: tuple[float, float, float, float]


def draw_models(view: View, distance: float) -> tuple[Model, ...]:
    """Draw every model at the scale of a lane `distance` m away.

    It should be the nearest lane, since enlarged drawings look bad.
    """
    return tuple(_model(view, distance, *entry) for entry in _catalogue())


def make_sprite(model: Model, scale: float, heading: int, darkness: float) -> Sprite:
    """Return the model at `scale` px per metre, facing right (heading 1) or left (-1); darkness 0 = day, 1 = dusk."""
    drawing = model.drawing
    ratio = scale * model.size / drawing.scale
    size = round(drawing.alpha.shape[1] * ratio), round(drawing.alpha.shape[0] * ratio)
    colour = np.asarray(cv2.resize(drawing.colour, size, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = np.asarray(cv2.resize(drawing.alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = np.maximum(alpha, _shadow(drawing, ratio, size, 0.55 - 0.2 * darkness))
    if darkness > 0:
        light = 1 - (1 - np.array(LAMPLIT, np.float32)) * darkness
        colour = (colour * light).astype(np.uint8)
        _light_lamps(colour, drawing, ratio, darkness)
    x0, y0, x1, y1 = (edge * ratio for edge in drawing.box)
    x, y = (drawing.origin[0] + drawing.length / 2 * drawing.scale) * ratio, drawing.origin[1] * ratio
    if heading < 0:
        colour, alpha = colour[:, ::-1], alpha[:, ::-1]
        x, x0, x1 = size[0] - x, size[0] - x1, size[0] - x0
    transparency = np.asarray(cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2BGR), np.uint8)
    return Sprite(np.ascontiguousarray(colour), transparency, (x, y), (x0 - x, y0 - y, x1 - x, y1 - y))


def _catalogue() -> list[tuple[str, float, float, float, _Draw]]:
    """Return label, length, height and width in m, and the function that draws it, of each model."""
    entries: list[tuple[str, float, float, float, _Draw]] = []
    for i, paint in enumerate(cars.PAINTS):
        body = cars.BODIES[i % len(cars.BODIES)]
        entries.append(("car", body.length, body.height, 1.75, partial(cars.draw_car, body=body, paint=paint)))
    for i, clothes in enumerate(riders.WARDROBE):
        draw = riders.draw_underbone if i % 3 == 2 else riders.draw_motorcycle
        entries.append(("motorcycle", 2.1, 1.85, 0.7, partial(draw, paint=_BIKES[i], clothes=clothes)))
    for livery in heavy.LIVERIES:
        entries.append(("bus", heavy.BUS_LENGTH, 2.92, 2.4, partial(heavy.draw_bus, livery=livery)))
    for i, cab in enumerate(heavy.CABS):
        draw_truck = heavy.draw_dumper if i % 2 else heavy.draw_box_truck
        entries.append(("truck", 6.0, 3.02, 2.2, partial(draw_truck, cab=cab, load=heavy.LOADS[i % 4])))
    return entries


def _model(view: View, distance: float, label: str, length: float, height: float, width: float, draw: _Draw) -> Model:
    size = ENLARGED if label == "motorcycle" else 1.0
    scale = view.scale(distance) * size
    canvas = Canvas(length, height, scale, CAMERA_HEIGHT / size, distance / (distance + width))
    draw(canvas)
    drawing = canvas.drawing()
    x0, y0, x1, y1 = drawing.box
    ahead = ((x0 + x1) / 2 - drawing.origin[0]) / scale - length / 2
    up = (drawing.origin[1] - (y0 + y1) / 2) / scale
    return Model(label, drawing, size, (ahead * size, up * size))


def _shadow(drawing: Drawing, ratio: float, size: tuple[int, int], strength: float) -> Image:
    """Return a soft shadow, uint8 (h, w), on the ground from the near side of the vehicle to beneath it."""
    ground: Image = np.zeros((size[1], size[0]), np.uint8)
    scale, (x, y) = drawing.scale * ratio, (drawing.origin[0] * ratio, drawing.origin[1] * ratio)
    corners = (round(x), round(y - 0.3 * scale)), (round(x + drawing.length * scale), round(y + 0.06 * scale))
    cv2.rectangle(ground, *corners, int(255 * strength), -1)
    softness = max(3, int(0.2 * scale) | 1)
    return np.asarray(cv2.blur(cv2.blur(ground, (softness, softness)), (softness, softness)), np.uint8)


def _light_lamps(colour: Image, drawing: Drawing, ratio: float, darkness: float) -> None:
    scale = drawing.scale * ratio
    for lamp in drawing.lamps:
        x, y = drawing.origin[0] * ratio + lamp.x * scale, drawing.origin[1] * ratio - lamp.y * scale
        radius = int(lamp.radius * scale)
        top, left = max(0, round(y) - radius), max(0, round(x) - radius)
        area = colour[top : round(y) + radius, left : round(x) + radius]
        ys, xs = np.ogrid[top : top + area.shape[0], left : left + area.shape[1]]
        near = np.clip(1 - np.hypot(xs - x, ys - y) / radius, 0, 1)[..., None]
        glow = near**2 * np.array(lamp.colour, np.float32) * darkness
        cv2.add(area, glow.astype(np.uint8), dst=area)

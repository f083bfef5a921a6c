"""Show vehicles against a low sun: dark towards the camera, bright roofs, long shadows. numpy and OpenCV.

No picture that may be trained on has this light, and a detector that never saw it finds nothing there. What is drawn
follows from where the sun stands, in front of the camera and low: every side that faces the camera is in shade, roofs
shine, shadows fall towards the camera, and the lens scatters the rest.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, TypeAlias

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from models.common.geometry import covered_share, shared_area
from models.conversion.manifest import PAD
from models.data.samples import CLASSES
from models.training.framing import VISIBLE, Example, over
from models.training.weather import dazzled

_Corners: TypeAlias = list[tuple[float, float]]
"""x and y of a polygon's corners, px."""
_CAR: Final = CLASSES.index("car")
_TRUCK: Final = CLASSES.index("truck")
_SMALLEST: Final = 10
"""Px of the shorter side: of smaller vehicles no side can be told from another."""
_LORRIES: Final = 2
_TRIES: Final = 6
_NEAR: Final = 0.5
"""Share of the lorries that stand near the camera, not beside a car."""
_LARGE: Final = (0.06, 0.3)
"""Their width relative to that of the picture."""
_WIDER: Final = (1.15, 1.6)
"""Width of a lorry relative to that of a car beside it."""
_HIGH: Final = (0.9, 1.5)
"""Height of its rear relative to its width."""
_LONG: Final = (0.6, 3.0)
"""Height of its roof in the picture relative to its width: the higher the camera, the more."""


def against_the_light(shown: Example, random: np.random.Generator) -> Example:
    """Return the example as it might look against a low sun; lorries that show their roofs may be added."""
    slant = float(random.uniform(-0.7, 0.7))
    frame = _frame(shown.image)
    image: Image = (shown.image * random.uniform(0.55, 0.9)).astype(np.uint8)
    for box in shown.boxes:
        if (box[2:] - box[:2]).min() >= _SMALLEST:
            _shadow(image, box, slant, random)
            _shade(image, box, random)
    shown = replace(shown, image=image)
    for _ in range(int(random.integers(_LORRIES + 1))):
        shown = _with_lorry(shown, frame, slant, random)
    return replace(shown, image=dazzled(_spotted(shown.image, random), random))


def _frame(image: Image) -> tuple[slice, slice]:
    """Return the rows and columns of the picture within its padding."""
    shows = (image != PAD).any(axis=2)
    if not shows.any():
        return slice(0, shows.shape[0]), slice(0, shows.shape[1])
    rows, columns = (np.flatnonzero(shows.any(axis=axis)).tolist() for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _shadow(image: Image, box: FloatArray, slant: float, random: np.random.Generator) -> None:
    """Darken the ground from the wheels towards the camera. slant: to the right for each px down."""
    x0, y0, x1, y1 = (float(v) for v in box)
    high = y1 - y0
    length = high * random.uniform(0.5, 2.0)
    start, end = y1 - 0.12 * high, y1 + length
    inset = 0.06 * (x1 - x0)
    corners = [
        (x0 + inset, start),
        (x1 - inset, start),
        (x1 - inset + slant * length, end),
        (x0 + inset + slant * length, end),
    ]
    _darken(image, corners, random.uniform(0.25, 0.55), 0.5 + 0.03 * high)


def _darken(image: Image, corners: _Corners, left: float, soft: float) -> None:
    """Leave a share of the light in a polygon, px, with a soft edge."""
    where, cover = _covered(image, corners, soft)
    image[where] = (image[where] * (1 - (1 - left) * cover)).astype(np.uint8)


def _covered(image: Image, corners: _Corners, soft: float = 0.0) -> tuple[tuple[slice, slice], FloatArray]:
    """Return the rows and columns around a polygon, and how much of each pixel there it covers, float32 (h, w, 1).

    All that is drawn stays within them: whole pictures for every side of every vehicle took more than twice as long.
    soft: standard deviation of the edge, px.
    """
    height, width = image.shape[:2]
    points, reach = np.array(corners).round().astype(np.int32), math.ceil(4 * soft) + 1
    x0, y0 = np.clip(points.min(axis=0) - reach, 0, (width, height))
    x1, y1 = np.clip(points.max(axis=0) + reach + 1, 0, (width, height))
    cover = np.zeros((y1 - y0, x1 - x0), np.float32)
    if cover.size:
        cv2.fillPoly(cover, [points - np.array([x0, y0], np.int32)], (1.0,), cv2.LINE_AA)
        cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), soft) if soft else cover, np.float32)
    return (slice(y0, y1), slice(x0, x1)), cover[..., None]


def _shade(image: Image, box: FloatArray, random: np.random.Generator) -> None:
    """Darken a vehicle towards the camera, and let the upper edge of its roof shine."""
    x0, y0, x1, y1 = _inside(image, box)
    view = image[y0:y1, x0:x1].astype(np.float32)
    y, x = np.mgrid[-1 : 1 : view.shape[0] * 1j, -1 : 1 : view.shape[1] * 1j]
    body = np.exp(-((np.abs(x) / 0.9) ** 6) - (np.abs(y) / 0.95) ** 6)[..., None]
    roof = np.exp(-(((y + random.uniform(0.7, 0.95)) / random.uniform(0.08, 0.25)) ** 2) - (x / 0.6) ** 4)[..., None]
    view *= 1 - (1 - random.uniform(0.2, 0.6)) * body
    view += roof * random.uniform(20, 130)
    image[y0:y1, x0:x1] = view.clip(0, 255).astype(np.uint8)


def _with_lorry(shown: Example, frame: tuple[slice, slice], slant: float, random: np.random.Generator) -> Example:
    """Draw a box lorry from behind and above into the image; return the example with its box, if it finds a place.

    It stands beside a car, or near the camera, where its roof fills much of the picture and hides what lies beneath.
    frame: rows and columns of the picture, which is drawn in alone.
    """
    view, corner = shown.image[frame], np.array([frame[1].start, frame[0].start] * 2, np.float32)
    height, width = view.shape[:2]
    whole = np.array([0, 0, width, height], np.float32)
    large = (shown.boxes[:, 2:] - shown.boxes[:, :2]).min(axis=1) >= _SMALLEST
    cars = shown.boxes[(shown.kinds == _CAR) & large] - corner
    others = np.concatenate([shown.boxes, shown.regions]) - corner
    for _ in range(_TRIES if len(shown.boxes) else 0):
        near = not len(cars) or random.random() < _NEAR
        left, bottom, wide = _before(width, height, random) if near else _beside(cars, random)
        rear, roof = wide * random.uniform(*_HIGH), wide * random.uniform(*_LONG)
        middle = left + wide / 2 + random.uniform(-0.6, 0.6) * roof
        far, top = random.uniform(0.55, 0.95) * wide / 2, bottom - rear
        edge = [(middle - far, top - roof), (middle + far, top - roof)]
        points = np.array([*edge, (left, bottom), (left + wide, bottom)])
        box = np.array([*points.min(axis=0), *points.max(axis=0)], np.float32)
        seen = np.clip(box, 0, np.tile(whole[2:], 2))
        if covered_share(box[None], whole[None])[0, 0] < VISIBLE:
            continue
        if not near and (shared_area(seen[None], others) > 0).any():
            continue
        body = (left, top, left + wide, bottom)
        _shadow(view, np.array(body, np.float32), slant, random)
        _drawn(view, [*edge, (left + wide, top), (left, top)], body, random)
        place, none = seen + corner, np.zeros((0, 4), np.float32)
        lorry = Example(view, place[None], np.array([_TRUCK], np.int8), np.ones(1, bool), none)
        return over(shown, lorry, place)
    return shown


def _beside(cars: FloatArray, random: np.random.Generator) -> tuple[float, float, float]:
    """Return left, bottom and width, px, of a lorry beside one of some cars."""
    x0, _, x1, y1 = (float(v) for v in cars[int(random.integers(len(cars)))])
    wide = (x1 - x0) * random.uniform(*_WIDER)
    return x0 + wide * random.uniform(-5, 5), y1 + wide * random.normal(0, 0.3), wide


def _before(width: int, height: int, random: np.random.Generator) -> tuple[float, float, float]:
    """Return left, bottom and width, px, of a lorry near the camera; the lower edge of the picture may cut it."""
    wide = width * math.exp(random.uniform(*np.log(_LARGE)))
    return random.uniform(-0.5 * wide, width - 0.5 * wide), height * random.uniform(0.55, 1.6), wide


def _drawn(
    image: Image,
    roof: _Corners,
    rear: tuple[float, float, float, float],
    random: np.random.Generator,
) -> None:
    """Draw a shining roof with ribs, and a dark rear below it. Corners in px; of the roof the nearer ones come last."""
    x0, y0, x1, y1 = rear
    tint = np.asarray(1 + random.uniform(-0.12, 0.12) * np.array([1.0, 0.0, -1.0]), np.float32)
    shade = np.asarray(random.uniform(25, 85) * (1 + random.uniform(-0.2, 0.2, 3)), np.float32)
    for (far_x, far_y), near_x, outside in ((roof[0], x0, -1), (roof[1], x1, 1)):
        if (far_x - near_x) * outside > 0:  # this side of the lorry is turned to the camera, below the roof
            foot = far_y + 0.6 * (y1 - y0)
            _side(image, [(near_x, y0), (far_x, far_y), (far_x, foot), (near_x, y1)], shade * np.float32(0.8), random)
    _side(image, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], shade, random)
    _side(image, roof, tint * np.float32(random.uniform(110, 220)), random)


def _side(image: Image, corners: _Corners, colour: FloatArray, random: np.random.Generator) -> None:
    """Fill one side with a colour, float (3,) BGR, ribs across and noise; its outline is a little brighter."""
    (rows, columns), cover = _covered(image, corners)
    if not cover.size:
        return
    down = np.linspace(-1, 1, image.shape[0])[rows, None]
    ribs = np.sin(np.arange(rows.start, rows.stop) * random.uniform(0.6, 2.5) + random.uniform(0, 6))[:, None]
    noise = cv2.GaussianBlur(random.normal(0, 1, cover.shape[:2]).astype(np.float32), (0, 0), 0.8)
    light = 1 + random.uniform(0, 0.12) * ribs + random.uniform(0.02, 0.15) * noise
    filled = (light * (1 + random.uniform(-0.25, 0.25) * down))[..., None] * colour
    view = image[rows, columns]
    view[:] = (filled * cover + view * (1 - cover)).clip(0, 255).astype(np.uint8)
    if random.random() < 0.6:
        edge = tuple(float(v) for v in np.clip(np.asarray(colour) * random.uniform(1.05, 1.5), 0, 255))
        cv2.polylines(image, [np.array(corners).round().astype(np.int32)], True, edge, 1, cv2.LINE_AA)


def _spotted(image: Image, random: np.random.Generator) -> Image:
    """Return it through a lens with drops and dust, which a sun in front of it lights up."""
    height, width = image.shape[:2]
    spots = np.zeros((height, width), np.float32)
    for x, y in random.uniform(0, 1, (int(random.integers(0, 60)), 2)) * (width, height):
        cv2.circle(spots, (int(x), int(y)), int(random.integers(1, 4)), (float(random.uniform(-25, 45)),), -1)
    spots = np.asarray(cv2.GaussianBlur(spots, (0, 0), random.uniform(0.6, 2.0)), np.float32)
    return np.asarray((image + spots[..., None]).clip(0, 255), np.uint8)


def _inside(image: Image, box: FloatArray) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in np.clip(box.round(), 0, np.array([width, height] * 2)))
    return x0, y0, x1, y1

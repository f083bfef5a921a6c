"""Show a labelled picture through a window, as a camera might have framed it. numpy and OpenCV."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.common.geometry import covered_share
from models.conversion.anchors import Size
from models.conversion.manifest import PAD

VISIBLE: Final = 0.35
"""Share of a box that must be inside the window. With less the box is ignored, and with less than _GONE it is dropped.
"""
_GONE: Final = 0.08


@dataclass(frozen=True, slots=True)
class Scene:
    """A decoded picture with its labels.

    image: uint8 (H, W, 3) BGR. aspect: width / height of what the camera saw.
    boxes: float32 (N, 4), x0 y0 x1 y1 in 0..1. kinds: int8 (N,), classes. ignored: bool (N,).
    placed: bool (N,), True when the box is where it should be. A box that leaves out the rider says what is there, but
    not how large it is.
    """

    image: Image
    aspect: float
    boxes: FloatArray
    kinds: NDArray[np.int8]
    ignored: NDArray[np.bool_]
    placed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Example:
    """A training example, as the network sees it.

    image: uint8 (H, W, 3) BGR of the input's size. boxes: float32 (N, 4) in its px, with kinds int8 (N,) and placed
    bool (N,) as in Scene. regions: float32 (R, 4) where nothing is learned.
    """

    image: Image
    boxes: FloatArray
    kinds: NDArray[np.int8]
    placed: NDArray[np.bool_]
    regions: FloatArray


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a scene that an example shows.

    zoom: 1 for the whole picture, above for a part of it. stretch: width relative to height.
    at: x and y in 0..1, where the part lies, or the picture in its margin. flip: left and right exchanged.
    """

    zoom: float = 1.0
    stretch: float = 1.0
    at: tuple[float, float] = (0.5, 0.5)
    flip: bool = False


def cut(scene: Scene, size: Size, window: Window = Window()) -> Example:
    """Return the scene through a window; with the default as a device sees it, letterboxed."""
    fit = _fit(scene, size) * window.zoom
    wide, high = scene.aspect * fit * math.sqrt(window.stretch), fit / math.sqrt(window.stretch)
    height, width = scene.image.shape[:2]
    from_x, to_x, moved_x = _span(wide, size.width, window.at[0], width)
    from_y, to_y, moved_y = _span(high, size.height, window.at[1], height)
    part = scene.image[from_y[0] : from_y[1], from_x[0] : from_x[1]]
    target = to_x[1] - to_x[0], to_y[1] - to_y[0]
    shrinks = target[0] < part.shape[1]
    image = np.full((size.height, size.width, 3), PAD, np.uint8)
    image[to_y[0] : to_y[1], to_x[0] : to_x[1]] = cv2.resize(
        part, target, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    factor, shift = np.array([moved_x, moved_y] * 2, np.float32).T
    boxes = scene.boxes * np.array([width, height] * 2, np.float32) * factor + shift
    if window.flip:
        image, boxes = np.ascontiguousarray(image[:, ::-1]), _mirrored(boxes, size.width)
    return _kept(image, boxes, scene, size)


def around(
    scene: Scene, box: FloatArray, size: Size, high: float, middle: tuple[float, float], flip: bool = False
) -> Window:
    """Return the window that shows a box of the scene, x0 y0 x1 y1 in 0..1, `high` px high.

    middle: where its middle lies, x and y relative to the input, as far as the picture reaches.
    """
    whole = high / float(box[3] - box[1])
    at = []
    for axis, (side, length) in enumerate(zip(size, (scene.aspect * whole, whole), strict=True)):
        start = middle[axis] * side - float(box[axis] + box[axis + 2]) / 2 * length
        at.append(float(np.clip(start / (side - length), 0, 1)) if abs(side - length) > 1 else 0.5)
    return Window(zoom=whole / _fit(scene, size), at=(at[0], at[1]), flip=flip)


def _fit(scene: Scene, size: Size) -> float:
    """Return the height in px of a whole picture within an input."""
    return min(size.width / scene.aspect, size.height)


def _mirrored(boxes: FloatArray, width: int) -> FloatArray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def _span(
    length: float, side: int, at: float, pixels: int
) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float]]:
    """Map one axis of a picture of `pixels`, enlarged to `length` px, over an input of `side` px.

    at: 0..1, where it lies. Returns the px taken from the picture, the px filled of the input, and factor and shift
    that lead from the former to the latter.
    """
    start = at * (side - length)
    first, last = max(0, round(start)), min(side, max(round(start) + 1, round(start + length)))
    scale = pixels / length
    low = int(np.clip(math.floor((first - start) * scale), 0, pixels - 1))
    high = int(np.clip(math.ceil((last - start) * scale), low + 1, pixels))
    factor = (last - first) / (high - low)
    return (low, high), (first, last), (factor, first - low * factor)


def _kept(image: Image, boxes: FloatArray, scene: Scene, size: Size) -> Example:
    whole = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3).prod(axis=1)
    inside = np.clip(boxes, 0, np.array([size.width, size.height] * 2, np.float32))
    left = np.maximum(inside[:, 2:] - inside[:, :2], 0).prod(axis=1) / whole
    good = (left >= VISIBLE) & ~scene.ignored
    region = (left >= _GONE) & ~good
    return Example(
        image, inside[good].astype(np.float32), scene.kinds[good], scene.placed[good], inside[region].astype(np.float32)
    )


def ignore_small(shown: Example, smallest: float) -> Example:
    """Return the example with boxes below a geometric mean side of `smallest` px as regions."""
    sides = shown.boxes[:, 2:] - shown.boxes[:, :2]
    small = np.sqrt(sides.prod(axis=1)) < smallest
    regions = np.concatenate([shown.regions, shown.boxes[small]])
    return Example(shown.image, shown.boxes[~small], shown.kinds[~small], shown.placed[~small], regions)


def overlay(shown: Example, part: Example, at: tuple[int, int]) -> Example:
    """Return the example with a smaller one laid over it, which hides what lies beneath.

    at: x, y of the smaller one's upper left corner.
    """
    (height, width), (x, y) = part.image.shape[:2], at
    image = shown.image.copy()
    image[y : y + height, x : x + width] = part.image
    shift = np.array([x, y, x, y], np.float32)
    return over(
        replace(shown, image=image),
        replace(part, boxes=part.boxes + shift, regions=part.regions + shift),
        np.array([x, y, x + width, y + height], np.float32),
    )


def over(shown: Example, part: Example, box: FloatArray) -> Example:
    """Return the example with the labels of something that was put into its image and hides what lies in a box.

    part: in px of the example; its image is not looked at. box: x0 y0 x1 y1 in px.
    """
    left = 1 - covered_share(shown.boxes, box[None])[:, 0]
    good, region = left >= VISIBLE, (left >= _GONE) & (left < VISIBLE)
    return Example(
        shown.image,
        np.concatenate([shown.boxes[good], part.boxes]),
        np.concatenate([shown.kinds[good], part.kinds]),
        np.concatenate([shown.placed[good], part.placed]),
        np.concatenate([shown.regions, shown.boxes[region], part.regions]),
    )

"""Pictures as roadside cameras might have framed them: windows, mosaics, motorcycles put in. numpy and OpenCV.

Bochkovskiy et al., "YOLOv4" (2020) for mosaic; Ghiasi et al., "Simple Copy-Paste" (2021), here of single motorcycles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.anchors import Size
from models.data.samples import BICYCLE, CLASSES
from models.manifest import PAD
from models.training.settings import Augmentation
from models.training.weather import change

_VISIBLE: Final = 0.35
"""Share of a box that must be left inside the window; below it the box is ignored, and below _GONE it is none."""
_GONE: Final = 0.08
_MOTORCYCLE: Final = CLASSES.index("motorcycle")
_PASTED_FROM: Final = 22
"""px of the picture: smaller motorcycles are not worth copying."""
_PASTES: Final = 4
_TRIES: Final = 4
_AS_THEY_ARE: Final = 0.5
"""Of the pictures that are to have a bicycle, those that had one from the first."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A decoded picture: image uint8 (H, W, 3) BGR, aspect of what the camera saw, boxes float32 (N, 4) x0 y0 x1 y1 in
    0..1, kinds int8 (N,), ignored bool (N,), placed bool (N,): whether the box is where it should be; one that leaves
    out the rider says what is there, but not how large it is."""

    image: Image
    aspect: float
    boxes: FloatArray
    kinds: NDArray[np.int8]
    ignored: NDArray[np.bool_]
    placed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the network gets: image uint8 (H, W, 3) BGR of the input's size; boxes float32 (N, 4) in its px with kinds
    int8 (N,) and placed bool (N,) as in Scene; regions float32 (R, 4) where nothing is taught."""

    image: Image
    boxes: FloatArray
    kinds: NDArray[np.int8]
    placed: NDArray[np.bool_]
    regions: FloatArray


@dataclass(frozen=True, slots=True)
class Window:
    """zoom: 1 for the whole picture, above for a part of it. stretch: width against height. at: 0..1, where the part
    lies, or the picture in its margin. flip: left for right."""

    zoom: float = 1.0
    stretch: float = 1.0
    at: tuple[float, float] = (0.5, 0.5)
    flip: bool = False


def cut(scene: Scene, size: Size, window: Window = Window()) -> Shown:
    """The picture through a window; with the default as a device shows it, letterboxed."""
    fit = min(size.width / scene.aspect, size.height) * window.zoom
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


def _mirrored(boxes: FloatArray, width: int) -> FloatArray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def _span(
    length: float, side: int, at: float, pixels: int
) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float]]:
    """Along one axis, a picture of `pixels` enlarged to `length` px over an input of `side`: px taken from the picture,
    px filled of the input, and factor and shift that lead from the former to the latter."""
    start = at * (side - length)
    first, last = max(0, round(start)), min(side, max(round(start) + 1, round(start + length)))
    scale = pixels / length
    low = int(np.clip(math.floor((first - start) * scale), 0, pixels - 1))
    high = int(np.clip(math.ceil((last - start) * scale), low + 1, pixels))
    factor = (last - first) / (high - low)
    return (low, high), (first, last), (factor, first - low * factor)


def _kept(image: Image, boxes: FloatArray, scene: Scene, size: Size) -> Shown:
    whole = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3).prod(axis=1)
    inside = np.clip(boxes, 0, np.array([size.width, size.height] * 2, np.float32))
    left = np.maximum(inside[:, 2:] - inside[:, :2], 0).prod(axis=1) / whole
    good = (left >= _VISIBLE) & ~scene.ignored
    region = (left >= _GONE) & ~good
    return Shown(
        image, inside[good].astype(np.float32), scene.kinds[good], scene.placed[good], inside[region].astype(np.float32)
    )


def small_ones_ignored(shown: Shown, smallest: float) -> Shown:
    """Boxes whose geometric mean side is below `smallest` px become regions."""
    sides = shown.boxes[:, 2:] - shown.boxes[:, :2]
    small = np.sqrt(sides.prod(axis=1)) < smallest
    regions = np.concatenate([shown.regions, shown.boxes[small]])
    return Shown(shown.image, shown.boxes[~small], shown.kinds[~small], shown.placed[~small], regions)


class Augmenter:
    """Draws scenes and shows them changed. draw: gives a random scene; rare: one with a bicycle, where there are some.
    Used by one thread; random by its generator."""

    def __init__(
        self,
        draw: Callable[[], Scene],
        size: Size,
        settings: Augmentation,
        random: np.random.Generator,
        rare: Callable[[], Scene] | None = None,
    ) -> None:
        self._draw, self._size, self._settings, self._random, self._rare = draw, size, settings, random, rare

    def __call__(self) -> Shown:
        """The next picture."""
        if self._random.random() < self._settings.mosaic:
            shown = self._mosaic()
        else:
            shown = self._window(self._next(), self._size)
        return replace(shown, image=change(shown.image, self._settings, self._random))

    def _next(self) -> Scene:
        rare = self._rare if self._random.random() < self._settings.bicycles else None
        if rare and self._random.random() < _AS_THEY_ARE:
            return rare()
        scene = self._draw()
        if self._random.random() < self._settings.paste:
            scene = self._pasted(scene, cut_out(self._draw(), _MOTORCYCLE), _MOTORCYCLE)
        return self._pasted(scene, cut_out(rare(), BICYCLE), BICYCLE) if rare else scene

    def _window(self, scene: Scene, size: Size, smaller: float = 1.0) -> Shown:
        """A random window; again when nothing is left in it."""
        low, high = (math.log(side / smaller) for side in self._settings.window)
        most = math.log(self._settings.stretch)
        for _ in range(_TRIES):
            window = Window(
                zoom=math.exp(-self._random.uniform(low, high)),
                stretch=math.exp(self._random.uniform(-most, most)),
                at=(float(self._random.random()), float(self._random.random())),
                flip=bool(self._random.random() < self._settings.flip),
            )
            shown = cut(scene, size, window)
            if len(shown.boxes):
                break
        return shown

    def _mosaic(self) -> Shown:
        """Four windows side by side, vehicles about as large as in one."""
        half = Size(self._size.width // 2, self._size.height // 2)
        parts = [self._window(self._next(), half, smaller=1.5) for _ in range(4)]
        rows = [np.concatenate([parts[i].image, parts[i + 1].image], axis=1) for i in (0, 2)]
        image = np.full((self._size.height, self._size.width, 3), PAD, np.uint8)
        image[: 2 * half.height, : 2 * half.width] = np.concatenate(rows)
        shifts = [np.array([x, y, x, y], np.float32) for y in (0, half.height) for x in (0, half.width)]
        return Shown(
            image,
            np.concatenate([part.boxes + shift for part, shift in zip(parts, shifts, strict=True)]),
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.placed for part in parts]),
            np.concatenate([part.regions + shift for part, shift in zip(parts, shifts, strict=True)]),
        )

    def _pasted(self, scene: Scene, patches: Sequence[tuple[Image, float]], kind: int) -> Scene:
        """With some two-wheelers of another scene, as large as the vehicles at that height of the picture."""
        known = np.flatnonzero((scene.kinds <= _MOTORCYCLE) & ~scene.ignored)
        if not (len(known) and patches):
            return scene
        image, boxes = scene.image.copy(), [*scene.boxes]
        for _ in range(int(self._random.integers(1, _PASTES + 1))):
            patch, true = patches[int(self._random.integers(len(patches)))]
            place = self._place(scene, scene.boxes[self._random.choice(known)], true)
            if place is not None and not _overlaps(place, boxes) and _put(image, patch, place):
                boxes.append(place)
        more = len(boxes) - len(scene.boxes)
        return Scene(
            image,
            scene.aspect,
            np.array(boxes, np.float32).reshape(-1, 4),
            np.concatenate([scene.kinds, np.full(more, kind, np.int8)]),
            np.concatenate([scene.ignored, np.zeros(more, bool)]),
            np.concatenate([scene.placed, np.ones(more, bool)]),
        )

    def _place(self, scene: Scene, near: FloatArray, true: float) -> FloatArray | None:
        """A box of that true width / height beside another vehicle; None outside the picture."""
        height = float(near[3] - near[1]) * self._random.uniform(0.8, 1.25)
        width = height * true / scene.aspect
        bottom = float(near[3]) + self._random.normal(0, 0.3) * height
        middle = float(near[0] + near[2]) / 2 + self._random.uniform(-8, 8) * width
        box = np.array([middle - width / 2, bottom - height, middle + width / 2, bottom], np.float32)
        return box if box.min() >= 0 and box.max() <= 1 else None


def cut_out(scene: Scene, kind: int) -> list[tuple[Image, float]]:
    """Of a scene those of a kind that are whole and large enough, each with its true width / height."""
    height, width = scene.image.shape[:2]
    pixels = (scene.boxes * np.array([width, height] * 2, np.float32)).astype(int)
    sides = pixels[:, 2:] - pixels[:, :2]
    fit = (scene.kinds == kind) & ~scene.ignored & scene.placed & (sides.min(axis=1, initial=width) >= _PASTED_FROM)
    return [
        (scene.image[y0:y1, x0:x1], float((x1 - x0) / (y1 - y0) * scene.aspect * height / width))
        for x0, y0, x1, y1 in pixels[fit]
    ]


def _overlaps(box: FloatArray, others: Sequence[FloatArray]) -> bool:
    known = np.array(others, np.float32)
    side = np.minimum(box[2:], known[:, 2:]) - np.maximum(box[:2], known[:, :2])
    return bool((side.min(axis=1) > 0).any())


def _put(image: Image, patch: Image, box: FloatArray) -> bool:
    """Blend a patch into the box with soft edges; False where it would be only a few px."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (box * np.array([width, height] * 2)).round().astype(int)
    if min(x1 - x0, y1 - y0) < 5:
        return False
    enlarged = x1 - x0 > patch.shape[1]
    new = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA)
    y, x = np.mgrid[-1 : 1 : (y1 - y0) * 1j, -1 : 1 : (x1 - x0) * 1j]
    soft = np.clip((1.15 - (x**4 + y**4) ** 0.25) * 5, 0, 1)[..., None]
    window = image[y0:y1, x0:x1]
    window[:] = (new * soft + window * (1 - soft)).astype(np.uint8)
    return True

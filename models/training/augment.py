"""Show pictures as roadside cameras might have framed them: windows, mosaics, pasted vehicles. numpy and OpenCV.

Bochkovskiy et al., "YOLOv4" (2020) for mosaic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from edge_app.records import FloatArray
from models.conversion.anchors import Size
from models.conversion.manifest import PAD
from models.data.samples import BICYCLE, MOTORCYCLE
from models.training.backlight import against_the_light
from models.training.framing import Example, Scene, Window, around, cut, overlay
from models.training.pasting import SIDEWAYS, Patch, cut_out, overlaps, put
from models.training.settings import Augmentation
from models.training.weather import change

_PASTES: Final = 4
_TRIES: Final = 4
_AS_THEY_ARE: Final = 0.5
"""Share of the pictures with a bicycle that had one from the beginning; the others get one pasted."""
_FILLS: Final = (0.35, 1.3)
"""Height of a near vehicle relative to the input's."""
_ENLARGED: Final = 3.0
"""Factor by which a picture may be enlarged for that: beyond it there is only blur."""
_MIDDLE: Final = (0.1, 0.9)
"""Where the middle of a near vehicle lies, relative to the input: at the ends half of it is cut."""
_INSET: Final = (0.12, 0.45)
"""Width of a close-up that is laid over a picture, relative to the input's width."""


class Augmenter:
    """Source of augmented training examples, for one thread.

    draw: gives a random scene. size: of the examples. settings: shares of each change. random: decides everything.
    rare: gives a random scene with a bicycle. near: gives a random close-up. side: gives a random scene with a
    motorcycle from the side.
    """

    def __init__(
        self,
        draw: Callable[[], Scene],
        size: Size,
        settings: Augmentation,
        random: np.random.Generator,
        rare: Callable[[], Scene] | None = None,
        near: Callable[[], Scene] | None = None,
        side: Callable[[], Scene] | None = None,
    ) -> None:
        self._draw, self._size, self._settings, self._random = draw, size, settings, random
        self._rare, self._near, self._side = rare, near, side

    def __call__(self) -> Example:
        """Return the next example."""
        if self._random.random() < self._settings.mosaic:
            shown = self._mosaic()
        else:
            scene = self._next()
            near = self._around(scene) if self._happens(self._settings.near) else None
            shown = near or self._window(scene, self._size)
        if self._near and self._random.random() < self._settings.inset:
            shown = self._inset(shown, self._near())
        if self._happens(self._settings.backlight):
            shown = against_the_light(shown, self._random)
        return replace(shown, image=change(shown.image, self._settings, self._random))

    def _happens(self, share: float) -> bool:
        """Draw whether a change happens. Nothing is drawn at 0, so that runs of before give their batches again."""
        return bool(share and self._random.random() < share)

    def _next(self) -> Scene:
        rare = self._rare if self._random.random() < self._settings.bicycles else None
        if rare and self._random.random() < _AS_THEY_ARE:
            return rare()
        scene = self._draw()
        if self._random.random() < self._settings.paste:
            side = self._side if self._happens(self._settings.sideways) else None
            patches = self._cut_out(side or self._draw, MOTORCYCLE, SIDEWAYS if side else 0.0)
            scene = self._pasted(scene, patches, MOTORCYCLE)
        return self._pasted(scene, self._cut_out(rare, BICYCLE), BICYCLE) if rare else scene

    def _cut_out(self, draw: Callable[[], Scene], kind: int, wide: float = 0.0) -> list[Patch]:
        """Return two-wheelers of a kind from the first of some scenes that has any; wide: as in `cut_out`."""
        tries = (cut_out(draw(), kind, self._random, wide=wide) for _ in range(_TRIES))
        return next((patches for patches in tries if patches), [])

    def _window(self, scene: Scene, size: Size, smaller: float = 1.0) -> Example:
        """Return the scene through a random window; try again when no box is left in it."""
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

    def _around(self, scene: Scene) -> Example | None:
        """Return the scene through a window around one of its vehicles; None when none has pixels enough."""
        pixels = (scene.boxes[:, 3] - scene.boxes[:, 1]) * scene.image.shape[0]
        large = np.flatnonzero((pixels * _ENLARGED >= _FILLS[0] * self._size.height) & ~scene.ignored)
        if not len(large):
            return None
        row = int(self._random.choice(large))
        most = min(_FILLS[1], float(pixels[row]) * _ENLARGED / self._size.height)
        wanted = self._size.height * math.exp(self._random.uniform(math.log(_FILLS[0]), math.log(most)))
        middle = (float(self._random.uniform(*_MIDDLE)), float(self._random.uniform(*_MIDDLE)))
        flip = bool(self._random.random() < self._settings.flip)
        return cut(scene, self._size, around(scene, scene.boxes[row], self._size, wanted, middle, flip))

    def _inset(self, shown: Example, near: Scene) -> Example:
        """Lay a close-up over a part of the example: vehicles from street level, as small as those far away."""
        low, high = (math.log(share * self._size.width) for share in _INSET)
        width = math.exp(self._random.uniform(low, high))
        height = min(width / near.aspect, 0.9 * self._size.height)
        size = Size(round(height * near.aspect), round(height))
        part = cut(near, size, Window(flip=bool(self._random.random() < self._settings.flip)))
        x, y = (int(self._random.integers(whole - side + 1)) for whole, side in zip(self._size, size, strict=True))
        return overlay(shown, part, (x, y))

    def _mosaic(self) -> Example:
        """Return four windows side by side, with vehicles about as large as in one window."""
        half = Size(self._size.width // 2, self._size.height // 2)
        parts = [self._window(self._next(), half, smaller=1.5) for _ in range(4)]
        rows = [np.concatenate([parts[i].image, parts[i + 1].image], axis=1) for i in (0, 2)]
        image = np.full((self._size.height, self._size.width, 3), PAD, np.uint8)
        image[: 2 * half.height, : 2 * half.width] = np.concatenate(rows)
        shifts = [np.array([x, y, x, y], np.float32) for y in (0, half.height) for x in (0, half.width)]
        return Example(
            image,
            np.concatenate([part.boxes + shift for part, shift in zip(parts, shifts, strict=True)]),
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.placed for part in parts]),
            np.concatenate([part.regions + shift for part, shift in zip(parts, shifts, strict=True)]),
        )

    def _pasted(self, scene: Scene, patches: Sequence[Patch], kind: int) -> Scene:
        """Paste some two-wheelers of another scene, as large as the vehicles at that height of the picture.

        kind: their class.
        """
        known = np.flatnonzero((scene.kinds <= MOTORCYCLE) & ~scene.ignored)
        if not (len(known) and patches):
            return scene
        image, boxes = scene.image.copy(), [*scene.boxes]
        for _ in range(int(self._random.integers(1, _PASTES + 1))):
            patch = patches[int(self._random.integers(len(patches)))]
            near = scene.boxes[self._random.choice(known)]
            place = self._place(scene, near, patch.aspect)
            if place is not None and not overlaps(place, boxes) and put(image, patch, place, near):
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
        """Return a box of that true width / height beside another vehicle; None when it is outside the picture."""
        height = float(near[3] - near[1]) * self._random.uniform(0.8, 1.25)
        width = height * true / scene.aspect
        bottom = float(near[3]) + self._random.normal(0, 0.3) * height
        middle = float(near[0] + near[2]) / 2 + self._random.uniform(-8, 8) * width
        box = np.array([middle - width / 2, bottom - height, middle + width / 2, bottom], np.float32)
        return box if box.min() >= 0 and box.max() <= 1 else None

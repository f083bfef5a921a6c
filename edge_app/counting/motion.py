"""Tell whether anything moves in a picture, so that the network runs only when it may find a vehicle in motion.

The picture is compared with a background that is learnt from the pictures before, in squares of a few px, as logarithms
of brightness: light that changes as a whole, or gradually over the picture, is a constant there and is taken off. What
is left of a square and its neighbours counts as motion when it is several times what is usual at that place. Noise,
rain, leaves and a camera that trembles are usual after some seconds. A vehicle never becomes usual: where the
tracker has one that drives, nothing is learnt. (Background by running average and a threshold from each place's own
noise: Wren et al., "Pfinder", 1997; the fourth power in place of the variance is for rain, which is rare and strong.)

When in doubt the answer is that the picture must be searched: before the background is known, after the view changed,
for a while after the last motion, and once in a while in any case. Pure: no clock, no I/O; times are in seconds and
lengths in squares, as many in every picture, so the same values hold at any frame rate and resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image

_SQUARES: Final = (128, 72)
"""Most columns and rows of squares; the smallest vehicles that the network finds cover two by two."""
_ENOUGH: Final = 4
"""Rows of px in a square whose mean is as good as that of all."""
_HOLD_S: Final = 0.5
"""Time, s, for which pictures are searched after the last motion."""
_BEAT_S: Final = 2.0
"""Longest time, s, without a search: vehicles that stand are found, and so is a network that fails."""
_LEARN_S: Final = 3.0
"""Time, s, until the background is known."""
_BACKGROUND_S: Final = 3.0
"""Time constant, s, with which the background follows the picture: what has parked belongs to it soon."""
_USUAL_S: Final = 20.0
"""Time constant, s, of what is usual."""
_MOTION: Final = 3.0
"""Ratio of a change to what is usual at its place from which it is motion."""
_APART: Final = 2.0
"""The same in relation to the median of the parts of the picture: heavy rain is in all of them, a vehicle is not."""
_EVERYWHERE: Final = 6.0
"""Median of the parts from which the whole picture changes: a camera that was pushed, or a lorry in front of it."""
_PARTS: Final = 4
"""Rows and columns of these parts."""
_LEAST: Final = 0.01
"""Smallest change, in natural logarithms of brightness, that is taken as usual anywhere."""
_DARK: Final = 10.0
"""Added to the brightness, 0..255: differences in the dark are noise."""
_LIGHT: Final = 11
"""Side, in squares, of the surroundings that have one light: a vehicle's edges are sharper than a cloud's."""
_AROUND: Final = 0.3
"""Margin around a vehicle's box, of its width and height: its shadow."""
_BRIEF_S: Final = 0.1
"""Longest time, s, between two pictures that must both show a change: rain is elsewhere in the next one."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A picture as motion sees it: what of it is learnt once it is known whether a vehicle drives there.

    brightness: float32 (h, w), logarithm of the squares' brightness. change: float32 (h, w), fourth power of how much
    each square and its neighbours differ from the background. time: s. still: nothing moves, and the picture need not
    be searched. routine: nothing moves, but the last search was too long ago. moving: share of the squares that move.
    """

    brightness: FloatArray
    change: FloatArray
    time: float
    still: bool
    routine: bool
    moving: float


def squares(image: Image) -> FloatArray:
    """Return float32 (h, w): the mean brightness, 0..255, of each square of an image, uint8 (H, W, 3) BGR.

    It is taken from the frame itself, so that a frame in which nothing moves is never scaled for the network.
    """
    height, width = image.shape[:2]
    scale = min(_SQUARES[0] / width, _SQUARES[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.cvtColor(image[::2] if height >= 2 * _ENOUGH * size[1] else image, cv2.COLOR_BGR2GRAY)
    while grey.shape[1] >= 2 * size[0] and grey.shape[0] >= 2 * size[1]:  # several times as fast as all at once
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    means: FloatArray = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return means


class Motion:
    """Background of one camera's pictures, and when they were last searched; used by one thread."""

    def __init__(self) -> None:
        self._background = np.empty((0, 0), np.float32)
        self._usual = np.empty((0, 0), np.float32)  # fourth power of the change that is usual
        self._before = np.empty((0, 0), np.float32)  # change of the picture before, not yet compared with its own past
        self._seen_at = self._learnt_at = self._moved_at = self._searched_at = -math.inf
        self._background_s = self._usual_s = 0.0  # for which each has been learnt

    def look(self, squares: FloatArray, time: float) -> Seen:
        """Return whether the picture at `time`, s, is still; call it for each in order.

        squares: float32 (h, w), their brightness, 0..255.
        """
        brightness = np.log(squares + np.float32(_DARK))
        if brightness.shape != self._background.shape:
            self._begin(brightness, time)
        change = np.square(np.square(self._lasting(self._difference(brightness), time)))
        unusual = (change / self._usual).astype(np.float32, copy=False)
        if self._usual_s < _LEARN_S or self._moves(unusual):
            self._moved_at = time
        moves, lately = time - self._moved_at <= _HOLD_S, 0 <= time - self._searched_at < _BEAT_S
        if moves or not lately:
            self._searched_at = time
        moving = np.count_nonzero(unusual > _MOTION**4) / change.size
        return Seen(brightness, change, time, not moves and lately, not moves and not lately, float(moving))

    def learn(self, seen: Seen, vehicles: FloatArray) -> None:
        """Take a picture as background, apart from its vehicles; call it for each in order.

        vehicles: float32 (N, 4), boxes in squares of those that drive then and soon after, when the tracker is sure of
        them. Only without any, changes are usual: a vehicle's light and shadow, and the exposure that follows, are not.
        """
        if seen.brightness.shape != self._background.shape:
            return
        elapsed, self._learnt_at = max(0.0, seen.time - self._learnt_at), seen.time
        follow = np.float32(_share(elapsed, min(_BACKGROUND_S, self._background_s)))
        step = follow * (seen.brightness - self._background)
        self._background += step * _outside(vehicles, step.shape) if len(vehicles) else step
        self._background_s += elapsed
        if not len(vehicles):
            most = np.minimum(seen.change, np.float32(_MOTION**4) * self._usual)
            self._usual += np.float32(_share(elapsed, min(_USUAL_S, self._usual_s))) * (most - self._usual)
            np.maximum(self._usual, _LEAST**4, out=self._usual)
            self._usual_s += elapsed

    def _moves(self, unusual: FloatArray) -> bool:
        """Return whether a change, as the ratio to what is usual, is motion: large in one place, or everywhere."""
        strongest = np.sort(_parts(unusual).max(axis=1) ** 0.25).tolist()
        common = (strongest[_PARTS**2 // 2 - 1] + strongest[_PARTS**2 // 2]) / 2
        return bool(common > _EVERYWHERE or strongest[-1] > max(_MOTION, _APART * common))

    def _begin(self, brightness: FloatArray, time: float) -> None:
        self._background, self._before = brightness.copy(), np.zeros_like(brightness)
        self._usual = np.full_like(brightness, _LEAST**4)
        self._learnt_at, self._background_s, self._usual_s = time, 0.0, 0.0

    def _difference(self, brightness: FloatArray) -> FloatArray:
        """Return the size of the difference to the background, without that of the light, over three by three."""
        change = brightness - self._background
        change -= cv2.blur(change, (_LIGHT, _LIGHT))
        size: FloatArray = cv2.blur(np.abs(change), (3, 3)).astype(np.float32, copy=False)
        return size

    def _lasting(self, change: FloatArray, time: float) -> FloatArray:
        """Return the part of a change that the picture before has as well, if it was a short time ago."""
        before, self._before = self._before, change
        elapsed, self._seen_at = time - self._seen_at, time
        if not 0 <= elapsed <= _BRIEF_S:
            return change
        lasting: FloatArray = np.minimum(change, before)
        return lasting


def _parts(squares: FloatArray) -> FloatArray:
    """Return float32 (_PARTS ** 2, N): the squares of each part, without what is left at the right and lower border."""
    height, width = squares.shape[0] // _PARTS, squares.shape[1] // _PARTS
    parts = squares[: _PARTS * height, : _PARTS * width].reshape(_PARTS, height, _PARTS, width)
    rows: FloatArray = parts.transpose(0, 2, 1, 3).reshape(_PARTS**2, -1)
    return rows


def _share(elapsed: float, constant: float) -> float:
    """Return how far an average with this time constant, s, moves to its goal within a time, s."""
    return 1 - math.exp(-elapsed / max(constant, 1e-3))


def _outside(boxes: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return float32 of this shape: 0 in the squares of these boxes and around them, 1 elsewhere."""
    outside = np.ones(shape, np.float32)
    margin = np.tile(_AROUND * (boxes[:, 2:] - boxes[:, :2]), 2) * np.array([-1, -1, 1, 1], np.float32)
    for x0, y0, x1, y1 in np.maximum(boxes + margin, 0).round().astype(int).tolist():
        outside[y0 : y1 + 1, x0 : x1 + 1] = 0
    return outside

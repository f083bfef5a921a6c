"""Tell whether a vehicle still stands at the place where it stopped, though other vehicles hide it in part or wholly.

A box that is partly hidden shrinks from one side: its centre moves, the vehicle does not. A vehicle has moved when its
box leaves the place, that is when an edge passes beyond it. Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray

STANDS_S: Final = 0.8
"""Time, s, for which a box must stay at its place to stand there."""
HIDDEN_S: Final = 60.0
"""Longest time, s, for which a standing vehicle may be undetected and still be the one that stands there again."""
_MARGIN = np.float32(0.2)
"""Distance, in widths and heights of the place, by which an edge may pass beyond it: a detector's edges tremble."""
PLACE_S: Final = 1.0
"""Time constant, s, of the place: a vehicle rolls out before it stands, and its first box may be a bad one."""
_WHOLE = np.float32(0.8)
"""Smallest width or height, as a share of the place's, of a vehicle hidden from one side: it keeps the other one. One
that drives away into the distance loses both."""
_SHRUNK = np.float32(0.85)
"""Width or height, as a share of the place's, below which a part of the vehicle is hidden."""
_INSIDE = np.float32(0.7)
"""Least share of a box in its place, of the smaller in the larger, where a part of a standing vehicle shows again."""
_STARTED = np.float32(0.3)
"""The same for a whole vehicle: it may have started before it shows."""
_SMALLEST = np.float32(0.2)
"""Smallest share of its width or height that shows when a standing vehicle is detected again."""


def judged(boxes: FloatArray, places: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each box (N, 4) px and its place (N, 4) px two answers, bool (N,).

    Whether it can be a vehicle that still stands there, and whether it shows only a part of that vehicle.
    """
    sides, own = places[:, 2:] - places[:, :2], boxes[:, 2:] - boxes[:, :2]
    margin = _MARGIN * sides
    inside = (boxes[:, :2] >= places[:, :2] - margin) & (boxes[:, 2:] <= places[:, 2:] + margin)
    whole, part = own >= _WHOLE * sides, own < _SHRUNK * sides
    staying: NDArray[np.bool_] = inside[:, 0] & inside[:, 1] & (whole[:, 0] | whole[:, 1])
    return staying, part[:, 0] | part[:, 1]


def covered(boxes: FloatArray, places: FloatArray) -> FloatArray:
    """Return float32 (N,): the share of each box (N, 4) px on places (M, 4) px; above 1 where these overlap."""
    share: FloatArray = np.sum(shares(boxes, places), axis=1, dtype=np.float32)
    return share


def shares(boxes: FloatArray, places: FloatArray) -> FloatArray:
    """Return float32 (N, M): the share of each box (N, 4) px on each place (M, 4) px, 0..1."""
    sides = boxes[:, 2:] - boxes[:, :2]
    share: FloatArray = _shared(boxes, places) / np.maximum(sides[:, 0] * sides[:, 1], np.float32(1))[:, None]
    return share


def _shared(boxes: FloatArray, places: FloatArray) -> FloatArray:
    low = np.maximum(boxes[:, None, :2], places[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], places[None, :, 2:])
    area: FloatArray = np.maximum(high - low, 0).prod(axis=2)
    return area


def returns(boxes: FloatArray, places: FloatArray) -> FloatArray:
    """Return float32 (N, M): how well each box (N, 4) px fits each place (M, 4) px of a vehicle hidden since, 0..1.

    0 where another vehicle must be there now: too far beside it, or of another size.
    """
    own, other = (boxes[:, 2:] - boxes[:, :2])[:, None], (places[:, 2:] - places[:, :2])[None]
    share = _shared(boxes, places) / np.maximum(np.minimum(own.prod(axis=2), other.prod(axis=2)), 1)
    ratio = np.minimum(own, other) / np.maximum(np.maximum(own, other), 1)
    whole = (ratio.min(axis=2) >= _WHOLE) & (share >= _STARTED)
    smaller = (own <= other / _SHRUNK).all(axis=2) & (ratio.max(axis=2) >= _WHOLE) & (ratio.min(axis=2) >= _SMALLEST)
    part = smaller & (share >= _INSIDE)
    fit: FloatArray = np.where(whole | part, share, np.float32(0)).astype(np.float32)
    return fit

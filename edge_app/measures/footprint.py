"""Estimate where a vehicle stands on the road from its box, its class and the way it drives.

The lower edge of a box is that of a wheel on the road or of a bumper above it, its sides may be those of the roof;
which it is changes with the way the vehicle drives and with its distance. So a solid of the size that its class has in
the middle is moved over the road until its picture has the lower edge and the middle of the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.ground import GroundPlane, Points


@dataclass(frozen=True, slots=True)
class Solid:
    """Size of a vehicle, m. wheels: distance of the first and the last wheel on the road. clear: bumper above it.

    roof: share of the length that is as high as `height`; below 1 it is narrower than what is beneath, too.
    """

    length: float
    width: float
    height: float
    wheels: float
    clear: float
    roof: float = 1.0


SOLIDS: Final[Mapping[str, Solid]] = {
    "car": Solid(4.3, 1.8, 1.5, 3.2, 0.25, 0.6),
    "motorcycle": Solid(2.0, 0.7, 1.6, 1.9, 0.1, 0.3),
    "bus": Solid(11.0, 2.5, 3.1, 8.5, 0.3),
    "truck": Solid(8.0, 2.4, 3.2, 6.0, 0.4),
    "bicycle": Solid(1.8, 0.6, 1.7, 1.7, 0.1, 0.3),
}
"""What a vehicle of the class has in the middle; another size moves all places of a vehicle alike."""

VARIETY: Final[Mapping[str, tuple[float, float, float]]] = {
    "car": (0.13, 0.06, 0.10),
    "motorcycle": (0.10, 0.15, 0.08),
    "bus": (0.15, 0.03, 0.08),
    "truck": (0.30, 0.06, 0.15),
    "bicycle": (0.08, 0.15, 0.08),
}
"""How much length, width and height of the vehicles of a class differ: standard deviations, as shares."""

_BODY: Final = 0.6
_NARROW: Final = 0.85
"""Height of the body beneath a roof, and width of the roof, as shares."""
_STEPS: Final = 4
_STEEP: Final = 3
"""Number of steps, and of those in which the change of the picture is told anew."""
_SMALL: Final = 0.05
"""Step, m, from which the change of the picture is told."""
_NEAR: Final = np.array([(0, 0), (_SMALL, 0), (0, _SMALL)])
_BOX: Final = 0.02
_BOX_PX: Final = 1.0
"""Standard deviations of width and height of a box, as a share of it and, besides, in px."""
_MOST: Final = 0.5
"""Largest share by which a length may differ from that of the class."""
_FLAT: Final = 1e-9
"""Area, px, of a square metre from which on a place is told by the picture."""


def places(plane: GroundPlane, boxes: NDArray[np.float32], solid: Solid, heading: Points) -> Points:
    """Return the places, m, of the middle of a vehicle on the road; NaN where none is found.

    boxes: (N, 4) px, of one vehicle. heading: (2,), the way it drives on the road, of any length above 0.
    The two equations are solved by Newton's method with differences, all looks at once.
    """
    return _fit(plane, lower_edges(boxes), *_corners(solid, heading))


def fitted(plane: GroundPlane, boxes: NDArray[np.float32], label: str, heading: Points, wrong: float) -> Solid:
    """Return the solid of a class with the length that fits the boxes of one vehicle, (N, 4) px.

    wrong: share by which lengths on the plane may be wrong. Width and height of a box follow from length, width and
    height of the vehicle, which in its class are known only so far: a linear estimate with these as prior (R. E.
    Kalman: A new approach to linear filtering and prediction problems, 1960). Where a box tells nothing of the length,
    it stays that of the class.
    """
    usual = SOLIDS[label]
    step = 0.05
    other = (
        usual,
        replace(usual, length=usual.length * (1 + step), wheels=usual.wheels * (1 + step)),
        replace(usual, width=usual.width * (1 + step)),
        replace(usual, height=usual.height * (1 + step)),
    )
    base, *more = _sizes(plane, boxes, other, heading)
    change = np.stack([(sizes - base) / step for sizes in more], axis=2)
    known = np.isfinite(change).all(axis=(1, 2))
    if not known.any():
        return usual
    change, rest = change[known], (boxes[:, 2:] - boxes[:, :2])[known] - base[known]
    prior = np.diag(np.square(VARIETY[label]))
    noise = np.square(base[known]) * (_BOX**2 + wrong**2) + _BOX_PX**2
    spread = change @ prior @ change.transpose(0, 2, 1) + noise[:, :, None] * np.eye(2)
    longer = (prior[0] @ change.transpose(0, 2, 1))[:, None] @ np.linalg.solve(spread, rest[..., None])
    share = 1 + min(max(float(np.median(longer)), -_MOST), _MOST)
    return replace(usual, length=usual.length * share, wheels=usual.wheels * share)


def _sizes(plane: GroundPlane, boxes: NDArray[np.float32], solids: Sequence[Solid], heading: Points) -> Points:
    """Return width and height, px, of the boxes that solids would have where they fit these boxes best: (S, N, 2)."""
    each = [_corners(solid, heading) for solid in solids]
    flat, up = (np.stack(parts)[:, None] for parts in zip(*each, strict=True))
    pixels = plane.in_picture(_fit(plane, lower_edges(boxes), flat, up)[:, :, None] + flat, up)
    return np.asarray(pixels.max(axis=2) - pixels.min(axis=2))


def _fit(plane: GroundPlane, wanted: Points, flat: Points, up: NDArray[np.float64]) -> Points:
    """Return the places, m, of solids whose boxes have the middle of their lower edges there, (N, 2) px.

    flat, up: corners, (M, 2) m and (M,) m, for places (N, 2); with further axes before them for places (S, N, 2).
    """
    found = np.broadcast_to(plane.on_road(wanted), (*flat.shape[:-3], *wanted.shape))
    near = _NEAR.reshape(3, *(1,) * (found.ndim - 1), 2)
    for step in range(_STEPS):
        if step < _STEEP:  # three places at once: a call of numpy takes longer than its sums
            base, right, ahead = _shown(plane, found + near, flat, up)
            right, ahead = (right - base) / _SMALL, (ahead - base) / _SMALL
            scale = _cross(right, ahead)
            scale[~(np.abs(scale) > _FLAT)] = np.nan  # also above the horizon
        else:
            base = _shown(plane, found, flat, up)
        rest = wanted - base
        found = found + np.stack([_cross(rest, ahead), _cross(right, rest)], axis=-1) / scale[..., None]
    return np.asarray(found)


def _cross(a: Points, b: Points) -> NDArray[np.float64]:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def shown(plane: GroundPlane, middles: Points, solid: Solid, heading: Points) -> Points:
    """Return the px of the middle of the lower edge of the boxes of a solid at places (N, 2) m: (N, 2)."""
    return _shown(plane, middles, *_corners(solid, heading))


def lower_edges(boxes: NDArray[np.float32]) -> Points:
    """Return the px of the middle of the lower edge of boxes (N, 4) px: (N, 2)."""
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).astype(np.float64)


def _corners(solid: Solid, heading: Points) -> tuple[Points, NDArray[np.float64]]:
    """Return the corners of a solid around its middle: (M, 2) m on the road, and (M,) m above it."""
    half, side = solid.length / 2, solid.width / 2
    body = solid.height if solid.roof == 1 else _BODY * solid.height
    local = [(x, y, up) for x in (-half, half) for y in (-side, side) for up in (solid.clear, body)]
    local += [(x, y, 0.0) for x in (-solid.wheels / 2, solid.wheels / 2) for y in (-side, side)]
    if solid.roof < 1:
        x, y = half * solid.roof, side * _NARROW
        local += [(-x, -y, solid.height), (-x, y, solid.height), (x, -y, solid.height), (x, y, solid.height)]
    ahead = np.asarray(heading) / np.hypot(*heading)
    turn = np.stack([ahead, [-ahead[1], ahead[0]]])
    corners = np.array(local)
    return corners[:, :2] @ turn, corners[:, 2]


def _shown(plane: GroundPlane, middles: Points, flat: Points, up: NDArray[np.float64]) -> Points:
    """Return the px of the middle and of the lower edge of solids at these places, (..., 2): (..., 2)."""
    pixels = plane.in_picture(middles[..., None, :] + flat, up)
    x = pixels[..., 0]
    return np.stack([(x.min(axis=-1) + x.max(axis=-1)) / 2, pixels[..., 1].max(axis=-1)], axis=-1)

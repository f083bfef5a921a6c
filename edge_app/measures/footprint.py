"""Estimate where a vehicle stands on the road from its box, its class and the way it drives.

The lower edge of a box is that of a wheel on the road or of a bumper above it, its sides may be those of the roof;
which it is changes with the way the vehicle drives and with its distance. So a solid of the size that its class has in
the middle is moved over the road until its picture has the lower edge and the middle of the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import hypot
from typing import Final, NamedTuple

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
_STEPS: Final = 10
_SAME_M: Final = 0.05
"""Most steps of Newton's method, and the step, m, after which the next one would be below a millimetre."""
_BOX: Final = 0.02
_BOX_PX: Final = 1.0
"""Standard deviations of width and height of a box, as a share of it and, besides, in px."""
_STRETCH: Final = 0.05
_SIDES: Final = 3
"""Share by which each of so many sides of a solid is longer, to see how its box changes."""
_MOST: Final = 0.5
"""Largest share by which a length may differ from that of the class."""
_FLAT: Final = 1e-9
"""Area, px, of a square metre from which on a place is told by the picture."""


class Corners(NamedTuple):
    """Corners of a solid around its middle: flat (16, 1, 2) m on the road, up (16, 1) m above it.

    Of one solid for each of N looks: (16, N, 2) and (16, N).
    """

    flat: Points
    up: NDArray[np.float64]


def corners(solid: Solid, heading: Points) -> Corners:
    """Return the corners of a solid. heading: (2,), the way it drives on the road, of any length above 0."""
    local, up = _local_corners(solid)
    length = hypot(*heading)
    x, y = heading[0] / length, heading[1] / length
    return Corners((local @ np.array([(x, y), (-y, x)]))[:, None], up[:, None])


def for_each(solids: Sequence[Corners], looks: Sequence[int]) -> Corners:
    """Return the corners for each look: of the first solid for so many looks, then of the next one."""
    return Corners(
        np.repeat(np.concatenate([solid.flat for solid in solids], axis=1), looks, axis=1),
        np.repeat(np.concatenate([solid.up for solid in solids], axis=1), looks, axis=1),
    )


def places(plane: GroundPlane, boxes: NDArray[np.float32], solid: Solid, heading: Points) -> Points:
    """Return the places, m, of the middle of a vehicle on the road; NaN where none is found.

    boxes: (N, 4) px, of one vehicle. heading: (2,), the way it drives on the road, of any length above 0.
    """
    return stood(plane, lower_edges(boxes), corners(solid, heading))


class Sighting(NamedTuple):
    """What tells the length of a vehicle. boxes: (N, 4) px. heading: (2,). wrong: share of lengths on the plane."""

    label: str
    boxes: NDArray[np.float32]
    heading: Points
    wrong: float


def fitted(plane: GroundPlane, sightings: Sequence[Sighting]) -> list[Solid]:
    """Return the solid of the class of each vehicle, with the length that fits its boxes.

    Width and height of a box follow from length, width and height of the vehicle, which in its class are known only so
    far: a linear estimate with these as prior (R. E. Kalman: A new approach to linear filtering and prediction
    problems, 1960). Where a box tells nothing of the length, it stays that of the class. All are told at once.
    """
    each = for_each(
        [corners(solid, one.heading) for one in sightings for solid in _stretched(one.label)],
        [len(one.boxes) for one in sightings for _ in _stretched(one.label)],
    )
    edges = np.concatenate([np.tile(lower_edges(one.boxes), (1 + _SIDES, 1)) for one in sightings])
    pixels = plane.in_picture(stood(plane, edges, each) + each.flat, each.up)
    sizes = pixels.max(axis=0) - pixels.min(axis=0)
    parts = np.split(sizes, np.cumsum([(1 + _SIDES) * len(one.boxes) for one in sightings])[:-1])
    return [_lengthened(one, part.reshape(1 + _SIDES, -1, 2)) for one, part in zip(sightings, parts, strict=True)]


@cache
def _stretched(label: str) -> tuple[Solid, ...]:
    """Return the solid of a class, and it with each of its sides longer by `_STRETCH`."""
    usual, more = SOLIDS[label], 1 + _STRETCH
    return (
        usual,
        replace(usual, length=usual.length * more, wheels=usual.wheels * more),
        replace(usual, width=usual.width * more),
        replace(usual, height=usual.height * more),
    )


def _lengthened(one: Sighting, sizes: NDArray[np.float64]) -> Solid:
    """Return a solid of which these are, (4, N, 2) px, width and height of the boxes of `_stretched`."""
    usual, base = SOLIDS[one.label], sizes[0]
    change = ((sizes[1:] - base) / _STRETCH).transpose(1, 2, 0)
    known = np.isfinite(change).all(axis=(1, 2))
    if not known.any():
        return usual
    change, rest = change[known], (one.boxes[:, 2:] - one.boxes[:, :2])[known] - base[known]
    prior = np.diag(np.square(VARIETY[one.label]))
    noise = np.square(base[known]) * (_BOX**2 + one.wrong**2) + _BOX_PX**2
    spread = change @ prior @ change.transpose(0, 2, 1) + noise[:, :, None] * np.eye(2)
    longer = (prior[0] @ change.transpose(0, 2, 1))[:, None] @ np.linalg.solve(spread, rest[..., None])
    share = 1 + min(max(float(np.median(longer)), -_MOST), _MOST)
    return replace(usual, length=usual.length * share, wheels=usual.wheels * share)


def stood(plane: GroundPlane, edges: Points, solid: Corners) -> Points:
    """Return the places, (N, 2) m, of solids whose boxes have the middle of their lower edges at `edges`, (N, 2) px.

    The two equations are solved by Newton's method, all looks at once. NaN where none is found.
    """
    found = plane.on_road(edges)
    for _ in range(_STEPS):
        (left, right, lowest), at, up = _outermost(plane, found, solid)
        changes = plane.changes(at, up)
        across, down = (changes[0, ..., 0] + changes[1, ..., 0]) / 2, changes[2, ..., 1]
        x, y = edges[:, 0] - (left[:, 0] + right[:, 0]) / 2, edges[:, 1] - lowest[:, 1]
        scale = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
        scale[~(np.abs(scale) > _FLAT)] = np.nan  # also above the horizon
        step = np.empty_like(found)
        step[:, 0] = (x * down[:, 1] - y * across[:, 1]) / scale
        step[:, 1] = (y * across[:, 0] - x * down[:, 0]) / scale
        found = found + step
        if not (np.abs(step) > _SAME_M).any():
            break
    return found


def shown(plane: GroundPlane, middles: Points, solid: Corners) -> Points:
    """Return the px of the middle of the lower edge of the boxes of a solid at places (N, 2) m: (N, 2)."""
    (left, right, lowest), _, _ = _outermost(plane, middles, solid)
    return np.stack([(left[:, 0] + right[:, 0]) / 2, lowest[:, 1]], axis=1)


def _outermost(plane: GroundPlane, middles: Points, solid: Corners) -> tuple[Points, Points, NDArray[np.float64]]:
    """Return the corners that are leftmost, rightmost and lowest in the picture, for each look.

    px, (3, N, 2); places on the road, (3, N, 2) m; m above it, (3, N).
    """
    at = middles + solid.flat
    pixels, looks = plane.in_picture(at, solid.up), np.arange(len(middles))
    x, y = pixels[..., 0], pixels[..., 1]
    rows = np.array((x.argmin(axis=0), x.argmax(axis=0), y.argmax(axis=0)))
    return pixels[rows, looks], at[rows, looks], solid.up[rows, looks % solid.up.shape[1]]


def lower_edges(boxes: NDArray[np.float32]) -> Points:
    """Return the px of the middle of the lower edge of boxes (N, 4) px: (N, 2)."""
    edges = np.empty((len(boxes), 2))
    edges[:, 0], edges[:, 1] = (boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]
    return edges


@lru_cache(maxsize=256)
def _local_corners(solid: Solid) -> tuple[Points, NDArray[np.float64]]:
    """Return the corners of a solid that drives along the first axis: (16, 2) m, and (16,) m above the road."""
    half, side = solid.length / 2, solid.width / 2
    body = solid.height if solid.roof == 1 else _BODY * solid.height
    narrow = 1.0 if solid.roof == 1 else _NARROW
    wheels, roof = (solid.wheels / 2, side, 0.0), (half * solid.roof, side * narrow, solid.height)
    levels = (half, side, solid.clear), (half, side, body), wheels, roof
    found = np.array([(x * length, y * width, up) for length, width, up in levels for x in (-1, 1) for y in (-1, 1)])
    return found[:, :2], found[:, 2]

"""Estimate where a vehicle stands on the road from its box, its class and the way it drives.

The lower edge of a box is that of a wheel on the road or of a bumper above it, its sides may be those of the roof;
which it is changes with the way the vehicle drives and with its distance. So a solid of the size that its class has in
the middle is moved over the road until its picture has the lower edge and the middle of the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.measures.ground import GroundPlane, Points


@dataclass(frozen=True, slots=True)
class Solid:
    """Size of a vehicle, m. wheels: distance of the first and the last wheel on the road. clear: bumper above it."""

    length: float
    width: float
    height: float
    wheels: float
    clear: float


SOLIDS: Final[Mapping[str, Solid]] = {
    "car": Solid(4.3, 1.8, 1.5, 3.2, 0.25),
    "motorcycle": Solid(2.0, 0.7, 1.6, 1.9, 0.1),
    "bus": Solid(11.0, 2.5, 3.1, 8.5, 0.3),
    "truck": Solid(8.0, 2.4, 3.2, 6.0, 0.4),
    "bicycle": Solid(1.8, 0.6, 1.7, 1.7, 0.1),
}
"""What a vehicle of the class has in the middle; another size moves all places of a vehicle alike."""

_STEPS: Final = 4
_SMALL: Final = 0.05
"""Step, m, from which the change of the picture is told."""
_FLAT: Final = 1e-9
"""Area, px, of a square metre from which on a place is told by the picture."""


def places(plane: GroundPlane, boxes: NDArray[np.float32], label: str, heading: Points) -> Points:
    """Return the places, m, of the middle of a vehicle on the road; NaN where none is found.

    boxes: (N, 4) px, of one vehicle. heading: (2,), the way it drives on the road, of any length above 0.
    The two equations are solved by Newton's method with differences, all looks at once.
    """
    flat, up = _corners(SOLIDS[label], heading)
    wanted = lower_edges(boxes)
    found = plane.on_road(wanted)
    for _ in range(_STEPS):
        base = _shown(plane, found, flat, up)
        change = np.stack(
            [(_shown(plane, found + step, flat, up) - base) / _SMALL for step in ((_SMALL, 0), (0, _SMALL))], axis=2
        )
        scale = change[:, 0, 0] * change[:, 1, 1] - change[:, 0, 1] * change[:, 1, 0]
        known = np.abs(scale) > _FLAT  # False for NaN, above the horizon
        step = np.full_like(found, np.nan)
        step[known] = np.linalg.solve(change[known], (wanted - base)[known][..., None])[..., 0]
        found = found + step
    return found


def lower_edges(boxes: NDArray[np.float32]) -> Points:
    """Return the px of the middle of the lower edge of boxes (N, 4) px: (N, 2)."""
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).astype(np.float64)


def _corners(solid: Solid, heading: Points) -> tuple[Points, NDArray[np.float64]]:
    """Return the corners of a solid around its middle: (M, 2) m on the road, and (M,) m above it."""
    half, side = solid.length / 2, solid.width / 2
    local = [(x, y, up) for x in (-half, half) for y in (-side, side) for up in (solid.clear, solid.height)]
    local += [(x, y, 0.0) for x in (-solid.wheels / 2, solid.wheels / 2) for y in (-side, side)]
    ahead = np.asarray(heading) / np.hypot(*heading)
    turn = np.stack([ahead, [-ahead[1], ahead[0]]])
    corners = np.array(local)
    return corners[:, :2] @ turn, corners[:, 2]


def _shown(plane: GroundPlane, middles: Points, flat: Points, up: NDArray[np.float64]) -> Points:
    """Return the px of the middle and of the lower edge of solids at these places: (N, 2)."""
    pixels = plane.in_picture(middles[:, None] + flat, up)
    x = pixels[..., 0]
    return np.stack([(x.min(axis=1) + x.max(axis=1)) / 2, pixels[..., 1].max(axis=1)], axis=1)

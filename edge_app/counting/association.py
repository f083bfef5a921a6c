"""Find which detection continues which track: greedy by distance to the predicted centre. Pure: no clock, no I/O.

A pair costs its distance in box sizes, and something for another size, another class and a track that is not confirmed
yet. The cheapest pair of all is taken first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes
from edge_app.counting.track_table import TrackTable
from edge_app.records import Detections, FloatArray

_LARGEST_RATIO: Final = np.float32(np.log(2.5))
"""Logarithm of the largest change of width or height from one frame to the next."""
_BACK: Final = 0.15
"""Distance, box sizes, by which a moving vehicle may fall back from its last detection; further is another vehicle."""
MOVING: Final = 0.5
"""Speed, box sizes/s, from which a vehicle has a direction."""
_NONE: Final = np.empty(0, np.intp)
_SIZE_COST, _CLASS_COST, _UNCONFIRMED_COST = 0.4, 0.2, 0.2
"""Costs of a pair beside its distance: per unit of log size ratio, of another class, and of an unconfirmed track."""


def associate(
    table: TrackTable,
    tracks: NDArray[np.intp],
    detections: Detections,
    found: NDArray[np.intp],
    *,
    radius: float,
    max_radius: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs of rows of tracks and rows of detections, each used once: the cheapest pairs there are.

    tracks, found: the rows that may be paired. radius, max_radius: longest distance, box sizes, to a track whose speed
    is well known, and to any.
    """
    if not len(found) or not len(tracks):
        return _NONE, _NONE
    centres, sides = boxes.centres(detections.boxes[found]), boxes.sides(detections.boxes[found])
    own, doubt = table.size[tracks], 2 * np.sqrt(table.variance[tracks, 0])
    larger = np.maximum(own[:, None], sides[None])
    shift = (centres[None] - table.position[tracks][:, None]) / larger
    distance = np.hypot(shift[..., 0], shift[..., 1])
    # A track undetected for a while may be further off; a new one has no known speed yet.
    near = (distance <= np.minimum(radius + doubt, max_radius)[:, None]).ravel().nonzero()[0]
    rows, columns = near // len(found), near % len(found)
    ratios = np.abs(np.log(sides[columns] / own[rows]))
    ratio = np.maximum(ratios[:, 0], ratios[:, 1])
    back = _jumps_back(table, tracks[rows], centres[columns], larger.reshape(-1, 2)[near], doubt[rows])
    fits = ((ratio <= _LARGEST_RATIO) & ~back).nonzero()[0]
    rows, columns = rows[fits], columns[fits]
    if len({*rows.tolist()}) == len(fits) == len({*columns.tolist()}):  # each has one alone, as nearly always
        return tracks[rows], found[columns]
    votes = table.votes[tracks]
    share = votes[rows, detections.classes[found[columns]]] / votes.sum(axis=1)[rows]
    cost = distance.ravel()[near[fits]] + _SIZE_COST * ratio[fits] + _CLASS_COST * (1 - share)
    order = np.argsort(cost + _UNCONFIRMED_COST * ~table.confirmed[tracks[rows]], kind="stable")
    pairs = greedy(rows[order].tolist(), columns[order].tolist())
    return tracks[pairs[0]], found[pairs[1]]


def _jumps_back(
    table: TrackTable, tracks: NDArray[np.intp], centres: FloatArray, scale: FloatArray, doubt: FloatArray
) -> NDArray[np.bool_]:
    """Return bool (N,), True for each pair that would mean that a moving vehicle jumped backwards.

    tracks, centres, scale: of the pairs. doubt: box sizes by which the place may be off.
    """
    velocity = table.velocity[tracks] / table.size[tracks]
    speed = boxes.lengths(velocity)
    forward = (centres - table.last_position[tracks]) / scale * velocity
    jumps_back: NDArray[np.bool_] = (speed > MOVING) & (forward[:, 0] + forward[:, 1] < -(_BACK + doubt) * speed)
    return jumps_back


def greedy(rows: list[int], columns: list[int]) -> tuple[list[int], list[int]]:
    """Return the pairs that remain when each, in the order given, takes its row and its column."""
    taken_rows: dict[int, int] = {}
    taken_columns: set[int] = set()
    for row, column in zip(rows, columns, strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows[row] = column
            taken_columns.add(column)
    return list(taken_rows), list(taken_rows.values())

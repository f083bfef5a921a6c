"""Find which detection continues which track: greedy by distance to the predicted centre. Pure: no clock, no I/O.

A pair costs its distance in box sizes, and something for another size, another class and a track that is not confirmed
yet. The cheapest pair of all is taken first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes
from edge_app.counting.estimates import MOVING, in_columns
from edge_app.counting.track_table import TrackTable
from edge_app.records import Detections

_LARGEST_RATIO: Final = 2.5
"""Largest change of width or height from one frame to the next."""
_BACK: Final = 0.15
"""Distance, box sizes, by which a moving vehicle may fall back from its last detection; further is another vehicle."""
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
    boxes_found = in_columns(detections.boxes, found)
    centres, sides = boxes.centres(boxes_found), boxes.sides(boxes_found)
    own, doubt = table.size[tracks], np.float32(2) * np.sqrt(table.variance[tracks, 0])
    shift = (centres[None] - table.position[tracks][:, None]) / np.maximum(own[:, None], sides[None])
    distance = np.hypot(shift[..., 0], shift[..., 1])
    # A track undetected for a while may be further off; a new one has no known speed yet.
    near = (distance <= np.minimum(radius + doubt, max_radius)[:, None]).ravel().nonzero()[0]
    known = (array.tolist() for array in (own, table.last_position[tracks], table.velocity[tracks], doubt))
    before, now = list(map(_Before, *known)), list(zip(centres.tolist(), sides.tolist(), strict=True))
    pairs = [divmod(pair, len(found)) for pair in near.tolist()]
    pairs = [(row, column) for row, column in pairs if before[row].may_be(*now[column])]
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    if len({*rows}) < len(pairs) or len({*columns}) < len(pairs):  # seldom: nearly always each has one alone
        cost = distance[rows, columns] + _SIZE_COST * np.abs(np.log(sides[columns] / own[rows])).max(axis=1)
        votes = table.votes[tracks]
        share = votes[rows, detections.classes[found[columns]]] / votes.sum(axis=1)[rows]
        cost = cost + _CLASS_COST * (1 - share) + _UNCONFIRMED_COST * ~table.confirmed[tracks[rows]]
        order = np.argsort(cost, kind="stable").tolist()
        rows, columns = greedy([rows[i] for i in order], [columns[i] for i in order])
    return tracks[rows], found[columns]


class _Before(NamedTuple):
    """A track as it was last detected. size: px, last_position: px, velocity: px/s; doubt: of its place, box sizes."""

    size: list[float]
    last_position: list[float]
    velocity: list[float]
    doubt: float

    def may_be(self, centre: Sequence[float], sides: Sequence[float]) -> bool:
        """Return whether a box near by may be of this vehicle: it neither changes its size nor jumps backwards."""
        (own_width, own_height), (width, height) = self.size, sides
        small, large = 1 / _LARGEST_RATIO, _LARGEST_RATIO
        if not (small <= width / own_width <= large and small <= height / own_height <= large):
            return False
        across, down = self.velocity[0] / own_width, self.velocity[1] / own_height
        speed = math.hypot(across, down)
        if speed <= MOVING:
            return True
        x = (centre[0] - self.last_position[0]) / max(own_width, width)
        y = (centre[1] - self.last_position[1]) / max(own_height, height)
        return x * across + y * down >= -(_BACK + self.doubt) * speed


def greedy(rows: list[int], columns: list[int]) -> tuple[list[int], list[int]]:
    """Return the pairs that remain when each, in the order given, takes its row and its column."""
    taken_rows: dict[int, int] = {}
    taken_columns: set[int] = set()
    for row, column in zip(rows, columns, strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows[row] = column
            taken_columns.add(column)
    return list(taken_rows), list(taken_rows.values())

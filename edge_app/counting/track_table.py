"""Hold what is known of each track: arrays with one row a track, so that thirty cost little more than one.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes
from edge_app.counting.estimates import OF_MOTION, VALUES, Estimates, first, in_columns
from edge_app.records import Detections, Tracks

_BESIDE = (
    *("ids", "numbers", "hits", "front_of", "first_seen", "born", "last_seen", "stays_since"),
    *("confirmed", "stands"),
)
"""Arrays of a table beside these, of other types."""


class TrackTable(Estimates):
    """Tracks alive, confirmed or not; times are in s.

    ids: in the order in which they began. numbers: under which they leave the tracker, 0 until confirmed.
    born: when it began to move. first_seen, last_seen: times of the first and the last detection. hits: number of
    detections. confirmed: it moves like a vehicle. stands: it has stayed at its place, where it is since stays_since,
    for long enough to be a standing vehicle.
    front_of: id of the track of which it may be the front, where it began ahead of it; 0 of none.
    """

    def __init__(self) -> None:
        super().__init__(np.empty((0, VALUES), np.float32, "F"))
        self._next_id = self._next_number = 1
        self.ids, self.numbers, self.hits, self.front_of = (np.empty(0, np.int64) for _ in range(4))
        self.first_seen, self.born, self.last_seen, self.stays_since = (np.empty(0, np.float64) for _ in range(4))
        self.confirmed, self.stands = (np.empty(0, np.bool_) for _ in range(2))

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, rows: NDArray[np.intp]) -> Estimates:
        """Return a copy of what is measured of these tracks."""
        return Estimates(in_columns(self.values, rows))

    def start(self, found: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Start a track for each of these detections."""
        n = len(found)
        now, no = np.full(n, time), np.zeros(n, np.bool_)
        rows: dict[str, NDArray[Any]] = {
            "ids": np.arange(self._next_id, self._next_id + n),
            "numbers": np.zeros(n, np.int64),
            "hits": np.ones(n, np.int64),
            "front_of": np.zeros(n, np.int64),
            **dict.fromkeys(("first_seen", "born", "last_seen", "stays_since"), now),
            **dict.fromkeys(("confirmed", "stands"), no),
        }
        for name, values in rows.items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        super().__init__(np.concatenate([self.values.T, first(found, detections).values.T], axis=1).T)
        self._next_id += n

    def number(self, rows: NDArray[np.intp]) -> None:
        """Number these tracks, confirmed just now: how many doubtful ones there were must not show."""
        self.numbers[rows] = np.arange(self._next_number, self._next_number + len(rows))
        self._next_number += len(rows)

    def renew(self, tracks: NDArray[np.intp], found: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Begin unconfirmed tracks anew with these detections, except for what is known of where and since when."""
        self.values[tracks, :OF_MOTION] = first(found, detections).values[:, :OF_MOTION]
        self.born[tracks] = self.last_seen[tracks] = time
        self.hits[tracks] = 1

    def keep(self, alive: NDArray[np.bool_]) -> None:
        """Remove all rows where `alive` is False."""
        if not alive.all():
            for name in _BESIDE:
                setattr(self, name, getattr(self, name)[alive])
            super().__init__(in_columns(self.values, np.flatnonzero(alive)))

    def swap(self, new: int, old: int, time: float) -> None:
        """Make the row `new` the continuation of the row `old`, and that a track without a past."""
        for names in (self.ids, self.numbers):
            names[[new, old]] = names[[old, new]]
        for sums in (self.votes, self.evidence, self.hits):
            sums[new] += sums[old]
        for past in (self.origin, self.born, self.first_seen, self.path_length):
            past[new] = past[old]
        self.confirmed[old] = self.stands[old] = False
        self.origin[old], self.path_length[old] = self.position[old], 0
        self.born[old] = self.first_seen[old] = time
        self.evidence[old], self.hits[old] = 0, 1

    def tracks(self, rows: NDArray[np.intp], time: float) -> Tracks:
        """Return these rows as the record that leaves the tracker."""
        of = self.of(rows)
        return Tracks(
            ids=self.numbers[rows],
            boxes=boxes.around(of.position, of.size),
            centroids=of.position,
            velocities=of.velocity,
            classes=of.votes.argmax(axis=1).astype(np.int16),
            scores=(of.evidence / self.hits[rows]).astype(np.float32),
            seen=self.last_seen[rows] == time,
            origins=of.origin,
            born=self.born[rows],
            first_seen=self.first_seen[rows],
        )

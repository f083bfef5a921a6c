"""Hold what is known of each track: arrays with one row a track, so that thirty cost little more than one.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes, kalman
from edge_app.records import LABELS, Detections, FloatArray, Tracks


class TrackTable:
    """Tracks alive, confirmed or not. Places and sizes are in px, times in s.

    ids: in the order in which they began. numbers: under which they leave the tracker, 0 until confirmed.
    position, velocity, variance: of the centre, as filtered (`kalman`). size: width and height, smoothed.
    course: px/s, smoothed velocity while it moved, also of a vehicle that stands by now.
    origin, born: where and when it began to move. last_position: at the last detection. path_length: of late.
    first_seen, last_seen: times of the first and the last detection. hits: number of detections, evidence: sum of their
    scores, votes: their weights by class. confirmed: it moves like a vehicle.
    place: its box where it has stayed since stays_since. stands: for long enough to be a standing vehicle.
    box: of the last detection. edge_speeds: of its four edges, px/s. whole: largest width and height of late.
    front_of: id of the track of which it may be the front, where it began ahead of it; 0 of none.
    """

    def __init__(self) -> None:
        self._next_id = self._next_number = 1
        self.ids = np.empty(0, np.int64)
        self.numbers = np.empty(0, np.int64)
        self.position = np.empty((0, 2), np.float32)
        self.velocity = np.empty((0, 2), np.float32)
        self.size = np.empty((0, 2), np.float32)
        self.variance = np.empty((0, 3), np.float32)
        self.course = np.empty((0, 2), np.float32)
        self.origin = np.empty((0, 2), np.float32)
        self.last_position = np.empty((0, 2), np.float32)
        self.path_length = np.empty(0, np.float32)
        self.first_seen = np.empty(0, np.float64)
        self.born = np.empty(0, np.float64)
        self.last_seen = np.empty(0, np.float64)
        self.votes = np.empty((0, len(LABELS)), np.float32)
        self.evidence = np.empty(0, np.float32)
        self.hits = np.empty(0, np.int64)
        self.confirmed = np.empty(0, np.bool_)
        self.place = np.empty((0, 4), np.float32)
        self.stays_since = np.empty(0, np.float64)
        self.stands = np.empty(0, np.bool_)
        self.box = np.empty((0, 4), np.float32)
        self.edge_speeds = np.empty((0, 4), np.float32)
        self.whole = np.empty((0, 2), np.float32)
        self.front_of = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def start(self, found: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Start a track for each of these detections."""
        n = len(found)
        if not n:
            return
        rows = _first_rows(found, detections, time) | {
            "ids": np.arange(self._next_id, self._next_id + n),
            "numbers": np.zeros(n, np.int64),
            "first_seen": np.full(n, time),
            "place": detections.boxes[found],
            "stays_since": np.full(n, time),
            "stands": np.zeros(n, np.bool_),
            "box": detections.boxes[found],
            "edge_speeds": np.zeros((n, 4), np.float32),
            "whole": boxes.sides(detections.boxes[found]),
            "front_of": np.zeros(n, np.int64),
        }
        for name, values in rows.items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        self._next_id += n

    def number(self, rows: NDArray[np.intp]) -> None:
        """Number these tracks, confirmed just now: how many doubtful ones there were must not show."""
        self.numbers[rows] = np.arange(self._next_number, self._next_number + len(rows))
        self._next_number += len(rows)

    def renew(self, tracks: NDArray[np.intp], found: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Begin unconfirmed tracks anew with these detections, except for what is known of where and since when."""
        for name, values in _first_rows(found, detections, time).items():
            getattr(self, name)[tracks] = values

    def keep(self, alive: NDArray[np.bool_]) -> None:
        """Remove all rows where `alive` is False."""
        if not alive.all():
            for name in _ARRAYS:
                setattr(self, name, getattr(self, name)[alive])

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
        position, half = self.position[rows], self.size[rows] / 2
        return Tracks(
            ids=self.numbers[rows],
            boxes=np.concatenate([position - half, position + half], axis=1),
            centroids=position,
            velocities=self.velocity[rows],
            classes=self.votes[rows].argmax(axis=1).astype(np.int16),
            scores=(self.evidence[rows] / self.hits[rows]).astype(np.float32),
            seen=self.last_seen[rows] == time,
            origins=self.origin[rows],
            born=self.born[rows],
            first_seen=self.first_seen[rows],
        )


_ARRAYS = tuple(name for name, value in vars(TrackTable()).items() if isinstance(value, np.ndarray))


def vote_weights(scores: FloatArray, found: FloatArray) -> FloatArray:
    """Return the weight of each detection in the class vote: a near vehicle shows its class better than a far one.

    scores: (N,), found: boxes (N, 4), px.
    """
    weights: FloatArray = scores * boxes.sizes(boxes.sides(found))
    return weights


def _first_rows(found: NDArray[np.intp], detections: Detections, time: float) -> dict[str, NDArray[Any]]:
    """Return the rows of tracks that consist of one detection each, by the name of their array."""
    n, places, scores = len(found), detections.boxes[found], detections.scores[found]
    centres = boxes.centres(places)
    votes = np.zeros((n, len(LABELS)), np.float32)
    votes[np.arange(n), detections.classes[found]] = vote_weights(scores, places)
    return {
        "position": centres,
        "velocity": np.zeros((n, 2), np.float32),
        "size": boxes.sides(places),
        "variance": np.tile(kalman.UNKNOWN, (n, 1)),
        "course": np.zeros((n, 2), np.float32),
        "origin": centres,
        "last_position": centres,
        "path_length": np.zeros(n, np.float32),
        "born": np.full(n, time),
        "last_seen": np.full(n, time),
        "votes": votes,
        "evidence": scores,
        "hits": np.ones(n, np.int64),
        "confirmed": np.zeros(n, np.bool_),
    }

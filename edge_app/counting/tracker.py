"""Gives detections an identity over time: a centroid tracker with a constant-velocity Kalman filter for each track.

Association is global and greedy by distance to the predicted centroid, gated by box size; strong detections first,
weak ones only to continue a track (Zhang et al., "ByteTrack", 2022). A box that has not moved is no vehicle on its
way and stays unconfirmed. Everything is in seconds and box sizes, so the same settings hold at any frame rate and
picture size. One box size is sqrt(width * height) of the track itself.

Pure: no clock, no I/O. All tracks live in arrays, one row a track, so that thirty cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.records import LABELS, Detections, FloatArray, Tracks


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """When a detection continues a track, and when a track is a vehicle on its way.

    strong: score from which a detection starts a track and is matched first. gate: furthest match, in widths and
    heights of the box, of a track whose speed is well known; widest: of one whose speed is not. confirm_s: age s,
    evidence: sum of detection scores, moved: box sizes from where it was born, and straight: that way over the way
    it wandered, from which a track is confirmed. lost_s: how long a track may go unseen. coast_s: how long an unseen
    track is still shown where it should be.
    """

    strong: float = 0.2
    gate: float = 0.3
    widest: float = 0.9
    confirm_s: float = 0.1
    evidence: float = 1.0
    moved: float = 0.3
    straight: float = 0.7
    lost_s: float = 1.0
    coast_s: float = 0.5


# Noise of the filter in box sizes: a detector's centre trembles by a few hundredths of a box; a vehicle that
# approaches gains a few box sizes/s each second; an unknown one may pass at four box sizes/s.
_MEASURED = 0.06**2
_ACCELERATION = 4.0
_FIRST_SPEED = 4.0**2
_SIZE_S = 0.15
"""Time constant in s of a track's width and height."""
_WANDERED_S = 2.0
"""Time constant in s of what a track wandered: one that trembled in a queue for a minute still may drive away."""
_WAITS_S = 0.5
"""A track that has not left its place yet was born so long ago at most: waiting is no part of its way."""
_TENTATIVE_S = 0.4
"""How long an unconfirmed track may go unseen."""
_LARGEST_RATIO = np.float32(np.log(2.5))
"""Width or height never jumps by more from one look to the next."""
_BACK = 0.15
"""Box sizes that a moving vehicle may fall back from where it was last seen: further back is another vehicle."""
_MOVING = 0.5
"""Box sizes/s from which a vehicle has a direction."""
_DOUBT = 2.0
"""Box sizes more that a track has to move for each point of mean score below one half: what the detector doubts
must prove itself by its motion."""


class Tracker:
    """Feed it every frame's detections in order of time."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._time: float | None = None
        self._next_id = 1
        self._ids = np.empty(0, np.int64)
        self._position = np.empty((0, 2), np.float32)
        self._velocity = np.empty((0, 2), np.float32)
        self._size = np.empty((0, 2), np.float32)
        self._variance = np.empty((0, 3), np.float32)  # of position, of both, of velocity; the same for x and y
        self._origin = np.empty((0, 2), np.float32)
        self._last = np.empty((0, 2), np.float32)
        self._wandered = np.empty(0, np.float32)
        self._born = np.empty(0, np.float64)
        self._seen = np.empty(0, np.float64)
        self._votes = np.empty((0, len(LABELS)), np.float32)
        self._evidence = np.empty(0, np.float32)
        self._hits = np.empty(0, np.int64)
        self._confirmed = np.empty(0, np.bool_)

    def __len__(self) -> int:
        """Tracks alive, confirmed or not."""
        return len(self._ids)

    def update(self, detections: Detections, time: float) -> Tracks:
        """The confirmed tracks after a look at `time`, s of a clock that never steps back."""
        last = time if self._time is None else self._time
        self._time = time = max(time, last)  # time that stands or steps back is no time passed
        elapsed = time - last
        self._predict(elapsed)
        strong = detections.scores >= self.settings.strong
        tracks, found = self._associate(detections, np.flatnonzero(strong), np.arange(len(self)))
        rest = _others(self._hits > 1, tracks)
        more_tracks, more_found = self._associate(detections, np.flatnonzero(~strong), rest)
        new = _others(strong, found)
        self._correct(np.concatenate([tracks, more_tracks]), np.concatenate([found, more_found]), detections, time)
        self._forget(time)
        self._spawn(new, detections, time)
        return self._shown(time)

    def _predict(self, elapsed: float) -> None:
        t = np.float32(elapsed)
        self._position += self._velocity * t
        position, both, speed = self._variance.T
        position += 2 * t * both + t * t * speed + _ACCELERATION * t**3 / 3
        both += t * speed + _ACCELERATION * t * t / 2
        speed += _ACCELERATION * t

    def _associate(
        self, detections: Detections, found: NDArray[np.intp], tracks: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of rows of tracks and of detections: nearest first, each used once."""
        if not len(found) or not len(tracks):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        centres, sizes = _centres(detections.boxes[found]), _sizes(detections.boxes[found])
        own = self._size[tracks]
        larger = np.maximum(own[:, None], sizes[None])
        shift = (centres[None] - self._position[tracks][:, None]) / larger
        distance = np.hypot(shift[..., 0], shift[..., 1])
        ratios = np.abs(np.log(sizes[None] / own[:, None]))
        ratio = np.maximum(ratios[..., 0], ratios[..., 1])
        # A track unseen for a while may be further off; a new one has no known speed yet.
        reach = self.settings.gate + 2 * np.sqrt(self._variance[tracks, 0])
        near = distance <= np.minimum(reach, self.settings.widest)[:, None]
        fits = near & (ratio <= _LARGEST_RATIO) & ~self._fell_back(tracks, centres, larger)
        rows, columns = np.divmod(np.flatnonzero(fits), len(found))  # a third of what nonzero() takes in two dimensions
        votes = self._votes[tracks]
        share = votes[rows, detections.classes[found[columns]]] / votes.sum(axis=1)[rows]
        cost = distance[rows, columns] + 0.4 * ratio[rows, columns] + 0.2 * (1 - share)
        order = np.argsort(cost + 0.2 * ~self._confirmed[tracks[rows]], kind="stable")
        pairs = _greedy(rows[order].tolist(), columns[order].tolist())
        return tracks[pairs[0]], found[pairs[1]]

    def _fell_back(
        self, tracks: NDArray[np.intp], centres: NDArray[np.float32], scale: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Bool (tracks, detections): the pair would mean that a moving vehicle jumped backwards."""
        velocity = self._velocity[tracks] / self._size[tracks]
        speed = np.hypot(velocity[:, 0], velocity[:, 1])[:, None]
        way = (centres[None] - self._last[tracks][:, None]) / scale
        forward = way[..., 0] * velocity[:, :1] + way[..., 1] * velocity[:, 1:]
        back = _BACK + 2 * np.sqrt(self._variance[tracks, 0])[:, None]  # as far again as its place is uncertain
        fell_back: NDArray[np.bool_] = (speed > _MOVING) & (forward < -back * speed)
        return fell_back

    def _correct(self, tracks: NDArray[np.intp], found: NDArray[np.intp], detections: Detections, time: float) -> None:
        boxes, scores = detections.boxes[found], detections.scores[found]
        position, both, speed = self._variance[tracks].T
        total = position + _MEASURED
        gain, rate = position / total, both / total
        error = _centres(boxes) - self._position[tracks]
        self._position[tracks] += gain[:, None] * error
        self._velocity[tracks] += rate[:, None] * error
        self._variance[tracks] = np.stack([(1 - gain) * position, (1 - gain) * both, speed - rate * both], axis=1)
        follow = 1 - np.exp((self._seen[tracks] - time) / _SIZE_S).astype(np.float32)
        self._size[tracks] += follow[:, None] * (_sizes(boxes) - self._size[tracks])
        forget = np.exp((self._seen[tracks] - time) / _WANDERED_S).astype(np.float32)
        self._wandered[tracks] = forget * self._wandered[tracks] + _lengths(self._position[tracks] - self._last[tracks])
        self._last[tracks] = self._position[tracks]
        self._renew(tracks)
        self._votes[tracks, detections.classes[found]] += _votes(scores, boxes)
        self._evidence[tracks] += scores
        self._hits[tracks] += 1
        self._seen[tracks] = time
        self._confirm(tracks, time)

    def _renew(self, tracks: NDArray[np.intp]) -> None:
        """Forgets what a track was when it now drives back the way it came.

        Seldom has the vehicle turned round; nearly always one that comes the other way has taken over the track of one
        that was hidden or left the picture, and its class must not be outvoted by what is gone.
        """
        way, velocity = self._position[tracks] - self._origin[tracks], self._velocity[tracks]
        size, far, fast = np.sqrt(_areas(self._size[tracks])), _lengths(way), _lengths(velocity)
        against = way[:, 0] * velocity[:, 0] + way[:, 1] * velocity[:, 1] < -np.float32(0.5) * far * fast
        turned = tracks[against & (far > size) & (fast > _MOVING * size)]
        self._origin[turned] = self._position[turned]
        self._wandered[turned] = 0
        self._votes[turned] = 0

    def _confirm(self, tracks: NDArray[np.intp], time: float) -> None:
        s = self.settings
        way = _lengths(self._position[tracks] - self._origin[tracks])
        mean = self._evidence[tracks] / self._hits[tracks].astype(np.float32)
        far = s.moved + _DOUBT * np.maximum(0, np.float32(0.5) - mean)
        waits = ~self._confirmed[tracks] & (way < s.moved / 2 * np.sqrt(self._size[tracks].prod(axis=1)))
        self._born[tracks[waits]] = np.maximum(self._born[tracks[waits]], time - _WAITS_S)
        self._confirmed[tracks] |= (
            (time - self._born[tracks] >= s.confirm_s - 1e-6)
            & (self._evidence[tracks] >= s.evidence)
            & (way >= far * np.sqrt(_areas(self._size[tracks])))
            & (way >= s.straight * self._wandered[tracks])
        )

    def _forget(self, time: float) -> None:
        limit = np.where(self._confirmed, self.settings.lost_s, min(_TENTATIVE_S, self.settings.lost_s))
        self._keep(time - self._seen <= limit)

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        if not rows.all():
            for name in _ARRAYS:
                setattr(self, name, getattr(self, name)[rows])

    def _spawn(self, found: NDArray[np.intp], detections: Detections, time: float) -> None:
        n = len(found)
        if not n:
            return
        boxes, scores = detections.boxes[found], detections.scores[found]
        centres = _centres(boxes)
        votes = np.zeros((n, len(LABELS)), np.float32)
        votes[np.arange(n), detections.classes[found]] = _votes(scores, boxes)
        unknown = np.tile(np.array([_MEASURED, 0, _FIRST_SPEED], np.float32), (n, 1))
        rows = (
            np.arange(self._next_id, self._next_id + n), centres, np.zeros((n, 2), np.float32), _sizes(boxes), unknown,
            centres, centres, np.zeros(n, np.float32), np.full(n, time), np.full(n, time), votes, scores,
            np.ones(n, np.int64), np.zeros(n, np.bool_),
        )  # fmt: skip
        for name, values in zip(_ARRAYS, rows, strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        self._next_id += n

    def _shown(self, time: float) -> Tracks:
        rows = np.flatnonzero(self._confirmed & (time - self._seen <= self.settings.coast_s))
        position, half = self._position[rows], self._size[rows] / 2
        return Tracks(
            ids=self._ids[rows],
            boxes=np.concatenate([position - half, position + half], axis=1),
            centroids=position,
            velocities=self._velocity[rows],
            classes=self._votes[rows].argmax(axis=1).astype(np.int16),
            scores=(self._evidence[rows] / self._hits[rows]).astype(np.float32),
            seen=self._seen[rows] == time,
            origins=self._origin[rows],
            born=self._born[rows],
        )


_ARRAYS = (
    "_ids", "_position", "_velocity", "_size", "_variance", "_origin", "_last", "_wandered", "_born", "_seen", "_votes",
    "_evidence", "_hits", "_confirmed",
)  # fmt: skip


def _centres(boxes: FloatArray) -> FloatArray:
    centres: FloatArray = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)
    return centres


def _sizes(boxes: FloatArray) -> FloatArray:
    sizes: FloatArray = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    return sizes


def _areas(sizes: FloatArray) -> FloatArray:
    # Twice as fast as a reduction over an axis of two, here and wherever else x and y are written out.
    areas: FloatArray = sizes[:, 0] * sizes[:, 1]
    return areas


def _others(wanted: NDArray[np.bool_], but: NDArray[np.intp]) -> NDArray[np.intp]:
    """The wanted rows without some of them."""
    left = wanted.copy()
    left[but] = False
    return np.flatnonzero(left)


def _lengths(vectors: FloatArray) -> FloatArray:
    lengths: FloatArray = np.hypot(vectors[:, 0], vectors[:, 1])
    return lengths


def _votes(scores: FloatArray, boxes: FloatArray) -> FloatArray:
    """A near look says more about the class than a far one."""
    weights: FloatArray = scores * np.sqrt(_areas(_sizes(boxes)))
    return weights


def _greedy(rows: list[int], columns: list[int]) -> tuple[list[int], list[int]]:
    """The pairs that are left when each, in the order given, takes its row and its column."""
    taken_rows: dict[int, int] = {}
    taken_columns: set[int] = set()
    for row, column in zip(rows, columns, strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows[row] = column
            taken_columns.add(column)
    return list(taken_rows), list(taken_rows.values())

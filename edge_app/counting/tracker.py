"""Give detections an identity over time: a centroid tracker with a constant-velocity Kalman filter for each track.

Association is global and greedy by distance to the predicted centroid, gated by box size; strong detections first,
weak ones only to continue a track (Zhang et al., "ByteTrack", 2022). A box that has not moved is no vehicle in motion
and stays unconfirmed. A vehicle that stands keeps its place while others hide it. Everything is in seconds and box
sizes, so the same settings hold at any frame rate and picture size. One box size is sqrt(width * height) of the track
itself.

Pure: no clock, no I/O. All tracks live in arrays, one row a track, so that thirty cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import handover, standing
from edge_app.records import LABELS, Detections, FloatArray, Tracks


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Conditions under which a detection continues a track, and under which a track is a moving vehicle.

    strong: score from which a detection starts a track and is matched first.
    association_radius: longest distance from a detection to a track whose speed is well known, in widths and heights
        of its box.
    max_association_radius: the same for a track whose speed is not known yet.
    A track is confirmed from all of these on:
    confirm_s: age, s.
    evidence: sum of its detection scores.
    displacement: distance from its first detection, in box sizes.
    straightness: displacement over the length of its path, 0..1.
    lost_s: longest time, s, for which a track may be undetected.
    coast_s: longest time, s, for which an undetected track is still returned at its predicted place.
    """

    strong: float = 0.2
    association_radius: float = 0.3
    max_association_radius: float = 0.9
    confirm_s: float = 0.1
    evidence: float = 1.0
    displacement: float = 0.3
    straightness: float = 0.7
    lost_s: float = 1.0
    coast_s: float = 0.5


# Noise of the filter in box sizes: a detector's centre trembles by a few hundredths of a box; a vehicle that
# approaches gains a few box sizes/s each second; an unknown one may pass at four box sizes/s.
_MEASURED = 0.06**2
_ACCELERATION = 4.0
_FIRST_SPEED = 4.0**2
_UNKNOWN = np.array([_MEASURED, 0, _FIRST_SPEED], np.float32)
"""Variance of a track that has one detection."""
_RETURNED = np.array([0.3**2, 0, _FIRST_SPEED], np.float32)
"""The same of a vehicle that stood hidden and shows again: it may have started meanwhile."""
_SIZE_S = 0.15
"""Time constant, s, of a track's width and height."""
_PATH_S = 2.0
"""Time constant, s, of a track's path length: one that trembled in a queue for a minute may still drive away."""
_WAITING_S = 0.5
"""Largest age, s, of a track that has not left its first place yet: waiting is no part of its motion."""
_TENTATIVE_S = 0.4
"""Longest time, s, for which an unconfirmed track may be undetected."""
_LARGEST_RATIO = np.float32(np.log(2.5))
"""Logarithm of the largest change of width or height from one frame to the next."""
_BACK = 0.15
"""Distance, box sizes, by which a moving vehicle may fall back from its last detection; further is another vehicle."""
_MOVING = 0.5
"""Speed, box sizes/s, from which a vehicle has a direction."""
_DOUBT = 2.0
"""Additional displacement, box sizes, for each point of mean score below one half: a track that the detector doubts
must prove itself by its motion."""
_GHOST, _ON_OTHERS = 0.4, 0.5
"""Score below which a detection starts no track where so large a share of its box lies on vehicles that stand."""
_SIZE_COST, _CLASS_COST, _UNCONFIRMED_COST = 0.4, 0.2, 0.2
"""Costs of a pair beside its distance: per unit of log size ratio, of another class, and of an unconfirmed track."""


class Tracker:
    """Tracks of one camera; give it the detections of every frame in order of time."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._time: float | None = None
        self._next_id = 1
        self._ids = np.empty(0, np.int64)  # 0 until confirmed
        self._position = np.empty((0, 2), np.float32)
        self._velocity = np.empty((0, 2), np.float32)
        self._size = np.empty((0, 2), np.float32)
        self._variance = np.empty((0, 3), np.float32)  # of position, of both, of velocity; the same for x and y
        self._origin = np.empty((0, 2), np.float32)
        self._last_position = np.empty((0, 2), np.float32)
        self._path_length = np.empty(0, np.float32)
        self._first_seen = np.empty(0, np.float64)
        self._born = np.empty(0, np.float64)
        self._last_seen = np.empty(0, np.float64)
        self._votes = np.empty((0, len(LABELS)), np.float32)
        self._evidence = np.empty(0, np.float32)
        self._hits = np.empty(0, np.int64)
        self._confirmed = np.empty(0, np.bool_)
        self._place = np.empty((0, 4), np.float32)  # its box when it came to where it has stayed since _stays_since
        self._stays_since = np.empty(0, np.float64)
        self._box = np.empty((0, 4), np.float32)  # of the last detection
        self._edge_speeds = np.empty((0, 4), np.float32)
        self._whole = np.empty((0, 2), np.float32)  # largest size of late
        self._stands = np.empty(0, np.bool_)

    def __len__(self) -> int:
        """Return the number of tracks alive, confirmed or not."""
        return len(self._ids)

    def update(self, detections: Detections, time: float) -> Tracks:
        """Return the confirmed tracks after a frame at `time`, s of a clock that never steps back."""
        last = time if self._time is None else self._time
        self._time = time = max(time, last)  # time that stands or steps back is no time passed
        self._predict(time - last)
        hidden = last - self._last_seen > self._patience()
        strong = detections.scores >= self.settings.strong
        tracks, found = self._associate(detections, np.flatnonzero(strong), np.flatnonzero(~hidden))
        rest = _rows_without(~hidden & (self._hits > 1), tracks)
        more_tracks, more_found = self._associate(detections, np.flatnonzero(~strong), rest)
        new = _rows_without(strong, found)
        self._correct(np.concatenate([tracks, more_tracks]), np.concatenate([found, more_found]), detections, time)
        stood = np.flatnonzero(hidden & self._stands)
        if len(stood):
            new = self._find_hidden(stood, new, detections, time)
        self._hold_standing(time)
        self._drop_lost(time)
        self._start(self._without_ghosts(new, detections), detections, time)
        return self._confirmed_tracks(time)

    def rest(self, time: float) -> Tracks:
        """Return the confirmed tracks after a frame at `time`, s, in which nothing moves and the network did not run.

        Nothing moved, so every vehicle that was detected in the frame before is still where it was: its track neither
        ages nor drifts, and its detection still holds; but it gains nothing by which it could be confirmed, for nobody
        saw it again. A track that was undetected in the frame before stays so: its time goes on and its patience ends
        as in any other frame. No track begins.
        """
        last = time if self._time is None else self._time
        self._time = time = max(time, last)
        there = self._last_seen == last
        place = self._position[there], self._variance[there]
        self._predict(time - last)
        self._position[there], self._variance[there] = place
        self._last_seen[there] = time
        self._hold_standing(time)
        self._drop_lost(time)
        return self._confirmed_tracks(time)

    def expects_motion(self, time: float) -> bool:
        """Return whether a vehicle may be on its way at `time`, s, so that the next frame must be searched for it.

        It may where a confirmed track does not stand and is not lost yet, and where an unconfirmed one is new or has
        begun to move. One that has stayed where it appeared is no vehicle in motion.
        """
        size = np.sqrt(_areas(self._size))
        left = _lengths(self._position - self._origin) >= self.settings.displacement / 2 * size
        open_ = self._confirmed | left | (time - self._first_seen <= _WAITING_S)
        return bool((open_ & ~self._stands & (time - self._last_seen <= self._patience())).any())

    def driving(self) -> FloatArray:
        """Return the boxes, float32 (N, 4) px, of the vehicles that drive: confirmed, not standing, not lost."""
        time = self._time or 0.0
        rows = np.flatnonzero(self._confirmed & ~self._stands & (time - self._last_seen <= self.settings.lost_s))
        position, half = self._position[rows], self._size[rows] / 2
        return np.concatenate([position - half, position + half], axis=1)

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
        """Return pairs of rows of tracks and rows of detections: nearest first, each used once."""
        if not len(found) or not len(tracks):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        centres, sizes = _centres(detections.boxes[found]), _sizes(detections.boxes[found])
        own = self._size[tracks]
        larger = np.maximum(own[:, None], sizes[None])
        shift = (centres[None] - self._position[tracks][:, None]) / larger
        distance = np.hypot(shift[..., 0], shift[..., 1])
        ratios = np.abs(np.log(sizes[None] / own[:, None]))
        ratio = np.maximum(ratios[..., 0], ratios[..., 1])
        # A track undetected for a while may be further off; a new one has no known speed yet.
        reach = self.settings.association_radius + 2 * np.sqrt(self._variance[tracks, 0])
        near = distance <= np.minimum(reach, self.settings.max_association_radius)[:, None]
        fits = near & (ratio <= _LARGEST_RATIO) & ~self._jumps_back(tracks, centres, larger)
        rows, columns = np.divmod(np.flatnonzero(fits), len(found))  # a third of what nonzero() takes in two dimensions
        votes = self._votes[tracks]
        share = votes[rows, detections.classes[found[columns]]] / votes.sum(axis=1)[rows]
        cost = distance[rows, columns] + _SIZE_COST * ratio[rows, columns] + _CLASS_COST * (1 - share)
        order = np.argsort(cost + _UNCONFIRMED_COST * ~self._confirmed[tracks[rows]], kind="stable")
        pairs = _greedy(rows[order].tolist(), columns[order].tolist())
        return tracks[pairs[0]], found[pairs[1]]

    def _jumps_back(
        self, tracks: NDArray[np.intp], centres: NDArray[np.float32], scale: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return bool (tracks, detections), True where the pair would mean that a moving vehicle jumped backwards."""
        velocity = self._velocity[tracks] / self._size[tracks]
        speed = np.hypot(velocity[:, 0], velocity[:, 1])[:, None]
        shift = (centres[None] - self._last_position[tracks][:, None]) / scale
        forward = shift[..., 0] * velocity[:, :1] + shift[..., 1] * velocity[:, 1:]
        back = _BACK + 2 * np.sqrt(self._variance[tracks, 0])[:, None]  # more where its place is uncertain
        jumps_back: NDArray[np.bool_] = (speed > _MOVING) & (forward < -back * speed)
        return jumps_back

    def _correct(self, tracks: NDArray[np.intp], found: NDArray[np.intp], detections: Detections, time: float) -> None:
        boxes, scores = self._whole_boxes(tracks, detections.boxes[found], time), detections.scores[found]
        self._correct_motion(tracks, boxes, time)
        self._note_edges(tracks, detections.boxes[found], time)
        self._restart_turned(tracks)
        self._votes[tracks, detections.classes[found]] += _vote_weights(scores, boxes)
        self._evidence[tracks] += scores
        self._hits[tracks] += 1
        self._last_seen[tracks] = time
        self._hand_over(self._confirm(tracks, time), time)

    def _correct_motion(self, tracks: NDArray[np.intp], boxes: FloatArray, time: float) -> None:
        position, both, speed = self._variance[tracks].T
        total = position + _MEASURED
        gain, rate = position / total, both / total
        error = _centres(boxes) - self._position[tracks]
        self._position[tracks] += gain[:, None] * error
        self._velocity[tracks] += rate[:, None] * error
        self._variance[tracks] = np.stack([(1 - gain) * position, (1 - gain) * both, speed - rate * both], axis=1)
        follow = 1 - np.exp((self._last_seen[tracks] - time) / _SIZE_S).astype(np.float32)
        self._size[tracks] += follow[:, None] * (_sizes(boxes) - self._size[tracks])
        decay = np.exp((self._last_seen[tracks] - time) / _PATH_S).astype(np.float32)
        step = _lengths(self._position[tracks] - self._last_position[tracks])
        self._path_length[tracks] = decay * self._path_length[tracks] + step
        self._last_position[tracks] = self._position[tracks]

    def _restart_turned(self, tracks: NDArray[np.intp]) -> None:
        """Forget the past of a track that now drives back to where it came from.

        Seldom has the vehicle turned round; nearly always a vehicle in the opposite direction has taken over the track
        of one that was hidden or left the picture, and its class must not be outvoted by the earlier vehicle.
        """
        shift, velocity = self._position[tracks] - self._origin[tracks], self._velocity[tracks]
        size, far, fast = np.sqrt(_areas(self._size[tracks])), _lengths(shift), _lengths(velocity)
        against = shift[:, 0] * velocity[:, 0] + shift[:, 1] * velocity[:, 1] < -np.float32(0.5) * far * fast
        turned = tracks[against & (far > size) & (fast > _MOVING * size)]
        self._origin[turned] = self._position[turned]
        self._path_length[turned] = 0
        self._votes[turned] = 0

    def _note_edges(self, tracks: NDArray[np.intp], boxes: FloatArray, time: float) -> None:
        elapsed = np.maximum(time - self._last_seen[tracks], 1e-3).astype(np.float32)[:, None]
        follow = np.where(self._hits[tracks, None] > 1, 1 - np.exp(-elapsed / handover.EDGE_S), np.float32(1))
        speeds = (boxes - self._box[tracks]) / elapsed
        self._edge_speeds[tracks] += follow * (speeds - self._edge_speeds[tracks])
        self._box[tracks] = boxes
        sizes = _sizes(boxes)
        larger = np.maximum(self._whole[tracks] - sizes, 0)
        moves = (self._stays_since[tracks] == time)[:, None]  # what stands stays as long as it is
        self._whole[tracks] = sizes + np.exp(-elapsed * moves / handover.WHOLE_S) * larger

    def _hand_over(self, new: NDArray[np.intp], time: float) -> None:
        """Let tracks that are confirmed just now continue those of vehicles that went behind something, or stood there.

        The row of the lost one keeps what still shows of it, as a track that must prove itself anew.
        """
        for row in new.tolist():
            old = self._row_of_hidden(row, time)
            if old is not None:
                self._swap(row, old, time)

    def _row_of_hidden(self, row: int, time: float) -> int | None:
        others = self._confirmed.copy()
        others[row] = False
        alike = self._votes[:, self._votes[row].argmax()] > 0
        standing_there = np.flatnonzero(others & alike & self._stands & (self._last_seen < time))
        fit = standing.returns(self._box[[row]], self._place[standing_there])[0]
        if fit.any():
            return int(standing_there[fit.argmax()])
        for old in np.flatnonzero(others & self._stands).tolist():
            if handover.starts_ahead(self._origin[row], self._velocity[row], self._place[old], self._whole[old]):
                return int(old)
        part, lost = self._part(row), np.flatnonzero(others & ~self._stands).tolist()
        off = [handover.misfit(self._part(old), part, time) for old in lost]
        nearest = min(zip(off, lost, strict=True), default=(np.inf, 0))
        return nearest[1] if nearest[0] < np.inf else None

    def _part(self, row: int) -> handover.Part:
        times = float(self._last_seen[row]), float(self._first_seen[row])
        return handover.Part(self._box[row], self._edge_speeds[row], self._whole[row], self._velocity[row], *times)

    def _swap(self, new: int, old: int, time: float) -> None:
        """Make the row `new` the continuation of the row `old`, and that a track without a past."""
        self._ids[[new, old]] = self._ids[[old, new]]
        for sums in (self._votes, self._evidence, self._hits):
            sums[new] += sums[old]
        for past in (self._origin, self._born, self._first_seen, self._path_length):
            past[new] = past[old]
        self._confirmed[old] = self._stands[old] = False
        self._origin[old], self._path_length[old] = self._position[old], 0
        self._born[old] = self._first_seen[old] = time
        self._evidence[old], self._hits[old] = 0, 1

    def _confirm(self, tracks: NDArray[np.intp], time: float) -> NDArray[np.intp]:
        """Confirm tracks of these rows that move like a vehicle; return the rows of those that were not before."""
        s = self.settings
        before = self._confirmed[tracks]
        displacement = _lengths(self._position[tracks] - self._origin[tracks])
        mean = self._evidence[tracks] / self._hits[tracks].astype(np.float32)
        required = s.displacement + _DOUBT * np.maximum(0, np.float32(0.5) - mean)
        waits = ~self._confirmed[tracks] & (
            displacement < s.displacement / 2 * np.sqrt(self._size[tracks].prod(axis=1))
        )
        self._born[tracks[waits]] = np.maximum(self._born[tracks[waits]], time - _WAITING_S)
        self._confirmed[tracks] |= (
            (time - self._born[tracks] >= s.confirm_s - 1e-6)
            & (self._evidence[tracks] >= s.evidence)
            & (displacement >= required * np.sqrt(_areas(self._size[tracks])))
            & (displacement >= s.straightness * self._path_length[tracks])
        )
        new = np.sort(tracks[self._confirmed[tracks] & ~before])
        # Numbered only now: how many doubtful ones there were, and were looked at, must not show.
        self._ids[new] = np.arange(self._next_id, self._next_id + len(new))
        self._next_id += len(new)
        return new

    def _whole_boxes(self, tracks: NDArray[np.intp], boxes: FloatArray, time: float) -> FloatArray:
        """Return the boxes, whole where only a part of a standing vehicle shows; note which tracks stand."""
        stands, hidden = self._stands[tracks], standing.partly_hidden(boxes, self._place[tracks])
        # Only what stood before is hidden now; a vehicle that drives behind something, or out of the picture, moves.
        stays = standing.stays(boxes, self._place[tracks]) & (stands | ~hidden)
        moved = tracks[~stays]
        self._place[moved], self._stays_since[moved] = boxes[~stays], time
        self._stands[tracks] = stands = time - self._stays_since[tracks] >= standing.STANDS_S
        follow = 1 - np.exp((self._last_seen[tracks] - time) / standing.PLACE_S).astype(np.float32)
        self._place[tracks] += (follow * ~hidden)[:, None] * (boxes - self._place[tracks])
        whole: FloatArray = np.where((stands & hidden)[:, None], self._place[tracks], boxes)
        return whole

    def _without_ghosts(self, new: NDArray[np.intp], detections: Detections) -> NDArray[np.intp]:
        """Return these detections without doubtful ones on vehicles that stand: nothing else can be there."""
        doubtful = detections.scores[new] < _GHOST
        if not self._stands.any() or not doubtful.any():
            return new
        share = standing.covered(detections.boxes[new], self._place[self._stands])
        return new[~doubtful | (share < _ON_OTHERS)]

    def _hold_standing(self, time: float) -> None:
        """Leave standing vehicles that are hidden where they stand: the last that was seen of them may have moved."""
        held = self._stands & (self._last_seen < time)
        if held.any():
            self._position[held], self._size[held] = _centres(self._place[held]), _sizes(self._place[held])
            self._velocity[held] = 0

    def _find_hidden(
        self, hidden: NDArray[np.intp], new: NDArray[np.intp], detections: Detections, time: float
    ) -> NDArray[np.intp]:
        """Continue the tracks of standing vehicles that show again; return the detections without theirs."""
        fit = standing.returns(detections.boxes[new], self._place[hidden])
        fit[self._votes[hidden][:, detections.classes[new]].T == 0] = 0  # a small part of a car is no motorcycle
        order = np.argsort(-fit, axis=None, kind="stable")[: np.count_nonzero(fit)]
        columns, rows = np.divmod(order, len(hidden))
        pairs = _greedy(rows.tolist(), columns.tolist())
        tracks, found = hidden[pairs[0]], new[pairs[1]]
        known = self._confirmed[tracks]
        self._variance[tracks] = _RETURNED
        self._correct(tracks[known], found[known], detections, time)
        self._renew(tracks[~known], found[~known], detections, time)
        return np.delete(new, pairs[1])

    def _patience(self) -> NDArray[np.float64]:
        """Return for how long, s, each track may be undetected while its vehicle moves."""
        return np.where(self._confirmed, self.settings.lost_s, min(_TENTATIVE_S, self.settings.lost_s))

    def _drop_lost(self, time: float) -> None:
        limit = np.where(self._stands, standing.HIDDEN_S, self._patience() + self._confirmed * handover.HIDDEN_S)
        alive = time - self._last_seen <= limit
        if not alive.all():
            for name in _ARRAYS:
                setattr(self, name, getattr(self, name)[alive])

    def _start(self, found: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Start a track for each of these detections."""
        n = len(found)
        if not n:
            return
        rows = self._first_rows(found, detections, time) | {
            "_ids": np.zeros(n, np.int64),
            "_first_seen": np.full(n, time),
            "_place": detections.boxes[found],
            "_stays_since": np.full(n, time),
            "_stands": np.zeros(n, np.bool_),
            "_box": detections.boxes[found],
            "_edge_speeds": np.zeros((n, 4), np.float32),
            "_whole": _sizes(detections.boxes[found]),
        }
        for name, values in rows.items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))

    def _renew(self, tracks: NDArray[np.intp], found: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Begin unconfirmed tracks anew with these detections, except for what is known of where and since when."""
        for name, values in self._first_rows(found, detections, time).items():
            getattr(self, name)[tracks] = values

    def _first_rows(self, found: NDArray[np.intp], detections: Detections, time: float) -> dict[str, NDArray[Any]]:
        """Return the rows of tracks that consist of one detection each, by the name of their array."""
        n, boxes, scores = len(found), detections.boxes[found], detections.scores[found]
        centres = _centres(boxes)
        votes = np.zeros((n, len(LABELS)), np.float32)
        votes[np.arange(n), detections.classes[found]] = _vote_weights(scores, boxes)
        return {
            "_position": centres,
            "_velocity": np.zeros((n, 2), np.float32),
            "_size": _sizes(boxes),
            "_variance": np.tile(_UNKNOWN, (n, 1)),
            "_origin": centres,
            "_last_position": centres,
            "_path_length": np.zeros(n, np.float32),
            "_born": np.full(n, time),
            "_last_seen": np.full(n, time),
            "_votes": votes,
            "_evidence": scores,
            "_hits": np.ones(n, np.int64),
            "_confirmed": np.zeros(n, np.bool_),
        }

    def _confirmed_tracks(self, time: float) -> Tracks:
        rows = np.flatnonzero(self._confirmed & (time - self._last_seen <= self.settings.coast_s))
        position, half = self._position[rows], self._size[rows] / 2
        return Tracks(
            ids=self._ids[rows],
            boxes=np.concatenate([position - half, position + half], axis=1),
            centroids=position,
            velocities=self._velocity[rows],
            classes=self._votes[rows].argmax(axis=1).astype(np.int16),
            scores=(self._evidence[rows] / self._hits[rows]).astype(np.float32),
            seen=self._last_seen[rows] == time,
            origins=self._origin[rows],
            born=self._born[rows],
            first_seen=self._first_seen[rows],
        )


_ARRAYS = (
    "_ids", "_position", "_velocity", "_size", "_variance", "_origin", "_last_position", "_path_length", "_first_seen",
    "_born", "_last_seen", "_votes", "_evidence", "_hits", "_confirmed", "_place", "_stays_since", "_stands",
    "_box", "_edge_speeds", "_whole",
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


def _rows_without(wanted: NDArray[np.bool_], excluded: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows where `wanted` is True, without the excluded ones."""
    left = wanted.copy()
    left[excluded] = False
    return np.flatnonzero(left)


def _lengths(vectors: FloatArray) -> FloatArray:
    lengths: FloatArray = np.hypot(vectors[:, 0], vectors[:, 1])
    return lengths


def _vote_weights(scores: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return the weight of each detection in the class vote: a near vehicle shows its class better than a far one."""
    weights: FloatArray = scores * np.sqrt(_areas(_sizes(boxes)))
    return weights


def _greedy(rows: list[int], columns: list[int]) -> tuple[list[int], list[int]]:
    """Return the pairs that remain when each, in the order given, takes its row and its column."""
    taken_rows: dict[int, int] = {}
    taken_columns: set[int] = set()
    for row, column in zip(rows, columns, strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows[row] = column
            taken_columns.add(column)
    return list(taken_rows), list(taken_rows.values())

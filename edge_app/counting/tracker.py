"""Give detections an identity over time: a centroid tracker with a Kalman filter for each track.

Strong detections are associated first, weak ones only continue a track (Zhang et al., "ByteTrack", 2022). A box that
has not moved is no vehicle in motion and stays unconfirmed. A vehicle that stands keeps its place while others hide it.
Everything is in seconds and box sizes, so the same settings hold at any frame rate and picture size. One box size is
sqrt(width * height) of the track itself. Pure: no clock, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes, estimates, handover, kalman, standing
from edge_app.counting.association import associate, greedy
from edge_app.counting.estimates import Estimates, Motion, in_columns, vote_weights
from edge_app.counting.track_table import TrackTable
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


_COURSE_S = 0.5
"""Time constant, s, of a track's course: the last boxes of a vehicle that goes behind something point anywhere."""
_PATH_S = 2.0
"""Time constant, s, of a track's path length: one that trembled in a queue for a minute may still drive away."""
_WAITING_S = 0.5
"""Largest age, s, of a track that has not left its first place yet: waiting is no part of its motion."""
_TENTATIVE_S = 0.4
"""Longest time, s, for which an unconfirmed track may be undetected."""
_DOUBT = 2.0
"""Additional displacement, box sizes, for each point of mean score below one half: a track that the detector doubts
must prove itself by its motion."""
_GHOST, _ON_STANDING, _ON_SEEN = 0.4, 0.5, 0.7
"""Score below which a detection starts no track where so large a share of its box lies on vehicles that stand, or on
boxes that continue tracks in the same frame."""
_INSIDE = 0.9
"""Share of the box of a track on that of an earlier one from which it may be a second track on one vehicle."""
_LATELY_S = 0.3
"""Time, s, for which the last box of a track still tells where its vehicle is."""


_VIEWS_S = 1.0
"""Time constant, s, of the class vote while a vehicle stands: it shows one view again and again, and what drives off
from there may be another that passes by, whose class must not be outvoted by a vehicle that is parked there."""
_KNOWN_S: Final = np.array([standing.PLACE_S, estimates.SIZE_S, _PATH_S, _COURSE_S, _VIEWS_S])[:, None]
"""Time constants, s, that are needed together."""
_ONE_EACH: Final[FloatArray] = np.eye(len(LABELS), dtype=np.float32)
"""Row of votes for each class."""
_NOTHING: Final = Tracks.empty()


class Tracker:
    """Tracks of one camera; give it the detections of every frame in order of time."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._time: float | None = None
        self._table = TrackTable()

    def __len__(self) -> int:
        """Return the number of tracks alive, confirmed or not."""
        return len(self._table)

    def update(self, detections: Detections, time: float) -> Tracks:
        """Return the confirmed tracks after a frame at `time`, s of a clock that never steps back."""
        last, time = self._go_on(time)
        strong = detections.scores >= self.settings.strong
        new = self._continue(detections, strong, last, time) if len(self._table) else strong.nonzero()[0]
        if len(new):
            self._start(self._without_ghosts(new, detections, time), detections, time)
        return self._confirmed_tracks(time)

    def rest(self, time: float) -> Tracks:
        """Return the confirmed tracks after a frame at `time`, s, in which nothing moves and the network did not run.

        Nothing moved, so every vehicle that was detected in the frame before is still where it was: its track neither
        ages nor drifts, and its detection still holds; but it gains nothing by which it could be confirmed, for nobody
        saw it again. A track that was undetected in the frame before stays so: its time goes on and its patience ends
        as in any other frame. No track begins.
        """
        table = self._table
        last, time = self._go_on(time)
        there = table.last_seen == last
        place = table.position[there], table.variance[there]
        kalman.predict(table.position, table.velocity, table.variance, time - last)
        table.position[there], table.variance[there] = place
        table.last_seen[there] = time
        self._leave_unseen(time)
        return self._confirmed_tracks(time)

    def expects_motion(self, time: float) -> bool:
        """Return whether a vehicle may be on its way at `time`, s, so that the next frame must be searched for it.

        It may where a confirmed track does not stand and is not lost yet, and where an unconfirmed one is new or has
        begun to move. One that has stayed where it appeared is no vehicle in motion.
        """
        table = self._table
        if not len(table):
            return False
        left = boxes.lengths(table.position - table.origin) >= self.settings.displacement / 2 * boxes.sizes(table.size)
        open_ = table.confirmed | left | (time - table.first_seen <= _WAITING_S)
        return bool((open_ & ~table.stands & (time - table.last_seen <= self._patience())).any())

    def margin(self, number: int) -> float:
        """Return by how much the class of a track leads over the next one, as a share of all its votes, 0..1.

        number: its id in `Tracks`. 1 for a track that is gone: nothing is known against it.
        """
        rows = np.flatnonzero(self._table.numbers == number)
        if not len(rows):
            return 1.0
        votes = np.sort(self._table.votes[rows[0]])
        return float((votes[-1] - votes[-2]) / max(float(votes.sum()), 1e-6))

    def driving(self) -> FloatArray:
        """Return the boxes, float32 (N, 4) px, of the vehicles that drive: confirmed, not standing, not lost."""
        table, time = self._table, self._time or 0.0
        rows = (table.confirmed & ~table.stands & (time - table.last_seen <= self.settings.lost_s)).nonzero()[0]
        return boxes.around(table.position[rows], table.size[rows])

    def _go_on(self, time: float) -> tuple[float, float]:
        """Return the times, s, of the frame before and of this one."""
        last = time if self._time is None else self._time
        self._time = max(time, last)  # time that stands or steps back is no time passed
        return last, self._time

    def _continue(
        self, detections: Detections, strong: NDArray[np.bool_], last: float, time: float
    ) -> NDArray[np.intp]:
        """Continue tracks with detections and drop those that are lost; return the strong detections that are left."""
        table = self._table
        kalman.predict(table.position, table.velocity, table.variance, time - last)
        shows = last - table.last_seen <= self._patience()
        shown, clear = shows.nonzero()[0], strong.nonzero()[0]
        tracks, found = self._associate(shown, detections, clear)
        new = _without(clear, found) if len(found) < len(clear) else clear[:0]
        if len(tracks) < len(shown) and len(clear) < len(detections):
            rest = _without((shows & (table.hits > 1)).nonzero()[0], tracks)
            more = self._associate(rest, detections, (~strong).nonzero()[0])
            tracks, found = np.concatenate([tracks, more[0]]), np.concatenate([found, more[1]])
        self._correct(tracks, found, detections, time)
        if len(shown) < len(shows) and len(stood := (~shows & table.stands).nonzero()[0]):
            new = self._find_hidden(stood, new, detections, time)
        self._leave_unseen(time)
        return new

    def _confirmed_tracks(self, time: float) -> Tracks:
        table = self._table
        rows = (table.confirmed & (time - table.last_seen <= self.settings.coast_s)).nonzero()[0]
        return table.tracks(rows, time) if len(rows) else _NOTHING

    def _associate(
        self, tracks: NDArray[np.intp], detections: Detections, found: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        radius, largest = self.settings.association_radius, self.settings.max_association_radius
        return associate(self._table, tracks, detections, found, radius=radius, max_radius=largest)

    def _correct(self, tracks: NDArray[np.intp], found: NDArray[np.intp], detections: Detections, time: float) -> None:
        if not len(tracks):
            return
        table, now, scores = self._table, in_columns(detections.boxes, found), detections.scores[found]
        seen, ago = table.of(tracks), table.last_seen[tracks] - time
        known = np.exp(ago / _KNOWN_S)
        place, size = 1 - known[:2].astype(np.float32)
        path, course = known[2].astype(np.float32), (1 - known[3]).astype(np.float32)
        views = np.where(table.stands[tracks], known[4], 1).astype(np.float32)
        whole = self._whole_boxes(tracks, seen, now, place, time)
        motion = estimates.correct(seen, whole, size, path)
        seen.course += (motion.drives * course)[:, None] * (seen.velocity - seen.course)
        hits = table.hits[tracks]
        estimates.note_edges(seen, now, ago, hits == 1, table.stays_since[tracks] == time)
        estimates.restart_turned(seen, motion)
        seen.votes *= views[:, None]
        seen.votes += vote_weights(scores, whole)[:, None] * in_columns(_ONE_EACH, detections.classes[found])
        seen.evidence += scores
        table.values.T[:, tracks] = seen.values.T
        table.hits[tracks], table.last_seen[tracks] = hits + 1, time
        self._hand_over(self._confirm(tracks, motion, time), time)

    def _hand_over(self, new: NDArray[np.intp], time: float) -> None:
        """Let tracks that are confirmed just now continue those of vehicles that went behind something, or stood there.

        The row of the lost one keeps what still shows of it, as a track that must prove itself anew.
        """
        table = self._table
        for row in new.tolist():
            old = self._row_of_hidden(row, time)
            if old is not None:
                table.swap(row, old, time)

    def _row_of_hidden(self, row: int, time: float) -> int | None:
        table = self._table
        others = table.confirmed & (table.ids != table.ids[row])
        alike = table.votes[:, table.votes[row].argmax()] > 0
        standing_there = np.flatnonzero(others & alike & table.stands & (table.last_seen < time))
        if len(standing_there):
            fit = standing.returns(table.box[[row]], table.place[standing_there])[0]
            if fit.any():
                return int(standing_there[fit.argmax()])
        rear = np.flatnonzero(others & (table.ids == table.front_of[row]))
        if len(rear) and handover.are_one(self._part(rear[0]), table.box[row], time):
            return int(rear[0])
        unseen = table.first_seen[row] - table.last_seen
        # `misfit` is slow. A whole vehicle that was detected after the new track began went behind nothing.
        cut = handover.are_cut(boxes.sides(table.box), table.whole, table.course)
        lost = others & ~table.stands & (unseen <= handover.LONGEST_S) & (cut | (unseen > 0))
        part, rows = self._part(row), np.flatnonzero(lost).tolist()
        off = [handover.misfit(self._part(old), part, time) for old in rows]
        nearest = min(zip(off, rows, strict=True), default=(np.inf, 0))
        return nearest[1] if nearest[0] < np.inf else None

    def _part(self, row: int) -> handover.Part:
        table = self._table
        times = float(table.last_seen[row]), float(table.first_seen[row])
        return handover.Part(table.box[row], table.edge_speeds[row], table.whole[row], table.course[row], *times)

    def _confirm(self, tracks: NDArray[np.intp], motion: Motion, time: float) -> NDArray[np.intp]:
        """Confirm tracks of these rows that move like a vehicle; return the rows of those that were not before."""
        table = self._table
        s = self.settings
        before, size, displacement = table.confirmed[tracks], motion.size, motion.far
        if len(before.nonzero()[0]) == len(before):
            return tracks[:0]
        mean = table.evidence[tracks] / table.hits[tracks].astype(np.float32)
        required = s.displacement + _DOUBT * np.maximum(0, np.float32(0.5) - mean)
        waits = ~before & (displacement < s.displacement / 2 * size)
        table.born[tracks[waits]] = np.maximum(table.born[tracks[waits]], time - _WAITING_S)
        table.confirmed[tracks] |= (
            (time - table.born[tracks] >= s.confirm_s - 1e-6)
            & (table.evidence[tracks] >= s.evidence)
            & (displacement >= required * size)
            & (displacement >= s.straightness * table.path_length[tracks])
        )
        new = np.sort(tracks[table.confirmed[tracks] & ~before])
        if len(new):
            on_vehicles = self._on_vehicles(new, time)
            table.confirmed[new] = ~on_vehicles
            new = new[~on_vehicles]
            table.number(new)
        return new

    def _on_vehicles(self, tracks: NDArray[np.intp], time: float) -> NDArray[np.bool_]:
        """Return bool (N,): whether nearly all of the last box of each track lies on a vehicle that was there before.

        So lies a part of that vehicle which has a box of its own. Another vehicle in front of it soon leaves it.
        """
        table = self._table
        known = np.flatnonzero(table.confirmed & (time - table.last_seen < _LATELY_S))
        share = standing.shares(table.box[tracks], table.box[known])
        before = table.ids[known][None] < table.ids[tracks][:, None]
        on_vehicles: NDArray[np.bool_] = np.any(before & (share >= _INSIDE), axis=1)
        return on_vehicles

    def _whole_boxes(
        self, tracks: NDArray[np.intp], seen: Estimates, found: FloatArray, follow: FloatArray, time: float
    ) -> FloatArray:
        """Return the boxes, whole where only a part of a standing vehicle shows; note which tracks stand.

        follow: (N,), how far the place goes to a box.
        """
        table = self._table
        stands, since = table.stands[tracks], table.stays_since[tracks]
        stays, hidden = standing.judged(found, seen.place)
        # Only what stood before is hidden now; a vehicle that drives behind something, or out of the picture, moves.
        moved = ~stays | hidden & ~stands
        np.copyto(seen.place, found, where=moved[:, None])
        since[moved] = time
        stands = time - since >= standing.STANDS_S
        table.stands[tracks], table.stays_since[tracks] = stands, since
        seen.place += (follow * ~hidden)[:, None] * (found - seen.place)
        whole: FloatArray = found.copy(order="F")
        np.copyto(whole, seen.place, where=(stands & hidden)[:, None])
        return whole

    def _without_ghosts(self, new: NDArray[np.intp], detections: Detections, time: float) -> NDArray[np.intp]:
        """Return these detections without doubtful ones on vehicles that are known: nothing else can be there.

        The detector sees a part of a vehicle, or two as one, beside the boxes of the vehicles themselves.
        """
        table = self._table
        doubtful = detections.scores[new] < _GHOST
        if not doubtful.any():
            return new
        found = detections.boxes[new]
        on_standing = standing.covered(found, table.place[table.stands]) >= _ON_STANDING
        on_seen = standing.covered(found, table.box[table.last_seen == time]) >= _ON_SEEN
        return new[~doubtful | ~(on_standing | on_seen)]

    def _leave_unseen(self, time: float) -> None:
        """Leave standing vehicles that are hidden where they stand, and drop tracks that are undetected for too long.

        The last that was seen of a standing vehicle may have moved.
        """
        table = self._table
        unseen = (table.last_seen < time).nonzero()[0]
        if not len(unseen):
            return
        held = unseen[table.stands[unseen]]
        if len(held):
            table.position[held], table.size[held] = boxes.centres(table.place[held]), boxes.sides(table.place[held])
            table.velocity[held] = 0
        limit = np.where(table.stands, standing.HIDDEN_S, self._patience() + table.confirmed * handover.LONGEST_S)
        table.keep(time - table.last_seen <= limit)

    def _find_hidden(
        self, hidden: NDArray[np.intp], new: NDArray[np.intp], detections: Detections, time: float
    ) -> NDArray[np.intp]:
        """Continue the tracks of standing vehicles that show again; return the detections without theirs."""
        table = self._table
        fit = standing.returns(detections.boxes[new], table.place[hidden])
        fit[table.votes[hidden][:, detections.classes[new]].T == 0] = 0  # a small part of a car is no motorcycle
        order = np.argsort(-fit, axis=None, kind="stable")[: np.count_nonzero(fit)]
        columns, rows = np.divmod(order, len(hidden))
        pairs = greedy(rows.tolist(), columns.tolist())
        tracks, found = hidden[pairs[0]], new[pairs[1]]
        known = table.confirmed[tracks]
        table.variance[tracks] = kalman.RETURNED
        self._correct(tracks[known], found[known], detections, time)
        table.renew(tracks[~known], found[~known], detections, time)
        return np.delete(new, pairs[1])

    def _patience(self) -> NDArray[np.float64]:
        """Return for how long, s, each track may be undetected while its vehicle moves."""
        table = self._table
        return np.where(table.confirmed, self.settings.lost_s, min(_TENTATIVE_S, self.settings.lost_s))

    def _start(self, new: NDArray[np.intp], detections: Detections, time: float) -> None:
        """Start tracks, and note which of them may be the front of a vehicle that something hides in the middle."""
        table, before = self._table, len(self._table)
        table.start(new, detections, time)
        if not len(new):
            return
        cut = handover.are_cut(boxes.sides(table.box), table.whole, table.course)
        for old in np.flatnonzero(cut & table.confirmed & (table.last_seen == time)).tolist():
            part = self._part(old)
            for row in range(before, len(table)):
                if handover.is_ahead(part, table.box[row]):
                    table.front_of[row] = table.ids[old]


def _without(rows: NDArray[np.intp], excluded: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows that are not excluded; they are few."""
    without = {*excluded.tolist()}
    return np.array([row for row in rows.tolist() if row not in without], np.intp)

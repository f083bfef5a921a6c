"""Hold what is measured of tracks, and correct it by detections. Pure: no clock, no I/O."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_app.counting import boxes, handover, kalman
from edge_app.records import Detections, FloatArray

SIZE_S: Final = 0.15
"""Time constant, s, of a track's width and height."""
MOVING: Final = np.float32(0.5)
"""Speed, box sizes/s, from which a vehicle has a direction."""
VALUES, OF_MOTION = 37, 23
"""Number of columns, and of those in front that say how the vehicle moves and what it is."""
_EDGES_S: Final = np.array([handover.EDGE_S, SIZE_S, handover.WHOLE_S], np.float32)
"""Time constants, s, that are needed together."""


class Estimates:
    """What is measured of N tracks, float32 (N, 1 to 6) px and s: columns of one array, read and written at once.

    The array is in Fortran's order: numpy calculates several times as fast where each column lies in one piece.
    position, velocity, variance: of the centre, as filtered (`kalman`). size: width and height, smoothed.
    course: px/s, smoothed velocity while it moved, also of a vehicle that stands by now.
    origin: where it began to move. last_position: at the last detection. path_length: (N,), of late.
    evidence: (N,), sum of the scores of its detections. votes: their weights by class.
    place: its box where it has stayed. box: of the last detection. edge_speeds: of its four edges, px/s.
    whole: largest width and height of late.
    """

    def __init__(self, values: FloatArray) -> None:
        self.values = values
        self.position, self.velocity, self.size = values[:, 0:2], values[:, 2:4], values[:, 4:6]
        self.variance, self.course, self.origin = values[:, 6:9], values[:, 9:11], values[:, 11:13]
        self.last_position, self.path_length, self.evidence = values[:, 13:15], values[:, 15], values[:, 16]
        self.votes, self.box, self.place = values[:, 17:23], values[:, 23:27], values[:, 27:31]
        self.edge_speeds, self.whole = values[:, 31:35], values[:, 35:37]


class Motion(NamedTuple):
    """Motion of N tracks after a detection, float32 (N,).

    size: box size, px. far: distance from the origin, px. speed: px/s. drives: bool, fast enough to have a direction.
    """

    size: FloatArray
    far: FloatArray
    speed: FloatArray
    drives: NDArray[np.bool_]


def in_columns(values: FloatArray, rows: NDArray[np.integer[Any]]) -> FloatArray:
    """Return these rows of an array (N, M), in Fortran's order."""
    taken: FloatArray = values.T.take(rows, axis=1).T
    return taken


def first(found: NDArray[np.intp], detections: Detections) -> Estimates:
    """Return what is measured of tracks that consist of one of these detections each."""
    n, places, scores = len(found), detections.boxes[found], detections.scores[found]
    first = Estimates(np.zeros((n, VALUES), np.float32, "F"))
    first.position[:] = first.origin[:] = first.last_position[:] = boxes.centres(places)
    first.size[:] = first.whole[:] = boxes.sides(places)
    first.variance[:] = kalman.UNKNOWN
    first.evidence[:] = scores
    first.votes[np.arange(n), detections.classes[found]] = vote_weights(scores, places)
    first.box[:] = first.place[:] = places
    return first


def vote_weights(scores: FloatArray, found: FloatArray) -> FloatArray:
    """Return the weight of each detection in the class vote: a near vehicle shows its class better than a far one.

    scores: (N,), found: boxes (N, 4), px.
    """
    weights: FloatArray = scores * boxes.sizes(boxes.sides(found))
    return weights


def correct(seen: Estimates, found: FloatArray, follow: FloatArray, decay: FloatArray) -> Motion:
    """Correct place, velocity and size by boxes (N, 4), px; return the motion.

    follow: (N,), how far the size goes to that of a box. decay: (N,), share of the path that still counts.
    """
    gain, rate = kalman.correct(seen.variance)
    error = boxes.centres(found) - seen.position
    seen.position += gain * error
    seen.velocity += rate * error
    seen.size += follow[:, None] * (boxes.sides(found) - seen.size)
    seen.path_length *= decay
    seen.path_length += boxes.lengths(seen.position - seen.last_position)
    seen.last_position[:] = seen.position
    size, speed = boxes.sizes(seen.size), boxes.lengths(seen.velocity)
    return Motion(size, boxes.lengths(seen.position - seen.origin), speed, speed > MOVING * size)


def note_edges(
    seen: Estimates, found: FloatArray, ago: NDArray[np.float64], second: NDArray[np.bool_], moves: NDArray[np.bool_]
) -> None:
    """Note how fast the edges of boxes (N, 4), px, move, and how large the vehicles are.

    second: it is the second detection. moves: it has left its place; what stands stays as large as it is.
    """
    elapsed = np.maximum(-ago, 1e-3).astype(np.float32)[:, None]
    edge, grown, shrunk = (1 - np.exp(-elapsed / _EDGES_S)).T[..., None]
    edge[second] = 1
    seen.edge_speeds += edge * ((found - seen.box) / elapsed - seen.edge_speeds)
    seen.box[:] = found
    growth = boxes.sides(found) - seen.whole
    seen.whole += np.where(growth > 0, grown, shrunk * moves[:, None]) * growth


def restart_turned(seen: Estimates, motion: Motion) -> None:
    """Forget the past of a track that now drives back to where it came from.

    Seldom has the vehicle turned round; nearly always a vehicle in the opposite direction has taken over the track
    of one that was hidden or left the picture, and its class must not be outvoted by the earlier vehicle.
    """
    along = (seen.position - seen.origin) * seen.velocity
    against = along[:, 0] + along[:, 1] < -np.float32(0.5) * motion.far * motion.speed
    turned = (against & (motion.far > motion.size) & motion.drives).nonzero()[0]
    if len(turned):
        seen.origin[turned] = seen.position[turned]
        motion.far[turned] = seen.path_length[turned] = 0
        seen.votes[turned] = 0

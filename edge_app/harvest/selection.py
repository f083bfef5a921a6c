"""Choose the frames that teach a detector most: those where it is unsure, or where the tracker knows better. Pure.

Active learning by uncertainty and by disagreement over time (Settles, "Active Learning Literature Survey", 2009;
Brust et al., "Active Learning for Deep Object Detection", 2019). The worth of a frame is the sum over its reasons:

missed     a track in the middle of the picture that has lost its detection with this frame: 1
contested  a detection whose class is not that of its track: 1
born       a track that began in the middle of the picture, so that the detector missed the vehicle before: 0.5
weak       a track that is continued only by a detection too weak to begin one: 0.5
unsure     a detection just above the score that begins a track, and that belongs to no track: 0.3

In each span of time the frame worth most is kept. A frame that shows what was kept before is passed over; a picture
unlike any that was kept (night, rain, a camera that was turned) is kept without any of these reasons, and so is any
other while the camera has drifted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_app.records import Detections, FloatArray, FrameResult, Tracks

T = TypeVar("T")

WORTH: Final[Mapping[str, float]] = {"missed": 1.0, "contested": 1.0, "born": 0.5, "weak": 0.5, "unsure": 0.3}
NOVEL: Final = "novel"
DRIFT: Final = "drift"
EDGE: Final = 0.08
"""Share of the picture at each edge, where vehicles come and go: half a vehicle is no fault of the detector."""
_UNSURE: Final = 0.1
"""Largest distance above the score that begins a track at which a detection still counts as unsure."""
_MATCH: Final = 0.3
"""Least intersection over union at which a detection belongs to a track that was matched in this frame."""
_NEW_VIEW: Final = 14.0
"""Smallest difference, grey levels, mean over the picture, at which a view or a light is new."""
_REPEAT: Final = 10.0
"""Difference below which two pictures show the same vehicles in the same places: grey levels, in the cell that changed
most."""
_REMEMBERED: Final = 48


@dataclass(frozen=True, slots=True)
class FrameScore:
    """Score of one frame. reasons: how often each applies. worth: their sum, by WORTH."""

    reasons: Mapping[str, int]
    worth: float


class Uncertainty:
    """Scorer of frames by the reasons above; it needs every frame, in order of time.

    strong: score that begins a track.
    """

    def __init__(self, strong: float) -> None:
        self._strong = strong
        self._known: dict[int, bool] = {}

    def score(self, result: FrameResult) -> FrameScore:
        """Return the score of the next frame."""
        detections, tracks, size = result.detections, result.tracks, result.frame.size
        before, self._known = self._known, dict(zip(tracks.ids.tolist(), tracks.seen.tolist(), strict=True))
        owner = owners(detections, tracks)
        mine = np.flatnonzero(owner >= 0)
        classes, scores = detections.classes[mine], detections.scores[mine]
        strong = scores >= self._strong
        lost = [before.get(track, False) for track in self._known]
        new = [track not in before for track in self._known]
        guess = (owner < 0) & (detections.scores >= self._strong) & (detections.scores < self._strong + _UNSURE)
        found = {
            "missed": np.count_nonzero(np.array(lost, np.bool_) & missed(detections, tracks, size)),
            "contested": np.count_nonzero(strong & (classes != tracks.classes[owner[mine]])),
            "born": np.count_nonzero(np.array(new, np.bool_) & inside(tracks.origins, size)),
            "weak": np.count_nonzero(~strong),
            "unsure": np.count_nonzero(guess & inside(_centres(detections.boxes), size)),
        }
        reasons = {reason: int(n) for reason, n in found.items() if n}
        return FrameScore(reasons, sum(WORTH[reason] * n for reason, n in reasons.items()))


def owners(detections: Detections, tracks: Tracks) -> NDArray[np.intp]:
    """Return the row of each detection's track, intp (N,), -1 for none. Only tracks matched in this frame count."""
    owner = np.full(len(detections), -1, np.intp)
    rows = np.flatnonzero(tracks.seen)
    if not len(detections) or not len(rows):
        return owner
    overlap = _overlaps(tracks.boxes[rows], detections.boxes)
    best = overlap.argmax(axis=1)
    fits = overlap[np.arange(len(rows)), best] >= _MATCH
    owner[best[fits]] = rows[fits]
    return owner


def missed(detections: Detections, tracks: Tracks, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return, bool (M,), which tracks in the middle of the picture have no detection in this frame.

    size: width and height of the frame, px.
    """
    lost = ~tracks.seen & inside(tracks.centroids, size)
    if lost.any() and len(detections):
        lost &= _overlaps(tracks.boxes, detections.boxes).max(axis=1) < _MATCH
    return lost


def inside(points: FloatArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return, bool (P,), which points, float32 (P, 2) px, are away from the edges of a picture of this size."""
    low, high = np.multiply(size, EDGE), np.multiply(size, 1 - EDGE)
    return np.asarray(((points > low) & (points < high)).all(axis=1), np.bool_)


def _centres(boxes: FloatArray) -> FloatArray:
    centres: FloatArray = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)
    return centres


def _overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection over union, float32 (A, B), of boxes (A, 4) and (B, 4) px."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    common = sides[..., 0] * sides[..., 1]
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b))
    shared: FloatArray = common / np.maximum(area_a[:, None] + area_b[None] - common, 1)
    return shared


class Novelty:
    """Memory of the kept pictures, as thumbnails: grey levels, float32 (H, W), all of one shape.

    remembered: number of thumbnails to compare with.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._kept: deque[FloatArray] = deque(maxlen=remembered)
        self._first: FloatArray | None = None

    def is_new_view(self, thumbnail: FloatArray) -> bool:
        """Return whether a picture differs, averaged over all cells, from every kept one and from the first ever asked.

        The first one counts as the usual view of the camera: else every start of the program would keep a frame.
        """
        if self._first is None:
            self._first = thumbnail
        return all(float(np.abs(thumbnail - one).mean()) > _NEW_VIEW for one in (self._first, *self._kept))

    def is_repeat(self, thumbnail: FloatArray) -> bool:
        """Return whether a kept picture shows the same in every cell."""
        return any(float(np.abs(thumbnail - one).max()) < _REPEAT for one in self._kept)

    def keep(self, thumbnail: FloatArray) -> None:
        """Remember a picture that was kept."""
        self._kept.append(thumbnail)


class Span(Generic[T]):
    """Choice of one item in every `every_s` seconds: the one worth most, and of equals the earliest."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._until: float | None = None
        self._best: tuple[float, T] | None = None

    def offer(self, time: float, worth: float, item: T) -> T | None:
        """Offer an item; when it begins another span, return the best item of the span before. time: s."""
        over = self.close() if self._until is not None and time >= self._until else None
        if self._until is None or time >= self._until or time < self._until - self._every_s:
            self._until = time + self._every_s  # a clock that stepped back begins a new span
        if self._best is None or worth > self._best[0]:
            self._best = worth, item
        return over

    def close(self) -> T | None:
        """Return the best item so far and empty the span."""
        best, self._best = self._best, None
        return best[1] if best else None

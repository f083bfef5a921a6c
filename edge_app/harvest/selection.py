"""Which frames teach a detector most: those where it is unsure, or where the tracker knows better. Pure.

Active learning by uncertainty and by disagreement over time (Settles, "Active Learning Literature Survey", 2009;
Brust et al., "Active Learning for Deep Object Detection", 2019). A look is worth the sum of what is odd in it:

missed     a vehicle on its way in the middle of the picture that the detector does not see in this frame: 1
contested  a detection whose class is not that of its track: 1
born       a track that began in the middle of the picture, so that the detector was blind to it before: 0.5
weak       a track that only a detection too weak to begin one keeps alive: 0.5
unsure     a detection just above the score that begins a track, and that belongs to none: 0.3

Of the looks within one span of time the most telling is kept. One that shows what was kept before is passed over;
a picture unlike any that was kept (night, rain, a camera that was turned) is taken without any of these reasons.
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
EDGE: Final = 0.08
"""Part of the picture at its edges, where vehicles come and go and half of one is no fault of the detector."""
_UNSURE: Final = 0.1
"""Scores so little above the one that begins a track are a guess."""
_SAME: Final = 0.3
"""Intersection over union from which a detection is what a track was seen by."""
_UNLIKE: Final = 14.0
"""Grey levels, mean over the picture: another light or another view."""
_ALIKE: Final = 10.0
"""Grey levels, in the cell that changed most: the same vehicles in the same places."""
_REMEMBERED: Final = 48


@dataclass(frozen=True, slots=True)
class FrameScore:
    """What is odd in one look: how often for each reason, and what it is worth together."""

    reasons: Mapping[str, int]
    worth: float


class Uncertainty:
    """Looks at every frame's detections and tracks, in order of time. strong: score that begins a track."""

    def __init__(self, strong: float) -> None:
        self._strong = strong
        self._known: dict[int, bool] = {}

    def score(self, result: FrameResult) -> FrameScore:
        """Score what the pipeline found in one frame."""
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
            "unsure": np.count_nonzero(guess & inside(_middles(detections.boxes), size)),
        }
        reasons = {reason: int(n) for reason, n in found.items() if n}
        return FrameScore(reasons, sum(WORTH[reason] * n for reason, n in reasons.items()))


def owners(detections: Detections, tracks: Tracks) -> NDArray[np.intp]:
    """For each detection the row of the track that was seen by it, or -1: intp (N,)."""
    owner = np.full(len(detections), -1, np.intp)
    rows = np.flatnonzero(tracks.seen)
    if not len(detections) or not len(rows):
        return owner
    overlap = _overlaps(tracks.boxes[rows], detections.boxes)
    best = overlap.argmax(axis=1)
    fits = overlap[np.arange(len(rows)), best] >= _SAME
    owner[best[fits]] = rows[fits]
    return owner


def missed(detections: Detections, tracks: Tracks, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool (M,): vehicles on their way in the middle of the picture where no detection is."""
    gone = ~tracks.seen & inside(tracks.centroids, size)
    if gone.any() and len(detections):
        gone &= _overlaps(tracks.boxes, detections.boxes).max(axis=1) < _SAME
    return gone


def inside(points: FloatArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool (P,): points (P, 2) px away from the edges of the picture."""
    low, high = np.multiply(size, EDGE), np.multiply(size, 1 - EDGE)
    return np.asarray(((points > low) & (points < high)).all(axis=1), np.bool_)


def _middles(boxes: FloatArray) -> FloatArray:
    middles: FloatArray = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)
    return middles


def _overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union, float32 (A, B), of boxes (A, 4) and (B, 4) px."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0)
    common = sides[..., 0] * sides[..., 1]
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b))
    shared: FloatArray = common / np.maximum(area_a[:, None] + area_b[None] - common, 1)
    return shared


class Novelty:
    """How far a picture is from those that were kept: thumbnails, float32 (H, W) grey levels, of one shape."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._kept: deque[FloatArray] = deque(maxlen=remembered)
        self._first: FloatArray | None = None

    def unlike(self, thumbnail: FloatArray) -> bool:
        """Whether it differs as a whole from all of them and from the first that was asked about: that one is what
        this camera usually sees, or every start would keep a frame."""
        if self._first is None:
            self._first = thumbnail
        return all(float(np.abs(thumbnail - one).mean()) > _UNLIKE for one in (self._first, *self._kept))

    def again(self, thumbnail: FloatArray) -> bool:
        """Whether one of them shows the same in every place."""
        return any(float(np.abs(thumbnail - one).max()) < _ALIKE for one in self._kept)

    def keep(self, thumbnail: FloatArray) -> None:
        self._kept.append(thumbnail)


class Span(Generic[T]):
    """One item for every so many seconds: the one worth most, the earliest of equals."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._until: float | None = None
        self._best: tuple[float, T] | None = None

    def offer(self, time: float, worth: float, item: T) -> T | None:
        """Takes an item of `time`, s; returns the best of the span before when this one begins another."""
        over = self.close() if self._until is not None and time >= self._until else None
        if self._until is None or time >= self._until or time < self._until - self._every_s:
            self._until = time + self._every_s  # time that stepped back begins anew
        if self._best is None or worth > self._best[0]:
            self._best = worth, item
        return over

    def close(self) -> T | None:
        """The best so far; the span is empty then."""
        best, self._best = self._best, None
        return best[1] if best else None

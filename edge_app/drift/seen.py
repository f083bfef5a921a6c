"""Add up what the frames of a quarter of an hour show: the picture, detections, tracks, crossings. Pure: no I/O.

Here is what each figure means; health, the history of figures and drift read the same sums.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from edge_app.drift.picture import measured
from edge_app.records import DIRECTIONS, FrameResult, Tracks

QUARTER_S: Final = 900
_PICTURE_S: Final = 10.0
"""Time, s, between pictures that are measured: a hundredth of the work of the view's monitor, and 360 an hour."""
_LONGEST_S: Final = 1.0
"""Longest time, s, that a frame stands for."""
_MARGIN: Final = 0.5
"""A track that is seen last so many box sizes from the border or nearer has left the picture."""
_DRIVES: Final = 0.3
"""Speed, box sizes/s, from which a vehicle drives."""
_AGAIN_S: Final = 2.0
_AGAIN: Final = 1.5
"""A track that begins so soon after another was seen last, and so few box sizes from where that would be, goes on with
the same vehicle."""
_FRAMES: Final = 32
"""Tracks that have begun or ended lately and are remembered for it."""


@dataclass(slots=True)
class Seen:
    """What was seen from `begin`, UTC s, on.

    seen_s: time that frames stand for. frames: processed; still: in which nothing moved; empty: without a confirmed
    track; searched: by the network. detections: in those, and detection_scores: the sum of their scores.
    moving: share of the picture that moves, times s; None where it is not known. pictures: brightness, contrast,
    sharpness and noise of each measured picture. shift: largest shift of the view, part of the frame.
    Of tracks that have ended: lengths, s, sizes, px (root of the area of the last box), died: far from the border while
    driving, fragments: continued by another track.
    Of crossings: scores (mean score of each vehicle), doubtful, classes, directions.
    """

    begin: float
    seen_s: float = 0.0
    frames: int = 0
    still: int = 0
    empty: int = 0
    searched: int = 0
    detections: int = 0
    detection_scores: float = 0.0
    moving: float | None = 0.0
    pictures: dict[str, list[float]] = field(default_factory=dict)
    shift: float = 0.0
    lengths: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    died: int = 0
    fragments: int = 0
    scores: list[float] = field(default_factory=list)
    doubtful: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    directions: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(DIRECTIONS, 0)))


def merged(parts: Sequence[Seen]) -> Seen:
    """Return what was seen in several quarters, one at least, together."""
    total = Seen(parts[0].begin)
    for part in parts:
        for name in ("seen_s", "frames", "still", "empty", "searched", "detections", "detection_scores", "died"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        total.fragments += part.fragments
        total.doubtful += part.doubtful
        total.moving = None if total.moving is None or part.moving is None else total.moving + part.moving
        total.shift = max(total.shift, part.shift)
        for picture, values in part.pictures.items():
            total.pictures[picture] = total.pictures.get(picture, []) + values
        total.lengths = total.lengths + part.lengths
        total.sizes = total.sizes + part.sizes
        total.scores = total.scores + part.scores
        total.classes.update(part.classes)
        total.directions.update(part.directions)
    return total


@dataclass(slots=True)
class _LastSeen:
    """A track as it was last seen. at: s. place: of its centre, px. velocity: px/s. size: of its box, px.

    inside: far from the border, and driving.
    """

    at: float
    place: tuple[float, float]
    velocity: tuple[float, float]
    length_s: float
    size: float
    inside: bool


class QuarterCollector:
    """Collector of one camera, used by one thread.

    ended: gets each quarter with the first frame behind it. shift: returns the present shift of the view, right and
    down in parts of the frame.
    """

    def __init__(
        self, ended: Callable[[Seen], object], shift: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
    ) -> None:
        self._ended, self._shift = ended, shift
        self._seen: Seen | None = None
        self._tracks: dict[int, _LastSeen] = {}
        self._gone: deque[_LastSeen] = deque(maxlen=_FRAMES)
        self._begun: deque[tuple[float, float, float]] = deque(maxlen=_FRAMES)
        self._frame_at = self._picture_at = -np.inf

    def observe(self, result: FrameResult) -> None:
        """Take a frame, in order."""
        frame = result.frame
        begin = frame.captured_at // QUARTER_S * QUARTER_S
        if self._seen is None or self._seen.begin != begin:
            before, self._seen = self._seen, Seen(begin)
            if before is not None:
                self._ended(before)
        seen, elapsed = self._seen, frame.monotonic - self._frame_at
        self._frame_at = frame.monotonic
        for_s = min(max(0.0, elapsed), _LONGEST_S)
        seen.seen_s += for_s
        seen.frames += 1
        seen.empty += not len(result.tracks)
        if result.moving is None or seen.moving is None:
            seen.moving = None
        else:
            seen.moving += result.moving * for_s
        if not 0 <= frame.monotonic - self._picture_at < _PICTURE_S:
            self._picture_at = frame.monotonic
            for name, value in measured(frame.image).items():
                seen.pictures.setdefault(name, []).append(value)
            seen.shift = max(seen.shift, *map(abs, self._shift()))
        for crossing in result.crossings:
            seen.scores.append(crossing.score)
            seen.doubtful += crossing.doubtful
            seen.classes[crossing.label] += 1
            seen.directions[crossing.direction] += 1
        if result.still:
            seen.still += 1
            return
        seen.searched += 1
        seen.detections += len(result.detections)
        seen.detection_scores += float(result.detections.scores.sum())
        self._follow(result.tracks, frame.monotonic, frame.size, seen)

    def _follow(self, tracks: Tracks, at: float, size: tuple[int, int], seen: Seen) -> None:
        """Note the tracks that are there, and how those ended that are gone."""
        present = set(tracks.ids.tolist())
        for gone in self._tracks.keys() - present:
            self._end(self._tracks.pop(gone), seen)
        if not present:
            return
        extent = tracks.boxes[:, 2:] - tracks.boxes[:, :2]
        margin = _MARGIN * extent
        inside = (tracks.boxes[:, :2] > margin).all(1) & (tracks.boxes[:, 2:] < np.array(size) - margin).all(1)
        drives = np.hypot(*(tracks.velocities / np.maximum(extent, 1.0)).T) > _DRIVES
        sides = np.sqrt(extent.prod(axis=1))
        for row in np.flatnonzero(tracks.seen).tolist():
            number, first = int(tracks.ids[row]), float(tracks.first_seen[row])
            if number not in self._tracks:
                self._begin((first, *tracks.origins[row].tolist()), seen)
            self._tracks[number] = _LastSeen(
                at,
                tuple(tracks.centroids[row].tolist()),
                tuple(tracks.velocities[row].tolist()),
                at - first,
                float(sides[row]),
                bool(inside[row] and drives[row]),
            )

    def _end(self, last: _LastSeen, seen: Seen) -> None:
        seen.lengths.append(last.length_s)
        seen.sizes.append(last.size)
        if not last.inside:
            return
        seen.died += 1
        again = next((begun for begun in self._begun if _goes_on(last, begun)), None)
        if again is None:
            self._gone.append(last)
        else:
            self._begun.remove(again)
            seen.fragments += 1

    def _begin(self, begun: tuple[float, float, float], seen: Seen) -> None:
        """Note a track by the time, s, and the place, px, of its begin: one that is gone may go on with it."""
        before = next((last for last in self._gone if _goes_on(last, begun)), None)
        if before is None:
            self._begun.append(begun)
        else:
            self._gone.remove(before)
            seen.fragments += 1


def _goes_on(last: _LastSeen, begun: tuple[float, float, float]) -> bool:
    time, x, y = begun
    ago = time - last.at
    right, down = (place + speed * ago for place, speed in zip(last.place, last.velocity, strict=True))
    return bool(0 < ago <= _AGAIN_S and np.hypot(x - right, y - down) <= _AGAIN * last.size)

"""Keep the looks at each vehicle of the last seconds: the detected boxes of its track that are whole in the frame."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, FrameResult, Tracks

_KEPT_S: Final = 4.0
"""Time, s, for which looks are kept: a crossing that is confirmed later has no speed."""
_EDGE: Final = 0.004
"""Share of the frame within which a box may be cut off by its edge."""
_SAME: Final = 0.5
"""Overlap (IoU) from which a detection is that of a track."""
_AT_MOST: Final = 60
"""Number of frames that wait at most."""


@dataclass(slots=True)
class _Looks:
    """Looks at one vehicle as plain numbers: times, s, and four edges of a box, px, for each."""

    times: array[float] = field(default_factory=lambda: array("d"))
    boxes: array[float] = field(default_factory=lambda: array("f"))


class TrackLooks:
    """Looks of one camera. Those of many frames are taken at once, as soon as they are asked for: that is quicker."""

    def __init__(self) -> None:
        self._looks: dict[int, _Looks] = {}
        self._waiting: list[tuple[float, Tracks, FloatArray]] = []
        self._size, self._now, self._taken = (0, 0), float("-inf"), True

    def __len__(self) -> int:
        """Return the number of vehicles with looks."""
        self._take()
        return len(self._looks)

    def __iter__(self) -> Iterator[int]:
        """Yield the ids of their tracks."""
        self._take()
        yield from self._looks

    def of(self, track: int, since: float = float("-inf")) -> tuple[NDArray[np.float64], FloatArray]:
        """Return times, (N,) s, and boxes, (N, 4) px, of the looks at a track that are newer than `since`, s."""
        self._take()
        looks = self._looks.get(track)
        if looks is None:
            return np.empty(0), np.empty((0, 4), np.float32)
        first = bisect_right(looks.times, since)
        return np.array(looks.times[first:]), np.array(looks.boxes[4 * first :]).reshape(-1, 4)

    def clear(self) -> None:
        """Forget all of them."""
        self._looks.clear()
        self._waiting.clear()

    def observe(self, result: FrameResult) -> None:
        """Take the result of every frame, all of one size until `clear`; a still one has no boxes of its own."""
        self._size, self._now, self._taken = result.frame.size, result.frame.monotonic, False
        if not result.still and len(result.detections) and len(result.tracks.ids):
            self._waiting.append((self._now, result.tracks, result.detections.boxes))
        if len(self._waiting) >= _AT_MOST:
            self._take()

    def _take(self) -> None:
        """Take the looks of the frames that wait, and forget old ones."""
        if self._taken:
            return
        self._taken = True
        if self._waiting:
            times, tracks, found = zip(*self._waiting, strict=True)
            self._waiting.clear()
            self._keep(np.array(times), tracks, found)
        for track, looks in list(self._looks.items()):
            while looks.times and self._now - looks.times[0] > _KEPT_S:
                del looks.times[0], looks.boxes[:4]
            if not looks.times:
                del self._looks[track]

    def _keep(self, times: NDArray[np.float64], tracks: Sequence[Tracks], found: Sequence[FloatArray]) -> None:
        seen = np.concatenate([one.seen for one in tracks])
        frames = np.repeat(np.arange(len(tracks)), [len(one.ids) for one in tracks])[seen]
        padded = np.zeros((len(found), max(map(len, found)), 4), np.float32)
        for frame, boxes in zip(padded, found, strict=True):
            frame[: len(boxes)] = boxes
        candidates = padded[frames]
        overlap = _overlaps(np.concatenate([one.boxes for one in tracks])[seen], candidates)
        boxes = candidates[np.arange(len(frames)), overlap.argmax(axis=1)]
        size = np.array(self._size * 2, np.float32)
        inside = (boxes > _EDGE * size) & (boxes < (1 - _EDGE) * size)
        good = (overlap.max(axis=1) >= _SAME) & inside.all(axis=1)
        ids, at = np.concatenate([one.ids for one in tracks])[seen][good], times[frames[good]]
        for track, time, box in zip(ids.tolist(), at.tolist(), boxes[good].tolist(), strict=True):
            looks = self._looks.get(track)
            if looks is None:
                looks = self._looks[track] = _Looks()
            looks.times.append(time)
            looks.boxes.extend(box)


def _overlaps(tracks: FloatArray, found: FloatArray) -> NDArray[np.float32]:
    """Return the IoU of each track, (M, 4), with each detection of its frame, (M, N, 4): float32 (M, N)."""
    sides = np.minimum(tracks[:, None, 2:], found[..., 2:]) - np.maximum(tracks[:, None, :2], found[..., :2])
    np.maximum(sides, 0, out=sides)
    common = sides[..., 0] * sides[..., 1]
    own, others = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]) for boxes in (tracks, found))
    shares: NDArray[np.float32] = common / np.maximum(own[:, None] + others - common, 1e-6)
    return shares

"""Keep the looks at each vehicle of the last seconds: the detected boxes of its track that are whole in the frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, FrameResult

_KEPT_S: Final = 4.0
"""Time, s, for which looks are kept: a crossing that is confirmed later has no speed."""
_EDGE: Final = 0.004
"""Share of the frame within which a box may be cut off by its edge."""
_SAME: Final = 0.5
"""Overlap (IoU) from which a detection is that of a track."""


class TrackLooks:
    """Looks of one camera."""

    def __init__(self) -> None:
        self._looks: dict[int, deque[tuple[float, FloatArray]]] = {}

    def __len__(self) -> int:
        """Return the number of vehicles with looks."""
        return len(self._looks)

    def __iter__(self) -> Iterator[int]:
        """Yield the ids of their tracks."""
        yield from self._looks

    def of(self, track: int, since: float = float("-inf")) -> tuple[NDArray[np.float64], FloatArray]:
        """Return times, (N,) s, and boxes, (N, 4) px, of the looks at a track that are newer than `since`, s."""
        looks = [look for look in self._looks.get(track, ()) if look[0] > since]
        times, boxes = np.array([time for time, _ in looks]), [box for _, box in looks]
        return times, np.array(boxes, np.float32).reshape(-1, 4)

    def clear(self) -> None:
        """Forget all of them."""
        self._looks.clear()

    def observe(self, result: FrameResult) -> None:
        """Take the result of every frame; a still one has no boxes of its own."""
        if not result.still:
            self._keep(result)
        self._forget(result.frame.monotonic)

    def _keep(self, result: FrameResult) -> None:
        rows = np.flatnonzero(result.tracks.seen)
        if not len(rows) or not len(result.detections):
            return
        found = result.detections.boxes
        overlap = _overlaps(result.tracks.boxes[rows], found)
        best = overlap.argmax(axis=1)
        size = np.array(result.frame.size * 2, np.float32)
        inside = (found > _EDGE * size) & (found < (1 - _EDGE) * size)
        good = (overlap[np.arange(len(rows)), best] >= _SAME) & inside[best].all(axis=1)
        for row, box in zip(rows[good].tolist(), found[best[good]], strict=True):
            looks = self._looks.setdefault(int(result.tracks.ids[row]), deque())
            looks.append((result.frame.monotonic, box))

    def _forget(self, now: float) -> None:
        for looks in self._looks.values():
            while looks and now - looks[0][0] > _KEPT_S:
                looks.popleft()
        if not all(self._looks.values()):
            self._looks = {track: looks for track, looks in self._looks.items() if looks}


def _overlaps(tracks: FloatArray, found: FloatArray) -> NDArray[np.float32]:
    """Return the IoU of each track with each detection: float32 (M, N)."""
    low = np.maximum(tracks[:, None, :2], found[None, :, :2])
    high = np.minimum(tracks[:, None, 2:], found[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (tracks, found)]
    shares: NDArray[np.float32] = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-6)
    return shares

"""Frame in, crossings out: detect, track, count, in this order, with the time of each stage."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edge_app.counting import LineCounter, LineCrossing
from edge_app.detectors import Detector
from edge_app.records import DIRECTIONS, LABELS, Crossing, Detections, Frame, Line, Tracks
from edge_app.tracker import Tracker

Region = tuple[float, float, float, float]
"""x0, y0, x1, y1 in 0..1 of frame width and height."""

_REMEMBERED = 1024
"""Looks whose times are kept for the percentiles: a minute or so."""
_INDEX_S = 10.0
"""How far back a crossing may lie when it becomes certain."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one stage, ms."""

    p50: float
    p95: float


class StageTimes:
    """Seconds spent in each stage over the last looks."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def add(self, stage: str, seconds: float) -> None:
        self._seconds.setdefault(stage, deque(maxlen=_REMEMBERED)).append(seconds)

    def percentiles(self) -> dict[str, Percentiles]:
        quantiles = {stage: np.percentile(list(values), [50, 95]) * 1e3 for stage, values in self._seconds.items()}
        return {stage: Percentiles(float(q[0]), float(q[1])) for stage, q in quantiles.items()}


class Pipeline:
    """One road: its detector, its tracker, its lines. Used by one thread.

    classes: labels that are counted. band: half-width of the dead band, in box extents across the line. region: only
    this part of the frame is shown to the detector, so vehicles are larger; None for all of it.
    """

    def __init__(
        self,
        detector: Detector,
        tracker: Tracker,
        lines: Sequence[Line],
        classes: Collection[str],
        *,
        band: float,
        region: Region | None = None,
    ) -> None:
        self._detector, self._tracker, self._lines = detector, tracker, tuple(lines)
        self._counted = frozenset(classes)
        self._band, self._region = band, region
        self._size = (0, 0)
        self._counters: tuple[LineCounter, ...] = ()
        self._looks: deque[tuple[float, int]] = deque()
        self.times = StageTimes()
        self.detections = Detections.empty()
        self.tracks: Tracks | None = None

    def process(self, frame: Frame) -> list[Crossing]:
        """The crossings that became certain with this frame, in order of line; each says when it really happened.

        Raises DetectorError.
        """
        if frame.size != self._size:
            self._measure(frame.size)
        began = perf_counter()
        self.detections = self._detect(frame)
        detected = perf_counter()
        self.tracks = self._tracker.update(self.detections, frame.monotonic)
        tracked = perf_counter()
        crossings = self._count(frame, self.tracks)
        counted = perf_counter()
        self.times.add("detect", detected - began)
        self.times.add("track", tracked - detected)
        self.times.add("count", counted - tracked)
        return crossings

    def _measure(self, size: tuple[int, int]) -> None:
        """Lines are in parts of the frame; a camera may come back with another resolution."""
        width, height = self._size = size
        self._counters = tuple(
            LineCounter(
                (line.start[0] * width, line.start[1] * height),
                (line.end[0] * width, line.end[1] * height),
                band=self._band,
            )
            for line in self._lines
        )

    def _detect(self, frame: Frame) -> Detections:
        if self._region is None:
            return self._detector.detect(frame.image)
        x0, y0, x1, y1 = np.multiply(self._region, np.tile(frame.size, 2)).round().astype(int).tolist()
        found = self._detector.detect(frame.image[y0:y1, x0:x1])
        return Detections(found.boxes + np.array([x0, y0, x0, y0], np.float32), found.scores, found.classes)

    def _count(self, frame: Frame, tracks: Tracks) -> list[Crossing]:
        self._looks.append((frame.monotonic, frame.index))
        while frame.monotonic - self._looks[0][0] > _INDEX_S:
            self._looks.popleft()
        return [
            crossing
            for line, counter in zip(self._lines, self._counters, strict=True)
            for found in counter.update(tracks, frame.monotonic)
            if (crossing := self._crossing(frame, tracks, line, found)).label in self._counted
        ]

    def _crossing(self, frame: Frame, tracks: Tracks, line: Line, found: LineCrossing) -> Crossing:
        return Crossing(
            at=frame.captured_at - (frame.monotonic - found.time),
            frame=min(self._looks, key=lambda look: abs(look[0] - found.time))[1],
            track_id=int(tracks.ids[found.row]),
            label=LABELS[tracks.classes[found.row]],
            line=line.id,
            direction=DIRECTIONS[found.direction],
            score=float(tracks.scores[found.row]),
        )

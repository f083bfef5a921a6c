"""Frame in, crossings out: detect, track, count, in this order, with the time of each stage.

A frame is prepared and counted in the thread of the pipeline, and in between some engine sees it, perhaps in another
thread: `stages` lets the engines work on some frames while others are prepared and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edge_app.counting.line_counter import LineCounter
from edge_app.counting.stage_times import StageTimes
from edge_app.counting.tracker import Tracker
from edge_app.detectors import Detector, Engine, Outputs
from edge_app.detectors.letterbox import Picture
from edge_app.records import DIRECTIONS, LABELS, Crossing, Detections, Frame, Line, LineCrossing, Tracks

Region = tuple[float, float, float, float]
"""x0, y0, x1, y1 in 0..1 of frame width and height."""

_INDEX_S = 10.0
"""How far back a crossing may lie when it becomes certain."""


@dataclass(slots=True)
class Look:
    """A frame on its way: shown to an engine by one thread, then counted by another.

    corner: x, y px of the frame where the picture begins. spent: s of work for its detections so far.
    """

    frame: Frame
    picture: Picture
    corner: tuple[int, int]
    spent: float
    outputs: Outputs | None = None

    def show(self, engine: Engine) -> None:
        """Raises DetectorError."""
        began = perf_counter()
        self.outputs = engine.infer(self.picture)
        self.spent += perf_counter() - began


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
        self.detector, self._tracker, self._lines = detector, tracker, tuple(lines)
        self._counted = frozenset(classes)
        self._band, self._region = band, region
        self._size = (0, 0)
        self._counters: tuple[LineCounter, ...] = ()
        self._duplicates_before = 0
        self._looks: deque[tuple[float, int]] = deque()
        self.times = StageTimes()
        self.detections = Detections.empty()
        self.tracks: Tracks | None = None

    @property
    def duplicates(self) -> int:
        """Crossings, since the start, of a second track on a vehicle just counted, left out. Any thread may ask."""
        return self._duplicates_before + sum(counter.duplicates for counter in self._counters)

    def process(self, frame: Frame) -> list[Crossing]:
        """All steps for one frame, one after another: `prepare`, `Look.show`, `count`. Raises DetectorError."""
        look = self.prepare(frame)
        look.show(self.detector.engines[0])
        return self.count(look)

    def prepare(self, frame: Frame) -> Look:
        """What an engine is to be shown of a frame."""
        began = perf_counter()
        x0, y0, x1, y1 = self._part(frame.size)
        whole = (x0, y0, x1, y1) == (0, 0, *frame.size)
        picture = self.detector.prepare(frame.image if whole else frame.image[y0:y1, x0:x1])
        return Look(frame, picture, (x0, y0), perf_counter() - began)

    def count(self, look: Look) -> list[Crossing]:
        """Of a look that was shown; call it in the order of the frames.

        The crossings that became certain with this frame, in order of line; each says when it really happened.
        """
        frame = look.frame
        if frame.size != self._size:
            self._measure(frame.size)
        began = perf_counter()
        self.detections = self._detections(look)
        detected = perf_counter()
        self.tracks = self._tracker.update(self.detections, frame.monotonic)
        tracked = perf_counter()
        crossings = self._count(frame, self.tracks)
        counted = perf_counter()
        self.times.add("detect", look.spent + detected - began)
        self.times.add("track", tracked - detected)
        self.times.add("count", counted - tracked)
        return crossings

    def _measure(self, size: tuple[int, int]) -> None:
        """Lines are in parts of the frame; a camera may come back with another resolution."""
        width, height = self._size = size
        before, self._counters = self.duplicates, ()
        self._duplicates_before = before
        self._counters = tuple(
            LineCounter(
                (line.start[0] * width, line.start[1] * height),
                (line.end[0] * width, line.end[1] * height),
                band=self._band,
            )
            for line in self._lines
        )

    def _part(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The region in px of a frame of this width and height."""
        if self._region is None:
            return 0, 0, *size
        x0, y0, x1, y1 = np.multiply(self._region, np.tile(size, 2)).round().astype(int).tolist()
        return x0, y0, x1, y1

    def _detections(self, look: Look) -> Detections:
        assert look.outputs is not None
        found = self.detector.decode(look.picture, look.outputs)
        if look.corner == (0, 0):
            return found
        return Detections(found.boxes + np.tile(look.corner, 2).astype(np.float32), found.scores, found.classes)

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

"""Turn a frame into crossings: detect, track, count, in this order, and measure each stage.

A frame is prepared and counted in the thread of the pipeline, and in between an engine detects in it, perhaps in
another thread: `stages` lets the engines work on some frames while others are prepared and counted.

A frame in which nothing moves goes without the engine: it is still, and is not even scaled for it. Whether a frame is,
is decided twice. When it is prepared, `motion` compares it with the background. When its turn to be counted comes, the
tracker may know of a vehicle on its way, and then the engine must see the frame after all. Both depend on the frames
before alone, never on how fast an engine is, so that the same frames give the same crossings.

Where vehicles at the lines are small, an engine also sees the parts of the frame around them (`second_look`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from edge_app.counting.doubt import is_doubtful
from edge_app.counting.line_counter import LineCounter
from edge_app.counting.looks import Looks
from edge_app.counting.motion import Motion, Seen, squares
from edge_app.counting.second_look import Box, SecondLook, merged
from edge_app.counting.stage_times import StageTimes
from edge_app.counting.strides import Strides
from edge_app.counting.tracker import Tracker
from edge_app.detectors import Detector, Engine, Outputs
from edge_app.detectors.letterbox import Picture
from edge_app.records import (
    DIRECTIONS,
    LABELS,
    Crossing,
    Detections,
    FloatArray,
    Frame,
    FrameResult,
    Image,
    Line,
    LineCrossing,
    Region,
    Tracks,
    region_px,
)

_INDEX_S = 10.0
"""Longest time, s, between a crossing and its confirmation."""

COUNTING_REVISION: Final = 4
"""Raised whenever detector handling, tracker or line counters count the same pictures differently: intervals counted by
another revision are told apart by their `config`."""


_LAG: Final = 16
"""Number of frames after which the vehicles of one are known for sure: eight engines have two each in progress. To wait
for so many in any case keeps what `motion` learns independent of the number and the speed of the engines."""
_NOTHING: Final = Detections.empty()


@dataclass(slots=True)
class PreparedFrame:
    """A frame between the stages: given to an engine in one thread, then counted in another.

    box: x0, y0, x1, y1 px, the part of the frame that is watched. number: of this frame, from 0. seen: what moves in
    it; None where that is not asked. parts: of the frame, seen at full detail as well. pictures: inputs of the engine,
    that of `box` and of each part; none before, and for a frame that goes without it. outputs: of the engine, likewise.
    spent: s of work for its detections so far. once: its parts were left out. detector: whose engines see it. change:
    what `Pipeline.change` was given last.
    """

    frame: Frame
    box: Box
    number: int
    detector: Detector
    change: object = None
    seen: Seen | None = None
    parts: tuple[Box, ...] = ()
    pictures: tuple[Picture, ...] = ()
    outputs: tuple[Outputs, ...] = ()
    spent: float = 0.0
    once: bool = False

    @property
    def still(self) -> bool:
        """True where nothing moves."""
        return self.seen is not None and self.seen.still

    def infer(self, engine: Engine) -> None:
        """Let an engine detect in the pictures, which the pipeline must have scaled. Raises DetectorError."""
        began = perf_counter()
        self.outputs = tuple(engine.infer(picture) for picture in self.pictures)
        self.spent += perf_counter() - began


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """A counted frame that is to be learnt as background. vehicles: float32 (N, 4), those that drive, in squares."""

    number: int
    seen: Seen
    vehicles: FloatArray


class Pipeline:
    """The detector, the tracker and the lines of one road; used by one thread.

    classes: labels that are counted.
    band: half-width of the dead band around a line, in box extents across the line.
    region: the only part of the frame that the detector receives, so that vehicles are larger; None for all of it.
    motion: tells which frames are still; None lets the engines see every frame.
    second_look: tells which parts are to be seen at full detail as well; None for none.
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
        motion: Motion | None = None,
        second_look: SecondLook | None = None,
    ) -> None:
        self.detector, self._tracker, self._lines = detector, tracker, tuple(lines)
        self._change: object = None
        self._told_change: object = None
        self._counted = frozenset(classes)
        self._band, self._region, self._motion, self._second_look = band, region, motion, second_look
        self._lessons: deque[_Lesson] = deque()
        self._prepared = 0
        self._newest = Detections.empty()
        self._size = (0, 0)
        self._counters: tuple[LineCounter, ...] = ()
        self._duplicates_before = 0
        self._recent: deque[tuple[float, int]] = deque()
        reach, lost_s = tracker.settings.max_association_radius, tracker.settings.lost_s
        self._looks = {line.id: Looks(reach=reach, lost_s=lost_s) for line in self._lines}
        self._strides = Strides(reach)
        self.times = StageTimes()

    @property
    def duplicates(self) -> int:
        """Number of crossings left out since the start, because a second track of the same vehicle made them.

        Any thread may read it.
        """
        return self._duplicates_before + sum(counter.duplicates for counter in self._counters)

    def process(self, frame: Frame, *, once: bool = False) -> FrameResult:
        """Take one frame through all steps in this thread: `prepare`, `infer`, `count`. once: as for `scale`.

        Raises DetectorError: when the runtime fails.
        """
        prepared = self.prepare(frame)
        if self.must_infer(prepared):
            self.scale(prepared, once=once)
            prepared.infer(prepared.detector.engines[0])
        return self.count(prepared)

    def change(self, detector: Detector, change: object) -> None:
        """Have another detector see the frames from the next one on; tracks and counts go on.

        change: is told with the first result after it. Called by the thread that prepares.
        """
        self.detector, self._change = detector, change

    def prepare(self, frame: Frame) -> PreparedFrame:
        """Look for motion in a frame; call it in order of the frames.

        At most _LAG frames may be prepared and not counted yet.
        """
        prepared = PreparedFrame(
            frame, region_px(self._region, frame.size), self._prepared, self.detector, self._change
        )
        self._prepared += 1
        if self._motion is not None:
            self._look_for_motion(prepared, self._motion)
        if self._second_look is not None:
            known, time = prepared.number - _LAG, frame.monotonic
            parts = self._second_look.parts(prepared.box, frame.size, known, time)
            prepared.parts = () if prepared.seen is not None and prepared.seen.routine else parts
        return prepared

    def scale(self, prepared: PreparedFrame, *, once: bool = False) -> None:
        """Cut and scale a frame to the input of an engine: only one that an engine is to see needs it.

        once: leave the parts out, since no engine has the time for them.
        """
        began = perf_counter()
        prepared.once = once
        prepared.parts = () if once else prepared.parts
        prepared.pictures = tuple(
            prepared.detector.prepare(_cut(prepared.frame, box)) for box in (prepared.box, *prepared.parts)
        )
        prepared.spent += perf_counter() - began

    def must_infer(self, prepared: PreparedFrame) -> bool:
        """Return whether an engine must see a frame before it is counted; call it when all before it are counted.

        A still frame is searched all the same while a vehicle may be on its way that the background does not show, and
        after a change of size, since the newest detections are in px.
        """
        frame = prepared.frame
        return not prepared.still or frame.size != self._size or self._tracker.expects_motion(frame.monotonic)

    def count(self, prepared: PreparedFrame) -> FrameResult:
        """Decode, track and count a frame that an engine has processed or need not; call it in order of the frames."""
        frame = prepared.frame
        if frame.size != self._size:
            self._build_line_counters(frame.size)
        began = perf_counter()
        searched = bool(prepared.outputs)
        if searched:
            self._newest = self._detections(prepared)
        detections = self._newest
        detected = perf_counter()
        tracks = self._tracker.update(detections, frame.monotonic) if searched else self._tracker.rest(frame.monotonic)
        tracked = perf_counter()
        crossings = self._crossings(frame, tracks)
        self._note_untracked(detections if searched else _NOTHING, frame.monotonic)
        unseen = frozenset(line for line, looks in self._looks.items() if not looks.look(frame.monotonic))
        slow = frozenset(line for line, looks in self._looks.items() if looks.too_rare)
        counted = perf_counter()
        self._note_vehicles(prepared)
        if searched:
            self.times.add("detect", prepared.spent + detected - began)
        self.times.add("track", tracked - detected)
        self.times.add("count", counted - tracked)
        moving = prepared.seen.moving if prepared.seen else None
        change = None if prepared.change is self._told_change else prepared.change
        self._told_change = prepared.change
        return FrameResult(
            *(frame, detections, tracks, crossings, unseen, slow, not searched, moving, prepared.once, change)
        )

    def _look_for_motion(self, prepared: PreparedFrame, motion: Motion) -> None:
        began = perf_counter()
        while self._lessons and self._lessons[0].number <= prepared.number - 2 * _LAG:
            lesson = self._lessons.popleft()
            later = (one.vehicles for one in self._lessons if one.number <= prepared.number - _LAG)
            motion.learn(lesson.seen, np.concatenate([lesson.vehicles, *later]))
        prepared.seen = motion.look(squares(_cut(prepared.frame, prepared.box)), prepared.frame.monotonic)
        self.times.add("motion", perf_counter() - began)

    def _note_vehicles(self, prepared: PreparedFrame) -> None:
        """Keep what a counted frame teaches: the background that no vehicle in motion covers, and vehicles' sizes."""
        if self._second_look is None and prepared.seen is None:
            return
        driving, x0, y0 = self._tracker.driving(), *prepared.box[:2]
        if self._second_look is not None and prepared.outputs:
            scale = prepared.pictures[0].scale
            self._second_look.note(prepared.number, driving, prepared.frame.size, scale)
        if prepared.seen is not None:
            height, width = prepared.seen.change.shape
            squares_per_px = width / (prepared.box[2] - x0), height / (prepared.box[3] - y0)
            vehicles = (driving - np.array([x0, y0] * 2, np.float32)) * np.array(squares_per_px * 2, np.float32)
            self._lessons.append(_Lesson(prepared.number, prepared.seen, vehicles))

    def _build_line_counters(self, size: tuple[int, int]) -> None:
        """Place the lines in px: they are given in parts of the frame, and a camera may return with another size."""
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

    def _detections(self, prepared: PreparedFrame) -> Detections:
        """Decode the outputs of the engine into boxes in px of the frame."""
        whole, *looks = (
            _moved(prepared.detector.decode(picture, outputs), box)
            for picture, outputs, box in zip(
                prepared.pictures, prepared.outputs, (prepared.box, *prepared.parts), strict=True
            )
        )
        return merged(whole, looks, prepared.parts, prepared.box) if looks else whole

    def _crossings(self, frame: Frame, tracks: Tracks) -> tuple[Crossing, ...]:
        """Return the crossings of counted classes that this frame confirms, in the order of the lines."""
        self._recent.append((frame.monotonic, frame.index))
        while frame.monotonic - self._recent[0][0] > _INDEX_S:
            self._recent.popleft()
        return tuple(
            crossing
            for line, counter in zip(self._lines, self._counters, strict=True)
            for found in counter.update(tracks, frame.monotonic)
            if (crossing := self._crossing(frame, tracks, line, found)).label in self._counted
        )

    def _note_untracked(self, detections: Detections, time: float) -> None:
        """Tell the looks at each line of vehicles that passed it too fast for the tracker."""
        for passage in self._strides.update(detections, time):
            for line, counter in zip(self._lines, self._counters, strict=True):
                if counter.lies_between(passage.first, passage.last):
                    self._looks[line.id].crossed(passage.speed)

    def _crossing(self, frame: Frame, tracks: Tracks, line: Line, found: LineCrossing) -> Crossing:
        box, velocity = tracks.boxes[found.row], tracks.velocities[found.row]
        self._looks[line.id].crossed(float(np.hypot(*(velocity / (box[2:] - box[:2])))))
        number, score = int(tracks.ids[found.row]), float(tracks.scores[found.row])
        return Crossing(
            at=frame.captured_at - (frame.monotonic - found.time),
            frame=min(self._recent, key=lambda recent: abs(recent[0] - found.time))[1],
            track_id=number,
            label=LABELS[tracks.classes[found.row]],
            line=line.id,
            direction=DIRECTIONS[found.direction],
            score=score,
            doubtful=is_doubtful(score, self._tracker.margin(number)),
        )


def _cut(frame: Frame, box: Box) -> Image:
    """Return a part of a frame, uint8 (H, W, 3) BGR."""
    x0, y0, x1, y1 = box
    return frame.image if box == (0, 0, *frame.size) else frame.image[y0:y1, x0:x1]


def _moved(found: Detections, box: Box) -> Detections:
    """Return detections in a part of a frame in px of the frame."""
    if box[:2] == (0, 0):
        return found
    return Detections(found.boxes + np.tile(box[:2], 2).astype(np.float32), found.scores, found.classes)

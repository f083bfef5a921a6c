"""Records that the packages pass to each other: frozen, with arrays of stated shape, dtype and unit.

Arrays are checked when a record is made. Pixel boxes are x0, y0, x1, y1, origin top left, y down. Times are UTC seconds
since 1970 (`captured_at`, `at`, `start`) or seconds of a clock that never steps (`monotonic`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.float32]
Direction: TypeAlias = Literal["left_to_right", "right_to_left"]
Quality: TypeAlias = Literal[
    "dark", "blind", "blurred", "moved", "clock_unsynced", "slow", "clock_stepped", "synthetic"
]
Counts: TypeAlias = Mapping[str, Mapping[Direction, int]]
Sums: TypeAlias = "Mapping[str, float | Sums]"
"""Named sums, nested: each may be added up over intervals, but of one named `most` the maximum counts."""
Region: TypeAlias = tuple[float, float, float, float]
"""A part of the frame: x0, y0, x1, y1 in 0..1 of its width and height."""

LABELS: Final = ("car", "motorcycle", "bus", "truck", "bicycle", "person")
"""Every class of the product; `classes` arrays index this tuple, whatever order a model's own labels have."""
VEHICLES: Final = ("car", "motorcycle", "bus", "truck", "bicycle")
"""Labels that are tracked and may be counted."""
FLOWS: Final = "_flows"
"""Stands for a line where intervals of turning flows are numbered; no line can have this id."""
DIRECTIONS: Final[tuple[Direction, Direction]] = ("left_to_right", "right_to_left")


_UINT8, _INT16, _INT64 = np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.int64)
_FLOAT32, _FLOAT64, _BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)


def _check(name: str, array: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> None:
    if type(array) is np.ndarray and array.dtype is dtype and array.shape == shape:
        return  # nearly always, and a dozen arrays are checked for each frame
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"{name} must be a numpy array of {dtype}, not {getattr(array, 'dtype', type(array))}")
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of the road.

    image: uint8 (H, W, 3), BGR.
    index: 0-based number since the source was opened, dropped frames included.
    captured_at: UTC s. monotonic: s of a clock that never steps; replay derives both from the media clock.
    media_s: s of the camera's own clock, from any time on; None where only the time of arrival is known.
    """

    image: Image
    index: int
    captured_at: float
    monotonic: float
    media_s: float | None = None

    def __post_init__(self) -> None:
        _check("image", self.image, _UINT8, (None, None, 3))

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in px."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections of one frame.

    boxes: float32 (N, 4), px. scores: float32 (N,), 0..1. classes: int16 (N,), indices into LABELS.
    """

    boxes: FloatArray
    scores: FloatArray
    classes: NDArray[np.int16]

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _check("boxes", self.boxes, _FLOAT32, (n, 4))
        _check("scores", self.scores, _FLOAT32, (n,))
        _check("classes", self.classes, _INT16, (n,))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int16))


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Confirmed tracks at one moment.

    ids: int64 (M,), unique for the life of a tracker.
    boxes: float32 (M, 4), px. centroids: float32 (M, 2), px. velocities: float32 (M, 2), px/s.
    classes: int16 (M,), indices into LABELS, the vote over the track so far.
    scores: float32 (M,), mean detection score.
    seen: bool (M,), True where a detection of this frame was matched, False where the track is only predicted.
    origins: float32 (M, 2), px, and born: float64 (M,), monotonic s: place and time from which the vehicle moved,
    before the track was confirmed. first_seen: float64 (M,), monotonic s, of its first detection; earlier than born
    where it stood at first.
    """

    ids: NDArray[np.int64]
    boxes: FloatArray
    centroids: FloatArray
    velocities: FloatArray
    classes: NDArray[np.int16]
    scores: FloatArray
    seen: NDArray[np.bool_]
    origins: FloatArray
    born: NDArray[np.float64]
    first_seen: NDArray[np.float64]

    def __post_init__(self) -> None:
        m = len(self.ids)
        _check("ids", self.ids, _INT64, (m,))
        _check("boxes", self.boxes, _FLOAT32, (m, 4))
        _check("centroids", self.centroids, _FLOAT32, (m, 2))
        _check("velocities", self.velocities, _FLOAT32, (m, 2))
        _check("classes", self.classes, _INT16, (m,))
        _check("scores", self.scores, _FLOAT32, (m,))
        _check("seen", self.seen, _BOOL, (m,))
        _check("origins", self.origins, _FLOAT32, (m, 2))
        _check("born", self.born, _FLOAT64, (m,))
        _check("first_seen", self.first_seen, _FLOAT64, (m,))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls) -> Tracks:
        points = np.empty((0, 2), np.float32)
        return cls(
            ids=np.empty(0, np.int64),
            boxes=np.empty((0, 4), np.float32),
            centroids=points,
            velocities=points,
            classes=np.empty(0, np.int16),
            scores=np.empty(0, np.float32),
            seen=np.empty(0, np.bool_),
            origins=points,
            born=np.empty(0, np.float64),
            first_seen=np.empty(0, np.float64),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A counting line in 0..1 of frame width and height, with optional names and bearings for its two directions.

    road: text for people. bearings: degrees, 0..359, clockwise from true north, the way the vehicles drive.
    lanes: where they part, 0..1 of the way from start to end; None where they are not told apart. queue: corners of a
    region, 0..1 of the frame: two opposite ones of a rectangle or those of a polygon. enters: direction in which
    vehicles enter the junction; None where the line is no arm of one.
    """

    id: str
    start: tuple[float, float]
    end: tuple[float, float]
    names: Mapping[Direction, str] = field(default_factory=dict)
    road: str = ""
    bearings: Mapping[Direction, int] = field(default_factory=dict)
    lanes: tuple[float, ...] | None = None
    queue: tuple[tuple[float, float], ...] | None = None
    enters: Direction | None = None


@dataclass(frozen=True, slots=True)
class LineCrossing:
    """Crossing of a line by one track of a frame.

    row: index of the track in `Tracks`. time: monotonic s at which it crossed. direction: 0 or 1, an index into
    DIRECTIONS.
    """

    row: int
    time: float
    direction: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """Crossing of one line by one vehicle.

    at: UTC s, and frame: frame index, at which the centre passed the segment, not at which that was confirmed.
    score: mean detection score of the track, 0..1. doubtful: its class, or that it is a vehicle at all, is unsure.
    """

    at: float
    frame: int
    track_id: int
    label: str
    line: str
    direction: Direction
    score: float
    doubtful: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """One frame with everything that the pipeline found in it.

    crossings: confirmed by this frame, in the order of the lines; each carries the time at which it really happened.
    unseen: lines that vehicles could pass unseen since the frame before, because it was too long ago. slow: lines for
    whose traffic frames come too rarely. still: nothing moves in the frame, so the network did not run: the
    detections are those of the newest frame in which it did. moving: share of the picture that moves, 0..1, told by the
    picture alone; None where that is not asked. once: no engine had the time for the parts around the lines.
    change: what `Pipeline.change` was given, on the first frame after it; None on all others.
    """

    frame: Frame
    detections: Detections
    tracks: Tracks
    crossings: tuple[Crossing, ...] = ()
    unseen: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()
    still: bool = False
    moving: float | None = None
    once: bool = False
    change: object = None

    def at_media_time(self) -> FrameResult:
        """Return the result with the frame's time by the camera's own clock, where that is known."""
        frame = self.frame
        return self if frame.media_s is None else replace(self, frame=replace(frame, monotonic=frame.media_s))


@dataclass(frozen=True, slots=True)
class IntervalCounts:
    """Counts of one line in one closed interval.

    start: UTC s, whole; on the grid of interval_s, except where the configuration changed within the interval.
    interval_s: the configured length, s. counts: class -> direction -> n, with every configured class.
    observed_s: seconds of the interval in which no vehicle could pass the line unseen.
    cut_at: UTC s at which a change of the configuration ended the interval before its time; None without one.
    config, model: hashes of the configuration and the model that counted; empty where they are not known.
    measures: speed, headway, occupancy and queue, as in the message and only where configured; of FLOWS the flows.
    """

    line: str
    start: float
    interval_s: float
    counts: Counts
    observed_s: float
    frames: int
    dropped: int
    quality: tuple[Quality, ...] = ()
    cut_at: float | None = None
    config: str = ""
    model: str = ""
    measures: Sums = field(default_factory=dict)

    @property
    def end(self) -> float:
        return grid_end(self.start, self.interval_s) if self.cut_at is None else self.cut_at

    @property
    def coverage(self) -> float:
        """Return the observed part of the interval, 0..1; rounding can make the sum of its parts slightly longer."""
        return min(1.0, max(0.0, self.observed_s / (self.end - self.start)))


def grid_start(at: float, interval_s: float) -> float:
    """Return the newest multiple of interval_s that is not after this time."""
    return math.floor(at / interval_s) * interval_s


def grid_end(at: float, interval_s: float) -> float:
    """Return the first multiple of interval_s that is after this time."""
    return grid_start(at, interval_s) + interval_s


def region_px(region: Region | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a region as x0, y0, x1, y1 in whole px, at least one px wide and high.

    region: None for the whole frame. size: width and height of the frame, px.
    """
    if region is None:
        return 0, 0, *size
    x0, y0, x1, y1 = np.multiply(region, (*size, *size)).round().astype(int).tolist()
    x0, y0 = min(x0, size[0] - 1), min(y0, size[1] - 1)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)

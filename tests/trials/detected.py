"""Detect in recordings once and keep the detections, so that counting is tried again on them in seconds.

Detections depend on pictures and detector alone, not on tracker and line counters. A file of them is named after all
that they are made from, so that none is ever out of date.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import edge_app.detectors
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import SourceEnded
from edge_app.records import Crossing, Detections, Frame, FrameResult, Line
from edge_app.sources import Source
from tests.support.scripted import COUNTED, Scripted, pipeline
from tests.support.trajectories import Observation


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """A recording as the detector saw it. size: width and height of its frames, px. indices: numbers of the frames."""

    size: tuple[int, int]
    indices: Sequence[int]
    observations: Sequence[Observation]

    def every(self, step: int) -> Detected:
        """Return the same with every `step`th frame alone."""
        return Detected(self.size, self.indices[::step], self.observations[::step])

    def results(self, line: Line, classes: Sequence[str] = COUNTED) -> Iterator[FrameResult]:
        """Yield what the default pipeline finds at a line in each frame; the pictures are black."""
        counting = pipeline(Scripted(self.observations), line, classes=classes)
        black = np.zeros((*self.size[::-1], 3), np.uint8)
        for index, seen in zip(self.indices, self.observations, strict=True):
            yield counting.process(Frame(black, index, seen.time, seen.time))

    def crossings(self, line: Line, classes: Sequence[str] = COUNTED) -> list[Crossing]:
        """Return what the default pipeline counts at a line."""
        return [crossing for result in self.results(line, classes) for crossing in result.crossings]


class DetectionStore:
    """Detections on disk.

    folder: made where it is absent; None keeps nothing. detector: finds what is not kept yet. made_by: files that the
    pictures depend on, beside their names: a clip, the code that alters it.
    """

    def __init__(self, folder: Path | None, detector: TfliteDetector, made_by: Iterable[Path]) -> None:
        self._folder, self._detector = folder, detector
        code = sorted(Path(edge_app.detectors.__file__).parent.glob("*.py"))
        self._key = hashlib.sha256(f"{detector.manifest.sha256} {cv2.__version__}".encode())
        for path in [*code, *made_by]:
            self._key.update(hashlib.sha256(path.read_bytes()).digest())

    def detected(self, name: str, frames: Callable[[], Iterable[Frame]]) -> Detected:
        """Return the detections of a recording, one size of frames; `frames` is called when they are not kept yet."""
        if self._folder is None:
            return self._detect(frames())
        key = self._key.copy()
        key.update(name.encode())
        path = self._folder / f"{key.hexdigest()[:24]}.npz"
        if (kept := _load(path)) is not None:
            return kept
        found = self._detect(frames())
        self._folder.mkdir(parents=True, exist_ok=True)
        _save(path, found)
        return found

    def _detect(self, frames: Iterable[Frame]) -> Detected:
        size, indices, observations = (0, 0), list[int](), list[Observation]()
        for frame in frames:
            size = frame.size
            indices.append(frame.index)
            observations.append(Observation(frame.monotonic, self._detector.detect(frame.image)))
        return Detected(size, indices, observations)


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of a DetectionStore."""
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep detections there, and use those that are there")


def read(source: Source) -> Iterator[Frame]:
    """Yield every frame of a source that never waits, and close it."""
    try:
        while frame := source.read(1.0):
            yield frame
    except SourceEnded:
        source.close()


def _save(path: Path, found: Detected) -> None:
    detections = [seen.detections for seen in found.observations]
    begun = path.with_suffix(f".{id(found)}.npz")
    np.savez_compressed(
        begun,
        size=found.size,
        indices=found.indices,
        times=[seen.time for seen in found.observations],
        numbers=[len(d) for d in detections],
        boxes=np.concatenate([Detections.empty().boxes, *(d.boxes for d in detections)]),
        scores=np.concatenate([Detections.empty().scores, *(d.scores for d in detections)]),
        classes=np.concatenate([Detections.empty().classes, *(d.classes for d in detections)]),
    )
    begun.rename(path)


def _load(path: Path) -> Detected | None:
    """Return the detections of a file, None where there is none or where it is damaged."""
    try:
        with np.load(path) as kept:
            ends = np.cumsum(kept["numbers"])[:-1]
            parts = zip(*(np.split(kept[name], ends) for name in ("boxes", "scores", "classes")), strict=True)
            times = kept["times"].tolist()
            observations = [Observation(time, Detections(*part)) for time, part in zip(times, parts, strict=True)]
            width, height = kept["size"].tolist()
            return Detected((width, height), kept["indices"].tolist(), observations)
    except (OSError, zipfile.BadZipFile):
        return None

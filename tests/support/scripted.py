"""Detector with scripted answers instead of a network, and a pipeline around it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from edge_app.counting.pipeline import Pipeline
from edge_app.counting.tracker import Tracker
from edge_app.detectors import Detector, Outputs
from edge_app.detectors.letterbox import Picture
from edge_app.records import Detections, Frame, Image, Line
from tests.support.trajectories import BAND, Observation, Sensor, straight

LINE = Line("main", (0.1, 0.5), (0.9, 0.5))
"""Horizontal: moving down is left_to_right."""
COUNTED = ("car", "motorcycle", "bus", "truck")
NOON = 1_780_000_000.0
"""UTC s of the first frame."""
DOWN = straight((0.5, 0.0), (0.5, 1.0), 0.0, 4.0)
"""A car that crosses LINE after 2 s."""


class ScriptedEngine:
    """Engine that returns the number that the picture carries, after it has called `work` with it.

    loaded: False for one that is to be loaded first.
    """

    def __init__(self, work: Callable[[int], None] | None = None, *, loaded: bool = True) -> None:
        self.ready = threading.Event()
        if loaded:
            self.ready.set()
        self._work = work or (lambda _number: None)
        self.threads: set[str] = set()

    @property
    def loaded(self) -> bool:
        return self.ready.is_set()

    def load(self) -> None:
        self.ready.set()

    def infer(self, picture: Picture) -> Outputs:
        self.threads.add(threading.current_thread().name)
        number = int(picture.left)
        self._work(number)
        return Outputs(np.array([number]), np.array([0]), np.zeros(1, np.float32), np.zeros((1, 4), np.float32))


class Scripted:
    """Detector that answers picture after picture with the given observations, and stores the pictures it received."""

    def __init__(self, observations: Sequence[Observation], engines: Sequence[ScriptedEngine] = ()) -> None:
        self.answers = [observation.detections for observation in observations]
        self.engines = tuple(engines) or (ScriptedEngine(),)
        self.shown: list[Image] = []
        self.prepared = threading.Semaphore(0)

    def prepare(self, image: Image) -> Picture:
        """Return a picture whose margin carries its number."""
        self.shown.append(image)
        self.prepared.release()
        return Picture(np.zeros((1, 1, 1, 3), np.uint8), image.shape[1], image.shape[0], 1.0, len(self.shown) - 1, 0)

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        """Return the answer for this picture, which must be the one that the engine received."""
        assert outputs.anchors[0] == picture.left
        return self.answers[picture.left]

    def close(self) -> None:
        pass


def pipeline(detector: Detector, *lines: Line, classes: Sequence[str] = COUNTED) -> Pipeline:
    """Return a pipeline with the default tracker and dead band; lines: LINE where none is given."""
    return Pipeline(detector, Tracker(), lines or (LINE,), classes, band=BAND)


def frames(observations: Sequence[Observation], sensor: Sensor, image: Image | None = None) -> list[Frame]:
    """Return a frame for each observation, black where no image is given."""
    picture = np.zeros((sensor.height, sensor.width, 3), np.uint8) if image is None else image
    return [Frame(picture, i, NOON + o.time, 100 + o.time) for i, o in enumerate(observations)]

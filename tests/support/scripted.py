"""A detector whose engines do what a test says, without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from edge_app.detectors import Outputs
from edge_app.detectors.letterbox import Picture
from edge_app.records import Detections, Image
from tests.support.trajectories import Look


class ScriptedEngine:
    """Gives back the number that the picture carries, after `work`, if any, has been told of it."""

    def __init__(self, work: Callable[[int], None] | None = None) -> None:
        self._work = work or (lambda _number: None)
        self.threads: set[str] = set()

    def infer(self, picture: Picture) -> Outputs:
        self.threads.add(threading.current_thread().name)
        number = int(picture.left)
        self._work(number)
        return Outputs(np.array([number]), np.array([0]), np.zeros(1, np.float32), np.zeros((1, 4), np.float32))


class Scripted:
    """A Detector that says what it is told, picture after picture, and keeps and counts what it was shown."""

    def __init__(self, looks: Sequence[Look], engines: Sequence[ScriptedEngine] = ()) -> None:
        self.answers = [look.detections for look in looks]
        self.engines = tuple(engines) or (ScriptedEngine(),)
        self.shown: list[Image] = []
        self.prepared = threading.Semaphore(0)

    def prepare(self, image: Image) -> Picture:
        """The margin carries the number of the picture."""
        self.shown.append(image)
        self.prepared.release()
        return Picture(np.zeros((1, 1, 1, 3), np.uint8), image.shape[1], image.shape[0], 1.0, len(self.shown) - 1, 0)

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        """Of the picture that the engine saw, which must be this one."""
        assert outputs.anchors[0] == picture.left
        return self.answers[picture.left]

    def close(self) -> None:
        pass

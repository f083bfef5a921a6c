"""Find vehicles in a picture, in three steps, so that several pictures can be in progress at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_app.detectors.letterbox import Picture
from edge_app.records import Detections, FloatArray, Image


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Outputs of a network for one picture: the N pairs of anchor and label whose score is high enough.

    anchors, labels: intp (N,), their indices. scores: float32 (N,), raw. codes: float32 (N, 4), coded box.
    """

    anchors: NDArray[np.intp]
    labels: NDArray[np.intp]
    scores: FloatArray
    codes: FloatArray


class Engine(Protocol):
    """One interpreter of a network, used by one thread at a time."""

    @property
    def loaded(self) -> bool:
        """Return whether it has its memory already, and can infer at once."""
        ...

    def load(self) -> None:
        """Take the memory that inference needs. Raises DetectorError: when the runtime fails."""
        ...

    def infer(self, picture: Picture) -> Outputs:
        """Run the network on a picture. Raises DetectorError: when the runtime fails."""
        ...


class Detector(Protocol):
    """Detector of vehicles. Only its engines have a state: the other steps may be called in any thread."""

    @property
    def engines(self) -> Sequence[Engine]:
        """Return the engines: each gives the same outputs for a picture, and all may work at once.

        The first is loaded; the others may wait until the first alone is too slow.
        """
        ...

    def prepare(self, image: Image) -> Picture:
        """Return the input of an engine for an image, uint8 (H, W, 3) BGR of any size."""
        ...

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        """Return the detections, boxes in px of the image that was prepared."""
        ...

    def close(self) -> None:
        """Release the engines; may be called twice."""
        ...

"""What finds vehicles in a picture, in three steps, so that several pictures can be under way at once."""

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
    """What a network said of one picture where it is sure enough of some label: N entries of an anchor and a label.

    anchors and labels: intp (N,), which ones. scores: float32 (N,), raw. codes: float32 (N, 4), of the anchor's box.
    """

    anchors: NDArray[np.intp]
    labels: NDArray[np.intp]
    scores: FloatArray
    codes: FloatArray


class Engine(Protocol):
    """An interpreter; used by one thread at a time."""

    def infer(self, picture: Picture) -> Outputs:
        """Raises DetectorError when the runtime fails."""
        ...


class Detector(Protocol):
    """Finds road users. Only its engines hold a state: the other steps may be called in any thread."""

    @property
    def engines(self) -> Sequence[Engine]:
        """Interchangeable: each gives the same outputs for a picture, and all may work at once."""
        ...

    def prepare(self, image: Image) -> Picture:
        """The input for a picture, uint8 (H, W, 3) BGR of any size."""
        ...

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        """Boxes in px of the picture that was prepared."""
        ...

    def close(self) -> None: ...

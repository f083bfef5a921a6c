"""What finds vehicles in a picture."""

from __future__ import annotations

from typing import Protocol

from edge_app.records import Detections, Image


class Detector(Protocol):
    """Finds road users; used by one thread."""

    def detect(self, image: Image) -> Detections:
        """Boxes in px of `image`, uint8 (H, W, 3) BGR of any size. Raises DetectorError when the runtime fails."""
        ...

    def close(self) -> None: ...

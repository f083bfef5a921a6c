"""Test what privacy settings hide in a picture for people."""

from __future__ import annotations

import numpy as np

from edge_app.drawing.scene import Privacy, plain
from edge_app.records import LABELS, Detections, Frame, FrameResult, Tracks


def test_pixelation_hides_people_plates_and_everything_outside_the_region() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8)
    boxes = np.array([[100, 200, 140, 300], [300, 200, 420, 280]], np.float32)
    found = Detections(boxes, np.ones(2, np.float32), np.array([LABELS.index("person"), 0], np.int16))
    result = FrameResult(Frame(noise, 0, 0.0, 0.0), found, Tracks.empty())
    shown = plain(result, 640, Privacy(pixelate=True, region=(0.0, 0.25, 1.0, 1.0)))

    def coarse(x0: int, y0: int, x1: int, y1: int) -> bool:
        """Return whether hardly a pixel differs from its neighbour."""
        part = shown[y0:y1, x0:x1].astype(int)
        return bool((np.abs(np.diff(part, axis=1)).sum(axis=2) == 0).mean() > 0.75)

    assert coarse(100, 200, 140, 300), "the whole person"
    assert coarse(300, 236, 420, 280), "the part with the plate"
    assert coarse(0, 0, 640, 86), "outside of the region"
    assert np.array_equal(shown[95:190], noise[95:190])
    assert np.array_equal(shown[202:230, 300:420], noise[202:230, 300:420]), "the wind screen"
    assert np.array_equal(plain(result, 640, Privacy()), noise)

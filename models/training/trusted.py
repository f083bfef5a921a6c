"""Vehicles that nobody labelled: where a trusted detector is sure and no label is near, nothing is taught.

5 to 15 % of far, parked or cut vehicles have no label; taught as background they make a detector shy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import FloatArray
from models.data.samples import Sample
from models.training.matching import area, shared_area
from models.training.scenes import decoded

SURE: Final = 0.45
_NEAR: Final = 0.3
"""Share of the detection that a label covers: then it is the labelled vehicle itself."""


def unlabelled(
    model: Path, samples: Sequence[Sample], forward: Callable[[], None] = lambda: None
) -> dict[str, FloatArray]:
    """sha256 of a picture -> float32 (R, 4) x0 y0 x1 y1 in 0..1. Raises DetectorError and BuildError."""
    detector = TfliteDetector(model, threads=2, score=SURE)
    found: dict[str, FloatArray] = {}
    for sample in samples:
        scene = decoded(sample)
        height = scene.image.shape[0]
        width = round(height * scene.aspect)  # the detector wants true shapes; boxes in 0..1 do not care
        seen = detector.detect(np.asarray(cv2.resize(scene.image, (width, height)), np.uint8)).boxes
        boxes = np.asarray(seen / np.array([width, height] * 2, np.float32), np.float32)
        if len(boxes) and len(scene.boxes):
            covered = shared_area(boxes, scene.boxes).max(axis=1) / np.maximum(area(boxes), 1e-9)
            boxes = boxes[covered < _NEAR]
        found[sample.sha256] = boxes
        forward()
    detector.close()
    return found

"""Find what a detector takes marked bicycles for: a city that counts motorcycles must know how many are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from edge_app.config.model import DetectorConfig
from edge_app.records import LABELS, Detections, FloatArray
from models.common.geometry import iou_matrix

BICYCLE_LABELS: Final = ("bicycle", "motorcycle", "another", "nothing")
"""The possible answers for a marked bicycle."""
WORKING: Final = DetectorConfig().score
"""Score from which the product uses a detection."""
_SAME: Final = 0.35
"""IoU from which a detection is of the bicycle or of its rider."""


def bicycle_labels(found: Detections, marked: FloatArray, size: tuple[int, int]) -> Iterator[str]:
    """Yield one of BICYCLE_LABELS for each marked bicycle, by the strongest detection there that the product would use.

    marked: float32 (N, 4) in 0..1 of the picture. size: width and height of the picture, px.
    """
    used = found.scores >= WORKING
    labels = np.array(LABELS)[found.classes[used]]
    near = iou_matrix(found.boxes[used], marked * np.array(size * 2, np.float32)) >= _SAME
    for there in near.T:
        strongest = max(zip(found.scores[used][there], labels[there], strict=True), default=(0.0, "nothing"))
        yield str(strongest[1]) if strongest[1] in BICYCLE_LABELS else "another"

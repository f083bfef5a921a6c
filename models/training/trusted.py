"""Compare labels with trusted detectors: vehicles without a label, and vehicles labelled as another kind.

5 to 15 % of far, parked or cut vehicles have no label; trained as background they make a detector miss more. Where a
detector is very sure of such a vehicle, it is trained as if it were labelled (Lee, "Pseudo-Label", 2013); where it is
only fairly sure, nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.detectors.ssd import suppress
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, FloatArray
from models.common.geometry import covered_share, iou_matrix
from models.data.samples import CLASSES, OTHER, Sample
from models.training.enlarged import FAINT, doubts
from models.training.framing import Scene
from models.training.hints import Hint, Hints
from models.training.scenes import decoded, in_true_shape

FAIR: Final = 0.3
SURE: Final = 0.6
"""FAIR and SURE: scores from which nothing, and from which the vehicle itself is learned. Motorcycles are never learned
so: detectors do not agree on where one with its rider ends.
"""
_NEAR: Final = 0.3
"""Share of the detection that a label covers, from which it is the labelled vehicle itself."""
_SAME: Final = 0.5
"""IoU from which a detection is of the labelled vehicle."""
_CONTRADICTS: Final = 0.5
"""Score from which a detection of another kind makes a label doubtful."""
_OVERLAP: Final = 0.5
_CONFUSED: Final = tuple(CLASSES.index(name) for name in ("car", "bus", "truck"))
"""Kinds between which labels change from one picture to the next: vans, pick-ups, minibuses."""
_CLASS_OF: Final = np.array([CLASSES.index(label) if label in CLASSES else -1 for label in LABELS], np.int8)


def detector_hints(models: Sequence[Path], samples: Sequence[Sample]) -> Hints:
    """Return the hints of all detectors together; the first one also sees every bus and truck enlarged.

    Raises DetectorError or BuildError: when a model or a picture cannot be used.
    """
    detectors = [TfliteDetector(model, threads=2, score=FAIR) for model in models]
    closer = TfliteDetector(models[0], threads=2, score=FAINT)
    found: dict[str, Hint] = {}
    for sample in samples:
        scene = decoded(sample)
        picture = in_true_shape(scene)
        height, width = picture.shape[:2]
        seen = [detector.detect(picture) for detector in detectors]
        labels = _CLASS_OF[np.concatenate([one.classes for one in seen])]
        known = labels >= 0
        boxes = np.concatenate([one.boxes for one in seen]) / np.array([width, height] * 2, np.float32)
        scores = np.concatenate([one.scores for one in seen])
        hint = compare_labels(scene, np.asarray(boxes[known], np.float32), scores[known], labels[known])
        found[sample.sha256] = replace(hint, doubtful=doubts(closer, scene, hint.doubtful))
    for detector in (*detectors, closer):
        detector.close()
    return found


def compare_labels(scene: Scene, boxes: FloatArray, scores: FloatArray, kinds: NDArray[np.int8]) -> Hint:
    """Return the hint of one scene: its labels compared with detections.

    boxes: (D, 4) in 0..1. scores: (D,). kinds: (D,), classes.
    """
    doubtful = np.zeros(len(scene.boxes), bool)
    new = np.ones(len(boxes), bool)
    if len(boxes) and len(scene.boxes):
        new = covered_share(boxes, scene.boxes).max(axis=1) < _NEAR
        iou = iou_matrix(boxes, scene.boxes)
        confused = np.isin(kinds, _CONFUSED)[:, None] & np.isin(scene.kinds, _CONFUSED)[None]
        other = (kinds[:, None] != scene.kinds[None]) & (scores[:, None] >= _CONTRADICTS) & (iou >= _SAME)
        doubtful = np.asarray((confused & other).any(axis=0), bool)
    learned = np.where((scores >= SURE) & np.isin(kinds, _CONFUSED), kinds, OTHER)[new].astype(np.int8)
    kept = suppress(boxes[new], scores[new], learned.astype(np.intp), _OVERLAP, _OVERLAP)
    return Hint(boxes[new][kept], learned[kept], doubtful)

"""Find what a detector says of one labelled vehicle that is shown to it enlarged.

In a whole picture the published weights see far trucks as cars or not at all; enlarged they confirm half of the labels
that they contradicted before, and contradict others. The answer decides whether a label is used in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, FloatArray, Image
from models.common.geometry import iou_matrix
from models.conversion.manifest import PAD
from models.data.samples import CLASSES
from models.training.framing import Scene
from models.training.scenes import in_true_shape

FAINT: Final = 0.05
"""Score down to which the detector has to answer."""
_SHOWN: Final = (2.2, 3.2, 4.5)
"""Sides of the part of the picture that is shown, relative to the box's."""
_SAME: Final = 0.45
"""IoU from which a detection is of the vehicle."""
_HEARD: Final = 0.1
_CAR: Final = 0.15
"""Mean scores from which the label is confirmed, if nothing else is more likely, and from which it is a car."""
_UNSEEN: Final = 0.055
"""Height relative to the picture's below which a label counts only when it is confirmed: 16 px of 288."""
_WAVERING: Final = ("bus", "truck")


def mean_scores(detector: TfliteDetector, picture: Image, box: FloatArray) -> dict[str, float]:
    """Return label -> mean score, over the enlargements, of what the detector sees in a box.

    picture: uint8 (H, W, 3) BGR. box: x0 y0 x1 y1, px.
    """
    size = detector.manifest.input
    (width, height), middle = box[2:] - box[:2], (box[:2] + box[2:]) / 2
    total: dict[str, float] = {}
    for factor in _SHOWN:
        high = max(float(height), float(width) * size.height / size.width) * factor
        scale = size.height / high
        shift = np.array([size.width, size.height]) / 2 - middle * scale
        part = cv2.warpAffine(
            picture,
            np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32),
            (size.width, size.height),
            borderValue=(PAD, PAD, PAD),
        )
        seen = detector.detect(np.asarray(part, np.uint8))
        place = np.asarray(box * scale + np.tile(shift, 2), np.float32)[None]
        here = iou_matrix(seen.boxes, place)[:, 0] >= _SAME if len(seen.boxes) else np.zeros(0, bool)
        for label in {LABELS[number] for number in seen.classes[here]}:
            mine = here & (seen.classes == LABELS.index(label))
            total[label] = total.get(label, 0.0) + float(seen.scores[mine].max()) / len(_SHOWN)
    return total


def stays_doubtful(label: str, scores: Mapping[str, float], height: float, doubtful: bool) -> bool:
    """Return True when the label of a bus or truck stays in doubt.

    scores: what `mean_scores` returned. height: of the box, relative to the picture's. doubtful: the state before.
    """
    rivals = {name: scores.get(name, 0.0) for name in ("car", *_WAVERING)}
    own, most = rivals[label], max(rivals.values())
    if own == most and own > _HEARD:
        return False
    if rivals["car"] == most and most > _CAR:
        return True
    return doubtful or (most <= _CAR and height < _UNSEEN)


def doubts(detector: TfliteDetector, scene: Scene, doubtful: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the doubtful labels of a scene, bool (N,), after an enlarged view of every bus and truck.

    doubtful: bool (N,), the state before. Raises DetectorError: when the detector fails.
    """
    found: NDArray[np.bool_] = doubtful.copy()
    picture = in_true_shape(scene)
    height, width = picture.shape[:2]
    for row, (kind, box) in enumerate(zip(scene.kinds, scene.boxes, strict=True)):
        label = CLASSES[kind]
        if label in _WAVERING and not scene.ignored[row]:
            scores = mean_scores(detector, picture, box * np.array([width, height] * 2, np.float32))
            found[row] = stays_doubtful(label, scores, float(box[3] - box[1]), bool(doubtful[row]))
    return found

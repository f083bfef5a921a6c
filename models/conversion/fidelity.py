"""Measure how far a quantised detector is from the float one. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.common.geometry import paired_iou

THRESHOLDS: Final = (0.3, 0.4, 0.5)
"""Scores at which a device may decide. A flip is a decision that the quantised file takes otherwise."""
WEAKEST: Final = 0.1
"""Scores below this in both files are not compared."""
BOX_FROM: Final = 0.3
"""Boxes are compared where the float file gives at least this score."""


@dataclass(frozen=True, slots=True)
class Raw:
    """The answer to one picture before suppression.

    boxes: float32 (A, 4), x0 y0 x1 y1 in px. scores: float32 (A, C) in 0..1.
    """

    boxes: FloatArray
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Quantised against float over many pictures.

    pairs: scores compared, those where either file reaches WEAKEST.
    score_mean, score_p95: mean and 95th percentile of the absolute score difference.
    score_bias: its signed mean, quantised minus float.
    flips: for each of THRESHOLDS the decisions that differ, as a share of the float file's positive ones.
    box_iou, box_iou_p05: IoU of both files' boxes of one anchor, mean and 5th percentile.
    """

    pairs: int
    score_mean: float
    score_p95: float
    score_bias: float
    flips: tuple[float, ...]
    box_iou: float
    box_iou_p05: float


def fidelity(pairs: Iterable[tuple[Raw, Raw]]) -> Fidelity:
    """Return the fidelity over pictures, each given as its (float, quantised) answers.

    Raises ValueError: when the float file saw nothing in any picture.
    """
    errors: list[NDArray[np.float32]] = []
    overlaps: list[FloatArray] = []
    flipped, positive = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for reference, other in pairs:
        near = np.maximum(reference.scores, other.scores) >= WEAKEST
        errors.append((other.scores - reference.scores)[near])
        for i, threshold in enumerate(THRESHOLDS):
            flipped[i] += np.sum((reference.scores >= threshold) != (other.scores >= threshold))
            positive[i] += np.sum(reference.scores >= threshold)
        sure = reference.scores.max(axis=1) >= BOX_FROM
        overlaps.append(paired_iou(reference.boxes[sure], other.boxes[sure]))
    error, overlap = np.concatenate(errors), np.concatenate(overlaps)
    if not len(overlap):
        raise ValueError("the float detector saw nothing in any of the pictures")
    return Fidelity(
        pairs=len(error),
        score_mean=float(np.abs(error).mean()),
        score_p95=float(np.percentile(np.abs(error), 95)),
        score_bias=float(error.mean()),
        flips=tuple(float(f) for f in flipped / np.maximum(positive, 1)),
        box_iou=float(overlap.mean()),
        box_iou_p05=float(np.percentile(overlap, 5)),
    )

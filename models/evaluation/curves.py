"""Compute precision and recall from COCO's matches: curves, the working point, and average precision of resampled sets.

pycocotools matches every detection once; a resampled set only counts each picture some other number of times, so its
average precision needs no second matching. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.coco import AP50, Matches

RECALLS: Final = np.linspace(0, 1, 101)
"""Recalls at which COCO reads the precision."""
_AT_ONCE: Final = 50
"""Resampled sets whose sums are in memory together."""


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """One class at the score from which the product uses detections.

    precision: nan without any detection. recall: nan without any box.
    false_per_image: detections that hit nothing, per picture.
    """

    precision: float
    recall: float
    false_per_image: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Recall, precision and score after each counted detection of one class, strongest first, each float64 (D,)."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]


def average_precision(matches: Matches, weights: NDArray[np.int64], overlap: int = AP50) -> NDArray[np.float64]:
    """Return the average precision of B resampled sets, float64 (B,), nan for one without a box of this class.

    weights: int (B, P), how many times each picture occurs. overlap: index in coco.IOUS. Equals COCO's figure with all
    1.
    """
    counted = ~matches.excused[overlap]
    hit, picture = matches.hit[overlap][counted], matches.picture[counted]
    positives = weights @ matches.positives
    parts = [
        _area(weights[i : i + _AT_ONCE][:, picture], hit, positives[i : i + _AT_ONCE])
        for i in range(0, len(weights), _AT_ONCE)
    ]
    return np.concatenate(parts)


def _area(times: NDArray[np.int64], hit: NDArray[np.bool_], positives: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the areas under the curves. times: (B, D), how often each detection occurs."""
    hits = np.cumsum(times * hit, axis=1, dtype=np.float64)
    everything = np.cumsum(times, axis=1, dtype=np.float64)
    precision = hits / np.maximum(everything, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.concatenate([envelope, np.zeros((len(times), 1))], axis=1)
    result = np.full(len(times), np.nan)
    for row in np.flatnonzero(positives):
        at = np.searchsorted(hits[row] / positives[row], RECALLS, side="left")
        result[row] = envelope[row, at].mean()
    return result


def curve(matches: Matches, overlap: int = AP50) -> Curve:
    """Return the raw curve of one class, not interpolated."""
    counted = ~matches.excused[overlap]
    hits = np.cumsum(matches.hit[overlap][counted])
    ranks = np.arange(1, len(hits) + 1)
    recall = hits / max(int(matches.positives.sum()), 1)
    return Curve(recall, hits / ranks, matches.scores[counted])


def working_point(matches: Matches, score: float, overlap: int = AP50) -> WorkingPoint:
    """Return precision and recall with the detections from this score on."""
    used = ~matches.excused[overlap] & (matches.scores >= score)
    hits, answers = int(matches.hit[overlap][used].sum()), int(used.sum())
    positives = int(matches.positives.sum())
    return WorkingPoint(
        precision=hits / answers if answers else float("nan"),
        recall=hits / positives if positives else float("nan"),
        false_per_image=(answers - hits) / max(len(matches.positives), 1),
    )

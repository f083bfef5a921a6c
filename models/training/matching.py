"""Decide which anchor must find which box, and what it must answer then. Pure numpy.

Liu et al., "SSD: Single Shot MultiBox Detector" (2016): anchors that overlap a box answer for it. Small boxes overlap
no anchor well, so the few best anchors answer for each box in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.common.geometry import covered_share, iou_matrix

BACKGROUND: Final = -1
IGNORED: Final = -2
"""Kind of an anchor from which nothing is learned."""
_EXCUSED: Final = 0.4
"""Smallest share of an anchor inside an ignored region at which nothing is learned from that anchor."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of one example at each of A anchors.

    kinds: int8 (A,), a class, BACKGROUND or IGNORED.
    boxes: float32 (A, 4), x0 y0 x1 y1 in px, of the positives whose place is known, zero elsewhere.
    """

    kinds: NDArray[np.int8]
    boxes: FloatArray


def corners(anchors: FloatArray) -> FloatArray:
    """Return anchors (A, 4), centre y, centre x, height, width, as x0 y0 x1 y1."""
    half = anchors[:, 2:] / 2
    return np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)[:, [1, 0, 3, 2]]


def match(
    places: FloatArray,
    boxes: FloatArray,
    kinds: NDArray[np.int8],
    placed: NDArray[np.bool_],
    regions: FloatArray,
    *,
    positive: float,
    ignored: float,
    best: int,
) -> Targets:
    """Return the targets of an example.

    places: anchors (A, 4), x0 y0 x1 y1 in px. boxes (N, 4), kinds (N,), placed (N,): see framing.Example.
    regions: (R, 4), where nothing is learned. positive, ignored, best: see settings.Matching.
    An anchor claimed by several boxes answers for the one it overlaps most; each box keeps its own best anchor.
    """
    result = np.full(len(places), BACKGROUND, np.int8)
    targets = np.zeros((len(places), 4), np.float32)
    if len(regions):
        result[covered_share(places, regions).max(axis=1) >= _EXCUSED] = IGNORED
    if len(boxes):
        iou = iou_matrix(places, boxes)
        nearest, overlap = iou.argmax(axis=1), iou.max(axis=1)
        result[overlap >= ignored] = IGNORED
        claimed = overlap >= positive
        _claim_best(iou, nearest, overlap, claimed, ignored, best)
        mine = nearest[claimed]
        result[claimed], targets[claimed] = kinds[mine], boxes[mine] * placed[mine, None]
    return Targets(result, targets)


def _claim_best(
    iou: FloatArray,
    nearest: NDArray[np.intp],
    overlap: FloatArray,
    claimed: NDArray[np.bool_],
    ignored: float,
    best: int,
) -> None:
    """Give each box its best anchors, in `nearest` and `claimed`; the very best one last and without condition."""
    rows = np.argpartition(-iou, min(best, len(iou) - 1), axis=0)[:best]
    columns = np.broadcast_to(np.arange(iou.shape[1]), rows.shape)
    good = (iou[rows, columns] >= ignored) & (nearest[rows] == columns)
    claimed[rows[good]] = True
    first = iou.argmax(axis=0)
    for box in np.argsort(overlap[first]):  # boxes with clear anchors last, so that they keep them
        if iou[first[box], box] > 0:
            nearest[first[box]], claimed[first[box]] = box, True

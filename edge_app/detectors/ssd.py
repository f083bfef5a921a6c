"""Compute anchors, decode boxes and suppress duplicates for a single-shot detector: numpy and OpenCV, no runtime.

Source: Liu et al., "SSD: Single Shot MultiBox Detector" (2016), in the form of the TensorFlow Object Detection API:
anchor grids over feature maps of falling resolution, boxes coded as offsets to an anchor, one sigmoid score per class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray

MAX_CANDIDATES = 300
"""Largest number of pairs of anchor and label that go into suppression; a full road gives about 150."""


@dataclass(frozen=True, slots=True)
class AnchorLayer:
    """Anchors of one feature map.

    stride: px of the model's input. priors: (scale, width / height) of each anchor in a cell.
    first: x, y px of the anchors of the first cell. step: x, y px from one cell to the next. These need not divide the
    picture evenly: a network that runs at another size than in training keeps its own pitch
    (docs/experiments/2026-11-23-anchor-placement.md).
    """

    stride: int
    priors: tuple[tuple[float, float], ...]
    first: tuple[float, float] | None = None
    step: tuple[float, float] | None = None

    def cells(self, width: int, height: int) -> tuple[int, int]:
        """Return rows and columns of the grid over an input of this size, px; SAME padding rounds up."""
        return -(-height // self.stride), -(-width // self.stride)


def grid(width: int, height: int, layer: AnchorLayer) -> FloatArray:
    """Return the anchors of one layer for an input of this size, px.

    They are float32 (A, 4): centre y, centre x, height, width in px, in the order row, column, prior. Scales are
    relative to the shorter side. Without `first` and `step` the cells divide the picture evenly, even where the stride
    does not, as in the source graph.
    """
    rows, columns = layer.cells(width, height)
    step_x, step_y = layer.step or (width / columns, height / rows)
    first_x, first_y = layer.first or (step_x / 2, step_y / 2)
    centre_y, centre_x = first_y + np.arange(rows) * step_y, first_x + np.arange(columns) * step_x
    y, x = np.meshgrid(centre_y, centre_x, indexing="ij")
    scale, ratio = np.array(layer.priors, np.float64).T
    side = scale * min(width, height)
    shape = (rows, columns, len(side))
    parts = (y[..., None], x[..., None], side / np.sqrt(ratio), side * np.sqrt(ratio))
    return np.stack([np.broadcast_to(p, shape) for p in parts], axis=-1).reshape(-1, 4).astype(np.float32)


def anchors(width: int, height: int, layers: Sequence[AnchorLayer]) -> FloatArray:
    """Return the anchors of all layers, float32 (A, 4), in their order; see `grid`."""
    return np.concatenate([grid(width, height, layer) for layer in layers])


def decode(codes: FloatArray, priors: FloatArray, scales: Sequence[float]) -> FloatArray:
    """Return boxes, float32 (N, 4) x0 y0 x1 y1 px.

    codes: (N, 4) ty tx th tw. priors: their anchors (N, 4), see `grid`. scales: of the four parts of a code.
    """
    centre = codes[:, :2] / np.asarray(scales[:2], np.float32) * priors[:, 2:] + priors[:, :2]
    half = np.exp(np.minimum(codes[:, 2:] / np.asarray(scales[2:], np.float32), 6.0)) * priors[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)[:, [1, 0, 3, 2]]


def encode(boxes: FloatArray, priors: FloatArray, scales: Sequence[float]) -> FloatArray:
    """Return the codes, float32 (N, 4) ty tx th tw, of boxes (N, 4) x0 y0 x1 y1 px: the inverse of `decode`."""
    size = (boxes[:, 2:] - boxes[:, :2])[:, ::-1]
    centre = (boxes[:, :2] + boxes[:, 2:])[:, ::-1] / 2
    shift = (centre - priors[:, :2]) / priors[:, 2:]
    codes = np.concatenate([shift, np.log(size / priors[:, 2:])], axis=1) * np.asarray(scales, np.float32)
    return codes.astype(np.float32)


def strongest(
    scores: FloatArray, threshold: float, wanted: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the scores (A, C) at or above the threshold, at most the highest MAX_CANDIDATES.

    wanted: bool (C,), the columns to consider; None for all.
    """
    found = np.flatnonzero(scores >= threshold)  # with the division four times as fast as nonzero() in two dimensions
    rows, columns = np.divmod(found, scores.shape[1])
    if wanted is not None:
        rows, columns = rows[wanted[columns]], columns[wanted[columns]]
    if len(rows) > MAX_CANDIDATES:
        best = np.argpartition(scores[rows, columns], -MAX_CANDIDATES)[-MAX_CANDIDATES:]
        best.sort()
        rows, columns = rows[best], columns[best]
    return rows, columns


def suppress(
    boxes: FloatArray, scores: FloatArray, classes: NDArray[np.intp], same_iou: float, any_iou: float
) -> NDArray[np.intp]:
    """Return the indices of the boxes that remain, strongest first.

    A box goes when it overlaps a stronger box of its class by more than `same_iou`; then when it overlaps a stronger
    box of any class by more than `any_iou`: one vehicle is not a car and a truck at once.
    """
    if not len(boxes):
        return np.empty(0, np.intp)
    rectangles = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    keep = np.asarray(_strongest_of_each_class(rectangles, scores, classes, same_iou), np.intp)
    final = cv2.dnn.NMSBoxes(rectangles[keep], scores[keep], 0.0, any_iou)  # type: ignore[arg-type]
    return keep[np.asarray(final, np.intp)]


def _strongest_of_each_class(
    rectangles: FloatArray, scores: FloatArray, classes: NDArray[np.intp], same_iou: float
) -> Sequence[int]:
    if hasattr(cv2.dnn, "NMSBoxesBatched"):
        return cv2.dnn.NMSBoxesBatched(rectangles, scores, classes.astype(np.int32), 0.0, same_iou)  # type: ignore[arg-type]
    # Before 4.7, as Debian 12 has it for 32-bit ARM: as that function does, classes are moved apart.
    apart = float((rectangles[:, :2] + rectangles[:, 2:]).max()) + 1.0
    moved = rectangles.copy()
    moved[:, :2] += classes[:, np.newaxis] * apart
    return cv2.dnn.NMSBoxes(moved, scores, 0.0, same_iou)  # type: ignore[arg-type]

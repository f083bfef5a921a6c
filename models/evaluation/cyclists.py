"""Find what a detector takes two-wheelers for: a city that counts motorcycles must know how many are bicycles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.config.model import DetectorConfig
from edge_app.records import LABELS, Detections, FloatArray
from models.common.geometry import iou_matrix
from models.evaluation.labelled import SCORED, Picture

ANSWERS: Final = ("bicycle", "motorcycle", "another", "nothing")
"""What a two-wheeler may be taken for."""
WORKING: Final = DetectorConfig().score
"""Score from which the product uses a detection."""
_SAME: Final = 0.35
"""IoU from which a detection is of the two-wheeler or of its rider, and from which a mark is about a labelled box."""


def taken_for(found: Detections, boxes: FloatArray, size: tuple[int, int]) -> Iterator[str]:
    """Yield one of ANSWERS for each box, by the strongest detection there that the product would use.

    boxes: float32 (N, 4) in 0..1 of the picture. size: width and height of the picture, px.
    """
    near = iou_matrix(found.boxes, boxes * np.array(size * 2, np.float32)) >= _SAME
    for label in strongest(found, near & (found.scores >= WORKING)[:, None]):
        yield label if label in ANSWERS else "another"


def strongest(found: Detections, near: NDArray[np.bool_]) -> Iterator[str]:
    """Yield for each box the label of the strongest detection near it, or "nothing".

    near: bool (M, N), which of M detections count for which of N boxes.
    """
    labels = np.array(LABELS)[found.classes]
    for there in near.T:
        yield str(max(zip(found.scores[there], labels[there], strict=True), default=(0.0, "nothing"))[1])


def bicycles_of(picture: Picture, marked: FloatArray) -> FloatArray:
    """Return the bicycles of a picture, labelled and marked, each once: float32 (N, 4) in 0..1.

    marked: float32 (M, 4) in 0..1.
    """
    labelled = _labelled(picture, "bicycle")
    return np.concatenate([labelled, marked[~_near(marked, labelled)]])


def motorcycles_of(picture: Picture, marked: FloatArray) -> FloatArray:
    """Return the labelled motorcycles of a picture that are not marked as bicycles: float32 (N, 4) in 0..1.

    marked: float32 (M, 4) in 0..1.
    """
    labelled = _labelled(picture, "motorcycle")
    return labelled[~_near(labelled, marked)]


def called(answers: Mapping[str, int], what: str) -> float:
    """Return the share of the two-wheelers that are taken for `what`; nan without any."""
    there = sum(answers.values())
    return answers.get(what, 0) / there if there else math.nan


def called_of_found(answers: Mapping[str, int], what: str) -> float:
    """Return the share, of the two-wheelers that are found at all, that are taken for `what`; nan without any."""
    found = sum(answers.values()) - answers.get("nothing", 0)
    return answers.get(what, 0) / found if found else math.nan


def _labelled(picture: Picture, label: str) -> FloatArray:
    chosen: FloatArray = picture.boxes[(picture.classes == SCORED.index(label)) & ~picture.ignored]
    return chosen


def _near(boxes: FloatArray, others: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((iou_matrix(boxes, others) >= _SAME).any(axis=1), np.bool_)

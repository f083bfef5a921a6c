"""Measure how well two labellings of the same pictures agree: above that nobody can measure a detector.

Two boxes agree when they overlap by 0.5 and have one class. Overlapping boxes of two classes are a confusion, the rest
is lacking on one side. Boxes on ignored regions of the other side count neither way, as in a detector's score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.common.geometry import covered_share, iou_matrix
from models.data.errors import DataError
from models.data.samples import CLASSES, OTHER, Sample

SCHEMA: Final = "edge-app/agreement/1"
COMPARED: Final = tuple(label for label in CLASSES if label != CLASSES[OTHER])
SAME: Final = 0.5
"""IoU from which two boxes are about one vehicle."""
COVERED: Final = 0.5
"""Share of a box inside an ignored one, from which it is excused."""
ROUNDS: Final = 1000
SEED: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The labels of P pictures side by side.

    agreed, first, second: int64 (P, C), boxes of each class of COMPARED that agree, and that each side has.
    confused: int64 (C, C), boxes of a class of the first side that have another class on the second.
    overlaps: float64 (K,), IoU of each agreed pair.
    """

    agreed: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    confused: NDArray[np.int64]
    overlaps: NDArray[np.float64]


def pairs(first: Sequence[Sample], second: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Return the pictures that both have, by their bytes or else by name. Raises DataError: when there is none."""
    by_hash, by_name = {one.sha256: one for one in second}, {one.name: one for one in second}
    found = [(one, twin) for one in first if (twin := by_hash.get(one.sha256) or by_name.get(one.name))]
    if not found:
        raise DataError("The two sets have no picture in common: neither a file nor a name.")
    return found


def compare(found: Sequence[tuple[Sample, Sample]]) -> Compared:
    """Return the labels of pictures side by side. found: the same picture as each side labelled it."""
    size = len(COMPARED)
    counts = np.zeros((3, len(found), size), np.int64)
    confused, overlaps = np.zeros((size, size), np.int64), list[float]()
    for row, (one, two) in enumerate(found):
        mine, other = _used(one, two), _used(two, one)
        for side, (_, kinds) in enumerate((mine, other)):
            np.add.at(counts[side + 1, row], kinds, 1)
        table = iou_matrix(mine[0], other[0])
        same = mine[1][:, None] == other[1][None, :]
        for i, j in matched(table, same):
            counts[0, row, mine[1][i]] += 1
            overlaps.append(float(table[i, j]))
            table[i, :] = table[:, j] = 0
        for i, j in matched(table, ~same):
            confused[mine[1][i], other[1][j]] += 1
            table[i, :] = table[:, j] = 0
    return Compared(counts[0], counts[1], counts[2], confused, np.array(overlaps, np.float64))


def _used(one: Sample, other: Sample) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return boxes, in units of the height, and indexes of COMPARED, without those on ignored boxes of either side."""
    scale = np.array([one.aspect, 1] * 2, np.float32)
    ignored = np.concatenate([one.boxes[one.ignored], other.boxes[other.ignored]]) * scale
    boxes = one.boxes[~one.ignored] * scale
    inside = covered_share(boxes, ignored) if len(ignored) and len(boxes) else np.zeros((len(boxes), 1))
    kept = ~(inside > COVERED).any(axis=1)
    kinds = np.array([COMPARED.index(CLASSES[kind]) for kind in one.classes[~one.ignored][kept]], np.intp)
    return boxes[kept], kinds


def matched(table: NDArray[np.float32], allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return pairs of rows and columns, each used once, the largest overlap first."""
    left = np.where(allowed, table, 0)
    found = []
    while left.size and left.max() >= SAME:
        i, j = (int(place) for place in np.unravel_index(left.argmax(), left.shape))
        found.append((i, j))
        left[i, :] = left[:, j] = 0
    return found


def disputed(found: Compared, samples: Sequence[tuple[Sample, Sample]], most: int = 10) -> list[tuple[str, int]]:
    """Return the pictures with most boxes on which the sides disagree, and how many. samples: as for `compare`."""
    open_boxes = (found.first + found.second - 2 * found.agreed).sum(axis=1)
    order = np.argsort(-open_boxes, kind="stable")[:most]
    return [(samples[row][0].name, int(open_boxes[row])) for row in order if open_boxes[row]]


def ap50(agreed: float, labelled: float, shown: float) -> float:
    """Return the average precision of boxes without scores: one precision up to one recall, over COCO's 101 recalls.

    agreed: boxes that agree. labelled: boxes of the side that is taken as true. shown: boxes of the other.
    It is nan when there is nothing to find.
    """
    if not labelled:
        return float("nan")
    recalls = np.floor(agreed / labelled * 100 + 1e-9) + 1 if agreed else 0
    return float(agreed / shown * recalls / 101) if shown else 0.0


def result(found: Compared, names: tuple[str, str]) -> dict[str, Any]:
    """Return agreement.json. names: of the two sides."""
    count = len(found.agreed)
    draws = np.random.default_rng(SEED).multinomial(count, [1 / count] * count, ROUNDS)
    parts = [draws @ part for part in (found.agreed, found.first, found.second)]
    classes = {}
    for k, label in enumerate(COMPARED):
        agreed, first, second = (int(part[:, k].sum()) for part in (found.agreed, found.first, found.second))
        if first or second:
            samples = np.array([_both(*(float(part[row, k]) for part in parts)) for row in range(ROUNDS)])
            known = samples[np.isfinite(samples)]
            classes[label] = {
                "first": first,
                "second": second,
                "agreed": agreed,
                "f1": round(2 * agreed / (first + second), 4),
                "ap50": _rounded(_both(agreed, first, second)),
                "ci": [round(float(end), 4) for end in np.percentile(known, [2.5, 97.5])] if len(known) else None,
                "only_first": first - agreed - int(found.confused[k].sum()),
                "only_second": second - agreed - int(found.confused[:, k].sum()),
            }
    return {
        "schema": SCHEMA,
        "sides": list(names),
        "pictures": count,
        "iou": SAME,
        "mean_iou": _rounded(float(found.overlaps.mean()) if len(found.overlaps) else float("nan")),
        "classes": classes,
        "confusion": [
            {"first": COMPARED[i], "second": COMPARED[j], "boxes": int(found.confused[i, j])}
            for i, j in zip(*np.nonzero(found.confused), strict=True)
        ],
    }


def _both(agreed: float, first: float, second: float) -> float:
    """Return the mean AP50 of each side taken as true."""
    return float(np.mean([ap50(agreed, first, second), ap50(agreed, second, first)])) if first and second else 0.0


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None

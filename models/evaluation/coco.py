"""Compute COCO detection metrics by pycocotools, the reference implementation. The only file that knows it.

Lin et al., "Microsoft COCO: Common Objects in Context" (2014): average precision over 101 recalls, at overlaps 0.5 to
0.95. An ignored box is a crowd region of every class: a detection with that share of its area inside is excused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.evaluation.labelled import SCORED
from models.evaluation.observations import Observation

IOUS: Final = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
AP50, AP75 = IOUS.index(0.5), IOUS.index(0.75)
SMALL, LARGE = 20, 64
"""Px of the model's input, square root of the box's area. COCO's 32 and 96 are px of its pictures and do not fit: the
smallest anchor here is 30 px and answers for boxes down to about two thirds of it.
"""
SIZES: Final[Mapping[str, tuple[float, float]]] = {
    "all": (0, 1e10),
    "small": (0, SMALL**2),
    "medium": (SMALL**2, LARGE**2),
    "large": (LARGE**2, 1e10),
}
"""Name -> area from and to, px²."""
_MOST: Final = 300
"""Detections of a class in a picture: more than suppression ever leaves."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The detections of one class over a set of P pictures, strongest first, matched at each of the T overlaps of IOUS.

    scores: float64 (D,). picture: intp (D,), the row of each detection's picture.
    hit, excused: bool (T, D); a detection that is neither is false.
    positives: int64 (P,), boxes to be found in each picture.
    """

    scores: NDArray[np.float64]
    picture: NDArray[np.intp]
    hit: NDArray[np.bool_]
    excused: NDArray[np.bool_]
    positives: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassResult:
    """One class over one set of pictures.

    precision: size of SIZES -> average precision at each overlap of IOUS, float64 (T,), nan when there is nothing to
    find.
    matches: size of SIZES -> matches with boxes of that size; a detection outside the size that hits nothing is
    excused.
    """

    precision: Mapping[str, NDArray[np.float64]]
    matches: Mapping[str, Matches]

    @property
    def n(self) -> int:
        """Number of labelled boxes."""
        return int(self.matches["all"].positives.sum())

    @property
    def ap50(self) -> float:
        """Average precision at overlap 0.5."""
        return float(self.precision["all"][AP50])

    @property
    def ap75(self) -> float:
        """Average precision at overlap 0.75."""
        return float(self.precision["all"][AP75])

    @property
    def ap(self) -> float:
        """Mean of the average precisions at the overlaps 0.5 to 0.95."""
        return float(self.precision["all"].mean())


def evaluate(observations: Sequence[Observation]) -> dict[str, ClassResult]:
    """Return the result of each class of SCORED over the observations of a set."""
    with redirect_stdout(io.StringIO()):  # it reports its progress with print
        truth = _coco(observations, _annotations(observations))
        found = _coco(observations, _answers(observations))
        run = COCOeval(truth, found, "bbox")
        run.params.iouThrs = np.array(IOUS)
        run.params.areaRng = [list(limits) for limits in SIZES.values()]
        run.params.areaRngLbl = list(SIZES)
        run.params.maxDets = [_MOST]
        run.evaluate()
        run.accumulate()
    precision = np.where(run.eval["precision"] < 0, np.nan, run.eval["precision"]).mean(axis=1)[..., 0]
    per_image = np.array(run.evalImgs, object).reshape(len(SCORED), len(SIZES), len(observations))
    return {
        label: ClassResult(
            {size: precision[:, k, a] for a, size in enumerate(SIZES)},
            {size: _matches(per_image[k, a]) for a, size in enumerate(SIZES)},
        )
        for k, label in enumerate(SCORED)
    }


def _coco(observations: Sequence[Observation], annotations: Sequence[dict[str, Any]]) -> COCO:
    made = COCO()
    made.dataset = {
        "images": [{"id": i} for i in range(len(observations))],
        "categories": [{"id": k, "name": name} for k, name in enumerate(SCORED)],
        # Ids begin at 1: pycocotools reads a match with id 0 as no match.
        "annotations": [row | {"id": i} for i, row in enumerate(annotations, 1)],
    }
    made.createIndex()
    return made


def _annotations(observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """Return the boxes to be found, and the ignored ones as crowds of every class."""
    rows = []
    for i, observation in enumerate(observations):
        for box, kind, ignored in zip(observation.truth, observation.classes, observation.ignored, strict=True):
            if ignored:
                rows += [_row(i, k, box) | {"iscrowd": 1} for k in range(len(SCORED))]
            else:
                rows.append(_row(i, int(kind), box) | {"iscrowd": 0})
    return rows


def _answers(observations: Sequence[Observation]) -> list[dict[str, Any]]:
    return [
        _row(i, int(kind), box) | {"score": float(score)}
        for i, observation in enumerate(observations)
        for box, score, kind in zip(observation.boxes, observation.scores, observation.found, strict=True)
    ]


def _row(image: int, kind: int, box: NDArray[np.float32]) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(v) for v in box)
    width, height = x1 - x0, y1 - y0
    return {"image_id": image, "category_id": kind, "bbox": [x0, y0, width, height], "area": width * height}


def _matches(images: Sequence[dict[str, Any] | None]) -> Matches:
    """Return the matches of one class and size. images: pycocotools' evaluation of each picture, None without boxes."""
    seen = [(i, e) for i, e in enumerate(images) if e is not None]
    positives = np.zeros(len(images), np.int64)
    for i, e in seen:
        positives[i] = np.count_nonzero(np.asarray(e["gtIgnore"]) == 0)
    empty = np.empty((len(IOUS), 0))
    scores = np.concatenate([np.empty(0), *(e["dtScores"] for _, e in seen)])
    matched = np.concatenate([empty, *(e["dtMatches"] for _, e in seen)], axis=1) > 0
    excused = np.concatenate([empty, *(e["dtIgnore"] for _, e in seen)], axis=1).astype(bool)
    picture = np.concatenate([np.empty(0, np.intp), *(np.full(len(e["dtScores"]), i) for i, e in seen)])
    order = np.argsort(-scores, kind="stable")
    return Matches(scores[order], picture[order], (matched & ~excused)[:, order], excused[:, order], positives)

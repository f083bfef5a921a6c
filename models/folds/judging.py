"""Judge a detector by what a fold holds back: all of it, and slices of it such as night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.data import splits
from models.evaluation import coco, curves, labelled
from models.evaluation.coco import ClassResult
from models.evaluation.detection import ALL_SIZES, observed
from models.evaluation.labelled import Picture
from models.evaluation.observations import Observation
from models.folds.description import Slice


@dataclass(frozen=True, slots=True)
class Figure:
    """One class on what a fold holds back, or on a slice of it. boxes: labelled, 1 or more."""

    boxes: int
    ap50: float


Figures: TypeAlias = dict[str, Figure]
"""Class -> figure, of the classes that occur."""


def judge(
    model: Path, folders: Sequence[Path], cameras: set[str], slices: Mapping[str, Slice]
) -> tuple[Figures, dict[str, Figures]]:
    """Return the figures of a detector file on the pictures of these cameras as one set, and those of each slice.

    folders: shards. slices: name -> which pictures; a slice that no picture falls into is left out.
    Raises BuildError or DetectorError: when a picture or the model cannot be used.
    """
    shown = labelled.from_shards(list(folders), splits.Split((), (), tuple(sorted(cameras))))
    observations = observed(model, shown)
    classes = coco.evaluate(observations)
    chosen = {name: _chosen(one, shown, observations) for name, one in slices.items()}
    whole = {label: Figure(one.n, one.ap50) for label, one in classes.items() if one.n}
    return whole, {name: _figures(classes, rows) for name, rows in chosen.items() if rows.any()}


def _chosen(one: Slice, shown: Sequence[Picture], observations: Sequence[Observation]) -> NDArray[np.bool_]:
    return np.array([
        any(fnmatchcase(picture.camera, pattern) for pattern in one.cameras) or observation.light in one.light
        for picture, observation in zip(shown, observations, strict=True)
    ], np.bool_)  # fmt: skip


def _figures(classes: Mapping[str, ClassResult], rows: NDArray[np.bool_]) -> Figures:
    figures = {}
    for label, one in classes.items():
        matches, weights = one.matches[ALL_SIZES], rows.astype(np.int64)[None]
        if boxes := int(weights[0] @ matches.positives):
            figures[label] = Figure(boxes, float(curves.average_precision(matches, weights)[0]))
    return figures

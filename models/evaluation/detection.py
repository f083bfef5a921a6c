"""Evaluate one model on one set of labelled pictures: everything that the report says about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.config.model import DetectorConfig
from models.evaluation import bootstrap, coco, curves, detection_outcomes
from models.evaluation.coco import SIZES, ClassResult
from models.evaluation.labelled import SCORED, Picture
from models.evaluation.light import LIGHTS, Light
from models.evaluation.observations import Observation, observe, open_detector

ENOUGH: Final = 40
"""Labelled boxes of a class in a set from which its average precision enters the mean over all."""
FEWEST: Final = 10
"""Labelled boxes of a class in a set or slice below which its figures are chance: no curve, no comparison."""
ALL_SIZES: Final = "all"


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures that are evaluated together, the same for every model.

    pictures: P of them, by camera and time. light: of each.
    weights: int64 (B, P), how often each picture occurs in each of B resampled sets.
    """

    name: str
    pictures: tuple[Picture, ...]
    light: tuple[Light, ...]
    weights: NDArray[np.int64]

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras, sorted."""
        return sorted({picture.camera for picture in self.pictures})

    @cached_property
    def slices(self) -> Mapping[str, NDArray[np.bool_]]:
        """The pictures of each camera and of each light that occurs: name of the slice -> bool (P,)."""
        cameras, lights = np.array([p.camera for p in self.pictures]), np.array(self.light)
        found = {f"camera:{name}": cameras == name for name in self.cameras}
        return found | {f"light:{name}": lights == name for name in LIGHTS if name in self.light}


def picture_set(name: str, pictures: Sequence[Picture], observations: Sequence[Observation]) -> PictureSet:
    """Return the set with its resampled sets.

    observations: of any model, one for each picture; the light is the same in all.
    """
    weights = bootstrap.resampled(bootstrap.blocks(pictures))
    return PictureSet(name, tuple(pictures), tuple(observation.light for observation in observations), weights)


@dataclass(frozen=True, eq=False)
class SetResult:
    """One model on one set. Figures are computed when they are read first, and kept.

    picture_set: the set. observations: one for each picture. score: lowest score, 0..1, at which the program uses a
    detection.
    input: width and height of the model's input, px.
    """

    picture_set: PictureSet
    observations: tuple[Observation, ...]
    score: float
    input: tuple[int, int]
    _samples: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @cached_property
    def classes(self) -> Mapping[str, ClassResult]:
        """Class -> matches and average precisions."""
        return coco.evaluate(self.observations)

    @cached_property
    def checked(self) -> SetResult | None:
        """This result with the labels that were checked by eye; None when nothing in the set is marked."""
        if not any(observation.checked for observation in self.observations):
            return None
        return SetResult(
            self.picture_set,
            tuple(observation.checked or observation for observation in self.observations),
            self.score,
            self.input,
        )

    @cached_property
    def used(self) -> tuple[Observation, ...]:
        """The observations with the detections that the product would use."""
        return tuple(observation.above(self.score) for observation in self.observations)

    @cached_property
    def errors(self) -> tuple[detection_outcomes.Outcomes, ...]:
        """The outcomes of the detections that the product would use, one for each picture."""
        return tuple(detection_outcomes.outcomes_of(observation) for observation in self.used)

    @cached_property
    def gains(self) -> Mapping[str, Mapping[str, float]]:
        """Kind of error -> class -> AP50 gained without it, over all detections."""
        return detection_outcomes.gains(
            self.observations, [detection_outcomes.outcomes_of(observation) for observation in self.observations]
        )

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """The confusion matrix of the detections that the product would use; see detection_outcomes.confusion."""
        return detection_outcomes.confusion(self.used)

    @cached_property
    def bicycles(self) -> Counter[str]:
        """Answer -> number of labelled and marked bicycles that were taken for it; empty without any."""
        return Counter(what for observation in self.observations for what in observation.bicycles)

    @cached_property
    def motorcycles(self) -> Counter[str]:
        """Answer -> number of labelled motorcycles that were taken for it; empty without any."""
        return Counter(what for observation in self.observations for what in observation.motorcycles)

    def working_point(self, label: str) -> curves.WorkingPoint:
        """Return precision and recall of a class at the score from which the product uses detections."""
        return curves.working_point(self.classes[label].matches[ALL_SIZES], self.score)

    def samples(self, label: str, part: str = "") -> NDArray[np.float64]:
        """Return the AP50 of a class in each resampled set, float64 (B,).

        part: "" for the whole set, a slice of it, or size:SIZE.
        """
        key = f"{label} {part}"
        if key not in self._samples:
            kind, _, name = part.partition(":")
            matches = self.classes[label].matches[name if kind == "size" else ALL_SIZES]
            chosen = self.picture_set.slices[part] if kind in ("camera", "light") else True
            self._samples[key] = curves.average_precision(matches, self.picture_set.weights * chosen)
        return self._samples[key]

    def slice(self, label: str, part: str) -> tuple[int, float]:
        """Return number of labelled boxes and AP50 of one class in a slice."""
        matches = self.classes[label].matches[ALL_SIZES]
        weights = self.picture_set.slices[part].astype(np.int64)[None]
        return int(weights[0] @ matches.positives), float(curves.average_precision(matches, weights)[0])

    def parts(self) -> list[str]:
        """Return the parts that `samples` knows beside the whole set."""
        return [*self.picture_set.slices, *(f"size:{size}" for size in SIZES if size != ALL_SIZES)]

    def boxes(self, label: str, part: str = "") -> int:
        """Return the number of labelled boxes of a class, in the whole set or a part of it."""
        kind, _, name = part.partition(":")
        positives = self.classes[label].matches[name if kind == "size" else ALL_SIZES].positives
        chosen = self.picture_set.slices[part] if kind in ("camera", "light") else True
        return int((positives * chosen).sum())


def precisions(model: Path, shown: Sequence[Picture]) -> Mapping[str, ClassResult]:
    """Return the result of each class of one model over all pictures as one set, computed on one thread.

    Raises BuildError or DetectorError: when a picture or the model cannot be used.
    """
    return coco.evaluate(observed(model, shown))


def observed(model: Path, shown: Sequence[Picture]) -> list[Observation]:
    """Return what one model sees in each picture, computed on one thread. Raises: see precisions."""
    found = open_detector(model, DetectorConfig(), threads=1)
    try:
        return observe([found], shown)[0]
    finally:
        found.close()


def overall(sets: Sequence[SetResult]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean AP50 over every set and class with ENOUGH boxes, as it is and in each resampled set.

    Both are nan when there is no such class.
    """
    chosen = [(found, label) for found in sets for label in SCORED if found.classes[label].n >= ENOUGH]
    if not chosen:
        return float("nan"), np.full(bootstrap.ROUNDS, np.nan)
    as_is = float(np.mean([found.classes[label].ap50 for found, label in chosen]))
    return as_is, np.mean([found.samples(label) for found, label in chosen], axis=0)

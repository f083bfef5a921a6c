"""Calibrate scores: after this, of detections with a score of 0.3 about 30 % are right, for every class.

Platt, "Probabilistic Outputs for Support Vector Machines" (1999): one slope and one shift of the logit for each class,
fitted on validation pictures and folded into the class heads, so that the file costs nothing more and no order within a
class changes. Without it a threshold of the product would mean something else after every training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.common.logits import sigmoid
from models.conversion.network import ROAD_USERS
from models.evaluation.coco import AP50, evaluate
from models.evaluation.observations import Observation
from models.training.architecture import Plan
from models.training.losses import TRAINED
from models.training.weights import Weights

_ROUNDS: Final = 50
_FEWEST: Final = 30
"""Hits below which a class takes the fit of all classes together."""
_RIDGE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Fit:
    """A correction of one class: logit -> slope * logit + shift."""

    slope: float
    shift: float


def fits(seen: Sequence[Observation]) -> dict[str, Fit]:
    """Return a fit for each trained class, and for bicycles, from observations of labelled pictures."""
    by_class = evaluate(seen)
    pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
    for label in TRAINED:
        found = by_class[label].matches["all"]
        counts = ~found.excused[AP50]
        pairs[label] = found.scores[counts], found.hit[AP50][counts]
    common = fit(*(np.concatenate(parts) for parts in zip(*pairs.values(), strict=True)))
    fitted = {label: fit(*pair) if pair[1].sum() >= _FEWEST else common for label, pair in pairs.items()}
    return fitted | {
        "bicycle": fitted["motorcycle"]
    }  # no set labels enough bicycles to fit to, so they take the class they are confused with


def fit(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Fit:
    """Fit a logistic regression of `right` on the logit of `scores`, by Newton's method.

    scores: float64 (N,) in 0..1. right: bool (N,). A ridge keeps the result finite.
    """
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    values, first = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(_ROUNDS):
        chance = sigmoid(np.clip(design @ values, -30, 30))
        slope = design.T @ (chance - right) + _RIDGE * (values - first)
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, slope)
        values = values - step
        if np.abs(step).max() < 1e-6:
            break
    return Fit(float(max(values[0], 0.1)), float(values[1]))


def folded(weights: Weights, plan: Plan, found: Mapping[str, Fit]) -> dict[str, NDArray[np.float32]]:
    """Return the weights with class heads that give the fitted logits."""
    slope, shift = np.ones(len(ROAD_USERS), np.float32), np.zeros(len(ROAD_USERS), np.float32)
    for label, one in found.items():
        column = list(ROAD_USERS).index(label)
        slope[column], shift[column] = one.slope, one.shift
    result = {name: np.asarray(array, np.float32) for name, array in weights.items()}
    for head in plan.outputs[1]:
        kernel, bias = result[f"{head}/kernel"], result[f"{head}/bias"]
        priors = bias.size // len(ROAD_USERS)
        result[f"{head}/kernel"] = kernel * np.tile(slope, priors)
        result[f"{head}/bias"] = bias * np.tile(slope, priors) + np.tile(shift, priors)
    return result

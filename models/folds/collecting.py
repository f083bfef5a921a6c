"""Collect the results of a recipe and of the baseline into one table for the gate: folds.json. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from models.common.errors import BuildError
from models.common.fold_table import SCHEMA
from models.folds.running import FoldResult
from models.folds.table import by_recipe, means
from models.training.settings import Settings

_FEWEST: Final = 2
"""Folds that a mean needs."""


def collect(results: Sequence[FoldResult], candidate: str, baseline: str) -> dict[str, Any]:
    """Return the content of folds.json. candidate, baseline: names of recipes among the results.

    Raises BuildError: when one is missing, or they were trained or judged by different things: then their difference
    says nothing about the recipe.
    """
    known = by_recipe(results)
    for name in (candidate, baseline):
        if name not in known:
            raise BuildError(f"There is no recipe {name}; there are {', '.join(known) or 'none yet'}.")
    mine, other = known[candidate], known[baseline]
    everything = [*mine, *other]
    for what, sides in (
        ("folds and seeds", [sorted((one.fold, one.seed) for one in side) for side in (mine, other)]),
        ("pictures", [one.pictures for one in everything]),
        ("steps", [_steps(one) for one in everything]),
        ("labelled boxes", [_boxes(side) for side in (mine, other)]),
    ):
        if any(side != sides[0] for side in sides):
            raise BuildError(f"{candidate} and {baseline} have different {what}: train both on the same.")
    boxes = _boxes(mine)
    if len({one.fold for one in mine}) < _FEWEST:
        raise BuildError(f"{candidate} was trained on one fold alone; a mean needs {_FEWEST} and more.")
    return {
        "schema": SCHEMA,
        "pictures": mine[0].pictures,
        "steps": _steps(mine[0]),
        "seeds": sorted({one.seed for one in mine}),
        "boxes": boxes,
        "candidate": _recipe(mine),
        "baseline": _recipe(other),
    }


def _steps(one: FoldResult) -> int:
    return int(one.settings.get("steps", Settings().steps))


def _boxes(results: Sequence[FoldResult]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in results:
        for label, figure in one.figures.items():
            found.setdefault(label, {})[one.fold] = figure.boxes
    return found


def _recipe(results: Sequence[FoldResult]) -> dict[str, Any]:
    mean = means(results)
    classes = {
        label: {"folds": by_fold, "mean": _figure(mean[label].ap50), "spread": _figure(mean[label].spread)}
        for label, by_fold in _ap50(results).items()
    }
    return {"recipe": results[0].recipe, "settings": results[0].settings, "classes": classes}


def _ap50(results: Sequence[FoldResult]) -> dict[str, dict[str, float]]:
    """Return class -> fold -> AP50, mean over seeds; also of folds with few boxes, which the mean leaves out."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in results:
        for label, figure in one.figures.items():
            found.setdefault(label, {}).setdefault(one.fold, []).append(figure.ap50)
    return {
        label: {fold: round(sum(values) / len(values), 5) for fold, values in by_fold.items()}
        for label, by_fold in found.items()
    }


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)

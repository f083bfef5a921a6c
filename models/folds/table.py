"""Lay the figures of recipes side by side: each fold, and the mean over folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.common import markdown
from models.common.fold_table import ENOUGH
from models.evaluation.labelled import SCORED
from models.folds.running import FoldResult

_NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Mean:
    """A class of a recipe over the folds that hold back ENOUGH boxes of it.

    by_fold: name -> AP50, mean over seeds. spread: standard deviation of the mean over folds between seeds, nan for one
    seed.
    """

    by_fold: Mapping[str, float]
    spread: float

    @property
    def ap50(self) -> float:
        """Mean over folds, each of the same weight; nan without one."""
        return float(np.mean(list(self.by_fold.values()))) if self.by_fold else math.nan


def means(results: Sequence[FoldResult]) -> dict[str, Mean]:
    """Return class -> mean of the results of one recipe."""
    return {label: _mean(results, label) for label in SCORED}


def by_recipe(results: Sequence[FoldResult]) -> dict[str, list[FoldResult]]:
    """Return recipe -> its results, in the order in which they come."""
    found: dict[str, list[FoldResult]] = {}
    for one in results:
        found.setdefault(one.recipe, []).append(one)
    return found


def table(results: Sequence[FoldResult]) -> str:
    """Return a table in Markdown: a row for each recipe and class, a column for each fold, and the mean."""
    folds = sorted({one.fold for one in results})
    rows = []
    for name, mine in by_recipe(results).items():
        seeds = len({one.seed for one in mine})
        for label, mean in means(mine).items():
            if mean.by_fold:
                spread = _NOTHING if math.isnan(mean.spread) else f"{mean.spread:.3f}"
                cells = [f"{mean.by_fold[fold]:.3f}" if fold in mean.by_fold else _NOTHING for fold in folds]
                rows.append([name, label, *cells, f"**{mean.ap50:.3f}**", spread, str(seeds)])
    return markdown.table(["recipe", "class", *folds, "mean", "spread", "seeds"], rows)


def slices(results: Sequence[FoldResult]) -> str:
    """Return such a table of each slice; "" when none was judged."""
    names = sorted({name for one in results for name in one.slices})
    parts = [[replace(one, figures=one.slices.get(name, {})) for one in results] for name in names]
    return "\n\n".join(f"{name}:\n\n{table(mine)}" for name, mine in zip(names, parts, strict=True))


def _mean(results: Sequence[FoldResult], label: str) -> Mean:
    known = [one for one in results if label in one.figures and one.figures[label].boxes >= ENOUGH]
    folds = sorted({one.fold for one in known})
    by_fold = {fold: float(np.mean([one.figures[label].ap50 for one in known if one.fold == fold])) for fold in folds}
    seeds = sorted({one.seed for one in known})
    whole = [[one.figures[label].ap50 for one in known if one.seed == seed] for seed in seeds]
    complete = [float(np.mean(values)) for values in whole if len(values) == len(folds)]
    return Mean(by_fold, float(np.std(complete, ddof=1)) if len(complete) > 1 else math.nan)

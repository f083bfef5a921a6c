"""Read what a recipe of training reaches on countries that it has not seen, beside the baseline recipe.

The document is folds.json of `python -m models.folds --collect` (edge-app/fold-table/1).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.common.errors import BuildError

SCHEMA: Final = "edge-app/fold-table/1"
ENOUGH: Final = 40
"""Labelled boxes of a class that a fold holds back from which it enters the mean."""


@dataclass(frozen=True, slots=True)
class RecipeFigures:
    """One recipe. ap50: class -> fold -> AP50, mean over seeds. spread: class -> that of the mean between seeds."""

    name: str
    ap50: Mapping[str, Mapping[str, float]]
    spread: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class FoldTable:
    """Two recipes trained on the same pictures, folds and seeds for as many steps.

    pictures: sha256 over names and bytes. boxes: class -> fold -> labelled boxes that it holds back.
    """

    pictures: str
    steps: int
    seeds: tuple[int, ...]
    boxes: Mapping[str, Mapping[str, int]]
    candidate: RecipeFigures
    baseline: RecipeFigures

    def folds(self, label: str) -> list[str]:
        """Return the folds that hold back ENOUGH boxes of a class, sorted."""
        return sorted(fold for fold, boxes in self.boxes.get(label, {}).items() if boxes >= ENOUGH)

    def mean(self, recipe: RecipeFigures, label: str) -> float | None:
        """Return the mean AP50 of a class over those folds, each of the same weight; None without any."""
        values = [recipe.ap50[label][fold] for fold in self.folds(label)]
        return sum(values) / len(values) if values else None


def parse(content: Any) -> FoldTable:
    """Return the table in a parsed folds.json. Raises ValueError: when it is another document, or not whole."""
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f'its "schema" is {content["schema"]!r}, where {SCHEMA!r} is read')
        boxes = {
            str(label): {str(fold): _count(n) for fold, n in row.items()} for label, row in content["boxes"].items()
        }
        return FoldTable(
            pictures=str(content["pictures"]),
            steps=_count(content["steps"]),
            seeds=tuple(_count(seed) for seed in content["seeds"]),
            boxes=boxes,
            candidate=_recipe(content["candidate"], boxes),
            baseline=_recipe(content["baseline"], boxes),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no table of folds ({type(error).__name__}: {error})") from error


def read(path: Path) -> FoldTable:
    """Return the table in a file. Raises BuildError: when it is none."""
    try:
        return parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} is no table of folds: {error}; make it with models.folds --collect.") from error


def _recipe(row: Mapping[str, Any], boxes: Mapping[str, Mapping[str, int]]) -> RecipeFigures:
    classes = {str(label): found for label, found in row["classes"].items()}
    ap50 = {label: {fold: _share(classes[label]["folds"][fold]) for fold in folds} for label, folds in boxes.items()}
    spread = {label: classes[label].get("spread") for label in boxes}
    return RecipeFigures(
        str(row["recipe"]), ap50, {label: None if value is None else _share(value) for label, value in spread.items()}
    )


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no figure in 0..1")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of boxes, steps or a seed")
    return value

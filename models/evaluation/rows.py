"""Compute the rows of the report's tables, model below model. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edge_app.offline.scoring import Score
from models.common.fold_table import FoldTable
from models.common.schemas import TOTALS
from models.evaluation import bootstrap, document, plots
from models.evaluation.coco import SIZES
from models.evaluation.counting import total
from models.evaluation.cyclists import ANSWERS, called, called_of_found
from models.evaluation.detection import ALL_SIZES, FEWEST, overall
from models.evaluation.detection_outcomes import KINDS, counts
from models.evaluation.labelled import SCORED
from models.evaluation.segments import draws, figures
from models.evaluation.subject import Result

Row = dict[str, Any]
"""The fields of one row, for the template."""


def overview(place: int, result: Result) -> Row:
    """Return one model in a line: size, time, means and totals. place: index of its colour."""
    subject = result.subject
    row: Row = {
        "name": subject.name,
        "role": subject.role,
        "colour": plots.colour(place),
        "input": f"{subject.size[0]}x{subject.size[1]}",
        "megabytes": subject.bytes / 1e6,
    }
    if result.speed:
        row |= {"ms": result.speed.ms, "ratio": result.speed.ratio}
    if result.sets:
        ap50, samples = overall(result.sets)
        row |= {"ap50": ap50, "ap50_ends": bootstrap.interval(samples)}
    if result.counted:
        exact, resampled = document.exact_figures(result.counted), figures(result.counted, draws(len(result.counted)))
        row["counting"] = [(exact[name], bootstrap.interval(resampled[name])) for name in TOTALS]
    return row


def _rows(results: Sequence[Result]) -> Iterator[tuple[Row, Result, str, str]]:
    """Yield set by set and class by class, every model below the other."""
    for one in results[0].sets:
        for label in SCORED:
            for i, result in enumerate(results):
                row = {"first": i == 0, "set": one.picture_set.name, "label": label, "model": result.subject.name}
                yield row, result, one.picture_set.name, label


def precisions(results: Sequence[Result]) -> Iterator[Row]:
    """Yield average precision with its interval, of classes that have boxes."""
    for row, result, name, label in _rows(results):
        one = result.set(name)
        class_result = one.classes[label]
        if not class_result.n:
            continue
        others = [other.set(name).classes[label].ap50 for other in results]
        yield row | {
            "n": class_result.n,
            "ap50": class_result.ap50,
            "ap75": class_result.ap75,
            "ap": class_result.ap,
            "checked": one.checked.classes[label].ap50 if one.checked else None,
            "ends": bootstrap.interval(one.samples(label)),
            "best": len(results) > 1 and class_result.ap50 >= max(others),
            "sizes": [float(class_result.precision[size][0]) for size in SIZES if size != ALL_SIZES],
        }


def working_point(results: Sequence[Result]) -> Iterator[Row]:
    """Yield precision and recall at the score from which the product acts, of classes that have boxes."""
    for row, result, name, label in _rows(results):
        one = result.set(name)
        if not one.classes[label].n:
            continue
        found = one.working_point(label)
        yield row | {
            "precision": found.precision,
            "recall": found.recall,
            "false_per_image": found.false_per_image,
        }


def cyclists(results: Sequence[Result]) -> Iterator[Row]:
    """Yield what bicycles are called, and how many of the motorcycles are called bicycles, of sets with a bicycle."""
    for place, one in enumerate(results[0].sets):
        if not one.bicycles:
            continue
        for i, result in enumerate(results):
            mine = result.sets[place]
            yield {
                "first": i == 0,
                "set": one.picture_set.name,
                "model": result.subject.name,
                "n": mine.bicycles.total(),
                "shares": [called(mine.bicycles, what) for what in ANSWERS],
                "ap50": mine.classes["bicycle"].ap50 if mine.classes["bicycle"].n else None,
                "found": mine.motorcycles.total() - mine.motorcycles["nothing"],
                "called_bicycle": called_of_found(mine.motorcycles, "bicycle"),
            }


def folds(found: FoldTable) -> list[Row]:
    """Return each class that a fold holds enough boxes of, the recipe above its baseline."""
    return [
        {
            "first": recipe is found.candidate,
            "label": label,
            "recipe": recipe.name,
            "ap50": {fold: recipe.ap50[label][fold] for fold in found.folds(label)},
            "mean": found.mean(recipe, label),
            "spread": recipe.spread[label],
        }
        for label in found.boxes
        if found.folds(label)
        for recipe in (found.candidate, found.baseline)
    ]


def errors(results: Sequence[Result]) -> Iterator[Row]:
    """Yield the number of errors of each kind."""
    for one in results[0].sets:
        for i, result in enumerate(results):
            found = counts(result.set(one.picture_set.name).errors)
            row = {"first": i == 0, "set": one.picture_set.name, "model": result.subject.name}
            yield row | {"counts": [found[kind] for kind in KINDS]}


def slices(results: Sequence[Result]) -> Iterator[Row]:
    """Yield AP50 by camera and by light, of classes with FEWEST boxes there."""
    for one in results[0].sets:
        for part in one.picture_set.slices:
            first = True
            for label in SCORED:
                if one.boxes(label, part) < FEWEST:
                    continue
                values = [result.set(one.picture_set.name).slice(label, part)[1] for result in results]
                row = {"first": first, "set": one.picture_set.name, "part": part.replace(":", " "), "label": label}
                yield row | {"n": one.boxes(label, part), "figures": values}
                first = False


def float_rows(result: Result, float_result: Result) -> list[Row]:
    """Return int8 beside float, all pictures as one set."""
    assert result.pooled is not None
    assert float_result.pooled is not None
    return [
        {"label": k, "n": one.n, "int8": one.ap50, "exact": float_result.pooled[k].ap50}
        for k, one in result.pooled.items()
        if one.n
    ]


def clips(results: Sequence[Result]) -> Iterator[Row]:
    """Yield counts and scores of each clip, then of all."""
    for place, clip in enumerate(results[0].counted):
        for i, result in enumerate(results):
            yield _scores(result.counted[place].score) | {
                "first": i == 0,
                "clip": clip.truth.clip,
                "model": result.subject.name,
            }
    for i, result in enumerate(results):
        yield _scores(total(result.counted)) | {"first": i == 0, "clip": "all", "model": result.subject.name}


def _scores(score: Score) -> Row:
    tally = score.overall
    return {
        "true": tally.true,
        "counted": tally.counted,
        "false": tally.false,
        "missed": tally.missed,
        "f1": tally.f1,
        "any": score.any_class.f1,
        "effectiveness": score.effectiveness,
    }


def by_class(result: Result, groups: Sequence[str]) -> Row:
    """Return F1 of each class group with its interval."""
    exact, resampled = document.exact_figures(result.counted), figures(result.counted, draws(len(result.counted)))
    nothing = np.full(1, np.nan)
    values = [(exact.get(f"{g}/f1"), bootstrap.interval(resampled.get(f"{g}/f1", nothing))) for g in groups]
    return {"model": result.subject.name, "figures": values}

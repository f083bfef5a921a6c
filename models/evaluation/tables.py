"""Results as tables of 80 columns for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.table import Table

from edge_app.terminal import table
from models.evaluation.coco import LARGE, SIZES, SMALL, Judged
from models.evaluation.counting import Counted, total

Sets = Mapping[str, Mapping[str, Judged]]
"""Set -> class -> result of one model."""


def figure(value: float | None) -> str:
    """Three decimals, or a dash where there is no figure."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def detection(name: str, sets: Sets) -> Table:
    """Average precision of one model."""
    sizes = [size for size in SIZES if size != "all"]
    made = table("set", "class", "n", "AP50", "AP75", "AP", *sizes, title=name)
    made.columns[1].justify = "left"
    for group, classes in sets.items():
        for label, judged in classes.items():
            by_size = [figure(float(judged.precision[size][0])) for size in sizes]
            values = (figure(v) for v in (judged.ap50, judged.ap75, judged.ap))
            made.add_row(group, label, str(judged.n), *values, *by_size)
    made.caption = f"small, medium, large: AP50 of boxes below {SMALL}, to {LARGE} and above, sqrt(px²) of the input"
    made.caption_justify = "left"
    return made


def beside(results: Mapping[str, Sets]) -> Table:
    """AP50 of several models side by side."""
    first = next(iter(results.values()))
    made = table("AP50", "class", "n", *results)
    made.columns[1].justify = "left"
    for group, classes in first.items():
        for label, judged in classes.items():
            values = [figure(sets[group][label].ap50) for sets in results.values()]
            made.add_row(group, label, str(judged.n), *values)
    return made


def counting(results: Mapping[str, Sequence[Counted]]) -> Table:
    """Scores over all clips, one row a model."""
    groups = sorted({name for counted in results.values() for name in total(counted).groups})
    made = table("counting", "true", "false", "missed", "F1", "any", "eff.", *groups)
    for name, counted in results.items():
        score = total(counted)
        t = score.overall
        f1s = [figure(score.groups[g].f1) if g in score.groups else "-" for g in groups]
        shown = [figure(v) for v in (t.f1, score.any_class.f1, score.effectiveness)]
        made.add_row(name, str(t.true), str(t.false), str(t.missed), *shown, *f1s)
    made.caption = "F1: class and direction right; any: class ignored; eff.: effectiveness; then F1 of each class"
    made.caption_justify = "left"
    return made


def clips(name: str, counted: Sequence[Counted]) -> Table:
    """Each clip of one model."""
    made = table("clip", "true", "counted", "false", "missed", "F1", "any", "eff.", title=name)
    for clip in counted:
        t = clip.score.overall
        shown = [figure(v) for v in (t.f1, clip.score.any_class.f1, clip.score.effectiveness)]
        made.add_row(clip.truth.clip[:26], str(t.true), str(t.counted), str(t.false), str(t.missed), *shown)
    return made

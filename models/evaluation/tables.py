"""Show results as tables of 80 columns for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.table import Table

from edge_app.console.terminal import table
from models.evaluation import rows
from models.evaluation.coco import LARGE, SIZES, SMALL
from models.evaluation.counting import total
from models.evaluation.cyclists import WORKING
from models.evaluation.detection import ALL_SIZES, SetResult
from models.evaluation.labelled import SCORED
from models.evaluation.subject import Result

_LONGEST = 18
"""Letters of a model's name that still leave room for its figures."""


def everything(results: Sequence[Result]) -> Iterator[Table]:
    """Yield one table for each thing that was measured, and one with all models side by side."""
    several = len(results) > 1
    if results[0].sets:
        yield from map(detection, results)
        if several:
            yield side_by_side(results)
        if any(one.checked for one in results[0].sets):
            yield checked(results)
        if any(one.bicycles for one in results[0].sets):
            yield from map(cyclists, results)
    if results[0].counted:
        yield from map(clips, results)
        yield counting(results)
    if results[0].speed:
        yield speed(results)
    if results[0].street:
        yield drawn_street(results)


def figure(value: float | None) -> str:
    """Return three decimals, or a dash when there is no figure."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def detection(result: Result) -> Table:
    """Return the average precision of one model."""
    sizes = [size for size in SIZES if size != ALL_SIZES]
    made = table("set", "class", "n", "AP50", "AP75", "AP", *sizes, "false", title=result.subject.name)
    made.columns[1].justify = "left"
    for one in result.sets:
        for label in SCORED:
            class_result = one.classes[label]
            by_size = [figure(float(class_result.precision[size][0])) for size in sizes]
            values = [figure(v) for v in (class_result.ap50, class_result.ap75, class_result.ap)]
            made.add_row(
                one.picture_set.name,
                label,
                str(class_result.n),
                *values,
                *by_size,
                f"{one.working_point(label).false_per_image:.2f}",
            )
    made.caption = (
        f"small, medium, large: AP50 of boxes below {SMALL}, to {LARGE} and above, sqrt(px²) of the model's input\n"
        f"false: detections a picture that hit nothing, at score {result.sets[0].score:g} and more"
    )
    made.caption_justify = "left"
    return made


def cyclists(result: Result) -> Table:
    """Return what one model calls bicycles, and how many motorcycles it calls bicycles."""
    heads = ("n", "bicycle", "motorc.", "another", "nothing", "AP50", "motorc.", "bicycle")
    made = table("bicycles", *heads, title=result.subject.name)
    for row in rows.cyclists([result]):
        shares = (figure(value) for value in (*row["shares"], row["ap50"]))
        made.add_row(row["set"], str(row["n"]), *shares, str(row["found"]), figure(row["called_bicycle"]))
    made.caption = (
        f"what the bicycles, labelled and marked, are called at score {WORKING:g} and more\n"
        "last columns: labelled motorcycles that are found; share of them called bicycle"
    )
    made.caption_justify = "left"
    return made


def side_by_side(results: Sequence[Result]) -> Table:
    """Return AP50 of several models side by side."""
    return _ap50s(
        [(one.picture_set.name, [result.set(one.picture_set.name) for result in results]) for one in results[0].sets],
        results,
    )


def checked(results: Sequence[Result]) -> Table:
    """Return the same with the labels that were checked by eye, of sets where something is marked."""
    made = _ap50s(
        [
            (one.picture_set.name, [(found := result.set(one.picture_set.name)).checked or found for result in results])
            for one in results[0].sets
            if one.checked
        ],
        results,
    )
    made.caption = "labels checked by eye (models/data/marks.json)"
    made.caption_justify = "left"
    return made


def _ap50s(sets: Sequence[tuple[str, Sequence[SetResult]]], results: Sequence[Result]) -> Table:
    """Return a table of AP50. sets: name of each, and the result of each model on it."""
    made = table("AP50", "class", "n", *(_name(result) for result in results))
    made.columns[1].justify = "left"
    for name, each in sets:
        for label in SCORED:
            values = [figure(one.classes[label].ap50) for one in each]
            made.add_row(name, label, str(each[0].classes[label].n), *values)
    return made


def counting(results: Sequence[Result]) -> Table:
    """Return the scores over all clips, one row a model."""
    groups = sorted({name for result in results for name in total(result.counted).groups})
    made = table(
        "counting", "true", "false", "missed", "F1", "any", "eff.", *(g if len(g) < 7 else f"{g[:5]}." for g in groups)
    )
    for result in results:
        score = total(result.counted)
        t = score.overall
        f1s = [figure(score.groups[g].f1) if g in score.groups else "-" for g in groups]
        shown = [figure(v) for v in (t.f1, score.any_class.f1, score.effectiveness)]
        made.add_row(_name(result), str(t.true), str(t.false), str(t.missed), *shown, *f1s)
    made.caption = "F1: class, direction right; any: any class; eff.: effectiveness\nlast columns: F1 of each class"
    made.caption_justify = "left"
    return made


def clips(result: Result) -> Table:
    """Return the scores of each clip of one model."""
    made = table("clip", "true", "counted", "false", "missed", "F1", "any", "eff.", title=result.subject.name)
    for clip in result.counted:
        t = clip.score.overall
        shown = [figure(v) for v in (t.f1, clip.score.any_class.f1, clip.score.effectiveness)]
        made.add_row(clip.truth.clip[:26], str(t.true), str(t.counted), str(t.false), str(t.missed), *shown)
    return made


def speed(results: Sequence[Result]) -> Table:
    """Return time of one inference and size of the file."""
    made = table("speed", "input", "MB", "ms", "ratio")
    for result in results:
        width, height = result.subject.size
        taken = result.speed
        shown = [f"{taken.ms:.1f}", f"{taken.ratio:.2f}"] if taken else ["-", "-"]
        made.add_row(_name(result), f"{width}x{height}", f"{result.subject.bytes / 1e6:.2f}", *shown)
    return made


def drawn_street(results: Sequence[Result]) -> Table:
    """Return what each model calls the vehicles of the rendered street, one row a light."""
    made = table("rendered street", "light", "looks", "right", "vehicles", "right", "wrong looks")
    for result in results:
        for light, found in result.street.items():
            wrong = "\n".join(f"{n} {what}" for what, n in sorted(found.wrong.items())) or "-"
            row = (light, found.looks, found.right, found.vehicles, found.named, wrong)
            made.add_row(_name(result), *map(str, row))
    return made


def _name(result: Result) -> str:
    name = result.subject.name
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"

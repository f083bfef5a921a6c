"""Write what programs read: result.json (edge-app/evaluation/1) and comparison.json (edge-app/comparison/1). Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_app.offline.scoring import Score
from models.common.schemas import COMPARISON, EVALUATION
from models.evaluation import bootstrap
from models.evaluation.coco import SIZES
from models.evaluation.counting import ClipResult, total
from models.evaluation.cyclists import ANSWERS, called, called_of_found
from models.evaluation.detection import ALL_SIZES, ENOUGH, FEWEST, SetResult, overall
from models.evaluation.labelled import SCORED, fingerprint, marks_fingerprint
from models.evaluation.segments import draws, figures
from models.evaluation.subject import Result

METHOD: Final = (
    f"paired stratified block bootstrap, {bootstrap.ROUNDS} rounds, seed {bootstrap.SEED}, middle "
    f"{bootstrap.LEVEL:.0%}: up to {bootstrap.LONGEST} consecutive pictures of one camera are drawn together, for "
    "clips one tenth of a clip; all/ap50 is the mean AP50 over every set and class with at least "
    f"{ENOUGH} labelled boxes"
)
Document = dict[str, Any]


def result(
    found: Result, command: str, reference: Result | None = None, float_result: Result | None = None
) -> Document:
    """Return the result.json of one model.

    command: as typed. reference: the model that its time is compared with. float_result: that of its float32 file.
    """
    subject = found.subject
    made: Document = {
        "schema": EVALUATION,
        "model": {
            "file": subject.path.name,
            "sha256": subject.sha256,
            "input": list(subject.size),
            "bytes": subject.bytes,
        },
        "command": command,
        "at": _now(),
        "method": METHOD,
    }
    if found.sets:
        made["sets"] = {one.picture_set.name: _set(one) for one in found.sets}
    if found.counted:
        made["counting"] = _counting(found.counted)
    if found.speed:
        made["speed"] = _speed(found, reference)
    if found.street:
        made["street"] = {light: asdict(answers) for light, answers in found.street.items()}
    if float_result and float_result.pooled and found.pooled:
        made["against_float"] = {
            label: {
                "ap50_int8": number(found.pooled[label].ap50),
                "ap50_float": number(float_result.pooled[label].ap50),
            }
            for label in SCORED
            if found.pooled[label].n
        }
    return made


def comparison(candidate: Result, baseline: Result) -> Document:
    """Return the comparison.json of two models: candidate minus baseline, with intervals.

    Only figures that both have are in it.
    """
    return {
        "schema": COMPARISON,
        "candidate": candidate.subject.sha256,
        "baseline": baseline.subject.sha256,
        "at": _now(),
        "sets": {one.picture_set.name: fingerprint(one.picture_set.pictures) for one in candidate.sets},
        "clips": [one.truth.clip for one in candidate.counted],
        "method": METHOD,
        "baseline_counts": _scores(total(baseline.counted)) if baseline.counted else None,
        "differences": dict(_differences(candidate, baseline)),
    }


def number(value: float | None) -> float | None:
    """Return the value rounded to 5 digits, None when it is not finite."""
    return None if value is None or not math.isfinite(value) else round(float(value), 5)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _set(one: SetResult) -> Document:
    return {
        "images": len(one.picture_set.pictures),
        "cameras": one.picture_set.cameras,
        "sha256": fingerprint(one.picture_set.pictures),
        "pictures": [
            {"name": p.name, "sha256": p.sha256, "fingerprint": p.fingerprint} for p in one.picture_set.pictures
        ],
        "score": one.score,
        "classes": {label: _class(one, label) for label in SCORED},
        "slices": {part: _slice(one, part) for part in one.picture_set.slices},
        "confusion_labels": [*SCORED, "nothing"],
        "confusion": one.confusion.tolist(),
        "bicycles": _bicycles(one),
        "motorcycles": _motorcycles(one),
        **_checked(one.checked),
    }


def _checked(one: SetResult | None) -> Document:
    """Return the figures by the labels that were checked by eye, and which marks these were."""
    if one is None:
        return {"checked": None}
    return {
        "checked": {label: _class(one, label) for label in SCORED},
        "checked_slices": {part: _slice(one, part) for part in one.picture_set.slices},
        "checked_marks": marks_fingerprint(one.picture_set.pictures),
    }


def _bicycles(one: SetResult) -> Document:
    """Return what the bicycles, labelled and marked, were taken for."""
    share = number(1 - called(one.bicycles, "motorcycle"))
    return {"n": one.bicycles.total(), "not_motorcycle": share, "called": _answers(one.bicycles)}


def _motorcycles(one: SetResult) -> Document:
    """Return what the labelled motorcycles were taken for, and how many of those found for bicycles."""
    share = number(called_of_found(one.motorcycles, "bicycle"))
    return {"n": one.motorcycles.total(), "bicycle_of_found": share, "called": _answers(one.motorcycles)}


def _answers(taken: Mapping[str, int]) -> dict[str, int]:
    return {what: taken.get(what, 0) for what in ANSWERS}


def _class(one: SetResult, label: str) -> Document:
    class_result, working_point = one.classes[label], one.working_point(label)
    ends = bootstrap.interval(one.samples(label))
    return {
        "n": class_result.n,
        "ap50": number(class_result.ap50),
        "ap75": number(class_result.ap75),
        "ap": number(class_result.ap),
        "ci": {"ap50": _ends(ends)},
        "precision": number(working_point.precision),
        "recall": number(working_point.recall),
        "false_per_image": number(working_point.false_per_image),
        "by_size": {
            size: {"n": one.boxes(label, f"size:{size}"), "ap50": number(float(class_result.precision[size][0]))}
            for size in SIZES
            if size != ALL_SIZES
        },
    }


def _slice(one: SetResult, part: str) -> Document:
    figures_of = {label: one.slice(label, part) for label in SCORED}
    return {
        "n": int(one.picture_set.slices[part].sum()),
        "classes": {label: {"n": n, "ap50": number(ap50)} for label, (n, ap50) in figures_of.items()},
    }


def _ends(ends: bootstrap.Interval | None) -> list[float | None] | None:
    return None if ends is None else [number(end) for end in ends]


def _counting(counted: tuple[ClipResult, ...]) -> Document:
    everything, resampled = total(counted), figures(counted, draws(len(counted)))
    ends = {name: _ends(bootstrap.interval(values)) for name, values in resampled.items()}
    classes = {name.partition("/")[0]: {"f1": e} for name, e in ends.items() if "/" in name}
    return {
        "clips": {one.truth.clip: _scores(one.score) | {"frames": list(one.frames)} for one in counted},
        "all": _scores(everything),
        "ci": {name: e for name, e in ends.items() if "/" not in name} | {"classes": classes},
    }


def _scores(score: Score) -> Document:
    tally = score.overall
    return {
        "true": tally.true,
        "counted": tally.counted,
        "false": tally.false,
        "missed": tally.missed,
        "event_f1": number(tally.f1),
        "any_class_f1": number(score.any_class.f1),
        "effectiveness": number(score.effectiveness),
        "classes": {name: {"f1": number(t.f1), "true": t.true} for name, t in score.groups.items()},
    }


def _speed(found: Result, reference: Result | None) -> Document:
    speed = found.speed
    assert speed is not None
    made: Document = {"ms": number(speed.ms), "threads": speed.threads}
    if reference:
        other = reference.subject
        made["relative_to"] = {
            "file": other.path.name,
            "sha256": other.sha256,
            "ms": number(speed.base_ms),
            "ratio": number(speed.ratio),
        }
    return made


def _differences(candidate: Result, baseline: Result) -> Iterator[tuple[str, Document]]:
    if candidate.sets:
        yield from _overall("all/ap50", candidate.sets, baseline.sets)
        if any(one.checked for one in candidate.sets):
            sets = ([one.checked or one for one in result.sets] for result in (candidate, baseline))
            yield from _overall("checked/ap50", *sets)
    for mine, other in zip(candidate.sets, baseline.sets, strict=True):
        for label in SCORED:
            delta = mine.classes[label].ap50 - other.classes[label].ap50
            samples = mine.samples(label) - other.samples(label)
            yield from _difference(f"{mine.picture_set.name}/{label}/ap50", delta, samples)
            yield from _by_part(mine, other, label)
    if candidate.counted:
        yield from _counts(candidate.counted, baseline.counted)
    if candidate.speed:
        yield from _difference("time/saved", 1 - candidate.speed.ratio, candidate.speed.saved)


def _overall(name: str, mine: Sequence[SetResult], other: Sequence[SetResult]) -> Iterator[tuple[str, Document]]:
    """Yield the difference of the mean AP50 over every set and class."""
    (ours, our_samples), (theirs, their_samples) = overall(mine), overall(other)
    yield from _difference(name, ours - theirs, our_samples - their_samples)


def _by_part(mine: SetResult, other: SetResult, label: str) -> Iterator[tuple[str, Document]]:
    for part in mine.parts():
        if mine.boxes(label, part) < FEWEST or (part.startswith("size:") and mine.input != other.input):
            continue  # too few boxes; or sizes that do not compare, being px of each model's own input
        delta = _ap50(mine, label, part) - _ap50(other, label, part)
        samples = mine.samples(label, part) - other.samples(label, part)
        yield from _difference(f"{mine.picture_set.name}/{part}/{label}/ap50", delta, samples)


def _ap50(one: SetResult, label: str, part: str) -> float:
    kind, _, name = part.partition(":")
    return float(one.classes[label].precision[name][0]) if kind == "size" else one.slice(label, part)[1]


def _counts(ours: tuple[ClipResult, ...], theirs: tuple[ClipResult, ...]) -> Iterator[tuple[str, Document]]:
    drawn = draws(len(ours))
    mine, other = figures(ours, drawn), figures(theirs, drawn)
    exact, their_exact = exact_figures(ours), exact_figures(theirs)
    for name in mine:
        if name in other:
            yield from _difference(f"counting/{name}", exact[name] - their_exact[name], mine[name] - other[name])


def exact_figures(counted: tuple[ClipResult, ...]) -> dict[str, float]:
    """Return the scores of `segments.figures` on the clips as they are."""
    score = total(counted)
    effectiveness = float("nan") if score.effectiveness is None else score.effectiveness
    made = {"event_f1": score.overall.f1, "any_class_f1": score.any_class.f1, "effectiveness": effectiveness}
    return made | {f"{name}/f1": tally.f1 for name, tally in score.groups.items()}


def _difference(name: str, delta: float, samples: NDArray[np.float64]) -> Iterator[tuple[str, Document]]:
    ends = bootstrap.interval(samples)
    if math.isfinite(delta) and ends:
        yield name, {"delta": number(delta), "ci": _ends(ends)}

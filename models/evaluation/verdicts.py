"""Why detections are wrong, and what it costs: error kinds after TIDE (Bolya et al., "TIDE: A General Toolbox for
Identifying Object Detection Errors", 2020). Pure.

Detections are matched as COCO does at an overlap of 0.5. One that hits nothing has the first kind that fits:
wrong class: overlaps a box of another class by 0.5 or more; wrong place: a box of its class by 0.1 to 0.5; double: a
box of its class that a stronger detection took; wrong class and place: a box of another class by 0.1 to 0.5;
background: nothing by 0.1. A box that nothing found is missed, unless a wrong class or place speaks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.conversion.fidelity import iou_matrix
from models.evaluation.coco import IOUS, Matches
from models.evaluation.curves import average_precision
from models.evaluation.labelled import SCORED
from models.evaluation.looking import Look

KINDS: Final = ("wrong class", "wrong place", "double", "wrong class and place", "background", "missed")
WRONG_CLASS, WRONG_PLACE, DOUBLE, BOTH, BACKGROUND, MISSED = range(len(KINDS))
HIT, EXCUSED = -1, -2
FOREGROUND, NEAR = 0.5, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """One look. kinds: int8 (M,) for each detection, HIT, EXCUSED or one of KINDS. partner: intp (M,), the labelled box
    it belongs to, -1 for none. missed: bool (N,), labelled boxes. unfound: bool (N,), those that nothing hit."""

    kinds: NDArray[np.int8]
    partner: NDArray[np.intp]
    missed: NDArray[np.bool_]
    unfound: NDArray[np.bool_]


def verdicts(look: Look) -> Verdicts:
    """Of every detection and labelled box of a picture."""
    counted = ~look.ignored
    overlaps = iou_matrix(look.boxes, look.truth) * counted
    same = look.found[:, None] == look.classes[None]
    kinds, partner = _hits(look, np.where(same, overlaps, 0))
    taken = np.zeros(len(look.truth), bool)
    taken[partner[kinds == HIT]] = True
    for row in np.flatnonzero(kinds == BACKGROUND):
        kinds[row], partner[row] = _kind(overlaps[row], same[row], taken)
    spoken_for = taken.copy()
    spoken_for[partner[(kinds == WRONG_CLASS) | (kinds == WRONG_PLACE)]] = True
    return Verdicts(kinds, partner, counted & ~spoken_for, counted & ~taken)


def _hits(look: Look, overlaps: FloatArray) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """HIT with partner, EXCUSED, and BACKGROUND for the rest; strongest first, each box is hit once."""
    kinds, partner = np.full(len(look.boxes), BACKGROUND, np.int8), np.full(len(look.boxes), -1, np.intp)
    free = np.ones(len(look.truth), bool)
    excused = _share_inside(look.boxes, look.truth[look.ignored]) >= FOREGROUND
    for row in range(len(look.boxes)):
        candidates = np.where(free, overlaps[row], 0)
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= FOREGROUND:
            kinds[row], partner[row], free[best] = HIT, best, False
        elif excused[row]:
            kinds[row] = EXCUSED
    return kinds, partner


def _kind(overlaps: FloatArray, same: NDArray[np.bool_], taken: NDArray[np.bool_]) -> tuple[int, int]:
    """Of a detection that hits nothing: its kind, and the labelled box it belongs to."""
    if not len(overlaps):
        return BACKGROUND, -1
    own, others = np.where(same, overlaps, 0), np.where(same, 0, overlaps)
    mine, other = int(own.argmax()), int(others.argmax())
    if others[other] >= FOREGROUND:
        return WRONG_CLASS, other
    if NEAR <= own[mine] < FOREGROUND:
        return WRONG_PLACE, mine
    if own[mine] >= FOREGROUND and taken[mine]:
        return DOUBLE, mine
    return (BOTH, other) if others[other] >= NEAR else (BACKGROUND, -1)


def _share_inside(boxes: FloatArray, regions: FloatArray) -> FloatArray:
    """Largest share float32 (N,) of each box's area inside one of the regions."""
    if not len(regions):
        return np.zeros(len(boxes), np.float32)
    corner = np.minimum(boxes[:, None, 2:], regions[:, 2:]) - np.maximum(boxes[:, None, :2], regions[:, :2])
    inside = np.prod(np.clip(corner, 0, None), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(inside.max(axis=1) / np.maximum(area, 1e-9), np.float32)


def counts(found: Sequence[Verdicts]) -> dict[str, int]:
    """Errors of each kind over a set."""
    wrong = np.concatenate([np.empty(0, np.int8), *(v.kinds for v in found)])
    number = {name: int(np.sum(wrong == kind)) for kind, name in enumerate(KINDS)}
    return number | {KINDS[MISSED]: int(sum(v.missed.sum() for v in found))}


def gains(looks: Sequence[Look], found: Sequence[Verdicts]) -> dict[str, dict[str, float]]:
    """Kind -> class -> what AP50 would gain if all errors of this kind alone were put right."""
    as_is = _precisions(_rows(looks, found, None), _positives(looks, found, without_missed=False))
    result = {}
    for kind, name in enumerate(KINDS):
        positives = _positives(looks, found, without_missed=kind == MISSED)
        fixed = _precisions(_rows(looks, found, kind), positives)
        result[name] = {label: fixed[label] - as_is[label] for label in SCORED}
    return result


def _positives(looks: Sequence[Look], found: Sequence[Verdicts], *, without_missed: bool) -> NDArray[np.int64]:
    """Boxes to be found, int64 (C, P); TIDE puts a missed box right by not asking for it."""
    table = np.zeros((len(SCORED), len(looks)), np.int64)
    for i, (look, verdict) in enumerate(zip(looks, found, strict=True)):
        wanted = ~look.ignored & ~verdict.missed if without_missed else ~look.ignored
        np.add.at(table[:, i], look.classes[wanted], 1)
    return table


@dataclass(slots=True)
class _Rows:
    """Flat columns of detections that count: picture, class, score, whether it hits."""

    picture: list[int]
    kind: list[int]
    score: list[float]
    hit: list[bool]


def _rows(looks: Sequence[Look], found: Sequence[Verdicts], put_right: int | None) -> _Rows:
    rows = _Rows([], [], [], [])
    for i, (look, verdict) in enumerate(zip(looks, found, strict=True)):
        open_boxes = verdict.unfound.copy()
        for j in range(len(look.scores)):
            kind, label = int(verdict.kinds[j]), int(look.found[j])
            if kind == EXCUSED:
                continue
            hit = kind == HIT
            if kind == put_right:
                partner = int(verdict.partner[j])
                # Put right, it finds its box, unless that has been found; then, as any other kind, it goes away.
                hit = kind in (WRONG_CLASS, WRONG_PLACE) and bool(open_boxes[partner])
                if not hit:
                    continue
                open_boxes[partner], label = False, int(look.classes[partner])
            rows.picture.append(i)
            rows.kind.append(label)
            rows.score.append(float(look.scores[j]))
            rows.hit.append(hit)
    return rows


def _precisions(rows: _Rows, positives: NDArray[np.int64]) -> dict[str, float]:
    kinds, scores, hits = np.array(rows.kind, np.intp), np.array(rows.score), np.array(rows.hit, bool)
    pictures = np.array(rows.picture, np.intp)
    once = np.ones((1, positives.shape[1]), np.int64)
    result = {}
    for k, label in enumerate(SCORED):
        mine = np.flatnonzero(kinds == k)
        order = mine[np.argsort(-scores[mine], kind="stable")]
        hit = np.broadcast_to(hits[order], (len(IOUS), len(order)))
        matches = Matches(scores[order], pictures[order], hit, np.zeros_like(hit), positives[k])
        result[label] = float(average_precision(matches, once)[0])
    return result


def confusion(looks: Sequence[Look]) -> NDArray[np.int64]:
    """int64 (C + 1, C + 1): rows are labelled classes of SCORED and nothing, columns what was said, nothing last.

    Detections, whatever their class, take the free box that they overlap most, strongest first, from 0.5 on.
    """
    table = np.zeros((len(SCORED) + 1,) * 2, np.int64)
    for look in looks:
        kinds, partner = _hits(look, iou_matrix(look.boxes, look.truth) * ~look.ignored)
        for said, kind, box in zip(look.found, kinds, partner, strict=True):
            if kind != EXCUSED:
                table[look.classes[box] if kind == HIT else -1, said] += 1
        found = np.zeros(len(look.truth), bool)
        found[partner[kinds == HIT]] = True
        np.add.at(table[:, -1], look.classes[~found & ~look.ignored], 1)
    return table

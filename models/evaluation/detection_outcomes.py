"""Find why detections are wrong, and what it costs: error kinds after TIDE. Pure.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors" (2020). Detections are matched as COCO
does at an overlap of 0.5. One that hits nothing has the first kind that fits:
wrong class: overlaps a box of another class by 0.5 or more;
wrong place: overlaps a box of its class by 0.1 to 0.5;
double: overlaps a box of its class that a stronger detection hit;
wrong class and place: overlaps a box of another class by 0.1 to 0.5;
background: overlaps nothing by 0.1.
A box that nothing hit is missed, unless a detection of wrong class or wrong place belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.common.geometry import covered_share, iou_matrix
from models.evaluation.coco import IOUS, Matches
from models.evaluation.curves import average_precision
from models.evaluation.labelled import SCORED
from models.evaluation.observations import Observation

KINDS: Final = ("wrong class", "wrong place", "double", "wrong class and place", "background", "missed")
WRONG_CLASS, WRONG_PLACE, DOUBLE, BOTH, BACKGROUND, MISSED = range(len(KINDS))
HIT, EXCUSED = -1, -2
FOREGROUND, NEAR = 0.5, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The outcomes of one observation with M detections and N labelled boxes.

    kinds: int8 (M,), HIT, EXCUSED or an index of KINDS. partner: intp (M,), the labelled box it belongs to, -1 for
    none.
    missed: bool (N,), boxes that are missed. unfound: bool (N,), boxes that nothing hit.
    """

    kinds: NDArray[np.int8]
    partner: NDArray[np.intp]
    missed: NDArray[np.bool_]
    unfound: NDArray[np.bool_]


def outcomes_of(observation: Observation) -> Outcomes:
    """Return the outcomes of every detection and labelled box of an observation."""
    counted = ~observation.ignored
    overlaps = iou_matrix(observation.boxes, observation.truth) * counted
    same = observation.found[:, None] == observation.classes[None]
    kinds, partner = _hits(observation, np.where(same, overlaps, 0))
    taken = np.zeros(len(observation.truth), bool)
    taken[partner[kinds == HIT]] = True
    for row in np.flatnonzero(kinds == BACKGROUND):
        kinds[row], partner[row] = _kind(overlaps[row], same[row], taken)
    spoken_for = taken.copy()
    spoken_for[partner[(kinds == WRONG_CLASS) | (kinds == WRONG_PLACE)]] = True
    return Outcomes(kinds, partner, counted & ~spoken_for, counted & ~taken)


def _hits(observation: Observation, overlaps: FloatArray) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """Return kind and partner of every detection: HIT, EXCUSED, or BACKGROUND for the rest.

    The strongest comes first, and each box is hit once.
    """
    kinds, partner = np.full(len(observation.boxes), BACKGROUND, np.int8), np.full(len(observation.boxes), -1, np.intp)
    free = np.ones(len(observation.truth), bool)
    regions = observation.truth[observation.ignored]
    excused = covered_share(observation.boxes, regions).max(axis=1, initial=0) >= FOREGROUND
    for row in range(len(observation.boxes)):
        candidates = np.where(free, overlaps[row], 0)
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= FOREGROUND:
            kinds[row], partner[row], free[best] = HIT, best, False
        elif excused[row]:
            kinds[row] = EXCUSED
    return kinds, partner


def _kind(overlaps: FloatArray, same: NDArray[np.bool_], taken: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the kind of a detection that hits nothing, and the labelled box it belongs to."""
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


def counts(found: Sequence[Outcomes]) -> dict[str, int]:
    """Return the number of errors of each kind over a set."""
    wrong = np.concatenate([np.empty(0, np.int8), *(v.kinds for v in found)])
    number = {name: int(np.sum(wrong == kind)) for kind, name in enumerate(KINDS)}
    return number | {KINDS[MISSED]: int(sum(v.missed.sum() for v in found))}


def gains(observations: Sequence[Observation], found: Sequence[Outcomes]) -> dict[str, dict[str, float]]:
    """Return kind -> class -> what AP50 would gain if all errors of this kind alone were corrected."""
    as_is = _precisions(_rows(observations, found, None), _positives(observations, found, without_missed=False))
    result = {}
    for kind, name in enumerate(KINDS):
        positives = _positives(observations, found, without_missed=kind == MISSED)
        fixed = _precisions(_rows(observations, found, kind), positives)
        result[name] = {label: fixed[label] - as_is[label] for label in SCORED}
    return result


def _positives(
    observations: Sequence[Observation], found: Sequence[Outcomes], *, without_missed: bool
) -> NDArray[np.int64]:
    """Return the boxes to be found, int64 (C, P). TIDE corrects a missed box by not asking for it."""
    table = np.zeros((len(SCORED), len(observations)), np.int64)
    for i, (observation, outcomes) in enumerate(zip(observations, found, strict=True)):
        wanted = ~observation.ignored & ~outcomes.missed if without_missed else ~observation.ignored
        np.add.at(table[:, i], observation.classes[wanted], 1)
    return table


@dataclass(slots=True)
class _Rows:
    """Columns of the detections that count: picture, class, score, and whether it hits."""

    picture: list[int]
    kind: list[int]
    score: list[float]
    hit: list[bool]


def _rows(observations: Sequence[Observation], found: Sequence[Outcomes], corrected: int | None) -> _Rows:
    rows = _Rows([], [], [], [])
    for i, (observation, outcomes) in enumerate(zip(observations, found, strict=True)):
        open_boxes = outcomes.unfound.copy()
        for j in range(len(observation.scores)):
            kind, label = int(outcomes.kinds[j]), int(observation.found[j])
            if kind == EXCUSED:
                continue
            hit = kind == HIT
            if kind == corrected:
                partner = int(outcomes.partner[j])
                # Corrected, it hits its box if that is still free; otherwise it is removed, like the other kinds.
                hit = kind in (WRONG_CLASS, WRONG_PLACE) and bool(open_boxes[partner])
                if not hit:
                    continue
                open_boxes[partner], label = False, int(observation.classes[partner])
            rows.picture.append(i)
            rows.kind.append(label)
            rows.score.append(float(observation.scores[j]))
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


def confusion(observations: Sequence[Observation]) -> NDArray[np.int64]:
    """Return what labelled classes were taken for, int64 (C + 1, C + 1).

    Rows are the labelled classes of SCORED and nothing, columns the detected ones, nothing last. Detections of any
    class take the free box that they overlap most, strongest first, from 0.5 on.
    """
    table = np.zeros((len(SCORED) + 1,) * 2, np.int64)
    for observation in observations:
        kinds, partner = _hits(observation, iou_matrix(observation.boxes, observation.truth) * ~observation.ignored)
        for detected, kind, box in zip(observation.found, kinds, partner, strict=True):
            if kind != EXCUSED:
                table[observation.classes[box] if kind == HIT else -1, detected] += 1
        found = np.zeros(len(observation.truth), bool)
        found[partner[kinds == HIT]] = True
        np.add.at(table[:, -1], observation.classes[~found & ~observation.ignored], 1)
    return table

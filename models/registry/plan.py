"""Plan a city's policy from what production reached on the city's benchmark, or from names alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.common.errors import RegistryError
from models.common.schemas import TOTALS
from models.registry.figures import Counting, Evaluation
from models.registry.policy import Policy

CROSSINGS: Final = 20
"""True crossings from which the counts of a class are compared: one of fewer moves F1 by most of its margin."""
KINDS: Final = ("camera", "light", "size")
"""Kinds of slices that an evaluation has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a city's policy is made from.

    sets: name of a set -> classes that are compared. left_out: "set/class, 12 boxes" of those with too few.
    clips, counted: file names, and classes with enough crossings. slices: kinds that every set has.
    floors: "512x288" -> its tables. bicycles: whether enough are there to compare. cyclists: whether these, with the
    motorcycles, are enough to say what they are called. few: what to know of few crossings, or empty.
    """

    sets: Mapping[str, Sequence[str]]
    left_out: Sequence[str] = ()
    clips: Sequence[str] = ()
    counted: Sequence[str] = ()
    slices: Sequence[str] = ()
    floors: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    bicycles: bool = False
    cyclists: bool = False
    few: str = ""


def from_names(sets: Iterable[str], clips: Sequence[str]) -> Plan:
    """Return the plan of a benchmark that was not measured yet. sets: each as "pole-7=car,motorcycle".

    Raises RegistryError: when one is written otherwise.
    """
    found: dict[str, list[str]] = {}
    for text in sets:
        name, _, labels = text.partition("=")
        found[name.strip()] = [label.strip() for label in labels.split(",") if label.strip()]
        if not name.strip() or not found[name.strip()]:
            raise RegistryError(f"--set {text!r} is not NAME=CLASS,CLASS, such as pole-7=car,motorcycle.")
    return Plan(found, clips=clips, slices=("camera",))


def from_evaluations(measured: Sequence[Evaluation], house: Policy) -> Plan:
    """Return the plan of a benchmark on which production was measured.

    measured: of one model of each input size, all on the same sets and clips.
    Raises RegistryError: when they are about different ones, or no class has boxes enough to be compared.
    """
    first = measured[0]
    for one in measured[1:]:
        if [_boxes(one), one.counting.clips] != [_boxes(first), first.counting.clips]:
            raise RegistryError(
                "The evaluations are of different pictures, labels or clips: evaluate all sizes at once."
            )
    boxes = dict(sorted(_boxes(first).items()))
    sets = {name: [label for label, n in labels.items() if n >= house.examples] for name, labels in boxes.items()}
    rows = [(f"{name}/{label}", n) for name, labels in boxes.items() for label, n in labels.items()]
    scarce = [f"{where}, {n} boxes" for where, n in rows if n < house.examples]
    if not any(sets.values()):
        raise RegistryError(
            f"No class has {house.examples} labelled boxes in a set, fewer prove nothing: "
            f"{'; '.join(scarce) or 'no pictures were evaluated'}. Label more pictures."
        )
    counting = first.counting
    many = [label for label, n in sorted(counting.crossings.items()) if n >= CROSSINGS]
    named = {name: labels for name, labels in sets.items() if labels}
    there = [one.bicycles.n or 0 for one in first.sets.values()]
    riders = [one.motorcycles.n or 0 for one in first.sets.values()]
    examples = house.cyclists.examples if house.cyclists else house.examples
    return Plan(
        sets=named,
        left_out=scarce,
        clips=counting.clips,
        counted=many,
        slices=[kind for kind in KINDS if all(_has(one, kind, house.examples) for one in measured)],
        floors={_size(one): _floors(one, named, many, house) for one in measured},
        bicycles=max(there, default=0) >= house.bicycles,
        cyclists=min(sum(there), sum(riders)) >= examples,
        few=_few(counting, house),
    )


def _boxes(one: Evaluation) -> dict[str, dict[str, int]]:
    return {
        name: {label: p.n for label, p in found.labelled.classes.items() if p.n} for name, found in one.sets.items()
    }


def _has(one: Evaluation, kind: str, examples: int) -> bool:
    """Return whether every set has a slice of this kind with enough boxes of a class."""
    return all(
        any(
            (p.n or 0) >= examples
            for part, by in found.labelled.slices.items()
            if part.startswith(f"{kind}:")
            for p in by.values()
        )
        for found in one.sets.values()
    )


def _size(one: Evaluation) -> str:
    if one.size is None:
        raise RegistryError("An evaluation does not say the input size of its model: evaluate it again.")
    return "{}x{}".format(*one.size)


def _floors(
    one: Evaluation, sets: Mapping[str, Sequence[str]], counted: Sequence[str], house: Policy
) -> dict[str, dict[str, float]]:
    """Return the tables of floors: what was reached, less the margin within which a candidate may be worse."""
    pairs = [(name, label) for name, labels in sets.items() for label in labels]
    margins, counting = house.margins, one.counting
    reached = [(f"{name}/{label}", one.sets[name].labelled.classes[label].ap50) for name, label in pairs]
    floors = {"ap50": {name: _below(value, margins.ap50) for name, value in reached}}
    if counting.clips:
        totals = {name: _below(counting.totals.get(name), margins.counting) for name in TOTALS}
        floors["counting"] = totals | {c: _below(counting.classes.get(c), margins.class_f1) for c in counted}
    return floors


def _below(reached: float | None, margin: float) -> float:
    """Return a floor with two digits, never 0: that would be none."""
    return max(0.01, math.floor(((reached or 0) - margin) * 100 + 1e-6) / 100)


def _few(counting: Counting, house: Policy) -> str:
    # below two crossings within the margin a single one decides
    true, margin = sum(counting.crossings.values()), house.margins.counting
    if not true or 2 / true <= margin:
        return ""
    return (
        f"The clips have {true} crossings; one is {1 / true:.3f} of a score, and the margin {margin:.2f}: count longer."
    )

"""Rules about figures: floors, better than production, worse nowhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from models.registry.case import Case
from models.registry.comparison import Comparison, Difference
from models.registry.figures import TOTALS, Figure, Precision, SetFigures
from models.registry.policy import Policy
from models.registry.verdict import Verdict, at_least, at_most, fact, not_worse

Classes: TypeAlias = Mapping[str, Precision]


def floors(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Absolute, per class: no production model of this size is below."""
    bounds = policy.floors.get(case.slot)
    if bounds is None:
        yield fact("floors", case.slot, False, "the policy declares none for this input size")
        return
    for subject, bound in bounds.ap50.items():
        name, _, label = subject.rpartition("/")
        found = case.measured.sets.get(name, SetFigures()).classes.get(label, Precision())
        yield at_least("floors", f"{subject} AP50", found.ap50, bound)
    for subject, bound in bounds.counting.items():
        counted = case.measured.counting
        figure = (counted.totals if subject in TOTALS else counted.classes).get(subject)
        yield at_least("floors", f"counts {subject}", figure, bound)


def better(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Better than production, and not by chance: a paired difference's whole confidence interval is above its bound."""
    found = case.comparison or Comparison()
    against = case.production.sha256 if case.production else "nothing"
    passed = found.candidate == case.sha256 and found.production == against
    shown = f"{found.candidate[:12] or 'none'} with {found.production[:12] or 'none'}"
    yield fact("better", "compared models", passed, f"{shown}; asked {case.sha256[:12]} with {against[:12]}")
    says, held = [], False
    for name, bound in policy.better.items():
        one = _measured(found.differences.get(name, Difference()))
        says.append(f"{name} {_interval(one)}, the lower end above {bound:g}")
        held |= one is not None and min(one[:2]) > bound
    yield fact("better", "in one of these", held, "; ".join(says))


def as_good(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Whatever it is better in: no worse than production even at the lower end of the interval, but for a hair."""
    found = case.comparison or Comparison()
    for name, bound in policy.as_good.items():
        one = _measured(found.differences.get(name, Difference()))
        yield at_least("as good", name, one and one[1], -bound, f" (the lower end of {_interval(one)})")


def _measured(one: Difference) -> tuple[float, float, float] | None:
    """Its value and the ends of its interval; None where one is missing, or the ends are the wrong way round."""
    if one.value is None or one.low is None or one.high is None or one.low > one.high:
        return None
    return one.value, one.low, one.high


def _interval(one: tuple[float, float, float] | None) -> str:
    return "not measured" if one is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*one)


def worse_class(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Per set and class with enough examples."""
    for name in case.sets:
        ours, theirs = (one.sets.get(name, SetFigures()).classes for one in (case.measured, case.theirs))
        for label in _enough(policy, ours, theirs):
            pair = _ap50(ours, label), _ap50(theirs, label)
            yield not_worse("worse class", f"{name}/{label} AP50", *pair, policy.margins.ap50)


def worse_slice(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Per camera, light and size with enough examples; each set must have the slices that the policy names."""
    for name in case.sets:
        ours, theirs = (one.sets.get(name, SetFigures()).slices for one in (case.measured, case.theirs))
        seen: set[str] = set()
        for part in sorted({*ours, *theirs}):
            mine, other = ours.get(part, {}), theirs.get(part, {})
            for label in _enough(policy, mine, other):
                seen.add(part.partition(":")[0])
                pair = _ap50(mine, label), _ap50(other, label)
                yield not_worse("worse slice", f"{name} {part} {label} AP50", *pair, policy.margins.slice_ap50)
        for kind in (kind for kind in policy.slices if kind not in seen):
            yield fact("worse slice", f"{name} by {kind}", False, f"no slice with {policy.examples} boxes of a class")


def worse_bicycles(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Bicycles are not counted: no more than before may be taken for motorcycles, where enough are marked."""
    rule = "worse bicycles"
    for name in case.sets:
        ours, theirs = (one.sets.get(name, SetFigures()).bicycles for one in (case.measured, case.theirs))
        if ours.marked is None or ours.marked != theirs.marked:
            yield fact(rule, name, False, f"{ours.marked} marked, for production {theirs.marked}: measure both again")
        elif ours.marked < policy.bicycles:
            yield fact(rule, name, True, f"{ours.marked} marked, too few to tell")
        else:
            pair = ours.not_motorcycle, theirs.not_motorcycle
            yield not_worse(rule, f"{name}, taken for no motorcycle", *pair, policy.margins.bicycles)


def worse_counts(policy: Policy, case: Case) -> Iterator[Verdict]:
    """All clips together, and by class."""
    ours, theirs, margins = case.measured.counting, case.theirs.counting, policy.margins
    for name in TOTALS:
        yield not_worse("worse counts", name, ours.totals.get(name), theirs.totals.get(name), margins.counting)
    for label in policy.counted:
        pair = ours.classes.get(label), theirs.classes.get(label)
        yield not_worse("worse counts", f"{label} F1", *pair, margins.class_f1)


def latency(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Time of one inference over that of the file in production, measured in one run.

    A file name is proof enough only where the candidate's own file had another: alone it is measured against itself.
    """
    against, production = case.measured.latency_to, case.production
    own = case.measured.file
    named = production is not None and against == production.file and own not in ("", production.file)
    passed = production is not None and (against == production.sha256 or named)
    wanted = production.file if production else "nothing"
    yield fact("latency", "measured against", passed, f"{against[:60] or 'nothing'}, production {wanted}")
    yield at_most("latency", "ratio", case.measured.latency, policy.margins.latency_ratio)


def size(policy: Policy, case: Case) -> Iterator[Verdict]:
    """Bytes of the file over those of the file in production."""
    ratio = case.bytes / case.production.bytes if case.production and case.production.bytes else None
    yield at_most("size", "ratio", ratio, policy.margins.size_ratio, f" ({case.bytes} bytes)")


def int8(policy: Policy, case: Case) -> Iterator[Verdict]:
    """What quantisation cost, for every class that has a floor: of the others there are too few to tell."""
    bounds = policy.floors.get(case.slot)
    for label in sorted({subject.rpartition("/")[2] for subject in bounds.ap50} if bounds else ()):
        ours, exact = case.measured.int8.get(label, (None, None))
        loss = None if ours is None or exact is None else round(exact - ours, 12)
        yield at_most("int8", f"{label} AP50 lost", loss, policy.margins.int8_loss)


def _enough(policy: Policy, ours: Classes, theirs: Classes) -> list[str]:
    """Classes with enough labelled boxes in either evaluation: leaving a class out is no way past a rule."""
    labels = sorted({*ours, *theirs})
    return [label for label in labels if max(_boxes(ours, label), _boxes(theirs, label)) >= policy.examples]


def _boxes(classes: Classes, label: str) -> int:
    return classes.get(label, Precision()).n or 0


def _ap50(classes: Classes, label: str) -> Figure:
    return classes.get(label, Precision()).ap50

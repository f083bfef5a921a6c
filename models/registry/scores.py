"""Apply the rules about figures: floors, better than production, worse nowhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from models.common.schemas import TOTALS
from models.registry.benchmark import BICYCLES, COUNTS, INT8, SLICES
from models.registry.comparison import Comparison, Difference
from models.registry.figures import Figure, Precision, Precisions, SetFigures
from models.registry.gate_input import GateInput
from models.registry.policy import Policy
from models.registry.rule_result import RuleResult, at_least, at_most, fact, not_part, not_worse

Classes: TypeAlias = Mapping[str, Precision]


def floors(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that the figures reach the floors of this input size, whatever is in production."""
    bounds = policy.floors.get(gate_input.size_name)
    if bounds is None:
        remedy = "write what production reached, less a little" if policy.benchmark.sets else "set them first"
        yield fact("floors", gate_input.size_name, False, f"the policy declares none for this input size: {remedy}")
        return
    for subject, bound in bounds.ap50.items():
        name, _, label = subject.rpartition("/")
        found = gate_input.measured.sets.get(name, SetFigures()).labelled.classes.get(label, Precision())
        yield at_least("floors", f"{subject} AP50", found.ap50, bound)
    if why := policy.lacks(COUNTS):
        yield not_part("floors", "counts", why)
    for subject, bound in bounds.counting.items() if not why else ():
        counted = gate_input.measured.counting
        figure = (counted.totals if subject in TOTALS else counted.classes).get(subject)
        yield at_least("floors", f"counts {subject}", figure, bound)


def better(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that one of the paired differences to production is above its bound with its whole confidence interval."""
    found = gate_input.comparison or Comparison()
    against = gate_input.production.sha256 if gate_input.production else "nothing"
    passed = found.candidate == gate_input.sha256 and found.production == against
    shown = f"{found.candidate[:12] or 'none'} with {found.production[:12] or 'none'}"
    yield fact("better", "compared models", passed, f"{shown}; asked {gate_input.sha256[:12]} with {against[:12]}")
    says, held = [], False
    for name, bound in policy.better.items():
        one = _measured(found.differences.get(name, Difference()))
        says.append(f"{name} {_interval(one)}, the lower end above {bound:g}")
        held |= one is not None and min(one[:2]) > bound
    yield fact("better", "in one of these", held, "; ".join(says))


def as_good(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that the lower end of the interval is hardly below 0, in whatever the candidate is better."""
    found = gate_input.comparison or Comparison()
    for name, bound in policy.as_good.items():
        one = _measured(found.differences.get(name, Difference()))
        yield at_least("as good", name, one and one[1], -bound, f" (the lower end of {_interval(one)})")


def _measured(one: Difference) -> tuple[float, float, float] | None:
    """Return value, low and high of a difference; None when one is missing or the ends are exchanged."""
    if one.value is None or one.low is None or one.high is None or one.low > one.high:
        return None
    return one.value, one.low, one.high


def _interval(one: tuple[float, float, float] | None) -> str:
    return "not measured" if one is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*one)


def worse_class(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check each set and class with enough labelled boxes, by labels that were checked by eye where there are such."""
    for name in gate_input.sets:
        (candidate, production), how = _compared(gate_input, name)
        for label in _enough(policy, candidate.classes, production.classes):
            pair = _ap50(candidate.classes, label), _ap50(production.classes, label)
            yield not_worse("worse class", f"{name}/{label} AP50{how}", *pair, policy.margins.ap50)


def worse_slice(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check each camera, light and size with enough labelled boxes, as `worse_class` does.

    Each set must have the policy's kinds of slices.
    """
    if why := policy.lacks(SLICES):
        yield not_part("worse slice", "all", why)
        return
    for name in gate_input.sets:
        (candidate, production), how = _compared(gate_input, name)
        seen: set[str] = set()
        for part in sorted({*candidate.slices, *production.slices}):
            candidate_classes, production_classes = candidate.slices.get(part, {}), production.slices.get(part, {})
            for label in _enough(policy, candidate_classes, production_classes):
                seen.add(part.partition(":")[0])
                pair = _ap50(candidate_classes, label), _ap50(production_classes, label)
                yield not_worse("worse slice", f"{name} {part} {label} AP50{how}", *pair, policy.margins.slice_ap50)
        scenes = max(_single_scenes(figures) for figures in _of_set(gate_input, name))
        for kind in (kind for kind in policy.slices if kind not in seen and not (kind == "camera" and scenes)):
            yield fact("worse slice", f"{name} by {kind}", False, f"no slice with {policy.examples} boxes of a class")


def worse_bicycles(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that no more bicycles than before are taken for motorcycles, in sets with enough of them."""
    rule = "worse bicycles"
    if why := policy.lacks(BICYCLES):
        yield not_part(rule, "all", why)
        return
    for name in gate_input.sets:
        candidate, production = (figures.bicycles for figures in _of_set(gate_input, name))
        if candidate.n is None or candidate.n != production.n:
            yield fact(rule, name, False, f"{candidate.n} there, for production {production.n}: measure both again")
        elif candidate.n < policy.bicycles:
            yield fact(rule, name, True, f"{candidate.n} there, too few to tell")
        else:
            pair = candidate.not_motorcycle, production.not_motorcycle
            yield not_worse(rule, f"{name}, taken for no motorcycle", *pair, policy.margins.bicycles)


def worse_counts(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check the counting scores over all clips, and F1 of the counted classes."""
    if why := policy.lacks(COUNTS):
        yield not_part("worse counts", "all", why)
        return
    candidate, production, margins = gate_input.measured.counting, gate_input.baseline.counting, policy.margins
    for name in TOTALS:
        yield not_worse("worse counts", name, candidate.totals.get(name), production.totals.get(name), margins.counting)
    for label in policy.counted:
        pair = candidate.classes.get(label), production.classes.get(label)
        yield not_worse("worse counts", f"{label} F1", *pair, margins.class_f1)


def latency(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check the time of one inference against that of the file in production, measured in one run.

    A file name proves this only when the candidate's own file had another name: alone it is measured against itself.
    """
    against, production = gate_input.measured.latency_to, gate_input.production
    own = gate_input.measured.file
    named = production is not None and against == production.file and own not in ("", production.file)
    passed = production is not None and (against == production.sha256 or named)
    wanted = production.file if production else "nothing"
    yield fact("latency", "measured against", passed, f"{against[:60] or 'nothing'}, production {wanted}")
    yield at_most("latency", "ratio", gate_input.measured.latency, policy.margins.latency_ratio)


def size(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check the size of the file against that of the file in production."""
    production = gate_input.production
    ratio = gate_input.bytes / production.bytes if production and production.bytes else None
    yield at_most("size", "ratio", ratio, policy.margins.size_ratio, f" ({gate_input.bytes} bytes)")


def int8(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check what quantisation costs, for every class that has a floor or is in the benchmark; others have few boxes."""
    if why := policy.lacks(INT8):
        yield not_part("int8", "all", why)
        return
    bounds = policy.floors.get(gate_input.size_name)
    named = {label for labels in policy.benchmark.sets.values() for label in labels}
    for label in sorted(named | {subject.rpartition("/")[2] for subject in (bounds.ap50 if bounds else ())}):
        int8_ap50, float_ap50 = gate_input.measured.int8.get(label, (None, None))
        loss = None if int8_ap50 is None or float_ap50 is None else round(float_ap50 - int8_ap50, 12)
        yield at_most("int8", f"{label} AP50 lost", loss, policy.margins.int8_loss)


def _of_set(gate_input: GateInput, name: str) -> tuple[SetFigures, SetFigures]:
    """Return the candidate's and production's figures of a set of pictures, empty where it was not measured."""
    candidate, production = (one.sets.get(name, SetFigures()) for one in (gate_input.measured, gate_input.baseline))
    return candidate, production


def _compared(gate_input: GateInput, name: str) -> tuple[tuple[Precisions, Precisions], str]:
    """Return the candidate's and production's figures by which a set is compared, and by which labels, to be shown.

    Where labels were checked by eye these are it: a detector that finds vehicles which nobody labelled is not worse.
    """
    candidate, production = _of_set(gate_input, name)
    if candidate.checked is None and production.checked is None:
        return (candidate.labelled, production.labelled), ""
    return (candidate.checked or Precisions(), production.checked or Precisions()), ", labels checked"


def _single_scenes(figures: SetFigures) -> bool:
    """Return whether each picture of a set is of a place of its own, so that no camera has boxes enough."""
    return len(figures.cameras) > 1 and len(figures.cameras) == figures.images


def _enough(policy: Policy, candidate: Classes, production: Classes) -> list[str]:
    """Return the classes with enough labelled boxes in either evaluation, so leaving one out avoids no rule."""
    labels = sorted({*candidate, *production})
    return [label for label in labels if max(_boxes(candidate, label), _boxes(production, label)) >= policy.examples]


def _boxes(classes: Classes, label: str) -> int:
    return classes.get(label, Precision()).n or 0


def _ap50(classes: Classes, label: str) -> Figure:
    return classes.get(label, Precision()).ap50

"""Apply the rules about what pictures of the usual sets do not tell: cyclists, countries not seen, the street. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from edge_app.detectors.gate import BICYCLES
from models.common.schemas import STREET_LIGHTS
from models.registry.benchmark import CYCLISTS, FOLDS
from models.registry.figures import Figure, Street, TwoWheelers
from models.registry.gate_input import GateInput
from models.registry.policy import Policy
from models.registry.rule_result import RuleResult, at_least, at_most, fact, not_part, not_worse

_ANEW: Final = "a city's policy is written anew by `models.registry template --replace`"
_BICYCLE: Final = "bicycle"


def bicycles(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check what two-wheelers are called, of a detector that is made to count bicycles.

    All sets are one here: cyclists are few in most. A device counts bicycles by default once this was asked and held.
    """
    rule = BICYCLES
    if _BICYCLE not in gate_input.counts:
        if gate_input.production and _BICYCLE in gate_input.production.counts:
            says = "production counts them and this one is not made to: export it again with --bicycles"
            yield fact(rule, "counted", False, says)
        else:
            yield RuleResult(rule, "counted", True, "not asked: it is not made to count bicycles", left_out=True)
        return
    if why := policy.lacks(CYCLISTS):
        yield not_part(rule, "all", why)
        return
    bounds = policy.cyclists
    if bounds is None:
        says = f"the policy has no table [cyclists]: write one, or say why not in not_part; {_ANEW}"
        yield fact(rule, "all", False, says)
        return
    cyclists, riders = (_together(gate_input, what) for what in ("bicycles", "motorcycles"))
    found = None if riders is None else riders.total() - riders["nothing"]
    yield _many(rule, "bicycles", None if cyclists is None else cyclists.total(), bounds.examples)
    yield _many(rule, "motorcycles that are found", found, bounds.examples)
    total = cyclists.total() if cyclists else 0
    yield at_least(rule, "called bicycle", _share(cyclists, _BICYCLE, total), bounds.called_bicycle)
    yield at_most(rule, "called motorcycle", _share(cyclists, "motorcycle", total), bounds.called_motorcycle)
    of_found = _share(riders, _BICYCLE, found or 0)
    yield at_most(rule, "motorcycles called bicycle", of_found, bounds.motorcycles_called_bicycle)


def _together(gate_input: GateInput, what: str) -> Counter[str] | None:
    """Return answer -> how many two-wheelers over all sets; None when a set does not tell it of all of its own."""
    each: list[TwoWheelers] = [getattr(one, what) for one in gate_input.measured.sets.values()]
    if not each or any(one.called is None for one in each):
        return None
    return sum((Counter(one.called) for one in each), Counter[str]())


def _many(rule: str, what: str, n: int | None, examples: int) -> RuleResult:
    return fact(rule, what, n is not None and n >= examples, f"{'none told' if n is None else n}, at least {examples}")


def _share(answers: Counter[str] | None, what: str, total: int) -> Figure:
    return answers[what] / total if answers is not None and total > 0 else None


def street(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that the vehicles of the rendered street are called what they are, by day and at dusk.

    A policy without bounds does not ask: a city's cameras say more of its detector than a drawing does.
    """
    bounds, found = policy.street, gate_input.measured.street
    if bounds is None:
        yield RuleResult("street", "all", True, "not asked: the policy has no table [street]", left_out=True)
        return
    for light in STREET_LIGHTS:
        one = found.get(light, Street())
        yield at_least("street", f"{light}, vehicles called what they are", one.named, bounds.named)
        yield at_least("street", f"{light}, looks that say so", one.right, bounds.right)


def folds(policy: Policy, gate_input: GateInput) -> Iterator[RuleResult]:
    """Check that the recipe is not worse than the baseline recipe on countries that neither has seen."""
    if why := policy.lacks(FOLDS):
        yield not_part("folds", "all", why)
        return
    if not policy.folds:
        says = f'the policy has no table [folds]: write one, or say why not in benchmark.not_part."{FOLDS}"; {_ANEW}'
        yield fact("folds", "all", False, says)
        return
    found = gate_input.folds
    if found is None:
        yield fact("folds", "table", False, "none: models.folds --collect writes it, `add --folds` takes it")
    else:
        says = f"{found.candidate.name} beside {found.baseline.name}, {found.steps} steps, {len(found.seeds)} seeds"
        yield fact("folds", "table", True, says)
    for label, margin in policy.folds.items():
        pair = (found.mean(found.candidate, label), found.mean(found.baseline, label)) if found else (None, None)
        yield not_worse("folds", f"{label} mean AP50", *pair, margin, "baseline")

"""Apply the rules of the gate. Pure.

A figure that was not measured fails its rule. Making any figure worse never turns a refusal into a promotion, and each
rule alone can refuse; tests/models/registry/test_rules.py holds both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from models.registry import descent, provenance, scores, transfer
from models.registry.gate_input import GateInput
from models.registry.policy import Policy
from models.registry.rule_result import RuleResult, fact

Rule: TypeAlias = Callable[[Policy, GateInput], Iterator[RuleResult]]
"""One rule: it gives a result for each subject that it applies to. Its function name is the rule's name."""

RULES: Final[tuple[Rule, ...]] = (
    provenance.file,
    descent.origin,
    descent.licence,
    descent.attribution,
    descent.unseen,
    provenance.yardstick,
    scores.floors,
    scores.better,
    scores.as_good,
    scores.worse_class,
    scores.worse_slice,
    scores.worse_bicycles,
    scores.worse_counts,
    scores.latency,
    scores.size,
    scores.int8,
    transfer.bicycles,
    transfer.folds,
    transfer.street,
)
FIRST: Final[tuple[Rule, ...]] = (descent.origin, descent.licence, descent.attribution)
"""The rules for the first model of an input size, which replaces nothing."""


def decide(policy: Policy, gate_input: GateInput, rules: tuple[Rule, ...] = RULES) -> list[RuleResult]:
    """Return the gate decision: the results of all rules, in their order. The candidate passes when every result does.

    A rule that finds no subject in the measurements has failed.
    """
    decision: list[RuleResult] = []
    for rule in rules:
        name = rule.__name__.replace("_", " ")
        decision += list(rule(policy, gate_input)) or [fact(name, "all", False, "nothing was measured for this rule")]
    return decision

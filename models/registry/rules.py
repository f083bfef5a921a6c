"""The rules of the gate, and the judgement by all of them. Pure.

What was not measured fails. Making any figure worse never turns a refusal into a promotion, and each rule alone can
refuse: tests/models/registry/test_rules.py holds both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from models.registry import provenance, scores
from models.registry.case import Case
from models.registry.policy import Policy
from models.registry.verdict import Verdict, fact

Rule: TypeAlias = Callable[[Policy, Case], Iterator[Verdict]]

RULES: Final[tuple[Rule, ...]] = (
    provenance.file,
    provenance.origin,
    provenance.licence,
    provenance.unseen,
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
)
FIRST: Final[tuple[Rule, ...]] = (provenance.origin, provenance.licence)
"""What holds for the first model of an input size too, which replaces nothing: where it comes from."""


def judge(policy: Policy, case: Case, rules: tuple[Rule, ...] = RULES) -> list[Verdict]:
    """One verdict a line, in order of the rules. A rule that finds nothing to look at has not been passed."""
    found: list[Verdict] = []
    for rule in rules:
        name = rule.__name__.replace("_", " ")
        found += list(rule(policy, case)) or [fact(name, "all", False, "nothing was measured that it could judge")]
    return found

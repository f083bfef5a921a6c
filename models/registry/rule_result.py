"""Hold one line of a gate decision: a rule, its subject, the figure, the bound and whether it passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from models.registry.figures import Figure

ROUNDING: Final = 1e-9
"""Tolerance of every comparison: in floats 0.73 - 0.76 is a little below -0.03."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule for one subject.

    rule: its name. subject: what it was applied to, such as "luongduc/car AP50". says: figure and bound in words.
    figure, bound: as numbers; bound is None for a rule about a fact, figure is None when it was not measured.
    left_out: the policy's benchmark has nothing for it, and says why; it does not refuse and proves nothing.
    """

    rule: str
    subject: str
    passed: bool
    says: str
    figure: Figure = None
    bound: Figure = None
    left_out: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the result as it stands in the gate record of a manifest."""
        row = {"rule": self.rule, "subject": self.subject, "passed": self.passed, "says": self.says}
        if self.left_out:
            return row | {"left_out": True}
        return row if self.bound is None else row | {"figure": self.figure, "bound": self.bound}


def fact(rule: str, subject: str, passed: bool, says: str) -> RuleResult:
    """Return the result of a rule about a fact, without a figure."""
    return RuleResult(rule, subject, passed, says)


def not_part(rule: str, subject: str, why: str) -> RuleResult:
    """Return the result of what the policy's benchmark has nothing for. why: the policy's reason."""
    return RuleResult(rule, subject, True, f"not part of this benchmark: {why}", left_out=True)


def at_least(rule: str, subject: str, figure: Figure, bound: float, note: str = "") -> RuleResult:
    """Return the result for a figure that must reach the bound. A figure that was not measured fails."""
    passed = figure is not None and figure >= bound - ROUNDING
    return RuleResult(rule, subject, passed, f"{_shown(figure)}, at least {bound:.3f}{note}", figure, bound)


def at_most(rule: str, subject: str, figure: Figure, bound: float, note: str = "") -> RuleResult:
    """Return the result for a figure that must not exceed the bound. A figure that was not measured fails."""
    passed = figure is not None and figure <= bound + ROUNDING
    return RuleResult(rule, subject, passed, f"{_shown(figure)}, at most {bound:.3f}{note}", figure, bound)


def not_worse(
    rule: str, subject: str, candidate: Figure, production: Figure, margin: float, than: str = "production"
) -> RuleResult:
    """Return the result for a figure in 0..1 that may be at most `margin` below production's.

    than: what the other one is, shown. It fails when either figure was not measured.
    """
    change = None if candidate is None or production is None else round(candidate - production, 12)
    return at_least(rule, subject, change, -margin, f" ({_shown(candidate)}, {than} {_shown(production)})")


def _shown(figure: Figure) -> str:
    return "not measured" if figure is None else f"{figure:.3f}"

"""One line of the gate: a rule, what it was applied to, the figure, the bound, and whether it holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from models.registry.figures import Figure

ROUNDING: Final = 1e-9
"""0.73 - 0.76 is a hair below -0.03."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """says: figure and bound in words, for the one line that a person reads."""

    rule: str
    subject: str
    passed: bool
    says: str
    figure: Figure = None
    bound: Figure = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in a manifest's gate record."""
        row = {"rule": self.rule, "subject": self.subject, "passed": self.passed, "says": self.says}
        return row if self.bound is None else row | {"figure": self.figure, "bound": self.bound}


def fact(rule: str, subject: str, passed: bool, says: str) -> Verdict:
    """Something that is so or not, without a figure."""
    return Verdict(rule, subject, passed, says)


def at_least(rule: str, subject: str, figure: Figure, bound: float, note: str = "") -> Verdict:
    """Fails for a figure that was not measured."""
    passed = figure is not None and figure >= bound - ROUNDING
    return Verdict(rule, subject, passed, f"{_shown(figure)}, at least {bound:.3f}{note}", figure, bound)


def at_most(rule: str, subject: str, figure: Figure, bound: float, note: str = "") -> Verdict:
    """Fails for a figure that was not measured."""
    passed = figure is not None and figure <= bound + ROUNDING
    return Verdict(rule, subject, passed, f"{_shown(figure)}, at most {bound:.3f}{note}", figure, bound)


def not_worse(rule: str, subject: str, ours: Figure, theirs: Figure, margin: float) -> Verdict:
    """A share, 0..1, that may fall by `margin` below production's. Fails where either was not measured."""
    change = None if ours is None or theirs is None else round(ours - theirs, 12)
    return at_least(rule, subject, change, -margin, f" ({_shown(ours)}, production {_shown(theirs)})")


def _shown(figure: Figure) -> str:
    return "not measured" if figure is None else f"{figure:.3f}"

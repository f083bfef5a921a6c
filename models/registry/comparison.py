"""How much better a candidate is than the model in production, on the same pictures, beside what chance alone explains.

Read from comparison.json of models/evaluation (edge-app/comparison/1): hashes of both models, and for each figure
"delta", candidate minus production, with "ci", the interval of a paired bootstrap. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.registry.figures import Figure, checked, number, table, text, totals

COMPARISON: Final = "edge-app/comparison/1"


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus production, and the ends of its confidence interval."""

    value: Figure = None
    low: Figure = None
    high: Figure = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """candidate, production: hashes of the two models. differences: by figure, "all/ap50", "luongduc/car/ap50". counts:
    scores of production on the clips, as counted beside the candidate."""

    candidate: str = ""
    production: str = ""
    differences: Mapping[str, Difference] = field(default_factory=dict)
    counts: Mapping[str, Figure] = field(default_factory=dict)


def comparison(content: Any) -> Comparison:
    """The content of a comparison.json. Raises RegistryError when it is none."""
    found = checked(content, COMPARISON)
    differences = {name: _difference(table(row)) for name, row in table(found.get("differences")).items()}
    counts = totals(table(found.get("baseline_counts")))
    return Comparison(text(found.get("candidate")), text(found.get("baseline")), differences, counts)


def _difference(row: Mapping[str, Any]) -> Difference:
    ci = row.get("ci")
    low, high = ci if isinstance(ci, list) and len(ci) == 2 else (None, None)
    return Difference(number(row.get("delta")), number(low), number(high))

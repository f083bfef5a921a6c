"""How much better a candidate is than the model in production, on the same pictures, with what chance alone explains.

Read from comparison.json (edge-app/comparison/1): "candidate" and "baseline", each with the "sha256" of its model, and
at any depth tables with "difference" (candidate minus baseline) and "ci" ([low, high], from a paired bootstrap: both
models on the same resampled pictures). A difference goes by its path in the file, "sets/luongduc/car/ap50". Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from models.registry.figures import Figure, checked, number, table, text

COMPARISON: Final = "edge-app/comparison/1"


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus production, and the ends of its confidence interval."""

    value: Figure = None
    low: Figure = None
    high: Figure = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """candidate, production: hashes of the two models."""

    candidate: str = ""
    production: str = ""
    differences: Mapping[str, Difference] = field(default_factory=dict)


def comparison(content: Any) -> Comparison:
    """The content of a comparison.json. Raises RegistryError when it is none."""
    found = checked(content, COMPARISON)
    candidate, baseline = (text(table(found.get(who)).get("sha256")) for who in ("candidate", "baseline"))
    return Comparison(candidate, baseline, dict(_differences(found, ())))


def _differences(row: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Difference]]:
    if "difference" in row and "ci" in row:
        ends = row["ci"] if isinstance(row["ci"], list) and len(row["ci"]) == 2 else (None, None)
        yield "/".join(path), Difference(number(row["difference"]), number(ends[0]), number(ends[1]))
        return
    for name, part in row.items():
        if isinstance(part, dict):
            yield from _differences(part, (*path, str(name)))

"""Read how much better a candidate is than the model in production, with what chance alone explains. Pure.

The document is comparison.json of models/evaluation (edge-app/comparison/1): the hashes of both models, and for each
figure "delta", candidate minus production on the same pictures, and "ci", the interval of a paired bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.common.schemas import COMPARISON
from models.registry.figures import Figure, number, parse_totals, require_schema, table, text


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus production: the value and both ends of its confidence interval; None for what is missing."""

    value: Figure = None
    low: Figure = None
    high: Figure = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of two models.

    candidate, production: hashes of their files.
    differences: name of a figure ("all/ap50", "luongduc/car/ap50") -> difference.
    counts: counting scores of production on the clips, counted in the same run as the candidate.
    sets: name of a set of pictures that both saw -> its sha256. clips: names of the clips that both counted.
    """

    candidate: str = ""
    production: str = ""
    differences: Mapping[str, Difference] = field(default_factory=dict)
    counts: Mapping[str, Figure] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    clips: tuple[str, ...] = ()


def parse_comparison(content: Any) -> Comparison:
    """Return the comparison in a parsed comparison.json. Raises RegistryError: when the content is another document."""
    found = require_schema(content, COMPARISON)
    differences = {name: _difference(table(row)) for name, row in table(found.get("differences")).items()}
    counts = parse_totals(table(found.get("baseline_counts")))
    clips = found.get("clips")
    return Comparison(
        text(found.get("candidate")),
        text(found.get("baseline")),
        differences,
        counts,
        sets={name: text(sha256) for name, sha256 in table(found.get("sets")).items()},
        clips=tuple(map(text, clips)) if isinstance(clips, list) else (),
    )


def _difference(row: Mapping[str, Any]) -> Difference:
    ci = row.get("ci")
    low, high = ci if isinstance(ci, list) and len(ci) == 2 else (None, None)
    return Difference(number(row.get("delta")), number(low), number(high))

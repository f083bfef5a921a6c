"""Add up counts and measures, and know under which settings they were counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_app.records import DIRECTIONS, Counts, Direction, IntervalCounts, Sums


def zero_counts(classes: Iterable[str]) -> dict[str, dict[Direction, int]]:
    """Return a count of 0 for each class and direction."""
    return {label: dict.fromkeys(DIRECTIONS, 0) for label in classes}


def add_counts(left: Counts, right: Counts) -> dict[str, dict[Direction, int]]:
    """Return the sum of both, with the classes of either."""
    total = {label: dict(directions) for label, directions in left.items()}
    for label, directions in right.items():
        sums = total.setdefault(label, dict.fromkeys(DIRECTIONS, 0))
        for direction, n in directions.items():
            sums[direction] += n
    return total


def add_sums(left: Sums, right: Sums) -> Sums:
    """Return the sum of both, with the names of either; of `most` the maximum."""
    total = dict(left)
    for name, value in right.items():
        before = total.get(name)
        if isinstance(value, Mapping):
            total[name] = add_sums(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(before, int | float):
            total[name] = max(before, value) if name == "most" else before + value
        else:
            total[name] = value
    return total


@dataclass(frozen=True, slots=True)
class Counting:
    """Settings of this run: classes, length of an interval in whole s, hashes of configuration and model.

    measures: line -> what is measured there, as sums of nothing.
    """

    classes: Sequence[str]
    interval_s: float
    config: str = ""
    model: str = ""
    measures: Mapping[str, Sums] = field(default_factory=dict)

    def covers(self, saved: IntervalCounts) -> bool:
        """Return True when the interval can go on in this run. One without a hash is of a release that kept none."""
        return (
            saved.interval_s == self.interval_s
            and saved.config in ("", self.config)
            and saved.model in ("", self.model)
        )

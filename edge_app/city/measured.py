"""Add up what was measured beside the counts: speeds by hour and direction, and turning flows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_app.measures.speed_sums import percentile
from edge_app.records import DIRECTIONS


@dataclass(slots=True)
class Speeds:
    """Speeds of all classes in one direction. bins: lower edge, km/h -> vehicles."""

    n: int = 0
    unmeasured: int = 0
    total: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)

    @property
    def mean(self) -> float | None:
        """Time mean, km/h."""
        return round(self.total / self.n, 1) if self.n else None

    @property
    def percentile_85(self) -> float | None:
        """Speed that 85 of 100 vehicles do not exceed, km/h."""
        return round(percentile(self.bins, 0.85), 1) if self.n else None

    def add(self, fields: Mapping[str, Any]) -> None:
        """Take the sums of one class in one interval, as a message has them."""
        self.n += fields["n"]
        self.unmeasured += fields["unmeasured"]
        self.total += fields["sum"]
        self.bins.update({int(edge): n for edge, n in fields["bins"].items()})


def add_speeds(contents: Iterable[tuple[Mapping[str, Any], bool]]) -> dict[str, Speeds]:
    """Return direction -> speeds. contents: measures of intervals, and whether their line is turned at the site."""
    sums: dict[str, Speeds] = {direction: Speeds() for direction in DIRECTIONS}
    for content, turned in contents:
        for label in content.get("speed", {}).values():
            for at, direction in enumerate(DIRECTIONS):
                if fields := label.get(DIRECTIONS[at ^ turned]):
                    sums[direction].add(fields)
    return sums


def add_flows(contents: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, int]]:
    """Return (from, to, class, vehicles), sorted. contents: those of messages on `flows`."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for content in contents:
        sums.update({(origin, to, label): n for origin, to, label, n in _leaves(content)})
    return [(*way, n) for way, n in sorted(sums.items())]


def _leaves(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    for origin, exits in content.get("flows", {}).items():
        for to, by_class in exits.items():
            for label, n in by_class.items():
                yield origin, to, label, n

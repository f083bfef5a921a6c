"""Read figures out of the sums of an interval. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge_app.records import DIRECTIONS, Direction, IntervalCounts, Sums


def mean_speeds(interval: IntervalCounts) -> Iterator[tuple[Direction, float]]:
    """Yield each direction in which speeds were measured, with their mean, km/h."""
    by_class = below(interval.measures, "speed")
    for direction in DIRECTIONS:
        sums = [below(by_class, label, direction) for label in by_class]
        number = sum(leaf(one, "n") for one in sums)
        if number:
            yield direction, sum(leaf(one, "sum") for one in sums) / number


def below(sums: Sums, *names: str) -> Sums:
    """Return the sums under these names; none where there are none."""
    for name in names:
        inner = sums.get(name)
        sums = inner if isinstance(inner, Mapping) else {}
    return sums


def leaf(sums: Sums, name: str) -> float:
    """Return one sum; 0 where there is none."""
    value = sums.get(name, 0.0)
    return value if isinstance(value, int | float) else 0.0

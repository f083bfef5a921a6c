"""Add up the crossings of a run, for tables, pictures and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_app.records import DIRECTIONS, Crossing, Direction, Line


class RunningTotals:
    """Vehicles counted since the start, by line, class and direction. One thread adds, any thread may read.

    lines, classes: listed from the start, with zeros; others are added at their first crossing.
    """

    def __init__(self, lines: Sequence[Line] = (), classes: Sequence[str] = ()) -> None:
        self.by_line: dict[str, dict[str, dict[Direction, int]]] = {
            line.id: {label: dict.fromkeys(DIRECTIONS, 0) for label in classes} for line in lines
        }

    def add(self, crossings: Iterable[Crossing]) -> None:
        """Add these crossings to the totals."""
        for crossing in crossings:
            by_class = self.by_line.setdefault(crossing.line, {})
            by_class.setdefault(crossing.label, dict.fromkeys(DIRECTIONS, 0))[crossing.direction] += 1

    def count(self, line: str, label: str, direction: Direction) -> int:
        """Return how many vehicles of this class crossed this line in this direction."""
        return self.by_line.get(line, {}).get(label, {}).get(direction, 0)

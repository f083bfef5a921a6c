"""Spans of time that may come in any order and overlap, and how long they are together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

_ALIKE_S: Final = 1e-9
"""Gap, s, that is an error of rounding."""


class Spans:
    """The union of spans of time, s: apart, and in order."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def __len__(self) -> int:
        """Return the number of spans that lie apart."""
        return len(self._starts)

    def add(self, start: float, end: float) -> None:
        """Take a span; an empty one is left out."""
        if end <= start:
            return
        first = bisect_left(self._ends, start - _ALIKE_S)
        last = bisect_right(self._starts, end + _ALIKE_S)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]

    def take(self, until: float) -> Spans:
        """Return what lies before a time, and forget it."""
        taken, kept = Spans(), Spans()
        for start, end in zip(self._starts, self._ends, strict=True):
            taken.add(start, min(end, until))
            kept.add(max(start, until), end)
        self._starts, self._ends = kept._starts, kept._ends
        return taken

    def total(self) -> float:
        """Return the time, s, of all of them."""
        return sum(self._ends) - sum(self._starts)

    def common(self, other: Spans) -> float:
        """Return the time, s, that lies in both."""
        found, mine, theirs = 0.0, 0, 0
        while mine < len(self) and theirs < len(other):
            start = max(self._starts[mine], other._starts[theirs])
            end = min(self._ends[mine], other._ends[theirs])
            found += max(0.0, end - start)
            if self._ends[mine] < other._ends[theirs]:
                mine += 1
            else:
                theirs += 1
        return found

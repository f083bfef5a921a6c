"""Keep which numbers of a series have come, and hold their sums to the totals. Pure: no clock, no I/O.

A series is a line under one installation, whose intervals are numbered from 1 without gaps. Of each unbroken range the
totals before its first and after its last interval are kept: within it every sum has been checked already, so each
interval is checked once whenever it comes, and nothing of the past is read again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import sub

from edge_app.city.records import NONE, Vector, added


@dataclass(slots=True)
class Range:
    """Numbers `first` to `last`, all here. before, after: totals before the first and after the last."""

    first: int
    last: int
    before: Vector
    after: Vector


class Numbers:
    """Numbers of one series that have come."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self.ranges = list(ranges)

    def __contains__(self, seq: int) -> bool:
        at = self._left_of(seq)
        return at >= 0 and seq <= self.ranges[at].last

    @property
    def newest(self) -> int:
        """The highest number, 0 without any."""
        return self.ranges[-1].last if self.ranges else 0

    def add(self, seq: int, counts: Vector, totals: Vector) -> bool:
        """Add a number that is not here yet; return whether its totals fit to its neighbours and its counts.

        They fit where totals never fall, and rise from one number to the next by exactly the counts.
        """
        at = self._left_of(seq)
        left = self.ranges[at] if at >= 0 else None
        right = self.ranges[at + 1] if at + 1 < len(self.ranges) else None
        before = tuple(map(sub, totals, counts))
        fits = self._follows(left, seq, before) and self._precedes(right, seq, totals)
        joins_left, joins_right = (
            left is not None and left.last == seq - 1,
            right is not None and right.first == seq + 1,
        )
        new = Range(seq, seq, before, totals)
        if joins_left and left is not None:
            new = Range(left.first, seq, left.before, totals)
        if joins_right and right is not None:
            new = Range(new.first, right.last, new.before, right.after)
        low = at if joins_left else at + 1
        self.ranges[low : at + 1 + joins_right] = [new]
        return fits

    def gaps(self, newest: int = 0, gone: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[int, int]]:
        """Yield what is missing, as first and last number.

        newest: the highest number that the device has told of. gone: ranges that will never come.
        """
        known = sorted([*((r.first, r.last) for r in self.ranges), *gone, (newest + 1, newest)])
        reached = 0
        for first, last in known:
            if first > reached + 1:
                yield reached + 1, first - 1
            reached = max(reached, last)

    def _left_of(self, seq: int) -> int:
        return bisect_right(self.ranges, seq, key=lambda r: r.first) - 1

    @staticmethod
    def _follows(left: Range | None, seq: int, before: Vector) -> bool:
        if left is None:
            return before == NONE if seq == 1 else min(before) >= 0
        if left.last == seq - 1:
            return before == left.after
        return all(a <= b for a, b in zip(left.after, before, strict=True))

    @staticmethod
    def _precedes(right: Range | None, seq: int, totals: Vector) -> bool:
        if right is None:
            return True
        if right.first == seq + 1:
            return totals == right.before
        return all(a <= b for a, b in zip(totals, right.before, strict=True))


def sum_of(ranges: Iterable[Range]) -> Vector:
    """Return the vehicles of all ranges, as their totals tell them."""
    total = NONE
    for r in ranges:
        total = added(total, tuple(after - before for before, after in zip(r.before, r.after, strict=True)))
    return total

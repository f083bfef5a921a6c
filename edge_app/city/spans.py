"""Keep which time has been told, as few spans as possible. Pure: no clock, no I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class Spans:
    """Union of spans of time [start, end), whole seconds."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self.spans = list(spans)

    def add(self, start: int, end: int) -> bool:
        """Add a span; return whether some of it was there already. Raises ValueError: for an empty one."""
        if start >= end:
            raise ValueError(f"A span must end after it begins, not {start} to {end}")
        low = bisect_left(self.spans, start, key=lambda span: span[1])
        high = bisect_right(self.spans, end, key=lambda span: span[0])
        touched = self.spans[low:high]
        overlaps = any(first < end and last > start for first, last in touched)
        if touched:
            start, end = min(start, touched[0][0]), max(end, touched[-1][1])
        self.spans[low:high] = [(start, end)]
        return overlaps

"""Tell how much of each step's own time was seen, and which rate each quarter of an hour has. Pure: no clock, no I/O.

An interval is never split: its vehicles count in the step in which it begins. But what it has seen is seen of the steps
into which it reaches, too, and in a quarter in which none begins as many came an hour as in the interval that reaches
over it: nothing nearer is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from edge_app.city.sums import QUARTER_S


class Summed(Protocol):
    """Sum of the intervals that begin in a step.

    length_s: of them. covered_s: of that, in which no vehicle could pass unseen. straddling_s: of that, beyond the end
    of the step, in its last interval.
    """

    @property
    def start(self) -> int: ...
    @property
    def length_s(self) -> int: ...
    @property
    def covered_s(self) -> float: ...
    @property
    def straddling_s(self) -> int: ...


_S = TypeVar("_S", bound=Summed)
_S_co = TypeVar("_S_co", bound=Summed, covariant=True)


@dataclass(frozen=True, slots=True)
class Stretch(Generic[_S_co]):
    """A quarter of an hour of a curve. seen_s: of its own time. sum: of the intervals whose rate it has."""

    start: int
    seen_s: float
    sum: _S_co


def within_s(one: Summed) -> float:
    """Return the seconds seen of a step's own time, by the intervals that begin in it.

    All of them are taken as equally well seen: which of them was not is not kept. It is exact for intervals longer than
    a step, which are alone in theirs.
    """
    return one.covered_s * (1 - one.straddling_s / one.length_s) if one.length_s else 0.0


def reaching_s(sums: Iterable[tuple[Summed, int]], spans: Sequence[tuple[int, int]]) -> list[float]:
    """Return the seconds seen of some spans by intervals that begin before them.

    sums: each with the end of its step. spans: begin and end of each, by time, UTC s.
    """
    begins, found = [begin for begin, _ in spans], [0.0] * len(spans)
    for one, end in sums:
        if not one.straddling_s:
            continue
        last, seen = end + one.straddling_s, one.covered_s / one.length_s
        for at in range(max(0, bisect_right(begins, end) - 1), bisect_right(begins, last - 1)):
            begin, finish = spans[at]
            found[at] += seen * max(0, min(last, finish) - max(end, begin))
    return found


def stretches(quarters: Sequence[_S], begin: int, end: int) -> list[Stretch[_S]]:
    """Return the quarters that begin in [begin, end), UTC s, and of which an interval tells.

    quarters: by time, also those before whose intervals reach so far.
    """
    spans = [(at, at + QUARTER_S) for at in range(-(-begin // QUARTER_S) * QUARTER_S, end, QUARTER_S)]
    reached = reaching_s(((one, one.start + QUARTER_S) for one in quarters), spans)
    own = {one.start: one for one in quarters}
    newest = next((one for one in reversed(quarters) if one.start < begin), None)
    found = list[Stretch[_S]]()
    for (start, stop), seen_s in zip(spans, reached, strict=True):
        newest = own.get(start, newest)
        if newest is None or newest.start + QUARTER_S + newest.straddling_s <= start:
            continue
        seen_s += within_s(newest) if newest.start == start else 0.0
        found.append(Stretch(start, min(seen_s, stop - start), newest))
    return found

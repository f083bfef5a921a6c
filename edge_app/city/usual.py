"""Make the usual day of a street of like days before it, by the time that clocks show. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from edge_app.city.calendar import clock_second
from edge_app.city.reach import Stretch, Summed
from edge_app.city.sums import QUARTER_S

SEEN: Final = 0.5
"""Share of a quarter that must have been seen for its rate to be told, and of a step for an estimate."""
NEARLY_WHOLE: Final = 0.95
"""Share of a quarter that must have been seen to say what is usual."""


class Counted(Summed, Protocol):
    """Sum of the intervals that begin in a step, with the vehicles of all classes and both directions."""

    @property
    def vehicles(self) -> int: ...


def is_seen(one: Stretch[Counted], least: float = SEEN) -> bool:
    """Return whether enough of a quarter was seen. least: share of it."""
    return one.sum.covered_s > 0 and one.seen_s >= least * QUARTER_S


def vehicles_of(one: Stretch[Counted]) -> float:
    """Return vehicles in a quarter of an hour: what was not seen counts as what was."""
    return one.sum.vehicles * QUARTER_S / one.sum.covered_s


def clock_day(day: Iterable[Stretch[Counted]], tz: ZoneInfo, least: float = SEEN) -> dict[int, float]:
    """Return second of the day by the clock -> vehicles in the quarter that begins there.

    least: share that must have been seen of a quarter. One that is there twice, where clocks are set back, is one of
    both together.
    """
    found, unseen = dict[int, tuple[int, float]](), set[int]()
    for one in day:
        second = clock_second(one.start, tz)
        if is_seen(one, least):
            many, seen_s = found.get(second, (0, 0.0))
            found[second] = many + one.sum.vehicles, seen_s + one.sum.covered_s
        else:
            unseen.add(second)
    return {
        second: many * QUARTER_S / seen_s for second, (many, seen_s) in sorted(found.items()) if second not in unseen
    }


def usual_day(days: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Return the median of vehicles by second of the day. days: like days before, as `clock_day` returns them."""
    by_second: dict[int, list[float]] = defaultdict(list)
    for day in days:
        for second, many in day.items():
            by_second[second].append(many)
    return {second: float(median(values)) for second, values in sorted(by_second.items())}

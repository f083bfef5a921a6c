"""Received counts beside the truth of a rendered street, over exactly the same closed intervals. Pure.

The first interval has begun before the first frame, and the last is still open at the end: neither is compared. What
remains unfair is a vehicle whose centre passes the line within a moment of the first or the last border.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edge_app.console import terminal
from edge_app.mqtt.messages import CountsMessage
from edge_app.records import DIRECTIONS, Crossing, Direction, Line
from edge_app.storage.intervals import add_counts, zero_counts

if TYPE_CHECKING:
    from edge_app.sources.street.street import Street

Figures: TypeAlias = dict[str, dict[Direction, int]]
"""class -> direction -> n."""

_SEEN: Final = 0.98


@dataclass(frozen=True, slots=True)
class Span:
    """Whole intervals, one after the other: UTC s."""

    start: float
    end: float

    @classmethod
    def of(cls, first_frame: float, seconds: float, interval_s: float) -> Span:
        """From the first interval that begins after the first frame to the one that runs `seconds` after it."""
        start = math.ceil(first_frame / interval_s) * interval_s
        end = math.ceil((first_frame + seconds) / interval_s) * interval_s
        return cls(start, max(start + interval_s, end))

    def holds(self, counts: CountsMessage) -> bool:
        return self.start <= counts.start.timestamp() and counts.end.timestamp() <= self.end


def report(
    received: Sequence[CountsMessage], span: Span | None, lines: Sequence[Line], street: Street | None
) -> Iterator[RenderableType]:
    """All that is to be said at the end, one part after the other; without a street there is no truth."""
    intervals = [counts for counts in received if span and span.holds(counts)] if street else received
    if not intervals:
        yield "\nStopped before a whole interval had been received: there is nothing to show."
        return
    yield f"\n{compared(intervals)}\n" if street else ""
    for line in lines:
        got = counted(counts for counts in intervals if counts.line == line.id)
        if street:
            since, until = (at - street.start_at for at in ends(intervals))
            true = passed(street.truth(until, since=since, line=line), got)
            yield from (beside(line, got, true), f"\n{sentence(got, true)}")
        else:
            yield terminal.counts_table(line.id, got, list(ways(line).values()))
    if not street:
        yield "\nThat is what was received. What really passed is not known of a video, so nothing is compared."


def ends(intervals: Sequence[CountsMessage]) -> tuple[float, float]:
    """Where the first of them begins and the last ends, UTC s."""
    return min(i.start for i in intervals).timestamp(), max(i.end for i in intervals).timestamp()


def compared(intervals: Sequence[CountsMessage]) -> str:
    """Which intervals these are, in words, and whether the road was really looked at all the time."""
    start, end = min(i.start for i in intervals), max(i.end for i in intervals)
    coverage = sum(i.coverage for i in intervals) / len(intervals)
    busy = "" if coverage >= _SEEN else f" For {1 - coverage:.0%} of that time no frame was processed."
    return f"The whole intervals that were received, {start:%H:%M:%S} to {end:%H:%M:%S} UTC, beside the truth.{busy}"


def counted(intervals: Iterable[CountsMessage]) -> Figures:
    """The sum of the intervals, which must be different ones of one line."""
    sums: Figures = {}
    for interval in intervals:
        for label, ways in interval.counts.items():
            both: dict[Direction, int] = dict(zip(DIRECTIONS, (ways.left_to_right, ways.right_to_left), strict=True))
            sums = add_counts(sums, {label: both})
    return sums


def passed(crossings: Iterable[Crossing], classes: Iterable[str]) -> Figures:
    """What really happened, in the shape of counts."""
    sums = zero_counts(classes)
    for crossing in crossings:
        sums = add_counts(sums, {crossing.label: {crossing.direction: 1}})
    return sums


def ways(line: Line) -> dict[Direction, str]:
    """What the two directions of a line are called."""
    return {"left_to_right": "left to right", "right_to_left": "right to left", **line.names}


def beside(line: Line, got: Figures, true: Figures) -> Table:
    """Class by class and direction by direction: counted, true and the difference."""
    heads = [head for name in ways(line).values() for head in (f"{name}\ncounted", "\ntrue", "\ndiff")]
    table = terminal.table("\nclass", *heads, title=f"line {line.id}")
    for label in true:
        table.add_row(label, *_row([got[label]], [true[label]]))
    table.add_row("all", *_row(list(got.values()), list(true.values())), style="bold")
    return table


def sentence(got: Figures, true: Figures) -> str:
    """The outcome in words."""
    off = sum(abs(got[label][way] - true[label][way]) for label in true for way in DIRECTIONS)
    agreement = "every figure agrees" if not off else f"the figures differ by {off} in all"
    return f"{_all(true)} vehicles passed, {_all(got)} were counted: {agreement}."


def _row(got: Sequence[Mapping[Direction, int]], true: Sequence[Mapping[Direction, int]]) -> list[Text]:
    cells = []
    for way in DIRECTIONS:
        n, m = sum(by[way] for by in got), sum(by[way] for by in true)
        cells += [Text(str(n)), Text(str(m)), Text(f"{n - m:+d}" if n != m else "0", "yellow" if n != m else "green")]
    return cells


def _all(figures: Figures) -> int:
    return sum(sum(by.values()) for by in figures.values())

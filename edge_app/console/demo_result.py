"""Compare the counts that a subscriber received with the truth of a rendered street. Pure.

Both cover exactly the same closed intervals. The first interval began before the first frame, and the last is still
open at the end: neither is compared. A vehicle whose centre passes the line within a moment of the first or the last
border may still be counted on one side only.
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
from edge_app.mqtt.count_messages import CountsMessage
from edge_app.records import DIRECTIONS, Crossing, Direction, Line
from edge_app.storage.counts import add_counts, zero_counts

if TYPE_CHECKING:
    from edge_app.sources.street.street import Street

Figures: TypeAlias = dict[str, dict[Direction, int]]
"""class -> direction -> number."""

_FULL_COVERAGE: Final = 0.98
"""Below this mean coverage the result says for how much of the time no frame was processed."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time of whole intervals: UTC s, both multiples of the interval's length."""

    start: float
    end: float

    @classmethod
    def of(cls, first_frame: float, seconds: float, interval_s: float) -> Span:
        """Return the time from the first interval after the first frame to the one that runs `seconds` after it.

        first_frame: UTC s.
        """
        start = math.ceil(first_frame / interval_s) * interval_s
        end = math.ceil((first_frame + seconds) / interval_s) * interval_s
        return cls(start, max(start + interval_s, end))

    def contains(self, counts: CountsMessage) -> bool:
        """Return whether an interval lies wholly within."""
        return self.start <= counts.start.timestamp() and counts.end.timestamp() <= self.end


def report(
    received: Sequence[CountsMessage], span: Span | None, lines: Sequence[Line], street: Street | None
) -> Iterator[RenderableType]:
    """Yield the parts of the result: a comparison for a rendered street, the sums for a video, which has no truth.

    received: every interval once. span: the intervals to compare, None when no frame came. street: None for a video.
    """
    intervals = [counts for counts in received if span and span.contains(counts)] if street else received
    if not intervals:
        yield "\nStopped before a whole interval had been received: there is nothing to show."
        return
    yield f"\n{describe(intervals)}\n" if street else ""
    for line in lines:
        counted = sum_counts(counts for counts in intervals if counts.line == line.id)
        if street:
            since, until = (at - street.start_at for at in extent(intervals))
            true = sum_crossings(street.truth(until, since=since, line=line), counted)
            yield from (comparison_table(line, counted, true), f"\n{summary(counted, true)}")
        else:
            yield terminal.counts_table(line.id, counted, list(terminal.direction_names(line).values()))
    if not street:
        yield "\nThese are the received counts. A video has no known truth to compare them with."


def extent(intervals: Sequence[CountsMessage]) -> tuple[float, float]:
    """Return the start of the first interval and the end of the last, UTC s."""
    return min(i.start for i in intervals).timestamp(), max(i.end for i in intervals).timestamp()


def describe(intervals: Sequence[CountsMessage]) -> str:
    """Say which intervals are compared, and for how much of the time no frame was processed."""
    start, end = min(i.start for i in intervals), max(i.end for i in intervals)
    coverage = sum(i.coverage for i in intervals) / len(intervals)
    gap = (
        "" if coverage >= _FULL_COVERAGE else f" For {100 * (1 - coverage):.0f} % of that time no frame was processed."
    )
    return f"Compared with the truth: the whole intervals received, {start:%H:%M:%S} to {end:%H:%M:%S} UTC.{gap}"


def sum_counts(intervals: Iterable[CountsMessage]) -> Figures:
    """Return the sum of intervals, which must be different ones of one line."""
    sums: Figures = {}
    for interval in intervals:
        for label, n in interval.counts.items():
            both: dict[Direction, int] = dict(zip(DIRECTIONS, (n.left_to_right, n.right_to_left), strict=True))
            sums = add_counts(sums, {label: both})
    return sums


def sum_crossings(crossings: Iterable[Crossing], classes: Iterable[str]) -> Figures:
    """Return the number of crossings of each class and direction."""
    sums = zero_counts(classes)
    for crossing in crossings:
        sums = add_counts(sums, {crossing.label: {crossing.direction: 1}})
    return sums


def comparison_table(line: Line, counted: Figures, true: Figures) -> Table:
    """Return a table of counted, true and difference for each class and direction."""
    names = terminal.direction_names(line).values()
    heads = [head for name in names for head in (f"{name}\ncounted", "\ntrue", "\ndiff")]
    table = terminal.table("\nclass", *heads, title=f"line {line.id}")
    for label in true:
        table.add_row(label, *_cells([counted[label]], [true[label]]))
    table.add_row("all", *_cells(list(counted.values()), list(true.values())), style="bold")
    return table


def summary(counted: Figures, true: Figures) -> str:
    """Say in one sentence how well the counts agree with the truth."""
    off = sum(abs(counted[label][direction] - true[label][direction]) for label in true for direction in DIRECTIONS)
    agreement = "every figure agrees" if not off else f"the figures differ by {off} in all"
    return f"{_total(true)} vehicles passed, {_total(counted)} were counted: {agreement}."


def _cells(counted: Sequence[Mapping[Direction, int]], true: Sequence[Mapping[Direction, int]]) -> list[Text]:
    cells = []
    for direction in DIRECTIONS:
        n, m = sum(by[direction] for by in counted), sum(by[direction] for by in true)
        cells += [Text(str(n)), Text(str(m)), Text(f"{n - m:+d}" if n != m else "0", "yellow" if n != m else "green")]
    return cells


def _total(figures: Figures) -> int:
    return sum(sum(by.values()) for by in figures.values())

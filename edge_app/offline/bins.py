"""Sum the crossings of a recording up in bins of equal length, as traffic engineers report them. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from edge_app.records import DIRECTIONS, Crossing, Line

MINUTES = (1, 5, 15, 60)
"""Lengths of a bin that divide an hour as counting programmes do."""
_LEAST_S = 1e-6
"""Less is an error of rounding at the edge of a bin."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
HEADER = ("start", "end", "line", "direction", "class", "count", "covered_s")


class Bins:
    """Bins of a recording: on the grid of the local clock where the time of its first frame is known.

    minutes: length of a bin. start: time of day of the first frame with its offset from UTC; None counts seconds from
    the first frame. longest_gap_s: a longer time between two frames is not covered.
    """

    def __init__(self, minutes: int, start: datetime | None, longest_gap_s: float) -> None:
        self._length_s, self._longest_gap_s = minutes * 60, longest_gap_s
        self._midnight = start.replace(hour=0, minute=0, second=0, microsecond=0) if start else None
        self._offset_s = (start - self._midnight).total_seconds() if start and self._midnight else 0.0
        self._covered_s: defaultdict[int, float] = defaultdict(float)
        self._last_s: float | None = None
        self._end_s = 0.0

    def observe(self, at: float) -> None:
        """Take the time of the next frame, s from the first one."""
        last, self._last_s, self._end_s = self._last_s, at, at
        if last is not None and at - last <= self._longest_gap_s:
            self._cover(last, at)

    @property
    def seen_s(self) -> float:
        """Time of the end of what was taken so far, s from the first frame."""
        return self._end_s

    def finish(self, step_s: float) -> None:
        """Cover the last frame, which lasts `step_s` s."""
        if self._last_s is not None:
            self._cover(self._last_s, self._last_s + step_s)
            self._end_s = self._last_s + step_s

    def _cover(self, begin: float, end: float) -> None:
        first, last = self.number(begin), self.number(end)
        for number in range(first, last + 1):
            bin_start = number * self._length_s - self._offset_s
            covered = min(end, bin_start + self._length_s) - max(begin, bin_start)
            if covered > _LEAST_S:
                self._covered_s[number] += covered

    def number(self, at: float) -> int:
        """Return the number of the bin that contains a time, s from the first frame."""
        return math.floor((at + self._offset_s) / self._length_s)

    def spans(self) -> Iterator[tuple[int, float, str, str]]:
        """Yield number, end in s from the first frame, and the texts of start and end of each bin, gaps included."""
        for number in range(min(self._covered_s), max(self._covered_s) + 1) if self._covered_s else ():
            yield number, (number + 1) * self._length_s - self._offset_s, self._text(number), self._text(number + 1)

    def rows(
        self, crossings: Iterable[Crossing], lines: Sequence[Line], classes: Sequence[str]
    ) -> Iterator[tuple[str, str, str, str, str, int, float]]:
        """Yield a row of HEADER for each bin, line, direction and class, zeros included."""
        counts = Counter((self.number(c.at), c.line, c.direction, c.label) for c in crossings)
        numbers = [*self._covered_s, *(key[0] for key in counts)]
        for number in range(min(numbers), max(numbers) + 1) if numbers else ():
            covered = round(min(self._covered_s.get(number, 0.0), self._length_s), 1)
            bounds = self._text(number), self._text(number + 1)
            for line in lines:
                for direction in DIRECTIONS:
                    shown = line.names.get(direction, direction)
                    for label in classes:
                        yield *bounds, line.id, shown, label, counts[number, line.id, direction, label], covered

    def _text(self, number: int) -> str:
        seconds = number * self._length_s
        return str(seconds) if self._midnight is None else (self._midnight + timedelta(seconds=seconds)).isoformat()


def csv_text(rows: Iterable[Sequence[str | int | float]], header: Sequence[str] = HEADER) -> str:
    """Return rows as CSV by RFC 4180 with the header as the first line.

    A text that a spreadsheet would take for a formula begins with an apostrophe: people choose the names of directions.
    Source: OWASP, CSV injection.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def csv_parts(parts: Iterable[Iterable[Sequence[str | int | float]]], header: Sequence[str]) -> Iterator[str]:
    """Yield the same text in parts, for rows that do not fit into memory together."""
    yield csv_text([], header)
    for part in parts:
        yield csv_text(part, header).partition("\r\n")[2]


def _plain(cell: str | int | float) -> str | int | float:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell

"""Choose the widths of a table of counts for the width of the terminal, so that no figure and no note is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table

from edge_app.mqtt.count_messages import DirectionCounts
from edge_app.records import DIRECTIONS
from edge_app.system.names import clean

_Table: TypeAlias = Mapping[str, DirectionCounts]

SIGNS: Final = dict(zip(DIRECTIONS, (">", "<"), strict=True))
"""Signs for left to right and right to left across a line, where names do not fit."""

_LINE_WIDTH, _LEAST_LINE_WIDTH, _TIME_WIDTH, _COVER_WIDTH = 12, 6, 8, 5
_DIGITS: Final = 3
"""Digits for which a column has room where the terminal is wide enough, so that it does not jump."""
_NOTE_WIDTHS: Final = (14, 8)
"""Width of the notes: the longest flag, and where that does not fit, a flag in two parts."""
_LABEL_WIDTHS: Final = (99, 5, 3)
_LEAST_CLASS_WIDTH: Final = 4
"""Two figures of one digit, and the space between them and behind them."""


class Fitted:
    """Shows what a function makes for the width, in columns, of the terminal on which it is shown."""

    def __init__(self, make: Callable[[int], RenderableType]) -> None:
        self._make = make

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield self._make(options.max_width)


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of the columns of one table.

    line: of the column with the names of lines, 0 without one. digits, labels: class -> digits of its largest figure,
    and width of its name. left_out: number of classes that do not fit at all.
    """

    line: int
    digits: Mapping[str, int]
    labels: Mapping[str, int]
    left_out: int = 0

    @property
    def classes(self) -> Sequence[str]:
        return tuple(self.digits)

    def table(self, *, show_header: bool = True) -> Table:
        """Return an empty table: line, time, classes, coverage, notes."""
        made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=show_header)
        if self.line:
            made.add_column("\nline", width=self.line, no_wrap=True, overflow="ellipsis")
        made.add_column("\nfrom UTC", width=_TIME_WIDTH, no_wrap=True)
        for label in self.classes:
            header = f"{shortened(clean(label), self._width(label))}\n{self._pair(label, *SIGNS.values())}"
            made.add_column(header, justify="right", width=self._width(label), no_wrap=True)
        made.add_column("\ncover", justify="right", width=_COVER_WIDTH, no_wrap=True)
        more = f"and {self.left_out} class{'es' * (self.left_out > 1)}" if self.left_out else ""
        made.add_column(f"{more}\nnotes", overflow="fold")
        return made

    def cell(self, label: str, counts: DirectionCounts | None) -> str:
        """Return the figures of a class, "-" where it is not counted."""
        return self._pair(label, str(counts.left_to_right), str(counts.right_to_left)) if counts else "-"

    def notes_width(self, room: int) -> int:
        """Return what is left for the notes of `room` columns."""
        widths = [_TIME_WIDTH, _COVER_WIDTH, *([self.line] if self.line else []), *map(self._width, self.classes)]
        return room - sum(width + 1 for width in widths)

    def _width(self, label: str) -> int:
        return max(2 * self.digits[label] + 1, self.labels[label])

    def _pair(self, label: str, *both: str) -> str:
        return " ".join(f"{text:>{self.digits[label]}}" for text in both)


def columns(room: int, classes: Sequence[str], figures: Iterable[_Table], lines: Iterable[str] = ()) -> Columns:
    """Return the widest columns that fit: names of classes become shorter first, then the column of the lines.

    room: columns of the terminal. figures: class -> figures, of every row. lines: names of the lines, where the table
    has a column for them. In a terminal too narrow even for that, the last classes are left out and told.
    """
    largest = _largest(classes, figures)
    names = [len(name) for name in lines]
    short = min(_LINE_WIDTH, max(4, *names)) if names else 0
    for notes, line, (label, digits) in product(
        _NOTE_WIDTHS,
        dict.fromkeys((_LINE_WIDTH if names else 0, short)),
        zip(_LABEL_WIDTHS, (_DIGITS, 1, 1), strict=True),
    ):
        made = Columns(
            line,
            {name: max(digits, largest[name]) for name in classes},
            {name: min(label, len(clean(name))) for name in classes},
        )
        if made.notes_width(room) >= notes:
            return made
    return _with_fewer_classes(room, made)


def _largest(classes: Sequence[str], figures: Iterable[_Table]) -> dict[str, int]:
    """Return class -> digits of its largest figure."""
    digits = dict.fromkeys(classes, 1)
    for label, found in (pair for counts in figures for pair in counts.items()):
        if label in digits:
            digits[label] = max(digits[label], len(str(found.left_to_right)), len(str(found.right_to_left)))
    return digits


def _with_fewer_classes(room: int, narrow: Columns) -> Columns:
    made, fit = narrow, room // _LEAST_CLASS_WIDTH  # no more of them fit, however many a message names
    for left_out in range(max(0, len(narrow.classes) - max(1, fit)), len(narrow.classes)):
        kept = narrow.classes[: len(narrow.classes) - left_out]
        made = Columns(
            min(narrow.line, _LEAST_LINE_WIDTH),
            {name: narrow.digits[name] for name in kept},
            {name: narrow.labels[name] for name in kept},
            left_out,
        )
        if made.notes_width(room) >= _NOTE_WIDTHS[-1]:
            break
    return made


def shortened(text: str, width: int) -> str:
    """Return a text of at most `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"

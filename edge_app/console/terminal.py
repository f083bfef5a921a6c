"""Print the output of commands: tables of 80 columns, progress bars, colours only on a terminal.

Every text is shown as it is: names of files, lines, directions and classes may hold brackets, colons or anything else
that rich would take for a command of its own, and control characters that the terminal would take for one of its.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from rich.console import Console, JustifyMethod, OverflowMethod
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.style import Style
from rich.table import Table
from rich.text import Text

from edge_app.records import DIRECTIONS, Counts, Direction, Line
from edge_app.system.names import clean
from edge_app.system.redaction import redacted

_LEVELS = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}
WIDTH = 80
"""Columns of everything that is not printed on a terminal."""


class PlainConsole(Console):
    """Console that takes no text for a command; styles are given beside the text, never within it."""

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        emoji: bool | None = None,  # noqa: ARG002  # as the base class has it
        markup: bool | None = None,  # noqa: ARG002
        highlight: bool | None = None,  # noqa: ARG002
        highlighter: Callable[[str | Text], Text] | None = None,  # noqa: ARG002
    ) -> Text:
        """Return any text that is to be printed, a cell of a table or a title included, as it is."""
        return Text(clean(text, keep="\n"), style=style, justify=justify, overflow=overflow)


def stdout() -> Console:
    """Return the console for results; a pipe gets no escape codes and lines of WIDTH columns."""
    return PlainConsole(width=WIDTH if not sys.stdout.isatty() else None, highlight=False)


def stderr() -> Console:
    """Return the console for diagnostics."""
    return PlainConsole(stderr=True, width=WIDTH if not sys.stderr.isatty() else None, highlight=False)


def finding_text(level: Literal["ok", "warn", "FAIL"], what: str, sentence: str) -> Text:
    """Return one line of a check, wrapped and without secrets. what: the part that was checked."""
    text = clean(redacted(f"{what}: {sentence}"))
    lines = textwrap.wrap(text, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return Text.assemble((f"{level:<6}", _LEVELS[level]), "\n      ".join(lines))


class Bar:
    """A progress bar of one task on stderr; shows nothing when stderr is no terminal."""

    def __init__(self, progress: Progress, task: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(clean(task), total=total or None, note="")

    def forward(self, note: str = "") -> None:
        """Advance by one step, with a note beside the bar."""
        self._progress.update(self._task, advance=1, note=note)


@contextmanager
def bar(task: str, total: int) -> Iterator[Bar]:
    """Show a progress bar within the context. total: number of steps, 0 when unknown."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=stderr(), transient=True, disable=not sys.stderr.isatty()) as progress:
        yield Bar(progress, task, total)


class ProgressLines:
    """Progress for another program: a JSON line on stderr about once a second, and one at the end.

    total: number of steps, 0 when unknown. A context manager. Raises BrokenPipeError: when nobody reads it any more.
    """

    def __init__(self, total: int, every_s: float = 1.0) -> None:
        self._total, self._every_s, self._done, self._told_at = total, every_s, 0, -every_s

    def forward(self, note: str = "") -> None:  # noqa: ARG002  # as a bar has it
        """Advance by one step."""
        self._done += 1
        if time.monotonic() - self._told_at >= self._every_s:
            self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        print(json.dumps({"done": self._done, "of": self._total}), file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._tell()


def table(*columns: str, title: str = "") -> Table:
    """Return an empty table; the first column is for text, the others are for figures."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", no_wrap=True, overflow="ellipsis")
    return made


def direction_names(line: Line) -> dict[Direction, str]:
    """Return the names of the two directions of a line, left to right first."""
    return {"left_to_right": "left to right", "right_to_left": "right to left", **line.names}


def counts_table(line: str, counts: Counts, names: Sequence[str]) -> Table:
    """Return a table of one line's counts by class and direction.

    line: id of the line. names: of its two directions, left to right first.
    """
    made = table("class", *names, "both", title=f"line {line}")
    rows = {label: [by[direction] for direction in DIRECTIONS] for label, by in counts.items()}
    for label, both in rows.items():
        made.add_row(label, *map(str, both), str(sum(both)))
    sums = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0, 0]
    made.add_row("all", *map(str, sums), str(sum(sums)), style="bold")
    return made

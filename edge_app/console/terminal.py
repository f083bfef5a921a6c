"""What commands print: tables of 80 columns, progress bars, colours only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_app.records import DIRECTIONS, Counts

WIDTH = 80


def stdout() -> Console:
    """For results. A pipe gets no escape codes, and lines that do not depend on who reads."""
    return Console(width=WIDTH if not sys.stdout.isatty() else None, highlight=False)


def stderr() -> Console:
    return Console(stderr=True, width=WIDTH if not sys.stderr.isatty() else None, highlight=False)


class Bar:
    """A progress bar of one task on stderr; does nothing where nobody watches."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total or None, note="")

    def forward(self, note: str = "") -> None:
        self._progress.update(self._task, advance=1, note=note)


@contextmanager
def bar(what: str, total: int) -> Iterator[Bar]:
    """total: steps, 0 where unknown. On a terminal only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=stderr(), transient=True, disable=not sys.stderr.isatty()) as progress:
        yield Bar(progress, what, total)


def table(*columns: str, title: str = "") -> Table:
    """The first column is text, the others are figures."""
    made = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", no_wrap=True, overflow="ellipsis")
    return made


def counts_table(line: str, counts: Counts, names: Sequence[str]) -> Table:
    """One line's counts by class and direction; names: what its two directions are called."""
    made = table("class", *names, "both", title=f"line {line}")
    rows = {label: [by[way] for way in DIRECTIONS] for label, by in counts.items()}
    for label, both in rows.items():
        made.add_row(label, *map(str, both), str(sum(both)))
    sums = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0, 0]
    made.add_row("all", *map(str, sums), str(sum(sums)), style="bold")
    return made

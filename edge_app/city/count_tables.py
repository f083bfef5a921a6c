"""Tables of counts for CSV and Parquet files: their columns, with types in SQL, and their rows. Pure.

New columns come at the end, so that whoever reads by position finds what was there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from edge_app.city import telling
from edge_app.city.database.reading import AnyStep, Total
from edge_app.city.records import COLUMNS
from edge_app.records import DIRECTIONS, VEHICLES

Row: TypeAlias = tuple[str | int | float, ...]
_CLASSES: Final = tuple(name for name in VEHICLES for _ in DIRECTIONS)
"""Class of each of COLUMNS."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of a table of counts of some classes, with their types in SQL. chosen: places in COLUMNS."""

    columns: dict[str, str]
    chosen: Sequence[int]


def chosen_columns(classes: Collection[str]) -> Sequence[int]:
    """Return the places in COLUMNS of some classes."""
    return [at for at, name in enumerate(_CLASSES) if name in classes]


def step_table(classes: Collection[str] = VEHICLES) -> Table:
    """Return the table of sums of steps. classes: whose counts it has."""
    chosen = chosen_columns(classes)
    columns = {
        "site": "VARCHAR",
        "start": "TIMESTAMPTZ",
        "end": "TIMESTAMPTZ",
        "covered": "DOUBLE",
        "flagged": "DOUBLE",
        "synthetic": "BOOLEAN",
        **{COLUMNS[at]: "BIGINT" for at in chosen},
        "vehicles": "BIGINT",
        "late": "DOUBLE",
        "straddling_s": "BIGINT",
        "length_s": "BIGINT",
        "seen_s": "DOUBLE",
    }
    return Table(columns, chosen)


def step_rows(
    table: Table, site: str, totals: Iterable[Total], step: AnyStep, tz: ZoneInfo, written: tzinfo
) -> Iterator[Row]:
    """Yield a row for each step. tz: whose steps they are. written: zone in whose offset times are told."""
    for total in totals:
        told = telling.counts_of(total, step, tz)
        start, end = (at.astimezone(written).isoformat() for at in (told.start, told.end))
        counts = [total.counts[at] for at in table.chosen]
        shares = told.covered, told.flagged, truth(told.synthetic)
        seconds = told.straddling_s, told.length_s, told.seen_s
        yield site, start, end, *shares, *counts, sum(counts), told.late, *seconds


def truth(value: bool) -> str:
    """Return how a truth is written."""
    return "true" if value else "false"

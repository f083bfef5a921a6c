"""Table of the intervals of a site for CSV and Parquet files: its columns, with types in SQL, and its rows. Pure.

New columns come at the end, so that whoever reads by position finds what was there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from edge_app.city.calendar import moment
from edge_app.city.count_tables import Row, Table, chosen_columns, truth
from edge_app.city.database.intervals import SiteInterval
from edge_app.city.records import COLUMNS
from edge_app.records import VEHICLES


def interval_table(classes: Collection[str] = VEHICLES) -> Table:
    """Return the table of intervals. classes: whose counts it has."""
    chosen = chosen_columns(classes)
    columns = {
        "site": "VARCHAR",
        "start": "TIMESTAMPTZ",
        "end": "TIMESTAMPTZ",
        "covered": "DOUBLE",
        "flags": "VARCHAR",
        **{COLUMNS[at]: "BIGINT" for at in chosen},
        "vehicles": "BIGINT",
        "late": "BOOLEAN",
        "counted": "BOOLEAN",
        "line": "VARCHAR",
        "installation": "VARCHAR",
        "seq": "BIGINT",
        "model": "VARCHAR",
        "config": "VARCHAR",
        "arrived": "TIMESTAMPTZ",
        "id": "UUID",
    }
    return Table(columns, chosen)


def interval_rows(table: Table, site: str, found: Iterable[SiteInterval]) -> Iterator[Row]:
    """Yield a row for each interval, times in UTC."""
    for one in found:
        told = one.interval
        counts = [one.counts[at] for at in table.chosen]
        start, end, arrived = (moment(at).isoformat() for at in (told.start, told.end, one.arrived_ms / 1000))
        flags = told.settings.flags.replace(",", " ")
        marks = truth(one.late), truth(one.counted)
        named = "/".join(told.name), told.installation, told.seq, told.settings.model, told.settings.config
        covered = round(told.coverage, 4)
        yield site, start, end, covered, flags, *counts, sum(counts), *marks, *named, arrived, str(told.id)

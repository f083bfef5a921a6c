"""`edge-app city export`: the counts of all sites, or their intervals as they came, as Parquet or CSV."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.errors import ConfigError, StoreError, reason_of

if TYPE_CHECKING:
    from edge_app.city.count_tables import Row, Table
    from edge_app.city.database.engine import Database

_KINDS: Final = (".parquet", ".csv")
_STEPS: Final = ("quarter", "hour", "day", "month")
_AT_ONCE_S: Final = 7 * 86_400
"""Time whose intervals of one site are in memory together."""


def add_export(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command. kinds: subparsers of `city`. add_config: adds the option --config."""
    export = kinds.add_parser("export", help="write counts or intervals of all sites into a Parquet or CSV file")
    export.add_argument("file", type=Path, metavar="FILE", help="ends in .parquet or .csv")
    for name in ("from", "to"):
        export.add_argument(
            f"--{name}", type=_moment, required=True, metavar="TIME", help="2026-11-01 in UTC, or RFC 3339"
        )
    what = export.add_mutually_exclusive_group()
    what.add_argument("--step", type=_step, default="hour", metavar="STEP", help=f"{', '.join(_STEPS)} (hour)")
    what.add_argument("--intervals", action="store_true", help="the intervals (minutes) as they came, times in UTC")
    export.add_argument(
        "--time-zone", metavar="NAME", help="IANA name of the zone of all steps, such as UTC; else each site's own"
    )
    add_config(export)


def _step(text: str) -> str:
    if text not in _STEPS:
        sentence = f"must be one of {', '.join(_STEPS)}, not {text}; --intervals writes the intervals, such as minutes"
        raise argparse.ArgumentTypeError(sentence)
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        if not 0 <= moment.timestamp() < 2**40:
            raise ValueError
    except (ValueError, OverflowError):
        sentence = f"must be a time such as 2026-11-01 or 2026-11-01T06:00+01:00, not {text}"
        raise argparse.ArgumentTypeError(sentence) from None
    return moment


def run_export(arguments: argparse.Namespace, database: Database) -> int:
    """Write the file. Raises ConfigError, StoreError."""
    from edge_app.city.calendar import judge_zone
    from edge_app.city.count_tables import step_table
    from edge_app.city.interval_tables import interval_table
    from edge_app.city.parquet import write_parquet
    from edge_app.offline.bins import csv_parts
    from edge_app.system.files import write_atomic

    file: Path = arguments.file
    if file.suffix.lower() not in _KINDS:
        raise ConfigError(f"{file}: the name must end in .parquet or .csv")
    begin, end = (int(getattr(arguments, name).timestamp()) for name in ("from", "to"))
    if begin >= end:
        raise ConfigError("--to: must be later than --from")
    if arguments.time_zone:
        if arguments.intervals:
            raise ConfigError("--time-zone: intervals are of no zone, their times are in UTC; leave it out")
        judge_zone(arguments.time_zone)
    if arguments.intervals:
        table = interval_table()
        parts = _intervals(database, table, begin, end)
    else:
        table = step_table()
        parts = _steps(database, table, begin, end, arguments.step, arguments.time_zone)
    try:
        if file.suffix.lower() == ".parquet":
            write_parquet(parts, table.columns, file)
        else:
            write_atomic(file, csv_parts(parts, tuple(table.columns)))
    except StoreError:  # what is read, not what is written
        raise
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({reason_of(error)})") from None
    print(f"written to {file}")
    return 0


def _steps(
    database: Database, table: Table, begin: int, end: int, step: Any, time_zone: str | None
) -> Iterator[list[Row]]:
    """Yield the rows of each site. time_zone: of the steps, None for each site's own."""
    from edge_app.city.calendar import zone
    from edge_app.city.count_tables import step_rows
    from edge_app.city.database.inventory import read_inventory
    from edge_app.city.database.steps import read_steps

    with database.connect() as connection:
        for site in read_inventory(connection):
            tz = zone(time_zone or site.time_zone)
            totals = read_steps(connection, site.id, begin, end, step, tz if tz.key != site.time_zone else None)
            yield list(step_rows(table, site.id, totals, step, tz, timezone.utc))


def _intervals(database: Database, table: Table, begin: int, end: int) -> Iterator[list[Row]]:
    """Yield the intervals of each site, some days at a time, out of the database and the archive.

    Each part is read by itself, so that days can be moved into the archive in between.
    """
    from edge_app.city.database.intervals import read_site_intervals, stretch_of_site
    from edge_app.city.database.inventory import read_inventory
    from edge_app.city.interval_tables import interval_rows

    with database.connect() as connection:
        stretches = {site.id: stretch_of_site(connection, site.id) for site in read_inventory(connection)}
    for site, (first, last) in stretches.items():
        stop = min(end, last)
        for start in range(max(begin, first), stop, _AT_ONCE_S):
            with database.connect() as connection:
                until = min(start + _AT_ONCE_S, stop)
                found = read_site_intervals(connection, database.archive, site, start, until)
            yield list(interval_rows(table, site, found))

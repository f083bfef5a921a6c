"""Measure what a line-year of minutes takes in the city's database: `python -m tests.trials.city_size`.

Ten streets of the simulator, a week of intervals of one minute, stored as a worker stores them, added up and vacuumed;
then moved into the archive. A partition of a day has pages of its own, which fewer lines would make look large. Told:
bytes an interval and megabytes a year, of intervals and of their sums, and the processor time of moving. Coverage,
frames and arrival tremble as those of a device do; ids are a device's.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import text

from edge_app.city.archiving import Archiving
from edge_app.city.database.engine import open_database
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing
from edge_app.city.records import NONE, Interval, LineName, Settings, added
from edge_app.city.simulator.town import Counter, counters
from edge_app.mqtt.identity import Device, interval_id
from tests.support.postgres import postgres

_DAYS: Final = 7
_LINES: Final = 10
_MINUTES: Final = _DAYS * 1440
_BATCH: Final = 2000
_BEGIN: Final = 1_790_000_000 // 86_400 * 86_400
_SIZE: Final = """
SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'counts'::regclass
"""


def minutes(counter: Counter) -> Iterator[Interval]:
    """Yield a week of intervals of one line."""
    totals, name = NONE, LineName(counter.district, counter.device, counter.line)
    device, chance = Device(counter.district, counter.device, "0" * 12, "", "", ""), random.Random(counter.line)
    settings = Settings("0" * 12, "5eed5eed0001", "0" * 12, 60.0, "")
    for seq in range(1, _MINUTES + 1):
        start = _BEGIN + (seq - 1) * 60
        counts = counter.street.vehicles(start, start + 60)
        totals = added(totals, counts)
        yield Interval(
            id=UUID(interval_id(device, counter.line, start, 60.0, "5b1f09c4", "0" * 12)),
            name=name,
            installation="5b1f09c4",
            seq=seq,
            start=start,
            end=start + 60,
            counts=counts,
            totals=totals,
            coverage=round(1 - chance.choice((0, 0, 0.0003, 0.0009)) - 0.002 * chance.random(), 4),
            frames=chance.choice((899, 900, 900, 900, 901)),
            dropped=0,
            settings=settings,
        )


def fill(url: str) -> None:
    """Store the week of all lines, minute by minute, and add it up."""
    database, storing = open_database(url), Storing()
    rest = (one for of_a_minute in zip(*map(minutes, counters()[:_LINES]), strict=True) for one in of_a_minute)
    while batch := list(islice(rest, _BATCH)):
        with database.begin() as connection:
            storing.store(connection, batch, float(batch[-1].end))
    more = True
    while more:
        with database.begin() as connection:
            more = bool(roll_up(connection, most=500))
    database.close()


def archived(url: str, folder: Path) -> tuple[int, float]:
    """Move the week into an archive; return its size, bytes, and the processor time, s."""
    database = open_database(url, archive=folder)
    assert database.archive is not None
    with database.begin() as connection:
        connection.execute(text("UPDATE counts SET arrived_ms = (start + 60) * 1000 + 3000 + abs(random()) % 500"))
    archiving, begin = Archiving(database, database.archive, 1, utc=lambda: _BEGIN + 30.0 * 86_400), time.process_time()
    moved = list(archiving.move())
    taken = time.process_time() - begin
    assert sum(day.intervals for day in moved) == _LINES * _MINUTES
    database.close()
    return sum(path.stat().st_size for path in folder.rglob("*.parquet")), taken


def told(kind: str, intervals: float, sums: float) -> None:
    """Print a size, bytes, as that of one interval and of a year."""
    each = intervals / _MINUTES / _LINES
    year = 365 / _DAYS / _LINES / 1e6
    print(
        f"{kind:<11}{each:6.1f} bytes an interval, {intervals * year:6.2f} MB a line-year; sums {sums * year:4.1f} MB"
    )


def main() -> None:
    """Measure both databases."""
    with postgres() as server:
        fill(server.url)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("VACUUM FULL")
            size = connection.execute(_SIZE).fetchone()
            rest = connection.execute(
                "SELECT pg_total_relation_size('quarter') + pg_total_relation_size('step')"
            ).fetchone()
        assert size
        assert rest
        told("PostgreSQL", float(size[0]), float(rest[0]))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "city.sqlite3")
        fill(f"sqlite:///{file}")
        told("SQLite", file.stat().st_size, 0.0)
        moved, taken = archived(f"sqlite:///{file}", Path(name, "archive"))
        told("Parquet", moved, 0.0)
        print(f"moving: {1e6 * taken / _MINUTES / _LINES:.0f} us of processor time an interval, {taken:.1f} s in all")


if __name__ == "__main__":
    main()

"""Measure what a line-year of minutes takes in the city's database: `python -m tests.trials.city_size`.

Ten streets of the simulator, a week of intervals of one minute, stored as a worker stores them, added up and vacuumed.
A partition of a day has pages of its own, which fewer lines would make look large. Told: bytes an interval and
megabytes a year, of intervals and of their sums.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import psycopg

from edge_app.city.database.engine import open_database
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing
from edge_app.city.records import NONE, Interval, LineName, Settings, added
from edge_app.city.simulator.town import Counter, counters
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
    settings = Settings("0" * 12, "5eed5eed0001", "0" * 12, 60.0, "")
    for seq in range(1, _MINUTES + 1):
        start = _BEGIN + (seq - 1) * 60
        counts = counter.street.vehicles(start, start + 60)
        totals = added(totals, counts)
        yield Interval(
            id=uuid.uuid4(),
            name=name,
            installation="5b1f09c4",
            seq=seq,
            start=start,
            end=start + 60,
            counts=counts,
            totals=totals,
            coverage=0.9991,
            frames=900,
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


def told(kind: str, intervals: float, sums: float) -> None:
    """Print a size, bytes, as that of one interval and of a year."""
    each = intervals / _MINUTES / _LINES
    year = 365 / _DAYS / _LINES / 1e6
    print(
        f"{kind:<11}{each:6.0f} bytes an interval, {intervals * year:5.1f} MB a line-year; sums {sums * year:4.1f} MB"
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


if __name__ == "__main__":
    main()

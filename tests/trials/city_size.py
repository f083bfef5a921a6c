"""Measure what a line-year of minutes takes in the city's database: `python -m tests.trials.city_size`.

Ten streets of the simulator, a site each, a week of intervals of one minute, stored as a worker stores them, added up
and vacuumed; then moved into the archive. A partition of a day has pages of its own, which fewer lines would make look
large. Told: bytes an interval and megabytes a year, those of sums by quarter and by hour, day and month, and the
processor time of moving. Coverage, frames and arrival tremble as those of a device do; ids are a device's.

`--lines` takes fewer or more streets, of which the files of the archive depend; with `--archive` it fills SQLite alone.
`--measures` has each interval tell speeds, headways and occupancy of two lanes too.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter as Histogram
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import func, select, text

from edge_app.city.archiving import Archiving
from edge_app.city.database.engine import open_database
from edge_app.city.database.inventory import put_sites
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import QUARTER, STEP
from edge_app.city.inventory import Attachment, SiteDescription
from edge_app.city.records import NONE, Interval, LineName, Settings, Vector, added
from edge_app.city.simulator.town import TIME_ZONE, Counter, counters
from edge_app.mqtt.identity import Device, interval_id
from tests.support.postgres import postgres

_DAYS: Final = 7
_MINUTES: Final = _DAYS * 1440
_BATCH: Final = 2000
_BEGIN: Final = 1_790_000_000 // 86_400 * 86_400
_A_YEAR: Final = {"quarter": 4 * 8760, "hour": 8760, "day": 365, "month": 12}
"""Sums of a line in a year."""
_USUAL_KMH: Final = 46.0
_SIZE: Final = """
SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'counts'::regclass
"""
_SIZE_OF_MEASURES: Final = "SELECT pg_total_relation_size('measure')"


def streets(lines: int, *, measures: bool) -> list[Counter]:
    """Return so many counters of the town; those of further rounds are other devices on the same streets."""
    town, made = counters(), list[Counter]()
    for number in range(lines):
        again, which = divmod(number, len(town))
        one = town[which]
        street = replace(one.street, kmh=(one.street.kmh or _USUAL_KMH) if measures else 0.0)
        made.append(replace(one, device=f"{one.device}{'x' * again}", street=street))
    return made


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
            measures=measured(counter, start, counts, chance) if counter.street.kmh else "",
        )


def measured(counter: Counter, start: int, counts: Vector, chance: random.Random) -> str:
    """Return what an interval tells beside its counts: speeds, and headways and occupancy of two lanes."""
    shares = [chance.random() for _ in range(sum(counts))]
    lanes = {"1": sum(share < 1 / 2 for share in shares), "2": sum(share >= 1 / 2 for share in shares)}
    told = {
        "speed": counter.street.speeds(start, start + 60, counts),
        "headway": {lane: headways(many, chance) for lane, many in lanes.items() if many},
        "occupancy": {
            lane: {"occupied_s": round(many * chance.uniform(0.3, 0.5), 2), "seen_s": 59.92}
            for lane, many in lanes.items()
        },
    }
    return json.dumps({key: value for key, value in told.items() if value}, sort_keys=True)


def headways(many: int, chance: random.Random) -> Mapping[str, int]:
    """Return how many of a lane's vehicles of a minute came within which time after the one before."""
    drawn = (chance.expovariate(many / 60) for _ in range(many))
    return Histogram(next((str(most) for most in (1, 2, 3, 5, 10, 30) if s <= most), "above") for s in drawn)


def fill(url: str, lines: list[Counter]) -> None:
    """Store the week of all lines, minute by minute, and add it up; each counts at a site of its own."""
    database, storing = open_database(url), Storing()
    with database.begin() as connection:
        put_sites(connection, [site_of(counter) for counter in lines], "the trial", float(_BEGIN))
    rest = (one for of_a_minute in zip(*map(minutes, lines), strict=True) for one in of_a_minute)
    while batch := list(islice(rest, _BATCH)):
        with database.begin() as connection:
            storing.store(connection, batch, float(batch[-1].end))
    more = True
    while more:
        with database.begin() as connection:
            more = bool(roll_up(connection, most=500))
    with database.connect() as connection:
        quarters = connection.scalar(select(func.count()).select_from(QUARTER))
        rows = connection.execute(select(STEP.c.step, func.count()).group_by(STEP.c.step)).all()
    found = {str(row[0]): int(row[1]) for row in rows}
    assert quarters == len(lines) * _DAYS * 96, quarters
    assert set(found) == {"hour", "day", "month"}, found
    assert found["hour"] == len(lines) * _DAYS * 24, found
    database.close()


def site_of(counter: Counter) -> SiteDescription:
    """Return the site at which a counter counts."""
    return SiteDescription(
        id=f"{counter.district}-{counter.device}",
        road=counter.road,
        lat=counter.lat,
        lon=counter.lon,
        time_zone=TIME_ZONE,
        attachments=[Attachment(device=f"{counter.district}/{counter.device}", line=counter.line)],
    )


def archived(url: str, folder: Path, intervals: int) -> tuple[int, float]:
    """Move the week into an archive; return its size, bytes, and the processor time, s. intervals: in the database."""
    database = open_database(url, archive=folder)
    assert database.archive is not None
    with database.begin() as connection:
        connection.execute(text("UPDATE counts SET arrived_ms = (start + 60) * 1000 + 3000 + abs(random()) % 500"))
    archiving, begin = Archiving(database, database.archive, 1, utc=lambda: _BEGIN + 30.0 * 86_400), time.process_time()
    moved = list(archiving.move())
    taken = time.process_time() - begin
    assert sum(day.intervals for day in moved) == intervals
    database.close()
    return sum(path.stat().st_size for path in folder.rglob("*.parquet")), taken


def told(kind: str, size: float, intervals: int) -> None:
    """Print a size, bytes, as that of one interval and of a year."""
    each = size / intervals
    print(f"{kind:<11}{each:6.1f} bytes an interval, {each * 525_600 / 1e6:6.2f} MB a line-year", flush=True)


def told_sums(connection: psycopg.Connection) -> None:
    """Print what the sums of a line take in a year: those by quarter, and those by hour, day and month."""
    for table, steps in (("quarter", ("quarter",)), ("step", ("hour", "day", "month"))):
        row = connection.execute(f"SELECT pg_total_relation_size('{table}'), count(*) FROM {table}").fetchone()
        assert row
        each, year = row[0] / row[1], sum(_A_YEAR[step] for step in steps)
        print(f"{', '.join(steps)}: {each:.1f} bytes a row, {each * year / 1e6:.2f} MB a line-year", flush=True)


def main() -> None:
    """Measure both databases, or the archive alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10)
    parser.add_argument("--measures", action="store_true", help="speeds, headways and occupancy too")
    parser.add_argument("--archive", action="store_true", help="leave PostgreSQL out")
    given = parser.parse_args()
    lines = streets(given.lines, measures=given.measures)
    intervals = len(lines) * _MINUTES
    if not given.archive:
        with postgres() as server:
            fill(server.url, lines)
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("VACUUM FULL")
                for what, question in (("PostgreSQL", _SIZE), ("measures", _SIZE_OF_MEASURES))[: 1 + given.measures]:
                    size = connection.execute(question).fetchone()
                    assert size
                    told(what, float(size[0]), intervals)
                told_sums(connection)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "city.sqlite3")
        fill(f"sqlite:///{file}", lines)
        told("SQLite", file.stat().st_size, intervals)
        moved, taken = archived(f"sqlite:///{file}", Path(name, "archive"), intervals)
        told("Parquet", moved, intervals)
        print(f"moving: {1e6 * taken / intervals:.0f} us of processor time an interval, {taken:.1f} s in all")


if __name__ == "__main__":
    main()

"""A day that has moved into the archive counts as if it had stayed, whatever comes late."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from sqlalchemy import func, select

from edge_app.city.archive import Archive
from edge_app.city.archiving import Archiving
from edge_app.city.config import ArchiveConfig, CityConfig
from edge_app.city.database.archived import tally
from edge_app.city.database.changes import read_changes
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.measured import read_flows, read_measures
from edge_app.city.database.missing import find_gaps
from edge_app.city.database.moving import mark_changed
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import (
    CONTRADICTION,
    DIRTY,
    INTERVAL,
    LINE,
    MEASURE,
    QUARTER,
    SERIES,
    SITE,
    STEP,
)
from edge_app.city.database.tending import Trouble, tend
from edge_app.city.records import NONE, Interval, Outcome
from edge_app.city.service import archiving
from edge_app.errors import StoreError
from tests.city.cases import NAME, START, changed, series
from tests.city.test_storing import make_site
from tests.support.brokers import eventually

DAY_S = 86_400
MIDNIGHT = START // DAY_S * DAY_S
LATER = MIDNIGHT + 100 * DAY_S


@pytest.fixture
def database(database: Database, tmp_path: Path) -> Database:
    """An empty database of each kind, with an archive."""
    database.archive = Archive(tmp_path / "archive")
    return database


@pytest.fixture
def twin(empty_file: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty database that keeps everything."""
    made = open_database(f"sqlite:///{shutil.copy(empty_file, tmp_path / 'twin.sqlite3')}")
    yield made
    made.close()


def store(database: Database, intervals: Sequence[Interval], arrived: float = MIDNIGHT + 5 * DAY_S) -> Outcome:
    with database.begin() as connection:
        return Storing(database.archive).store(connection, intervals, arrived)


def roll(database: Database) -> None:
    more = 1
    while more:
        with database.begin() as connection:
            more = roll_up(connection, most=50, archive=database.archive)


def archive(database: Database, days: int = 90) -> int:
    assert database.archive
    moving = Archiving(database, database.archive, days, utc=lambda: float(LATER))
    return sum(moved.intervals for moved in moving.move())


def rows(database: Database, table: Any = INTERVAL) -> int:
    with database.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def told(database: Database) -> dict[str, list[Any]]:
    """Return the content of the tables that an archive changes nothing in."""
    with database.connect() as connection:
        return {
            table.name: sorted(
                (
                    tuple(round(value, 4) if isinstance(value, float) else value for value in row)
                    for row in connection.execute(select(*(c for c in table.c if c.name != "id")))
                ),
                key=repr,
            )
            for table in (QUARTER, STEP, CONTRADICTION, SERIES, LINE)
        }


def folder_of(database: Database) -> Path:
    assert database.archive
    return database.archive.folder


def site(database: Database) -> str:
    with database.connect() as connection:
        found: str = connection.execute(select(SITE.c.id)).scalar_one()
        return found


def files(database: Database) -> list[str]:
    assert database.archive
    return sorted(path.name for path in database.archive.folder.glob("[0-9]*/*.parquet"))


def test_a_day_moves_and_can_be_read_by_anybody(database: Database) -> None:
    make_site(database)
    one = changed(series(1)[0], measures='{"queue": 1}', others='{"tram": {"left_to_right": 1, "right_to_left": 0}}')
    store(database, [one, *series(300)[1:]])
    roll(database)
    before = told(database)
    assert archive(database) == 300
    assert (rows(database), rows(database, MEASURE), rows(database, DIRTY)) == (0, 0, 0)
    assert told(database) == before
    assert files(database) == ["intervals-2026-11-18.parquet"]
    assert archive(database) == 0
    table = duckdb.read_parquet(str(folder_of(database) / "*/*.parquet"))
    first = dict(
        zip(table.columns, table.order("start").project("* REPLACE (epoch(start) AS start)").fetchall()[0], strict=True)
    )
    assert (first["site"], first["device"], first["line"], first["start"]) == (*NAME, START)
    assert (first["car_left_to_right"], first["others"], first["measures"]) == (1, one.others, one.measures)
    assert table.sum("car_left_to_right").fetchall() == [(sum(range(1, 301)),)]


def test_a_day_that_is_added_up_from_the_archive_tells_as_much_late_as_before(database: Database) -> None:
    make_site(database)
    intervals = series(300)
    for one in intervals[:100]:
        store(database, [one], one.end + 60.0)
    store(database, intervals[100:])
    roll(database)
    before = told(database)
    assert archive(database) == 300
    with database.begin() as connection:
        connection.execute(QUARTER.update().values(late_s=1))
        mark_changed(
            connection, [(NAME, start) for start in connection.execute(select(QUARTER.c.start)).scalars()], {NAME: 1}
        )
    roll(database)
    assert told(database) == before
    with database.connect() as connection:
        assert connection.execute(select(STEP.c.late_s)).scalars().all()[-1] == 200 * 60


def test_what_waits_to_be_added_up_does_not_move(database: Database) -> None:
    store(database, series(30))
    assert archive(database) == 0
    roll(database)
    assert archive(database, days=100) == 0  # its day ends later
    assert archive(database, days=99) == 30


class History:
    """Random intervals of three lines over two days, at and across midnight, that overlap, contradict and repeat."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pool = [one for line in ("quay-road", "bridge", "_flows") for one in self._line(line)]
        self.told: list[Interval] = []

    def _line(self, line: str) -> Iterator[Interval]:
        for number, installation in enumerate(("5b1f09c4", "0c9e77a1", "")):
            length = self.chance.choice((60, 300, 900, 4000))
            start = MIDNIGHT + DAY_S - self.chance.randrange(20) * length + number * 5 * 30
            made = series(40, name=NAME._replace(line=line), installation=installation, start=start, length=length)
            for one in made:
                flags = self.chance.choice(("", "", "dark", "clock_stepped", "clock_stepped,dark"))
                one = replace(one, settings=replace(one.settings, flags=flags), coverage=round(self.chance.random(), 4))
                if line == "_flows":
                    one = replace(one, counts=NONE, totals=NONE)
                yield replace(one, measures=self.chance.choice(("", '{"speed": {}}', f'{{"queue": {one.seq}}}')))

    def batch(self) -> list[Interval]:
        """Return some that have come, some that have not, and some with another content."""
        new = self.chance.sample(self.pool, 12)
        again = self.chance.sample(self.told, min(len(self.told), 8))
        other = [replace(one, frames=one.frames + 1) for one in again[:1]]
        other += [replace(one, id=uuid4(), end=one.end + 30) for one in again[1:2]]
        other += [replace(one, aside=True, id=uuid4()) for one in again[2:3]]
        self.told += new + other
        return [*new, *again, *other]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_history_with_an_archive_is_the_history_without(database: Database, twin: Database, seed: int) -> None:
    history, moved = History(seed), 0
    make_site(database)
    make_site(twin)
    for turn in range(16):
        batch, arrived = history.batch(), float(MIDNIGHT + 3 * DAY_S + turn)
        outcomes = [store(one, batch, arrived) for one in (database, twin)]
        assert outcomes[0] == outcomes[1]
        if history.chance.random() < 0.5:
            roll(database)
        if history.chance.random() < 0.4:
            moved += archive(database)
    for one in (database, twin):
        roll(one)
    assert moved > 50
    assert told(database) == told(twin)
    archive(database)
    assert rows(database) == 0
    with database.connect() as connection, twin.connect() as other:
        for find in (find_gaps, lambda c: read_changes(c, "quay-road", 0, 2**40)):
            assert list(find(connection)) == list(find(other))
        for read in (read_measures, read_flows):
            found = [read(c, d.archive, site(d), 0, 2**36) for c, d in ((connection, database), (other, twin))]
            assert sorted(map(str, found[0])) == sorted(map(str, found[1]))
            assert found[0]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_without_the_files_nothing_is_lost_and_no_sum_is_made_of_a_part(
    database: Database, twin: Database, seed: int
) -> None:
    history, folder = History(100 + seed), folder_of(database)
    for one in (database, twin):
        make_site(one)
        store(one, history.pool[::2], float(MIDNIGHT + 2 * DAY_S))
        roll(one)
    assert archive(database) > 50
    folder.rename(folder.with_name("away"))
    before = told(database)["quarter"]
    for turn in range(4):
        batch, arrived = history.batch(), float(MIDNIGHT + 3 * DAY_S + turn)
        assert store(database, batch, arrived).stored >= store(twin, batch, arrived).stored
        roll(database)
    waiting = rows(database, DIRTY)
    assert waiting
    after = {row[:2]: row for row in told(database)["quarter"]}
    assert all(after[row[:2]] == row for row in before)
    with pytest.raises(StoreError, match="see whether its disk is there"):
        archive(database)
    assert not folder.exists()
    with database.connect() as connection, pytest.raises(StoreError, match="is not there: bring it back"):
        read_measures(connection, database.archive, site(database), 0, 2**36)
    assert len(troubles(database)) == len(list(folder.with_name("away").rglob("*.parquet")))
    folder.with_name("away").rename(folder)
    assert troubles(database) == []
    roll(database)
    roll(twin)
    assert rows(database, DIRTY) == 0
    archive(database)
    assert rows(database) == 0
    found, without = told(database), told(twin)
    judged = [{row[:3] for row in tables.pop("contradiction")} for tables in (found, without)]
    assert judged[0] == judged[1]  # though later, and of two that overlap perhaps the other one
    assert found == without


def test_a_damaged_file_is_told_and_only_its_own_quarters_wait(database: Database) -> None:
    make_site(database)
    store(database, [*series(30), *series(30, installation="0c9e77a1", start=START + DAY_S)])
    roll(database)
    assert archive(database) == 60
    path = folder_of(database) / "2026" / files(database)[0]
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    database.archive = Archive(folder_of(database))  # another process
    late = [series(40)[35], series(40, installation="0c9e77a1", start=START + DAY_S)[35]]
    assert store(database, late).stored == 2
    roll(database)
    assert rows(database, DIRTY) == 1
    assert [(one.problem, one.file.name) for one in troubles(database)] == [("damaged", f"2026/{files(database)[0]}")]
    assert archive(database) == 1
    with database.connect() as connection:
        assert tally(connection) == {"whole": 1, "missing": 0, "damaged": 1}
    path.write_bytes(content)
    assert troubles(database) == []
    roll(database)
    assert (archive(database), rows(database)) == (1, 0)
    assert files(database) == ["intervals-2026-11-18-v2.parquet", "intervals-2026-11-19-v2.parquet"]


def troubles(database: Database) -> list[Trouble]:
    assert database.archive
    return tend(database, database.archive, LATER)


def test_whoever_reads_for_long_puts_a_day_off_and_holds_up_nobody(database: Database) -> None:
    store(database, series(30))
    roll(database)
    with database.connect() as reader:
        if reader.dialect.name == "sqlite":
            pytest.skip("SQLite's readers hold up no writer")
        reader.execute(select(func.count()).select_from(INTERVAL))
        with pytest.raises(StoreError, match="lock timeout"):
            archive(database)
        assert store(database, series(31)).stored == 1
    roll(database)
    assert archive(database) == 31
    assert (rows(database), len(files(database))) == (0, 1)


def test_the_service_moves_what_is_due(database: Database) -> None:
    store(database, series(30))
    roll(database)
    config = CityConfig(archive=ArchiveConfig(minutes_days=1))
    long_ago = int(time.time()) // DAY_S * DAY_S - 40 * DAY_S
    store(database, series(20, installation="0c9e77a1", start=long_ago))
    roll(database)
    with archiving(config, database) as overdue:
        eventually(lambda: bool(files(database)) and overdue() == 0, 20.0)
    with database.connect() as connection:
        assert tally(connection)["whole"] == len(files(database))
    database.archive = None
    with archiving(config, database) as overdue:
        assert overdue() == 0

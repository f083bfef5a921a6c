"""What analysts take: Parquet and GeoJSON, read by DuckDB and by rule, and the file of all sites."""

from __future__ import annotations

import csv
import gc
import threading
import weakref
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import pytest
from sqlalchemy import func, select

from edge_app.city.api import build_api
from edge_app.city.archive import Archive
from edge_app.city.archiving import Archiving
from edge_app.city.calendar import moment
from edge_app.city.count_tables import step_table
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.intervals import read_site_intervals
from edge_app.city.database.tables import INTERVAL
from edge_app.city.interval_tables import interval_table
from edge_app.city.live import Live
from edge_app.city.parquet import write_parquet
from edge_app.city.routes.city import City
from edge_app.commands import _city_export as command_of_exports
from edge_app.commands import city as command
from edge_app.errors import ConfigError, StoreError
from edge_app.offline.bins import csv_parts
from edge_app.system.files import write_atomic
from tests.city.cases import START, changed, series, vector
from tests.city.test_api import span
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    api = build_api(City(database, Live(), utc=lambda: START + 600.0))
    with client_of(api) as made:
        yield made


def test_parquet_tells_what_csv_tells(database: Database, client: httpx.Client, tmp_path: Path) -> None:
    site = make_site(database, "Asia/Kolkata")
    store(database, series(90))
    roll(database)
    text = client.get(f"/api/v1/sites/{site}/counts.csv", params=span()).text
    rows = list(csv.DictReader(text.splitlines()))
    answer = client.get(f"/api/v1/sites/{site}/counts.parquet", params=span())
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    (tmp_path / "counts.parquet").write_bytes(answer.content)
    table = duckdb.read_parquet(str(tmp_path / "counts.parquet"))
    assert dict(zip(table.columns, map(str, table.types), strict=True)) == {
        name: kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for name, kind in step_table().columns.items()
    }
    read = table.project("epoch(start), vehicles, covered, late").fetchall()
    assert [(int(many), float(covered), float(late)) for _, many, covered, late in read] == [
        (int(row["vehicles"]), float(row["covered"]), float(row["late"])) for row in rows
    ]
    assert any(float(row["late"]) for row in rows)
    assert read[0][0] % 3600 == 1800  # hours of India begin at half past
    empty = client.get(f"/api/v1/sites/{site}/counts.parquet", params=span(START + 900_000, START + 990_000))
    (tmp_path / "empty.parquet").write_bytes(empty.content)
    assert duckdb.read_parquet(str(tmp_path / "empty.parquet")).fetchall() == []


def test_files_of_some_classes_have_these_alone_and_say_what_lies_beyond_a_step(
    database: Database, client: httpx.Client, tmp_path: Path
) -> None:
    site, begin = make_site(database, "UTC"), START - START % 900
    counts = vector(3, truck_right_to_left=2, bus_left_to_right=9)
    store(database, [changed(one, counts=counts) for one in series(1, start=begin + 600, length=600)])
    roll(database)
    path, asked = f"/api/v1/sites/{site}/counts", {**span(begin, step="quarter"), "class": ["truck", "car"]}
    (row,) = csv.reader(client.get(f"{path}.csv", params=asked).text.splitlines()[1:])
    assert row[3:] == ["0.3333", "0.0", "false", "3", "0", "0", "2", "5", "0.0", "300", "600", "600.0"]
    (tmp_path / "counts.parquet").write_bytes(client.get(f"{path}.parquet", params=asked).content)
    table = duckdb.read_parquet(str(tmp_path / "counts.parquet"))
    (read,) = table.fetchall()
    assert read[3:] == (0.3333, 0.0, False, 3, 0, 0, 2, 5, 0.0, 300, 600, 600.0)
    assert table.columns == list(step_table(("car", "truck")).columns)
    assert table.columns[-6:] == ["truck_right_to_left", "vehicles", "late", "straddling_s", "length_s", "seen_s"]


@pytest.mark.parametrize(
    ("begin", "end", "name"),
    [
        ("2026-11-30T23:00:00Z", "2026-12-01T23:00:00Z", "2026-12-01-quarter"),  # midnight to midnight there
        ("2026-11-30T23:00:00Z", "2026-12-02T12:00:00Z", "2026-12-01-2026-12-02-quarter"),
    ],
)
def test_a_file_is_named_by_the_days_of_its_site(
    database: Database, client: httpx.Client, begin: str, end: str, name: str
) -> None:
    site = make_site(database)
    for kind in ("csv", "parquet"):
        span_there = {"from": begin, "to": end, "step": "quarter"}
        answer = client.get(f"/api/v1/sites/{site}/counts.{kind}", params=span_there)
        assert answer.headers["content-disposition"] == f'attachment; filename="{site}-{name}.{kind}"'


def test_sites_are_features_with_their_state(database: Database, client: httpx.Client) -> None:
    site = make_site(database)
    told = client.get("/api/v1/sites.geojson").json()
    (feature,) = told["features"]
    assert (told["type"], feature["id"], feature["geometry"]) == ("FeatureCollection", site, None)
    assert feature["properties"]["state"] == "offline"


def run(folder: Path, *arguments: str) -> int:
    parser = ArgumentParser()
    command.add_arguments(parser)
    given = parser.parse_args([*arguments, "--config", str(folder / "city.toml")])
    return command.main(given, threading.Event())


def test_the_command_writes_the_counts_of_all_sites(tmp_path: Path) -> None:
    (tmp_path / "city.toml").touch()
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    make_site(database, "UTC")
    store(database, series(90))
    roll(database)
    database.close()
    times = ("--from", "2026-11-01", "--to", "2027-01-01T00:00+01:00", "--step", "day")
    for name in ("counts.parquet", "counts.csv"):
        assert run(tmp_path, "export", str(tmp_path / name), *times) == 0
    for table in (duckdb.read_parquet, duckdb.read_csv):
        name = str(tmp_path / ("counts.csv" if table is duckdb.read_csv else "counts.parquet"))
        assert table(name).sum("vehicles").fetchall() == [(sum(range(1, 91)),)]
    with pytest.raises(ConfigError, match=r"must end in \.parquet or \.csv"):
        run(tmp_path, "export", str(tmp_path / "counts.xlsx"), *times)
    with pytest.raises(ConfigError, match="later than --from"):
        run(tmp_path, "export", str(tmp_path / "counts.csv"), "--from", "2026-11-01", "--to", "2026-11-01")
    with pytest.raises(ConfigError, match="cannot be written"):
        run(tmp_path, "export", str(tmp_path / "nowhere" / "counts.parquet"), *times)


@pytest.mark.long
def test_the_command_writes_the_intervals_of_all_sites_and_of_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some days at a time, each interval once, from database and archive, also far beyond what there is."""
    (tmp_path / "city.toml").write_text('[archive]\nfolder = "archive"\n')
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    site = make_site(database, "UTC")
    intervals = series(4 * 48, start=START - 4 * 86_400, length=1_800)
    store(database, intervals)
    roll(database)
    archive = Archive(tmp_path / "archive")
    database.archive = archive
    assert [*Archiving(database, archive, 90, utc=lambda: START + 88 * 86_400.0).move()]
    with database.connect() as connection:
        assert len(read_site_intervals(connection, archive, site, 0, 2**40)) == len(intervals)
        assert 0 < connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one() < len(intervals)
    database.close()
    monkeypatch.setattr(command_of_exports, "_AT_ONCE_S", 40_000)
    for begin, end, meant in (
        ("1970-01-01", "2900-01-01", intervals),
        (moment(intervals[7].start).isoformat(), moment(intervals[150].start).isoformat(), intervals[7:150]),
        ("2900-01-01", "2901-01-01", []),
    ):
        for kind in ("parquet", "csv"):
            file = tmp_path / f"minutes.{kind}"
            assert run(tmp_path, "export", str(file), "--from", begin, "--to", end, "--intervals") == 0
            table = duckdb.read_parquet(str(file)) if kind == "parquet" else duckdb.read_csv(str(file))
            assert table.columns == list(interval_table().columns)
            found = [
                (str(key), int(start), many)
                for key, start, many in table.project("id, epoch(start::TIMESTAMPTZ), vehicles").fetchall()
            ]
            assert found == [(str(one.id), one.start, sum(one.counts)) for one in meant]
    with pytest.raises(ConfigError, match="--time-zone: intervals are of no zone"):
        run(
            tmp_path,
            "export",
            str(file),
            "--from",
            "2026-01-01",
            "--to",
            "2027-01-01",
            "--intervals",
            "--time-zone",
            "UTC",
        )


def test_an_export_that_fails_leaves_the_file_of_before_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "city.toml").write_text('[archive]\nfolder = "archive"\n')
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    make_site(database, "UTC")
    store(database, series(48, length=1_800))
    roll(database)
    database.archive = Archive(tmp_path / "archive")
    moved = [*Archiving(database, database.archive, 90, utc=lambda: START + 95 * 86_400.0).move()]
    assert moved
    database.close()
    for file in (tmp_path / "archive").rglob("*.parquet"):
        file.unlink()
    (tmp_path / "out").mkdir()
    for kind in ("parquet", "csv"):
        file = tmp_path / "out" / f"minutes.{kind}"
        file.write_text("as it was")
        with pytest.raises(StoreError, match="of the archive is not there"):
            run(tmp_path, "export", str(file), "--from", "2026-01-01", "--to", "2027-01-01", "--intervals")
        assert file.read_text() == "as it was"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["minutes.csv", "minutes.parquet"]


@pytest.mark.long
def test_one_part_of_a_file_is_in_memory_at_a_time(tmp_path: Path) -> None:
    class Part(list[tuple[int, str]]):
        """A list that can be watched."""

    made = list[weakref.ref[Part]]()

    def parts() -> Iterator[Part]:
        for at in range(5):
            part = Part([(at, f"text {at}")])
            made.append(weakref.ref(part))
            yield part
            del part
            gc.collect()
            assert sum(one() is not None for one in made) <= 1

    columns = {"number": "BIGINT", "text": "VARCHAR"}
    write_parquet(parts(), columns, tmp_path / "numbers.parquet")
    write_atomic(tmp_path / "numbers.csv", csv_parts(parts(), tuple(columns)))
    whole = [(at, f"text {at}") for at in range(5)]
    assert duckdb.read_parquet(str(tmp_path / "numbers.parquet")).fetchall() == whole
    assert duckdb.read_csv(str(tmp_path / "numbers.csv")).fetchall() == whole


def test_a_step_that_there_is_not_is_refused_with_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, "export", "x.csv", "--from", "2026-11-01", "--to", "2026-11-02", "--step", "minute")
    told = capsys.readouterr().err
    assert "must be one of quarter, hour, day, month, not minute; --intervals writes the intervals" in told


def test_the_inventory_goes_out_and_in_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "city.toml").touch()
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    make_site(database, "UTC")
    database.close()
    for name in ("sites.csv", "sites.geojson"):
        assert run(tmp_path, "inventory", "export", str(tmp_path / name)) == 0
        text = (tmp_path / name).read_text("utf-8").replace("Quay Road", f"Road of {name}")
        (tmp_path / name).write_text(text, "utf-8")
        assert run(tmp_path, "inventory", "import", str(tmp_path / name)) == 0
        assert "1 site read from" in capsys.readouterr().out
    (tmp_path / "wrong.csv").write_text("site,road,time_zone\nquay,Quay,Nowhere\n")
    with pytest.raises(ConfigError, match=r'wrong\.csv: row 2: time_zone: there is no "Nowhere"'):
        run(tmp_path, "inventory", "import", str(tmp_path / "wrong.csv"))


def test_users_and_tokens_are_kept_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "city.toml").touch()
    monkeypatch.setattr("edge_app.commands._city_people.ask_new_password", lambda _: "four random words")
    run(tmp_path, "user", "add", "anna", "--role", "administrator")
    run(tmp_path, "user", "add", "bert")
    run(tmp_path, "user", "role", "bert", "--role", "engineer")
    run(tmp_path, "user", "list")
    run(tmp_path, "token", "add", "prometheus", "--days", "30")
    run(tmp_path, "token", "list")
    told = capsys.readouterr().out
    assert [line.split()[:2] for line in told.splitlines() if " since " in line] == [
        ["anna", "administrator"],
        ["bert", "engineer"],
    ]
    assert "city_" in told
    assert "until " in told
    with pytest.raises(ConfigError, match="the last administrator"):
        run(tmp_path, "user", "remove", "anna")
    with pytest.raises(ConfigError, match="NAME is missing"):
        run(tmp_path, "user", "add")
    with pytest.raises(ConfigError, match="--role is missing"):
        run(tmp_path, "user", "role", "bert")

"""Counts are added up by the hours and days of another time zone, and what is invented is marked in every export."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database
from edge_app.city.live import Live
from edge_app.city.records import SYNTHETIC, Interval
from edge_app.city.routes.city import City
from tests.city.cases import START, changed, series
from tests.city.test_api import at
from tests.city.test_exports import run
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of

pytestmark = pytest.mark.long  # every step in every zone; test_clock_changes.py stays in `make test`

SUNDAY = int(datetime(2026, 10, 24, 6, tzinfo=timezone.utc).timestamp())
"""The day before the one of 25 hours in Amsterdam."""
SPAN = {"from": at(SUNDAY - 86_400), "to": at(SUNDAY + 4 * 86_400)}


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    with client_of(build_api(City(database, Live(), utc=lambda: START + 600.0))) as made:
        yield made


def filled(database: Database, zone: str) -> tuple[str, list[Interval]]:
    """Return a site with three days of intervals of five minutes."""
    site, intervals = make_site(database, zone), series(3 * 288, start=SUNDAY, length=300)
    store(database, intervals)
    roll(database)
    return site, intervals


def by_hand(intervals: list[Interval], begin: Callable[[datetime], object]) -> list[int]:
    """Return the vehicles of intervals by the local step in which each begins."""
    found = Counter[object]()
    for one in intervals:
        found[begin(datetime.fromtimestamp(one.start, timezone.utc))] += sum(one.counts)
    return list(found.values())


def local_day(tz: ZoneInfo, moment: datetime) -> date:
    return moment.astimezone(tz).date()


def vehicles(answer: httpx.Response) -> list[int]:
    return [sum(sum(ways.values()) for ways in step["counts"].values()) for step in answer.json()["steps"]]


@pytest.mark.parametrize("own", ["Europe/Amsterdam", "UTC"])
@pytest.mark.parametrize("asked", ["UTC", "Asia/Kolkata", "Europe/Amsterdam", "Australia/Lord_Howe"])
def test_steps_are_those_of_the_zone_that_is_asked_for(
    database: Database, client: httpx.Client, own: str, asked: str
) -> None:
    (site, intervals), tz = filled(database, own), ZoneInfo(asked)
    path = f"/api/v1/sites/{site}"
    days = client.get(f"{path}/counts", params={**SPAN, "step": "day", "time_zone": asked})
    assert days.json()["time_zone"] == asked
    assert vehicles(days) == by_hand(intervals, lambda moment: moment.astimezone(tz).date())
    hours = client.get(f"{path}/counts", params={**SPAN, "time_zone": asked})
    local = by_hand(intervals, lambda moment: str(moment.astimezone(tz).replace(minute=0)))
    assert vehicles(hours) == local
    columns = client.get(f"{path}/hours", params={**SPAN, "time_zone": asked}).json()
    assert (columns["time_zone"], columns["vehicles"]) == (asked, local)
    assert len(columns["synthetic"]) == len(local)
    month = client.get(
        f"{path}/counts",
        params={"from": at(SUNDAY - 40 * 86_400), "to": SPAN["to"], "step": "month", "time_zone": asked},
    )
    assert vehicles(month) == [sum(sum(one.counts) for one in intervals)]
    rows = list(csv.DictReader(client.get(f"{path}/counts.csv", params={**SPAN, "time_zone": asked}).text.splitlines()))
    assert [int(row["vehicles"]) for row in rows] == local
    assert {datetime.fromisoformat(row["start"]).utcoffset() for row in rows} <= {
        datetime.fromisoformat(row["start"]).astimezone(tz).utcoffset() for row in rows
    }


def test_a_step_belongs_to_the_answer_in_which_it_begins(database: Database, client: httpx.Client) -> None:
    site, intervals = filled(database, "Europe/Amsterdam")
    cut = SUNDAY + 86_400 + 1800
    parts = [
        vehicles(
            client.get(f"/api/v1/sites/{site}/counts", params={"from": a, "to": b, "step": "day", "time_zone": "UTC"})
        )
        for a, b in ((SPAN["from"], at(cut)), (at(cut), SPAN["to"]))
    ]
    assert [many for part in parts for many in part] == by_hand(intervals, lambda moment: moment.date())


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"time_zone": "Nowhere"}, "unknown_zone"),
        ({"time_zone": ""}, "unknown_zone"),
        ({"time_zone": "UTC", "step": "day", "from": at(SUNDAY - 401 * 86_400), "to": at(SUNDAY)}, "long_span"),
    ],
)
def test_what_cannot_be_told_of_another_zone_is_refused(
    database: Database, client: httpx.Client, asked: dict[str, str], code: str
) -> None:
    answer = client.get(f"/api/v1/sites/{make_site(database)}/counts", params={**SPAN, **asked})
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize("step", ["quarter", "hour", "day"])
@pytest.mark.parametrize("asked", [{}, {"time_zone": "Asia/Kolkata"}])
def test_what_is_invented_is_marked_in_every_export(
    database: Database, client: httpx.Client, tmp_path: Path, step: str, asked: dict[str, str]
) -> None:
    site, true = make_site(database, "UTC"), series(3 * 288, start=SUNDAY, length=300)
    invented = [changed(one, settings=replace(one.settings, flags=f"dark,{SYNTHETIC}")) for one in true[300:400]]
    dark = [changed(one, settings=replace(one.settings, flags="dark")) for one in true[:300]]
    store(database, [*dark, *invented, *true[400:]])
    roll(database)
    path, wanted = f"/api/v1/sites/{site}/counts", {**SPAN, "step": step, **asked}
    steps = client.get(path, params=wanted).json()["steps"]
    marks = [one["synthetic"] for one in steps]
    assert marks == [SYNTHETIC in one["flags"] for one in steps]
    first, last = (datetime.fromtimestamp(one.start, timezone.utc) for one in (invented[0], invented[-1]))
    assert marks == [
        datetime.fromisoformat(one["end"].replace("Z", "+00:00")) > first
        and datetime.fromisoformat(one["start"].replace("Z", "+00:00")) <= last
        for one in steps
    ]
    rows = csv.DictReader(client.get(f"{path}.csv", params=wanted).text.splitlines())
    assert [{"true": True, "false": False}[row["synthetic"]] for row in rows] == marks
    (tmp_path / "counts.parquet").write_bytes(client.get(f"{path}.parquet", params=wanted).content)
    table = duckdb.read_parquet(str(tmp_path / "counts.parquet"))
    assert [mark for (mark,) in table.project("synthetic").fetchall()] == marks
    if step == "hour":
        assert client.get(f"/api/v1/sites/{site}/hours", params={**SPAN, **asked}).json()["synthetic"] == marks


def test_the_file_of_all_sites_is_of_one_zone_where_one_is_named(tmp_path: Path) -> None:
    from edge_app.city.database.engine import open_database

    (tmp_path / "city.toml").touch()
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    _, intervals = filled(database, "America/New_York")
    database.close()
    times = ("--from", "2026-10-01", "--to", "2026-11-01", "--step", "day")
    for options, tz in (((), "America/New_York"), (("--time-zone", "UTC"), "UTC")):
        file = tmp_path / f"{tz[:3]}.csv"
        assert run(tmp_path, "export", str(file), *times, *options) == 0
        told = [int(row["vehicles"]) for row in csv.DictReader(file.read_text("utf-8").splitlines())]
        zone = ZoneInfo(tz)
        assert told == by_hand(intervals, partial(local_day, zone))

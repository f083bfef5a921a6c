"""An interval that reaches over the end of a step counts where it begins, and leaves no zero in the step behind."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import select, text

from edge_app.city.api import build_api
from edge_app.city.calendar import STEPS, Step, step_around
from edge_app.city.database.engine import Database
from edge_app.city.database.reading import AnyStep
from edge_app.city.database.rolling import roll_sites, roll_up
from edge_app.city.database.steps import read_hours, read_steps
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import DEVICE, DIRTY, QUARTER, SITE
from edge_app.city.feeds.datex2 import Publisher
from edge_app.city.live import Live
from edge_app.city.records import Interval
from edge_app.city.routes.city import City
from edge_app.city.sums import QUARTER_S, beyond
from tests.city.cases import NAME, START, changed, series, vector
from tests.city.test_api import at
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of
from tests.support.preview_cases import wait_for

HOUR = START - START % 3_600
"""A whole hour in UTC."""
Told = list[tuple[int, int, int, int]]
"""Begin, vehicles, length of the intervals, seconds beyond the end."""


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    with client_of(build_api(City(database, Live(), utc=lambda: HOUR + 86_400.0))) as made:
        yield made


def told(database: Database, site: str, step: AnyStep, tz: ZoneInfo | None = None) -> Told:
    with database.connect() as connection:
        found = read_steps(connection, site, HOUR - 40 * 86_400, HOUR + 40 * 86_400, step, tz)
    return [(one.start, sum(one.counts), one.length_s, one.straddling_s) for one in found]


def by_hand(intervals: Sequence[Interval], around: Callable[[int], tuple[int, int]]) -> Told:
    """Return what steps are to tell, from the intervals themselves. around: begin and end of the step of a time."""
    found: dict[int, tuple[int, int, int]] = {}
    for one in intervals:
        begin, end = around(one.start)
        many, length, over = found.get(begin, (0, 0, 0))
        mine = one.end - one.start
        found[begin] = many + sum(one.counts), length + mine, over + max(0, one.end - end)
    return [(begin, *values) for begin, values in sorted(found.items())]


def quarter_around(start: int) -> tuple[int, int]:
    begin = start - start % QUARTER_S
    return begin, begin + QUARTER_S


def of_zone(step: Step, zone: str) -> Callable[[int], tuple[int, int]]:
    return lambda start: step_around(start, step, ZoneInfo(zone))


def assert_right(database: Database, site: str, zone: str, intervals: Sequence[Interval]) -> None:
    assert told(database, site, "quarter") == by_hand(intervals, quarter_around)
    for step in STEPS:
        assert told(database, site, step) == by_hand(intervals, of_zone(step, zone))
        for other in ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe"):
            elsewhere = by_hand(intervals, of_zone(step, other))
            assert told(database, site, step, ZoneInfo(other)) == elsewhere, (step, other)


def test_an_interval_that_reaches_over_the_hour_leaves_no_zero_in_the_next_one(
    database: Database, client: httpx.Client
) -> None:
    site = make_site(database, "UTC")
    (one,) = series(1, start=HOUR + 3_300, length=600, cars=7)
    store(database, [one])
    roll(database)
    for step in ("quarter", "hour", "day", "month"):
        ((_, many, length, over),) = told(database, site, step)
        assert (many, length, over) == (7, 600, 300 if step in ("quarter", "hour") else 0)
    path, asked = f"/api/v1/sites/{site}", {"from": at(HOUR), "to": at(HOUR + 10_800)}
    assert [step["start"] for step in client.get(f"{path}/counts", params=asked).json()["steps"]] == [at(HOUR)]
    assert client.get(f"{path}/hours", params=asked).json()["seconds"] == [0]
    (row,) = csv.DictReader(client.get(f"{path}/counts.csv", params=asked).text.splitlines())
    assert (row["vehicles"], row["straddling_s"]) == ("7", "300")
    assert client.get(path).json()["newest"] == at(HOUR + 2_700)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    ("length", "off"), [(60, 30), (60, 0), (300, 130), (900, 1), (900, 0), (3_600, 600), (3_600, 3_599), (7_200, 100)]
)
def test_steps_of_intervals_off_the_grid_are_those_of_their_starts(
    database: Database, zone: str, length: int, off: int
) -> None:
    site = make_site(database, zone)
    intervals = series(max(4, 6 * 3_600 // length), start=HOUR + off - 5_400, length=length)
    store(database, intervals)
    roll(database)
    assert_right(database, site, zone, intervals)
    with database.begin() as connection:
        roll_sites(connection, [site])
    assert_right(database, site, zone, intervals)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Amsterdam", "2026-10-25T01:00:00Z"),  # an hour is there twice
        ("Europe/Amsterdam", "2027-03-28T01:00:00Z"),  # an hour is missing
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),  # clocks are changed by half an hour
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ],
)
@pytest.mark.parametrize(("length", "off"), [(60, 30), (900, 600), (3_600, 600)])
def test_steps_where_clocks_are_changed_are_those_of_the_starts(
    database: Database, zone: str, day: str, length: int, off: int
) -> None:
    site, change = make_site(database, zone), int(datetime.fromisoformat(day.replace("Z", "+00:00")).timestamp())
    intervals = series(5 * 3_600 // length, start=change + off - 10_800, length=length)
    store(database, intervals)
    roll(database)
    with database.connect() as connection:
        for step in STEPS:
            for tz in (None, ZoneInfo(zone)):  # as it is stored, and added up when it is asked for
                found = read_steps(connection, site, change - 40 * 86_400, change + 40 * 86_400, step, tz)
                mine = [(one.start, sum(one.counts), one.length_s, one.straddling_s) for one in found]
                assert mine == by_hand(intervals, of_zone(step, zone))


def test_a_step_in_which_no_interval_begins_is_not_there(database: Database, client: httpx.Client) -> None:
    """Of intervals longer than a step, every one of which reaches over its end, some have none."""
    site = make_site(database, "UTC")
    intervals = series(3, start=HOUR + 3_000, length=5_400, cars=1)  # 0:50 to 2:20, to 3:50, to 5:20
    store(database, intervals)
    roll(database)
    hours = [((start - HOUR) // 3_600, many, over) for start, many, _, over in told(database, site, "hour")]
    assert hours == [(0, 1, 4_800), (2, 2, 3_000), (3, 3, 4_800)]
    with database.connect() as connection:
        assert [one.start for one in read_hours(connection, site, HOUR, HOUR + 86_400)] == [
            HOUR + n * 3_600 for n in (0, 2, 3)
        ]
    # What begins within is answered whole, at both ends of what is asked for; nothing else is.
    for begin, end, starts in ((1, 8_000, [2]), (7_200, 7_201, [2]), (3_600, 7_200, []), (7_201, 10_800, [])):
        asked = {"from": at(HOUR + begin), "to": at(HOUR + end)}
        for more in ({}, {"time_zone": "Africa/Abidjan"}):
            steps = client.get(f"/api/v1/sites/{site}/counts", params={**asked, **more}).json()["steps"]
            assert [step["start"] for step in steps] == [at(HOUR + n * 3_600) for n in starts]


def test_sums_go_when_another_interval_takes_the_place_of_theirs(database: Database) -> None:
    """What began in the hour is outdone by what reaches into it: the zero that would stay was never counted."""
    site = make_site(database, "UTC")
    store(database, series(1, start=HOUR + 3_700, length=600, cars=5))
    roll(database)
    assert [start for start, *_ in told(database, site, "hour")] == [HOUR + 3_600]
    later = changed(series(1, installation="0c9e77a1", start=HOUR + 3_000, length=3_600)[0], counts=vector(9))
    with database.begin() as connection:
        Storing().store(connection, [later], later.end + 60.0)
    roll(database)
    assert told(database, site, "hour") == [(HOUR, 9, 3_600, 3_000)]
    assert [many for _, many, *_ in told(database, site, "day")] == [9]
    with database.connect() as connection:
        assert connection.execute(select(QUARTER.c.start)).scalars().all() == [HOUR + 2_700]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
@pytest.mark.parametrize("apart", [False, True])
def test_one_of_two_that_overlap_at_the_end_of_a_quarter_counts(
    database: Database, client: httpx.Client, order: Sequence[int], apart: bool
) -> None:
    """Also where the other one begins in the next quarter, whichever comes first, at once or added up in between."""
    site = make_site(database, "UTC")
    begins = ((HOUR + 600, 600, 1), (HOUR + 960, 1_440, 10), (HOUR + 2_100, 600, 100))
    names = ("0000000a", "0000000b", "0000000a")
    intervals = [
        changed(series(1, installation=name, start=start, length=length)[0], seq=at, counts=vector(cars))
        for at, (name, (start, length, cars)) in enumerate(zip(names, begins, strict=True), 1)
    ]
    for arrived, at_place in enumerate(order):
        with database.begin() as connection:
            Storing().store(connection, [intervals[at_place]], HOUR + 5_000.0 + arrived)
        if apart:
            roll(database)
    roll(database)
    # Of two installations the later one counts; the second interval overlaps both others, which do not overlap.
    newest = order[-1]
    meant = 10 if newest == 1 else 101
    path, asked = f"/api/v1/sites/{site}", {"from": at(HOUR), "to": at(HOUR + 3_600)}
    for step in ("quarter", "hour", "day", "month"):
        assert sum(many for _, many, *_ in told(database, site, step)) == meant
    told_of = client.get(f"{path}/intervals", params=asked).json()["intervals"]
    assert sum(one["counts"]["car"]["left_to_right"] for one in told_of if one["counted"]) == meant


def test_what_lies_beyond_a_longer_step_is_that_of_its_last_interval() -> None:
    assert [beyond(0, 30, 3_600), beyond(2_700, 30, 3_600), beyond(900, 3_300, 3_600), beyond(2_700, 0, 3_600)] == [
        0,
        30,
        1_500,
        0,
    ]


@pytest.mark.servers
def test_two_workers_that_add_up_quarters_of_one_hour_leave_the_sum_of_both(database: Database) -> None:
    site = make_site(database, "UTC")
    store(database, series(2, start=HOUR, length=900, cars=1))
    with database.connect() as connection:
        if connection.dialect.name != "postgresql":
            pytest.skip("SQLite has one writer at a time")
        assert connection.execute(select(DIRTY.c.start).order_by(DIRTY.c.start)).scalars().all() == [HOUR, HOUR + 900]

    def add_up_one() -> None:
        with database.begin() as connection:
            assert roll_up(connection, most=1) == 1

    def waits() -> bool:
        with database.connect() as watching:
            waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            many: Any = watching.execute(waiting).scalar_one()
            return bool(many)

    other = threading.Thread(target=add_up_one)
    with database.begin() as first:
        assert roll_up(first, most=1) == 1
        other.start()
        wait_for(waits)
    other.join(60)
    assert [many for _, many, *_ in told(database, site, "hour")] == [3]


@pytest.mark.parametrize(("length", "off"), [(60, 0), (60, 30), (900, 600), (3_600, 0), (3_600, 3_599)])
def test_a_device_of_long_intervals_is_late_when_one_has_not_come_and_not_before(
    database: Database, length: int, off: int
) -> None:
    site, clock = make_site(database), [0.0]
    intervals = series(max(2, 3_600 // length), start=HOUR + off, length=length)
    store(database, intervals)
    roll(database)
    with database.begin() as connection:
        connection.execute(DEVICE.update().values(state="online", health={"quality": [], "source": {"state": "ok"}}))
    due = intervals[-1].end + length
    with client_of(build_api(City(database, Live(), utc=lambda: clock[0]))) as client:
        for clock[0], state in ((due + 30.0, "counting"), (due + length + 1_800.0, "late")):
            told = client.get(f"/api/v1/sites/{site}").json()
            assert told["state"] == state
        minutes = told["state_parameters"]["minutes"]  # what is told to be missing is: it is never too much
        assert 0 < minutes <= (clock[0] - intervals[-1].end) / 60
        assert told["state_reason"] == f"Nothing has come of the last {minutes} minutes."


def test_a_day_of_long_intervals_was_seen_whole(database: Database) -> None:
    """Each of them stands in one quarter alone, with all that was seen of it."""
    make_site(database, "UTC")
    day = HOUR - HOUR % 86_400
    store(database, series(24, start=day, length=3_600, coverage=0.75))
    roll(database)
    with client_of(build_api(City(database, Live(), utc=lambda: day + 86_400.0 + 60.0))) as client:
        told = client.get(f"/api/v1/devices/{NAME.site}/{NAME.device}").json()["days"]
    assert [one["seen"] for one in told][-2] == 0.75


@pytest.mark.parametrize(("length", "off"), [(60, 0), (300, 150), (900, 600), (3_600, 0), (3_600, 3_599)])
def test_intervals_of_any_length_are_told_as_now_until_the_next_one_is_due(
    database: Database, length: int, off: int
) -> None:
    site, clock = make_site(database, "UTC"), [0.0]
    with database.begin() as connection:
        connection.execute(SITE.update().values(public=True))
    intervals = series(max(1, 3_600 // length), start=HOUR + off, length=length)
    store(database, [changed(one, counts=vector(length // 60)) for one in intervals])  # 60 an hour
    roll(database)
    end, url = intervals[-1].end, f"/api/v1/public/sites/{site}"
    for after, told_now in ((1, True), (length + 60, True), (length + 2 * 3_600, False)):
        clock[0] = float(max(end, quarter_around(intervals[-1].start)[1]) + after)
        city = City(database, Live(), utc=lambda: clock[0], fiware=True)
        with client_of(build_api(city)) as client:
            now = client.get(url).json()["now"]
            entities = client.get("/api/v1/ngsi-ld/entities", params={"type": "TrafficFlowObserved"}).json()
        assert (now is not None, bool(entities)) == (told_now, told_now)
        if told_now:
            assert (now["left_to_right"], now["start"]) == (60, at(quarter_around(intervals[-1].start)[0]))


def test_feeds_tell_what_lies_beyond_their_quarter_and_nothing_of_the_next_one(database: Database) -> None:
    site = make_site(database, "UTC")
    store(database, [changed(series(1, start=HOUR + 600, length=900)[0], counts=vector(30))])
    roll(database)
    datex2 = Publisher("de", "City", "en")
    city = City(database, Live(), utc=lambda: HOUR + 2_000.0, datex2=datex2, fiware=True, sensorthings=True)
    with client_of(build_api(city)) as client:
        entities = client.get("/api/v1/ngsi-ld/entities", params={"type": "TrafficFlowObserved"}).json()
        (cars,) = (one for one in entities if one["id"].endswith(":car:left_to_right"))
        streams = f"/api/v1/sensorthings/v1.1/Datastreams('{site}:car:left_to_right')"
        (observation,) = client.get(f"{streams}/Observations").json()["value"]
        measured = client.get("/api/v1/datex2/measured.xml").text
    # From 11:00 to 11:25, of which nobody has seen the first ten minutes.
    assert cars["dateObserved"]["value"] == f"{at(HOUR)}/{at(HOUR + 1_500)}"
    assert (cars["intensity"]["value"], cars["intensity"]["straddling_s"]["value"]) == (30, 600)
    assert (observation["result"], observation["parameters"]) == (30, {"covered": 0.6, "straddling_s": 600})
    assert 'numberOfInputValuesUsed="30"' in measured
    assert "vehicleFlowRate>120<" in measured

"""Days of clock changes: what is usual is that of the same local time, also in an hour that is there twice."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.calendar import clock_second, step_around
from edge_app.city.database.engine import Database
from edge_app.city.database.inventory import put_sites
from edge_app.city.inventory import described
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from tests.city.cases import NAME, changed, series, vector
from tests.city.test_api import at
from tests.city.test_storing import roll, store
from tests.support.city_api import client_of

BERLIN: Final = ZoneInfo("Europe/Berlin")
DAY_S: Final = 86_400
PEAK: Final = range(11 * 4, 12 * 4)
"""Quarters of the local day in which five times as many come: from eleven to twelve."""


def local(day: str, clock: str = "00:00", *, fold: int = 0) -> int:
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=BERLIN, fold=fold).timestamp())


def fill_day(database: Database, begin: int, end: int = 0) -> None:
    """Store quarters of an hour of a day with the same traffic by local time each day: 60 vehicles, 315 before noon.

    end: 0 for all of the day.
    """
    end = end or step_around(begin, "day", BERLIN)[1]
    made = series((end - begin) // 900, start=begin, length=900, installation=f"{begin % 2**32:08x}", cars=0)
    many = [315 if clock_second(one.start, BERLIN) // 900 in PEAK else 60 for one in made]
    store(database, [changed(one, counts=vector(cars)) for one, cars in zip(made, many, strict=True)])


def make_street(database: Database, day: str) -> int:
    """Make a public street with two Sundays before a day; return the begin of that day, UTC s."""
    begin = local(day)
    attachment = {"device": f"{NAME.site}/{NAME.device}", "line": NAME.line}
    quay = {"id": "quay", "road": "Quay Road", "time_zone": BERLIN.key, "public": True, "attachments": [attachment]}
    with database.begin() as connection:
        put_sites(connection, [described(quay)], "test", begin)
    for week in (2, 1):
        fill_day(database, step_around(begin + DAY_S // 2 - week * 7 * DAY_S, "day", BERLIN)[0])
    return begin


def client_at(database: Database, now: int) -> AbstractContextManager[httpx.Client]:
    roll(database)
    return client_of(build_api(City(database, Live(), utc=lambda: float(now))))


def peaks(day: dict[str, Any]) -> list[str]:
    """Return the local times of the quarters with the most vehicles."""
    begin, most = datetime.fromisoformat(day["start"].replace("Z", "+00:00")).timestamp(), max(day["vehicles"])
    found = [second for second, many in zip(day["seconds"], day["vehicles"], strict=True) if many == most]
    return [datetime.fromtimestamp(begin + second, BERLIN).strftime("%H:%M") for second in found]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-01", 24)])
def test_usual_is_that_of_the_same_local_time(database: Database, day: str, hours: int) -> None:
    """On 1 November one of the days of which the usual one is made has 25 hours."""
    begin, now = make_street(database, day), local(day, "13:00")
    fill_day(database, begin, now)
    with client_at(database, now) as client:
        usual = client.get("/api/v1/sites/quay/usual", params={"at": at(now)}).json()
        site = client.get("/api/v1/public/sites/quay").json()
    assert usual["days"] == 2
    by_clock = dict(zip(usual["seconds"], usual["vehicles"], strict=True))
    assert by_clock == {900 * n: 315.0 if n in PEAK else 60.0 for n in range(96)}
    assert (site["now"]["left_to_right"], site["now"]["usual"]) == (240, 240.0)
    assert peaks(site["usual"]) == peaks(site["today"]) == ["11:00", "11:15", "11:30", "11:45"]
    assert site["usual"]["end"] == site["today"]["end"] == at(begin + hours * 3600)
    assert site["usual"]["seconds"] == [900 * n for n in range(hours * 4)]
    assert site["today"]["seconds"] == [900 * n for n in range((now - begin) // 900)]


def test_both_hours_of_an_hour_that_is_there_twice_have_what_is_usual(database: Database) -> None:
    day = "2026-10-25"
    begin = make_street(database, day)
    with client_at(database, local(day, "13:00")) as client:
        usual = client.get("/api/v1/public/sites/quay").json()["usual"]
    by_second = dict(zip(usual["seconds"], usual["vehicles"], strict=True))
    twice = [local(day, "02:15", fold=fold) - begin for fold in (0, 1)]
    assert twice == [2 * 3600 + 900, 3 * 3600 + 900]
    assert [by_second[second] for second in twice] == [240.0, 240.0]


@pytest.mark.parametrize(
    ("moment", "zone", "second"),
    [
        ("2026-03-29T01:00:00Z", "Europe/Berlin", 3 * 3600),  # two o'clock is not there
        ("2026-10-25T00:30:00Z", "Europe/Berlin", 2 * 3600 + 1800),
        ("2026-10-25T01:30:00Z", "Europe/Berlin", 2 * 3600 + 1800),
        ("2026-04-04T15:15:00Z", "Australia/Lord_Howe", 3600 + 2700),  # changed by half an hour
        ("2026-11-30T18:30:00Z", "Asia/Kolkata", 0),
    ],
)
def test_a_clock_shows_the_second_of_its_day(moment: str, zone: str, second: int) -> None:
    when = int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp())
    assert clock_second(when, ZoneInfo(zone)) == second

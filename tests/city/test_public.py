"""The public page: only what the city shows, without a login, for caches and for pages of others."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import insert

from edge_app.city.api import build_api
from edge_app.city.database import accounts, reading
from edge_app.city.database.engine import Database
from edge_app.city.database.inventory import put_sites
from edge_app.city.database.tables import DEVICE
from edge_app.city.inventory import described
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.errors import StoreError
from tests.city.cases import NAME, START, changed, series
from tests.city.test_storing import roll, store
from tests.support.city_api import client_of

DAY = 86_400
NOW = START // DAY * DAY + 12 * 3600  # noon
PATH = "/api/v1/public/sites"


@pytest.fixture
def clock() -> list[float]:
    return [float(NOW)]


@pytest.fixture
def client(database: Database, clock: list[float]) -> Iterator[httpx.Client]:
    """A client of a city with a user, a public street and another one."""
    attachment = {"device": f"{NAME.site}/{NAME.device}", "line": NAME.line}
    quay = {"id": "quay", "road": "Quay Road", "time_zone": "UTC", "public": True, "attachments": [attachment]}
    hidden = {"id": "hidden", "road": "Back Lane", "time_zone": "UTC"}
    with database.begin() as connection:
        put_sites(connection, [described(quay), described(hidden)], "test", NOW)
        accounts.add_account(connection, "anna", "administrator", "four random words", "test", NOW)
    api = build_api(City(database, Live(), utc=lambda: clock[0]))
    with client_of(api) as made:
        yield made


def minutes(database: Database, begin: int, many: int, cars: int, coverage: float = 1.0) -> None:
    made = series(many, start=begin, installation=f"{begin % 2**32:08x}", cars=0, coverage=coverage)
    store(database, [changed(one, counts=(cars, 1, *one.counts[2:])) for one in made])
    roll(database)


def test_traffic_now_is_beside_the_usual_of_this_time(database: Database, client: httpx.Client) -> None:
    minutes(database, NOW - 7 * DAY - 1800, 60, 2)
    minutes(database, NOW - 1800, 20, 5, coverage=0.75)
    site = client.get(f"{PATH}/quay").json()
    assert site["now"] == {
        "start": "2026-11-18T11:30:00Z",
        "end": "2026-11-18T11:45:00Z",
        "left_to_right": 400,
        "right_to_left": 80,
        "usual": 180.0,
    }
    noon = 12 * 3600
    assert site["usual"]["seconds"] == [noon - 1800, noon - 900, noon, noon + 900]
    assert site["usual"]["vehicles"] == [180.0] * 4
    assert site["today"]["seconds"] == [noon - 1800]  # of the next quarter too little was seen


def test_what_is_not_seen_is_no_zero(database: Database, client: httpx.Client) -> None:
    minutes(database, NOW - 3 * 3600, 60, 2)
    site = client.get(f"{PATH}/quay").json()
    assert (site["now"], site["usual"]["vehicles"], len(site["today"]["seconds"])) == (None, [], 4)
    assert site["part_seen"] is False


def test_what_has_just_begun_is_told_apart_from_what_is_not_seen(database: Database, client: httpx.Client) -> None:
    minutes(database, NOW - 360, 6, 2)
    site = client.get(f"{PATH}/quay").json()
    assert (site["now"], site["part_seen"], site["today"]["seconds"]) == (None, True, [])


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.usefixtures("client")  # which describes the sites
def test_what_is_invented_is_shown_in_a_demonstration_alone(database: Database, clock: list[float], demo: bool) -> None:
    invented = series(30, start=NOW - 1800, flags="synthetic")
    store(database, invented)
    roll(database)
    with client_of(build_api(City(database, Live(), utc=lambda: clock[0], demo=demo))) as other:
        told = other.get(PATH).json()
    (site,) = told["sites"]
    assert (told["synthetic"], bool(site["now"]), bool(site["today"]["seconds"])) == (demo, demo, demo)
    health = {"quality": ["synthetic"]}
    names = {"topic_site": NAME.site, "device": NAME.device}
    row = {**names, "state": "online", "heard": NOW, "version": "1", "contract": "1.3", "health": health, "meta": {}}
    with database.begin() as connection:
        connection.execute(insert(DEVICE).values(row))
    with client_of(build_api(City(database, Live(), utc=lambda: clock[0], demo=demo))) as other:
        assert len(other.get(PATH).json()["sites"]) == demo


def test_only_public_streets_are_told_and_nothing_else(client: httpx.Client) -> None:
    assert [site["id"] for site in client.get(PATH).json()["sites"]] == ["quay"]
    for path in ("hidden", "nowhere"):
        answer = client.get(f"{PATH}/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert NAME.device not in client.get(PATH).text
    assert client.get("/api/v1/sites").status_code == 401


def test_the_page_of_no_public_street_is_not_found(client: httpx.Client) -> None:
    for path, status in (("quay", 200), ("hidden", 404), ("nowhere", 404)):
        page = client.get(f"/public/{path}")
        assert (page.status_code, page.text) == (status, client.get("/public").text)


def test_the_page_is_there_while_the_database_is_away(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreError("the database is away")

    monkeypatch.setattr(reading, "read_sites", away)
    assert client.get("/public/quay").status_code == 200
    assert client.get(f"{PATH}/quay").status_code == 503


def test_answers_are_for_caches_and_pages_of_others(client: httpx.Client) -> None:
    answer = client.get(PATH)
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["access-control-allow-origin"] == "*"
    again = client.get(PATH, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "public, max-age=60")
    for path in ("/public", "/public/quay"):
        page = client.get(path)
        assert "frame-ancestors *" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "public, max-age=60"
        assert "set-cookie" not in page.headers
    assert "frame-ancestors 'none'" in client.get("/").headers["content-security-policy"]


def test_many_who_ask_cost_one_answer_a_minute(database: Database, client: httpx.Client, clock: list[float]) -> None:
    assert client.get(f"{PATH}/quay").json()["now"] is None
    minutes(database, NOW - 1800, 30, 5)
    clock[0] += 30
    assert client.get(f"{PATH}/quay").json()["now"] is None
    clock[0] += 31
    assert client.get(f"{PATH}/quay").json()["now"]["left_to_right"] == 300

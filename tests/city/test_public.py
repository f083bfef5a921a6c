"""The public page: only what the city shows, without a login, for caches and for pages of others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import event, insert, update

from edge_app.city.api import build_api
from edge_app.city.curve_answers import Usual
from edge_app.city.database import accounts, reading
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.inventory import put_sites
from edge_app.city.database.reading import Site
from edge_app.city.database.tables import CONFIG, DEVICE, SITE
from edge_app.city.inventory import described
from edge_app.city.live import Live
from edge_app.city.routes import public
from edge_app.city.routes.city import City
from edge_app.city.routes.curves import usual_days
from edge_app.errors import StoreError
from tests.city.cases import NAME, START, changed, series
from tests.city.test_storing import roll, store
from tests.support.brokers import eventually
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

    monkeypatch.setattr(reading, "public_sites", away)
    assert client.get("/public/quay").status_code == 200
    assert client.get(f"{PATH}/quay").status_code == 503


def test_answers_are_for_caches_and_pages_of_others(client: httpx.Client) -> None:
    answer = client.get(PATH)
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["access-control-allow-origin"] == "*"
    refused = client.get(f"{PATH}/nowhere")
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "retry-after" in refused.headers["access-control-expose-headers"]
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


SITES = 40


@pytest.fixture
def many(database: Database, client: httpx.Client) -> httpx.Client:
    """The client of a city with many public streets."""
    with database.begin() as connection:
        for number in range(SITES):
            line = {"device": f"harbour/pole-{number}", "line": "main"}
            site = {"id": f"site-{number}", "road": "Road", "time_zone": "UTC", "public": True, "attachments": [line]}
            put_sites(connection, [described(site)], "test", NOW)
    return client


def statements(database: Database) -> list[str]:
    """Return the list to which every statement is appended from now on."""
    told = list[str]()
    event.listen(database._engine, "before_cursor_execute", lambda *given: told.append(given[2]))
    return told


def test_many_sites_are_read_with_as_few_statements_as_one(
    database: Database, client: httpx.Client, clock: list[float], request: pytest.FixtureRequest
) -> None:
    told = statements(database)
    assert len(client.get(PATH).json()["sites"]) == 1
    of_one = len(told)
    request.getfixturevalue("many")
    clock[0] += DAY
    told.clear()
    assert len(client.get(PATH).json()["sites"]) == SITES + 1
    assert len(told) <= of_one + 1  # the one about who asks would be among them


def test_waiting_readers_hold_up_nobody_else(many: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on, readings = threading.Event(), list[int]()

    def slow(connection: Connection, sites: Sequence[Site], at: int) -> dict[str, Usual]:
        readings.append(len(sites))
        if len(sites) > 1:
            assert may_go_on.wait(60)
        return usual_days(connection, sites, at)

    monkeypatch.setattr(public, "usual_days", slow)
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(many.get, PATH) for _ in range(60)]
        try:
            eventually(lambda: bool(readings))
            assert many.get("/health", timeout=10).status_code == 200
            assert many.get(f"{PATH}/site-7", timeout=10).json()["id"] == "site-7"
            assert many.get(f"{PATH}/nowhere", timeout=10).status_code == 404
            assert many.get("/public", timeout=10).status_code == 200
            assert not any(answer.done() for answer in answers)
        finally:
            may_go_on.set()
        assert Counter(answer.result().status_code for answer in answers) == {200: 60}
    assert readings == [SITES + 1, 1]


def test_who_asks_too_often_is_told_so_at_once_even_while_nothing_is_answered(
    many: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    monkeypatch.setattr(public, "usual_days", lambda *_: may_go_on.wait(60) and {})
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(many.get, PATH) for _ in range(60)]
        try:
            codes = Counter(many.get(f"{PATH}/nowhere").status_code for _ in range(200))
        finally:
            may_go_on.set()
        [answer.exception() for answer in answers]
    assert codes == {404: 140, 429: 60}  # the clock of this city stands still: nobody's bucket fills


def test_an_answer_goes_compressed_to_whoever_takes_it(many: httpx.Client) -> None:
    plain = many.get(PATH, headers={"accept-encoding": "identity"})
    small = many.get(PATH, headers={"accept-encoding": "gzip"})
    assert ("content-encoding" in plain.headers, small.headers["content-encoding"]) == (False, "gzip")
    assert int(small.headers["content-length"]) < len(plain.content) / 4
    assert (small.content, small.headers["etag"]) == (plain.content, plain.headers["etag"])
    assert "Accept-Encoding" in small.headers["vary"]


def test_a_street_that_is_no_longer_public_is_not_told(
    database: Database, client: httpx.Client, clock: list[float]
) -> None:
    assert client.get(f"{PATH}/quay").status_code == 200
    with database.begin() as connection:
        connection.execute(update(SITE).values(public=False))
    clock[0] += 61
    assert client.get(f"{PATH}/quay").status_code == 404


def test_the_usual_day_of_many_is_that_of_each(database: Database, client: httpx.Client) -> None:
    """A street whose line was drawn anew has other comparable days than the one beside it."""
    with database.begin() as connection:
        line = {"device": f"{NAME.site}/other", "line": NAME.line}
        beside = {"id": "beside", "road": "Road", "time_zone": "Europe/Berlin", "public": True, "attachments": [line]}
        put_sites(connection, [described(beside)], "test", NOW)
    other, under = NAME._replace(device="other"), {21: "a" * 12, 14: "b" * 12, 7: "b" * 12}
    for week, cars in ((21, 6), (14, 4), (7, 2)):
        minutes(database, NOW - week * DAY, 30, cars)
        made = series(30, name=other, start=NOW - week * DAY, installation=f"{week:08x}", cars=0)
        settings = replace(made[0].settings, config=under[week])
        store(database, [changed(one, counts=(week, *one.counts[1:]), settings=settings) for one in made])
    roll(database)
    with database.begin() as connection:
        for config, high in (("a" * 12, 0.3), ("b" * 12, 0.6)):
            content = {"lines": [{"id": NAME.line, "start": [0.1, high], "end": [0.9, high]}]}
            row = {"topic_site": NAME.site, "device": "other", "config": config, "content": content}
            connection.execute(insert(CONFIG).values(row))
    told = {site["id"]: site["usual"]["vehicles"] for site in client.get(PATH).json()["sites"]}
    assert told == {"quay": [300.0, 300.0], "beside": [420.0, 420.0]}
    alone = {name: client.get(f"{PATH}/{name}").json()["usual"]["vehicles"] for name in told}
    assert alone == told

"""The API over HTTP: what it answers, refuses, and that CSV and JSON tell the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.contradictions import forget_contradictions
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_status
from edge_app.city.database.missing import note_closed, note_gone
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import DEVICE
from edge_app.city.live import Live
from edge_app.city.records import Gap
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from edge_app.mqtt.device_messages import Status
from tests.city.cases import NAME, START, changed, series, vector
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of
from tests.support.city_crowd import fill


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    """A client of an API whose clock stands ten minutes after `START`."""
    live = Live()
    api = build_api(City(database, live, utc=lambda: START + 600.0))
    with client_of(api) as made:
        yield made


def at(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


LAST = "9999-12-31T23:59:58Z"


def span(begin: int = START - 3600, end: int = START + 86_400, step: str = "hour") -> dict[str, str]:
    return {"from": at(begin), "to": at(end), "step": step}


def _times(asked: dict[str, str]) -> dict[str, str]:
    """Return them without the step."""
    return {key: value for key, value in asked.items() if key != "step"}


def test_a_site_is_described_with_its_state(database: Database, client: httpx.Client) -> None:
    site = make_site(database)
    one = client.get(f"/api/v1/sites/{site}").json()
    assert one["road"] == "Quay Road"
    assert one["device"] == f"{NAME.site}/{NAME.device}"
    assert (one["state"], one["newest"]) == ("offline", None)
    assert client.get("/api/v1/sites").json() == {"next": None, "sites": [one]}


@pytest.mark.parametrize(
    ("quality", "problem", "state", "code", "words"),
    [
        (["moved"], "", "moved", "moved", "counts cannot be trusted"),
        (["blurred", "moved", "slow"], "the picture is shifted by 8 %", "moved", "moved", "shifted by 8 %"),
        (["blurred", "slow"], "", "blurred", "blurred", "counts cannot be trusted"),
        (["blind", "moved"], "", "blind", "sees_nothing", "sees nothing"),
        (["slow"], "", "slow", "slow", "too rarely"),
        (["dark"], "", "counting", "", ""),
    ],
)
def test_a_site_whose_counts_cannot_be_trusted_does_not_look_well(
    database: Database, client: httpx.Client, quality: list[str], problem: str, state: str, code: str, words: str
) -> None:
    site = make_site(database)
    health = {"quality": quality, "problem": problem, "source": {"state": "ok"}}
    with database.begin() as connection:
        connection.execute(DEVICE.update().values(state="online", health=health))
    told = client.get(f"/api/v1/sites/{site}").json()
    assert (told["state"], told["state_code"]) == (state, code)
    assert told["state_parameters"] == ({"device_says": problem} if problem else {})
    assert words in told["state_reason"]
    assert bool(told["state_reason"]) == bool(words)
    assert f'edge_app_city_sites{{state="{state}"}} 1.0' in client.get("/metrics").text


def test_lists_come_in_parts_and_none_is_missing_or_double(database: Database, client: httpx.Client) -> None:
    names = [(site, f"pole-{n}") for site in ("a", "b") for n in range(5)]
    with database.begin() as connection:
        for name in names:
            state = Status(state="online", at=datetime.fromtimestamp(START, timezone.utc), boot_id="b", version="1")
            note_status(connection, {name: state}, START)
    make_site(database)
    for path, key, many in (("/api/v1/devices", "devices", 11), ("/api/v1/sites", "sites", 1)):
        found, after = list[str](), ""
        while after is not None:
            answer = client.get(path, params={"limit": 3, "after": after}).json()
            assert len(answer[key]) <= 3
            found += [one.get("device") or one["id"] for one in answer[key]]
            after = answer["next"]
        assert len(found) == len(set(found)) == many
    assert client.get("/api/v1/devices", params={"limit": 0}).status_code == 422


def test_parts_of_many_sites_are_all_of_them(database: Database, client: httpx.Client) -> None:
    fill(database, 25, START, days=1, quarter_days=1)
    whole = client.get("/api/v1/sites").json()["sites"]
    assert [one["id"] for one in whole] == [f"site-{number:05}" for number in range(25)]
    assert all(one["newest"] and one["device"] for one in whole)
    for limit in (1, 8, 25, 26):
        found, after = list[object](), ""
        while after is not None:
            part = client.get("/api/v1/sites", params={"limit": limit, "after": after}).json()
            found, after = found + part["sites"], part["next"]
        assert found == whole


def test_long_answers_come_compressed_to_who_takes_them(database: Database, client: httpx.Client) -> None:
    fill(database, 25, START, days=1, quarter_days=1)
    plain = client.get("/api/v1/sites", headers={"accept-encoding": "identity"})
    packed = client.get("/api/v1/sites", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert packed.headers["etag"] == plain.headers["etag"]  # weak: that of both
    assert "Accept-Encoding" in plain.headers["vary"]
    script = client.get("/page/city.js", headers={"accept-encoding": "gzip"})
    assert script.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get("/api/v1/me", headers={"accept-encoding": "gzip"}).headers
    texts = client.get("/messages.json", headers={"accept-encoding": "gzip"})
    assert texts.headers["vary"].startswith("Accept-Language, Accept-Encoding")


def test_counts_as_json_and_csv_are_those_of_the_intervals(database: Database, client: httpx.Client) -> None:
    site = make_site(database, "Asia/Kolkata")
    store(database, series(90))
    roll(database)
    answer = client.get(f"/api/v1/sites/{site}/counts", params=span()).json()
    cars = [step["counts"]["car"]["left_to_right"] for step in answer["steps"]]
    assert sum(cars) == sum(range(1, 91))
    assert all(step["start"].endswith(":30:00Z") for step in answer["steps"])
    hours = client.get(f"/api/v1/sites/{site}/hours", params=_times(span())).json()
    assert hours["vehicles"] == cars
    begin = datetime.fromisoformat(hours["start"].replace("Z", "+00:00")).timestamp()
    assert [at(int(begin) + second) for second in hours["seconds"]] == [step["start"] for step in answer["steps"]]
    assert hours["covered"] == [pytest.approx(step["covered"], abs=0.001) for step in answer["steps"]]
    text = client.get(f"/api/v1/sites/{site}/counts.csv", params=span()).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["car_left_to_right"]) for row in rows] == cars
    assert all(row["start"].endswith(":00:00+05:30") for row in rows)
    assert [float(row["covered"]) for row in rows] == [step["covered"] for step in answer["steps"]]
    assert sum(step["late"] for step in answer["steps"]) == pytest.approx(8 * 60 / 3600, abs=2e-4)  # they came together
    assert [float(row["late"]) for row in rows] == [step["late"] for step in answer["steps"]]


def test_what_was_not_seen_lowers_covered_and_what_has_no_data_is_left_out(
    database: Database, client: httpx.Client
) -> None:
    site = make_site(database, "UTC")
    hour = START // 3600 * 3600
    store(database, series(60, start=hour, coverage=0.5))
    roll(database)
    steps = client.get(f"/api/v1/sites/{site}/counts", params=span(hour - 7200, hour + 7200)).json()["steps"]
    assert [(step["start"], step["covered"]) for step in steps] == [(at(hour), 0.5)]


def test_what_was_not_seen_is_estimated_apart_and_only_where_that_is_asked_for(
    database: Database, client: httpx.Client
) -> None:
    """Of hours that are over and of which half was seen; the last one here is not over."""
    site, hour = make_site(database, "UTC"), START // 3600 * 3600
    seen = (1.0, 0.5, 0.25, 0.75)
    intervals = series(240, start=hour - 3 * 3600)
    store(database, [changed(one, coverage=seen[at // 60]) for at, one in enumerate(intervals)])
    roll(database)
    asked = span(hour - 3 * 3600, hour + 3600)
    plain = client.get(f"/api/v1/sites/{site}/counts", params=asked).json()["steps"]
    assert [step["covered"] for step in plain] == list(seen)
    assert not any("estimated" in step for step in plain)
    steps = client.get(f"/api/v1/sites/{site}/counts", params={**asked, "estimate": "true", "class": "car"}).json()
    cars = [step["counts"]["car"]["left_to_right"] for step in plain]
    assert [step["counts"]["car"]["left_to_right"] for step in steps["steps"]] == cars
    assert [step.get("estimated") for step in steps["steps"]] == [
        {"car": {"left_to_right": cars[0], "right_to_left": 0}},
        {"car": {"left_to_right": 2 * cars[1], "right_to_left": 0}},
        None,
        None,
    ]
    days = client.get(f"/api/v1/sites/{site}/counts", params={**asked, "step": "day", "estimate": "true"}).json()
    assert not any("estimated" in step for step in days["steps"])


def test_gaps_and_contradictions_are_told(database: Database, client: httpx.Client) -> None:
    intervals = series(9)
    store(database, [*intervals[:2], *intervals[5:], *series(1, installation="0c9e77a1")])
    with database.begin() as connection:
        key = Storing().series(connection, NAME, "5b1f09c4")
        note_gone(connection, key, [(8, 20, "expired")])
        assert note_closed(connection, key, Gap(NAME, "5b1f09c4", 7, 9), START, START + 60) == 2
    whole = client.get("/api/v1/gaps").json()
    closed = {"line": "harbour/pole-7/quay-road", "installation": "5b1f09c4", "first": 7, "last": 9, "lost": 2}
    assert whole["closed"] == [{**closed, "asked": at(START), "closed": at(START + 60)}]
    assert [(gap["first"], gap["last"], gap["state"]) for gap in whole["gaps"]] == [
        (3, 5, "waiting"),
        (8, 20, "lost"),
    ]
    assert [(one["kind"], one["number"]) for one in whole["contradictions"]] == [("overlap", 1)]
    assert (whole["contradictions_so_far"], whole["aside_so_far"]) == (1, 0)
    with database.begin() as connection:
        assert forget_contradictions(connection, 0) == 1
    whole = client.get("/api/v1/gaps").json()
    assert (whole["contradictions"], whole["contradictions_so_far"]) == ([], 1)


@pytest.mark.parametrize(
    ("path", "parameters", "status", "words"),
    [
        ("/api/v1/sites/nowhere", {}, 404, "/api/v1/sites lists them"),
        ("/api/v1/sites/{site}/counts", {"from": at(START), "to": at(START)}, 422, "`to` must be later than `from`"),
        ("/api/v1/sites/{site}/counts", {"from": "yesterday", "to": at(START)}, 422, "query.from"),
        ("/api/v1/sites/{site}/counts", span(step="week"), 422, "query.step: must be one of quarter, hour, day, month"),
        ("/api/v1/sites/{site}/counts.csv", span(step="minute"), 422, "are at /api/v1/sites/SITE/intervals"),
        ("/api/v1/sites/{site}/intervals.csv", {"from": LAST, "to": LAST.replace(":58", ":59")}, 422, "1970 and 2999"),
        ("/api/v1/sites/{site}/counts.csv", {"from": LAST, "to": LAST.replace(":58", ":59")}, 422, "1970 and 2999"),
        ("/api/v1/sites/{site}/counts", span(0, START, "quarter"), 422, "ask for longer steps"),
        ("/nothing", {}, 404, "Not Found"),
    ],
)
def test_refusals_are_problems_in_a_sentence(
    database: Database, client: httpx.Client, path: str, parameters: dict[str, str], status: int, words: str
) -> None:
    answer = client.get(path.format(site=make_site(database)), params=parameters)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@contextmanager
def open_page(database: Database) -> Iterator[tuple[Live, Iterator[str]]]:
    """Yield the live events of a server, and what a page that is open hears of them, line by line."""
    live = Live()
    with Server(build_api(City(database, live)), "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.port}/api/v1/live"
        with httpx.Client() as http, http.stream("GET", address) as answer:
            lines = answer.iter_lines()
            assert next(lines) == ": here"
            yield live, lines


def test_a_server_that_stops_does_not_wait_for_open_pages(database: Database) -> None:
    with open_page(database) as (live, lines):
        live.tell(series(1))
        assert next(line for line in lines if line).startswith('data: {"device": "harbour/pole-7"')
        live.end()
        assert list(filter(None, lines)) == []  # the stream ends, or this waits for ever


def test_a_page_has_to_connect_anew_after_a_while(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.city.live._QUIET_S", 0.01)
    monkeypatch.setattr("edge_app.city.live._LONGEST_S", 0.05)
    with open_page(database) as (live, lines):
        assert set(filter(None, lines)) <= {": quiet"}  # the stream ends: its login may have ended
        assert not live.full


def test_a_page_sees_all_of_what_thousands_of_sites_send_at_once(database: Database) -> None:
    with open_page(database) as (live, lines):
        live.tell(series(2000))
        told = islice((line for line in lines if line.startswith("data: ")), 2000)
        assert len(list(told)) == 2000  # one that is missing is waited for until the client gives up
        live.end()


def test_only_names_of_this_machine_are_answered(client: httpx.Client) -> None:
    answer = client.get("/api/v1/sites", headers={"host": "city.example"})
    assert answer.status_code == 403
    assert "localhost" in answer.json()["detail"]


def test_the_page_may_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/street/anything")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/page/../api.py").status_code == 404
    assert client.get("/page/city.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (r'"time_zone": "\ud800"', r'time_zone: there is no "\ud800"'),
        (r'"time_zone": "UTC", "\ud800": 1', "feature 1: Input should be a valid string"),
    ],
)
def test_half_a_character_is_refused_and_told(client: httpx.Client, values: str, words: str) -> None:
    one = f'{{"type": "Feature", "id": "x", "geometry": null, "properties": {{"road": "R", {values}}}}}'
    content = f'{{"type": "FeatureCollection", "features": [{one}]}}'
    answer = client.post("/api/v1/inventory.geojson", content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("step", ["quarter", "hour", "day", "month"])
def test_flags_are_told_of_every_step(database: Database, client: httpx.Client, step: str) -> None:
    site, many = make_site(database, "Asia/Kolkata"), 24 * 60  # hours that begin at half past one of UTC
    clear = series(many, start=START - START % 86_400 - 86_400)
    dark = [changed(one, settings=replace(one.settings, flags="dark,slow")) for one in clear[700:710]]
    store(database, [*clear[:700], *dark, *clear[710:]])
    roll(database)
    asked = span(START - 3 * 86_400, START + 40 * 86_400, step)
    if step == "quarter":
        asked = span(START - 3 * 86_400, START + 86_400, step)
    if step == "month":
        asked["from"] = at(START - 62 * 86_400)
    told = client.get(f"/api/v1/sites/{site}/counts", params=asked).json()["steps"]
    flagged = [one for one in told if one["flagged"]]
    assert sum(one["flagged"] * _seconds(one) for one in flagged) == pytest.approx(600, rel=0.25)  # of a month as well
    assert all(one["flags"] == ["dark", "slow"] for one in flagged)
    assert all(not one["flags"] for one in told if one not in flagged)


def _seconds(step: dict[str, str]) -> float:
    return (datetime.fromisoformat(step["end"]) - datetime.fromisoformat(step["start"])).total_seconds()


def test_only_the_classes_that_are_asked_for_are_told(database: Database, client: httpx.Client) -> None:
    site = make_site(database)
    store(database, [changed(one, counts=vector(3, truck_right_to_left=2, bus_left_to_right=9)) for one in series(1)])
    roll(database)
    path, asked = f"/api/v1/sites/{site}/counts", {**span(), "class": ["truck", "car"]}
    (hour,) = client.get(path, params=asked).json()["steps"]
    assert hour["counts"] == {
        "car": {"left_to_right": 3, "right_to_left": 0},
        "truck": {"left_to_right": 0, "right_to_left": 2},
    }
    (row,) = csv.DictReader(io.StringIO(client.get(f"{path}.csv", params=asked).text))
    assert (row["vehicles"], row["truck_right_to_left"], "bus_left_to_right" in row) == ("5", "2", False)
    refused = client.get(path, params={**span(), "class": "lorry"})
    assert (refused.status_code, "'car'" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "name", "takes"),
    [
        ("sites/{site}/counts", "colour", "it takes class, estimate, from, step, time_zone, to"),
        ("sites/{site}/counts.parquet", "estimate", "it takes class, from, step, time_zone, to"),
        ("sites", "From", "it takes after, limit"),
        ("public/sites", "x", "it takes none"),
    ],
)
def test_a_parameter_that_nobody_knows_is_refused(
    database: Database, client: httpx.Client, path: str, name: str, takes: str
) -> None:
    asked = {**(span() if "counts" in path else {}), name: "car"}
    answer = client.get(f"/api/v1/{path.format(site=make_site(database))}", params=asked)
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"query.{name}: is no parameter of this address; {takes}"


@pytest.mark.parametrize("begin", ["2026-11-01", "2026-11-01T00:00:00", "2026-11-01T00:00:00 01:00", "yesterday"])
def test_a_wrong_time_is_refused_with_an_example(database: Database, client: httpx.Client, begin: str) -> None:
    answer = client.get(f"/api/v1/sites/{make_site(database)}/counts", params={**span(), "from": begin})
    assert answer.status_code == 422
    assert "query.from: must be a time with an offset, such as 2026-11-30T06:00:00Z" in answer.json()["detail"]
    assert "%2B" in answer.json()["detail"]

"""Lists of what is missing, contradicts or was changed are told in parts, and every entry can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import Database
from edge_app.city.database.missing import note_gone
from edge_app.city.database.storing import Storing, keep_aside
from edge_app.city.database.tables import CONTRADICTION
from edge_app.city.live import Live
from edge_app.city.records import LineName
from edge_app.city.routes.city import City
from tests.city.cases import NAME, START, series
from tests.support.city_api import client_of

OTHER = LineName("harbour", "pole-8", "quay-road")


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    with client_of(build_api(City(database, Live(), utc=lambda: START + 3600.0))) as made:
        yield made


def pages(client: httpx.Client, path: str, name: str, limit: int) -> list[list[Any]]:
    """Return all parts of a list."""
    found, after = list[list[Any]](), ""
    while True:
        told = client.get(path, params={"limit": limit, **({"after": after} if after else {})}).json()
        found.append(told[name])
        after = told["next"]
        if not after:
            return found


def test_what_may_still_come_is_told_first_and_then_what_is_lost_the_newest_first(
    database: Database, client: httpx.Client
) -> None:
    storing = Storing()
    with database.begin() as connection:
        for name in (NAME, OTHER):
            storing.store(connection, series(20, name=name)[1::2], START + 1300.0)
            gone = [(1, 1, "expired"), (5, 5, "dropped"), (9, 9, "expired")]
            note_gone(connection, storing.series(connection, name, "5b1f09c4"), gone)
    found = pages(client, "/api/v1/gaps", "gaps", 4)
    assert [len(part) for part in found] == [4, 4, 4, 4, 4]
    told = [(one["line"][13], one["first"], one["state"] == "lost") for part in found for one in part]
    open_ones = [(pole, first, False) for pole in "78" for first in (3, 7, 11, 13, 15, 17, 19)]
    assert told == [*open_ones, *((pole, first, True) for pole in "87" for first in (9, 5, 1))]
    assert client.get("/api/v1/gaps", params={"limit": 4}).json()["found"] == 20
    whole = client.get("/api/v1/gaps").json()
    assert (len(whole["gaps"]), whole["next"]) == (20, None)


@pytest.mark.parametrize(
    ("path", "name"), [("contradictions", "contradictions"), ("aside", "aside"), ("audit", "entries")]
)
def test_every_entry_of_a_list_can_be_read(database: Database, client: httpx.Client, path: str, name: str) -> None:
    many = 205
    with database.begin() as connection:
        line = Storing().line(connection, NAME)
        row = {"line_id": line, "kind": "overlap", "start": START, "stop": START + 60, "found": START}
        connection.execute(CONTRADICTION.insert(), [{**row, "what": str(number)} for number in range(many)])
        for number in range(many):
            keep_aside(connection, str(number), b"{", "no JSON", float(START))
            note_change(connection, START, "ann", "site.put", str(number))
    of = {"contradictions": "what", "aside": "topic", "entries": "subject"}[name]
    for limit in (1000, 41, many - 1, many):
        found = pages(client, f"/api/v1/{path}", name, limit)
        assert [one[of] for part in found for one in part] == [str(number) for number in reversed(range(many))]
        assert {len(part) for part in found[:-1]} <= {limit}
    if path != "audit":
        whole = client.get("/api/v1/gaps").json()
        rest = client.get(f"/api/v1/{path}", params={"after": whole[f"{name}_next"]}).json()
        assert (len(whole[name]), len(rest[name]), rest["next"]) == (200, 5, None)


@pytest.mark.parametrize("after", ["lost.1", "open.1.2", "0", "lost.-1.2", "open.1.2.3.4", "x" * 61])
def test_a_place_that_no_answer_names_is_refused(client: httpx.Client, after: str) -> None:
    assert client.get("/api/v1/gaps", params={"after": after}).status_code == 422

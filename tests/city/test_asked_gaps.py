"""What the page tells of a gap is what the worker does about it, which is another process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from edge_app.city.api import build_api
from edge_app.city.asking import Asking
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.missing import find_gaps
from edge_app.city.database.tables import ASKED_GAP
from edge_app.city.ingest import Worker
from edge_app.city.live import Live
from edge_app.city.records import Gap, Interval
from edge_app.city.routes.city import City
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import ROOT
from tests.city.test_api import at, span
from tests.city.test_poison import Given, counts, other
from tests.support.city_api import client_of

BEGIN = 1_796_100_000


class Connected(Given):
    """An inbox whose commands reach the broker."""

    def __init__(self) -> None:
        super().__init__([])
        self.sent: list[dict[str, Any]] = []

    def send(self, message: Message) -> bool:
        if message.topic.endswith("/resend"):
            self.sent.append(json.loads(message.payload)["args"])
        return True


@dataclass
class World:
    """A worker, a client of the page, and the one clock of both, which hardly goes on within a turn."""

    database: Database
    http: httpx.Client
    now: list[int]
    inbox: Connected = field(default_factory=Connected)
    live: list[Interval] = field(default_factory=list)
    ticks: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.start_worker()

    def start_worker(self) -> None:
        """Start a worker that knows nothing; its clock begins anew, as after a start of the machine."""
        begin = self.now[0]
        self.worker = Worker(
            self.inbox,
            self.database,
            ROOT,
            asking=Asking(),
            on_stored=self.live.extend,
            utc=lambda: float(self.now[0]),
            clock=lambda: 100.0 + self.now[0] - begin + next(self.ticks) * 1e-3,
        )

    def after(self, seconds: int, *given: Message) -> list[dict[str, Any]]:
        """Let time pass, take messages, and return the gaps as the page tells them."""
        self.now[0] += seconds
        self.ticks = count()
        self.inbox.batch = list(given)
        self.worker.turn()
        return list(self.http.get("/api/v1/gaps").json()["gaps"])


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    now = [BEGIN]
    with client_of(build_api(City(database, Live(), utc=lambda: float(now[0])))) as http:
        yield World(database, http, now)


def asked_rows(database: Database) -> int:
    with database.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(ASKED_GAP)).scalar_one())


def interval(seq: int) -> Message:
    start, end = (at(BEGIN - 3600 + 60 * number) for number in (seq, seq + 1))
    return counts(seq=seq, id=f"{seq:032x}", start=start, end=end)


def test_a_gap_waits_then_is_asked_for_and_a_device_that_is_away_is_asked_when_it_is_back(world: World) -> None:
    (gap,) = world.after(0, interval(3), other("status"))
    assert (gap["first"], gap["last"], gap["state"], gap["times"]) == (1, 2, "waiting", 0)
    assert (gap["asked"], gap["newest"], gap["next"]) == (None, None, None)
    (gap,) = world.after(40)
    told = {"state": "asked", "asked": at(BEGIN + 40), "newest": at(BEGIN + 40), "next": at(BEGIN + 50), "times": 1}
    assert {key: gap[key] for key in told} == told
    assert len(world.inbox.sent) == 1

    world.after(10, other("status", state="offline"))
    (gap,) = world.after(700)
    assert {key: gap[key] for key in told} == {**told, "state": "away", "next": None}
    world.after(3600)
    assert len(world.inbox.sent) == 1

    (gap,) = world.after(100, other("status"))
    back = at(BEGIN + 40 + 10 + 700 + 3600 + 100)
    assert (gap["state"], gap["times"], gap["asked"], gap["newest"]) == ("asked", 2, at(BEGIN + 40), back)
    assert len(world.inbox.sent) == 2


def test_a_device_whose_intervals_come_is_not_away_whatever_its_broker_says(world: World) -> None:
    """Two workers that share may store that it is offline and that it is back the other way round."""
    world.after(0, interval(3), other("status", state="offline"))
    (gap,) = world.after(60, interval(4))
    assert gap["state"] == "asked"
    (gap,) = world.after(170)
    assert gap["state"] == "asked"
    (gap,) = world.after(20)
    assert gap["state"] == "away"


def test_a_database_that_is_silent_for_a_minute_delays_what_is_asked_for_by_one_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_a_minute(connection: Connection) -> Iterator[Gap]:
        monkeypatch.undo()
        world.now[0] += 60
        yield from find_gaps(connection)

    world.after(0, interval(3), other("status"))
    monkeypatch.setattr("edge_app.city.chores.missing.find_gaps", after_a_minute)
    world.after(20)
    assert world.inbox.sent == []
    world.after(60)
    assert len(world.inbox.sent) == 1


def test_what_was_asked_for_is_forgotten_when_it_closes_under_the_next_worker_too(world: World) -> None:
    world.after(0, interval(3), other("status"))
    world.after(40)
    assert asked_rows(world.database) == 1
    world.start_worker()
    (gap,) = world.after(5)
    assert (gap["state"], gap["times"]) == ("asked", 1)
    assert world.after(5, interval(1), interval(2)) == []
    assert asked_rows(world.database) == 0
    (closed,) = world.http.get("/api/v1/gaps").json()["closed"]
    assert (closed["asked"], closed["closed"], closed["lost"]) == (at(BEGIN + 40), at(BEGIN + 50), 0)
    figures = world.http.get("/metrics").text
    assert 'edge_app_city_gaps{state="asked"} 0.0' in figures


def test_nothing_is_written_because_somebody_looks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.after(0, interval(3), other("status"))
    world.after(40)
    written = list[object]()
    monkeypatch.setattr("edge_app.city.chores.asked.note_asked", lambda _, rows: written.append(rows))
    for _ in range(5):
        world.after(3)
    assert written == []


def test_gaps_are_counted_by_what_is_done_about_them(world: World) -> None:
    world.after(0, interval(3), interval(6), other("status"))
    world.after(40)
    figures = world.http.get("/metrics").text
    assert 'edge_app_city_gaps{state="asked"} 1.0' in figures  # one range of a device at a time
    assert 'edge_app_city_gaps{state="waiting"} 1.0' in figures


def test_what_ends_in_the_future_counts_nowhere_and_is_told(world: World) -> None:
    """Its number has come all the same, so nobody asks for it; pages that watch do not see its vehicles either."""
    ahead = counts(seq=1, id="a" * 32, start=at(BEGIN + 360), end=at(BEGIN + 420))
    assert world.after(0, ahead, other("meta")) == []
    contradictions = world.http.get("/api/v1/gaps").json()["contradictions"]
    assert ("future", 1) in [(one["kind"], one["number"]) for one in contradictions]
    assert world.live == []
    world.after(3600, ahead)  # it comes again when it is no longer in the future
    (site,) = world.http.get("/api/v1/sites").json()["sites"]
    counted = f"/api/v1/sites/{site['id']}/counts"
    assert world.http.get(counted, params=span(BEGIN - 3600, BEGIN + 7200, "quarter")).json()["steps"] == []
    world.after(60, counts(seq=2, id="b" * 32, start=at(BEGIN + 420), end=at(BEGIN + 480)))
    (step,) = world.http.get(counted, params=span(BEGIN - 3600, BEGIN + 7200, "quarter")).json()["steps"]
    assert step["covered"] < 0.1  # one minute of both

"""A worker that is behind or to which nothing comes is told; one that keeps up is not."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database
from edge_app.city.ingest import Worker
from edge_app.city.live import Live
from edge_app.city.pace import Pace, State
from edge_app.city.routes.city import City
from edge_app.mqtt.count_messages import CountsMessage
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from tests.support.city_api import client_of


def test_a_backlog_is_told_until_it_is_worked_off() -> None:
    pace, told = Pace(), []
    for now in range(0, 600, 10):  # an hour of backlog at ten times the rate of the road
        pace.stored(float(now), max(2.0, 3600.0 - 9.0 * now))
        told.append(pace.state(float(now)).word)
    assert told == ["behind"] * told.count("behind") + ["keeps up"] * told.count("keeps up")
    assert told.count("behind") in (39, 40)


def test_one_device_that_sends_what_it_has_kept_is_no_backlog() -> None:
    pace = Pace()
    for now in range(0, 300, 60):
        pace.stored(float(now), 7200.0)
        pace.stored(float(now) + 1, 2.0)
        assert pace.state(now + 59.0) == State(2.0, 0.0)
    assert pace.state(1000.0).behind_s == 0.0  # of nothing that comes nothing is old


def test_silence_counts_only_while_there_is_a_connection() -> None:
    pace = Pace()
    assert pace.state(5000.0).word == "keeps up"
    pace.looked(1000.0, connected=True, came=False)
    assert [pace.state(1000.0 + s).word for s in (300, 301)] == ["keeps up", "silent"]
    pace.looked(1200.0, connected=True, came=True)
    assert pace.state(1301.0) == State(0.0, 101.0)
    pace.looked(1302.0, connected=False, came=False)
    assert pace.state(9000.0).silent_s == 0.0


class Inbox:
    """An inbox that gives one batch."""

    problem = ""

    def __init__(self, *messages: Message) -> None:
        self.waiting = list(messages)

    def read(self, most: int, _: float) -> list[Message]:
        given, self.waiting = self.waiting[:most], []
        return given

    def acknowledge(self, messages: object) -> None:
        pass


@pytest.mark.parametrize(
    ("late_s", "silent_s", "word"), [(3.0, 0.0, "keeps up"), (4000.0, 0.0, "behind"), (3.0, 400.0, "silent")]
)
def test_health_and_metrics_tell_what_a_worker_sees(
    database: Database, late_s: float, silent_s: float, word: str
) -> None:
    message, clock = CountsMessage.model_validate(EXAMPLES["counts"]), [1000.0]
    topic = f"{ROOT}/{message.site}/{message.device}/counts/{message.line}"

    def tick() -> float:
        clock[0] += 0.05
        return clock[0]

    inbox = Inbox(Message(topic, encode(message).encode(), qos=1))
    utc = message.end.timestamp() + late_s
    worker = Worker(inbox, database, ROOT, utc=lambda: utc, clock=tick)  # type: ignore[arg-type]
    worker.turn()
    clock[0] += silent_s
    city = City(database, Live(), worker=lambda: worker.state)
    with client_of(build_api(city)) as client:
        health = client.get("/health").json()
        text = client.get("/metrics").text
    assert (health["state"], health["worker"]) == ("ok", word)
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("edge_app_city_worker"))
    told = [float(figures[f"edge_app_city_worker_{name}_seconds"]) for name in ("behind", "silent")]
    assert told == [pytest.approx(late_s if silent_s == 0 else 0.0), pytest.approx(silent_s, abs=5)]


def test_a_city_without_a_worker_tells_none(database: Database) -> None:
    with client_of(build_api(City(database, Live()))) as client:
        answer: httpx.Response = client.get("/health")
    assert answer.json()["worker"] == "keeps up"
    assert replace(State(), behind_s=121.0).word == "behind"

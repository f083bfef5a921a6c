"""Real devices' publishers, a real broker and a real database: after any kill nothing is missing and nothing double."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from edge_app.city.asking import Asking, Limits
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.missing import closed_gaps, find_gaps
from edge_app.city.database.tables import CONTRADICTION, INTERVAL, POISON, SITE
from edge_app.city.inbox import topics
from edge_app.city.ingest import FEW, Worker
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.city.records import COLUMNS
from edge_app.city.simulator.device import SimulatedDevice
from edge_app.city.simulator.traffic import Street
from edge_app.config.model import Config, CountingConfig, DeviceConfig, LineConfig, MqttConfig, StoreConfig
from edge_app.mqtt.device_messages import Status
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Message, Timing
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.session import Session
from edge_app.records import VEHICLES
from tests.support.brokers import Mosquitto, eventually, mosquitto, run_until, session
from tests.support.city_brokers import KEEPALIVE_S, Broker
from tests.support.city_worker import start as start_worker
from tests.support.postgres import Postgres

NOW = datetime(2026, 11, 30, 8, tzinfo=timezone.utc)
BUSY = Street("Ring Road", 40_000.0, 0.5, ZoneInfo("UTC"))


def device(folder: Path, name: str, port: int) -> SimulatedDevice:
    (folder / name).mkdir()
    config = Config(
        device=DeviceConfig(site="ring", device=name),
        lines=(LineConfig(id="main", start=(0.1, 0.5), end=(0.9, 0.5), road="Ring Road"),),
        counting=CountingConfig(classes=VEHICLES).model_copy(update={"interval_s": 1}),  # a fast clock for the test
        mqtt=MqttConfig(host=HOST, port=port, keepalive_s=KEEPALIVE_S),
        store=StoreConfig(folder=folder / name),
    )
    return SimulatedDevice(config, {"main": BUSY})


@contextmanager
def driving(devices: Sequence[SimulatedDevice]) -> Iterator[threading.Event]:
    """Let traffic pass in a thread within the context; the event stops it."""
    stop = threading.Event()

    def drive() -> None:
        while not stop.wait(0.25):
            for one in devices:
                one.turn()

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)


def stored(database: Database) -> tuple[int, int]:
    """Return intervals and vehicles in the database."""
    with database.connect() as connection:
        vehicles = sum(INTERVAL.c[name] for name in COLUMNS)
        many, total = connection.execute(select(func.count(), func.sum(vehicles)).select_from(INTERVAL)).one()
        return many, total or 0


def whole(database: Database) -> bool:
    with database.connect() as connection:
        return not list(find_gaps(connection))


def contradictions(database: Database) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(select(CONTRADICTION.c.what)).scalars())


def told(devices: Sequence[SimulatedDevice]) -> tuple[int, int]:
    """Return intervals and vehicles that the devices have closed."""
    return sum(one.closed for one in devices), sum(one.vehicles for one in devices)


@pytest.mark.servers
@pytest.mark.timeout(240)
def test_two_workers_kills_of_one_of_broker_and_of_database_lose_and_double_nothing(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    url = postgres_server.raised()
    database = open_database(url)
    chance = random.Random(11)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, "allow_anonymous true", "persistence true"))
        devices = [device(tmp_path, f"pole-{n}", broker.port) for n in range(3)]
        for one in devices:
            stack.callback(one.close)
        read = Broker("mqtt", broker)
        worker = start_worker(read, url, "1", "counts")
        second = start_worker(read, url, "2", "counts", "")
        stack.callback(second.wait, 10)
        stack.callback(second.kill)
        with driving(devices):
            for kill in ("worker", "broker", "worker", "database", "worker", "broker"):
                time.sleep(chance.uniform(1.5, 3.0))
                if kill == "worker":
                    worker.kill()
                    worker.wait(10)
                    worker = start_worker(read, url, "1", "counts")
                elif kill == "broker":
                    broker.kill()
                    broker.start()
                else:
                    postgres_server.kill()
                    postgres_server.start()
            time.sleep(3.0)
        stack.callback(worker.wait, 10)
        stack.callback(worker.kill)
        database.close()
        eventually(lambda: stored(database) == told(devices) and whole(database), 120.0)
        assert contradictions(database) == []
    database.close()


@pytest.mark.servers
def test_what_was_lost_on_its_way_is_asked_for_and_what_is_no_message_is_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A subscriber without a session misses what came while it was away; `resend` brings it."""
    caplog.set_level("INFO")
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path, "allow_anonymous true"))
        devices = [device(tmp_path, "pole-1", broker.port)]
        stack.callback(devices[0].close)
        with driving(devices):
            eventually(lambda: devices[0].publisher.delivered >= 4, 20.0)
            reader = Session(Endpoint(HOST, broker.port), "edge-app-city-1", timing=Timing(by_hand=True))
            inbox = MqttInbox(reader, topics(ROOT))
            stack.callback(inbox.close)
            asking = Asking(Limits(on_its_way_s=1.0, again_s=1.0, longest_s=2.0, silence_s=2.0))
            worker = Worker(inbox, database, ROOT, asking=asking)
            turn_until(worker, lambda: stored(database)[0] > 2)
            publish(broker, f"{ROOT}/ring/pole-1/counts/main", b'{"schema": "edge-app/counts/1"}')
            publish(broker, f"{ROOT}/ring/pole-1/counts/main", b"\xff\x00")
        turn_until(worker, lambda: stored(database) == told(devices) and whole(database))
        assert worker.tally.counts["asked"] >= 1
        turn_until(worker, lambda: "nothing is missing any more of" in caplog.text)
        assert worker.tally.counts["poison"] == 2
    assert "ring/pole-1/main: asked for what is missing, " in caplog.text
    with database.connect() as connection:
        (closed,) = closed_gaps(connection, int(time.time()))
        assert (closed.first, closed.lost) == (1, 0)
        assert closed.asked <= closed.closed
        assert closed_gaps(connection, int(time.time()) + 8 * 86_400) == []
        assert len(connection.execute(select(POISON)).all()) == 2
        assert connection.execute(select(SITE.c.road)).scalars().all() == ["Ring Road"]
    database.close()


def test_what_many_devices_say_at_once_is_acknowledged_in_parts(tmp_path: Path) -> None:
    """While a worker stores, its broker hears nothing: too long for one that has a thousand devices come at once."""
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    parts = list[Sequence[Message]]()
    with mosquitto(tmp_path, "allow_anonymous true", "max_inflight_messages 1000") as broker:
        reader = Session(Endpoint(HOST, broker.port), "edge-app-city-1", timing=Timing(by_hand=True))
        inbox = MqttInbox(reader, topics(ROOT))
        told, acknowledge = Status(state="online", at=NOW, boot_id="b", version="1"), inbox.acknowledge
        inbox.acknowledge = lambda part: (parts.append(part), acknowledge(part))  # type: ignore[assignment, method-assign, func-returns-value]
        worker = Worker(inbox, database, ROOT)
        eventually(lambda: worker.turn() or reader.connected)  # type: ignore[func-returns-value]
        sender = session(broker.port, "many")
        run_until(sender, Connected)
        for number in range(2 * FEW + 50):
            sender.publish(Message(f"{ROOT}/ring/pole-{number}/status", encode(told).encode(), qos=1))
        run_until(sender, Acked, 2 * FEW + 50)
        turn_until(worker, lambda: sum(map(len, parts)) == 2 * FEW + 50)
        assert max(map(len, parts)) == FEW
        numbers = [message.unacknowledged for part in parts for message in part]
        assert numbers == sorted(numbers), "brokers want them in the order in which they came"
        sender.close()
        inbox.close()
    database.close()


def turn_until(worker: Worker, condition: Callable[[], bool]) -> None:
    def reached() -> bool:
        worker.turn()
        return condition()

    eventually(reached, 40.0)


def publish(broker: Mosquitto, topic: str, payload: bytes) -> None:
    sender = session(broker.port, "stranger")
    run_until(sender, Connected)
    sender.publish(Message(topic, payload, qos=1))
    run_until(sender, Acked)
    sender.close()

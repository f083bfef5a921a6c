"""The example consumer of the documents, against a broker that loses what it has acknowledged."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.connection import Connected, Message
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.publisher import Publisher
from tests.support.brokers import Mosquitto, eventually, mosquitto, needs_mosquitto, run_until, session
from tests.support.paths import ROOT
from tests.support.publisher_cases import DEVICE, INSTALLATION, State, steps

PAST = 1_700_000_040.0
"""The consumer sets aside what ends in the future, and its clock is the real one."""


@contextmanager
def consumer(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ROOT / "docs/examples/consumer.py"), HOST, str(port), str(folder / "city.sqlite3")]
    said = folder / "consumer.log"
    before = said.read_text().count("subscribed") if said.exists() else 0
    with said.open("a") as log, subprocess.Popen(command, stdout=log, text=True) as child:
        try:
            soon(lambda: said.read_text().count("subscribed") > before)
            yield child
        finally:
            child.kill()


def stored(folder: Path) -> list[Any]:
    path = folder / "city.sqlite3"
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT seq, payload FROM interval ORDER BY seq").fetchall()
    except sqlite3.OperationalError:  # it has not made its tables yet
        return []
    finally:
        db.close()


def drive(publisher: Publisher, until: Callable[[], object]) -> None:
    """Run the publisher until `until` returns something true."""

    def turn() -> object:
        steps(publisher, 5)
        return until()

    eventually(turn, 60.0)


@needs_mosquitto
@pytest.mark.timeout(180)
def test_it_has_every_interval_once_however_broker_and_consumer_are_killed(state: State, tmp_path: Path) -> None:
    """The broker saves nothing: whatever it held for the absent consumer is gone, although it had acknowledged it."""
    rng = random.Random(2026)
    with mosquitto(tmp_path / "broker") as broker:
        state.begin = PAST
        publisher = state.publisher(broker.port)
        for _ in range(3):
            with consumer(tmp_path, broker.port):
                state.close_intervals(4)
                newest = state.closed
                drive(publisher, lambda newest=newest: newest in dict(stored(tmp_path)))  # type: ignore[misc]
            state.close_intervals(rng.randint(2, 8))
            drive(publisher, lambda: len(state.outbox) == 0)
            kill(broker)
        with consumer(tmp_path, broker.port):
            state.close_intervals(1)
            last = state.closed
            drive(publisher, lambda: [seq for seq, _ in stored(tmp_path)] == list(range(1, last + 1)))
        publisher.drain(1.0)
    documents = [json.loads(payload) for _, payload in stored(tmp_path)]
    assert sum(d["counts"]["car"]["left_to_right"] for d in documents) == last * (last + 1) // 2
    assert len({d["id"] for d in documents}) == last
    assert "conflict" not in (tmp_path / "consumer.log").read_text()


def soon(condition: Callable[[], object]) -> None:
    def check() -> object:
        time.sleep(0.05)
        return condition()

    eventually(check, 20.0)


def kill(broker: Mosquitto) -> None:
    broker.kill()
    broker.start()


@needs_mosquitto
def test_it_shows_a_conflict_and_survives_nonsense(state: State, tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker, consumer(tmp_path, broker.port):
        state.begin = PAST
        publisher = state.publisher(broker.port)
        state.close_intervals(2)
        drive(publisher, lambda: len(stored(tmp_path)) == 2)
        _, payload = stored(tmp_path)[1]
        other = session(broker.port, "clone")
        run_until(other, Connected)
        topic = f"{DEVICE.prefix}/counts/a"
        clone = json.loads(payload) | {"id": "cafe", "installation": INSTALLATION}
        for content in (b"\xff", b"[]", b"{}", json.dumps(clone).encode()):
            other.publish(Message(topic, content, qos=1))

        def arrived() -> bool:
            other.poll(0.05)
            return len(stored(tmp_path)) == 3

        eventually(arrived, 20.0)
        other.close()
        publisher.drain(1.0)
    log = (tmp_path / "consumer.log").read_text()
    assert "conflict (seq = ?): cafe" in log
    assert "conflict (start < ? AND end > ?): cafe" in log
    assert log.count("ignored, no message of the contract") == 3

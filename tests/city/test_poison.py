"""No message of a device may stop the ingest of all others: what the database would refuse is kept aside before."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from edge_app.city.asking import Asking
from edge_app.city.database.engine import Database
from edge_app.city.database.tables import INTERVAL, POISON
from edge_app.city.ingest import Worker
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT

LONG = random.Random(1).randbytes(4_000).hex()  # what PostgreSQL cannot compress into an entry of an index
COUNTS: dict[str, Any] = dict(EXAMPLES["counts"])
DEVICE = f"{ROOT}/{COUNTS['site']}/{COUNTS['device']}"


class Given:
    """An inbox with one batch."""

    problem = ""

    def __init__(self, batch: Sequence[Message]) -> None:
        self.batch = list(batch)
        self.stored: list[Message] = []

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        del most, timeout
        batch, self.batch = self.batch, []
        return batch

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.stored += messages

    def drop(self) -> None:
        raise AssertionError("the database has refused a batch")

    def close(self) -> None: ...

    def send(self, message: Message) -> bool:
        del message
        return False

    def recall(self, topics: Sequence[str]) -> None: ...


def counts(**values: Any) -> Message:
    content = {**COUNTS, **values}
    topic = f"{ROOT}/{content['site']}/{content['device']}/counts/{content['line']}"
    return Message(topic, json.dumps(content).encode(), qos=1)


def other(kind: str, **values: Any) -> Message:
    below = {"config": "meta/x", "reply": "replies/ping"}.get(kind, kind)
    return Message(f"{DEVICE}/{below}", json.dumps({**EXAMPLES[kind], **values}).encode(), qos=1)


def ping(**values: Any) -> Message:
    result = {"installations": {"5b1f09c4": {"main": {"first_seq": 1, "newest_seq": 2}}}, **values}
    return Message(f"{DEVICE}/replies/ping", json.dumps({**REPLY, "result": result}).encode(), qos=1)


REPLY = {"schema": "edge-app/reply/1", "id": "city-1", "at": "2026-12-01T00:00:00Z", "ok": True}
HOSTILE = {
    "NUL in a text that repeats": counts(model="a\0b"),
    "NUL in a flag": counts(quality=["dark\0"]),
    "long model": counts(model=LONG),
    "long boot_id": counts(boot_id=LONG),
    "many flags": counts(quality=[f"flag-{number}-{LONG[number : number + 20]}" for number in range(300)]),
    "long site": counts(site=f"a{LONG}"),
    "long device of a status": Message(f"{ROOT}/a/{LONG}/status", json.dumps(EXAMPLES["status"]).encode(), 1),
    "line of a meta": other("meta", lines=[{**EXAMPLES["meta"]["lines"][0], "id": LONG}]),
    "line of a health": other("health", newest_seq={LONG: 1}),
    "number of a ping": ping(installations={"5b1f09c4": {"main": {"first_seq": 1, "newest_seq": 10**30}}}),
    "installation of a ping": ping(installations={"not eight digits": {"main": {"first_seq": 1, "newest_seq": 2}}}),
    "line of a ping": ping(installations={"5b1f09c4": {LONG: {"first_seq": 1, "newest_seq": 2}}}),
    "NUL in a version": other("status", version="1\0"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_kept_aside_and_the_rest_of_the_batch_is_stored(database: Database, what: str) -> None:
    inbox = Given([HOSTILE[what], counts()])
    Worker(inbox, database, ROOT, asking=Asking()).turn()
    assert len(inbox.stored) == 2
    with database.connect() as connection:
        assert len(connection.execute(select(INTERVAL)).all()) == 1
        assert len(connection.execute(select(POISON)).all()) == 1

"""A worker whose database is away leaves the broker alone, and says once that it is away and once that it is back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from edge_app.city.database.engine import Connection, Database
from edge_app.city.ingest import Worker
from edge_app.errors import StoreError
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import ROOT
from tests.city.test_poison import counts


class Kept:
    """An inbox of a broker that gives what was not acknowledged over each new connection."""

    problem = ""

    def __init__(self, batch: Sequence[Message]) -> None:
        self.held = list(batch)
        self.connections = 0
        self._given = False

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        del most, timeout
        if self._given:
            return ()
        self.connections, self._given = self.connections + 1, True
        return list(self.held)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.held = [one for one in self.held if one not in messages]

    def drop(self) -> None:
        self._given = False

    def close(self) -> None: ...

    def send(self, message: Message) -> bool:
        del message
        return False

    def recall(self, topics: Sequence[str]) -> None: ...


class Away:
    """A database that may be away, or take nothing."""

    archive = None

    def __init__(self, database: Database) -> None:
        self._database = database
        self.answers = self.stores = True

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if not self.stores:
            raise StoreError("the database cannot be used (no room is left)")
        with self._database.begin() as connection:
            yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        if not self.answers:
            raise StoreError("the database cannot be used (connection refused)")
        with self._database.connect() as connection:
            yield connection


def test_the_broker_is_left_alone_until_the_database_answers(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    waits = list[float]()
    monkeypatch.setattr("edge_app.city.ingest.time.sleep", waits.append)
    inbox, away = Kept([counts()]), Away(database)
    worker = Worker(inbox, away, ROOT)  # type: ignore[arg-type]
    away.answers = away.stores = False
    for _ in range(5):
        worker.turn()
    assert (inbox.connections, len(inbox.held), waits) == (1, 1, [2.0] * 5)
    away.answers = True  # it answers and takes nothing, as with a full disk
    for _ in range(4):
        worker.turn()
    assert (inbox.connections, waits[5:]) == (5, [4.0, 8.0, 8.0, 8.0])
    away.stores = True
    worker.turn()
    assert (inbox.held, worker.tally.counts["stored"], worker.tally.database_problem) == ([], 1, "")
    told = [record.getMessage() for record in caplog.records if "database" in record.getMessage()]
    assert told == [
        "the database cannot be used (no room is left): what has come waits at the broker",
        "the database can be used again",
    ]

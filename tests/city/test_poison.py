"""No message of a device may stop the ingest of all others: what the database would refuse is kept aside before."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select

from edge_app.city.asking import Asking
from edge_app.city.database import fleet
from edge_app.city.database.contradictions import count_contradictions, read_contradictions
from edge_app.city.database.engine import Database, ValueRefusedError, open_database
from edge_app.city.database.reading import read_poison, read_tallies
from edge_app.city.database.tables import ATTACHMENT, INTERVAL, POISON, QUARTER, SITE
from edge_app.city.ingest import Worker
from edge_app.mqtt.device_messages import Health
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from edge_app.records import VEHICLES
from tests.support.postgres import Postgres

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


def raw(message: Message, old: str, new: str) -> Message:
    """Return a message with another text in its payload: what Python's JSON would not write."""
    text = message.payload.decode()
    assert text.count(old) == 1
    return Message(message.topic, text.replace(old, new).encode(), qos=1)


def between(start: str, end: str) -> Message:
    return counts(start=start, end=end, id="a" * 32, seq=1)


ENDLESS = "1" + "0" * 400
NEARLY_ENDLESS = "1" + "0" * 290 + "e99"
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
    "first year": between("0001-01-01T00:00:00Z", "0001-01-01T00:01:00Z"),
    "before the first year": between("0001-01-01T00:00:00+14:00", "0001-01-01T00:01:00+14:00"),
    "before 1970": between("1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"),
    "last year": between("9999-12-31T23:58:00-14:00", "9999-12-31T23:59:00-14:00"),
    "length with a text": counts(interval_s="sixty"),
    "length without end": raw(counts(interval_s=12345), "12345", ENDLESS),
    "measure without end": raw(
        counts(speed={"car": {"left_to_right": {"n": 1, "unmeasured": 0, "sum": 12345, "sum_inverse": 1, "bins": {}}}}),
        "12345",
        "1e999",
    ),
    "health without end": raw(other("health", frames_per_s=12345), "12345", "1e999"),
    "health with a long number": raw(other("health", uptime_s=12345), "12345", ENDLESS),
    "health that is no number": raw(other("health", frames_per_s=12345), "12345", "NaN"),
    "ping of a list": ping(installations=[]),
    "ping of a number": ping(installations={"5b1f09c4": 5}),
    "ping of a line that is a number": ping(installations={"5b1f09c4": {"main": 5}}),
    "ping without end": raw(ping(installations={"5b1f09c4": {"main": {"newest_seq": 12345}}}), "12345", "1e999"),
    "more vehicles than a day has": counts(counts={"car": {"left_to_right": 1_000_001, "right_to_left": 0}}),
    "more doubtful vehicles than a day has": counts(
        counts={**COUNTS["counts"], "tram": {"left_to_right": 2**53 - 1, "right_to_left": 0}},
        doubtful={"tram": 2**53 - 1},
    ),
    "bin of no speed": counts(
        speed={"car": {"left_to_right": {"n": 1, "unmeasured": 0, "sum": 9, "sum_inverse": 1, "bins": {"fast": 1}}}}
    ),
    "health with digits and an exponent": raw(other("health", frames_per_s=12345), "12345", NEARLY_ENDLESS),
    "topic that is no text": Message("", b"{}", qos=1),
    "topic of a site alone": Message(f"{ROOT}/harbour/counts", b"{}", qos=1),
    "topic of nobody": Message(f"{ROOT}//pole-7/status", json.dumps(EXAMPLES["status"]).encode(), 1),
    "topic with a command for a terminal": Message(
        f"{ROOT}/\x1b[2J/pole-7/status", json.dumps(EXAMPLES["status"]).encode(), 1
    ),
    "key of a whole book": other("status", version={"a" * 100_000: 1}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_kept_aside_and_the_rest_of_the_batch_is_stored(database: Database, what: str) -> None:
    inbox = Given([HOSTILE[what], counts()])
    Worker(inbox, database, ROOT, asking=Asking()).turn()
    assert len(inbox.stored) == 2
    with database.connect() as connection:
        assert len(connection.execute(select(INTERVAL)).all()) == 1
        assert len(connection.execute(select(POISON)).all()) == 1


def test_what_is_told_of_it_is_short_and_commands_no_terminal(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [one for what, one in HOSTILE.items() if "terminal" in what or "book" in what]
    batch.append(Message(f"{DEVICE}/meta", b'{"lines": {"\xc2\x9b2J\\u001b[2J": ' + b"[" * 300, qos=1))
    Worker(Given(batch), database, ROOT).turn()
    with database.connect() as connection:
        reasons = list(connection.execute(select(POISON.c.reason)).scalars())
    assert len(reasons) == len(batch)
    assert max(map(len, reasons)) <= 500
    assert all(text.isprintable() for text in (*reasons, *(record.getMessage() for record in caplog.records)))


def test_one_device_fills_no_disk_with_what_is_kept_aside(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.city.chores._MOST_ASIDE", 3)
    worker = Worker(Given([Message(f"{DEVICE}/counts/main", f"no {n}".encode(), 1) for n in range(8)]), database, ROOT)
    worker.turn()
    with database.connect() as connection:
        assert [row.payload for row in read_poison(connection)] == ["no 7", "no 6", "no 5"]
        assert read_tallies(connection)[1] == 8  # what is watched never falls


def test_one_device_fills_no_disk_with_contradictions(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_app.city.chores._MOST_CONTRADICTIONS", 3)
    start = datetime(2026, 11, 29, 9, tzinfo=timezone.utc)
    spans = [(start + timedelta(seconds=number), start + timedelta(seconds=number + 60)) for number in range(9)]
    batch = [
        counts(id=f"{number:032x}", seq=number + 1, start=begin.isoformat(), end=end.isoformat())
        for number, (begin, end) in enumerate(spans)
    ]
    Worker(Given(batch), database, ROOT).turn()
    with database.connect() as connection:
        found = count_contradictions(connection)
        assert [row.kind for row in read_contradictions(connection)] == ["overlap", "totals", "overlap"]
        assert read_tallies(connection)[0] == found
    assert found == {"overlap": 8, "totals": 9}
    assert "old contradictions are deleted: the newest 3 stay" in caplog.text


@pytest.mark.parametrize("text", ["[" * 985 + "]" * 985, "[" * 600 + '"\\u0000"' + "]" * 600])
def test_an_office_that_nests_deeply_ends_nothing(database: Database, text: str) -> None:
    """What it sets is retained, and would come again at every start."""
    document = {"schema": "edge-app/config-desired/1", "revision": 1, "at": REPLY["at"], "set": {}, "unset": []}
    deep = json.dumps({**document, "more": 12345}).replace("12345", text)
    signed = {"schema": "edge-app/signed/1", "key": "0" * 8, "signature": "A" * 86, "document": deep}
    inbox = Given([Message(f"{DEVICE}/config/desired", json.dumps(signed).encode(), 1, retained=True), counts()])
    worker = Worker(inbox, database, ROOT)
    worker.turn()
    assert (len(inbox.stored), worker.tally.counts["stored"]) == (2, 1)


@pytest.mark.parametrize("fault", [RecursionError("too deep"), OverflowError("too large"), KeyError("x")])
def test_a_fault_of_the_program_over_one_message_ends_nothing(
    database: Database, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note_health(_: object, told: Mapping[Any, Health], __: object) -> None:
        if any(one.uptime_s == 13 for one in told.values()):
            raise fault

    monkeypatch.setattr("edge_app.city.database.fleet.note_health", note_health)
    inbox = Given([other("health"), other("status"), other("health", uptime_s=13), counts()])
    worker = Worker(inbox, database, ROOT)
    worker.turn()
    assert len(inbox.stored) == 4
    with database.connect() as connection:
        assert len(connection.execute(select(INTERVAL)).all()) == 1
        (aside,) = connection.execute(select(POISON)).all()
        assert (aside.topic, type(fault).__name__ in aside.reason) == (f"{DEVICE}/health", True)


def test_what_another_worker_stores_at_the_same_moment_is_no_fault_of_a_message(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_health, tries = fleet.note_health, list[int]()

    def quicker(*arguments: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueRefusedError("the database refuses a value (a key is there already)")
        note_health(*arguments)

    monkeypatch.setattr("edge_app.city.database.fleet.note_health", quicker)
    inbox = Given([other("health")])
    worker = Worker(inbox, database, ROOT)
    worker.turn()
    assert (len(inbox.stored), worker.tally.counts["poison"], len(tries)) == (1, 0, 2)


def test_a_line_that_was_detached_gets_a_site_as_often_as_that_happens(database: Database) -> None:
    ids = []
    for _ in range(4):
        inbox = Given([other("meta"), counts()])
        Worker(inbox, database, ROOT).turn()
        assert len(inbox.stored) == 2
        with database.begin() as connection:
            (site,) = connection.execute(select(ATTACHMENT.c.site_id)).scalars()
            connection.execute(ATTACHMENT.delete())
            connection.execute(SITE.update().values(by_hand=True))
        ids.append(site)
    assert len(set(ids)) == 4
    assert all(site.startswith("harbour-pole-7-quay-road") for site in ids)


@pytest.mark.servers
def test_what_the_database_alone_refuses_is_found_in_its_batch(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.city.reading._PERHAPS_ENDLESS", re.compile(b"$^"))
    good = [counts(id=f"{number:032x}", seq=number, start=f"2026-11-29T09:{number:02}:00Z") for number in range(1, 7)]
    good = [Message(one.topic, one.payload.replace(b"09:12:00Z", b"09:59:00Z"), qos=1) for one in good]
    inbox = Given([*good[:4], HOSTILE["health without end"], *good[4:], HOSTILE["health that is no number"]])
    database = open_database(postgres_server.raised())
    worker = Worker(inbox, database, ROOT, asking=Asking())
    worker.turn()
    assert (worker.tally.database_problem, len(inbox.stored), worker.tally.counts["poison"]) == ("", 8, 2)
    with database.connect() as connection:
        assert len(connection.execute(select(INTERVAL)).all()) == 6
        assert {row.topic for row in connection.execute(select(POISON))} == {f"{DEVICE}/health"}
    database.close()


def test_the_most_vehicles_of_a_quarter_can_be_added_up(database: Database) -> None:
    most = {"left_to_right": 1_000_000, "right_to_left": 1_000_000}
    doubtful = {"bus": 1_000_000}
    start = datetime(2026, 11, 29, 9, tzinfo=timezone.utc)
    seconds = [(start + timedelta(seconds=number)).isoformat() for number in range(901)]
    batch = [
        counts(
            id=f"{at:032x}",
            seq=at + 1,
            start=seconds[at],
            end=seconds[at + 1],
            counts=dict.fromkeys(VEHICLES, most),
            doubtful=doubtful,
        )
        for at in range(900)
    ]
    worker = Worker(Given(batch), database, ROOT)
    worker.turn()
    assert worker.tally.database_problem == ""
    with database.connect() as connection:
        quarter = connection.execute(select(QUARTER)).one()
    assert (quarter.car_left_to_right, quarter.doubtful) == (900_000_000, 900_000_000)

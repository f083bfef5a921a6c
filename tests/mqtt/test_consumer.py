"""The example consumer of the documents, against a broker that loses what it has acknowledged."""

from __future__ import annotations

import json
import random
import runpy
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.publisher import Publisher
from edge_app.records import FLOWS
from tests.support.brokers import (
    Mosquitto,
    collect,
    eventually,
    mosquitto,
    needs_mosquitto,
    run_until,
    session,
    subscribed,
)
from tests.support.paths import ROOT
from tests.support.publisher_cases import INSTALLATION, State, steps

PAST = 1_700_000_040.0
"""The consumer sets aside what ends in the future, and its clock is the real one."""


@contextmanager
def consumer(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    script, database = str(ROOT / "docs/examples/consumer.py"), str(folder / "city.sqlite3")
    command = [sys.executable, script, HOST, str(port), database, *options]
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


@pytest.mark.long
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
    said = (tmp_path / "consumer.log").read_text()
    assert "conflict" not in said
    assert "ignored" not in said, said
    with closing(sqlite3.connect(tmp_path / "city.sqlite3")) as db:  # from the answer to its ping
        assert ("a", INSTALLATION) in db.execute("SELECT line, installation FROM newest").fetchall()


@needs_mosquitto
def test_it_stores_flows_and_asks_for_those_that_did_not_arrive(state: State, tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        state.begin = PAST
        publisher = state.publisher(broker.port)
        state.close_intervals(2, line=FLOWS)
        drive(publisher, lambda: len(state.outbox) == 0)
        with consumer(tmp_path, broker.port):
            state.close_intervals(1, line=FLOWS)
            drive(publisher, lambda: [seq for seq, _ in stored(tmp_path)] == [1, 2, 3])
        publisher.drain(1.0)
    said = (tmp_path / "consumer.log").read_text()
    assert "asked for" in said
    assert "conflict" not in said
    assert "ignored" not in said, said


def test_the_example_adds_measures_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(ROOT / "docs/examples/measures.py"))
    with closing(sqlite3.connect(tmp_path / "city.sqlite3")) as db, db:
        db.execute("CREATE TABLE interval (id, site, device, line, seq, start, aside, payload)")
        for seq, (line, message) in enumerate([("quay-road", "counts"), ("quay-road", "counts"), ("_flows", "flows")]):
            row = seq, "harbour", "pole-7", line, seq, PAST, 0, json.dumps(EXAMPLES[message])
            db.execute("INSERT INTO interval VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    example["main"](str(tmp_path / "city.sqlite3"))
    assert [line.removeprefix("harbour/pole-7 ") for line in capsys.readouterr().out.splitlines()] == [
        "quay-road: car left_to_right: 4 vehicles, mean 46.7, space mean 46.4, 85 % below 51.4 km/h, 2 not measured",
        "quay-road: car right_to_left: 2 vehicles, mean 38.9, space mean 38.9, 85 % below 39.7 km/h, 0 not measured",
        "quay-road: lane 1: headways up to s: 3: 2, above: 2",
        "quay-road: lane 2: headways up to s: above: 2",
        "quay-road: lane 1: occupied 1.9 % of 120 s",
        "quay-road: lane 2: occupied 0.7 % of 120 s",
        "quay-road: queue: at most 2, some vehicle for 28 s, in all 43 s",
        "_flows: quay-road to bridge: 2 car",
        "_flows: quay-road to quay-road: 1 car",
    ]
    example["main"](str(tmp_path / "city.sqlite3"), "2026-01-01T00:00:00Z")
    assert capsys.readouterr().out == ""


def soon(condition: Callable[[], object]) -> None:
    def check() -> object:
        time.sleep(0.05)
        return condition()

    eventually(check, 20.0)


def kill(broker: Mosquitto) -> None:
    broker.kill()
    broker.start()


Send = Callable[[str, bytes], None]
"""Publishes a payload under a topic below traffic/v1/delft/."""


@contextmanager
def stranger(port: int) -> Iterator[Send]:
    other = session(port, "stranger")
    run_until(other, Connected)

    def send(topic: str, payload: bytes) -> None:
        other.publish(Message(f"traffic/v1/delft/{topic}", payload, qos=1))
        eventually(lambda: any(isinstance(event, Acked) for event in other.poll(0.05)))

    try:
        yield send
    finally:
        other.close()


def interval(seq: int, **other: Any) -> dict[str, Any]:
    """Return interval `seq` of a line on which one car passes in each of them."""
    at = [datetime.fromtimestamp(PAST + 60 * n, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for n in (seq - 1, seq)]
    car = {"car": {"left_to_right": 1, "right_to_left": 0}}
    totals = {"car": {"left_to_right": seq, "right_to_left": 0}}
    names = {"id": f"i{seq}", "site": "delft", "device": "cam-1", "line": "a", "installation": INSTALLATION}
    return {**names, "seq": seq, "start": at[0], "end": at[1], "counts": car, "totals": totals, "late": False, **other}


DEEP = b"[" * 100_000
STEMS = {
    "counts/a": interval(7),
    "replies/resend": EXAMPLES["replies"],
    "replies/ping": {"id": "x", "ok": True, "result": {"installations": {"ab": {"a": {"newest_seq": 3}}}}},
    "status": EXAMPLES["status"],
    "health": EXAMPLES["health"],
}
ODD = (
    *(b"", b"\xff", b"[]", b"{}", b"null", b"1e999", b"NaN", DEEP, b'{"a":' * 50_000, b'{"state": "onl', b'"\\ud800"'),
    *(b'{"id":1,"end":5}', b'{"id":' + b"9" * 5_000 + b"}", b'{"ok": true, "id": [], "result": []}', b'{"ok": {}}'),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    {},
    [],
    "",
    "\ud800",
    "a\n",
    "0",
    -1,
    0,
    1e20,
    10**18,
    10**400,
    float("nan"),
    {"": {"": []}},
    [[]],
    "9999-12-31T23:59:59Z",
)


def odd_payloads(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield topics with payloads that are no messages, or nearly ones."""
    yield from ((topic, payload) for topic in STEMS for payload in ODD)
    for topic, stem in STEMS.items():
        yield from ((topic, json.dumps(stem | {key: value}).encode()) for key in stem for value in VALUES[:8])
    for _ in range(count):
        topic, stem = rng.choice(list(STEMS.items()))
        payload = json.dumps(stem | {rng.choice(list(stem)): rng.choice(VALUES) for _ in range(rng.randint(1, 3))})
        cut = rng.randrange(len(payload)) if rng.random() < 0.2 else len(payload)
        yield topic, payload[:cut].encode()


@needs_mosquitto
def test_it_survives_every_odd_message_on_all_its_topics(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker, consumer(tmp_path, broker.port) as child:
        with stranger(broker.port) as send:
            for topic, payload in odd_payloads(random.Random(7), 300):
                send(f"cam-2/{topic}", payload)
            send("cam-1/counts/a", json.dumps(interval(1)).encode())
            soon(lambda: 1 in dict(stored(tmp_path)) or child.poll() is not None)
        assert child.poll() is None
    said = (tmp_path / "consumer.log").read_text()
    assert said.count("ignored, no message of the contract") > 200
    assert "asked for ('delft', 'cam-2') a " not in said


@needs_mosquitto
def test_it_shows_a_conflict(state: State, tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker, consumer(tmp_path, broker.port):
        state.begin = PAST
        publisher = state.publisher(broker.port)
        state.close_intervals(2)
        drive(publisher, lambda: len(stored(tmp_path)) == 2)
        _, payload = stored(tmp_path)[1]
        with stranger(broker.port) as send:
            clone = json.dumps(json.loads(payload) | {"id": "cafe"}).encode()
            for _ in range(3):
                send("cam-1/counts/a", clone)
            soon(lambda: len(stored(tmp_path)) == 3)
        publisher.drain(1.0)
    log = (tmp_path / "consumer.log").read_text().splitlines()
    conflict = "conflict at delft/cam-1 a: number 2 has two contents, 22:15:00 to 22:16:00"
    assert [line for line in log if "conflict" in line] == [conflict]


class Asker:
    """The example's functions on a database in memory; what it sends to devices is kept."""

    def __init__(self) -> None:
        self.functions = runpy.run_path(str(ROOT / "docs/examples/consumer.py"))
        self.db = sqlite3.connect(":memory:")
        self.db.executescript(self.functions["TABLES"])

    def store(self, *intervals: dict[str, Any]) -> None:
        for i in intervals:
            self.functions["store"](self.db, ("delft", "cam-1"), "a", i)

    def gaps(self, after_s: float = 0.0) -> list[tuple[int, int]]:
        return [row[4:] for row in self.db.execute(self.functions["GAPS"], (time.time() + after_s,))]


def test_what_is_gone_is_not_asked_for_again() -> None:
    asker = Asker()
    asker.store(interval(5), interval(11))
    assert asker.gaps() == [(1, 4), (6, 10)]
    asker.db.execute("INSERT INTO gone VALUES ('delft', 'cam-1', 'a', ?, 1, 10, 'expired')", (INSTALLATION,))
    assert asker.gaps() == []
    asker.store(interval(13))
    assert asker.gaps() == [(12, 12)]


class Sent:
    """Stands for the client: keeps what is published."""

    root = "traffic/v1"

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def publish(self, _topic: str, payload: str, qos: int) -> None:
        assert qos == 1
        self.commands.append(json.loads(payload))


def test_it_waits_longer_each_time_for_what_is_sent_and_does_not_come(capsys: pytest.CaptureFixture[str]) -> None:
    asker, sent = Asker(), Sent()
    asker.store(interval(3))
    waits = []
    for number in range(1, 12):
        asker.functions["close_gaps"](asker.db, sent)
        asker.functions["close_gaps"](asker.db, sent)
        assert len(sent.commands) == number
        reply = {"id": sent.commands[-1]["id"], "ok": True, "result": {"sent": 2, "missing": []}}
        asker.functions["note_reply"](asker.db, ("delft", "cam-1"), "resend", reply)
        asker.functions["close_gaps"](asker.db, sent)  # not yet
        ((key, (_, until)),) = asker.functions["rest"].items()
        waits.append(round(until - time.time()))
        asker.functions["rest"][key] = (asker.functions["rest"][key][0], 0.0)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert capsys.readouterr().out.count("asked for") == 11


def test_a_number_given_twice_says_nothing_about_the_sums_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    other = {"car": {"left_to_right": 9, "right_to_left": 0}}
    totals = {"car": {"left_to_right": 10, "right_to_left": 0}}
    twice = interval(2, id="o", counts=other, totals=totals)
    Asker().store(interval(1), twice, interval(2), interval(3))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("conflict at delft/cam-1 a: number 2 has two contents")


@pytest.mark.parametrize("kind", ["health", "ping"])
def test_a_gap_at_the_newest_end_is_asked_for(kind: str) -> None:
    asker = Asker()
    asker.store(interval(1))
    if kind == "health":
        health = {"installation": INSTALLATION, "newest_seq": {"a": 4}}
        asker.functions["note_health"](asker.db, ("delft", "cam-1"), "", health)
    else:
        lines = {
            INSTALLATION: {"a": {"first_seq": 1, "newest_seq": 4}},
            "ffff": {"a": {"first_seq": 1, "newest_seq": 0}},
        }
        reply = {"id": "x", "ok": True, "result": {"installations": lines}}
        asker.functions["note_reply"](asker.db, ("delft", "cam-1"), "ping", reply)
    assert asker.gaps(-1.0) == []  # it may be on its way
    assert asker.gaps(1.0) == [(2, 4)]


FALLEN = {"car": {"left_to_right": 1, "right_to_left": 0}}


@pytest.mark.parametrize(
    ("second", "shown"),
    [
        (interval(2), []),
        (interval(2, totals=FALLEN), ["conflict at delft/cam-1 a: totals of numbers 1 and 2 do not fit the counts, "]),
        (interval(3, totals=FALLEN), ["conflict at delft/cam-1 a: totals of numbers 1 and 3 do not fit the counts, "]),
        (interval(1, late=True), []),
        (interval(1, counts=FALLEN, frames=1), ["conflict at delft/cam-1 a: number 1 has two contents under one id, "]),
        (
            interval(1) | {"seq": 2, "id": "o", "totals": interval(2)["totals"]},
            ["conflict at delft/cam-1 a: numbers 1 and 2 overlap, the first received counts, "],
        ),
        (
            interval(1, installation="ffff", id="o"),
            [
                f"overlap at delft/cam-1 a: installations {INSTALLATION} and ffff, "
                "the one without clock_stepped counts, else the later, "
            ],
        ),
    ],
)
def test_what_contradicts_another_is_shown_once(
    second: dict[str, Any], shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asker = Asker()
    asker.store(interval(1), second, second)
    assert [line[: -len("22:14:00 to 22:15:00")] for line in capsys.readouterr().out.splitlines()] == shown


def test_it_refuses_what_would_have_it_ask_for_ever() -> None:
    for odd in ({"seq": 10**18}, {"seq": 1e3}, {"seq": True}, {"line": "b"}, {"end": interval(1)["start"]}):
        with pytest.raises(ValueError, match="here"):
            Asker().store(interval(1) | odd)


def test_an_interval_of_the_future_is_set_aside_but_no_gap(capsys: pytest.CaptureFixture[str]) -> None:
    asker = Asker()
    asker.store(interval(1), interval(2, end="2999-01-01T00:00:00Z", start="2998-12-31T23:59:00Z"), interval(3))
    assert asker.gaps() == []
    assert capsys.readouterr().out.startswith("set aside from delft/cam-1 a: number 2 ends in the future")


@needs_mosquitto
def test_it_follows_a_prefix(tmp_path: Path) -> None:
    options = ("10", "--prefix", "city/north")
    with mosquitto(tmp_path / "broker") as broker, consumer(tmp_path, broker.port, *options):
        other = session(broker.port, "device")
        run_until(other, Connected)
        payload = json.dumps(interval(2)).encode()
        with subscribed(broker.port, "city/north/traffic/v1/delft/cam-1/commands/resend") as reader:
            other.publish(Message("city/north/traffic/v1/delft/cam-1/counts/a", payload, qos=1))
            (command,) = collect(reader, lambda messages: other.poll(0.01) is None or len(messages) == 1)
        other.close()
    assert json.loads(command.payload)["args"]["to_seq"] == 1

"""Each broker of the city side keeps the same promises: what is not acknowledged comes again, to whichever worker."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import select

from edge_app.city.asking import Asking
from edge_app.city.database.engine import open_database
from edge_app.city.database.tables import DEVICE, INTERVAL, POISON, SITE
from edge_app.city.inbox import Inbox
from edge_app.city.ingest import Worker
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from tests.support.brokers import eventually, run_until, session, subscribed
from tests.support.city_brokers import Broker, inbox, running
from tests.support.city_worker import start
from tests.support.rabbitmq import PROGRAM
from tests.trials.ingest import messages

pytestmark = pytest.mark.servers
NEEDED = {"mqtt": "mosquitto", "nats": "nats-server", "rabbitmq": str(PROGRAM)}
PACKAGES = {"nats": "nats", "rabbitmq": "pika"}


@pytest.fixture(scope="module", params=NEEDED)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    kind = str(request.param)
    if not shutil.which(NEEDED[kind]) or not find_spec(PACKAGES.get(kind, "paho")):
        pytest.skip(f"needs {NEEDED[kind]} and the extra `city`")
    with running(kind, tmp_path_factory.mktemp(kind)) as server:
        yield server


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    """Topics of each test alone: the brokers go on, with what they keep."""
    return f"{request.node.originalname.replace('_', '-')[5:40]}/{ROOT}"


def open_inbox(broker: Broker, root: str, name: str = "1", share: str = "", fleet: str = "yes") -> Inbox:
    made = inbox(broker.port, broker.kind, broker.queue_port, root, name, share, fleet)
    eventually(lambda: made.read(10, 0.05) or not made.problem, 20.0)
    deadline = time.monotonic() + 0.3  # the subscription over MQTT
    while time.monotonic() < deadline:
        assert not made.read(10, 0.05)
    return made


def read(box: Inbox, many: int, timeout: float = 15.0) -> list[Message]:
    """Return at least so many messages that wait for their acknowledgement."""
    got: list[Message] = []

    def enough() -> bool:
        got.extend(one for one in box.read(1_000, 0.05) if one.unacknowledged)
        return len(got) >= many

    eventually(enough, timeout)
    return got


def nothing_comes(box: Inbox, seconds: float = 2.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if any(one.unacknowledged for one in box.read(1_000, 0.05)):
            return False
    return True


def publish(broker: Broker, sent: Sequence[Message]) -> None:
    """Publish, and return when the broker has acknowledged all."""
    with closing(session(broker.port, "generator")) as sender:
        run_until(sender, Connected)
        for message in sent:
            sender.publish(message)
        run_until(sender, Acked, len(sent), 20.0)


def turn_until(worker: Worker, condition: Callable[[], bool]) -> None:
    def reached() -> bool:
        worker.turn()
        return condition()

    eventually(reached, 30.0)


def counts(root: str, many: int, devices: int = 1) -> list[Message]:
    return [Message(one.topic.replace(ROOT, root, 1), one.payload, 1) for one in messages(many, devices)]


def content(got: Sequence[Message]) -> list[tuple[str, bytes]]:
    return [(one.topic, one.payload) for one in got]


def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(broker: Broker, root: str) -> None:
    sent = counts(root, 6)
    with closing(open_inbox(broker, root)) as box:
        publish(broker, sent)
        got = read(box, 6)
        assert content(got) == content(sent)
        box.acknowledge(got[:4])
        assert nothing_comes(box, 0.3)  # time for the acknowledgements to arrive
        box.drop()
        again = read(box, 2)
        assert content(again) == content(sent[4:])
        box.acknowledge(got[4:])  # of the connection before: they mean nothing now
        box.drop()
        again = read(box, 2)
        assert content(again) == content(sent[4:])
        box.acknowledge(again)
        assert nothing_comes(box, 0.3)
        box.drop()
        assert nothing_comes(box)


def test_what_comes_while_the_worker_is_away_waits_for_it(broker: Broker, root: str) -> None:
    open_inbox(broker, root).close()
    sent = counts(root, 3)
    publish(broker, sent)
    with closing(open_inbox_with_waiting(broker, root)) as box:
        got = read(box, 3)
        assert content(got) == content(sent)
        box.acknowledge(got)


def open_inbox_with_waiting(broker: Broker, root: str) -> Inbox:
    return inbox(broker.port, broker.kind, broker.queue_port, root)


def test_two_workers_share_the_counts_and_one_takes_over_from_the_other(broker: Broker, root: str) -> None:
    sent = counts(root, 100, devices=20)
    first, second = open_inbox(broker, root, "1", "yes"), open_inbox(broker, root, "2", "yes", fleet="")
    with closing(first), closing(second):
        publish(broker, sent)
        by_first, by_second = read(first, 1), read(second, 1)
        deadline = time.monotonic() + 15.0
        while len(by_first) + len(by_second) < 100 and time.monotonic() < deadline:
            by_first += [one for one in first.read(1_000, 0.05) if one.unacknowledged]
            by_second += [one for one in second.read(1_000, 0.05) if one.unacknowledged]
        assert Counter(content(by_first + by_second)) == Counter(content(sent))
        first.acknowledge(by_first)
        second.drop()  # without having acknowledged; on mosquitto the same worker must come back for its own
        again = read(second, 1) if broker.kind == "mqtt" else []
        while len(again) < len(by_second) and time.monotonic() < deadline + 15.0:
            for box in (second, first):
                new = [one for one in box.read(1_000, 0.05) if one.unacknowledged]
                again += new
                box.acknowledge(new)
        assert Counter(content(again)) == Counter(content(by_second))


def test_a_topic_that_is_no_text_or_has_signs_of_a_protocol_stops_nothing(broker: Broker, root: str) -> None:
    """mosquitto refuses it, the others take it, and a worker that could not read it would get it for ever.

    Topics of more than 255 bytes are left out: RabbitMQ takes them and can give them to nobody (docs/city.md).
    """
    sent = counts(root, 3)
    with closing(open_inbox(broker, root)) as box:
        names = (b"q\tz", b"q\r\nz", b"q\t1\t2\r\n", b"\xff\xfe", b"\x01", b"", b"*", b"n" * 100)
        for number, name in enumerate(names, start=1):
            publish_raw(broker.port, f"{root}/harbour/pole-7/counts/".encode() + name, b"odd-%d" % number)
        publish(broker, sent)
        got = list[Message]()
        while not {*content(sent)} <= {*content(got)}:
            new = read(box, 1)
            box.acknowledge(new)
            got += new
        assert box.problem == ""


def publish_raw(port: int, topic: bytes, client: bytes) -> None:
    """Publish under a topic that no client of ours would send; return when the broker has answered, or ended it.

    client: five bytes, another for each call: NATS refuses a name whose last connection it has not yet put away.
    """
    with socket.create_connection((HOST, port), 10) as connection:
        who = b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x05" + client
        connection.sendall(bytes([0x10, len(who)]) + who)
        assert connection.recv(4) == b"\x20\x02\x00\x00"
        rest = len(topic).to_bytes(2, "big") + topic + b"\x00\x01" + b"{}"
        connection.sendall(bytes([0x32, len(rest) % 128 | 0x80, len(rest) // 128]) + rest)
        with suppress(ConnectionError):
            connection.recv(4)


def test_a_broker_that_is_killed_keeps_what_it_has_acknowledged(broker: Broker, root: str) -> None:
    """Of mosquitto that is true for a worker that is away: what is on its way to one that is there is not saved."""
    with closing(open_inbox(broker, root)) as box:
        if broker.kind == "mqtt":
            box.drop()
        else:
            time.sleep(1.5)  # RabbitMQ saves the name of a new queue a moment later
        sent = counts(root, 20)
        publish(broker, sent)
        if broker.kind == "mqtt":
            time.sleep(1.0)  # it acknowledges a moment before it saves
        broker.server.kill()
        eventually(lambda: not box.read(1_000, 0.1) and box.problem, 20.0)
        broker.server.start()
        got = read(box, 20, 40.0)
        assert sorted(set(content(got))) == sorted(content(sent))
        box.acknowledge(got)
        eventually(lambda: not box.read(10, 0.1) and not box.problem, 20.0)  # MQTT beside the queue comes back later


def test_a_worker_that_is_killed_between_commit_and_acknowledgement_doubles_nothing(
    broker: Broker, root: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
    database = open_database(url)
    open_inbox(broker, root).close()
    publish(broker, counts(root, 100, devices=10))
    start(broker, url, root=root, dies=True).wait(30)

    def stored() -> int:
        with database.connect() as connection:
            return len(connection.execute(select(INTERVAL)).all())

    assert stored() > 0  # the first batch, which comes again
    with closing(open_inbox_with_waiting(broker, root)) as box:
        worker = Worker(box, database, root)
        turn_until(worker, lambda: worker.tally.counts["stored"] + worker.tally.counts["repeated"] >= 100)
        assert worker.tally.counts["repeated"] > 0
        assert worker.tally.counts["contradictions"] == 0
    assert stored() == 100
    database.close()


def test_what_devices_told_of_themselves_before_reaches_a_worker_that_comes_later(broker: Broker, root: str) -> None:
    """Duplicates, another order and what is no message of the contract change nothing."""
    plain = counts(root, 3)
    topic = plain[0].topic.rsplit("/", 2)[0]
    meta = EXAMPLES["meta"] | {"site": "town", "device": "pole-0"}
    publish(
        broker,
        [
            Message(f"{topic}/meta", json.dumps(meta).encode(), qos=1, retained=True),
            Message(f"{topic}/status", json.dumps(EXAMPLES["status"]).encode(), qos=1, retained=True),
        ],
    )
    database = open_database("sqlite://")
    with closing(open_inbox_with_waiting(broker, root)) as box:
        worker = Worker(box, database, root, asking=Asking())
        turn_until(worker, lambda: not box.problem)
        publish(broker, [plain[2], plain[0], plain[2], plain[1], Message(f"{topic}/counts/main", b"{}", 1)])

        def known() -> list[int]:
            with database.connect() as connection:
                return [len(connection.execute(select(table)).all()) for table in (INTERVAL, POISON, SITE)]

        turn_until(worker, lambda: known() == [3, 1, len(meta["lines"])])
        with database.connect() as connection:
            assert connection.execute(select(DEVICE.c.state)).scalars().all() == [EXAMPLES["status"]["state"]]
    database.close()


def test_what_the_office_sets_and_devices_report_is_known_over_lost_connections(broker: Broker, root: str) -> None:
    """No queue holds it: RabbitMQ delivers it for exact topics alone."""
    plain = counts(root, 1)
    topic = plain[0].topic.rsplit("/", 2)[0]

    def report(revision: int) -> Message:
        told = json.dumps(EXAMPLES["config_reported"] | {"revision": revision})
        return Message(f"{topic}/config/reported", told.encode(), qos=1, retained=True)

    publish(broker, [report(3)])
    database = open_database("sqlite://")
    with closing(open_inbox_with_waiting(broker, root)) as box:
        worker = Worker(box, database, root, asking=Asking())
        turn_until(worker, lambda: not box.problem)
        publish(broker, plain)

        def known() -> list[int]:
            with database.connect() as connection:
                found = connection.execute(select(DEVICE.c.reported)).scalars().all()
            return [one["revision"] for one in found if one]

        turn_until(worker, lambda: known() == [3])
        box.drop()
        publish(broker, [report(4)])
        turn_until(worker, lambda: known() == [4])
    database.close()


def test_a_command_reaches_its_device(broker: Broker, root: str) -> None:
    topic = f"{root}/town/pole-0/commands/ping"
    with closing(open_inbox(broker, root)) as box, subscribed(broker.port, topic, name="device") as device:

        def arrives() -> bytes | None:
            """Send it, as the city does, until it has arrived."""
            box.send(Message(topic, b"{}", qos=1))
            box.read(10, 0.1)
            message = device.read(0.1)
            return message.payload if message else None

        assert eventually(arrives, 20.0) == b"{}"

"""Files of deploy/city with the real servers: NATS and RabbitMQ as shipped, certificates of the city's authority."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from edge_app.city.config import load
from edge_app.city.inbox import BesideMqtt, Inbox, Queue, beside_topics, queued_topics, topics
from edge_app.city.link import FleetLink
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.city.service import open_inbox
from edge_app.cli import main
from edge_app.commands._office_serving import session_of
from edge_app.errors import BrokerError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint, tls_context
from edge_app.mqtt.events import Acked, Connected, Message, Timing
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT as TOPICS
from edge_app.mqtt.session import Session, Subscriber
from tests.support.brokers import QUICK, SHORT, eventually, needs_mosquitto, needs_openssl, run_until
from tests.support.city import City, city_broker, new_city
from tests.support.city_brokers import Broker
from tests.support.nats_server import nats_server, needs_nats
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.rabbitmq import needs_rabbitmq, rabbitmq

SHIPPED = ROOT / "deploy" / "city"
pytestmark = [
    pytest.mark.servers,
    needs_openssl,
    pytest.mark.skipif(not (find_spec("nats") and find_spec("pika")), reason="needs the extra `city`"),
]
OWN, OTHER = f"{TOPICS}/harbour/pole-7", f"{TOPICS}/harbour/pole-8"


def users(kind: str, city: City) -> str:
    done = subprocess.run(("sh", str(SHIPPED / "users.sh"), kind, str(city.folder)), capture_output=True, check=True)
    return done.stdout.decode()


def placed(name: str, **changed: str) -> str:
    """Return the text of a shipped file with some of its words changed, each of which is there."""
    text = (SHIPPED / name).read_text("utf-8")
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextmanager
def shipped(kind: str, city: City, folder: Path) -> Iterator[Broker]:
    """Run a broker on its shipped files, with only paths and ports changed."""
    folder.mkdir(exist_ok=True)
    port, queue_port = free_port(), free_port()
    if kind == "nats":
        (folder / "nats").mkdir()
        (folder / "nats" / "users.conf").write_text(users(kind, city))
        text = placed("nats.conf", **{"/etc/nats": str(city.folder), "/var/lib/nats": str(folder / "store")})
        text = text.replace("0.0.0.0:4222", f"{HOST}:{queue_port}").replace("0.0.0.0:8883", f"{HOST}:{port}")
        with nats_server(folder, text, port=port, queue_port=queue_port) as server:
            yield Broker(kind, server, queue_port)
        return
    (folder / "definitions.json").write_text(users(kind, city))
    paths = {"/etc/rabbitmq/edge-app/definitions.json": str(folder / "definitions.json")}
    text = placed("rabbitmq.conf", **paths, **{"/etc/rabbitmq/edge-app": str(city.folder)})
    text = text.replace("= 5671", f"= {HOST}:{queue_port}").replace("= 8883", f"= {HOST}:{port}")
    with rabbitmq(folder, text, port=port, queue_port=queue_port) as node:
        yield Broker(kind, node, queue_port)


@pytest.fixture(
    scope="module", params=[pytest.param("nats", marks=needs_nats), pytest.param("rabbitmq", marks=needs_rabbitmq)]
)
def city_and_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[City, Broker]]:
    folder = tmp_path_factory.mktemp(request.param)
    city = new_city(folder / "ca")
    city.run("worker", "city-2")
    with shipped(request.param, city, folder) as broker:
        yield city, broker


def session(city: City, broker: Broker, name: str, client_id: str) -> Session:
    return Session(Endpoint(HOST, broker.port, tls=city.tls(name)), client_id, timing=SHORT, backoff=QUICK)


def device(city: City, broker: Broker, name: str) -> Session:
    made = session(city, broker, f"harbour.{name}", f"edge-app-harbour.{name}")
    run_until(made, Connected)
    return made


def worker(city: City, broker: Broker) -> Inbox:
    """Return the inbox of the city, connected."""
    mqtt = MqttInbox(session(city, broker, "control.city", "edge-app-city-1"), beside_topics(TOPICS))
    addresses = [Endpoint(HOST, broker.queue_port, tls=city.tls("control.city"))]
    queue: Queue
    if broker.kind == "nats":
        from edge_app.city.nats_inbox import NatsQueue

        queue = NatsQueue(addresses, queued_topics(TOPICS), ack_wait_s=2.0, backoff=QUICK)
    else:
        from edge_app.city.rabbitmq_inbox import RabbitMqQueue

        queue = RabbitMqQueue(addresses, queued_topics(TOPICS), backoff=QUICK)
    made = BesideMqtt(queue, mqtt)
    eventually(lambda: made.read(10, 0.05) or not made.problem, 20.0)
    return made


def further_worker(city: City, broker: Broker, folder: Path, kind: str = "worker") -> Inbox:
    """Return the inbox of `edge-app city ingest --worker 2`, set up as docs/city.md says. kind: of its certificate."""
    folder.mkdir()
    issued = city.folder / "issued"
    own = "".join((issued / f"{kind}.{end}").read_text() for end in ("city-2.pem", "city-2.key"))
    (folder / "login-2.pem").write_text(own)
    for name, source in (("ca.pem", city.folder / "ca.pem"), ("city.pem", issued / "control.city.pem")):
        shutil.copy(source, folder / name)
    shutil.copy(issued / "control.city.key", folder / "city.key")
    (folder / "city.toml").write_text(
        f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\nprotocol = "3.1.1"\ntls = true\nca_file = "ca.pem"\n'
        f'cert_file = "city.pem"\nkey_file = "city.key"\n[broker]\nkind = "{broker.kind}"\n'
        f"port = {broker.queue_port}\n[ingest]\nshared = true\nask = false\n"
    )
    return open_inbox(load(folder / "city.toml", {}, process="2"))


def queue_of_counts(city: City, broker: Broker, *, name: str = "worker.city-2") -> Queue:
    """Return the queue of a further worker."""
    return queue_with(city, broker, name, queued_topics(TOPICS, fleet=False), makes=False)


def queue_with(city: City, broker: Broker, name: str, wanted: Sequence[str], *, makes: bool) -> Queue:
    addresses = [Endpoint(HOST, broker.queue_port, tls=city.tls(name))]
    if broker.kind == "nats":
        from edge_app.city.nats_inbox import NatsQueue

        return NatsQueue(addresses, wanted, makes=makes, ack_wait_s=2.0, backoff=QUICK)
    from edge_app.city.rabbitmq_inbox import RabbitMqQueue

    return RabbitMqQueue(addresses, wanted, makes=makes, backoff=QUICK)


class NatsSpy:
    """Whoever speaks NATS with a certificate of his own, and what came to him."""

    def __init__(self, city: City, broker: Broker, name: str) -> None:
        from nats.aio.client import Client

        self.heard: list[tuple[str, bytes]] = []
        self.refused: list[str] = []
        self._loop, self._client = asyncio.new_event_loop(), Client()
        way = self._client.connect(
            f"nats://{HOST}:{broker.queue_port}",
            tls=tls_context(city.tls(name)),
            tls_hostname=HOST,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            error_cb=self._note,
        )
        self._loop.run_until_complete(way)

    def listen(self, subject: str) -> None:
        self._loop.run_until_complete(self._client.subscribe(subject, cb=self._hear))

    def ask(self, subject: str, body: bytes, reply: str) -> None:
        self._loop.run_until_complete(self._client.publish(subject, body, reply=reply))

    def wait(self, seconds: float = 0.02) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()

    async def _hear(self, message: Any) -> None:
        self.heard.append((message.subject, message.data))

    async def _note(self, error: Exception) -> None:
        self.refused.append(str(error))


def check_binds_nothing(city: City, broker: Broker) -> None:
    """See that a worker puts nothing else into the queue that it reads of RabbitMQ, and reads no other."""
    import pika
    from pika.exceptions import ChannelClosedByBroker

    from edge_app.city.rabbitmq_inbox import parameters

    way = parameters(Endpoint(HOST, broker.queue_port, tls=city.tls("worker.city-2")))
    refused = partial(pytest.raises, ChannelClosedByBroker, match="ACCESS_REFUSED")
    with closing(pika.BlockingConnection([way])) as connection:
        for key in ("traffic.v1.*.*.pieces.*", "traffic.v1.*.*.counts.*", "#"):
            with refused():
                connection.channel().queue_bind("edge-app-city-counts", "amq.topic", key)
        for queue in ("edge-app-city-fleet", "mqtt-subscription-worker.city-2qos1", ""):
            with refused():
                connection.channel().queue_declare(queue, durable=True)
        with refused():
            connection.channel().basic_consume("edge-app-city-fleet", lambda *_: None)


def check_waits(city: City, broker: Broker) -> None:
    """See that a worker that comes first to RabbitMQ says so, and goes on as soon as the office has made the queue."""
    import pika

    from edge_app.city.rabbitmq_inbox import parameters

    way = parameters(Endpoint(HOST, broker.queue_port, tls=city.tls("control.city")))
    with closing(pika.BlockingConnection([way])) as connection:
        connection.channel().queue_delete("edge-app-city-counts")
    with closing(queue_of_counts(city, broker)) as box:
        eventually(lambda: (box.read(1, 0.02), "has no queue of counts yet" in box.problem)[1])
        worker(city, broker).close()
        eventually(lambda: (box.read(1, 0.02), not box.problem)[1])


def until(box: Inbox, wanted: str, *others: Session) -> list[Message]:
    """Read until a message with this payload has come, and return all, acknowledged."""
    got: list[Message] = []

    def there() -> bool:
        new = list(box.read(100, 0.05))
        box.acknowledge(new)
        got.extend(new)
        for other in others:
            other.poll(0.01)
        return any(one.payload == wanted.encode() for one in got)

    eventually(there, 20.0)
    return got


def test_a_device_reaches_the_city_and_can_be_no_other(city_and_broker: tuple[City, Broker]) -> None:
    city, broker = city_and_broker
    with closing(device(city, broker, "pole-7")) as own, closing(worker(city, broker)) as box:
        own.publish(Message(f"{OWN}/counts/a", b"own", qos=1))
        got = until(box, "own", own)
        assert {one.topic for one in got if one.payload == b"own"} == {f"{OWN}/counts/a"}
        forged = ("commands/ping", "config/desired")
        topics = [f"{OTHER}/counts/a", f"{OTHER}/status", *(f"{of}/{part}" for of in (OWN, OTHER) for part in forged)]
        if broker.kind == "rabbitmq":  # it could give it to no worker, and nothing after it
            topics.append(f"{OWN}/counts/{'n' * 240}")
        for topic in topics:
            with closing(device(city, broker, "pole-7")) as again:  # the one before may be disconnected for it
                again.publish(Message(topic, b"forged", qos=1))
                again.poll(0.3)
        with closing(device(city, broker, "pole-8")) as other:
            other.publish(Message(f"{OTHER}/counts/a", b"last", qos=1))
            got = until(box, "last", other)
        assert not [one for one in got if one.payload == b"forged"]


def test_a_further_worker_takes_counts_with_its_own_certificate_and_commands_nobody(
    city_and_broker: tuple[City, Broker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    city, broker = city_and_broker
    with ExitStack() as stack:
        own = stack.enter_context(closing(device(city, broker, "pole-7")))
        worker(city, broker).close()  # it makes what the further one takes from
        box = stack.enter_context(closing(further_worker(city, broker, tmp_path / "city")))
        eventually(lambda: (own.poll(0.01), box.read(10, 0.05), not box.problem)[2], 20.0)
        own.publish(Message(f"{OWN}/counts/a", b"for the second", qos=1))
        until(box, "for the second", own)
        own.subscribe([f"{OWN}/commands/#"])
        forger = stack.enter_context(closing(session(city, broker, "worker.city-2", "edge-app-city-2")))
        office = stack.enter_context(closing(session(city, broker, "control.city", "edge-app-city-1")))
        run_until(office, Connected)
        eventually(lambda: (forger.poll(0.05), forger.connections or forger.failures > 2)[1], 30.0)
        with suppress(BrokerError):
            forger.publish(Message(f"{OWN}/commands/ping", b"forged", qos=1))
        heard: list[bytes] = []

        def obeyed() -> bool:
            forger.poll(0.01)
            office.publish(Message(f"{OWN}/commands/ping", b"true", qos=1))
            office.poll(0.01)
            heard.extend(event.payload for event in own.poll(0.05) if isinstance(event, Message))
            return len(heard) > 5

        eventually(obeyed, 20.0)
        assert set(heard) == {b"true"}
    assert not [one for one in caplog.records if one.name == "asyncio"]  # at the end of TLS


def test_a_workers_certificate_takes_counts_and_reads_nothing_else(city_and_broker: tuple[City, Broker]) -> None:
    """Neither the pictures in `pieces` nor those in `reviews`, by whatever consumer or queue."""
    city, broker = city_and_broker
    foreign = [f"{TOPICS}/+/+/{kind}" for kind in ("pieces/+", "reviews/+", "status")]
    with ExitStack() as stack:
        office = stack.enter_context(closing(worker(city, broker)))
        thieves = [
            stack.enter_context(closing(queue_with(city, broker, "worker.city-2", [topic], makes=makes)))
            for topic in foreign
            for makes in (True, False)
        ]
        box = stack.enter_context(closing(queue_of_counts(city, broker)))
        own = stack.enter_context(closing(device(city, broker, "pole-7")))
        for kind in ("pieces/a", "reviews/a", "status", "counts/a"):
            own.publish(Message(f"{OWN}/{kind}", f"of {kind}".encode(), qos=1))
        taken: list[Message] = []

        def came() -> bool:
            own.poll(0.01)
            for one in (office, box):
                new = list(one.read(100, 0.02))
                one.acknowledge(new)
                taken.extend(new if one is box else ())
            if b"of counts/a" not in {one.payload for one in taken}:
                own.publish(Message(f"{OWN}/counts/a", b"of counts/a", qos=1))  # the office takes of them, too
            return all("does not let this login take" in one.problem for one in thieves) and bool(taken)

        def looked() -> bool:
            for thief in thieves:
                assert not thief.read(10, 0.01)
            return came()

        eventually(looked, 40.0)
        assert not box.problem
        assert {one.topic for one in taken} == {f"{OWN}/counts/a"}
    if broker.kind == "rabbitmq":
        check_binds_nothing(city, broker)
        check_waits(city, broker)


@needs_nats
def test_who_speaks_nats_hears_nothing_that_is_meant_for_another(tmp_path: Path) -> None:
    """Where a worker has its messages sent nobody else may listen, and only `control` makes consumers."""
    from nats.errors import Error

    city = new_city(tmp_path / "ca")
    city.run("worker", "city-2")
    city.run("worker", "city-3")
    with shipped("nats", city, tmp_path / "broker") as broker, ExitStack() as stack:
        first = stack.enter_context(closing(queue_of_counts(city, broker)))
        eventually(lambda: (first.read(1, 0.02), "holds no messages yet" in first.problem)[1])
        own = stack.enter_context(closing(device(city, broker, "pole-7")))
        own.subscribe([f"{OWN}/commands/#"])
        eventually(lambda: (first.read(1, 0.02), "has no queue of counts yet" in first.problem)[1])
        office = stack.enter_context(closing(worker(city, broker)))
        eventually(lambda: (first.read(1, 0.02), office.read(1, 0.02), not first.problem)[2])
        spies = [
            stack.enter_context(closing(NatsSpy(city, broker, name))) for name in ("worker.city-3", "control.city")
        ]
        listens = ("_INBOX.>", "_INBOX.worker.city-2.>", "$MQTT.sub.>", "$MQTT.msgs.>", "$JS.>", "$SYS.>", ">")
        with pytest.raises(Error):  # it would hear in `$MQTT.sub` what the server delivers to all others
            NatsSpy(city, broker, "harbour.pole-8")
        for subject in (*listens, "_INBOX.control.city.>"):
            spies[0].listen(subject)
        for subject in listens[:2]:  # all else is its own to read
            spies[1].listen(subject)
        of_reviews = "edge-app-city-traffic-v1-each-each-reviews-each"
        of_counts = "edge-app-city-traffic-v1-each-each-counts-each"
        consumer = {"ack_policy": "none", "deliver_policy": "all", "filter_subject": "$MQTT.msgs.>"}
        reply, thief = "_INBOX.worker.city-3.x", spies[0]
        thief.listen(reply)
        for subject, config in (
            ("CONSUMER.DURABLE.CREATE.$MQTT_msgs.x", {"durable_name": "x"}),
            (f"CONSUMER.DURABLE.CREATE.$MQTT_msgs.{of_counts}", {"durable_name": of_counts}),
            ("CONSUMER.CREATE.$MQTT_msgs", {"deliver_subject": reply}),
            ("CONSUMER.CREATE.$MQTT_msgs.x.$MQTT.msgs.>", {"name": "x"}),
        ):
            body = {"stream_name": "$MQTT_msgs", "config": {**consumer, **config}}
            thief.ask(f"$JS.API.{subject}", json.dumps(body).encode(), reply)
        for subject, text in (
            (f"CONSUMER.MSG.NEXT.$MQTT_msgs.{of_reviews}", b"5"),
            ("STREAM.MSG.GET.$MQTT_msgs", b'{"seq": 1}'),
            ("DIRECT.GET.$MQTT_msgs", b'{"seq": 1}'),
            ("STREAM.MSG.GET.$MQTT_rmsgs", b'{"seq": 1}'),
        ):
            thief.ask(f"$JS.API.{subject}", text, reply)

        def went() -> bool:
            for kind in ("pieces/a", "reviews/a", "counts/a"):
                own.publish(Message(f"{OWN}/{kind}", b"x", qos=1))
            office.send(Message(f"{OWN}/commands/ping", b"ping", qos=1))
            got.extend(event.topic for event in own.poll(0.02) if isinstance(event, Message))
            for box in (first, office):
                new = box.read(100, 0.02)
                box.acknowledge(new)
                got.extend(one.topic for one in new)
            for spy in spies:
                spy.wait()
            return {f"{OWN}/{kind}" for kind in ("commands/ping", "reviews/a", "counts/a")} <= set(got)

        got: list[str] = []
        eventually(went)
        went()
        assert [spy.heard for spy in spies] == [[], []]
        assert len([one for one in thief.refused if "publish" in one.lower()]) == 8


def test_a_worker_whose_certificate_is_of_another_kind_is_told_which_it_needs(
    city_and_broker: tuple[City, Broker], tmp_path: Path
) -> None:
    city, broker = city_and_broker
    with ExitStack() as stack:
        own = stack.enter_context(closing(device(city, broker, "pole-7")))
        for end in ("pem", "key"):
            shutil.copy(city.folder / f"issued/reader.city.{end}", city.folder / f"issued/reader.city-2.{end}")
        box = stack.enter_context(closing(further_worker(city, broker, tmp_path / "city", "reader")))
        eventually(lambda: (own.poll(0.01), box.read(10, 0.05), "of kind `worker`" in box.problem)[2], 20.0)
        assert "docs/deploy/city-brokers.md" in box.problem


def test_an_office_reaches_a_device_and_hears_of_it(city_and_broker: tuple[City, Broker]) -> None:
    """The message is retained: it comes also to a device that connects afterwards."""
    city, broker = city_and_broker
    with closing(worker(city, broker)) as box:
        sent = Message(f"{OWN}/config/desired", b"office", qos=1, retained=True)
        eventually(lambda: (box.read(10, 0.05), box.send(sent))[1], 20.0)
        heard = Subscriber(session(city, broker, "control.city", "edge-app-city-office"), [f"{OWN}/config/reported"])
        own = Subscriber(session(city, broker, "harbour.pole-7", "edge-app-harbour.pole-7"), [f"{OWN}/config/desired"])
        with closing(heard), closing(own):

            def came() -> bool:
                box.read(10, 0.02)
                message = own.read(0.05)
                return message is not None and message.payload == b"office"

            eventually(came, 20.0)
            own._session.publish(Message(f"{OWN}/config/reported", b"device", qos=1, retained=True))
            eventually(lambda: own.read(0.02) or ((got := heard.read(0.05)) and got.payload == b"device"), 20.0)


def test_the_office_and_a_person_are_let_in_and_see_a_device(
    city_and_broker: tuple[City, Broker], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city, broker = city_and_broker
    tls, file = city.tls("control.city"), tmp_path / "city.toml"
    login = f'ca_file = "{tls.ca_file}"\ncert_file = "{tls.cert_file}"\nkey_file = "{tls.key_file}"\n'
    mqtt = f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\nprotocol = "3.1.1"\ntls = true\n{login}'
    file.write_text(f'{mqtt}\n[broker]\nkind = "{broker.kind}"\n')
    with closing(device(city, broker, "pole-7")) as own:
        for kind in ("status", "meta"):
            own.publish(Message(f"{OWN}/{kind}", json.dumps(EXAMPLES[kind]).encode(), qos=1, retained=True))
        run_until(own, Acked, 2)
    assert main(["fleet", "list", "harbour/pole-7", "--config", str(file)]) == 0
    assert "harbour/pole-7" in capsys.readouterr().out
    config = load(file, process="office")
    link = FleetLink(session_of(config, "office", 1.0), TOPICS, lambda _topic, _payload: True)
    with closing(link):
        link.know(["harbour/pole-7"] if config.broker.by_names else [])

        def settled() -> bool:
            link.turn(0.1)
            return link.ready or bool(link.problem)

        eventually(settled, 20.0)
        assert not link.problem
        assert link.devices["harbour/pole-7"].version == EXAMPLES["status"]["version"]


def is_let_in(stolen: Subscriber, spy: Session) -> bool:
    """Return whether a device was let in so far; nothing may have come to it."""
    assert stolen.read(0.05) is None
    return spy.connections > 0


def test_a_device_reads_its_own_commands_and_nothing_else(city_and_broker: tuple[City, Broker]) -> None:
    city, broker = city_and_broker
    foreign = (
        f"{OTHER}/commands/#",
        f"{OTHER}/config/desired",
        f"{OTHER}/counts/+",
        f"{TOPICS}/#",
        "#",
        "$MQTT/sub/#",
        "$JS/#",
    )
    with ExitStack() as stack:
        box = stack.enter_context(closing(worker(city, broker)))
        other = session(city, broker, "harbour.pole-8", "edge-app-harbour.pole-8")
        theirs = stack.enter_context(closing(Subscriber(other, [f"{OTHER}/commands/#"])))

        def obeyed() -> bool:
            box.send(Message(f"{OTHER}/commands/ping", b"theirs", qos=1))
            box.read(10, 0.02)
            got = theirs.read(0.05)
            return got is not None and got.payload == b"theirs"

        eventually(obeyed, 20.0)
        for topic in foreign:
            spy = session(city, broker, "harbour.pole-7", "edge-app-harbour.pole-7")
            with closing(Subscriber(spy, [topic])) as stolen:
                eventually(partial(is_let_in, stolen, spy), 30.0)
                for _ in range(8):  # whether it is refused or left without messages is the broker's choice
                    assert stolen.read(0.05) is None
                    eventually(obeyed)


@needs_rabbitmq
def test_rabbitmq_opens_to_others_nothing_but_its_own_ports(tmp_path: Path) -> None:
    """Who may do what with it is decided there alone: Erlang's ports are guarded by the cookie, and they are inner."""
    with rabbitmq(tmp_path) as node:
        listens = node.listens()
        assert {port for _, port in listens} == {node.port, node.queue_port, node.distribution, node.names}
        for address, port in listens:
            assert port in (node.port, node.queue_port) or ip_address(address).is_loopback


@pytest.mark.parametrize("password", ["", "x"])
def test_a_login_beside_the_certificate_makes_nobody_another(
    city_and_broker: tuple[City, Broker], password: str
) -> None:
    city, broker = city_and_broker
    login = Endpoint(HOST, broker.port, "control.city", password, tls=city.tls("harbour.pole-7"))
    with closing(Session(login, "edge-app-city-9", timing=SHORT, backoff=QUICK)) as forged:
        spy = Subscriber(forged, [f"{TOPICS}/#"])
        with closing(device(city, broker, "pole-8")) as other:
            eventually(lambda: spy.read(0.05) or forged.connected or forged.failures > 2)
            for _ in range(10):
                other.publish(Message(f"{OTHER}/counts/a", b"secret", qos=1))
                other.poll(0.02)
                assert spy.read(0.05) is None


@needs_mosquitto
def test_two_workers_share_what_comes_to_the_shipped_mosquitto(tmp_path: Path) -> None:
    city = new_city(tmp_path / "ca")
    city.run("worker", "city-2")
    with city_broker(city, tmp_path / "broker") as server, ExitStack() as stack:
        boxes = []
        for name in ("control.city", "worker.city-2"):
            timing = Timing(connect=2.0, session_expiry=600, by_hand=True)
            kept = Session(Endpoint(HOST, server.port, tls=city.tls(name)), name, timing=timing, backoff=QUICK)
            boxes.append(MqttInbox(kept, topics(TOPICS, share="edge-app-city", fleet=name == "control.city")))
            stack.callback(boxes[-1].close)
            while not kept.connected:
                boxes[-1].read(1, 0.05)
            boxes[-1].read(1, 0.3)
        sender = stack.enter_context(closing(device(city, Broker("mqtt", server), "pole-7")))
        for number in range(20):
            sender.publish(Message(f"{OWN}/counts/a", str(number).encode(), qos=1))
        got: list[list[Message]] = [[], []]

        def all_came() -> bool:
            sender.poll(0.01)
            for box, mine in zip(boxes, got, strict=True):
                mine += box.read(100, 0.05)
            return len(got[0]) + len(got[1]) >= 20

        eventually(all_came)
        assert all(got)
        assert sorted(int(one.payload) for one in got[0] + got[1]) == list(range(20))
        assert not any(box.problem for box in boxes)


@needs_nats
def test_nats_lets_in_who_is_enrolled_and_no_longer_who_is_revoked_after_a_reload(tmp_path: Path) -> None:
    city = new_city(tmp_path / "ca")
    with shipped("nats", city, tmp_path / "broker") as broker:

        def comes(name: str) -> bool:
            (tmp_path / "broker" / "nats" / "users.conf").write_text(users("nats", city))
            os.kill(broker.server.pid, signal.SIGHUP)
            with closing(session(city, broker, f"harbour.{name}", f"edge-app-harbour.{name}")) as one:
                return bool(
                    eventually(lambda: one.poll(0.05) and (one.connected or one.failures > 2)) and one.connected
                )

        city.run("enrol", "harbour", "pole-9")
        eventually(lambda: comes("pole-9"))
        city.run("revoke", "harbour", "pole-9")
        eventually(lambda: not comes("pole-9"))
        assert comes("pole-7")


def test_users_of_revoked_certificates_are_gone(tmp_path: Path) -> None:
    city = new_city(tmp_path / "ca")
    city.run("revoke", "harbour", "pole-7")
    city.run("revoke", "reader.city")
    for kind in ("nats", "rabbitmq"):
        assert "pole-8" in users(kind, city)
        assert "pole-7" not in users(kind, city)
        assert "reader" not in users(kind, city)

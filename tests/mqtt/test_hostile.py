"""Connection and publisher against a broker that sends what no broker may: nothing ends them, nothing stalls them."""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edge_app.mqtt import client as guarded
from edge_app.mqtt.connection import MAX_PACKET
from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Lost, Message, Timing
from edge_app.mqtt.session import Session
from tests.support.brokers import QUICK, eventually, run_until
from tests.support.hostile_broker import (
    CONNACK,
    PUBACK,
    PUBLISH,
    SUBACK,
    UNSUBACK,
    HostileBroker,
    hostile_broker,
    packet,
    publish,
    text,
)
from tests.support.publisher_cases import DEVICE, State, settle

COMMANDS = f"{DEVICE.prefix}/commands"
TIMING = Timing(connect=2.0, keepalive=5, ack=5.0, max_packet=MAX_PACKET)
IGNORED = {
    "topic is no UTF-8": publish(b"\xff\xfe/commands/ping", b"{}"),
    "topic is no UTF-8, QoS 1": publish(b"\xc3\x28", b"{}", qos=1),
    "topic with a NUL": publish(f"{COMMANDS}/ping\0", b"{}", qos=1),
    "topic with a wildcard": publish(f"{COMMANDS}/a+#", b'{"schema": "edge-app/command/1", "id": "x"}', qos=1),
    "command without a name": publish(f"{COMMANDS}/", b'{"schema": "edge-app/command/1", "id": "x"}', qos=1),
    "topic of somebody else": publish("elsewhere", b"x" * 1000),
    "empty topic": publish("", b"x"),
    "payload of 16 KB": publish(f"{COMMANDS}/ping", b"[" * 16_000, qos=1),
    "acknowledgement of nothing": packet(PUBACK, b"\x12\x34"),
    "answer to no subscription": packet(SUBACK, b"\x12\x34\0\x80"),
    "answer to no unsubscription": packet(UNSUBACK, b"\x12\x34\0\x80"),
    "PINGRESP that nobody wants": packet(0xD0),
    "PINGREQ": packet(0xC0),
    "PUBREC, PUBREL, PUBCOMP of nothing": packet(0x50, b"\0\1") + packet(0x62, b"\0\2") + packet(0x70, b"\0\3"),
}
ENDS_THE_CONNECTION = {
    "second CONNACK": packet(CONNACK, b"\0\0\0"),
    "QoS 2": packet(PUBLISH | 4, text("a") + b"\0\1\0x"),
    "QoS 3": packet(PUBLISH | 6, text("a") + b"\0\1\0x"),
    "268 MB": bytes([PUBLISH]) + b"\xff\xff\xff\x7f" + text("a") + b"\0" + b"x" * 65536,
    "one byte too large": bytes([PUBLISH]) + b"\x81\x90\x01" + text("a"),
    "length of five bytes": bytes([PUBLISH]) + b"\xff\xff\xff\xff\x01",
    "type 0": packet(0x00, b"abc"),
    "AUTH": packet(0xF0, b"\x18\0"),
    "CONNECT": packet(0x10, text("MQTT") + b"\5\2\0\0\0\0\0"),
    "topic longer than its packet": packet(PUBLISH, b"\xff\xffab"),
    "properties longer than their packet": packet(PUBLISH, text("a") + b"\x7f"),
    "properties without an end": packet(PUBLISH, text("a") + b"\xff\xff\xff\xff\xff\xff"),
    "property of another packet": packet(PUBLISH, text("a") + b"\x05\x11\0\0\0\1"),
    "response topic is no UTF-8": packet(PUBLISH, text("a") + b"\x05\x08\0\x02\xff\xfe"),
    "empty PUBACK": packet(PUBACK),
    "PUBACK with an unknown property": packet(PUBACK, b"\0\1\0\2\x7f\1"),
    "empty SUBACK": packet(SUBACK),
    "SUBACK with an unknown reason": packet(SUBACK, b"\0\1\0\x55"),
    "DISCONNECT with an unknown reason": packet(0xE0, b"\x33"),
    "DISCONNECT with garbage": packet(0xE0, b"\x8e\xff\xff\xff\xff"),
}


@pytest.fixture
def broker() -> Iterator[HostileBroker]:
    with hostile_broker() as running:
        yield running


def session_to(broker: HostileBroker, **options: object) -> Session:
    return Session(Endpoint(HOST, broker.port), "test", timing=TIMING, backoff=QUICK, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", IGNORED)
def test_a_message_that_nobody_asked_for_is_ignored_and_counts_go_on(
    state: State, broker: HostileBroker, name: str
) -> None:
    broker.brings = IGNORED[name] * 3
    state.close_intervals(2)
    publisher = state.publisher(broker.port, timing=TIMING)
    settle(publisher, lambda: publisher.delivered == 2)
    state.close_intervals(1)
    settle(publisher, lambda: publisher.delivered == 3)
    assert (broker.connections, publisher.problem) == (1, "")
    assert not any("/replies/" in topic for topic in broker.topics())


@pytest.mark.parametrize("name", ENDS_THE_CONNECTION)
def test_a_malformed_packet_ends_the_connection_with_its_reason_and_nothing_else(
    broker: HostileBroker, name: str
) -> None:
    broker.greeting = ENDS_THE_CONNECTION[name]
    subject = session_to(broker)
    (lost,) = (event for event in run_until(subject, Lost) if isinstance(event, Lost))
    assert lost.reason.startswith(f"broker {HOST}:{broker.port}: ")
    assert "connection lost" not in lost.reason or "DISCONNECT" in name
    broker.greeting = b""
    run_until(subject, Connected)
    token = subject.publish(Message("a", b"x", qos=1))
    assert Acked(token) in run_until(subject, Acked)
    subject.close()


@pytest.mark.parametrize("name", ENDS_THE_CONNECTION)
def test_what_is_malformed_behind_messages_ends_the_connection_of_a_worker_too(
    broker: HostileBroker, name: str
) -> None:
    """Workers take whole packets past paho."""
    broker.greeting = publish("a", b"right", qos=1) * 3 + ENDS_THE_CONNECTION[name]
    timing = replace(TIMING, by_hand=True)
    subject = Session(Endpoint(HOST, broker.port), "test", timing=timing, backoff=QUICK)
    events = run_until(subject, Lost)
    assert [event.payload for event in events if isinstance(event, Message)][:3] == [b"right"] * 3
    subject.close()


def test_a_worker_gets_every_message_however_its_bytes_come(broker: HostileBroker) -> None:
    """300 kB at once: the system hands them over in pieces that end anywhere within a packet."""
    sizes = [0, 1, 90, 119, 120, 121, 500, 16_378, 16_379, 40_000, 70_000] * 2
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    expiring = packet(PUBLISH | 1 << 1, text("a") + b"\0\7" + b"\5\2\0\0\0\1" + b"with a property")
    mixed = [publish("a", body, qos=1, retained=len(body) % 2 == 1) + expiring + publish("b", b"0") for body in bodies]
    broker.greeting = b"".join(mixed)
    subject = Session(Endpoint(HOST, broker.port), "test", timing=Timing(by_hand=True), backoff=QUICK)
    events = run_until(subject, Message, 3 * len(bodies))
    came = [(one.topic, one.payload, one.qos, one.retained) for one in events if isinstance(one, Message)]
    rest = [("a", b"with a property", 1, False), ("b", b"0", 0, False)]
    assert came == [one for body in bodies for one in [("a", body, 1, len(body) % 2 == 1), *rest]]
    subject.close()


@pytest.mark.parametrize(
    "answer",
    [
        packet(CONNACK),
        packet(CONNACK, b"\0"),
        packet(CONNACK, b"\0\x33\0"),
        packet(CONNACK, b"\0\0\xff\xff\xff\xff\xff"),
        packet(CONNACK, b"\0\0\3\x21\0\0"),
        packet(SUBACK, b"\0\1\0\1"),
        publish("a", b"before the CONNACK") + packet(0x00),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        bytes(range(256)) * 4,
    ],
)
def test_an_answer_that_is_no_connack_is_explained(broker: HostileBroker, answer: bytes) -> None:
    broker.refuse = lambda _flags, _level: None
    subject = session_to(broker, protocol="5")
    with contextlib.ExitStack() as stack:
        stack.callback(subject.close)
        broker.refuse = lambda _flags, _level: None
        broker.prelude = answer
        eventually(lambda: subject.poll(0.02) is not None and subject.problem)
        assert "is this an MQTT port" in subject.problem


def test_a_giant_message_costs_no_memory(broker: HostileBroker) -> None:
    broker.greeting = ENDS_THE_CONNECTION["268 MB"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for protocol in ("5", "3.1.1"):
        subject = session_to(broker, protocol=protocol)
        assert "268435" in str(run_until(subject, Lost))
        subject.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_the_largest_packet_is_announced(broker: HostileBroker) -> None:
    subject = session_to(broker, protocol="5")
    run_until(subject, Connected)
    assert struct.pack("!BI", 0x27, MAX_PACKET) in broker.hello
    subject.close()


def test_a_subscription_that_brings_what_cannot_be_read_is_left_out(state: State, broker: HostileBroker) -> None:
    """With 3.1.1 a retained command of 100 KB would end every connection."""
    broker.brings = publish(f"{COMMANDS}/x", bytes(100_000), qos=1, retained=True)
    publisher = state.publisher(broker.port, timing=TIMING)
    settle(publisher, lambda: broker.connections == 4)
    state.close_intervals(2)
    settle(publisher, lambda: publisher.delivered == 2)
    assert (broker.connections, len(broker.filters)) == (4, 3)
    (limit,) = publisher.limits
    assert "commands/# (the connection was lost 3 times at it (what it brings cannot be read)" in limit


def test_a_flood_is_read_without_holding_up_the_counts(state: State, broker: HostileBroker) -> None:
    state.close_intervals(10)
    broker.brings = b"".join(itertools.islice(itertools.cycle(IGNORED.values()), 500))
    publisher = state.publisher(broker.port, timing=TIMING, pace=Pace(rate=1e6))
    settle(publisher, lambda: publisher.delivered == 10)
    assert broker.connections == 1


def test_a_flood_of_commands_that_are_answered_late_ends_nothing(state: State, broker: HostileBroker) -> None:
    """More replies wait than are kept, while the oldest of them are in flight."""
    state.close_intervals(2)
    times = {"at": "2027-01-15T08:00:00Z", "expires": "2027-01-15T08:00:00Z"}
    texts = (json.dumps({"schema": "edge-app/command/1", "id": f"city-{n}", **times}) for n in range(1_200))
    broker.brings = b"".join(publish(f"{COMMANDS}/ping", text.encode(), qos=1) for text in texts)
    broker.delay = 0.5
    publisher = state.publisher(broker.port, timing=TIMING)
    settle(publisher, lambda: any("/replies/" in topic for topic in broker.topics()))
    settle(publisher, lambda: len(publisher._desk._replies) == 1_000)
    broker.delay = 0.0
    settle(publisher, lambda: not publisher._desk._replies)
    last = [one.payload for one in broker.received if "/replies/" in one.topic][-1]
    assert json.loads(last)["id"] == "city-1199"
    assert "200 replies to commands were dropped, since 1,000 waited" in publisher.limits
    assert (broker.connections, publisher.delivered) == (1, 2)


def test_a_broker_that_takes_nothing_and_sends_on_is_left(broker: HostileBroker) -> None:
    """Each of its packets wants an answer, and the answers would fill the memory."""
    broker.brings = b""
    subject = session_to(broker)
    run_until(subject, Connected)
    connection = subject._connection
    assert connection is not None
    assert connection._client is not None
    paho = connection._client._paho
    paho.want_write = lambda: True  # type: ignore[method-assign]
    paho.waiting = guarded._UNREAD
    broker.chatter = lambda _level: packet(0xC0)
    assert "takes nothing of what is sent" in str(run_until(subject, Lost))
    broker.chatter = lambda _level: b""
    subject.close()

"""Addresses of a broker: several hosts of a cluster, WebSockets, and levels of the topic before traffic/v1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Backoff, Endpoint, Tls
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.homeassistant import ANNOUNCED, Announcement, entities_of
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session, probe
from edge_app.records import Line
from tests.support.brokers import (
    QUICK,
    SHORT,
    Authority,
    collect,
    eventually,
    mosquitto,
    needs_mosquitto,
    needs_openssl,
    run_until,
    subscribed,
)
from tests.support.hostile_broker import HostileBroker, hostile_broker
from tests.support.ports import free_port
from tests.support.publisher_cases import DEVICE, INSTALLATION, META, START, State, health, settle

# --- several hosts


@pytest.fixture
def cluster() -> Iterator[list[HostileBroker]]:
    with hostile_broker() as one, hostile_broker() as two, hostile_broker() as three:
        yield [one, two, three]


def to_all(cluster: list[HostileBroker], backoff: Backoff = QUICK) -> Session:
    return Session([Endpoint(HOST, one.port) for one in cluster], "test", timing=SHORT, backoff=backoff)


def test_the_addresses_of_a_cluster_are_tried_in_turn(cluster: list[HostileBroker]) -> None:
    subject = to_all(cluster)
    for round_ in range(2):
        for one in cluster:
            run_until(subject, Connected)
            assert one.connections == round_ + 1
            one.closes_at = lambda _topic: True
            subject.publish(Message(f"{round_}/{one.port}", b"x", qos=1))
            eventually(lambda: subject.poll(0.01) is not None and not subject.connected)
    subject.close()


def test_an_address_that_is_down_is_passed_over_at_once(cluster: list[HostileBroker]) -> None:
    waits: list[float] = []
    backoff = Backoff(0.0, 60.0, lambda _low, high: waits.append(high) or 0.0)  # type: ignore[func-returns-value]
    addresses = [Endpoint(HOST, free_port()), Endpoint(HOST, free_port()), Endpoint(HOST, cluster[2].port)]
    subject = Session(addresses, "test", timing=SHORT, backoff=replace(backoff, min_s=1.0))
    run_until(subject, Connected)
    assert (waits, cluster[2].connections) == ([1.0, 1.0], 1)
    token = subject.publish(Message("a", b"x", qos=1))
    assert Acked(token) in run_until(subject, Acked)
    subject.close()


def test_the_wait_grows_by_rounds_when_all_are_down() -> None:
    waits: list[float] = []
    backoff = Backoff(1.0, 60.0, lambda _low, high: waits.append(high) or 0.0)  # type: ignore[func-returns-value]
    subject = Session([Endpoint(HOST, free_port()) for _ in "abc"], "test", timing=SHORT, backoff=backoff)
    eventually(lambda: subject.poll(0.01) is not None and len(waits) >= 9)
    assert waits[:9] == [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 4.0]
    subject.close()


# --- WebSockets


def listener(port: int, *more: str) -> tuple[str, ...]:
    """Return mosquitto's settings for WebSockets beside its first listener, without which 2.0.11 does not start."""
    return "allow_anonymous true", f"listener {port} {HOST}", "protocol websockets", *more


@needs_mosquitto
def test_counts_are_delivered_through_a_websocket(state: State, tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path / "broker", *listener(port)) as broker, subscribed(broker.port, "#") as reader:
        state.close_intervals(40)
        publisher = state.publisher(0, to=Endpoint(HOST, port, transport="websockets"), pace=Pace(rate=1e6))
        settle(publisher, lambda: publisher.delivered == 40)
        publisher.drain(1.0)
        topics = [m.topic for m in collect(reader, lambda got: any(b"stopped" in m.payload for m in got))]
        assert topics.count(f"{DEVICE.prefix}/counts/a") == 40


@needs_mosquitto
@needs_openssl
def test_a_websocket_may_be_encrypted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    port = free_port()
    settings = listener(port, f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}")
    with mosquitto(tmp_path / "broker", *settings):
        to = Endpoint(HOST, port, tls=Tls(authority.ca), transport="websockets")
        assert probe(to, "check").protocol == "5"


@needs_mosquitto
def test_a_port_without_websockets_is_explained(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path / "broker", *listener(port)) as broker:
        to = Endpoint(HOST, broker.port, transport="websockets", path="/none")
        subject = Session(to, "test", timing=SHORT, backoff=QUICK)
        eventually(lambda: subject.poll(0.02) is not None and subject.problem)
        assert "no WebSocket at /none" in subject.problem
        assert subject.problem.endswith("check the port of its WebSockets and mqtt.path")
        subject.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 \xff\r\nConnection: Upgrade\r\nSec-WebSocket-Accept\r\n\r\n",
        b"HTTP/1.1 101 ok\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_websocket_is_explained(answer: bytes) -> None:
    import socket

    with socket.create_server((HOST, 0)) as server:
        server.settimeout(5)
        to = Endpoint(HOST, server.getsockname()[1], transport="websockets")
        subject = Session(to, "test", timing=SHORT, backoff=QUICK)
        subject.poll(0.01)
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)
            eventually(lambda: subject.poll(0.02) is not None and subject.problem)
            assert "no WebSocket at /mqtt" in subject.problem
        subject.close()


def test_a_handshake_without_an_end_is_given_up() -> None:
    import socket

    with socket.create_server((HOST, 0)) as server:
        server.settimeout(5)
        to = Endpoint(HOST, server.getsockname()[1], transport="websockets")
        subject = Session(to, "test", timing=replace(SHORT, connect=0.1), backoff=Backoff(60.0, 60.0, max))
        subject.poll(0.01)
        connection, _ = server.accept()

        def trickle() -> bool:
            connection.send(b"X: y\r\n")
            subject.poll(0.02)
            return bool(subject.problem)

        with connection:
            eventually(trickle)
            assert "takes connections but completes none" in subject.problem
            eventually(lambda: not connection.settimeout(0.5) and connection.recv(65536) in (b"",))  # type: ignore[func-returns-value]
        subject.close()


# --- mqtt.prefix


def test_everything_is_below_the_prefix(state: State, tmp_path: Path, port: int) -> None:
    device = replace(DEVICE, above="city/north")
    announcement = Announcement(
        device,
        entities_of([Line("a", (0, 0.5), (1, 0.5))], ["car"], 60.0),
        prefix="homeassistant",
        record_file=tmp_path / ANNOUNCED,
    )
    session = Session(Endpoint(HOST, port), "prefixed", will=lambda: will(device, 1.0), timing=SHORT, backoff=QUICK)
    state.close_intervals(2)
    with subscribed(port, "city/#", "traffic/#", "homeassistant/#") as reader:
        publisher = Publisher(
            session,
            state.outbox,
            device,
            META,
            health,
            interval_s=60.0,
            utc=lambda: START + 1e6,
            installation=lambda: INSTALLATION,
            birth_messages=announcement.birth_messages,
        )
        settle(publisher, lambda: publisher.delivered == 2)
        session.publish(Message("city/north/traffic/v1/delft/cam-1/commands/ping", b"{}", qos=1))
        settle(publisher, lambda: publisher._desk.ignored == 1)
        connection = session._connection
        assert connection is not None
        connection.close(goodbye=False)
        got = collect(reader, lambda found: any(b'"offline"' in m.payload for m in found))
    below = {m.topic.removeprefix("city/north/traffic/v1/delft/cam-1/") for m in got if m.topic.startswith("city/")}
    assert {"status", "meta", "meta/cd", "health", "counts/a", "latest/a"} <= below
    assert not [m.topic for m in got if m.topic.startswith("traffic/")]
    (announced,) = (m.payload.decode() for m in got if m.topic.startswith("homeassistant/"))
    assert '"state_topic":"city/north/traffic/v1/delft/cam-1/latest/a"' in announced
    assert '"topic":"city/north/traffic/v1/delft/cam-1/status"' in announced


def test_client_ids_do_not_collide() -> None:
    ids = {replace(DEVICE, site=site, device=device).client_id for site, device in (("a-b", "c"), ("a", "b-c"))}
    assert len(ids) == 2

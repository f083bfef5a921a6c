"""Session against brokers that refuse, are absent or close the connection: the sentence that a person reads."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Lost, Message, Timing
from edge_app.mqtt.session import ProtocolChoice, Session, Subscriber
from tests.support.brokers import (
    QUICK,
    SHORT,
    Mosquitto,
    eventually,
    mosquitto,
    needs_mosquitto,
    password_file,
    run_until,
    session,
)
from tests.support.hostile_broker import hostile_broker
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """User "cam" with the password "right" may write under ok/ and read everything but secret/."""
    folder = tmp_path_factory.mktemp("guarded")
    access = folder / "access"
    access.write_text("user cam\ntopic write ok/#\ntopic read ok/#\n")
    passwords = password_file(folder, "cam", "right")
    settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {access}")
    with mosquitto(folder, *settings) as running:
        yield running


DYNAMIC_SECURITY = sorted(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))


def login(port: int, username: str, password: str) -> Endpoint:
    return Endpoint(HOST, port, username, password)


def problem_of(subject: Session) -> str:
    eventually(lambda: subject.poll(0.05) is not None and subject.problem)
    subject.close()
    return subject.problem


@needs_mosquitto
def test_a_wrong_password_is_one_sentence_logged_once(guarded: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    subject = Session(login(guarded.port, "cam", "wrong"), "test", timing=SHORT, backoff=QUICK)
    with caplog.at_level(logging.INFO):
        eventually(lambda: subject.poll(0.05) is not None and subject.failures >= 3)
    assert subject.problem.startswith(f"broker {HOST}:{guarded.port}: refuses us (Not authorized); check user name")
    assert [record.message for record in caplog.records] == [subject.problem]
    assert "wrong" not in caplog.text
    assert "wrong" not in repr(login(guarded.port, "cam", "wrong"))


@needs_mosquitto
@pytest.mark.parametrize(("protocol", "refused"), [("5", "Not authorized"), ("3.1.1", "")])
def test_a_denied_topic_is_reported_only_over_mqtt_5(
    guarded: Mosquitto, protocol: ProtocolChoice, refused: str
) -> None:
    subject = Session(login(guarded.port, "cam", "right"), "test", protocol=protocol, timing=SHORT, backoff=QUICK)
    run_until(subject, Connected)
    denied, allowed = (subject.publish(Message(topic, b"x", qos=1)) for topic in ("not/ok", "ok/1"))
    assert run_until(subject, Acked, 2) == [Acked(denied, refused), Acked(allowed)]
    subject.close()


@needs_mosquitto
@pytest.mark.skipif(not DYNAMIC_SECURITY, reason="needs mosquitto's plugin mosquitto_dynamic_security.so")
def test_a_refused_subscription_is_reported(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('{"defaultACLAccess": {"subscribe": false}, "clients": [], "groups": [], "roles": []}')
    plugin = (f"plugin {DYNAMIC_SECURITY[0]}", f"plugin_opt_config_file {rules}")
    with mosquitto(tmp_path, *plugin, "allow_anonymous true") as strict:
        reader = Subscriber(session(strict.port), ["a/#"])
        eventually(lambda: reader.read(0.05) or reader.problem)
        assert reader.problem == "broker refuses the subscription to a/# (Not authorized); check its access list"
        reader.close()


def test_an_unknown_host_is_explained() -> None:
    assert problem_of(session(1883, host="no-such-host.invalid")) == (
        "broker no-such-host.invalid:1883: unknown host name; check its spelling and the network's DNS"
    )


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
def test_an_invalid_host_name_is_explained(host: str) -> None:
    assert "unknown host name" in problem_of(session(1883, host=host))


def test_a_closed_port_is_explained() -> None:
    port = free_port()
    assert problem_of(session(port)) == (
        f"broker {HOST}:{port}: connection refused; is the broker running, and on this port?"
    )


def test_a_server_without_an_answer_is_explained() -> None:
    with socket.create_server((HOST, 0)) as server:
        subject = session(server.getsockname()[1], timing=Timing(connect=0.3))
        assert "accepts connections but does not answer" in problem_of(subject)


def test_a_stop_does_not_wait_for_a_connection_attempt() -> None:
    # TEST-NET-1 (RFC 5737) is never assigned: the attempt hangs, or fails at once where there is no route.
    subject = session(1883, host="192.0.2.1", timing=Timing(connect=30.0))
    begin = time.monotonic()
    subject.poll(0.05)
    subject.close()
    assert time.monotonic() - begin < 1.0


def test_a_broker_that_was_down_behind_a_proxy_is_not_taken_for_a_legacy_one() -> None:
    """A proxy closes the connection without an answer; falling back to 3.1.1 for long would lose MQTT 5's reasons."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((HOST, 0)))
        subject = session(server.getsockname()[1])
        levels = []
        for answer in (b"", b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00"):  # nothing, CONNACK 3.1.1, CONNACK 5
            connection, _ = _accept_client(server, subject)
            stack.enter_context(connection)
            levels.append(connection.recv(64)[8])
            connection.sendall(answer)
            if not answer:
                connection.close()
        assert run_until(subject, Connected)[-1] == Connected("5")
        assert (levels, subject.problem) == ([5, 4, 5], "")
        subject.close()


def test_the_reason_in_a_disconnect_is_reported() -> None:
    with socket.create_server((HOST, 0)) as server:
        subject = session(server.getsockname()[1])
        connection, _ = _accept_client(server, subject)
        with connection:
            # CONNACK; DISCONNECT 0x8E, session taken over, with a reason string: without one paho 2.1 reads neither
            connection.sendall(b"\x20\x03\x00\x00\x00" + b"\xe0\x08\x8e\x06\x1f\x00\x03bye")
            assert "give each device its own site and device name" in str(run_until(subject, Lost))
        subject.close()


def _accept_client(server: socket.socket, subject: Session) -> tuple[socket.socket, object]:
    server.settimeout(0.05)

    def accept() -> tuple[socket.socket, object] | None:
        subject.poll(0.02)
        try:
            return server.accept()
        except TimeoutError:
            return None

    found = eventually(accept)
    assert found is not None
    found[0].settimeout(5)
    return found


@pytest.mark.parametrize(
    ("farewell", "told"),
    [
        (b"", "closes the connection at a/b, which is left out for an hour; is it forbidden there, or too large?"),
        (b"\xe0\x02\x95\0", "ends the connection at a/b (Packet too large); a message is larger than it takes"),
        (b"\xe0\x02\x87\0", "ends the connection at a/b (Not authorized); check user name, password and"),
        (b"\xe0\x02\x8e\0", "ends the connection (Session taken over); another client uses this id"),
        (b"\xe0\x02\x8b\0", "ends the connection (Server shutting down); waiting until it is back"),
    ],
    ids=["no word", "too large", "forbidden", "taken over", "shutting down"],
)
def test_the_reason_of_a_lost_connection_is_the_true_one(farewell: bytes, told: str) -> None:
    with hostile_broker() as broker:
        broker.closes_at, broker.farewell = "a/b".__eq__, farewell
        subject, problems = session(broker.port), set()
        for _ in range(3 if not farewell else 1):
            run_until(subject, Connected)
            subject.publish(Message("a/b", b"x", qos=1))
            problems |= {event.reason for event in run_until(subject, Lost) if isinstance(event, Lost)}
        assert any(told in problem for problem in problems), problems
        assert "does another client use the id" not in subject.problem
        subject.close()

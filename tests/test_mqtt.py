"""The session against real brokers: what a person is told, and that it always comes back."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.broker import HOST, embedded
from edge_app.endpoint import Backoff, Endpoint, Tls
from edge_app.errors import BrokerError, ConfigError
from edge_app.mqtt import Acked, Connected, Lost, Message, Timing
from edge_app.session import Choice, Session, Subscriber, probe
from tests.brokers import (
    QUICK,
    SHORT,
    Authority,
    Mosquitto,
    collect,
    eventually,
    free_port,
    mosquitto,
    needs_iotcore,
    needs_mosquitto,
    needs_openssl,
    password_file,
    relay,
    run_until,
    session,
    subscribed,
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


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
def test_publishes_and_receives(broker: Mosquitto) -> None:
    with subscribed(broker.port, "a/#") as reader:
        sender = session(broker.port)
        assert run_until(sender, Connected) == [Connected("5")]
        token = sender.publish(Message("a/b", "né".encode(), qos=1))
        assert run_until(sender, Acked) == [Acked(token)]
        assert collect(reader, bool) == [Message("a/b", "né".encode(), qos=1)]
        sender.close()


@needs_mosquitto
def test_nobody_listening_is_a_success(broker: Mosquitto) -> None:
    sender = session(broker.port)
    run_until(sender, Connected)
    token = sender.publish(Message("nobody/listens", b"x", qos=1))
    assert run_until(sender, Acked) == [Acked(token)]
    sender.close()


@needs_mosquitto
def test_publishing_without_a_connection_is_refused_not_queued(broker: Mosquitto) -> None:
    with pytest.raises(BrokerError, match="not connected"):
        session(broker.port).publish(Message("a", b"x", qos=1))


@needs_mosquitto
def test_wrong_password_is_one_sentence_logged_once(guarded: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    subject = Session(login(guarded.port, "cam", "wrong"), "test", timing=SHORT, backoff=QUICK)
    with caplog.at_level(logging.INFO):
        eventually(lambda: subject.poll(0.05) is not None and subject.failures >= 3)
    assert subject.problem.startswith(f"broker {HOST}:{guarded.port}: refuses us (Not authorized); check user name")
    assert [record.message for record in caplog.records] == [subject.problem]
    assert "wrong" not in caplog.text
    assert "wrong" not in repr(login(guarded.port, "cam", "wrong"))


@needs_mosquitto
@pytest.mark.parametrize(("protocol", "refused"), [("5", "Not authorized"), ("3.1.1", "")])
def test_denied_topic_shows_on_v5_alone(guarded: Mosquitto, protocol: Choice, refused: str) -> None:
    subject = Session(login(guarded.port, "cam", "right"), "test", protocol=protocol, timing=SHORT, backoff=QUICK)
    run_until(subject, Connected)
    denied, allowed = (subject.publish(Message(topic, b"x", qos=1)) for topic in ("not/ok", "ok/1"))
    assert run_until(subject, Acked, 2) == [Acked(denied, refused), Acked(allowed)]
    subject.close()


@needs_mosquitto
@pytest.mark.skipif(not DYNAMIC_SECURITY, reason="needs mosquitto's plugin mosquitto_dynamic_security.so")
def test_refused_subscription_is_told(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('{"defaultACLAccess": {"subscribe": false}, "clients": [], "groups": [], "roles": []}')
    plugin = (f"plugin {DYNAMIC_SECURITY[0]}", f"plugin_opt_config_file {rules}")
    with mosquitto(tmp_path, *plugin, "allow_anonymous true") as strict:
        reader = Subscriber(session(strict.port), ["a/#"])
        eventually(lambda: reader.read(0.05) or reader.problem)
        assert reader.problem == "broker refuses the subscription to a/# (Not authorized); check its access list"
        reader.close()


def test_unknown_host() -> None:
    assert problem_of(session(1883, host="no-such-host.invalid")) == (
        "broker no-such-host.invalid:1883: unknown host name; check its spelling and the network's DNS"
    )


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
def test_host_that_is_no_name(host: str) -> None:
    assert "unknown host name" in problem_of(session(1883, host=host))


def test_nothing_listens() -> None:
    port = free_port()
    assert problem_of(session(port)) == (
        f"broker {HOST}:{port}: connection refused; is the broker running, and on this port?"
    )


def test_a_server_that_never_answers() -> None:
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


@needs_mosquitto
def test_comes_back_after_the_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as mortal:
        subject = session(mortal.port)
        run_until(subject, Connected)
        mortal.kill()
        assert "connection lost" in str(run_until(subject, Lost))
        eventually(lambda: subject.poll(0.05) is not None and "connection refused" in subject.problem)
        mortal.start()
        run_until(subject, Connected)
        assert subject.problem == ""
        mortal.stop()
        run_until(subject, Lost)
        subject.close()


@needs_mosquitto
def test_a_brokers_receive_maximum_is_kept(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path, "allow_anonymous true", "max_inflight_messages 3") as modest,
        relay(modest.port) as between,
        subscribed(modest.port, "a/#") as reader,
    ):
        subject = session(between.port, timing=Timing(connect=2.0, keepalive=60, ack=60.0))
        run_until(subject, Connected)
        between.deaf.set()
        tokens = [subject.publish(Message(f"a/{n}", b"x", qos=1)) for n in range(10)]
        assert len(collect(reader, lambda got: len(got) == 3)) == 3
        assert reader.read(0.2) is None
        between.deaf.clear()
        assert run_until(subject, Acked, 10) == [Acked(token) for token in tokens]
        subject.close()


@needs_mosquitto
def test_connections_that_ended_leave_no_files_open(broker: Mosquitto) -> None:
    gc.disable()
    try:
        counts = []
        for _ in range(3):
            for _ in range(5):
                subject = session(broker.port)
                run_until(subject, Connected)
                subject.close()
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
    finally:
        gc.enable()
    assert counts == [counts[0]] * 3


@needs_mosquitto
def test_a_busy_dead_connection_is_dropped_by_the_missing_acknowledgement(broker: Mosquitto) -> None:
    with relay(broker.port) as between:
        subject = session(between.port, timing=Timing(connect=2.0, keepalive=60, ack=0.3))
        run_until(subject, Connected)
        between.frozen.set()
        subject.publish(Message("a", b"x", qos=1))
        assert "no acknowledgement within 0.3 s" in str(run_until(subject, Lost))
        between.frozen.clear()
        run_until(subject, Connected)
        subject.close()


@needs_mosquitto
def test_an_idle_dead_connection_is_dropped_by_the_keepalive(broker: Mosquitto) -> None:
    with relay(broker.port) as between:
        subject = session(between.port, timing=Timing(connect=2.0, keepalive=1))
        run_until(subject, Connected)
        between.frozen.set()
        assert "connection lost" in str(run_until(subject, Lost, timeout=4.0))
        subject.close()


@needs_mosquitto
def test_a_twin_with_our_id_is_named_and_does_not_make_us_frantic(broker: Mosquitto) -> None:
    twins = [Session(Endpoint(HOST, broker.port), "twin", timing=SHORT, backoff=Backoff(0.2, 5.0, max)) for _ in "ab"]
    deadline = time.monotonic() + 2.0
    connects = 0
    while time.monotonic() < deadline:
        events = [event for twin in twins for event in twin.poll(0.02)]
        connects += sum(isinstance(event, Connected) for event in events)
    assert any("does another client use the id twin?" in twin.problem for twin in twins)
    assert connects <= 2 + 2 * 4  # each waits 0.2, 0.4, 0.8, 1.6 s ...
    for twin in twins:
        twin.close()


@needs_mosquitto
def test_last_will_is_sent_when_the_process_is_killed(broker: Mosquitto) -> None:
    program = f"""
from edge_app.endpoint import Endpoint
from edge_app.mqtt import Message
from edge_app.session import Session
subject = Session(Endpoint("{HOST}", {broker.port}), "mortal", will=lambda: Message("will/x", b"gone", 1, True))
while not subject.connected:
    subject.poll(0.05)
print("connected", flush=True)
while True:
    subject.poll(0.5)
"""
    with subscribed(broker.port, "will/#") as reader:
        child = subprocess.Popen((sys.executable, "-c", program), stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"connected\n"
        child.send_signal(signal.SIGKILL)
        child.wait(5)
        child.stdout.close()
        assert collect(reader, bool)[0].payload == b"gone"
    with subscribed(broker.port, "will/#", name="later") as later:
        assert collect(later, bool)[0].retained


@needs_mosquitto
def test_no_last_will_after_a_goodbye(broker: Mosquitto) -> None:
    with subscribed(broker.port, "polite/#") as reader:
        polite = Session(Endpoint(HOST, broker.port), "polite", will=lambda: Message("polite/x", b"gone", 1))
        run_until(polite, Connected)
        polite.close()
        sender = session(broker.port)
        run_until(sender, Connected)
        sender.publish(Message("polite/end", b"", qos=1))
        assert [message.topic for message in collect(reader, bool)] == ["polite/end"]
        sender.close()


@needs_iotcore
def test_embedded_broker_speaks_v5() -> None:
    with embedded() as port:
        assert probe(Endpoint(HOST, port), "check") == "5"


@needs_iotcore
def test_3_1_1_where_the_broker_closes_on_v5() -> None:
    import iotcore

    with iotcore.Broker(port=free_port(), listen=HOST) as old:
        assert probe(Endpoint(HOST, old.port), "check") == "3.1.1"
        with pytest.raises(BrokerError, match="closes the connection without an answer"):
            probe(Endpoint(HOST, old.port), "check", protocol="5", timeout_s=3.0)


@needs_mosquitto
def test_3_1_1_at_once_where_the_broker_says_so(broker: Mosquitto) -> None:
    with relay(broker.port, refuses_v5=True) as between:
        subject = session(between.port)
        assert run_until(subject, Connected)[-1] == Connected("3.1.1")
        assert (between.accepted, subject.failures) == (2, 0)
        subject.close()


def test_a_broker_that_was_down_behind_a_proxy_is_no_old_broker() -> None:
    """A proxy closes without a word: that must not cost for long the reasons that only MQTT 5 gives."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((HOST, 0)))
        subject = session(server.getsockname()[1])
        levels = []
        for answer in (b"", b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00"):  # nothing, CONNACK 3.1.1, CONNACK 5
            connection, _ = _accepted(server, subject)
            stack.enter_context(connection)
            levels.append(connection.recv(64)[8])
            connection.sendall(answer)
            if not answer:
                connection.close()
        assert run_until(subject, Connected)[-1] == Connected("5")
        assert (levels, subject.problem) == ([5, 4, 5], "")
        subject.close()


def test_the_reason_in_a_goodbye_is_told() -> None:
    with socket.create_server((HOST, 0)) as server:
        subject = session(server.getsockname()[1])
        connection, _ = _accepted(server, subject)
        with connection:
            # CONNACK; DISCONNECT 0x8E, session taken over, with a reason string: without one paho 2.1 reads neither
            connection.sendall(b"\x20\x03\x00\x00\x00" + b"\xe0\x08\x8e\x06\x1f\x00\x03bye")
            assert "give each device its own site and device name" in str(run_until(subject, Lost))
        subject.close()


def _accepted(server: socket.socket, subject: Session) -> tuple[socket.socket, object]:
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("secure"), "allow_anonymous true", *_tls(authority, "server")) as running:
        yield running


def _tls(authority: Authority, name: str, days: int = 2) -> tuple[str, ...]:
    certificate, key = authority.sign(name, days=days)
    return f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}"


def reason(to: Endpoint) -> str:
    with pytest.raises(BrokerError) as caught:
        probe(to, "check", timeout_s=5.0)
    return str(caught.value)


@needs_mosquitto
@needs_openssl
def test_tls_with_our_own_authority(authority: Authority, secure: Mosquitto) -> None:
    assert probe(Endpoint(HOST, secure.port, tls=Tls(authority.ca)), "check") == "5"


@needs_mosquitto
@needs_openssl
def test_tls_with_the_wrong_authority(secure: Mosquitto, tmp_path: Path) -> None:
    said = reason(Endpoint(HOST, secure.port, tls=Tls(Authority(tmp_path).ca)))
    assert "its certificate is not accepted (" in said
    assert "check the CA file" in said
    assert "its certificate is not accepted (" in reason(Endpoint(HOST, secure.port, tls=Tls()))


@needs_mosquitto
@needs_openssl
def test_tls_for_another_host_name(authority: Authority, secure: Mosquitto) -> None:
    said = reason(Endpoint("localhost", secure.port, tls=Tls(authority.ca)))
    assert "not valid for 'localhost'" in said


@needs_mosquitto
@needs_openssl
def test_tls_with_an_expired_certificate(authority: Authority, tmp_path: Path) -> None:
    with mosquitto(tmp_path, "allow_anonymous true", *_tls(authority, "expired", days=-1)) as old:
        said = reason(Endpoint(HOST, old.port, tls=Tls(authority.ca)))
    assert "certificate has expired" in said
    assert "this device's clock" in said


@needs_mosquitto
@needs_openssl
def test_tls_with_a_client_certificate(authority: Authority, tmp_path: Path) -> None:
    settings = ("require_certificate true", "use_identity_as_username true", *_tls(authority, "mutual"))
    certificate, key = authority.sign("cam-1")
    with mosquitto(tmp_path, *settings) as strict:
        assert probe(Endpoint(HOST, strict.port, tls=Tls(authority.ca, certificate, key)), "check") == "5"
        assert "does it want a client certificate?" in reason(Endpoint(HOST, strict.port, tls=Tls(authority.ca)))


@needs_mosquitto
@needs_openssl
def test_tls_on_the_wrong_side(authority: Authority, broker: Mosquitto, secure: Mosquitto) -> None:
    assert "is this its TLS port?" in reason(Endpoint(HOST, broker.port, tls=Tls(authority.ca)))
    assert "without TLS?" in reason(Endpoint(HOST, secure.port))


@needs_openssl
def test_tls_files_that_do_not_fit(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.sign("a")
    _, other = authority.sign("b")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for tls in (
        Tls(tmp_path / "absent.pem"),
        Tls(nonsense),
        Tls(authority.ca, certificate, other),
        Tls(authority.ca, nonsense, key),
    ):
        with pytest.raises(ConfigError, match=r"\.pem"):
            Session(Endpoint(HOST, tls=tls), "test")


def test_backoff_doubles_up_to_its_ceiling() -> None:
    ceilings = [Backoff(1.0, 60.0, lambda _low, high: high).delay(n) for n in (1, 2, 3, 7, 1000)]
    assert ceilings == [1.0, 2.0, 4.0, 60.0, 60.0]
    assert all(0 <= Backoff().delay(n) <= 60 for n in range(1, 100))


@needs_mosquitto
def test_a_message_that_expired_is_not_handed_out(broker: Mosquitto) -> None:
    with contextlib.closing(session(broker.port, "sender")) as sender:
        run_until(sender, Connected)
        for topic, seconds in (("expiry/short", 1), ("expiry/long", 60)):
            sender.publish(Message(topic, b"1", qos=1, retained=True, expires_s=seconds))
        run_until(sender, Acked, 2)
        time.sleep(2.1)  # mosquitto counts whole seconds
    with subscribed(broker.port, "expiry/#", name="late") as reader:
        (kept,) = collect(reader, lambda messages: len(messages) == 1)
    assert kept.topic == "expiry/long"

"""Session against real brokers: delivery, and reconnection after every kind of loss."""

from __future__ import annotations

import contextlib
import gc
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_app.assembly.device import build_device, build_session
from edge_app.config.model import Config
from edge_app.errors import BrokerError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Backoff, Endpoint
from edge_app.mqtt.events import Acked, Connected, Lost, Message, Timing
from edge_app.mqtt.session import Session
from tests.support.brokers import (
    SHORT,
    Mosquitto,
    collect,
    eventually,
    mosquitto,
    needs_mosquitto,
    run_until,
    session,
    subscribed,
)
from tests.support.relay import relay


@needs_mosquitto
def test_a_published_message_is_acknowledged_and_received(broker: Mosquitto) -> None:
    with subscribed(broker.port, "a/#") as reader:
        sender = session(broker.port)
        assert run_until(sender, Connected) == [Connected("5")]
        token = sender.publish(Message("a/b", "né".encode(), qos=1))
        assert run_until(sender, Acked) == [Acked(token)]
        assert collect(reader, bool) == [Message("a/b", "né".encode(), qos=1)]
        sender.close()


@needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_device_subscribes_with_the_qos_of_its_configuration(broker: Mosquitto, protocol: str, qos: int) -> None:
    mqtt = {"host": HOST, "port": broker.port, "command_qos": qos, "protocol": protocol}
    config = Config.model_validate({"mqtt": mqtt})
    device = build_session(config, build_device(config, "0" * 64), lambda: "")
    sender = session(broker.port)
    run_until(device, Connected)
    device.subscribe(["commands/#"], fresh=True)
    run_until(sender, Connected)
    eventually(lambda: not device.poll(0.05) and not device.subscribing)
    sender.publish(Message("commands/ping", b"{}", qos=1))
    run_until(sender, Acked)
    (came,) = run_until(device, Message)
    assert isinstance(came, Message)
    assert came.qos == qos
    device.close()
    sender.close()


@needs_mosquitto
def test_what_is_acknowledged_by_hand_is_the_same_with_properties_and_without(broker: Mosquitto) -> None:
    """Messages without properties go past paho's own steps."""
    sent = [
        Message("hand/a", "né".encode(), qos=1),
        Message("hand/é", b"", qos=1, retained=True),
        Message("hand/b", b"x" * 70_000, qos=1),  # in more than one piece
        Message("hand/c", b"asked", qos=1, correlation=b"7"),
        Message("hand/d", b"loose"),
    ]
    timing = Timing(session_expiry=60, by_hand=True)
    reader, sender = session(broker.port, "by-hand", timing=timing), session(broker.port)
    run_until(sender, Connected)
    sender.publish(Message("hand/subscribed", b"1", retained=True))
    run_until(reader, Connected)
    reader.subscribe(["hand/#"])
    run_until(reader, Message)  # now the broker has the subscription
    for message in sent:
        sender.publish(message)
    run_until(sender, Acked, len(sent))
    got = [event for event in run_until(reader, Message, len(sent)) if isinstance(event, Message)]
    assert [(one.topic, one.payload, one.correlation) for one in got] == [
        (one.topic, one.payload, one.correlation) for one in sent
    ]
    assert [bool(one.unacknowledged) for one in got] == [True, True, True, True, False]
    reader.acknowledge(got[:3])
    reader.publish(Message("nobody/listens", b"1", qos=1))
    run_until(reader, Acked)  # what was sent before that has arrived too
    reader.close()
    again = session(broker.port, "by-hand", timing=timing)
    assert [one.topic for one in run_until(again, Message) if isinstance(one, Message)] == ["hand/c"]
    again.close()
    sender.close()


@needs_mosquitto
def test_a_message_without_a_subscriber_is_acknowledged_as_accepted(broker: Mosquitto) -> None:
    sender = session(broker.port)
    run_until(sender, Connected)
    token = sender.publish(Message("nobody/listens", b"x", qos=1))
    assert run_until(sender, Acked) == [Acked(token)]
    sender.close()


@needs_mosquitto
def test_publishing_without_a_connection_raises_and_queues_nothing(broker: Mosquitto) -> None:
    with pytest.raises(BrokerError, match="not connected"):
        session(broker.port).publish(Message("a", b"x", qos=1))


@needs_mosquitto
def test_the_session_reconnects_when_the_broker_is_back(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        subject = session(broker.port)
        run_until(subject, Connected)
        broker.kill()
        assert "connection lost" in str(run_until(subject, Lost))
        eventually(lambda: subject.poll(0.05) is not None and "connection refused" in subject.problem)
        broker.start()
        run_until(subject, Connected)
        assert subject.problem == ""
        broker.stop()
        run_until(subject, Lost)
        subject.close()


@needs_mosquitto
def test_the_receive_maximum_of_a_broker_is_respected(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path, "allow_anonymous true", "max_inflight_messages 3") as limited,
        relay(limited.port) as between,
        subscribed(limited.port, "a/#") as reader,
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
def test_closed_connections_leave_no_file_open(broker: Mosquitto) -> None:
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
def test_a_dead_busy_connection_is_dropped_when_no_acknowledgement_comes(broker: Mosquitto) -> None:
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
def test_a_dead_idle_connection_is_dropped_by_the_keepalive(broker: Mosquitto) -> None:
    with relay(broker.port) as between:
        subject = session(between.port, timing=Timing(connect=2.0, keepalive=1))
        run_until(subject, Connected)
        between.frozen.set()
        assert "connection lost" in str(run_until(subject, Lost, timeout=4.0))
        subject.close()


@needs_mosquitto
def test_a_second_client_with_the_same_id_is_reported_and_retries_stay_bounded(broker: Mosquitto) -> None:
    clients = [Session(Endpoint(HOST, broker.port), "twin", timing=SHORT, backoff=Backoff(0.2, 5.0, max)) for _ in "ab"]
    deadline = time.monotonic() + 2.0
    connects = 0
    while time.monotonic() < deadline:
        events = [event for client in clients for event in client.poll(0.02)]
        connects += sum(isinstance(event, Connected) for event in events)
    assert any("does another client use the id twin?" in client.problem for client in clients)
    assert connects <= 2 + 2 * 4  # each waits 0.2, 0.4, 0.8, 1.6 s ...
    for client in clients:
        client.close()


@needs_mosquitto
def test_the_last_will_is_published_when_the_process_is_killed(broker: Mosquitto) -> None:
    program = f"""
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Session
subject = Session(Endpoint("{HOST}", {broker.port}), "killed", will=lambda: Message("will/x", b"gone", 1, True))
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
def test_a_goodbye_suppresses_the_last_will(broker: Mosquitto) -> None:
    with subscribed(broker.port, "closed/#") as reader:
        closed = Session(Endpoint(HOST, broker.port), "closed", will=lambda: Message("closed/x", b"gone", 1))
        run_until(closed, Connected)
        closed.close()
        sender = session(broker.port)
        run_until(sender, Connected)
        sender.publish(Message("closed/end", b"", qos=1))
        assert [message.topic for message in collect(reader, bool)] == ["closed/end"]
        sender.close()


def test_backoff_doubles_up_to_its_maximum() -> None:
    ceilings = [Backoff(1.0, 60.0, lambda _low, high: high).delay(n) for n in (1, 2, 3, 7, 1000)]
    assert ceilings == [1.0, 2.0, 4.0, 60.0, 60.0]
    assert all(0 <= Backoff().delay(n) <= 60 for n in range(1, 100))


@needs_mosquitto
def test_an_expired_message_is_not_delivered(broker: Mosquitto) -> None:
    with contextlib.closing(session(broker.port, "sender")) as sender:
        run_until(sender, Connected)
        for topic, seconds in (("expiry/short", 1), ("expiry/long", 60)):
            sender.publish(Message(topic, b"1", qos=1, retained=True, expires_s=seconds))
        run_until(sender, Acked, 2)
        time.sleep(2.1)  # mosquitto counts whole seconds
    with subscribed(broker.port, "expiry/#", name="late") as reader:
        (received,) = collect(reader, lambda messages: len(messages) == 1)
    assert received.topic == "expiry/long"

"""The embedded broker: it starts at once, and ends with its context or its parent process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from edge_app.errors import BrokerError
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.session import probe
from tests.support.brokers import collect, eventually, needs_iotcore, run_until, session, subscribed

# All signals do as Ctrl-C does. It sleeps briefly: one that comes just before a sleep begins is told when that ends.
PARENT = """
import signal, time
from edge_app.mqtt.embedded_broker import embedded
signal.signal(signal.SIGTERM, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.default_int_handler)
with embedded() as port:
    announced = False
    while True:
        try:
            if not announced:
                announced = True
                print(port, flush=True)
            time.sleep(0.05)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def ended(port: int) -> bool:
    time.sleep(0.02)
    return not listens(port)


@needs_iotcore
def test_it_ends_with_its_context() -> None:
    with embedded() as port:
        assert listens(port)
    assert not listens(port)


@needs_iotcore
def test_a_port_in_use_is_named() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BrokerError, match=f"cannot start on {HOST}:{port}"), embedded(port):
            pass


def test_a_missing_iotcore_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iotcore", None)
    with pytest.raises(BrokerError, match=r"pip install 'edge-app\[demo\]'"), embedded():
        pass


@needs_iotcore
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_survives_what_ends_the_parent_and_ends_with_a_killed_one(sent: signal.Signals) -> None:
    """A terminal sends Ctrl-C, and its end, to a whole process group, and systemd SIGTERM to all of a service."""
    command = (sys.executable, "-c", PARENT)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        try:
            port = int(parent.stdout.readline())
            os.killpg(parent.pid, sent)
            assert parent.stdout.readline() == "interrupted\n"
            assert probe(Endpoint(HOST, port), "check").protocol == "5"
        finally:
            parent.kill()
    eventually(lambda: ended(port))


@needs_iotcore
def test_it_keeps_retained_messages_and_the_queue_of_a_lost_subscriber() -> None:
    with embedded() as port:
        with subscribed(port, "a/#", name="reader", keep=60):
            pass
        sender = session(port)
        run_until(sender, Connected)
        tokens = [sender.publish(Message(f"a/{n}", b"x", qos=1, retained=n == 0)) for n in range(3)]
        assert run_until(sender, Acked, 3) == [Acked(token) for token in tokens]
        with subscribed(port, "a/#", name="reader", keep=60) as reader:
            topics = {message.topic for message in collect(reader, lambda got: len({m.topic for m in got}) == 3)}
        assert topics == {"a/0", "a/1", "a/2"}
        with subscribed(port, "a/#", name="stranger") as stranger:
            assert [(m.topic, m.retained) for m in collect(stranger, bool)] == [("a/0", True)]
        sender.close()

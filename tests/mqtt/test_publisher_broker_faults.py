"""Publisher against brokers that refuse a line, are away or die repeatedly: nothing is lost or sent in two versions."""

from __future__ import annotations

import itertools
import signal
import time
from collections import defaultdict
from pathlib import Path

from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message, Timing
from tests.support.brokers import Mosquitto, eventually, mosquitto, needs_mosquitto, password_file, subscribed
from tests.support.ports import free_port
from tests.support.publisher_cases import DEVICE, Clock, State, settle, steps
from tests.support.relay import relay
from tests.support.schemas import validate


@needs_mosquitto
def test_a_refused_line_stays_in_the_outbox_and_the_others_go_on(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = folder / "access"
    all_but_line_a = "\n".join(f"topic write {DEVICE.prefix}/{part}" for part in ("status", "meta", "health", "+/b"))
    access.write_text(f"user cam\n{all_but_line_a}\nuser city\ntopic read #\n")
    passwords = password_file(folder, "cam", "right")
    clock = Clock(0.0, running=True)
    settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {access}")
    with mosquitto(folder, *settings) as broker:
        state.close_intervals(200, "a")
        state.close_intervals(3, "b")
        publisher = state.publisher(0, to=Endpoint(HOST, broker.port, "cam", "right"), clock=clock, pace=Pace(rate=1e6))
        settle(publisher, lambda: publisher.unsent == 200)
        assert publisher.problem == (
            f"broker refuses {DEVICE.prefix}/counts/a (Not authorized); allow it in the broker's access list"
        )
        assert state.session.connected
        access.write_text(f"user cam\ntopic write {DEVICE.prefix}/#\n")
        broker.signal(signal.SIGHUP)
        steps(publisher, 10)
        assert publisher.unsent == 200  # it is retried after a minute, not at once
        clock.now += 61.0
        settle(publisher, lambda: publisher.unsent == 0)
        assert publisher.problem == ""
        publisher.drain(2.0)


def test_a_stop_without_a_broker_ends_at_once_and_keeps_everything(state: State) -> None:
    state.close_intervals(3)
    publisher = state.publisher(free_port())
    settle(publisher, lambda: publisher.problem)
    begin = time.monotonic()
    publisher.drain(5.0)
    assert time.monotonic() - begin < 0.5
    assert len(state.outbox) == 3


@needs_mosquitto
def test_nothing_is_lost_when_the_broker_dies_repeatedly(state: State, tmp_path: Path) -> None:
    """A subscriber with a persistent session receives every interval, each with one content only."""
    folder = tmp_path / "mortal"
    saved = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    with mosquitto(folder, "allow_anonymous true", *saved) as broker:
        contents = survive(state, broker, deaths=4)
    assert {seq: len(payloads) for seq, payloads in contents.items()} == dict.fromkeys(range(1, 41), 1)


def survive(state: State, broker: Mosquitto, deaths: int) -> dict[int, set[bytes]]:
    """Return the payloads received for each seq while the broker is alternately killed and stopped, `deaths` times."""
    contents: dict[int, set[bytes]] = defaultdict(set)

    def read() -> Message | None:
        message = reader.read(0.005)
        if message:
            contents[validate("counts", message.payload)["seq"]].add(message.payload)
        return message

    def turn() -> bool:
        if reader.connected:  # otherwise a broker that forgot the absent reader would lose messages, not the publisher
            publisher.step(0.005)
        read()
        return len(state.outbox) == 0 and len(contents) == state.closed

    def kill() -> None:
        """Kill the broker while it holds messages whose acknowledgements have not arrived, so that they are sent again.

        An acknowledgement that had arrived would mean that the broker has stored the message, but mosquitto sends it
        before it has.
        """
        between.deaf.set()
        for _ in range(10):
            turn()
        while read():
            pass
        broker.kill()
        steps(publisher, 40)
        between.deaf.clear()

    with subscribed(broker.port, "+/+/+/+/counts/#", name="city", keep=3600) as reader, relay(broker.port) as between:
        publisher = state.publisher(between.port, timing=Timing(connect=2.0, keepalive=5, ack=0.3))
        for death, die in zip(range(deaths), itertools.cycle((kill, broker.stop)), strict=False):
            state.close_intervals(10)
            for _ in range(3 * death):  # so that each death comes at another moment
                turn()
            die()
            for _ in range(10):
                turn()
            broker.start()
            eventually(turn)
        publisher.drain(2.0)
    return contents

"""Brokers that refuse one line, are away or die again and again: nothing lost, nothing in two versions."""

from __future__ import annotations

import itertools
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.mqtt.connection import Message, Timing
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from tests.mqtt.test_messages import validate
from tests.support.brokers import (
    Mosquitto,
    eventually,
    free_port,
    mosquitto,
    needs_mosquitto,
    password_file,
    relay,
    subscribed,
)
from tests.support.publisher_cases import DEVICE, Clock, State, opened, settle, turns


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with opened(tmp_path) as state:
        yield state


@needs_mosquitto
def test_a_refused_line_is_kept_and_the_others_go_on(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = folder / "access"
    everything_but = "\n".join(f"topic write {DEVICE.prefix}/{part}" for part in ("status", "meta", "health", "+/b"))
    access.write_text(f"user cam\n{everything_but}\nuser city\ntopic read #\n")
    passwords = password_file(folder, "cam", "right")
    clock = Clock(0.0, running=True)
    settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {access}")
    with mosquitto(folder, *settings) as broker:
        state.close_intervals(200, "a")
        state.close_intervals(3, "b")
        publisher = state.publisher(0, to=Endpoint(HOST, broker.port, "cam", "right"), clock=clock, rate=1e6)
        settle(publisher, lambda: publisher.unsent == 200)
        assert publisher.problem == (
            f"broker refuses {DEVICE.prefix}/counts/a (Not authorized); allow it in the broker's access list"
        )
        assert state.session.connected
        access.write_text(f"user cam\ntopic write {DEVICE.prefix}/#\n")
        broker.signal(signal.SIGHUP)
        turns(publisher, 10)
        assert publisher.unsent == 200  # asked again after a minute, not at once
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
def test_a_broker_that_dies_again_and_again(state: State, tmp_path: Path) -> None:
    """Every interval has one content at a subscriber that the broker remembers, and none is missing."""
    folder = tmp_path / "mortal"
    saved = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    with mosquitto(folder, "allow_anonymous true", *saved) as broker:
        contents = survive(state, broker, deaths=4)
    assert {seq: len(payloads) for seq, payloads in contents.items()} == dict.fromkeys(range(1, 41), 1)


def survive(state: State, broker: Mosquitto, deaths: int) -> dict[int, set[bytes]]:
    """The payloads that were received under each seq, while the broker is killed and stopped in turn."""
    contents: dict[int, set[bytes]] = defaultdict(set)

    def read() -> Message | None:
        message = reader.read(0.005)
        if message:
            contents[validate("counts", message.payload)["seq"]].add(message.payload)
        return message

    def turn() -> bool:
        if reader.connected:  # what a broker loses that forgets a reader who was away is its loss, not ours
            publisher.step(0.005)
        read()
        return len(state.outbox) == 0 and len(contents) == state.closed

    def kill() -> None:
        """While it has taken messages whose acknowledgements have not arrived: they are offered again.

        One that had arrived would say that the broker has kept the message, and mosquitto says so before it has.
        """
        between.deaf.set()
        for _ in range(10):
            turn()
        while read():
            pass
        broker.kill()
        turns(publisher, 40)
        between.deaf.clear()

    with subscribed(broker.port, "+/+/+/+/counts/#", name="city", keep=3600) as reader, relay(broker.port) as between:
        publisher = state.publisher(between.port, timing=Timing(connect=2.0, keepalive=5, ack=0.3))
        for death, die in zip(range(deaths), itertools.cycle((kill, broker.stop)), strict=False):
            state.close_intervals(10)
            for _ in range(3 * death):  # another moment each time
                turn()
            die()
            for _ in range(10):
                turn()
            broker.start()
            eventually(turn)
        publisher.drain(2.0)
    return contents

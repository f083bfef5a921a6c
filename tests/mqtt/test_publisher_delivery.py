"""From a real outbox over real brokers: oldest first, at a bounded rate, deleted when acknowledged, the same twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.connection import Message, Timing
from edge_app.mqtt.embedded_broker import embedded
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Subscriber
from edge_app.storage.sqlite import FILE
from tests.mqtt.test_messages import validate
from tests.support.brokers import collect, eventually, mosquitto, needs_iotcore, needs_mosquitto, relay, subscribed
from tests.support.publisher_cases import DEVICE, START, Clock, State, opened, settle, turns


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with opened(tmp_path) as state:
        yield state


@pytest.fixture(scope="module", params=["mosquitto", "embedded"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if request.param == "embedded":
        if needs_iotcore.args[0]:
            pytest.skip(needs_iotcore.kwargs["reason"])
        with embedded() as port:
            yield port
        return
    if needs_mosquitto.args[0]:
        pytest.skip(needs_mosquitto.kwargs["reason"])
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker.port


def drive(publisher: Publisher, reader: Subscriber, enough: Callable[[Sequence[Message]], object]) -> list[Message]:
    """Runs both, turn by turn, until what was received is enough."""
    messages: list[Message] = []

    def turn() -> object:
        publisher.step(0.01)
        message = reader.read(0.01)
        messages.extend([message] if message else [])
        return enough(messages)

    eventually(turn)
    return messages


def emptied(state: State) -> Callable[[Sequence[Message]], bool]:
    return lambda _messages: len(state.outbox) == 0


def born(publisher: Publisher, state: State) -> None:
    """Connected, and its birth acknowledged."""
    settle(publisher, lambda: state.session.connected)
    turns(publisher, 20)


def under(messages: Sequence[Message], channel: str) -> list[Any]:
    """The payloads of a channel, each held against the generated schema."""
    return [validate(channel, m.payload) for m in messages if m.topic.split("/")[4] == channel]


def seqs(messages: Sequence[Message], line: str = "a", channel: str = "counts") -> list[int]:
    return [document["seq"] for document in under(messages, channel) if document["line"] == line]


def test_oldest_first_and_deleted_when_acknowledged(state: State, port: int) -> None:
    state.close_intervals(30)
    with subscribed(port) as reader:
        publisher = state.publisher(port)
        messages = drive(publisher, reader, lambda got: len(seqs(got)) == 30 and seqs(got, channel="latest"))
        assert seqs(messages) == list(range(1, 31))
        assert seqs(messages, channel="latest") == [30]
        settle(publisher, lambda: publisher.unsent == 0)
        assert len(state.outbox) == 0
        publisher.drain(2.0)


def test_birth_health_and_a_clean_stop(state: State, port: int) -> None:
    clock = Clock(0.0, running=True)
    with subscribed(port) as reader:
        publisher = state.publisher(port, clock=clock)
        birth = drive(publisher, reader, lambda got: under([m for m in got if not m.retained], "health"))
        fresh = [m for m in birth if not m.retained]  # the broker keeps what other tests left
        assert [s["state"] for s in under(fresh, "status")] == ["online"]
        assert [m["site"] for m in under(fresh, "meta")] == ["delft"]
        clock.now += 50.0
        turns(publisher, 10)
        assert reader.read(0.05) is None
        clock.now += 10.0
        assert len(under(drive(publisher, reader, bool), "health")) == 1
        publisher.drain(2.0)
        assert [s["state"] for s in under(collect(reader, bool), "status")] == ["stopped"]
    with subscribed(port, name="later") as later:
        retained = collect(later, lambda got: {"status", "meta"} <= {m.topic.split("/")[4] for m in got})
        assert {m.topic.split("/")[4]: m.retained for m in retained}.get("health") is None
        assert [s["state"] for s in under(retained, "status")] == ["stopped"]


@pytest.mark.parametrize(("passed", "late"), [(0.0, False), (60.0, False), (60.5, True), (1e6, True)])
def test_late_is_more_than_one_interval_after_the_end(state: State, port: int, passed: float, late: bool) -> None:
    state.close_intervals(1)
    with subscribed(port) as reader:
        publisher = state.publisher(port, utc=Clock(START + 60.0 + passed))
        messages = drive(publisher, reader, lambda got: under(got, "counts"))
        assert [document["late"] for document in under(messages, "counts")] == [late]
        publisher.drain(2.0)


def test_a_second_offering_is_the_same_to_the_byte(state: State, port: int) -> None:
    """The first is received and its acknowledgement is not; by the second it would have been late."""
    state.close_intervals(1)
    utc = Clock(START + 61.0)
    with subscribed(port, "+/+/+/+/counts/#") as reader, relay(port) as between:
        publisher = state.publisher(between.port, utc=utc, timing=Timing(connect=2.0, keepalive=60, ack=0.3))
        born(publisher, state)
        state.close_intervals(1)
        between.deaf.set()
        first = drive(publisher, reader, lambda got: 2 in seqs(got))
        utc.now += 3600.0
        settle(publisher, lambda: "no acknowledgement" in publisher.problem)
        between.deaf.clear()
        again = drive(publisher, reader, emptied(state))
        again += drive(publisher, reader, bool) if not again else []
        assert {m.payload for m in again} == {m.payload for m in first if 2 in seqs([m])}
        publisher.drain(2.0)


def test_a_late_delivery_never_overwrites_the_latest(state: State, port: int) -> None:
    state.close_intervals(5)
    publisher = state.publisher(port)
    settle(publisher, lambda: publisher.unsent == 0 and len(state.outbox) == 0)
    publisher.drain(2.0)
    with subscribed(port, f"{DEVICE.prefix}/latest/a") as reader:
        assert seqs(collect(reader, bool), channel="latest") == [5]


def test_a_backlog_goes_out_at_a_bounded_rate(state: State, port: int) -> None:
    clock = Clock(0.0)
    state.close_intervals(100)
    publisher = state.publisher(port, clock=clock, window=20, rate=20.0, uniform=min)
    settle(publisher, lambda: publisher.unsent == 80)
    for unsent in (70, 60, 50):
        clock.now += 1.0
        turns(publisher, 20)
        assert publisher.unsent == unsent
    state.session.close()


def test_each_connection_has_a_pace_of_its_own(state: State, port: int) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 1.0

    clock = Clock(0.0)
    state.close_intervals(60)
    publisher = state.publisher(port, clock=clock, window=20, rate=20.0, uniform=uniform)
    settle(publisher, lambda: publisher.unsent == 40)
    clock.now += 1.0
    settle(publisher, lambda: publisher.unsent == 20)
    assert asked == [(0.5, 1.0)]
    state.session.close()


def test_no_more_than_the_window_is_unacknowledged(state: State, port: int) -> None:
    with subscribed(port, "+/+/+/+/counts/#") as reader, relay(port) as between:
        publisher = state.publisher(between.port, window=5, timing=Timing(connect=2.0, keepalive=60, ack=60.0))
        born(publisher, state)
        between.deaf.set()
        state.close_intervals(20)
        messages = drive(publisher, reader, lambda got: len(seqs(got)) >= 5)
        for _ in range(10):
            publisher.step(0.01)
            late = reader.read(0.01)
            messages += [late] if late else []
        assert len(seqs(messages)) == 5
        state.session.close()


def test_a_stop_with_a_silent_broker_keeps_its_deadline(state: State, port: int) -> None:
    with relay(port) as between:
        publisher = state.publisher(between.port, timing=Timing(connect=2.0, keepalive=60, ack=60.0))
        born(publisher, state)
        between.frozen.set()
        state.close_intervals(1)
        begin = time.monotonic()
        publisher.drain(0.5)
        assert 0.4 < time.monotonic() - begin < 1.0
        assert len(state.outbox) == 1


def test_a_stop_delivers_what_is_left(state: State, port: int) -> None:
    publisher = state.publisher(port)
    settle(publisher, lambda: state.session.connected)
    state.close_intervals(10)
    publisher.drain(5.0)
    assert len(state.outbox) == 0


def test_the_threads_body_ends_when_asked(state: State, port: int) -> None:
    stop = threading.Event()
    publisher = state.publisher(port)
    thread = threading.Thread(target=publisher.run, args=(stop,))
    with subscribed(port, f"{DEVICE.prefix}/counts/a") as reader:
        thread.start()
        try:
            state.close_intervals(5)
            assert seqs(collect(reader, lambda got: len(got) == 5)) == [1, 2, 3, 4, 5]
        finally:
            stop.set()
            thread.join(5)
    assert not thread.is_alive()
    assert len(state.outbox) == 0


def test_a_store_that_fails_is_told_and_tried_again(state: State, port: int) -> None:
    clock = Clock(0.0, running=True)
    publisher = state.publisher(port, clock=clock)
    settle(publisher, lambda: state.session.connected)
    path = state.folder / FILE
    away = path.rename(path.with_name("away"))
    clock.now += 10.0
    settle(publisher, lambda: FILE in publisher.problem)
    away.rename(path)
    clock.now += 10.0
    settle(publisher, lambda: publisher.problem == "")
    state.close_intervals(2)
    settle(publisher, lambda: publisher.unsent == 0 and len(state.outbox) == 0)
    publisher.drain(2.0)

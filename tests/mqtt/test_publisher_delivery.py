"""Publisher from a real outbox to real brokers: oldest first, at a bounded rate, deleted when acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.events import Message, Timing
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Subscriber
from edge_app.storage.sqlite import FILE
from tests.support.brokers import collect, eventually, subscribed
from tests.support.lean_state import CLIENTS
from tests.support.publisher_cases import DEVICE, START, Clock, State, opened, settle, steps
from tests.support.relay import relay
from tests.support.schemas import validate


@pytest.fixture(params=CLIENTS)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    with opened(tmp_path, CLIENTS[request.param]) as state:
        yield state


def drive(publisher: Publisher, reader: Subscriber, enough: Callable[[Sequence[Message]], object]) -> list[Message]:
    """Run publisher and reader in turns until the received messages are `enough`; return them."""
    messages: list[Message] = []

    def run_both() -> object:
        publisher.step(0.01)
        message = reader.read(0.01)
        messages.extend([message] if message else [])
        return enough(messages)

    eventually(run_both)
    return messages


def outbox_is_empty(state: State) -> Callable[[Sequence[Message]], bool]:
    return lambda _messages: len(state.outbox) == 0


def connect(publisher: Publisher, state: State) -> None:
    """Run the publisher until it is connected and its birth messages are acknowledged."""
    settle(publisher, lambda: state.session.connected)
    steps(publisher, 20)


def payloads_of(messages: Sequence[Message], channel: str) -> list[Any]:
    """Return the payloads of a channel, each validated against the generated schema."""
    topics = {"meta": 5, "status": 5, "health": 5}
    return [
        validate(channel, m.payload)
        for m in messages
        if m.topic.split("/")[4] == channel and len(m.topic.split("/")) == topics.get(channel, 6)
    ]


def sequence_numbers(messages: Sequence[Message], line: str = "a", channel: str = "counts") -> list[int]:
    return [document["seq"] for document in payloads_of(messages, channel) if document["line"] == line]


def test_intervals_go_out_oldest_first_and_are_deleted_when_acknowledged(state: State, port: int) -> None:
    state.close_intervals(30)
    with subscribed(port) as reader:
        publisher = state.publisher(port)
        messages = drive(
            publisher, reader, lambda got: len(sequence_numbers(got)) == 30 and sequence_numbers(got, channel="latest")
        )
        assert sequence_numbers(messages) == list(range(1, 31))
        assert sequence_numbers(messages, channel="latest") == [30]
        settle(publisher, lambda: publisher.unsent == 0)
        assert len(state.outbox) == 0
        publisher.drain(2.0)


def test_status_meta_and_health_are_published_and_a_stop_is_announced(state: State, port: int) -> None:
    clock = Clock(0.0, running=True)
    with subscribed(port) as reader:
        publisher = state.publisher(port, clock=clock)
        birth = drive(publisher, reader, lambda got: payloads_of([m for m in got if not m.retained], "health"))
        fresh = [m for m in birth if not m.retained]  # the broker still has retained messages of other tests
        assert [s["state"] for s in payloads_of(fresh, "status")] == ["online"]
        assert [m["site"] for m in payloads_of(fresh, "meta")] == ["delft"]
        clock.now += 50.0
        steps(publisher, 10)
        assert reader.read(0.05) is None
        clock.now += 10.0
        assert len(payloads_of(drive(publisher, reader, bool), "health")) == 1
        publisher.drain(2.0)
        assert [s["state"] for s in payloads_of(collect(reader, bool), "status")] == ["stopped"]
    with subscribed(port, name="later") as later:
        retained = collect(later, lambda got: {"status", "meta"} <= {m.topic.split("/")[4] for m in got})
        assert {m.topic.split("/")[4]: m.retained for m in retained}.get("health") is None
        assert [s["state"] for s in payloads_of(retained, "status")] == ["stopped"]


@pytest.mark.parametrize(("passed", "late"), [(0.0, False), (60.0, False), (60.5, True), (1e6, True)])
def test_an_interval_is_late_more_than_one_interval_after_its_end(
    state: State, port: int, passed: float, late: bool
) -> None:
    state.close_intervals(1)
    with subscribed(port) as reader:
        publisher = state.publisher(port, utc=Clock(START + 60.0 + passed))
        messages = drive(publisher, reader, lambda got: payloads_of(got, "counts"))
        assert [document["late"] for document in payloads_of(messages, "counts")] == [late]
        publisher.drain(2.0)


def test_a_message_that_is_sent_again_is_identical(state: State, port: int) -> None:
    """The first one is received, but its acknowledgement is lost; the second one goes out an hour later."""
    state.close_intervals(1)
    utc = Clock(START + 121.0)
    with subscribed(port, "+/+/+/+/counts/#") as reader, relay(port) as between:
        publisher = state.publisher(between.port, utc=utc, timing=Timing(connect=2.0, keepalive=60, ack=0.3))
        connect(publisher, state)
        state.close_intervals(1)
        between.deaf.set()
        first = drive(publisher, reader, lambda got: 2 in sequence_numbers(got))
        utc.now += 3600.0
        settle(publisher, lambda: "no acknowledgement" in publisher.problem)
        between.deaf.clear()
        repeated = drive(publisher, reader, outbox_is_empty(state))
        repeated += drive(publisher, reader, bool) if not repeated else []
        assert {m.payload for m in repeated} == {m.payload for m in first if 2 in sequence_numbers([m])}
        publisher.drain(2.0)


def test_a_late_delivery_does_not_overwrite_the_latest_interval(state: State, port: int) -> None:
    state.close_intervals(5)
    publisher = state.publisher(port)
    settle(publisher, lambda: publisher.unsent == 0 and len(state.outbox) == 0)
    publisher.drain(2.0)
    with subscribed(port, f"{DEVICE.prefix}/latest/a") as reader:
        assert sequence_numbers(collect(reader, bool), channel="latest") == [5]


def test_a_backlog_is_sent_at_a_bounded_rate(state: State, port: int) -> None:
    clock = Clock(0.0)
    state.close_intervals(100)
    publisher = state.publisher(port, clock=clock, pace=Pace(20, 20.0, min))
    settle(publisher, lambda: publisher.unsent == 80)
    for unsent in (70, 60, 50):
        clock.now += 1.0
        steps(publisher, 20)
        assert publisher.unsent == unsent
    state.session.close()


def test_each_connection_draws_its_own_rate(state: State, port: int) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 1.0

    clock = Clock(0.0)
    state.close_intervals(60)
    publisher = state.publisher(port, clock=clock, pace=Pace(20, 20.0, uniform))
    settle(publisher, lambda: publisher.unsent == 40)
    clock.now += 1.0
    settle(publisher, lambda: publisher.unsent == 20)
    assert drawn == [(0.5, 1.0)]
    state.session.close()


def test_unacknowledged_messages_never_exceed_the_window(state: State, port: int) -> None:
    with subscribed(port, "+/+/+/+/counts/#") as reader, relay(port) as between:
        publisher = state.publisher(
            between.port, pace=Pace(window=5), timing=Timing(connect=2.0, keepalive=60, ack=60.0)
        )
        connect(publisher, state)
        between.deaf.set()
        state.close_intervals(20)
        messages = drive(publisher, reader, lambda got: len(sequence_numbers(got)) >= 5)
        for _ in range(10):
            publisher.step(0.01)
            late = reader.read(0.01)
            messages += [late] if late else []
        assert len(sequence_numbers(messages)) == 5
        state.session.close()


def test_a_stop_with_a_silent_broker_respects_its_deadline(state: State, port: int) -> None:
    with relay(port) as between:
        publisher = state.publisher(between.port, timing=Timing(connect=2.0, keepalive=60, ack=60.0))
        connect(publisher, state)
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


def test_the_body_of_the_thread_ends_at_the_stop(state: State, port: int) -> None:
    stop = threading.Event()
    publisher = state.publisher(port)
    thread = threading.Thread(target=publisher.run, args=(stop,))
    with subscribed(port, f"{DEVICE.prefix}/counts/a") as reader:
        thread.start()
        try:
            state.close_intervals(5)
            assert sequence_numbers(collect(reader, lambda got: len(got) == 5)) == [1, 2, 3, 4, 5]
        finally:
            stop.set()
            thread.join(5)
    assert not thread.is_alive()
    assert len(state.outbox) == 0


def test_a_failing_store_is_reported_and_retried(tmp_path: Path, port: int) -> None:
    with opened(tmp_path) as state:
        fail_and_retry(state, port)


def fail_and_retry(state: State, port: int) -> None:
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

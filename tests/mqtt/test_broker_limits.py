"""Publisher against brokers with limits: counts are delivered as far as possible, and every limit is named."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.device_messages import Health, LineMeta
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Timing
from edge_app.mqtt.health_size import fitting
from edge_app.mqtt.session import ProtocolChoice
from tests.support.brokers import collect, mosquitto, needs_mosquitto, subscribed
from tests.support.hostile_broker import HostileBroker, hostile_broker
from tests.support.publisher_cases import DEVICE, META, Clock, State, health, settle, steps

TIMING = Timing(connect=2.0, keepalive=5, ack=5.0)
PREFIX = DEVICE.prefix
LARGE = META.model_copy(
    update={"lines": [LineMeta(id=line, start=(0, 0.5), end=(1, 0.5)) for line in ("a", "b", *("x" * 60,) * 5)]}
)
"""Larger than an interval."""
RETAIN, WILL_QOS = 0x20, 0x18
"""Flags of a CONNECT."""


@pytest.fixture
def broker() -> Iterator[HostileBroker]:
    with hostile_broker() as running:
        yield running


# --- announced


def test_what_is_too_large_is_named_and_blocks_nothing_else(state: State, broker: HostileBroker) -> None:
    largest = 640
    broker.properties = b"\x27" + largest.to_bytes(4, "big")
    state.close_intervals(3)
    publisher = state.publisher(broker.port, timing=TIMING, meta=LARGE)
    settle(publisher, lambda: publisher.delivered == 3)
    assert broker.connections == 1
    assert f"{PREFIX}/meta" not in broker.topics()
    assert {f"{PREFIX}/{part}" for part in ("status", "counts/a", "latest/a", "health")} <= set(broker.topics())
    assert any(limit.startswith(f"broker refuses {PREFIX}/meta (Packet too large: ") for limit in publisher.limits)


def _long_health(limits: int, words: int) -> Health:
    refused = [
        f"broker refuses {PREFIX}/counts/{n} (Packet too large: 900 bytes, and it takes 640)" for n in range(limits)
    ]
    return health().model_copy(
        update={
            "limits": [*refused, "a sentence about something else " * words],
            "problem": "a long problem " * words,
            "newest_seq": {f"line-{n}": n for n in range(limits)},
        }
    )


@pytest.mark.parametrize(("limits", "words"), [(0, 60), (3, 1), (3, 60), (40, 60)])
def test_health_that_is_too_large_becomes_shorter(state: State, broker: HostileBroker, limits: int, words: int) -> None:
    broker.properties = b"\x27" + (1100).to_bytes(4, "big")
    publisher = state.publisher(broker.port, timing=TIMING, health=lambda: _long_health(limits, words))
    settle(publisher, lambda: f"{PREFIX}/health" in broker.topics())
    assert not any(f"{PREFIX}/health" in limit for limit in publisher.limits)


@pytest.mark.parametrize("largest", range(700, 4000, 50))
def test_texts_go_before_figures_and_topics_stay_longest(largest: int) -> None:
    full = _long_health(3, 60)
    sent = fitting(full, lambda tried: len(encode(tried)) <= largest)
    assert len(encode(sent)) <= largest
    assert sent.newest_seq == full.newest_seq
    if sent.limits and sent.limits != full.limits:
        assert sent.limits[0] in (
            "too large for the broker: counts/0, counts/1, counts/2",
            "and 2 more, which do not fit",
        )
    assert sent.model_copy(update={"limits": (), "problem": "", "source": full.source}) == full.model_copy(
        update={"limits": (), "problem": ""}
    )


def test_counts_that_are_too_large_wait_and_are_named(state: State, broker: HostileBroker) -> None:
    broker.properties = b"\x27" + (400).to_bytes(4, "big")
    state.close_intervals(2)
    publisher = state.publisher(broker.port, timing=TIMING)
    settle(
        publisher,
        lambda: f"{PREFIX}/counts/a (Packet too large" in publisher.problem or "more topics" in publisher.problem,
    )
    steps(publisher, 20)
    assert (publisher.unsent, broker.connections) == (2, 1)
    assert f"{PREFIX}/status" in broker.topics()
    assert any(f"{PREFIX}/counts/a (Packet too large: " in limit for limit in publisher.limits)


@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
def test_a_broker_without_retained_messages_gets_them_unretained(
    state: State, broker: HostileBroker, protocol: ProtocolChoice
) -> None:
    broker.properties = b"\x25\0"
    broker.refuse = lambda flags, level: 0 if not flags & RETAIN else 0x9A if level == 5 else None
    state.close_intervals(3)
    publisher = state.publisher(broker.port, timing=TIMING, protocol=protocol)
    settle(publisher, lambda: publisher.delivered == 3)
    assert not any(one.retained for one in broker.received)
    assert f"{PREFIX}/latest/a" in broker.topics()
    assert any("keeps no retained messages" in limit for limit in publisher.limits)


@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
def test_a_broker_without_qos_1_gets_counts_and_answers_before_they_leave_the_outbox(
    state: State, broker: HostileBroker, protocol: ProtocolChoice
) -> None:
    broker.properties = b"\x24\0"
    broker.refuse = lambda flags, level: 0 if not flags & WILL_QOS else 0x9B if level == 5 else None
    state.close_intervals(3)
    publisher = state.publisher(broker.port, timing=TIMING, protocol=protocol)
    settle(publisher, lambda: publisher.delivered == 3)
    counts = [one for one in broker.received if one.topic.endswith("/counts/a")]
    assert [one.qos for one in counts] == [0, 0, 0]
    assert any("takes only QoS 0" in limit for limit in publisher.limits)


def test_with_qos_0_what_the_broker_has_not_answered_is_sent_again(state: State, broker: HostileBroker) -> None:
    broker.properties = b"\x24\0"
    broker.refuse = lambda flags, _level: 0x9B if flags & WILL_QOS else 0
    state.close_intervals(1)
    broker.delay, broker.delays_all = 60.0, True
    publisher = state.publisher(broker.port, timing=Timing(connect=2.0, keepalive=60, ack=0.3))
    settle(publisher, lambda: broker.topics().count(f"{PREFIX}/status") >= 2)
    assert publisher.delivered == 0
    broker.delay, broker.delays_all = 0.0, False
    settle(publisher, lambda: publisher.delivered == 1)


def test_a_proxy_that_closed_some_connections_does_not_take_retained_messages_away(
    state: State, broker: HostileBroker
) -> None:
    """With 3.1.1 a broker that cannot keep the will and a proxy whose broker is down look alike at first."""
    answers = iter([None, 0, 0])
    broker.refuse = lambda _flags, _level: next(answers)
    state.close_intervals(1)
    publisher = state.publisher(broker.port, timing=TIMING, protocol="3.1.1")
    settle(publisher, lambda: publisher.delivered == 1)
    assert any(one.retained for one in broker.received)
    assert publisher.limits == ()


def test_without_wildcards_each_command_is_subscribed_to(state: State, broker: HostileBroker) -> None:
    broker.properties = b"\x28\0"
    state.close_intervals(1)
    publisher = state.publisher(broker.port, timing=TIMING)
    settle(publisher, lambda: publisher.delivered == 1)
    assert broker.filters == [f"{PREFIX}/commands/ping"]  # the first filter of the one subscription
    assert [limit for limit in publisher.limits if "wildcards" in limit]


# --- not announced: the connection ends


@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
@pytest.mark.parametrize(
    "where",
    ["status", "meta", "meta/cd", "health", "latest/a", "counts/b", "subscribe commands/#", "status meta health"],
)
def test_what_ends_the_connection_three_times_is_left_out_for_an_hour(
    state: State, broker: HostileBroker, where: str, protocol: ProtocolChoice
) -> None:
    parts = [where] if where.startswith("subscribe") else where.split()
    poison = {f"{PREFIX}/{part}".replace(f"{PREFIX}/subscribe ", f"subscribe {PREFIX}/") for part in parts}
    broker.closes_at = poison.__contains__
    clock = Clock(0.0, running=True)
    state.close_intervals(3, "a")
    state.close_intervals(1, "b")
    publisher = state.publisher(broker.port, timing=TIMING, protocol=protocol, session_clock=clock, clock=clock)
    due = 4 - ("counts/b" in parts)
    settle(
        publisher,
        lambda: (
            publisher.delivered == due
            and all(any(p.split()[-1] in limit for limit in publisher.limits) for p in poison)
        ),
    )
    assert broker.connections <= 1 + 3 * len(poison) + 1
    before = broker.connections
    state.close_intervals(3, "a")
    settle(publisher, lambda: publisher.delivered == due + 3)
    steps(publisher, 5)
    assert broker.connections == before
    assert all("the connection was lost 3 times at it" in limit for limit in publisher.limits)
    broker.closes_at = lambda _topic: False
    clock.now += 3601.0
    state.close_intervals(1, "a")
    settle(publisher, lambda: publisher.delivered == 8 and publisher.limits == ())
    assert publisher.problem == ""


def test_after_the_hour_one_loss_is_enough(state: State, broker: HostileBroker) -> None:
    broker.closes_at = f"{PREFIX}/meta".__eq__
    clock = Clock(0.0, running=True)
    publisher = state.publisher(broker.port, timing=TIMING, session_clock=clock, clock=clock)
    settle(publisher, lambda: publisher.limits and publisher.connected)
    steps(publisher, 20)  # nothing is on its way when an hour passes at once
    before = broker.connections
    assert before <= 5  # the first loss may be blamed on another one
    clock.now += 3601.0
    settle(publisher, lambda: broker.connections == before + 1 and publisher.connected)
    steps(publisher, 20)
    assert broker.connections == before + 1


def test_losses_that_have_nothing_to_do_with_a_topic_leave_nothing_out(state: State, broker: HostileBroker) -> None:
    """The link breaks at one publication of ten, whatever it is."""
    chance = random.Random(1)
    broker.closes_at = lambda _topic: chance.random() < 0.1
    publisher = state.publisher(broker.port, timing=TIMING, pace=Pace(rate=1e6))
    for due in range(2, 22, 2):
        state.close_intervals(2)
        settle(publisher, lambda due=due: publisher.delivered == due)  # type: ignore[misc]
    assert broker.connections > 3
    assert publisher.limits == ()


def test_a_broker_that_answers_no_unsubscription_holds_nothing_up(state: State, broker: HostileBroker) -> None:
    """After a loss health is tried alone too, and the broker is asked behind it whether it has taken it."""
    broker.answers_unsubscribe = False
    deaths = iter([True])
    broker.closes_at = lambda topic: topic.endswith("/meta") and next(deaths, False)
    clock = Clock(0.0, running=True)
    state.close_intervals(2)
    publisher = state.publisher(broker.port, timing=Timing(connect=20.0, keepalive=5, ack=20.0), session_clock=clock)
    settle(publisher, lambda: f"{PREFIX}/health" in broker.topics(2))
    steps(publisher, 3)
    clock.now += 5.5
    settle(publisher, lambda: publisher.delivered == 2)
    assert (broker.connections, publisher.limits) == (2, ())


# --- slow


@pytest.mark.parametrize("delays_all", [False, True], ids=["acknowledgements", "everything"])
def test_late_acknowledgements_lead_to_no_endless_redelivery(
    state: State, broker: HostileBroker, delays_all: bool
) -> None:
    broker.delay, broker.delays_all = 0.8, delays_all
    state.close_intervals(3)
    publisher = state.publisher(broker.port, timing=Timing(connect=5.0, keepalive=60, ack=0.3), pace=Pace(rate=1e6))
    told: set[str] = set()
    settle(publisher, lambda: told.update(publisher.limits) or publisher.delivered == 3)  # type: ignore[func-returns-value]
    assert any("acknowledges late" in limit for limit in told) or delays_all
    # A machine that is busy for a moment may take the broker for silent once more.
    assert broker.connections <= 3 + delays_all
    before = broker.connections
    state.close_intervals(3)
    settle(publisher, lambda: publisher.delivered == 6)
    assert broker.connections <= before + 1
    assert broker.topics().count(f"{PREFIX}/counts/a") <= 6 * broker.connections


# --- real brokers


@needs_mosquitto
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("max_packet_size 700", "meta (Packet too large"),
        ("message_size_limit 620", "meta (Packet too large"),
        ("retain_available false", "no retained messages"),
        ("max_qos 0", "only QoS 0"),
    ],
)
def test_mosquitto_with_a_limit(state: State, tmp_path: Path, setting: str, named: str) -> None:
    with (
        mosquitto(tmp_path / "limited", setting, "allow_anonymous true") as limited,
        subscribed(limited.port, f"{PREFIX}/#") as reader,
    ):
        state.close_intervals(3)
        publisher = state.publisher(limited.port, meta=LARGE)
        settle(publisher, lambda: publisher.delivered == 3)
        assert any(named in limit for limit in publisher.limits), publisher.limits
        assert publisher.connections == 1
        got = collect(reader, lambda messages: sum(m.topic.endswith("/counts/a") for m in messages) == 3)
        assert any(m.topic.endswith("/status") for m in got)
        publisher.drain(1.0)


@needs_mosquitto
@pytest.mark.parametrize("setting", ["max_packet_size 700", "retain_available false", "max_qos 0"])
def test_mosquitto_with_a_limit_that_3_1_1_does_not_tell(state: State, tmp_path: Path, setting: str) -> None:
    with mosquitto(tmp_path / "limited", setting, "allow_anonymous true") as limited:
        state.close_intervals(3)
        publisher = state.publisher(limited.port, protocol="3.1.1", meta=LARGE)
        settle(publisher, lambda: publisher.delivered == 3 and publisher.limits)
        publisher.drain(1.0)

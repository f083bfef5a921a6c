"""Configurations of the office at the broker: what is handed on, what is told, and that no count waits for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.mqtt.config_desk import MAX_BYTES, MAX_PACKET, ConfigDesk, Report
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message, Timing
from edge_app.mqtt.office_messages import ConfigConflict, ConfigLayer, ReleaseReported
from edge_app.mqtt.presence import BirthMessage
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import (
    Mosquitto,
    collect,
    mosquitto,
    needs_mosquitto,
    password_file,
    subscribed,
)
from tests.support.publisher_cases import DEVICE, INSTALLATION, META, START, State, settle
from tests.support.schemas import validate

DESIRED, REPORTED = (f"{DEVICE.prefix}/config/{name}" for name in ("desired", "reported"))
LAYER = ConfigLayer(name="file", revision="9a41c2d0", author="root", at="2026-11-01T08:00:00Z")  # type: ignore[arg-type]
CONFLICT = ConfigConflict(key="counting.interval_s", used="office", ignored="page", ignored_is_newer=False)


class Office:
    """Office that takes everything and tells what the test wants."""

    def __init__(self) -> None:
        self.offered: list[bytes] = []
        self.report: Report | None = Report(config="cd")

    def offer(self, message: bytes) -> None:
        self.offered.append(message)


def desired(payload: bytes) -> Message:
    return Message(DESIRED, payload, qos=1, retained=True)


def reports(messages: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(one.payload) for one in messages if one.topic == REPORTED]


def test_what_comes_is_handed_on_and_every_change_is_told(state: State, port: int) -> None:
    office = Office()
    with subscribed(port, f"{DEVICE.prefix}/#", name="office") as reader:
        reader._session.publish(desired(b"retained"))
        publisher = state.publisher(port, office=office)
        settle(publisher, lambda: office.offered)
        assert office.offered == [b"retained"]
        office.report = Report("trying", 3, 3, ("why",), "cd", [LAYER], [CONFLICT])
        messages: list[Message] = []

        def told() -> bool:
            message = reader.read(0.02)
            messages.extend([message] if message else [])
            return len(reports(messages)) == 2

        settle(publisher, told)
        for one in messages:
            if one.topic == REPORTED:
                validate("config_reported", one.payload)
        assert reports(messages)[1] == {
            "schema": "edge-app/config-reported/1",
            "at": "2027-01-26T21:46:40Z",
            "state": "trying",
            "revision": 3,
            "highest": 3,
            "problems": ["why"],
            "config": "cd",
            "installation": INSTALLATION,
            "layers": [{"name": "file", "revision": "9a41c2d0", "author": "root", "at": "2026-11-01T08:00:00Z"}],
            "conflicts": [
                {"key": "counting.interval_s", "used": "office", "ignored": "page", "ignored_is_newer": False}
            ],
            "release": None,
        }
        publisher._session.close()  # the next connect tells it again
        settle(publisher, lambda: told() or len(reports(messages)) == 3)
        assert publisher.limits == ()
        reader._session.publish(desired(b""))
    with subscribed(port, REPORTED, name="later") as reader:
        (kept,) = collect(reader, lambda messages: bool(messages))
        assert kept.retained
        reader._session.publish(Message(REPORTED, b"", qos=1, retained=True))


def test_a_device_without_keys_neither_listens_nor_tells(state: State, port: int) -> None:
    with subscribed(port, f"{DEVICE.prefix}/#", name="office") as reader:
        publisher = state.publisher(port)
        settle(publisher, lambda: publisher.connected)
        messages: list[Message] = []

        def online() -> bool:
            message = reader.read(0.02)
            messages.extend([message] if message else [])
            return any(one.topic.endswith("/meta/cd") for one in messages)

        settle(publisher, online)
        assert not reports(messages)
        assert publisher.limits == ()


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Broker with an access list of a contract that knew no office."""
    folder = tmp_path_factory.mktemp("older")
    allowed = ("status", "meta", "meta/+", "health", "counts/+", "latest/+", "replies/#")
    lines = ["user cam", *(f"topic write {DEVICE.prefix}/{part}" for part in allowed)]
    access = folder / "access"
    access.write_text("\n".join([*lines, f"topic read {DEVICE.prefix}/commands/#", ""]))
    settings_ = (
        "allow_anonymous false",
        f"password_file {password_file(folder, 'cam', 'right')}",
        f"acl_file {access}",
    )
    with mosquitto(folder, *settings_) as running:
        yield running


@needs_mosquitto
def test_a_broker_that_knows_no_office_holds_no_count_back(state: State, older: Mosquitto) -> None:
    publisher = state.publisher(older.port, to=Endpoint(HOST, older.port, "cam", "right"), office=Office())
    state.close_intervals(3)
    settle(publisher, lambda: publisher.delivered == 3 and publisher.limits)
    assert publisher.limits == (f"broker refuses {REPORTED} (Not authorized)",)  # it takes subscriptions to anything
    assert publisher.problem == ""


def test_a_refused_subscription_is_told_until_the_next_connect() -> None:
    desk = ConfigDesk(Office(), DEVICE, lambda: INSTALLATION, lambda: START)
    assert not desk.refuse(f"{DEVICE.prefix}/commands/#", "Not authorized")
    assert desk.refuse(DESIRED, "Not authorized")
    sentence = f"broker refuses the subscription to {DESIRED} (Not authorized): no configuration of the office arrives"
    assert desk.limits == [sentence]
    desk.begin()
    assert desk.limits == []


@needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_largest_message_arrives_and_a_larger_one_harms_nothing(
    state: State, tmp_path: Path, protocol: str
) -> None:
    office = Office()
    with mosquitto(tmp_path / "broker") as broker, subscribed(broker.port, "x", name="office") as writer:
        timing = Timing(connect=2.0, keepalive=5, ack=1.0, max_packet=MAX_PACKET)
        publisher = state.publisher(broker.port, office=office, timing=timing, protocol=protocol)
        settle(publisher, lambda: publisher.connected)
        for size in (MAX_BYTES + 1, MAX_BYTES):
            writer._session.publish(desired(size * b"x"))
            writer.read(0.01)
        settle(publisher, lambda: writer.read(0.01) or office.offered)
        assert [len(one) for one in office.offered] == [MAX_BYTES]
        assert publisher.connections == 1


def test_other_texts_are_announced_without_a_new_connection(state: State, port: int) -> None:
    changed = META.model_copy(update={"lines": [META.lines[0].model_copy(update={"road": "Quay"}), META.lines[1]]})
    born: list[str] = []

    def births() -> list[BirthMessage]:
        born.append("again")
        return []

    with subscribed(port, f"{DEVICE.prefix}/#", name="office") as reader:
        publisher = state.publisher(port)
        roads: dict[str, list[str]] = {"meta": [], "meta/cd": []}

        def told() -> bool:
            message = reader.read(0.02)
            name = message.topic.removeprefix(f"{DEVICE.prefix}/") if message else ""
            if message and name in roads and not message.retained:
                roads[name].append(json.loads(message.payload)["lines"][0]["road"])
            return all(one[-1:] == ["Quay"] for one in roads.values())

        settle(publisher, lambda: told() or all(roads.values()))
        publisher.renew(changed, births)
        settle(publisher, told)
        assert (publisher.connections, born) == (1, ["again"])


def test_a_program_that_begins_anew_does_not_say_that_it_has_stopped(state: State, port: int) -> None:
    with subscribed(port, f"{DEVICE.prefix}/status", name="office") as reader:
        first = state.publisher(port)
        settle(first, lambda: first.connected)
        first.stays = True
        first.drain(2.0)
        assert last_state(reader) == "online"
        # A stop between the two is told by the second, although it had no time to connect.
        second = state.publisher(port, follows=True)
        stop = threading.Event()
        stop.set()
        second.run(stop, 5.0)
        assert last_state(reader) == "stopped"
        third = state.publisher(port)
        third.run(stop, 5.0)
        assert third.connections == 0


def last_state(reader: Subscriber) -> str:
    """Return the newest state that comes within half a second."""
    states = [json.loads(one.payload)["state"] for _ in range(10) if (one := reader.read(0.05)) and one.payload]
    return str(states[-1])


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.text(max_size=20))
def test_the_desk_takes_its_topic_alone_and_any_bytes(payload: bytes, topic: str) -> None:
    office = Office()
    desk = ConfigDesk(office, DEVICE, lambda: INSTALLATION, lambda: START)
    assert desk.receive(desired(payload))
    assert office.offered == [payload]
    assert not desk.receive(Message(topic, payload))


def test_what_becomes_of_a_release_is_told_without_a_configuration() -> None:
    said: list[ReleaseReported | None] = [None]
    desk = ConfigDesk(Office(), DEVICE, lambda: INSTALLATION, lambda: START, lambda: said[0])
    sent: list[Message] = []

    def publish(message: Message, *, on_answer: Callable[[str], object]) -> int:
        on_answer("")
        sent.append(message)
        return len(sent)

    for state in (None, None, "counts", "counts"):
        said[0] = ReleaseReported(id="city-1", state="counts") if state else None
        desk.publish(publish)
    assert [json.loads(message.payload)["release"] for message in sent] == [
        None,
        {"id": "city-1", "state": "counts", "problem": ""},
    ]
    for message in sent:
        validate("config_reported", message.payload)

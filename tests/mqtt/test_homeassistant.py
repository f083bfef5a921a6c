"""Announcement to Home Assistant: a real publisher and broker, and its templates rendered over real messages."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from edge_app.mqtt.device_messages import Health, SourceHealth
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.encoding import encode, encode_counts, encode_status
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message
from edge_app.mqtt.figures import Percentiles
from edge_app.mqtt.homeassistant import ANNOUNCED, Announcement, Entity, entities_of
from edge_app.mqtt.publisher import Publisher
from edge_app.records import DIRECTIONS, FLOWS, IntervalCounts, Line
from edge_app.storage.outbox import ClosedInterval
from tests.support.brokers import collect, mosquitto, needs_mosquitto, password_file, subscribed
from tests.support.publisher_cases import DEVICE, META, START, State, settle

NORTH = Line("north", (0, 0.5), (1, 0.5), {"left_to_right": "to the port"})
CLASSES = ("car", "bus")
TOPIC = "homeassistant/device/delft/cam-1/config"
COUNTS = {"car": {"left_to_right": 3, "right_to_left": 1}, "bus": {"left_to_right": 2, "right_to_left": 0}}
TOTALS = {"car": {"left_to_right": 300, "right_to_left": 100}, "bus": {"left_to_right": 20, "right_to_left": 0}}


def announcement(folder: Path, *lines: Line, prefix: str = "homeassistant") -> Announcement:
    entities = entities_of(lines, CLASSES, 60.0) if lines else {}
    return Announcement(DEVICE, entities, prefix=prefix, record_file=folder / ANNOUNCED)


def published() -> dict[str, str]:
    """Return a real message for each topic that entities take their values from."""
    interval = IntervalCounts("north", START, 60.0, COUNTS, 45.0, 900, 0, ("dark", "moved"))  # type: ignore[arg-type]
    health = Health(
        at=datetime.fromtimestamp(START, timezone.utc),
        frames_per_s=14.9,
        frames_dropped=0,
        inference_ms=Percentiles(p50=17.5, p95=20),
        unsent=4,
        memory_mb=151.5,
        source=SourceHealth(state="lost"),
        problem='broker x:1: "refused" <now>',
    )
    counts = encode_counts(DEVICE, ClosedInterval(interval, 7, TOTALS, "boot"))  # type: ignore[arg-type]
    return {"latest/north": counts, "health": encode(health)}


def render(template: str, payload: str) -> str:
    """Render a template as Home Assistant does, except that a missing value is an error here."""
    return SandboxedEnvironment(undefined=StrictUndefined).from_string(template).render(value_json=json.loads(payload))


@contextmanager
def announcing(state: State, port: int, subject: Announcement, **options: Any) -> Iterator[Publisher]:
    publisher = state.publisher(port, birth_messages=subject.birth_messages, **options)
    settle(publisher, lambda: state.session.connected and not publisher._in_flight)
    yield publisher
    publisher.drain(2.0)


def retained(port: int, topic: str = "homeassistant/#") -> dict[str, Any]:
    """Return the retained messages that a Home Assistant which connects later receives."""
    with subscribed(port, topic, f"{DEVICE.prefix}/meta") as reader:
        messages = collect(reader, lambda got: any(m.topic.endswith("/meta") for m in got))
        messages += [m for m in iter(lambda: reader.read(0.3), None) if m]
    return {m.topic: json.loads(m.payload) for m in messages if not m.topic.endswith("/meta")}


def test_speeds_and_flows_are_announced_where_they_are_measured() -> None:
    lines = [replace(NORTH, enters="left_to_right"), Line("south", (0, 0.9), (1, 0.9), enters="left_to_right")]
    entities = entities_of(lines, CLASSES, 60.0, speeds=True)
    assert set(entities) - set(entities_of([replace(one, enters=None) for one in lines], CLASSES, 60.0)) == {
        *(f"{line}_{direction}_speed" for line in ("north", "south") for direction in DIRECTIONS),
        *(f"flow_{origin}_{to}" for origin in ("north", "south") for to in ("north", "south")),
    }
    speed: Any = {
        "car": {"left_to_right": {"n": 2, "sum": 80.0, "sum_inverse": 0.05, "bins": {"40": 2}}},
        "bus": {"left_to_right": {"n": 1, "sum": 31.0, "sum_inverse": 0.03, "bins": {"30": 1}}},
    }
    counts: Any = COUNTS
    interval = IntervalCounts("north", START, 60.0, counts, 45.0, 900, 0, measures={"speed": speed})
    latest = encode_counts(DEVICE, ClosedInterval(interval, 7, counts, "boot"))
    assert render(entities["north_left_to_right_speed"].value, latest) == "37.0"
    assert render(entities["north_right_to_left_speed"].value, latest) == "None"
    assert render(entities["north_left_to_right_speed"].value, published()["latest/north"]) == "None"
    ways: Any = {"flows": {"north": {"south": {"car": 2, "bus": 1}}}, **{key: {} for key in OTHER_WAYS}}
    flows = encode_counts(DEVICE, ClosedInterval(replace(interval, line=FLOWS, measures=ways), 1, {}, "boot"))
    assert render(entities["flow_north_south"].value, flows) == "3"
    assert render(entities["flow_south_north"].value, flows) == "0"


OTHER_WAYS = ("entered", "entered_only", "left_only")


def test_every_template_extracts_the_value_of_a_real_message() -> None:
    messages = published()
    values = {
        key: render(entity.value, messages[entity.topic]) for key, entity in entities_of([NORTH], CLASSES, 60).items()
    }
    assert values == {
        "north_left_to_right_car": "300",
        "north_left_to_right_bus": "20",
        "north_left_to_right_interval": "5",
        "north_right_to_left_car": "100",
        "north_right_to_left_bus": "0",
        "north_right_to_left_interval": "1",
        "north_coverage": "75.0",
        "north_quality": "dark, moved",
        "problem": "ON",
        "camera": "lost",
        "rate": "14.9",
        "inference": "17.5",
        "unsent": "4",
        "temperature": "None",  # Home Assistant shows it as unknown
        "memory": "151.5",
        "disk_free": "None",
    }


def test_a_class_missing_in_a_message_is_unknown_and_no_error() -> None:
    """The retained message may be older than the configuration."""
    entity = entities_of([NORTH], ["bicycle"], 60)["north_left_to_right_bicycle"]
    assert render(entity.value, published()["latest/north"]) == "None"


def test_the_problem_has_its_sentence_as_an_attribute() -> None:
    attributes = render(entities_of([], [], 60)["problem"].attributes, published()["health"])
    assert json.loads(attributes) == {"problem": 'broker x:1: "refused" <now>'}


@pytest.mark.parametrize(
    ("state", "availability"), [("online", "online"), ("stopped", "offline"), ("offline", "offline")]
)
def test_a_device_that_stopped_or_vanished_is_not_available(tmp_path: Path, state: Any, availability: str) -> None:
    (birth,) = announcement(tmp_path, NORTH).birth_messages()
    (available,) = json.loads(birth.message.payload)["availability"]
    assert available["topic"] == f"{DEVICE.prefix}/status"
    assert render(available["value_template"], encode_status(DEVICE, state, START)) == availability


def test_home_assistant_finds_the_device_whenever_it_connects(state: State, port: int) -> None:
    with announcing(state, port, announcement(state.folder, NORTH)):
        pass
    (topic, found) = retained(port).popitem()
    assert topic == TOPIC
    assert found["device"]["identifiers"] == ["edge-app_delft_cam-1"]
    assert found["origin"] == {"name": "edge-app", "sw_version": "0.1.0"}
    assert found["components"]["north_left_to_right_car"] == {
        "platform": "sensor",
        "unique_id": "edge-app_delft_cam-1_north_left_to_right_car",
        "name": "north to the port car",
        "state_topic": "traffic/v1/delft/cam-1/latest/north",
        "value_template": "{{ value_json.totals.get('car', {}).get('left_to_right') }}",
        "unit_of_measurement": "vehicles",
        "state_class": "total_increasing",
        "icon": "mdi:car",
    }
    assert found["components"]["problem"]["platform"] == "binary_sensor"
    assert set(found["components"]) == set(entities_of([NORTH], CLASSES, 60))


def test_switching_it_off_removes_the_device_once(state: State, port: int) -> None:
    with announcing(state, port, announcement(state.folder, NORTH)):
        assert retained(port)
    off = announcement(state.folder)
    with announcing(state, port, off):
        assert not retained(port)
        assert not (state.folder / ANNOUNCED).exists()
        assert off.birth_messages() == []


def test_nothing_is_removed_that_was_never_announced(tmp_path: Path) -> None:
    assert announcement(tmp_path).birth_messages() == []


def test_entities_of_a_removed_line_are_removed_and_forgotten(state: State, port: int) -> None:
    with announcing(state, port, announcement(state.folder, NORTH, Line("south", (0, 0), (1, 1)))):
        pass
    for connect, expected in (("first", {"platform": "sensor"}), ("second", None)):
        with announcing(state, port, announcement(state.folder, NORTH)):
            components = retained(port)[TOPIC]["components"]
            assert components.get("south_coverage") == expected, connect
            assert "north_coverage" in components


def test_a_changed_prefix_removes_the_former_announcement(state: State, port: int) -> None:
    with announcing(state, port, announcement(state.folder, NORTH, prefix="old/one")):
        assert list(retained(port, "old/#")) == ["old/one/device/delft/cam-1/config"]
    with announcing(state, port, announcement(state.folder, NORTH)):
        assert not retained(port, "old/#")
        assert list(retained(port)) == [TOPIC]
    with announcing(state, port, announcement(state.folder)):
        assert not retained(port)


def test_the_announcement_of_another_device_is_left_alone(tmp_path: Path) -> None:
    record = {"topic": "homeassistant/device/delft/cam-9/config", "platforms": {"x": "sensor"}}
    (tmp_path / ANNOUNCED).write_text(json.dumps(record))
    assert announcement(tmp_path).birth_messages() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"topic": 1}', '{"topic": "x", "platforms": 3}', "\udcff"])
def test_a_damaged_record_file_is_reported_and_rewritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    file = tmp_path / ANNOUNCED
    file.write_bytes(text.encode(errors="surrogateescape"))
    (birth,) = announcement(tmp_path, NORTH).birth_messages()
    birth.on_acknowledged()
    assert "cannot be read" in caplog.text
    assert json.loads(file.read_text())["topic"] == TOPIC


def test_an_unwritable_record_file_does_not_prevent_the_announcement(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = announcement(tmp_path / "gone", NORTH)
    (birth,) = subject.birth_messages()
    birth.on_acknowledged()
    assert json.loads(birth.message.payload)["components"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "announcing to Home Assistant anyway" in caplog.text


@needs_mosquitto
def test_a_broker_that_refuses_the_announcement_still_receives_the_counts(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = folder / "access"
    access.write_text(f"user cam\ntopic write {DEVICE.prefix}/#\n")
    passwords = password_file(folder, "cam", "right")
    settings = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {access}")
    with mosquitto(folder, *settings) as broker:
        state.close_intervals(3)
        subject = announcement(state.folder, NORTH)
        with announcing(state, 0, subject, to=Endpoint(HOST, broker.port, "cam", "right")) as publisher:
            settle(publisher, lambda: publisher.delivered == 3)
            assert publisher.problem == f"broker refuses {TOPIC} (Not authorized); allow it in the broker's access list"
    assert (state.folder / ANNOUNCED).exists()


def test_the_number_of_entities_follows_lines_and_classes() -> None:
    many = entities_of([NORTH, Line("a-b", (0, 0), (1, 1))], ("car", "motorcycle", "bus", "truck"), 60)
    assert len(many) == 2 * (2 * 4 + 2 + 2) + 8
    assert all(isinstance(entity, Entity) for entity in many.values())
    assert META.interval_s == 60
    assert many["camera"].expire_after == 180


def test_the_announcement_is_retained_with_qos_1(tmp_path: Path) -> None:
    (birth,) = announcement(tmp_path, NORTH).birth_messages()
    assert (birth.message.topic, birth.message.qos, birth.message.retained) == (TOPIC, 1, True)
    assert isinstance(birth.message, Message)

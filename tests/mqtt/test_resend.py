"""A device with a real archive and a real broker that is asked again: ping, resend, texts of configurations."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_app.city.simulator.device import SimulatedDevice
from edge_app.config.model import Config, LineConfig, MqttConfig, StoreConfig
from edge_app.mqtt.config_texts import ConfigTexts
from edge_app.mqtt.encoding import encode_crossing
from edge_app.mqtt.events import Message, Timing
from edge_app.records import FLOWS, Crossing
from tests.support.asking_city import City, city, command, numbers
from tests.support.brokers import mosquitto, needs_mosquitto, password_file, subscribed
from tests.support.lean_state import CLIENTS
from tests.support.ports import free_port
from tests.support.publisher_cases import DEVICE, INSTALLATION, META, START, State, opened, settle, steps
from tests.support.relay import relay
from tests.support.schemas import validate

ENTERS = "left_to_right"


@pytest.fixture(params=CLIENTS)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[State]:
    with opened(tmp_path, CLIENTS[request.param]) as state:
        yield state


def test_ping_tells_all_that_is_kept(state: State, port: int) -> None:
    state.close_intervals(3)
    with city(state, port) as found:
        answer = found.ask(command("ping", "city-1"))
        assert answer["ok"] is True
        result = answer["result"]
        lines = {"a": {"first_seq": 1, "newest_seq": 3}, "b": {"first_seq": 1, "newest_seq": 0}}
        assert (result["contract"], result["installation"], result["lines"]) == ("1.3", INSTALLATION, lines)
        assert result["installations"] == {INSTALLATION: lines}
        state.close_intervals(1)
        found.until(lambda: len(state.outbox) == 0)
        assert found.ask(command("ping", "city-1"))["result"]["lines"]["a"]["newest_seq"] == 4, "ping is not remembered"


def test_resend_offers_the_same_bytes_again_and_names_the_rest(state: State, port: int) -> None:
    state.close_intervals(5)
    with city(state, port) as found:
        first = found.counts()
        latest = [m for m in found.messages if "/latest/" in m.topic]
        answer = found.ask(command("resend", "city-2", **numbers(2, 8)))
        assert answer["result"] == {"sent": 4, "missing": [{"from_seq": 6, "to_seq": 8, "reason": "unknown"}]}
        found.until(lambda: len(found.counts()) == len(first) + 4)
        assert found.counts()[5:] == first[1:]
        assert [m for m in found.messages if "/latest/" in m.topic] == latest
        answer = found.ask(command("resend", "city-3", **numbers(1, 2, installation="ffffffff")))
        assert answer["result"] == {"sent": 0, "missing": [{"from_seq": 1, "to_seq": 2, "reason": "unknown"}]}


def test_flows_are_delivered_and_offered_again_as_a_line_of_their_own(state: State, port: int) -> None:
    junction = META.model_copy(update={"lines": [line.model_copy(update={"enters": ENTERS}) for line in META.lines]})
    state.close_intervals(2)
    state.close_intervals(3, line=FLOWS)
    with city(state, port, meta=junction) as found:

        def flows() -> list[bytes]:
            return [m.payload for m in found.messages if m.topic == f"{DEVICE.prefix}/flows"]

        first = flows()
        assert [validate("flows", one)["seq"] for one in first] == [1, 2, 3]
        assert found.ask(command("resend", "city-2", **numbers(2, 4, line=FLOWS)))["result"]["sent"] == 2
        found.until(lambda: len(flows()) == 5)
        assert flows()[3:] == first[1:]
        (newest,) = [m.payload for m in found.messages if m.topic == f"{DEVICE.prefix}/latest/{FLOWS}"]
        assert newest == first[2]
        assert found.ask(command("ping", "city-3"))["result"]["lines"][FLOWS] == {"first_seq": 1, "newest_seq": 3}
    with city(state, port) as found:  # no arms any more
        found.until(lambda: any(m.topic.endswith(f"latest/{FLOWS}") and not m.payload for m in found.messages))


def test_crossings_are_published_at_once_and_not_kept_for_a_broker_that_is_away(state: State, port: int) -> None:
    crossing = Crossing(START, 7, 1, "car", "a", "left_to_right", 0.91234)
    topic, payload = encode_crossing(DEVICE, crossing, (43.21, 2.0), 2)
    with subscribed(port, f"{DEVICE.prefix}/#") as reader:
        publisher = state.publisher(port)
        publisher.tell(topic, payload)
        steps(publisher, 1)  # not connected yet
        found = City(reader, publisher)
        found.until(lambda: state.session.connected)
        publisher.tell(topic, payload)
        found.until(lambda: any(m.topic == topic for m in found.messages))
        publisher.drain(1.0)
        (told,) = [validate("crossings", m.payload) for m in found.messages if m.topic == topic]
    assert (told["speed_kmh"], told["lane"], told["score"], told["class"]) == (43.2, "2", 0.912, "car")


def test_a_repeated_command_gets_the_same_reply_and_is_not_carried_out_again(state: State, port: int) -> None:
    state.close_intervals(2)
    with city(state, port) as found:
        answer = found.ask(command("resend", "city-2", **numbers(1, 2)))
        found.until(lambda: len(found.counts()) == 4)
        assert found.ask(command("resend", "city-2", **numbers(1, 1))) == answer
        wrong = found.ask(command("reboot", "city-9"))
        assert wrong["code"] == "unknown_command"
        assert found.ask(command("resend", "city-9", **numbers(1, 1))) == wrong
        assert len(found.counts()) == 4


def test_a_reply_goes_to_the_response_topic_with_its_correlation_data(state: State, port: int) -> None:
    with city(state, port) as found:
        topic = f"{DEVICE.prefix}/replies/ping/mine"
        properties = publish_with_response(found, command("ping", "city-4"), topic, b"42")
        found.until(lambda: any(m.topic == topic for m in found.messages))
        (answer,) = [m for m in found.messages if m.topic == topic]
        assert answer.correlation == b"42"
        assert properties


def publish_with_response(found: City, message: Message, topic: str, correlation: bytes) -> bool:
    """Publish with MQTT 5 properties that the program itself never sends."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    connection = found.reader._session._connection
    assert connection is not None
    assert connection._client is not None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic, properties.CorrelationData = topic, correlation
    connection._client._paho.publish(message.topic, message.payload, 1, False, properties)
    return True


@needs_mosquitto
def test_retained_and_malformed_messages_are_ignored(state: State, tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        with subscribed(broker.port, "nothing", name="other") as other:
            sent = command("ping", "old-1")
            other._session.publish(Message(sent.topic, sent.payload, 1, retained=True))
            for _ in range(20):
                other.read(0.01)
        with city(state, broker.port) as found:
            rng = random.Random(2026)
            for _ in range(300):
                payload = bytearray(command("resend", "x").payload)
                for _ in range(rng.randint(1, 4)):
                    payload[rng.randrange(len(payload))] = rng.randrange(256)
                name = rng.choice(["ping", "resend", "a/b"])
                found.send(Message(f"{DEVICE.prefix}/commands/{name}", bytes(payload), 1))
                found.turn()
            found.send(Message(sent.topic, sent.payload, 1, retained=True))
            assert found.ask(command("ping", "city-5"))["ok"] is True
            assert found.replies("old-1") == []
            assert found.publisher._desk.ignored > 10


def test_one_resend_at_a_time_and_new_intervals_go_first(state: State, port: int) -> None:
    state.close_intervals(30)
    with city(state, port) as found:
        found.send(command("resend", "city-6", **numbers(1, 30)))
        found.until(lambda: found.publisher._desk.job)
        busy = found.ask(command("resend", "city-7", **numbers(1, 1)))
        assert busy["code"] == "busy"
        state.close_intervals(3)
        found.until(lambda: len(state.outbox) == 0)
        assert found.replies("city-6") == []
        found.until(lambda: found.replies("city-6"))
        assert found.replies("city-6")[0]["result"]["sent"] == 30
        assert found.ask(command("resend", "city-7", **numbers(1, 1)))["result"]["sent"] == 1, "busy is not remembered"


def test_resend_goes_on_over_a_lost_connection(state: State, port: int) -> None:
    state.close_intervals(12)
    timing = Timing(connect=2.0, keepalive=60, ack=0.3)
    with relay(port) as between, city(state, between.port, port, timing=timing) as found:
        found.send(command("resend", "city-8", **numbers(1, 12)))
        found.until(lambda: len(found.counts()) >= 15)
        between.deaf.set()
        found.until(lambda: "no acknowledgement" in found.publisher.problem)
        between.deaf.clear()
        found.until(lambda: found.replies("city-8"))
        assert found.replies("city-8")[-1]["result"] == {"sent": 12, "missing": []}
        assert len(set(found.counts())) == 12


def test_a_resend_that_a_restart_cut_short_fails_and_can_be_asked_for_again(state: State, port: int) -> None:
    state.close_intervals(20)
    with city(state, port) as found:
        found.send(command("resend", "city-10", **numbers(1, 20)))
        found.until(lambda: found.publisher._desk.job)
    state.reopen()
    with city(state, port) as found:
        answer = found.ask(command("resend", "city-10", **numbers(1, 20)))
        assert answer["code"] == "failed"
        assert found.ask(command("resend", "city-11", **numbers(1, 20)))["result"]["sent"] == 20


def test_the_text_of_a_configuration_is_there_before_the_first_interval(state: State, port: int) -> None:
    state.outbox.memory.put_config(DEVICE.prefix, "old", '{"old": 1}')
    state.close_intervals(1, config="old")
    state.close_intervals(2)
    with city(state, port) as found:
        assert found.order() == ["/meta/cd", "/meta/old", "/counts/a", "/counts/a", "/counts/a"]
        (text,) = {m.payload for m in found.messages if m.topic.endswith("/meta/cd") and not m.retained}
        assert validate("meta_config", text)["config"] == "cd"
        found.messages.clear()
        found.ask(command("resend", "city-12", **numbers(1, 2)))
        found.until(lambda: len(found.order()) == 3)
        assert found.order() == ["/meta/old", "/counts/a", "/counts/a"]


def test_the_text_of_a_configuration_is_taken_back_with_its_last_interval(state: State, port: int) -> None:
    state.outbox.memory.put_config(DEVICE.prefix, "gone", '{"old": 1}')
    with city(state, port) as found:
        found.until(lambda: any(m.topic.endswith("/meta/gone") and not m.payload for m in found.messages))
        settle(found.publisher, lambda: state.outbox.memory.config(DEVICE.prefix, "gone") is None)
        assert state.outbox.memory.config(DEVICE.prefix, "cd") is not None


@needs_mosquitto
def test_a_broker_that_refuses_the_text_holds_no_count_back(state: State, tmp_path: Path) -> None:
    folder = tmp_path / "guarded"
    folder.mkdir()
    access = folder / "access"
    parts = ("status", "meta", "health", "counts/a", "latest/a")
    access.write_text("user cam\n" + "\n".join(f"topic write {DEVICE.prefix}/{part}" for part in parts))
    settings = ("allow_anonymous false", f"password_file {password_file(folder, 'cam', 'right')}", f"acl_file {access}")
    from edge_app.mqtt.embedded_broker import HOST
    from edge_app.mqtt.endpoint import Endpoint

    with mosquitto(folder, *settings) as broker:
        state.close_intervals(3)
        publisher = state.publisher(0, to=Endpoint(HOST, broker.port, "cam", "right"))
        settle(publisher, lambda: publisher.unsent == 0 and len(state.outbox) == 0)
        assert publisher.problem == ""
        assert f"broker refuses {DEVICE.prefix}/meta/cd (Not authorized)" in publisher.limits
        publisher.drain(1.0)


def test_a_text_that_the_broker_does_not_answer_holds_no_count_back_for_long(state: State) -> None:
    from tests.support.publisher_cases import Clock

    clock = Clock(0.0)
    texts = ConfigTexts(state.outbox.memory, DEVICE, META, clock)
    texts.publish_current(lambda _message, on_answer: 1)  # noqa: ARG005
    assert not texts.ready(DEVICE.prefix, META.config, lambda _message, on_answer: 2)  # noqa: ARG005
    clock.now += 21.0
    assert texts.ready(DEVICE.prefix, META.config, lambda _message, on_answer: 3)  # noqa: ARG005


def test_the_latest_of_a_removed_line_is_taken_back(state: State, port: int) -> None:
    state.close_intervals(1, "c")
    state.outbox.memory.note_retained("c")
    with city(state, port) as found:
        found.until(lambda: state.outbox.memory.retained() == [])
        found.until(lambda: any(m.topic.endswith("/counts/c") for m in found.messages))
        assert not any(m.topic.endswith("/latest/c") and m.payload for m in found.messages)
        assert any(m.topic.endswith("/counts/c") for m in found.messages)


def test_without_latest_none_is_published_and_what_was_retained_is_taken_back(state: State, port: int) -> None:
    state.close_intervals(2)
    topic = f"{DEVICE.prefix}/latest/a"
    with city(state, port) as found:
        found.until(lambda: any(m.topic == topic and m.payload for m in found.messages))
    state.close_intervals(1)
    with city(state, port, latest=False) as found:
        found.until(lambda: state.outbox.memory.retained() == [])
        found.until(lambda: any(m.topic == topic and not m.payload for m in found.messages))
        assert [json.loads(m.payload)["seq"] for m in found.messages if "/counts/" in m.topic][-1] == 3
        assert not any("/latest/" in m.topic and m.payload and not m.retained for m in found.messages)
    with subscribed(port, topic, name="later") as later:
        assert later.read(0.2) is None, "somebody reads a stale value"


@pytest.mark.parametrize("latest", [True, False])
def test_the_key_of_latest_reaches_the_publisher(tmp_path: Path, latest: bool) -> None:
    config = Config(
        lines=(LineConfig(id="a", start=(0.1, 0.5), end=(0.9, 0.5)),),
        mqtt=MqttConfig(port=free_port(), latest=latest),
        store=StoreConfig(folder=tmp_path),
    )
    with closing(SimulatedDevice(config, {})) as device:
        assert device.publisher._delivery._told == ({"a"} if latest else set())


def test_an_interval_is_not_offered_before_its_end_and_blocks_no_other(state: State, port: int) -> None:
    from tests.support.publisher_cases import START, Clock

    utc, clock = Clock(START + 61.0), Clock(0.0)
    state.close_intervals(2, "a")
    state.close_intervals(1, "b")
    publisher = state.publisher(port, utc=utc, clock=clock)
    settle(publisher, lambda: publisher.unsent == 1)
    steps(publisher, 5)
    assert [row.seq for row in state.outbox.pending()] == [2]
    assert any("end" in limit for limit in publisher.limits)
    utc.now += 60.0
    clock.now += 2.0
    settle(publisher, lambda: publisher.unsent == 0)
    assert publisher.limits == ()
    publisher.drain(1.0)


def test_a_renamed_device_delivers_its_backlog_under_the_former_name(state: State, port: int) -> None:
    from dataclasses import replace

    state.close_intervals(2)
    renamed = replace(DEVICE, device="cam-2")
    with subscribed(port, "traffic/#", name="both") as reader:
        publisher = state.publisher(
            port,
            device=renamed,
            meta=META.model_copy(update={"device": "cam-2"}),
            utc=lambda: 2e9,
            installation=lambda: "99999999",
        )
        found = City(reader, publisher)
        found.until(lambda: len([m for m in found.messages if "/counts/" in m.topic]) == 2)
        sent = [m for m in found.messages if "/counts/" in m.topic]
        assert all(m.topic.startswith(f"{DEVICE.prefix}/") for m in sent)
        assert all(json.loads(m.payload)["device"] == "cam-1" for m in sent)
        assert not any("/latest/" in m.topic and not m.retained for m in found.messages)
        publisher.drain(1.0)

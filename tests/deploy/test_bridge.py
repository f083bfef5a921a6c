"""The bridge from a depot to the city, with a real mosquitto on the shipped files."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Session
from tests.support.brokers import QUICK, SHORT, Reader, collect, eventually, needs_mosquitto, needs_openssl, run_until
from tests.support.city import PARTS, answer, city_broker, connected, new_city, shipped, uncommented
from tests.support.paths import ROOT

pytestmark = [needs_mosquitto, needs_openssl]


def test_each_topic_of_the_bridge_has_one_direction() -> None:
    topics = re.findall(r"(?m)^topic (\S+) (\S+) [012]$", shipped("bridge.conf"))
    assert len(topics) == len(re.findall(r"(?m)^topic ", shipped("bridge.conf")))
    assert {direction for _, direction in topics} == {"in", "out"}
    for topic, direction in topics:
        clash = [
            b for b, other in topics if (b, other) != (topic, direction) and overlap(topic.split("/"), b.split("/"))
        ]
        assert clash == [], topic


def overlap(a: list[str], b: list[str]) -> bool:
    """Return True when a topic can match both filters."""
    if "#" in (*a[:1], *b[:1]):
        return True
    if not a or not b:
        return a == b or (a or b) == ["#"]
    return (a[0] == b[0] or "+" in (a[0], b[0])) and overlap(a[1:], b[1:])


def test_a_bridge_forwards_each_message_once_in_its_direction(tmp_path: Path) -> None:
    """The depot has an authority of its own: messages of a device arrive in the city once, a command of the city at
    the device, its reply in the city; nothing comes back, and the depot publishes only for its own sites."""
    city, depot = new_city(tmp_path / "city"), new_city(tmp_path / "depot")
    city.run("bridge", "depot-1")
    depot.run("enrol", "town", "pole-1")
    place = "traffic/v1/harbour/pole-7"
    with city_broker(city, tmp_path / "up", acl=uncommented("acl")) as up:
        bridge = shipped("bridge.conf", address=f"{HOST}:{up.port}")
        for name, path in (("city-ca.pem", "ca.pem"), ("bridge.", "issued/bridge.depot-1.")):
            bridge = bridge.replace(f"/etc/mosquitto/edge-app/{name}", f"{city.folder}/{path}")
        with city_broker(depot, tmp_path / "down", bridge=bridge) as down, ExitStack() as stack:
            seen: dict[str, list[str]] = {"up": [], "down": []}
            readers: dict[str, Reader] = {}
            for where, owner, broker in (("up", city, up), ("down", depot, down)):
                endpoint = Endpoint(HOST, broker.port, tls=owner.tls("reader.city"))
                readers[where] = Reader(Session(endpoint, "x", timing=SHORT, backoff=QUICK), ["traffic/v1/#"])
                stack.callback(readers[where].close)

            def until(where: str, topic: str) -> None:
                messages = collect(readers[where], lambda messages: any(m.topic == topic for m in messages))
                seen[where] += [message.topic for message in messages]

            pole = stack.enter_context(closing(connected(depot, down, "harbour.pole-7")))
            stranger = stack.enter_context(closing(connected(depot, down, "town.pole-1")))
            control = stack.enter_context(closing(connected(city, up, "control.city")))
            pole.subscribe([f"{place}/commands/#", f"{place}/config/desired"])
            for reader in readers.values():
                eventually(reader.connect)
            assert answer(stranger, "traffic/v1/town/pole-1/counts/a") == ""
            for part in PARTS:
                assert answer(pole, f"{place}/{part}") == ""
            until("up", f"{place}/{PARTS[-1]}")
            assert answer(control, f"{place}/commands/ping") == ""
            assert answer(control, f"{place}/config/desired") == ""
            run_until(pole, Message, 2)
            assert answer(pole, f"{place}/replies/ping") == ""
            until("up", f"{place}/replies/ping")
            assert answer(pole, f"{place}/counts/last") == ""
            until("down", f"{place}/counts/last")
            until("up", f"{place}/counts/last")
    everything = sorted(
        f"{place}/{part}" for part in (*PARTS, "commands/ping", "config/desired", "replies/ping", "counts/last")
    )
    assert sorted(seen["up"]) == everything
    assert sorted(topic for topic in seen["down"] if "/town/" not in topic) == everything


def test_a_bridge_may_not_send_commands(tmp_path: Path) -> None:
    city = new_city(tmp_path / "city")
    city.run("bridge", "depot-1")
    with (
        city_broker(city, tmp_path / "up", acl=uncommented("acl")) as up,
        closing(connected(city, up, "bridge.depot-1")) as bridge,
    ):
        for part in (*PARTS, "commands/x", "config/desired"):
            refused = "" if part in PARTS else "Not authorized"
            assert answer(bridge, f"traffic/v1/harbour/pole-7/{part}") == refused, part
            assert answer(bridge, f"traffic/v1/town/pole-7/{part}") == "Not authorized", part


@pytest.mark.parametrize("name", ["acl", "bridge.conf"])
def test_the_command_for_a_prefix_reaches_every_topic(name: str) -> None:
    document = " ".join((ROOT / "docs/deploy/broker.md").read_text("utf-8").split())
    pattern, replacement = re.search(r"sed -i 's#(.+?)#(.+?)#' acl bridge\.conf", document).groups()  # type: ignore[union-attr]
    lines = [line.replace(pattern, replacement, 1) for line in shipped(name).splitlines() if "traffic/" in line]
    assert lines
    assert all(line.count(replacement) == line.count("traffic/v1") == 1 for line in lines)

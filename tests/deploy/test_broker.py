"""Files of deploy/broker with a real mosquitto: the shipped settings, and certificates made by the shipped script."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_app.errors import BrokerError
from edge_app.mqtt.connection import Acked, Connected, Message, SubscriptionRefused
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint, Tls
from edge_app.mqtt.homeassistant import Announcement, entities_of
from edge_app.mqtt.identity import Device
from edge_app.mqtt.session import Session, Subscriber, probe
from edge_app.records import Line
from tests.support.brokers import (
    QUICK,
    SHORT,
    Mosquitto,
    collect,
    eventually,
    mosquitto,
    needs_mosquitto,
    needs_openssl,
    run_until,
)
from tests.support.paths import ROOT

BROKER = ROOT / "deploy" / "broker"
pytestmark = [needs_mosquitto, needs_openssl]


@dataclass(frozen=True)
class City:
    """Certificate authority of a city, run by deploy/broker/ca.sh in `folder`."""

    folder: Path

    def ca(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = ("sh", str(BROKER / "ca.sh"), command, str(self.folder), *arguments)
        return subprocess.run(script, capture_output=True, text=True, timeout=30)

    def run(self, command: str, *arguments: str) -> None:
        done = self.ca(command, *arguments)
        assert done.returncode == 0, done.stderr

    def tls(self, name: str, ca: Path | None = None) -> Tls:
        issued = self.folder / "issued"
        return Tls(ca or self.folder / "ca.pem", issued / f"{name}.pem", issued / f"{name}.key")


def new_city(folder: Path) -> City:
    city = City(folder)
    city.run("init")
    city.run("server", HOST)
    city.run("reader", "city")
    for device in ("pole-7", "pole-8"):
        city.run("enrol", "harbour", device)
    return city


def settings(city: City, folder: Path) -> list[str]:
    """Return the lines of the shipped file with only the paths and the port changed."""
    text = (BROKER / "mosquitto.conf").read_text("utf-8")
    text = text.replace("/etc/mosquitto/edge-app/acl", str(BROKER / "acl"))
    text = text.replace("/etc/mosquitto/edge-app", str(city.folder)).replace("/var/lib/mosquitto", str(folder))
    return [line for line in text.splitlines() if line and not line.startswith(("#", "listener", "per_listener"))]


@contextmanager
def city_broker(city: City, folder: Path, *more: str) -> Iterator[Mosquitto]:
    with mosquitto(folder, *settings(city, folder), *more) as running:
        yield running


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return new_city(tmp_path_factory.mktemp("city"))


@pytest.fixture(scope="module")
def broker(city: City, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with city_broker(city, tmp_path_factory.mktemp("broker")) as running:
        yield running


def connected(city: City, broker: Mosquitto, name: str) -> Session:
    session = Session(Endpoint(HOST, broker.port, tls=city.tls(name)), name, timing=SHORT, backoff=QUICK)
    run_until(session, Connected)
    return session


def answer(session: Session, topic: str) -> str:
    """Publish on the topic and return the broker's reason for a refusal, "" when it accepts."""
    token = session.publish(Message(topic, b"1", qos=1))
    while True:  # messages published before are acknowledged first
        for event in run_until(session, Acked):
            if isinstance(event, Acked) and event.token == token:
                return event.refused


def refusal(to: Endpoint) -> str:
    with pytest.raises(BrokerError) as caught:
        probe(to, "stranger", timeout_s=5.0)
    return str(caught.value)


def test_a_device_delivers_to_the_city(city: City, broker: Mosquitto) -> None:
    endpoint = Endpoint(HOST, broker.port, tls=city.tls("reader.city"))
    reader = Subscriber(Session(endpoint, "city", timing=SHORT, backoff=QUICK), ["traffic/v1/#"])
    with closing(reader), closing(connected(city, broker, "harbour.pole-7")) as device:
        eventually(lambda: reader.read(0.05) or reader.connected)
        assert answer(device, "traffic/v1/harbour/pole-7/counts/quay-road") == ""
        (received,) = collect(reader, lambda messages: len(messages) == 1)
    assert received.topic == "traffic/v1/harbour/pole-7/counts/quay-road"


@pytest.mark.parametrize("part", ["status", "meta", "health", "counts/a", "latest/a"])
def test_a_device_writes_its_own_topics_and_no_other_ones(city: City, broker: Mosquitto, part: str) -> None:
    with closing(connected(city, broker, "harbour.pole-7")) as device:
        assert answer(device, f"traffic/v1/harbour/pole-7/{part}") == ""
        assert answer(device, f"traffic/v1/harbour/pole-8/{part}") == "Not authorized"
        assert answer(device, f"traffic/v1/town/pole-7/{part}") == "Not authorized"


def test_a_device_may_announce_only_itself_to_home_assistant(city: City, broker: Mosquitto) -> None:
    with closing(connected(city, broker, "harbour.pole-7")) as device:
        assert answer(device, "homeassistant/device/harbour/pole-7/config") == ""
        for other in (
            "device/harbour/pole-8/config",
            "device/town/pole-7/config",
            "device/harbour/config",
            "device/pole-7/config",
            "device/harbour/pole-7/x/config",
            "device/harbour/pole-7",
            "sensor/harbour/pole-7/config",
            "switch/pole-7/config",
            "status",
        ):
            assert answer(device, f"homeassistant/{other}") == "Not authorized", other


def test_a_home_assistant_in_the_city_finds_the_device_and_its_counts(city: City, tmp_path: Path) -> None:
    """Uses the entry that is commented out in the shipped acl, and the announcement of the program."""
    city.run("reader", "homeassistant")
    acl = tmp_path / "acl"
    acl.write_text(re.sub(r"(?m)^#(?=user|topic)", "", (BROKER / "acl").read_text()))
    settings_ = [line.replace(str(BROKER / "acl"), str(acl)) for line in settings(city, tmp_path / "up")]
    device = Device("harbour", "pole-7", "boot", "1")
    line = Line("quay-road", (0, 0.5), (1, 0.5))
    announcement = Announcement(
        device, entities_of([line], ["car"], 60), prefix="homeassistant", record_file=tmp_path / "record"
    )
    with mosquitto(tmp_path / "up", *settings_) as up:
        with closing(connected(city, up, "harbour.pole-7")) as pole:
            for birth in announcement.birth_messages():
                pole.publish(birth.message)
            assert answer(pole, "traffic/v1/harbour/pole-7/latest/quay-road") == ""
        endpoint = Endpoint(HOST, up.port, tls=city.tls("reader.homeassistant"))
        with closing(Session(endpoint, "ha", timing=SHORT, backoff=QUICK)) as session:
            reader = Subscriber(session, ["homeassistant/#", "traffic/v1/#"])
            (found,) = collect(reader, lambda messages: any("homeassistant" in m.topic for m in messages))
            assert answer(session, "homeassistant/device/harbour/pole-7/config") == "Not authorized"
    assert found.topic == "homeassistant/device/harbour/pole-7/config"
    assert found.retained
    assert b"latest/quay-road" in found.payload


@pytest.mark.parametrize("topic", ["traffic/v1/harbour/pole-7/commands/x", "elsewhere", "$SYS/x"])
def test_a_device_may_not_send_commands(city: City, broker: Mosquitto, topic: str) -> None:
    with closing(connected(city, broker, "harbour.pole-7")) as device:
        assert answer(device, topic) == "Not authorized"


def test_a_device_reads_its_own_commands_and_no_data_of_others(city: City, broker: Mosquitto) -> None:
    own, other = "traffic/v1/harbour/pole-7/commands/snapshot", "traffic/v1/harbour/pole-8/counts/a"
    with closing(connected(city, broker, "harbour.pole-7")) as device:
        device.subscribe([own, other, "#"])
        with closing(connected(city, broker, "harbour.pole-8")) as neighbour:
            assert answer(neighbour, other) == ""
            assert answer(neighbour, own) == "Not authorized"
        events = [event for _ in range(10) for event in device.poll(0.05)]
    assert [event for event in events if isinstance(event, Message)] == []
    assert not [event for event in events if isinstance(event, SubscriptionRefused) and event.topic == own]


def test_the_reader_writes_nothing(city: City, broker: Mosquitto) -> None:
    with closing(connected(city, broker, "reader.city")) as reader:
        assert answer(reader, "traffic/v1/harbour/pole-7/counts/a") == "Not authorized"


def test_a_client_without_a_valid_certificate_is_refused(city: City, broker: Mosquitto, tmp_path: Path) -> None:
    """Tries a certificate of another authority under a name that exists here, and no certificate at all."""
    rogue = City(tmp_path / "rogue")
    rogue.run("init")
    rogue.run("enrol", "harbour", "pole-7")
    assert "client certificate" in refusal(
        Endpoint(HOST, broker.port, tls=rogue.tls("harbour.pole-7", city.folder / "ca.pem"))
    )
    assert "client certificate" in refusal(Endpoint(HOST, broker.port, tls=Tls(city.folder / "ca.pem")))


def test_a_device_trusts_only_its_own_authority(city: City, broker: Mosquitto, tmp_path: Path) -> None:
    other = City(tmp_path / "other")
    other.run("init")
    problem = refusal(Endpoint(HOST, broker.port, tls=city.tls("harbour.pole-7", other.folder / "ca.pem")))
    assert "its certificate is not accepted" in problem


def test_a_revoked_device_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    city = new_city(tmp_path / "city")
    city.run("enrol", "harbour", "pole-7")  # enrolled twice: the older certificate must be revoked as well
    with city_broker(city, tmp_path / "broker") as running:
        pole_7, pole_8 = (
            Endpoint(HOST, running.port, tls=city.tls(f"harbour.{name}")) for name in ("pole-7", "pole-8")
        )
        assert probe(pole_7, "check") == "5"
        city.run("revoke", "harbour", "pole-7")
        running.stop()
        running.start()
        assert "client certificate" in refusal(pole_7)
        assert probe(pole_8, "check") == "5"
    assert (city.folder / "index.txt").read_text().count("R\t") == 2
    assert "no valid certificate" in city.ca("revoke", "harbour", "pole-7").stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("init",), "holds an authority already"),
        (("enrol", "harbour", "Pole 7"), "may have only a-z, 0-9 and hyphens"),
        (("enrol", "harbour", "+"), "may have only"),
        (("enrol", "harbour"), "ca.sh enrol"),
        (("revoke", "harbour", "pole-99"), 'no valid certificate of "harbour/pole-99"'),
    ],
)
def test_wrong_calls_are_explained(city: City, arguments: tuple[str, ...], problem: str) -> None:
    done = city.ca(*arguments)
    assert done.returncode in (1, 2)
    assert problem in done.stderr


def test_a_depot_forwards_to_the_city(tmp_path: Path) -> None:
    """bridge.conf as shipped between two brokers: a message to the depot's broker arrives at the city's."""
    city = new_city(tmp_path / "city")
    city.run("reader", "bridge-1")
    acl = tmp_path / "acl"
    acl.write_text((BROKER / "acl").read_text() + "\nuser reader.bridge-1\ntopic write traffic/v1/#\n")
    city_settings = [line.replace(str(BROKER / "acl"), str(acl)) for line in settings(city, tmp_path / "up")]
    with mosquitto(tmp_path / "up", *city_settings) as up:
        text = (BROKER / "bridge.conf").read_text("utf-8").replace("broker.example.org:8883", f"{HOST}:{up.port}")
        for shipped, made in (("city-ca.pem", "ca.pem"), ("bridge.pem", "issued/reader.bridge-1.pem")):
            text = text.replace(f"/etc/mosquitto/edge-app/{shipped}", str(city.folder / made))
        text = text.replace("/etc/mosquitto/edge-app/bridge.key", str(city.folder / "issued/reader.bridge-1.key"))
        bridge = [line for line in text.splitlines() if line and not line.startswith("#")]
        endpoint = Endpoint(HOST, up.port, tls=city.tls("reader.city"))
        reader = Subscriber(Session(endpoint, "city", timing=SHORT, backoff=QUICK), ["traffic/v1/#"])
        with closing(reader), city_broker(city, tmp_path / "depot", *bridge) as depot:
            eventually(lambda: reader.read(0.05) or reader.connected)
            with closing(connected(city, depot, "harbour.pole-8")) as device:
                assert answer(device, "traffic/v1/harbour/pole-8/counts/a") == ""
            (received,) = collect(reader, lambda messages: len(messages) == 1)
    assert received.topic == "traffic/v1/harbour/pole-8/counts/a"

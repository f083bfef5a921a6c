"""Files of deploy/broker with a real mosquitto: the shipped settings, and certificates made by the shipped script."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from edge_app.checks import findings
from edge_app.config.load import load
from edge_app.drawing.scene import Privacy
from edge_app.errors import BrokerError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint, Tls
from edge_app.mqtt.events import Acked, Connected, Lost, Message, SubscriptionRefused, Timing
from edge_app.mqtt.homeassistant import Announcement, entities_of
from edge_app.mqtt.identity import Device
from edge_app.mqtt.session import Session, Subscriber, probe
from edge_app.preview.live import Preview
from edge_app.preview.snapshot_socket import SnapshotServer
from edge_app.records import Line
from edge_app.storage.folder_lock import lock_folder
from edge_app.web.line_check import Finding
from tests.support.brokers import (
    QUICK,
    SHORT,
    Mosquitto,
    collect,
    eventually,
    free_port,
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
    for kind in ("reader", "control"):
        city.run(kind, "city")
    for device in ("pole-7", "pole-8"):
        city.run("enrol", "harbour", device)
    return city


DEBIAN = """\
pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
"""
"""Text of Debian's mosquitto.conf, which includes the shipped one."""


def shipped(name: str, **changed: str) -> str:
    """Return the text of a shipped file with some of its settings changed."""
    text = (BROKER / name).read_text("utf-8")
    for key, value in changed.items():
        text, found = re.subn(rf"(?m)^{key} .*$", f"{key} {value}", text)
        assert found == 1, key
    return text


def uncommented(name: str) -> str:
    """Return the text of a shipped file with its commented-out entries active."""
    return re.sub(r"(?m)^#(?=user|topic)", "", shipped(name))


@contextmanager
def city_broker(
    city: City, folder: Path, *, acl: str | None = None, bridge: str = "", **changed: str
) -> Iterator[Mosquitto]:
    """Run a broker on the shipped files, placed as on Debian, with only the paths and the port changed.

    acl, bridge: other text for those files. changed: other values in mosquitto.conf.
    """
    files = folder / "conf.d"
    files.mkdir(parents=True)
    port = free_port()
    (folder / "acl").write_text(shipped("acl") if acl is None else acl)
    text = shipped("mosquitto.conf", listener=f"{port} {HOST}", acl_file=str(folder / "acl"), **changed)
    (files / "edge-app.conf").write_text(text.replace("/etc/mosquitto/edge-app", str(city.folder)))
    if bridge:
        (files / "bridge.conf").write_text(bridge)
    main = DEBIAN.replace("/etc/mosquitto/conf.d", str(files))
    for path in ("/run/mosquitto", "/var/lib/mosquitto", "/var/log/mosquitto"):
        main = main.replace(path, str(folder))
    # Started by root, it would switch to a user that cannot read the test's files.
    (folder / "mosquitto.conf").write_text(f"user root\n{main}")
    with mosquitto(folder, config=folder / "mosquitto.conf", port=port) as running:
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


PARTS = ("status", "meta", "meta/abc", "health", "counts/a", "latest/a", "replies/x")
"""Topics of a device, below its prefix."""


def test_a_device_writes_its_own_topics_and_no_other_ones(city: City, broker: Mosquitto) -> None:
    with closing(connected(city, broker, "harbour.pole-7")) as device:
        for part in PARTS:
            assert answer(device, f"traffic/v1/harbour/pole-7/{part}") == "", part
            assert answer(device, f"traffic/v1/harbour/pole-8/{part}") == "Not authorized", part
            assert answer(device, f"traffic/v1/town/pole-7/{part}") == "Not authorized", part
        for part in ("counts", "counts/a/b", "meta/a/b", "x", "commands/x"):
            assert answer(device, f"traffic/v1/harbour/pole-7/{part}") == "Not authorized", part


def test_a_renamed_device_delivers_its_backlog_with_the_documented_lines(city: City, tmp_path: Path) -> None:
    page = (ROOT / "docs/deploy/broker.md").read_text("utf-8")
    lines = re.findall(r"(?m)^    ((?:user|topic) .*harbour/pole-[78].*)$", page)
    assert lines
    former = ("counts/quay-road", "meta/c222920fa583")
    with city_broker(city, tmp_path / "city", acl="\n".join((shipped("acl"), *lines, ""))) as running:
        for name, refused in (("pole-8", ""), ("pole-7", "Not authorized")):
            with closing(connected(city, running, f"harbour.{name}")) as device:
                other = "pole-7" if name == "pole-8" else "pole-8"
                for part in former:
                    assert answer(device, f"traffic/v1/harbour/{other}/{part}") == refused
                    assert answer(device, f"traffic/v1/harbour/{name}/{part}") == ""
                assert answer(device, f"traffic/v1/harbour/{other}/status") == "Not authorized"


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
    device = Device("harbour", "pole-7", "boot", "1")
    line = Line("quay-road", (0, 0.5), (1, 0.5))
    announcement = Announcement(
        device, entities_of([line], ["car"], 60), prefix="homeassistant", record_file=tmp_path / "record"
    )
    with city_broker(city, tmp_path / "up", acl=uncommented("acl")) as up:
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


@pytest.mark.parametrize(
    "topic",
    [*(f"traffic/v1/harbour/{name}/commands/x" for name in ("pole-7", "pole-8")), "elsewhere", "$SYS/x"],
)
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
        for part in (*PARTS, "commands/x"):
            assert answer(reader, f"traffic/v1/harbour/pole-7/{part}") == "Not authorized", part


def test_control_commands_every_device_and_reads_everything(city: City, broker: Mosquitto) -> None:
    """A consumer that asks for intervals again needs both; it must not publish as a device."""
    place = "traffic/v1/harbour/pole-7"
    with closing(connected(city, broker, "harbour.pole-7")) as pole, closing(pole_8(city, broker)) as other:
        pole.subscribe([f"{place}/commands/#"])
        other.subscribe(["traffic/v1/harbour/pole-8/commands/#", f"{place}/commands/#"])
        endpoint = Endpoint(HOST, broker.port, tls=city.tls("control.city"))
        control = Session(endpoint, "whatever it says", timing=SHORT, backoff=QUICK)
        reader = Subscriber(control, ["traffic/v1/#"])
        with closing(reader):
            eventually(lambda: reader.read(0.05) or reader.connected)
            for name in ("pole-7", "pole-8"):
                assert answer(control, f"traffic/v1/harbour/{name}/commands/resend") == ""
            for part in PARTS:
                assert answer(control, f"{place}/{part}") == "Not authorized", part
            assert answer(control, "homeassistant/device/harbour/pole-7/config") == "Not authorized"
            (command,) = run_until(pole, Message)[-1:]
            assert answer(pole, f"{place}/replies/resend") == ""
            collect(reader, lambda messages: any(m.topic == f"{place}/replies/resend" for m in messages))
        strange = [event.topic for event in run_until(other, Message) if isinstance(event, Message)]
    assert isinstance(command, Message)
    assert command.topic == f"{place}/commands/resend"
    assert strange == ["traffic/v1/harbour/pole-8/commands/resend"]


def pole_8(city: City, broker: Mosquitto) -> Session:
    return connected(city, broker, "harbour.pole-8")


# --- client ids


def test_a_client_cannot_take_the_session_or_the_queue_of_another(city: City, broker: Mosquitto) -> None:
    """Tries the ids of others; a clean start, as devices use it, would delete the queue of that id."""
    topic, kept = "traffic/v1/harbour/pole-7/counts/a", Timing(connect=2.0, keepalive=5, session_expiry=600)
    endpoint = Endpoint(HOST, broker.port, tls=city.tls("reader.city"))

    def ingest() -> Subscriber:
        return Subscriber(Session(endpoint, "reader.city", timing=kept, backoff=QUICK), ["traffic/v1/+/+/counts/#"])

    def impostor(name: str) -> Session:
        to = Endpoint(HOST, broker.port, tls=city.tls("harbour.pole-8"))
        session = Session(to, name, timing=SHORT, backoff=QUICK)
        run_until(session, Connected)
        return session

    with closing(ingest()) as reader:
        eventually(lambda: reader.read(0.05) or reader.connected)
        with closing(impostor("reader.city")):
            assert reader.read(0.3) is None
            assert reader.connected
    with closing(connected(city, broker, "harbour.pole-7")) as pole:
        assert answer(pole, topic) == ""
        with closing(impostor("harbour/pole-7")):
            assert answer(pole, topic) == ""
        impostor("reader.city").close()
    with closing(ingest()) as reader:
        received = collect(reader, lambda messages: len(messages) >= 2)
    assert [message.topic for message in received] == [topic, topic]


def test_two_programs_with_one_certificate_disconnect_each_other(city: City, broker: Mosquitto) -> None:
    """`check` must know this; to an owner it shows that a card was copied."""
    with closing(connected(city, broker, "harbour.pole-7")) as first:
        to = Endpoint(HOST, broker.port, tls=city.tls("harbour.pole-7"))
        with closing(Session(to, "of its own", timing=SHORT, backoff=QUICK)) as second:
            run_until(second, Connected)
            run_until(first, Lost)


def check_broker(city: City, port: int, folder: Path, name: str) -> Finding:
    """Return the broker finding of `edge-app check` as pole-7, with this state folder."""
    files = "\n".join(
        f'{key} = "{path}"'
        for key, path in zip(("ca_file", "cert_file", "key_file"), astuple(city.tls("harbour.pole-7")), strict=False)
    )
    config = folder.parent / f"{name}.toml"
    config.write_text(
        f'device = {{ site = "harbour", device = "pole-7" }}\n[store]\nfolder = "{folder}"\n'
        f'[mqtt]\nhost = "{HOST}"\nport = {port}\ntls = true\n{files}\n'
    )
    stop = threading.Event()
    stop.set()  # ends the check before it opens the camera
    return next(finding for finding in findings(load(config, {}), stop) if finding.what == "broker")


def test_check_asks_the_running_service_instead_of_disconnecting_it(
    city: City, broker: Mosquitto, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    preview = Preview((), (), Privacy())
    assert check_broker(city, broker.port, folder, "before").sentence.endswith("accepts us with MQTT 5.")
    with ExitStack() as stack:
        stack.callback(os.close, lock_folder(folder))
        assert "stop it to check" in check_broker(city, broker.port, folder, "silent").sentence
        pole = stack.enter_context(closing(connected(city, broker, "harbour.pole-7")))
        stack.enter_context(SnapshotServer(folder, preview, lambda: pole.problem))
        found = check_broker(city, broker.port, folder, "connected")
        assert (found.level, found.sentence) == ("ok", f"the running service is connected to {HOST}:{broker.port}.")
        assert answer(pole, "traffic/v1/harbour/pole-7/status") == ""
        assert (pole.connections, pole.failures) == (1, 0)
        impostor = connected(city, broker, "harbour.pole-7")  # the service is disconnected now, and knows the reason
        impostor.close()
        run_until(pole, Lost)
        found = check_broker(city, broker.port, folder, "lost")
        assert found.level == "FAIL"
        assert "the running service says: 127.0.0.1:" in found.sentence


# --- limits


def test_a_packet_over_the_limit_is_never_lost_silently(city: City, broker: Mosquitto) -> None:
    """MQTT 5 tells the limit, so that nothing larger is sent; with 3.1.1 it ends the connection of its sender alone."""
    topic, largest = "traffic/v1/harbour/pole-7/counts/a", int(setting("max_packet_size"))
    endpoint = Endpoint(HOST, broker.port, tls=city.tls("reader.city"))
    reader = Subscriber(Session(endpoint, "city", timing=SHORT, backoff=QUICK), ["traffic/v1/+/+/counts/#"])
    too_large = Message(topic, bytes(largest), qos=1)
    with closing(reader), closing(connected(city, broker, "harbour.pole-7")) as pole:
        eventually(lambda: reader.read(0.05) or reader.connected)
        pole.publish(Message(topic, bytes(largest - 100), qos=1))
        assert run_until(pole, Acked)[-1] == Acked(1)
        pole.publish(too_large)
        assert f"Packet too large: {largest + 55} bytes, and it takes {largest}" in str(run_until(pole, Acked)[-1])
        assert answer(pole, topic) == ""
        pole.close()
        to = Endpoint(HOST, broker.port, tls=city.tls("harbour.pole-7"))
        with closing(Session(to, "x", protocol="3.1.1", timing=SHORT, backoff=QUICK)) as old:
            run_until(old, Connected)
            old.publish(too_large)
            assert not any(isinstance(event, Acked) for event in run_until(old, Lost))
            run_until(old, Connected)
            assert answer(old, topic) == ""
        received = collect(reader, lambda messages: len(messages) == 3)
    assert [len(message.payload) for message in received] == [largest - 100, 1, 1]


def test_no_message_is_acknowledged_and_then_discarded() -> None:
    """message_size_limit discards silently, so max_packet_size, announced to clients, must be reached first."""
    assert int(setting("message_size_limit")) >= int(setting("max_packet_size"))


def setting(key: str, name: str = "mosquitto.conf") -> str:
    (value,) = re.findall(rf"(?m)^{key}[ =](.*)$", shipped(name))
    return str(value)


def test_one_connection_too_many_is_refused_and_the_others_stay(city: City, tmp_path: Path) -> None:
    with city_broker(city, tmp_path / "broker", max_connections="2") as few:
        with closing(connected(city, few, "harbour.pole-7")) as pole, closing(connected(city, few, "reader.city")):
            with pytest.raises(BrokerError):
                probe(Endpoint(HOST, few.port, tls=city.tls("harbour.pole-8")), "x", timeout_s=1.0)
            assert answer(pole, "traffic/v1/harbour/pole-7/status") == ""
        assert probe(Endpoint(HOST, few.port, tls=city.tls("harbour.pole-8")), "x", timeout_s=5.0).protocol == "5"


LIMITS = "mosquitto.service.d/edge-app.conf"


def test_the_unit_has_files_for_all_connections() -> None:
    assert int(setting("LimitNOFILE", LIMITS)) > int(setting("max_connections")) + 1000


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt install systemd")
def test_systemd_accepts_the_unit_without_a_warning(tmp_path: Path) -> None:
    unit = tmp_path / "mosquitto.service"
    unit.write_text("[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n")
    (tmp_path / "mosquitto.service.d").mkdir()
    shutil.copy(BROKER / LIMITS, tmp_path / "mosquitto.service.d")
    command = ("systemd-analyze", "--no-pager", "verify", str(unit))
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stderr == ""


@pytest.mark.parametrize(("files", "holds"), [(int(setting("LimitNOFILE", LIMITS)), True), (1024, False)])
def test_more_than_a_thousand_connections(tmp_path: Path, files: int, holds: bool) -> None:
    """Without the drop-in a service may open 1,024 files."""
    wanted = 1100
    with open_files_limit(wanted + 200), mosquitto(tmp_path / "broker") as running, ExitStack() as stack:
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (files, files))
        open_files = Path(f"/proc/{running.pid}/fd")
        for _ in range(wanted):
            stack.enter_context(socket.create_connection((HOST, running.port), 5))
        reached = min(wanted, files - 30)
        eventually(lambda: time.sleep(0.02) or len(list(open_files.iterdir())) >= reached)  # type: ignore[func-returns-value]
        assert (len(list(open_files.iterdir())) >= wanted) is holds


@contextmanager
def open_files_limit(files: int) -> Iterator[None]:
    """Let this process, which holds the client ends, open that many files; skip the test where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < files:
        pytest.skip(f"this process may open only {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- persistence


def test_queued_messages_survive_kill_9_of_the_broker(city: City, tmp_path: Path) -> None:
    """Checks the queue of a kept session and a retained message, long before a timed autosave."""
    count, kept = 200, Timing(connect=2.0, keepalive=5, session_expiry=600)
    place = "traffic/v1/harbour/pole-7"
    with city_broker(city, tmp_path / "broker") as running:
        endpoint = Endpoint(HOST, running.port, tls=city.tls("reader.city"))

        def ingest() -> Subscriber:
            return Subscriber(Session(endpoint, "city", timing=kept, backoff=QUICK), [f"{place}/#"])

        with closing(ingest()) as reader:
            eventually(lambda: reader.read(0.05) or reader.connected)
        with closing(connected(city, running, "harbour.pole-7")) as pole:
            for number in range(count):
                pole.publish(Message(f"{place}/counts/a", b"%d" % number, qos=1))
            pole.publish(Message(f"{place}/status", b"the last", qos=1, retained=True))
            run_until(pole, Acked, count + 1)
            # the acknowledgement goes out a moment before the file is written
            saved = tmp_path / "broker/mosquitto.db"
            eventually(lambda: time.sleep(0.01) or b"the last" in saved.read_bytes(), 5.0)  # type: ignore[func-returns-value]
            running.kill()
        running.start()
        with closing(ingest()) as reader:
            received = collect(reader, lambda messages: len(messages) > count)
        endpoint = Endpoint(HOST, running.port, tls=city.tls("control.city"))
        reader = Subscriber(Session(endpoint, "city", timing=SHORT, backoff=QUICK), [f"{place}/status"])
        with closing(reader):
            (retained,) = collect(reader, lambda messages: len(messages) == 1)
    assert [m.payload for m in received if m.topic.endswith("/a")] == [b"%d" % n for n in range(count)]
    assert (retained.payload, retained.retained) == (b"the last", True)


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
        assert probe(pole_7, "check").protocol == "5"
        city.run("revoke", "harbour", "pole-7")
        running.stop()
        running.start()
        assert "client certificate" in refusal(pole_7)
        assert probe(pole_8, "check").protocol == "5"
    assert (city.folder / "index.txt").read_text().count("R\t") == 2
    assert "no valid certificate" in city.ca("revoke", "harbour", "pole-7").stderr


def test_it_says_what_it_has_written(tmp_path: Path) -> None:
    city = City(tmp_path / "CA")
    for call in (("init",), ("server", "b.de"), ("enrol", "harbour", "pole-7"), ("reader", "city")):
        before = set(city.folder.rglob("*"))
        done = city.ca(*call)
        said = set(re.findall(rf"{re.escape(str(city.folder))}/[\w./-]*\.(?:pem|key)", done.stderr))
        new = {str(path) for path in set(city.folder.rglob("*")) - before if path.suffix in (".pem", ".key")}
        serials = {path for path in new if re.fullmatch(r"[0-9A-F]+", Path(path).stem)}
        assert said == new - serials
        assert (done.returncode, done.stderr.count("\n")) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("init",), "holds an authority already"),
        (("enrol", "harbour", "Pole 7"), "may have only a-z, 0-9 and hyphens"),
        (("enrol", "harbour", "+"), "may have only"),
        (("enrol", "harbour"), "ca.sh enrol"),
        (("enrol", "reader", "city"), 'a site cannot be called "reader"'),
        (("enrol", "harbour", "a" * 57), "at most 64 characters"),
        (("reader", "a" * 58), "at most 64 characters"),
        (("server", "broker.example.org,DNS:other"), "is no host name"),
        (("revoke", "harbour", "pole-99"), 'no valid certificate of "harbour/pole-99"'),
        (("revoke", "harbour/pole-7"), "is no user"),
    ],
)
def test_wrong_calls_are_explained(city: City, arguments: tuple[str, ...], problem: str) -> None:
    done = city.ca(*arguments)
    assert done.returncode in (1, 2)
    assert problem in done.stderr


CONTROL = [chr(code) for code in (*range(1, 32), 127)]


@pytest.mark.parametrize(
    "call", ["enrol % x", "enrol x %", "reader %", "control %", "bridge %", "server %", "revoke %"]
)
def test_no_name_has_a_line_break_nor_any_other_control_character(city: City, call: str) -> None:
    """A name with one valid line of several is invalid too, and the error message shows no control characters."""
    before = {path: path.read_bytes() for path in city.folder.rglob("*") if path.is_file()}
    names = (
        [f"good{c}name" for c in CONTROL] if call == "enrol x %" else ["\ngood", "good\n", "good\nname", "good\rname"]
    )
    for name in (*names, "caf\u00e9", "UP", "a b", "a;b", "$(id)", "*", "..", "-a", ""):
        given = f"reader.{name}" if call.startswith("revoke") else name
        if call.startswith("server") and given in ("UP", ".."):
            continue
        done = city.ca(*(given if word == "%" else word for word in call.split()))
        assert done.returncode == 2, name
        assert done.stderr.count("\n") == 1, name
        assert done.stderr.strip().isprintable()
    assert {path: path.read_bytes() for path in city.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["a\nb", "a$b", "a#b", 'a"b', "a'b", "a\\b"])
def test_a_folder_that_openssl_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    done = City(tmp_path / name).ca("init")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])


def test_a_folder_may_have_blanks_and_umlauts(tmp_path: Path) -> None:
    city = City(tmp_path / "Schl\u00fcssel der Stadt")
    for call in (("init",), ("server", "bad.de"), ("server", "::1"), ("enrol", "harbour", "pole-7")):
        city.run(*call)


# --- the bridge


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
            readers: dict[str, Subscriber] = {}
            for where, owner, broker in (("up", city, up), ("down", depot, down)):
                endpoint = Endpoint(HOST, broker.port, tls=owner.tls("reader.city"))
                readers[where] = Subscriber(Session(endpoint, "x", timing=SHORT, backoff=QUICK), ["traffic/v1/#"])
                stack.callback(readers[where].close)

            def until(where: str, topic: str) -> None:
                messages = collect(readers[where], lambda messages: any(m.topic == topic for m in messages))
                seen[where] += [message.topic for message in messages]

            pole = stack.enter_context(closing(connected(depot, down, "harbour.pole-7")))
            stranger = stack.enter_context(closing(connected(depot, down, "town.pole-1")))
            control = stack.enter_context(closing(connected(city, up, "control.city")))
            pole.subscribe([f"{place}/commands/#"])
            for reader in readers.values():
                eventually(lambda reader=reader: reader.read(0.05) or reader.connected)  # type: ignore[misc]
            assert answer(stranger, "traffic/v1/town/pole-1/counts/a") == ""
            for part in PARTS:
                assert answer(pole, f"{place}/{part}") == ""
            until("up", f"{place}/{PARTS[-1]}")
            assert answer(control, f"{place}/commands/ping") == ""
            run_until(pole, Message)
            assert answer(pole, f"{place}/replies/ping") == ""
            until("up", f"{place}/replies/ping")
            assert answer(pole, f"{place}/counts/last") == ""
            until("down", f"{place}/counts/last")
            until("up", f"{place}/counts/last")
    everything = sorted(f"{place}/{part}" for part in (*PARTS, "commands/ping", "replies/ping", "counts/last"))
    assert sorted(seen["up"]) == everything
    assert sorted(topic for topic in seen["down"] if "/town/" not in topic) == everything


def test_a_bridge_may_not_send_commands(tmp_path: Path) -> None:
    city = new_city(tmp_path / "city")
    city.run("bridge", "depot-1")
    with (
        city_broker(city, tmp_path / "up", acl=uncommented("acl")) as up,
        closing(connected(city, up, "bridge.depot-1")) as bridge,
    ):
        for part in (*PARTS, "commands/x"):
            refused = "Not authorized" if part == "commands/x" else ""
            assert answer(bridge, f"traffic/v1/harbour/pole-7/{part}") == refused, part
            assert answer(bridge, f"traffic/v1/town/pole-7/{part}") == "Not authorized", part


@pytest.mark.parametrize("name", ["acl", "bridge.conf"])
def test_the_command_for_a_prefix_reaches_every_topic(name: str) -> None:
    document = " ".join((ROOT / "docs/deploy/broker.md").read_text("utf-8").split())
    pattern, replacement = re.search(r"sed -i 's#(.+?)#(.+?)#' acl bridge\.conf", document).groups()  # type: ignore[union-attr]
    lines = [line.replace(pattern, replacement, 1) for line in shipped(name).splitlines() if "traffic/" in line]
    assert lines
    assert all(line.count(replacement) == line.count("traffic/v1") == 1 for line in lines)

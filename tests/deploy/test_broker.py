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
from dataclasses import astuple
from pathlib import Path

import pytest

from edge_app.checks.findings import findings
from edge_app.config.load import load
from edge_app.drawing.scene import Privacy
from edge_app.errors import BrokerError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint, Tls
from edge_app.mqtt.events import Acked, Connected, Lost, Message, SubscriptionRefused, Timing
from edge_app.mqtt.homeassistant import Announcement, entities_of
from edge_app.mqtt.identity import Device
from edge_app.mqtt.session import Session, probe
from edge_app.preview.live import Preview
from edge_app.preview.snapshot_socket import SnapshotServer
from edge_app.records import Line
from edge_app.storage.folder_lock import lock_folder
from edge_app.web.line_check import Finding
from tests.support.brokers import (
    QUICK,
    SHORT,
    Mosquitto,
    Reader,
    collect,
    eventually,
    mosquitto,
    needs_mosquitto,
    needs_openssl,
    run_until,
)
from tests.support.city import BROKER, PARTS, City, answer, city_broker, connected, new_city, shipped, uncommented
from tests.support.paths import ROOT

pytestmark = [needs_mosquitto, needs_openssl]


def refusal(to: Endpoint) -> str:
    with pytest.raises(BrokerError) as caught:
        probe(to, "stranger", timeout_s=5.0)
    return str(caught.value)


def test_a_device_delivers_to_the_city(city: City, broker: Mosquitto) -> None:
    endpoint = Endpoint(HOST, broker.port, tls=city.tls("reader.city"))
    reader = Reader(Session(endpoint, "city", timing=SHORT, backoff=QUICK), ["traffic/v1/#"])
    with closing(reader), closing(connected(city, broker, "harbour.pole-7")) as device:
        eventually(reader.connect)
        assert answer(device, "traffic/v1/harbour/pole-7/counts/quay-road") == ""
        (received,) = collect(reader, lambda messages: len(messages) == 1)
    assert received.topic == "traffic/v1/harbour/pole-7/counts/quay-road"


"""Topics of a device, below its prefix."""


def test_a_device_writes_its_own_topics_and_no_other_ones(city: City, broker: Mosquitto) -> None:
    with closing(connected(city, broker, "harbour.pole-7")) as device:
        for part in PARTS:
            assert answer(device, f"traffic/v1/harbour/pole-7/{part}") == "", part
            assert answer(device, f"traffic/v1/harbour/pole-8/{part}") == "Not authorized", part
            assert answer(device, f"traffic/v1/town/pole-7/{part}") == "Not authorized", part
        for part in ("counts", "counts/a/b", "meta/a/b", "x", "commands/x", "config/desired", "config/x", "pieces/a/b"):
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
            reader = Reader(session, ["homeassistant/#", "traffic/v1/#"])
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


@pytest.mark.parametrize("name", ["reader.city", "worker.city-2"])
def test_who_only_reads_writes_nothing(city: City, broker: Mosquitto, name: str) -> None:
    if name == "worker.city-2":
        city.run("worker", "city-2")
    with closing(connected(city, broker, name)) as reader:
        for part in (*PARTS, "commands/x", "config/desired"):
            assert answer(reader, f"traffic/v1/harbour/pole-7/{part}") == "Not authorized", part


def test_a_further_worker_reads_counts_and_nothing_else(city: City, broker: Mosquitto) -> None:
    city.run("worker", "city-2")
    place, endpoint = "traffic/v1/harbour/pole-7", Endpoint(HOST, broker.port, tls=city.tls("worker.city-2"))
    worker = Reader(Session(endpoint, "city-2", timing=SHORT, backoff=QUICK), ["traffic/v1/#"])
    with closing(worker), closing(connected(city, broker, "harbour.pole-7")) as device:
        eventually(worker.connect)
        for part in (*PARTS, "flows"):
            assert answer(device, f"{place}/{part}") == ""
        got = collect(worker, lambda messages: any(one.topic == f"{place}/flows" for one in messages))
    assert [one.topic for one in got] == [f"{place}/counts/a", f"{place}/flows"]


def test_control_commands_every_device_and_reads_everything(city: City, broker: Mosquitto) -> None:
    """A consumer that asks for intervals again needs both; it must not publish as a device."""
    place = "traffic/v1/harbour/pole-7"
    with closing(connected(city, broker, "harbour.pole-7")) as pole, closing(pole_8(city, broker)) as other:
        pole.subscribe([f"{place}/commands/#", f"{place}/config/desired"])
        own = "traffic/v1/harbour/pole-8"
        other.subscribe(
            [f"{own}/commands/#", f"{own}/config/desired", f"{place}/commands/#", f"{place}/config/desired"]
        )
        endpoint = Endpoint(HOST, broker.port, tls=city.tls("control.city"))
        control = Session(endpoint, "whatever it says", timing=SHORT, backoff=QUICK)
        reader = Reader(control, ["traffic/v1/#"])
        with closing(reader):
            eventually(reader.connect)
            for name in ("pole-7", "pole-8"):
                assert answer(control, f"traffic/v1/harbour/{name}/commands/resend") == ""
                assert answer(control, f"traffic/v1/harbour/{name}/config/desired") == ""
            for part in PARTS:
                assert answer(control, f"{place}/{part}") == "Not authorized", part
            assert answer(control, "homeassistant/device/harbour/pole-7/config") == "Not authorized"
            sent = [event.topic for event in run_until(pole, Message, 2) if isinstance(event, Message)]
            assert answer(pole, f"{place}/replies/resend") == ""
            collect(reader, lambda messages: any(m.topic == f"{place}/replies/resend" for m in messages))
        strange = [event.topic for event in run_until(other, Message, 2) if isinstance(event, Message)]
    assert sent == [f"{place}/commands/resend", f"{place}/config/desired"]
    assert strange == [f"{own}/commands/resend", f"{own}/config/desired"]


def pole_8(city: City, broker: Mosquitto) -> Session:
    return connected(city, broker, "harbour.pole-8")


# --- client ids


def test_a_client_cannot_take_the_session_or_the_queue_of_another(city: City, broker: Mosquitto) -> None:
    """Tries the ids of others; a clean start, as devices use it, would delete the queue of that id."""
    topic, kept = "traffic/v1/harbour/pole-7/counts/a", Timing(connect=2.0, keepalive=5, session_expiry=600)
    endpoint = Endpoint(HOST, broker.port, tls=city.tls("reader.city"))

    def ingest() -> Reader:
        return Reader(Session(endpoint, "reader.city", timing=kept, backoff=QUICK), ["traffic/v1/+/+/counts/#"])

    def impostor(name: str) -> Session:
        to = Endpoint(HOST, broker.port, tls=city.tls("harbour.pole-8"))
        session = Session(to, name, timing=SHORT, backoff=QUICK)
        run_until(session, Connected)
        return session

    with closing(ingest()) as reader:
        eventually(reader.connect)
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
    reader = Reader(Session(endpoint, "city", timing=SHORT, backoff=QUICK), ["traffic/v1/+/+/counts/#"])
    too_large = Message(topic, bytes(largest), qos=1)
    with closing(reader), closing(connected(city, broker, "harbour.pole-7")) as pole:
        eventually(reader.connect)
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


@pytest.mark.long
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

        def ingest() -> Reader:
            return Reader(Session(endpoint, "city", timing=kept, backoff=QUICK), [f"{place}/#"])

        with closing(ingest()) as reader:
            eventually(reader.connect)
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
        reader = Reader(Session(endpoint, "city", timing=SHORT, backoff=QUICK), [f"{place}/status"])
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

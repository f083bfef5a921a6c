"""A city of its own for each test: the shipped files and script of deploy/broker, with a real mosquitto."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint, Tls
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.session import Session
from tests.support.brokers import QUICK, SHORT, Mosquitto, mosquitto, run_until
from tests.support.paths import ROOT
from tests.support.ports import free_port

BROKER = ROOT / "deploy" / "broker"
PARTS = (
    "status",
    "meta",
    "meta/abc",
    "health",
    "counts/a",
    "latest/a",
    "shadow/a",
    "reviews/a",
    "replies/x",
    "pieces/x",
    "config/reported",
)
"""Last levels of the topics that a device writes."""


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

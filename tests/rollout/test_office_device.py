"""The whole device at the rendered street, asked by its office over a real broker: ZIP file, picture, frames."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app import cli, extras
from edge_app.assembly import watching
from edge_app.config.load import load
from edge_app.config.model import Config, StoreConfig
from edge_app.config.office import OfficeConfig
from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Subscriber
from edge_app.preview.snapshot_socket import request_status
from edge_app.rollout.harvest_order import HarvestOrder
from edge_app.system.clock import ClockMonitor
from edge_app.system.redaction import forget_secrets, keep_secret
from tests.support.brokers import Mosquitto, eventually, mosquitto, needs_mosquitto, subscribed
from tests.support.harvest_cases import NOON, pictures
from tests.support.preview_cases import running_service
from tests.support.program import Program
from tests.support.schemas import validate
from tests.support.signed_commands import CommandingOffice, put_together

PREFIX = "traffic/v1/harbour/pole-7"
SECRETS = ("broker-pass-1", "preview-pass-2", "camera-pass-3")


class Asked:
    """A device and its office. messages: all that it has sent."""

    def __init__(self, office: CommandingOffice, reader: Subscriber, frames: Path) -> None:
        self.office, self.reader, self.frames = office, reader, frames
        self.messages: list[Message] = []
        self._asked = 0

    def read(self) -> bool:
        message = self.reader.read(0.05)
        if message is not None:
            self.messages.append(message)
        return message is not None

    def until(self, happened: Callable[[], Any], timeout: float = 60.0) -> Any:
        return eventually(lambda: (self.read() and None) or happened(), timeout)

    def of(self, topic: str) -> list[bytes]:
        return [m.payload for m in self.messages if m.topic == f"{PREFIX}/{topic}"]

    def ask(self, name: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a signed command and return its answer."""
        self._asked += 1
        return self.send(self.office.sign(name, f"city-{self._asked}", args, now=time.time()))

    def send(self, message: Message) -> dict[str, Any]:
        """Send a command that is signed already and return the next answer to it."""
        topic = message.topic.removeprefix(f"{PREFIX}/").replace("commands", "replies")
        identifier = json.loads(json.loads(message.payload)["document"])["id"]

        def answers() -> list[dict[str, Any]]:
            found = [validate("replies", payload) for payload in self.of(topic)]
            return [one for one in found if one["id"] == identifier]

        before = len(answers())
        self.reader._session.publish(message)
        self.until(lambda: len(answers()) > before)
        return answers()[-1]

    def health(self) -> Any:
        """Return the health as `edge-app status` tells it."""
        return json.loads(request_status(self.frames.parent / "state") or b"{}")["health"]

    def parcel(self, answer: Mapping[str, Any]) -> bytes:
        """Return what came in pieces before an answer."""
        return put_together(self.of(f"pieces/{answer['id']}"), answer["result"])


def configuration(office: CommandingOffice, broker: Mosquitto, *, pictures: bool) -> str:
    """Return the configuration of a device."""
    return f"""
[device]
site = "harbour"
device = "pole-7"
[source]
kind = "street"
fps = 5.0
[mqtt]
host = "127.0.0.1"
port = {broker.port}
username = "cam"
password = "{SECRETS[0]}"
[preview]
username = "technician"
password = "{SECRETS[1]}"
[store]
folder = "state"
[counting]
interval_s = 10
[detector]
second_look = false
[privacy]
masks = [[[0.0, 0.0], [0.3, 1.0]]]
[harvest]
folder = "frames"
every_s = 1
keep_free_mb = 0
[office]
keys = ["{office.key}"]
pictures = {"true" if pictures else "false"}
"""


@pytest.fixture
def asked(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Yield a running device; the parameter says whether its office may have pictures."""
    monkeypatch.setattr(watching, "ClockMonitor", partial(ClockMonitor, ask=lambda: False))
    lines = ["<6>connected", f"<4>rtsp://admin:{SECRETS[2]}@10.0.0.9/{SECRETS[2]} is away, {SECRETS[0]}"]
    monkeypatch.setattr("edge_app.system.logging.recent", lambda: lines)
    office = CommandingOffice(tmp_path, PREFIX)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker"))
        path = tmp_path / "edge-app.toml"
        path.write_text(configuration(office, broker, pictures=request.param))
        config = load(path, {})
        keep_secret(*config.secrets)
        stack.callback(forget_secrets)
        reader = stack.enter_context(subscribed(broker.port, f"{PREFIX}/#"))
        stack.enter_context(running_service(config, str(path)))
        found = Asked(office, reader, tmp_path / "frames")
        found.until(lambda: found.of("status"))
        yield found


@pytest.mark.long
@needs_mosquitto
@pytest.mark.parametrize("asked", [True], indirect=True)
def test_the_office_gets_a_diagnosis_a_picture_and_a_harvest(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = asked.until(lambda: (found := asked.ask("snapshot", {"width": 320}))["ok"] and found)
    picture = cv2.imdecode(np.frombuffer(asked.parcel(answer), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (180, 320, 3)
    assert picture[:, :90].max() < 30, "what is masked can be seen"
    assert picture[:, 110:].max() > 100

    answer = asked.ask("harvest", {"enabled": True, "hours": 1})
    assert answer["result"]["until"]
    asked.until(lambda: asked.frames.exists() and pictures(asked.frames))
    assert asked.health()["harvest_until"] == answer["result"]["until"]

    cli.main(["status", "--config", str(tmp_path / "edge-app.toml")])
    assert "because the office asked for it" in capsys.readouterr().out

    check_diagnosis(asked.parcel(asked.ask("diagnose")))

    assert asked.ask("harvest", {"enabled": False})["result"] == {"until": None}
    assert asked.health()["harvest_until"] is None


def check_diagnosis(archived: bytes) -> None:
    """Check that support gets what it needs, and nothing that is secret or shows the road."""
    with zipfile.ZipFile(io.BytesIO(archived)) as file:
        found = {name: file.read(name) for name in file.namelist()}
    everything = b"".join(found.values())
    assert not [secret for secret in SECRETS if secret.encode() in everything]
    assert not [sign for sign in (b"\xff\xd8\xff", b"BEGIN ", b"admin:") if sign in everything]
    used = json.loads(found["configuration.json"])
    assert used["used"]["counting"]["interval_s"] == 10
    assert [one["name"] for one in used["layers"]] == ["file"]
    assert "office" not in used["used"]
    status = json.loads(found["status.json"])
    assert (status["site"], status["connected"], status["health"]["limits"]) == ("harbour", True, [])
    assert status["health"]["harvest_until"]
    files = {one["file"]: one["bytes"] for one in json.loads(found["files.json"])["files"]}
    assert "harvest-order.json" in files
    assert json.loads(found["model.json"])["sha256"].startswith(status["model"])
    assert json.loads(found["versions.json"])["packages"]["numpy"]
    assert json.loads(found["drift.json"])["kinds"] == []
    assert found["log.txt"].startswith(b"<6>connected\n<4>rtsp://")


@needs_mosquitto
@pytest.mark.parametrize("asked", [False], indirect=True)
def test_an_office_that_may_have_no_pictures_gets_none(asked: Asked) -> None:
    for name, args in (("snapshot", {}), ("harvest", {"enabled": True, "hours": 1})):
        answer = asked.ask(name, args)
        assert (answer["code"], "office.pictures" in answer["error"]) == ("failed", True)
    assert asked.ask("harvest", {"enabled": False})["ok"] is True
    assert asked.ask("diagnose")["ok"] is True
    assert not asked.frames.exists()


def test_what_was_ordered_does_not_outlive_the_leave_to_have_pictures(tmp_path: Path) -> None:
    keys = (CommandingOffice(tmp_path, PREFIX).key,)

    def order(*, pictures: bool) -> HarvestOrder | None:
        config = Config(store=StoreConfig(folder=tmp_path), office=OfficeConfig(keys=keys, pictures=pictures))
        return extras.harvest_order(config, lambda: NOON)

    before = order(pictures=True)
    assert before is not None
    before.switch(4)
    after = order(pictures=True)
    assert after is not None
    assert after.until == NOON + 4 * 3600
    assert order(pictures=False) is None
    again = order(pictures=True)
    assert again is not None
    assert again.until is None


def test_a_device_without_keys_loads_no_library_for_them() -> None:
    code = "import sys, edge_app.app, edge_app.commands.run; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", code), check=False).returncode == 0


@needs_mosquitto
@pytest.mark.long
def test_a_restart_counts_anew_in_the_same_process_and_only_once(tmp_path: Path) -> None:
    office = CommandingOffice(tmp_path, PREFIX)
    program = Program(tmp_path / "device", synced=True)
    with (
        mosquitto(tmp_path / "broker") as broker,
        subscribed(broker.port, f"{PREFIX}/#") as reader,
        closing(program),
    ):
        program.start(configuration(office, broker, pictures=False))
        asked = Asked(office, reader, tmp_path / "frames")
        asked.until(lambda: asked.of("status") and program.text.count("first frame") == 1)
        pid = program.process.pid
        told = zipfile.ZipFile(io.BytesIO(asked.parcel(asked.ask("diagnose")))).read("log.txt").decode()
        assert all(text in told for text in ("watching", "first frame", "signed command"))
        assert SECRETS[0] not in told
        message = office.sign("restart", "city-again", now=time.time())
        assert asked.send(message)["result"] == {}
        asked.until(lambda: program.text.count("first frame") == 2)
        assert asked.send(message)["result"] == {}
        states = [json.loads(payload) for payload in asked.of("status")]
        assert [one["state"] for one in states] == ["online", "online"]
        assert states[0]["boot_id"] != states[1]["boot_id"]
        assert (program.process.pid, program.text.count("first frame")) == (pid, 2)

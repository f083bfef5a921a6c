"""The office's process is killed in the middle of roll-outs: no order is lost, and none is carried out twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from edge_app.city.database.orders import let_go, read_holder
from edge_app.city.rollouts import change_by_hand
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Message
from edge_app.rollout import trial
from edge_app.rollout.plan import Cascade
from tests.support.brokers import eventually, needs_mosquitto, subscribed
from tests.support.field_devices import OWN
from tests.support.led_fleet import NEXT, LedFleet, led_fleet
from tests.support.paths import ROOT as PROJECT

pytestmark = [needs_mosquitto, pytest.mark.long, pytest.mark.servers, pytest.mark.timeout(600)]
QUICK: Final = Cascade((0.3, 1.0), hours=0.001)
OLD: Final = "0.1.0"
_LONG_S: Final = 200.0


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedFleet]:
    """Yield a fleet whose time is that of the machine, with quick trials."""
    monkeypatch.setattr(trial, "TRIAL_S", 1.0)
    monkeypatch.setattr(trial, "_HELD_S", 0.1)
    with led_fleet(tmp_path / "city", 6) as fleet, ticking(fleet):
        toml = f'[mqtt]\nhost = "{HOST}"\nport = {fleet.port}\n[signing]\nkey_file = "office.key"\n'
        (tmp_path / "city" / "city.toml").write_text(toml)
        for device in fleet.devices.values():
            device.root.lasts_s = 0.5, 0.5, 0.5
        yield fleet


@contextmanager
def ticking(city: LedFleet) -> Iterator[None]:
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.02):
            city.time.now = time.time()

    city.time.now = time.time()
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def killed_at(city: LedFleet, folder: Path, steps: Sequence[str]) -> None:
    """Let processes of the office run, each until a step at which it is killed.

    The half minute until the next one takes over is left out.
    """
    for step in steps:
        with serving(folder, step) as process:
            assert process.stdout is not None
            assert any(line == "here\n" for line in process.stdout), f"it never came to {step}"
            process.send_signal(signal.SIGKILL)
            process.wait()
        with city.database.begin() as connection:
            let_go(connection, read_holder(connection).name)


@contextmanager
def recording(port: int, topic: str) -> Iterator[list[Message]]:
    """Yield the messages that come on a topic, in their order."""
    messages, stop = list[Message](), threading.Event()
    with subscribed(port, topic) as reader:

        def record() -> None:
            while not stop.is_set():
                if (message := reader.read(0.1)) is not None:
                    messages.append(message)

        thread = threading.Thread(target=record)
        thread.start()
        try:
            yield messages
        finally:
            stop.set()
            thread.join()


@contextmanager
def serving(folder: Path, step: str = "none") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.kill_leading", str(folder / "city" / "city.toml"), step]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    watch = threading.Timer(_LONG_S, process.kill)
    watch.start()
    try:
        yield process
    finally:
        watch.cancel()
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def state(city: LedFleet, name: str) -> str:
    return city.rollout(name)[0].rollout.state


def test_every_device_installs_a_release_once_and_goes_back_once(city: LedFleet, tmp_path: Path) -> None:
    with recording(city.port, "traffic/v1/+/+/commands/#") as messages:
        city.begin_release("next", QUICK)
        killed_at(city, tmp_path, ["noted", "sent", "answered"])
        with serving(tmp_path):
            eventually(lambda: state(city, "next") == "done", _LONG_S)
            eventually(lambda: city.rollout("next")[0].rollout.group == 1, 5)
        with city.database.begin() as connection:
            let_go(connection, read_holder(connection).name)
            change_by_hand(connection, city.rollout("next")[0], "take_back", "anna", "", time.time())
        assert {device.root.version for device in city.devices.values()} == {NEXT}
        assert [len(device.root.carried_out) for device in city.devices.values()] == [1] * 6
        killed_at(city, tmp_path, ["noted", "sent", "answered"])
        with serving(tmp_path):
            eventually(lambda: state(city, "next") == "taken_back", _LONG_S)
        sent = orders(messages)
    assert {device.root.version for device in city.devices.values()} == {OLD}
    for name, device in city.devices.items():
        assert len(device.root.carried_out) == 2, "an order was lost, or carried out twice"
        assert sent[name] == [("release", device.root.carried_out[0]), ("rollback", device.root.carried_out[1])]


def orders(messages: Sequence[Message]) -> dict[str, list[tuple[str, str]]]:
    """Return the command and the id of each order that was sent to a device; what was sent again is there once."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message in messages:
        _, _, site, device, _, command = message.topic.split("/")
        order = command, json.loads(json.loads(message.payload)["document"])["id"]
        if order not in found[f"{site}/{device}"]:
            found[f"{site}/{device}"].append(order)
    return found


def test_every_device_gets_each_layer_of_a_detector_once(city: LedFleet, tmp_path: Path) -> None:
    with recording(city.port, "traffic/v1/+/+/config/desired") as messages:
        city.begin("new", Cascade((1.0,), hours=9.0))
        killed_at(city, tmp_path, ["noted", "answered", "set", "set_sent"])
        with serving(tmp_path):
            eventually(lambda: all(one.state == "running" for one in city.rollout("new")[1]), _LONG_S)
        with city.database.begin() as connection:
            let_go(connection, read_holder(connection).name)
            change_by_hand(connection, city.rollout("new")[0], "take_back", "anna", "", time.time())
        killed_at(city, tmp_path, ["set", "set_sent"])
        with serving(tmp_path):
            eventually(lambda: state(city, "new") == "taken_back", _LONG_S)
    revisions = defaultdict(list)
    for message in messages:
        document = json.loads(json.loads(message.payload)["document"])
        revisions[message.topic].append(document["revision"])
    assert {device.setting.model for device in city.devices.values()} == {OWN}
    assert list(revisions.values()) == [[1, 2]] * 6

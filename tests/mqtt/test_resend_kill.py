"""SIGKILL of a device at random moments of a resend: every number is sent or named, and one id has one content."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import eventually, mosquitto, needs_mosquitto, subscribed
from tests.support.paths import ROOT
from tests.support.publisher_cases import DEVICE, INSTALLATION, State

KILLS = 5
COUNT = 15


@contextmanager
def device(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.support.resend_device", str(folder), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


def command(identifier: str) -> Message:
    args = {"line": "a", "installation": INSTALLATION, "from_seq": 1, "to_seq": COUNT + 2}
    at = "2027-01-15T08:00:00Z"
    document = {"schema": "edge-app/command/1", "id": identifier, "at": at, "expires": at, "args": args}
    return Message(f"{DEVICE.prefix}/commands/resend", json.dumps(document).encode(), 1)


@pytest.mark.long
@needs_mosquitto
@pytest.mark.timeout(120)
def test_a_device_that_is_killed_answers_every_command_after_its_restart(state: State, tmp_path: Path) -> None:
    rng = random.Random(2026)
    state.close_intervals(COUNT)
    contents: dict[str, set[bytes]] = defaultdict(set)
    replies: dict[str, set[bytes]] = defaultdict(set)
    online: list[str] = []

    def read(reader: Subscriber) -> None:
        message = reader.read(0.05)
        if message is None or not message.payload or message.retained:
            return
        document = json.loads(message.payload)
        if "/counts/" in message.topic:
            contents[document["id"]].add(message.payload)
        elif "/replies/" in message.topic:
            replies[document["id"]].add(message.payload)
        elif message.topic.endswith("/status"):
            online.append(document["state"])

    def answered(reader: Subscriber, identifier: str) -> bool:
        read(reader)
        return bool(replies[identifier])

    def present(reader: Subscriber, before: int) -> bool:
        read(reader)
        return "online" in online[before:]

    with mosquitto(tmp_path / "broker") as broker, subscribed(broker.port, f"{DEVICE.prefix}/#", name="city") as reader:
        for kill in range(KILLS):
            before = len(online)
            with device(state.folder, broker.port):
                eventually(lambda before=before: present(reader, before), 20.0)  # type: ignore[misc]
                reader._session.publish(command(f"city-{kill}"))
                end = time.monotonic() + rng.uniform(0.0, 1.2)
                while time.monotonic() < end:
                    read(reader)
        with device(state.folder, broker.port):
            before = len(online)
            eventually(lambda: present(reader, before), 20.0)
            for kill in range(KILLS):
                if not replies[f"city-{kill}"]:
                    reader._session.publish(command(f"city-{kill}"))
                eventually(lambda name=f"city-{kill}": answered(reader, name), 20.0)  # type: ignore[misc]
            reader._session.publish(command("city-last"))
            eventually(lambda: answered(reader, "city-last"), 20.0)
    (last,) = replies["city-last"]
    missing = [{"from_seq": COUNT + 1, "to_seq": COUNT + 2, "reason": "unknown"}]
    assert json.loads(last)["result"] == {"sent": COUNT, "missing": missing}
    assert len(contents) == COUNT
    assert {len(found) for found in contents.values()} == {1}
    codes = [json.loads(text).get("code") for name, texts in replies.items() for text in texts if name != "city-last"]
    assert set(codes) <= {None, "failed"}

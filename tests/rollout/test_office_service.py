"""A running service and its office, over a real broker: applied, taken back, refused, and nothing lost on the way."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import HOST, Mosquitto, eventually, mosquitto, needs_mosquitto, subscribed
from tests.support.http_video import HttpCamera
from tests.support.office import PREFIX, SigningOffice
from tests.support.program import Program
from tests.support.schemas import validate

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]
STREET = 'kind = "street"'


class Ears:
    """What a subscriber has heard of one device: all messages, oldest first, and the newest of each topic."""

    def __init__(self, reader: Subscriber) -> None:
        self._reader = reader
        self.all: list[Message] = []
        self.newest: dict[str, Any] = {}

    def hear(self) -> None:
        message = self._reader.read(0.05)
        if message is not None and message.payload:
            self.all.append(message)
            self.newest[message.topic.removeprefix(f"{PREFIX}/")] = json.loads(message.payload)

    def until(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        eventually(lambda: self.hear() or condition(), timeout)  # type: ignore[func-returns-value]

    def reported(self, state: str, timeout: float = 30.0) -> dict[str, Any]:
        """Wait for a report of this state, and return it."""
        self.until(lambda: self.newest.get("config/reported", {}).get("state") == state, timeout)
        report: dict[str, Any] = self.newest["config/reported"]
        return report

    def send(self, message: str) -> None:
        self._reader._session.publish(Message(f"{PREFIX}/config/desired", message.encode(), qos=1, retained=True))

    @property
    def states(self) -> list[str]:
        return [json.loads(one.payload)["state"] for one in self.all if one.topic == f"{PREFIX}/status"]


def configuration(port: int, office: SigningOffice, source: str = STREET) -> str:
    lines = "" if source == STREET else '[[lines]]\nid = "a"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'
    return (
        f'[device]\nsite = "delft"\ndevice = "cam-1"\n[mqtt]\nhost = "{HOST}"\nport = {port}\n'
        f'[source]\n{source}\n{lines}[counting]\ninterval_s = 60\n[office]\nkeys = ["{office.key}"]\n'
    )


@contextmanager
def listening(broker: Mosquitto, folder: Path, trial_s: float) -> Iterator[tuple[Ears, Program]]:
    with subscribed(broker.port, f"{PREFIX}/#", name="city") as reader:
        with closing(Program(folder / "device", trial_s=trial_s)) as program:
            yield Ears(reader), program


def test_a_signed_change_is_applied_and_nothing_is_lost(tmp_path: Path) -> None:
    office = SigningOffice(tmp_path)
    with mosquitto(tmp_path / "broker") as broker, listening(broker, tmp_path, 5.0) as (ears, program):
        program.start(configuration(broker.port, office))
        first = ears.reported("none")
        assert (first["revision"], first["highest"], [layer["name"] for layer in first["layers"]]) == (0, 0, ["file"])
        ears.until(lambda: program.text.count("first frame"))
        pid = program.process.pid
        begun = time.monotonic()
        ears.send(office.configuration(7, {"counting": {"interval_s": 10}}))
        ears.until(lambda: ears.newest["meta"]["interval_s"] == 10)
        assert time.monotonic() - begun < 10
        meta, report = ears.newest["meta"], ears.reported("applied")
        assert (report["revision"], report["highest"], report["problems"]) == (7, 7, [])
        assert report["config"] == meta["config"] != first["config"]
        assert report["installation"] == meta["installation"]
        assert [layer["name"] for layer in report["layers"]] == ["file", "office"]
        assert report["conflicts"] == [
            {"key": "counting.interval_s", "used": "office", "ignored": "file", "ignored_is_newer": True}
        ]
        assert ears.newest[f"meta/{meta['config']}"]["interval_s"] == 10
        ears.until(lambda: sum("/counts/" in one.topic for one in ears.all) >= 2)
        # Texts: counting goes on.
        line = {"id": "road", "start": [0.1, 0.6], "end": [0.9, 0.6]}
        ears.send(office.configuration(8, {"counting": {"interval_s": 10}, "log": {"level": "debug"}, "lines": [line]}))
        ears.until(lambda: [one["id"] for one in ears.newest["meta"]["lines"]] == ["road"])
        named = {**line, "left_to_right": "harbour", "road": "Quay"}
        ears.reported("applied")
        starts = program.text.count("first frame")
        ears.send(office.configuration(9, {"counting": {"interval_s": 10}, "log": {"level": "debug"}, "lines": [named]}))
        ears.until(lambda: ears.newest["meta"]["lines"][0]["road"] == "Quay")
        config = ears.newest["meta"]["config"]
        ears.until(lambda: ears.newest[f"meta/{config}"]["lines"][0]["road"] == "Quay")
        assert ears.reported("applied")["revision"] == 9
        assert program.text.count("first frame") == starts == 3
        assert program.process.pid == pid
        assert set(ears.states) == {"online"}
        for one in ears.all:
            if one.topic.endswith("/config/reported"):
                validate("config_reported", one.payload)
        counts = [json.loads(one.payload) for one in ears.all if "/counts/" in one.topic]
        by_line: dict[str, list[int]] = {}
        for one in counts:
            by_line.setdefault(one["line"], []).append(one["seq"])
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in by_line.values())
        program.signal(signal.SIGTERM)
        eventually(program.has_ended)
        ears.until(lambda: ears.states[-1] == "stopped")
        assert program.runs[0].code == 0

"""A running service and its office, over a real broker: applied, taken back, refused, and nothing lost on the way."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_app.detectors.manifest import default_model, load
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Message
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import Mosquitto, eventually, mosquitto, needs_mosquitto, subscribed
from tests.support.http_video import HttpCamera
from tests.support.office import PREFIX, SigningOffice
from tests.support.paths import ROOT
from tests.support.program import Program
from tests.support.schemas import validate
from tests.support.two_hashes import twin

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
        if message is not None and message.payload and not message.topic.endswith("/config/desired"):
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
    program = Program(folder / "device", trial_s=trial_s)
    with subscribed(broker.port, f"{PREFIX}/#", name="city") as reader, closing(program):
        yield Ears(reader), program


@pytest.mark.long
def test_a_signed_change_is_applied_and_nothing_is_lost(tmp_path: Path) -> None:
    office = SigningOffice(tmp_path)
    with mosquitto(tmp_path / "broker") as broker, listening(broker, tmp_path, 2.0) as (ears, program):
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
        # What is not from the office, or not for this device, or older, changes nothing.
        other = SigningOffice(tmp_path, "other.pem")
        for message, problem in (
            ("garbage", "the message is no JSON object"),
            (other.configuration(9, {}), "the message is signed by the key"),
            (office.configuration(9, {}).replace("anna", "bert"), "the signature is not right for this device"),
            (office.configuration(9, {}, prefix=PREFIX.replace("cam-1", "cam-2")), "the signature is not right"),
            (office.configuration(6, {}), "revision: 6 is not above 7"),
            (office.configuration(9, {"mqtt": {"host": "elsewhere"}}), "mqtt.host: the office may not set it"),
        ):
            ears.send(message)
            ears.until(lambda problem=problem: ears.reported("refused")["problems"][0].startswith(problem))  # type: ignore[misc]
            assert (ears.newest["config/reported"]["revision"], ears.newest["meta"]["interval_s"]) == (7, 10)
        # Texts: counting goes on.
        line = {"id": "road", "start": [0.1, 0.6], "end": [0.9, 0.6]}
        ears.send(office.configuration(8, {"counting": {"interval_s": 10}, "lines": [line]}))
        ears.until(lambda: [one["id"] for one in ears.newest["meta"]["lines"]] == ["road"])
        named = {**line, "left_to_right": "harbour", "road": "Quay"}
        ears.reported("applied")
        starts = program.text.count("first frame")
        ears.send(office.configuration(9, {"counting": {"interval_s": 10}, "lines": [named]}))
        ears.until(lambda: ears.newest["meta"]["lines"][0]["road"] == "Quay")
        config = ears.newest["meta"]["config"]
        ears.until(lambda: ears.newest[f"meta/{config}"]["lines"][0]["road"] == "Quay")
        assert ears.reported("applied")["revision"] == 9
        ears.until(lambda: sum("/counts/" in one.topic for one in ears.all) >= 2)
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


@pytest.mark.long
def test_frames_that_stop_in_a_trial_take_the_change_back(tmp_path: Path) -> None:
    office = SigningOffice(tmp_path)
    with closing(HttpCamera()) as camera, mosquitto(tmp_path / "broker") as broker:
        source = f'kind = "stream"\nurl = "{camera.url}"'
        with listening(broker, tmp_path, 8.0) as (ears, program):
            program.start(configuration(broker.port, office, source))
            ears.reported("none")
            ears.until(lambda: "first frame" in program.text)
            change = office.configuration(3, {"counting": {"interval_s": 10}})
            ears.send(change)
            ears.until(lambda: ears.newest["meta"]["interval_s"] == 10 and program.text.count("first frame") == 2)
            ears.reported("trying")
            camera.close()
            report = ears.reported("rolled_back")
            assert (report["revision"], report["highest"]) == (0, 3)
            assert report["problems"] == ["frames no longer come, and they came before"]
            ears.until(lambda: ears.newest["meta"]["interval_s"] == 60)
            ears.until(lambda: ears.newest["health"]["source"]["state"] == "lost")
            health = ears.newest["health"]
            assert health["problem"] == health["source"]["detail"] != "", (
                "no picture is graver than what was taken back"
            )
            assert "office nothing in use; configuration 3 of the office was taken back" in status(tmp_path)
            # The retained message has come again with the new connection, and changes nothing; nor does its revision.
            before = ears.newest["config/reported"]
            ears.send(change)
            ears.send(office.configuration(3, {"counting": {"interval_s": 20}}))
            refused = ears.reported("refused")
            assert refused["problems"] == ["revision: 3 is not above 3, the highest ever accepted"]
            assert before["state"] == "rolled_back"
            # What did not work before is no reason.
            ears.send(office.configuration(4, {"counting": {"interval_s": 20}}))
            assert ears.reported("applied")["revision"] == 4
            assert ears.newest["meta"]["interval_s"] == 20
            assert set(ears.states) == {"online"}


@pytest.mark.long
def test_a_broker_that_stays_away_takes_the_change_back(tmp_path: Path) -> None:
    office = SigningOffice(tmp_path)
    with mosquitto(tmp_path / "broker") as broker, listening(broker, tmp_path, 3.0) as (ears, program):
        program.start(configuration(broker.port, office))
        ears.reported("none")
        ears.send(office.configuration(1, {"device": {"lat": 52.1, "lon": 4.3}}))
        ears.until(lambda: "counting goes on" in program.text)
        broker.kill()
        eventually(lambda: time.sleep(0.1) or "was taken back: the broker is away" in program.text)  # type: ignore[func-returns-value]
        broker.start()
        assert ears.reported("rolled_back")["problems"] == ["the broker is away, and it was connected before"]
        ears.until(lambda: ears.newest["meta"]["location"] is None)


@pytest.mark.long
def test_a_program_that_ends_three_times_in_a_trial_takes_the_change_back(tmp_path: Path) -> None:
    """The first SIGKILL comes between acceptance and the first start with it."""
    office = SigningOffice(tmp_path)
    with mosquitto(tmp_path / "broker") as broker, listening(broker, tmp_path, 60.0) as (ears, program):
        text = configuration(broker.port, office)
        program.start(text)
        ears.reported("none")
        ears.send(office.configuration(5, {"counting": {"interval_s": 10}}))
        ears.until(lambda: "counting begins anew" in program.text)
        for _ in range(4):
            program.signal(signal.SIGKILL)
            eventually(program.has_ended)
            ears.newest.clear()
            program.start(text)
            ears.until(lambda: "config/reported" in ears.newest and "meta" in ears.newest)
            if ears.newest["config/reported"]["state"] == "rolled_back":
                break
            assert (ears.newest["config/reported"]["revision"], ears.newest["meta"]["interval_s"]) == (5, 10)
        report = ears.newest["config/reported"]
        assert report["problems"] == ["the program has ended three times within the two minutes of trial"]
        assert (report["revision"], report["highest"], ears.newest["meta"]["interval_s"]) == (0, 5, 60)


def status(folder: Path) -> str:
    """Return what `edge-app status` prints."""
    command = (sys.executable, "-m", "edge_app.cli", "status", "--config", str(folder / "device" / "edge-app.toml"))
    return " ".join(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split())


def detectors(folder: Path, *names: str) -> list[str]:
    """Put detectors where fetched ones are, and return their hashes: all are the own one under other hashes."""
    found = []
    for name in names:
        model = twin(folder / name, name=f"{name}.tflite")
        sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
        shutil.copytree(model.parent, folder / "device" / "state" / "detectors" / sha256)
        found.append(sha256)
    return found


def changes(intervals: list[dict[str, Any]]) -> list[str]:
    """Return the models of intervals in order of time, each once for all that follow each other."""
    models = [one["model"] for one in sorted(intervals, key=lambda one: one["start"])]
    return [model for model, before in itertools.pairwise([*models, ""]) if model != before]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_detector_takes_over_and_goes_again_while_counting_goes_on(tmp_path: Path) -> None:
    office = SigningOffice(tmp_path)
    with mosquitto(tmp_path / "broker") as broker, listening(broker, tmp_path, 6.0) as (ears, program):
        new, gone = detectors(tmp_path, "new")[0], "0" * 64
        text = (
            configuration(broker.port, office, STREET)
            + '[detector]\nallow_unproven = true\n[store]\nfolder = "state"\n'
        )
        program.start(text)
        own = ears.reported("none")["config"]
        ears.until(lambda: "first frame" in program.text)
        old = ears.newest["meta"]["model"]
        ears.send(office.configuration(1, {"detector": {"fetched": gone}}))
        assert "no detector 000000000000 is on this device" in ears.reported("refused")["problems"][0]
        ears.send(office.configuration(1, {"detector": {"shadow": "/etc/passwd"}}))
        ears.until(lambda: "never by a file" in ears.reported("refused")["problems"][0])
        former = load(default_model())[0].sha256
        ears.send(office.configuration(1, {"detector": {"fetched": new, "shadow": former}}))
        ears.until(lambda: ears.newest["meta"]["model"] == new[:12])
        report = ears.reported("trying")
        ears.until(lambda: ears.newest["config/reported"]["config"] == ears.newest["meta"]["config"] != own)
        assert report["revision"] == 1
        ears.until(lambda: f"meta/{ears.newest['meta']['config']}" in ears.newest)
        assert ears.newest[f"meta/{ears.newest['meta']['config']}"]["counting"]["model"] == new
        ears.until(lambda: ears.newest.get("health", {}).get("shadow", {}).get("model") == former[:12], 70.0)
        assert ears.reported("applied")["revision"] == 1
        ears.send(office.configuration(2, {}))
        ears.until(lambda: ears.newest["meta"]["model"] == old)
        ears.until(lambda: ears.newest["config/reported"]["config"] == own)
        ears.until(lambda: len({one["model"] for one in counts(ears)}) == 2 and changes(counts(ears))[-1] == old, 90.0)
        assert changes(counts(ears)) == [old, new[:12], old]
        seqs = [one["seq"] for one in sorted(counts(ears), key=lambda one: one["start"])]
        assert seqs == list(range(1, len(seqs) + 1))
        assert program.text.count("first frame") == 1
        assert len({one["boot_id"] for one in counts(ears)}) == 1


def counts(ears: Ears) -> list[dict[str, Any]]:
    return [json.loads(one.payload) for one in ears.all if "/counts/" in one.topic]

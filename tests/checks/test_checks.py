"""Test `edge-app check`: each finding on real parts, and the whole command."""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.app import service
from edge_app.assembly.counter import with_classes
from edge_app.assembly.device import counting_hash
from edge_app.checks import findings as whole
from edge_app.checks.broker import may_disconnect_service
from edge_app.checks.device import check_clock, check_state_folder, running_pid
from edge_app.checks.findings import findings
from edge_app.commands import check
from edge_app.config import exposure
from edge_app.config.load import load
from edge_app.config.model import Config, MqttConfig, StoreConfig
from edge_app.config.source import SourceConfig
from edge_app.detectors.manifest import Manifest, default_model
from edge_app.errors import ConfigError
from edge_app.preview.snapshot_socket import request_broker_problem
from edge_app.storage.folder_lock import lock_folder
from edge_app.system import logging as logs
from edge_app.system.threads import Worker
from edge_app.web.line_check import Finding
from tests.support.brokers import Mosquitto, eventually, mosquitto, needs_mosquitto
from tests.support.disks import fill_disk, small_disk
from tests.support.ports import free_port
from tests.support.videos import write_video

__all__ = ["small_disk"]  # a fixture

MANIFEST = Manifest.model_validate_json(default_model().with_suffix(".json").read_bytes())
ROAD = '[[lines]]\nid = "road"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'


# --- the parts


@pytest.mark.parametrize(
    ("at", "level"),
    [(0.0, "FAIL"), (time.time(), "ok"), (time.time() + 4e8, "FAIL")],
    ids=["1970", "now", "far"],  # the times themselves differ from one worker to the next
)
def test_clock(at: float, level: str) -> None:
    assert check_clock(at, unsynced=False).level == level


def test_a_clock_that_nothing_sets_is_a_warning() -> None:
    found = check_clock(time.time(), unsynced=True)
    assert found.level == "warn"
    assert "timedatectl set-ntp true" in found.sentence


@pytest.fixture(autouse=True)
def set_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of this machine be set."""
    monkeypatch.setattr(whole, "kernel_unsynced", lambda: False)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of two fifths of a second."""
    return write_video(tmp_path_factory.mktemp("video") / "short.mp4", range(10))


def configured(folder: Path, video: Path, more: str = "") -> Config:
    path = folder / "edge-app.toml"
    path.write_text(f'[source]\nkind = "file"\npath = "{video}"\n{more}\n{ROAD}')
    return load(path, {})


def by_what(config: Config) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings(config, threading.Event())}


@needs_mosquitto
def test_all_parts_fit(tmp_path: Path, broker: Mosquitto) -> None:
    """The camera is a slow one: with it a busy machine keeps up too, else the check says that it does not."""
    video = write_video(tmp_path / "slow.mp4", range(10), rate=8.0)
    found = by_what(configured(tmp_path, video, f"[mqtt]\nport = {broker.port}"))
    assert list(found) == [
        *("configuration", "clock", "state folder", "broker", "model", "second look", "gate", "classes", "config"),
        *("source", "speed", "line road"),
    ]
    assert [finding.sentence for finding in found.values() if finding.level != "ok"] == []
    assert "accepts us with MQTT 5" in found["broker"].sentence
    config = with_classes(load(tmp_path / "edge-app.toml", {}), MANIFEST)
    assert found["config"].sentence.startswith(counting_hash(config, MANIFEST.sha256)[:12])
    assert "input of 512x288" in found["model"].sentence
    assert re.search(r"file, 160x120 at [78]\.", found["source"].sentence)  # 8 frames/s, as measured
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"edge-app.toml", "slow.mp4"}  # no file is left that another user could not use


@needs_mosquitto
def test_an_old_broker_is_a_warning(tmp_path: Path, short: Path, broker: Mosquitto) -> None:
    found = by_what(configured(tmp_path, short, f'[mqtt]\nport = {broker.port}\nprotocol = "3.1.1"'))
    assert found["broker"].level == "warn"


@needs_mosquitto
def test_every_address_of_a_cluster_is_tried(tmp_path: Path, short: Path, broker: Mosquitto) -> None:
    found = by_what(configured(tmp_path, short, f'[mqtt]\nhosts = ["127.0.0.1", "127.0.0.9"]\nport = {broker.port}'))
    assert found["broker"].level == "warn"
    assert found["broker"].sentence == (
        f"127.0.0.1:{broker.port} accepts us with MQTT 5. 127.0.0.9:{broker.port}: connection refused; is the broker "
        "running, and on this port?"
    )


@needs_mosquitto
def test_limits_of_the_broker_are_a_warning(tmp_path: Path, short: Path) -> None:
    with mosquitto(tmp_path / "broker", "retain_available false", "allow_anonymous true") as limited:
        found = by_what(configured(tmp_path, short, f"[mqtt]\nport = {limited.port}"))
    assert found["broker"].level == "warn"
    assert "Broker keeps no retained messages: " in found["broker"].sentence


def test_one_failure_hides_no_other(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    more = f'[detector]\nmodel = "absent.tflite"\n[store]\nfolder = "{file / "state"}"\n[mqtt]\nport = {free_port()}'
    found = by_what(configured(tmp_path, tmp_path / "absent.mp4", more))
    assert {what for what, f in found.items() if f.level == "FAIL"} == {"configuration", "broker", "model", "source"}
    assert all(f.sentence.endswith((".", "?")) and not f.sentence.endswith("?.") for f in found.values())


@pytest.mark.parametrize("below", [".", "state"])
def test_what_the_service_refuses_is_not_called_valid(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    config = configured(tmp_path, tmp_path, f'[store]\nfolder = "{tmp_path / "file" / below}"')
    with pytest.raises(ConfigError) as refused:
        lock_folder(config.store.folder)
    found = next(findings(config, threading.Event()))
    assert (found.level, found.what, found.sentence) == ("FAIL", "configuration", f"{refused.value}.")


@needs_mosquitto
def test_a_running_service_is_no_failure(tmp_path: Path, short: Path, broker: Mosquitto) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with (folder / "ledger.lock").open("wb") as lock:
        lock.write(b"4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = by_what(configured(tmp_path, short, f"[mqtt]\nport = {broker.port}"))
    assert found["state folder"].level == "ok"
    assert "the service is running (pid 4711)" in found["state folder"].sentence


def test_the_camera_of_a_running_service_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "edge-app.toml"
    path.write_text(f'[source]\nkind = "camera"\n[mqtt]\nport = {free_port()}\n{ROAD}')
    with (tmp_path / "state/ledger.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = by_what(load(path, {}))
    assert "the running service has the camera" in found["source"].sentence


@needs_mosquitto
def test_a_running_service_is_asked_about_its_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as running:
        config = configured(tmp_path, tmp_path, f'[mqtt]\nport = {running.port}\nusername = "pole-7"')
        config = config.model_copy(update={"source": SourceConfig()})
        assert not may_disconnect_service(config, running=running_pid(config.store.folder) is not None)
        with service(config) as built:
            assert may_disconnect_service(config, running=running_pid(config.store.folder) is not None)
            assert request_broker_problem(config.store.folder) == "not connected yet: try again in a few seconds"
            stop = threading.Event()
            worker = Worker("service", lambda _: built.run(stop), lambda _, fault: pytest.fail(str(fault)))
            worker.start()
            eventually(lambda: time.sleep(0.02) or request_broker_problem(config.store.folder) == "")  # type: ignore[func-returns-value]
            running.stop()
            eventually(lambda: time.sleep(0.02) or "broker 127" in (request_broker_problem(config.store.folder) or ""))  # type: ignore[func-returns-value]
            stop.set()
            assert worker.join(20)
    assert request_broker_problem(config.store.folder) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_lock_that_may_not_be_read_counts_as_a_running_service(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    login = Config(mqtt=MqttConfig(username="pole-7"), store=StoreConfig(folder=folder))
    anonymous = Config(store=StoreConfig(folder=folder))
    folder.mkdir(0o700)
    assert not may_disconnect_service(login, running=False)
    os.seteuid(65534)
    try:
        assert running_pid(folder) is None
        found = [may_disconnect_service(config, running=False) for config in (login, anonymous)]
    finally:
        os.seteuid(0)
    assert found == [True, False]


def test_too_little_disk_space_is_a_warning(tmp_path: Path) -> None:
    assert check_state_folder(tmp_path, 1000, None).level == "ok"
    little = check_state_folder(tmp_path / "not/yet/there", 10**12, None)
    assert little.level == "warn"
    assert "store.max_intervals and store.keep_mb may fill" in little.sentence
    assert check_state_folder(tmp_path / ("x" * 300) / "state", 1000, None).level == "FAIL"  # no such name
    assert check_state_folder(tmp_path, 1000, None, keep_mb=1e12).level == "warn"


def test_a_full_disk_is_a_failure_while_the_service_runs(small_disk: Path) -> None:
    (small_disk / "ledger.lock").touch()
    fill_disk(small_disk)
    found = check_state_folder(small_disk, 1000, "4711")
    assert found.level == "FAIL"
    assert "only 0.0 MB free" in found.sentence


# --- the command


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the logging of this process as pytest set it up."""
    monkeypatch.setattr(logs, "setup", lambda *_: None)


def call(*arguments: str, stop: threading.Event | None = None) -> int:
    from edge_app.cli import _parser

    parsed = _parser().parse_args(["check", *arguments])
    return check.main(parsed, stop or threading.Event())


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warn", 0), ("FAIL", 1)])
def test_exit_code_and_width(
    level: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def two_findings(_config: Config, _stop: threading.Event) -> Iterator[Finding]:
        yield Finding("ok", "clock", "12:00.")
        yield Finding(level, "a part", "a long sentence [that] goes on " * 8 + "/a/path" * 30)  # type: ignore[arg-type]

    monkeypatch.setattr(whole, "findings", two_findings)
    path = tmp_path / "edge-app.toml"
    path.write_text('[source]\nkind = "street"\n')
    assert call("--config", str(path)) == code
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "ok    clock: 12:00."
    assert rest[0].startswith(f"{level:<5} a part: a long sentence [that] goes")
    assert all(len(line) <= 80 for line in rest if "/a/path" not in line)
    assert all(line.startswith("      ") for line in rest[1:])
    assert "\033" not in "".join(rest)


@pytest.mark.usefixtures("quiet")
def test_a_password_that_everybody_can_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exposure, "_is_open", lambda _: True)  # other users cannot reach the folders of a test
    stop = threading.Event()
    stop.set()
    path = tmp_path / "edge-app.toml"
    (tmp_path / "pw").write_text("x\n")
    login = f'port = {free_port()}\nusername = "u"\n'
    path.write_text(f'[source]\nkind = "street"\n[mqtt]\n{login}password = "x"\n')
    call("--config", str(path), stop=stop)
    assert capsys.readouterr().out.startswith("warn  configuration:")
    path.write_text(f'[source]\nkind = "street"\n[mqtt]\n{login}password_file = "pw"\n')
    call("--config", str(path), stop=stop)
    assert "\nwarn  mqtt.password_file:" in capsys.readouterr().out


@pytest.mark.usefixtures("quiet")
def test_a_stop_ends_the_check_soon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text(f"[source]\nkind = 'street'\n[mqtt]\nport = {free_port()}\n")
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    assert call("--config", str(path), stop=stop) == 1
    assert time.monotonic() - began < 8
    assert "stopped before everything was checked" in capsys.readouterr().err

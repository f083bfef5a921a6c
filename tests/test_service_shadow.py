"""A candidate counts beside the service: from a rendered street to a broker, with the counts in service unchanged."""

from __future__ import annotations

import json
import shutil
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_app.app import service
from edge_app.assembly.counter import refuse_fetched, shadow_file
from edge_app.assembly.device import counting_hash
from edge_app.assembly.live import build_shadow
from edge_app.checks.road import check_shadow
from edge_app.config.layers import Layer, refused_keys
from edge_app.config.model import Config, DetectorConfig
from edge_app.config.office_document import read_document
from edge_app.detectors.manifest import default_model, load
from edge_app.errors import ConfigError
from edge_app.monitoring.device_status import DeviceStatus
from edge_app.monitoring.health_report import NO_CANDIDATE
from edge_app.mqtt.device_messages import Health
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.preview.snapshot_socket import request_status
from edge_app.rollout import candidate_process
from edge_app.service import Service
from edge_app.sources.street.street import Street
from edge_app.system.threads import Worker
from tests.support.brokers import eventually, mosquitto, needs_mosquitto, subscribed
from tests.support.schemas import validate
from tests.support.two_hashes import twin

SMALL = default_model().with_name("ssdlite_mobilenet_v2_300x300.tflite")


def configuration(folder: Path, port: int, shadow: Path, **detector: Any) -> Config:
    return Config.model_validate(
        {
            "source": {"kind": "street"},
            "detector": {"second_look": False, "shadow": shadow, **detector},
            "counting": {"interval_s": 10},
            "mqtt": {"port": port},
            "store": {"folder": folder / "state"},
        }
    )


def street() -> Street:
    """Return a busy street of few pixels, so that a busy machine keeps up."""
    return Street(width=640, height=360, fps=8.0, seed=5, flow=(30.0, 30.0), pace="real")


def started(running: Service, stop: threading.Event) -> Worker:
    worker = Worker("service", lambda _: running.run(stop), lambda _name, fault: pytest.fail(repr(fault)))
    worker.start()
    return worker


@needs_mosquitto
@pytest.mark.long
def test_comparisons_arrive_and_the_counts_in_service_are_those_of_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidate_process, "_PROGRAM", "tests.support.eager_candidate")
    stop, messages = threading.Event(), list[Message]()
    with mosquitto(tmp_path / "broker") as broker, subscribed(broker.port) as reader:
        config = configuration(tmp_path, broker.port, SMALL)
        with service(config, street()) as running:
            worker = started(running, stop)

            def compared() -> list[dict[str, Any]]:
                if message := reader.read(0.2):
                    messages.append(message)
                return told if len(told := of(messages, "shadow")) >= 2 else []

            shadows = eventually(compared, 90.0)
            answer = request_status(config.store.folder)
            stop.set()
            assert worker.join(20.0)
    status = DeviceStatus.model_validate_json(answer or b"")
    counts = {one["start"]: one for one in of(messages, "counts")}
    assert [one["seq"] for one in shadows] == [1, 2]
    assert len({one["id"] for one in shadows}) == 2
    assert sum(n for one in shadows for ways in one["in_service"]["counts"].values() for n in ways.values()) > 0
    for one in shadows:
        same = counts[one["start"]]
        assert one["in_service"] == {key: same[key] for key in ("model", "config", "counts")}
        assert {key: one[key] for key in ("end", "interval_s", "installation", "frames")} == {
            key: same[key] for key in ("end", "interval_s", "installation", "frames")
        }
        assert one["model"] == load(SMALL)[0].sha256[:12] != same["model"]
        assert one["config"] != same["config"]
    assert [m.retained for m in messages if "/shadow/" in m.topic] == [False, False]
    assert status.health.shadow is not None
    assert (status.health.shadow.state, status.health.shadow.compared) == ("comparing", 2)
    assert status.health.limits == []


def of(messages: list[Message], channel: str) -> list[dict[str, Any]]:
    return [validate(channel, one.payload) for one in messages if f"/{channel}/" in one.topic]


@pytest.mark.long
def test_a_candidate_that_dies_ends_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_process, "_PROGRAM", "tests.support.no_such_program")
    stop, config = threading.Event(), configuration(tmp_path, 1, SMALL)
    with service(config, street()) as running:
        worker = started(running, stop)
        frames: list[int] = []

        def counts_on() -> bool:
            time.sleep(0.05)
            limits = DeviceStatus.model_validate_json(request_status(config.store.folder) or b"").health.limits
            frames.append(running.frames)
            return limits == [
                "no candidate counts beside the detector in service: its process has ended with exit code 1"
            ]

        eventually(counts_on, 60.0)
        told_at = frames[-1]
        eventually(lambda: counts_on() and running.frames > told_at, 60.0)
        stop.set()
        assert worker.join(20.0)


def test_without_a_candidate_there_is_no_word_of_one(tmp_path: Path) -> None:
    config = Config.model_validate({"source": {"kind": "street"}, "store": {"folder": tmp_path}})
    device = Device("harbour", "pole-7", "boot", "0")
    assert build_shadow(config, device, load(default_model())[0], lambda: "", lambda *_: None) is None


@pytest.mark.parametrize(
    ("shadow", "sentence"),
    [
        (default_model(), "is the detector in service"),
        (Path("/nowhere/candidate.tflite"), "cannot read the manifest"),
    ],
)
def test_a_file_that_cannot_be_compared_is_told_and_not_used(tmp_path: Path, shadow: Path, sentence: str) -> None:
    device, config = Device("harbour", "pole-7", "boot", "0"), configuration(tmp_path, 1, shadow)
    beside = build_shadow(config, device, load(default_model())[0], lambda: "", lambda *_: None)
    assert beside is not None
    with beside:
        assert beside.health.state == "failed"
        assert sentence in beside.health.why
        assert beside.pid is None


def test_a_candidate_that_knows_too_few_classes_is_told_and_not_used(tmp_path: Path) -> None:
    candidate = tmp_path / SMALL.name
    candidate.write_bytes(SMALL.read_bytes())
    text = SMALL.with_suffix(".json").read_text()
    assert '"bus"' in text
    candidate.with_suffix(".json").write_text(text.replace('"bus"', '"person"'))
    device, config = Device("harbour", "pole-7", "boot", "0"), configuration(tmp_path, 1, candidate)
    beside = build_shadow(config, device, load(default_model())[0], lambda: "", lambda *_: None)
    assert beside is not None
    with beside:
        assert "knows no bus, which is counted here" in beside.health.why


def test_a_candidate_changes_no_count_and_so_no_config(tmp_path: Path) -> None:
    model = load(default_model())[0].sha256
    beside = configuration(tmp_path, 1, SMALL)
    alone = beside.model_copy(update={"detector": beside.detector.model_copy(update={"shadow": None})})
    assert counting_hash(beside, model) == counting_hash(alone, model)


def test_the_page_may_name_no_candidate_and_the_office_only_by_its_hash() -> None:
    assert refused_keys(Layer("page", {"detector": {"shadow": "x.tflite"}})) == ["detector.shadow"]
    document = {"schema": "edge-app/config-desired/1", "revision": 1, "at": "2026-12-01T10:00:00Z", "author": "anna"}
    named = read_document(json.dumps({**document, "set": {"detector": {"shadow": "0" * 64}}}))
    assert named.layer.tables == {"detector": {"shadow": "0" * 64}}
    for other in ("x.tflite", "/etc/passwd", "0" * 63, "../" + "0" * 64):
        with pytest.raises(ConfigError, match=r"^detector\.shadow: the office names a candidate by its SHA-256"):
            read_document(json.dumps({**document, "set": {"detector": {"shadow": other}}}))


def test_a_candidate_is_named_by_the_hash_of_a_fetched_detector_or_of_the_devices_own(tmp_path: Path) -> None:
    own, fetched = load(default_model())[0].sha256, twin(tmp_path / "twin")
    sha256 = load(fetched)[0].sha256
    shutil.copytree(fetched.parent, tmp_path / "state" / "detectors" / sha256)

    def named(shadow: str, **detector: str) -> Config:
        return Config.model_validate(
            {"detector": {"shadow": shadow, **detector}, "store": {"folder": "state"}}, context={"folder": tmp_path}
        )

    assert shadow_file(named(sha256)) == tmp_path / "state" / "detectors" / sha256 / "twin.tflite"
    assert shadow_file(named(own, fetched=sha256)) == default_model()
    assert shadow_file(named("x.tflite")) == tmp_path / "x.tflite"
    refuse_fetched(named(sha256))
    with pytest.raises(ConfigError, match=r"detector\.shadow: no detector 000000000000 is on this device"):
        refuse_fetched(named("0" * 64))
    with pytest.raises(ValidationError, match=r"is the detector of detector\.fetched"):
        named(sha256, fetched=sha256)


def test_a_candidate_that_cannot_count_is_told_and_is_nothing_wrong() -> None:
    told: dict[str, Any] = {"limits": [f"{NO_CANDIDATE}: gone", "the broker refuses meta"], "problem": ""}
    status = DeviceStatus.model_construct(
        counting=True, why_not="", problem_code="", quality=(), lines=(), health=Health.model_construct(**told)
    )
    object.__setattr__(status.health, "at", datetime.now(timezone.utc))
    object.__setattr__(status.health, "uptime_s", 0.0)
    assert status.wrong == ["the broker refuses meta"]


def test_the_file_in_service_is_no_candidate() -> None:
    with pytest.raises(ValidationError, match=r"is the file of detector\.model"):
        DetectorConfig.model_validate({"model": "a.tflite", "shadow": "a.tflite"})


def test_the_check_tells_whether_a_candidate_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    in_service, classes = load(default_model())[0], ("car", "bus")
    found = check_shadow(SMALL, in_service, classes)
    assert (found.level, found.what) == ("ok", "shadow")
    monkeypatch.setattr("edge_app.checks.road.refused_priority", lambda: "the system refuses it")
    assert check_shadow(SMALL, in_service, classes).sentence == "the system refuses it."
    assert check_shadow(default_model(), in_service, classes).level == "FAIL"
    assert check_shadow(Path("/nowhere/x.tflite"), in_service, classes).level == "FAIL"

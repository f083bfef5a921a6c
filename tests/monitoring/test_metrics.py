"""Prometheus metrics: a running program scraped and parsed as Prometheus does, and the metrics of each fault."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_app.monitoring.metrics import KIND, exposition
from edge_app.mqtt.device_messages import ShadowHealth
from edge_app.mqtt.embedded_broker import HOST
from edge_app.sources import SourceStatus
from edge_app.storage.sqlite import FILE
from tests.support.brokers import Authority, mosquitto, needs_mosquitto, needs_openssl
from tests.support.disks import small_disk
from tests.support.ledger_cases import NOON, count
from tests.support.metrics_cases import PROMTOOL, Rig, Series, parsed, rig, soon, value
from tests.support.program import Program
from tests.support.publisher_cases import DEVICE

__all__ = ["rig", "small_disk"]  # fixtures

CONFIG = """
device = {{ site = "test-site", device = "scraped" }}
source = {{ kind = "street", width = 640, height = 360, fps = 6.0, flow = [30.0, 30.0] }}
detector = {{ threads = 1 }}
counting = {{ interval_s = 10 }}
mqtt = {{ port = {mqtt} }}
store = {{ folder = "state" }}
metrics = {{ enabled = true, port = {metrics} }}
log = {{ format = "json" }}
"""


def scrape(port: int) -> tuple[str, Series]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Accept": "text/plain", "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, KIND)
        text = answer.read().decode()
    return text, parsed(text)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path / "program")
    yield program
    program.close()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


@pytest.mark.long
@needs_mosquitto
@pytest.mark.timeout(240)
def test_a_running_service_is_scraped(program: Program, tmp_path: Path) -> None:
    """While its port is in use it counts without metrics; then it is scraped without a broker and with one."""
    with socket.create_server((HOST, 0)) as taken, mosquitto(tmp_path / "broker") as broker:
        port = taken.getsockname()[1]
        broker.stop()
        program.start(CONFIG.format(mqtt=broker.port, metrics=port))
        soon(lambda: program.counted, 60)
        program.signal(signal.SIGTERM)
        soon(lambda: program.has_ended(), 30)
        (run,) = program.runs
        assert run.code == 0
        assert run.faults == [
            f"no metrics: cannot listen on {HOST}:{port} (Address already in use); set metrics.port to a free one and "
            "metrics.address to one of this device; counting goes on without"
        ]
        taken.close()
        program.start(CONFIG.format(mqtt=broker.port, metrics=port))
        soon(lambda: answers(port), 60)
        soon(lambda: value(scrape(port)[1], "outbox_intervals"), 60)
        _, before = scrape(port)
        assert value(before, "broker_connected") == 0
        assert value(before, "outbox_oldest_age_seconds") > 0
        broker.start()
        soon(lambda: value(scrape(port)[1], "intervals_delivered_total") >= 2, 90)
        text, after = scrape(port)
        log = Counter(counted.key for counted in program.counted)
        if PROMTOOL:
            check_with_promtool(text)
    assert value(after, "broker_connected") == value(after, "broker_connections_total") == 1
    assert value(after, "camera_state", state="ok") == 1
    assert sum(n for (name, _), n in after.items() if name == "edge_app_camera_state") == 1
    assert value(after, "storage_fault") == value(after, "intervals_dropped_total") == 0
    assert 0 <= value(after, "interval_coverage_ratio", line="street") <= 1  # low where frames are rare: a busy machine
    assert abs(value(after, "last_frame_timestamp_seconds") - time.time()) < 30
    assert 5e7 < value(after, "process_resident_memory_bytes") < 1e9
    vehicles = {
        (labels["line"], labels["class"], labels["direction"]): n
        for (name, pairs), n in after.items()
        if name == "edge_app_vehicles_total" and (labels := dict(pairs))
    }
    assert len(vehicles) == 8  # classes and directions without a vehicle are 0
    assert sum(vehicles.values()) > 0
    assert all(n <= log[key] for key, n in vehicles.items())  # the log was read a little later
    check_stages(after)


def check_stages(series: Series) -> None:
    frames = value(series, "frames_processed_total")
    for stage in ("detect", "track", "count", "latency"):
        bounds = sorted(
            (float(dict(pairs)["le"]), n)
            for (name, pairs), n in series.items()
            if name == "edge_app_stage_seconds_bucket" and ("stage", stage) in pairs
        )
        frames_within = [n for _, n in bounds]
        assert frames_within == sorted(frames_within)
        assert frames_within[-1] == value(series, "stage_seconds_count", stage=stage)
        assert abs(frames_within[-1] - frames) <= 4  # a frame may be between two stages
    assert 0 < value(series, "stage_seconds_sum", stage="detect") <= value(series, "stage_seconds_sum", stage="latency")


def check_with_promtool(text: str) -> None:
    """Check names, units and types by Prometheus' own rules."""
    assert PROMTOOL
    done = subprocess.run((PROMTOOL, "check", "metrics"), input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_mean_speeds_and_flows_are_told(rig: Rig) -> None:
    names = {name for name, _ in rig.now}
    assert not {"edge_app_interval_speed_meters_per_second", "edge_app_flows_total"} & names
    ledger, service = rig.case.ledger, rig.case.service
    ledger.tick(NOON)
    ledger.measure("main", NOON, {"speed": {"car": {"left_to_right": {"n": 2, "sum": 72.0}}}})
    ledger.tick(NOON + 70)
    service.flows = {"flows": {"main": {"side": {"car": 3}}}}
    assert value(rig.now, "interval_speed_meters_per_second", line="main", direction="left_to_right") == 10.0
    assert value(rig.now, "flows_total", to="side", **{"from": "main", "class": "car"}) == 3


def test_health_says_why_speeds_are_not_measured(rig: Rig) -> None:
    assert rig.report.health().limits == []
    rig.case.service._measures_fault = "speeds are not measured: for a reason"
    assert rig.report.health().limits == ["speeds are not measured: for a reason"]
    assert rig.report.health().problem == ""


def test_health_tells_of_frames_that_come_too_rarely_until_they_come_often_enough(rig: Rig) -> None:
    note = rig.case.service._note_slow
    note(frozenset({"main"}), 0.0)
    health = rig.report.health()
    assert (health.quality, rig.report.problem_code) == (("slow",), "slow")
    assert health.problem == "frames come too rarely for the traffic at main: vehicles can pass unseen"
    assert value(rig.now, "quality", flag="slow") == 1
    note(frozenset(), 59.0)
    assert rig.report.problem_code == "slow"
    note(frozenset(), 60.0)
    assert (rig.report.health().quality, rig.report.problem, value(rig.now, "quality", flag="slow")) == ((), "", 0)


def test_health_tells_of_a_camera_that_gives_no_picture_before_all_else(rig: Rig) -> None:
    rig.case.service._note_slow(frozenset({"main"}), 0.0)
    for status, problem in (
        (SourceStatus("lost", detail="rtsp://camera does not answer."), "rtsp://camera does not answer."),
        (SourceStatus("frozen"), "the camera is frozen"),
    ):
        rig.case.camera.status = status
        assert (rig.report.problem_code, rig.report.health().problem) == ("camera", problem)
    rig.case.camera.status = SourceStatus("opening")
    assert rig.report.problem_code == "slow"


def test_every_metric_exists_before_the_first_frame(rig: Rig) -> None:
    now = rig.now
    assert value(now, "frames_processed_total") == value(now, "last_frame_timestamp_seconds") == 0
    assert value(now, "vehicles_total", line="main", direction="left_to_right", **{"class": "car"}) == 0
    assert value(now, "outbox_oldest_age_seconds") == 0


def test_exactly_one_camera_state_is_1(rig: Rig) -> None:
    rig.case.camera.status = SourceStatus("frozen", reconnects=3, repeated=40)
    now = rig.now
    assert value(now, "camera_state", state="frozen") == 1
    assert value(now, "camera_state", state="ok") == 0
    assert (value(now, "camera_reconnects_total"), value(now, "camera_repeated_frames_total")) == (3, 40)


def test_an_absent_broker_shows_in_queue_and_age(rig: Rig) -> None:
    count(rig.case.ledger, NOON + 1, line="main")
    rig.case.ledger.tick(NOON + 200)
    rig.publisher.step(0.01)
    now = rig.now
    assert value(now, "broker_connected") == 0
    assert value(now, "outbox_intervals") == 3
    assert value(now, "outbox_oldest_age_seconds") == pytest.approx(time.time() - (NOON + 60), abs=60)
    assert value(now, "interval_coverage_ratio", line="main") == 0


def test_a_full_disk_shows_until_there_is_room_again(small_disk: Path) -> None:
    with contextlib.closing(Rig(small_disk / "state")) as rig:
        fill_and_empty(rig, small_disk)


def fill_and_empty(rig: Rig, small_disk: Path) -> None:
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 512):
            pass
    ledger = rig.case.ledger
    for n in range(400):
        count(ledger, NOON + 1 + n * 0.1, line="main")
    assert value(rig.now, "storage_fault") == 1
    assert value(rig.now, "unstored_crossings") == ledger.unstored > 0
    assert rig.report.health().unstored == ledger.unstored
    filler.unlink()
    ledger.tick(NOON + 50)
    assert value(rig.now, "storage_fault") == value(rig.now, "unstored_crossings") == 0


def test_a_clock_set_back_shows(rig: Rig) -> None:
    ledger = rig.case.ledger
    count(ledger, NOON + 1, line="main")
    ledger.tick(NOON + 200)
    count(ledger, NOON + 10, line="main")
    assert value(rig.now, "clock_behind_seconds") == 170
    assert (
        value(rig.now, "moved_crossings_total") == rig.report.health().moved == rig.report.health().late_crossings == 1
    )


def test_a_replaced_database_is_counted(rig: Rig) -> None:
    count(rig.case.ledger, NOON + 1, line="main")
    for part in rig.folder.glob(f"{FILE}*"):
        part.unlink()
    count(rig.case.ledger, NOON + 2, line="main")
    assert value(rig.now, "storage_damaged_total") == 1


@needs_openssl
def test_the_end_of_each_certificate_is_a_metric(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.sign("device", days=20)
    (tmp_path / "broken.pem").write_text("nothing")
    files = {"device": certificate, "authority": authority.ca, "broken": tmp_path / "broken.pem"}
    with contextlib.closing(Rig(tmp_path / "state", files)) as rig:
        now = rig.now
        told = rig.report.health().certificate_ends
    ends = value(now, "certificate_expiry_timestamp_seconds", certificate="device")
    assert ends == pytest.approx(time.time() + 20 * 86_400, abs=120)
    first = value(now, "certificate_expiry_timestamp_seconds", certificate="authority")
    assert first < ends
    assert told is not None
    assert told.timestamp() == first, "health tells the one that ends first"
    assert (
        value(now, "certificate_expiry_timestamp_seconds", certificate="broken") == 0
    )  # 1970, so that the alert fires


@needs_openssl
def test_a_certificate_that_has_ended_is_told_before_the_broker_that_refuses_it(tmp_path: Path) -> None:
    for days, code in ((-1, "certificate"), (20, "broker")):
        certificate, _ = Authority(tmp_path).sign("device", days=days)
        with contextlib.closing(Rig(tmp_path / f"state{days}", {"device": certificate})) as rig:
            soon(partial(broker_problem, rig))
            assert rig.report.problem_code == code


def broker_problem(rig: Rig) -> str:
    """Let the publisher look for its broker; return what it says of it."""
    rig.publisher.step(0.01)
    return rig.publisher.problem


def test_a_candidate_that_counts_beside_has_its_own_metrics_and_a_limit_when_it_fails(rig: Rig) -> None:
    health = ShadowHealth(
        model="9d03c1f5a2b8", state="failed", compared=3, given_up=2, why="gone", vehicles=9, in_service_vehicles=8
    )
    beside = SimpleNamespace(health=health)
    plain = rig.report.health()
    assert plain.certificate_ends is None
    assert "shadow" not in plain.model_dump()
    assert not [name for name, _ in rig.now if "shadow" in name]
    rig.report.components = replace(rig.report.components, shadow=beside)
    series = parsed(exposition(lambda: DEVICE, rig.report.components, ["main"], ["car"])().decode())
    assert value(series, "shadow_intervals_total", outcome="compared") == 3
    assert value(series, "shadow_intervals_total", outcome="given_up") == 2
    assert value(series, "shadow_vehicles_total", detector="candidate") == 9
    assert value(series, "shadow_vehicles_total", detector="in_service") == 8
    told = rig.report.health()
    assert told.shadow == health
    assert "no candidate counts beside the detector in service: gone" in told.limits
    assert told.problem == plain.problem

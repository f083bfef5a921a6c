"""Prometheus metrics: a running program scraped over HTTP and parsed as Prometheus does, faults, and bad requests."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge_app.broker import HOST
from edge_app.errors import MetricsError
from edge_app.metrics import KIND, exposition
from edge_app.metrics_server import MetricsServer
from edge_app.publisher import Publisher
from edge_app.report import Report, Rooms
from edge_app.sources import SourceStatus
from edge_app.store import FILE, Outbox
from edge_app.view.quality import QualityWatch
from tests.brokers import Authority, eventually, free_port, mosquitto, needs_mosquitto, needs_openssl
from tests.ledger_cases import NOON, count
from tests.program import Program
from tests.test_ledger_faults import small_disk
from tests.test_publisher import DEVICE, META, session_to
from tests.test_service import Case

__all__ = ["small_disk"]  # a fixture

Series: TypeAlias = dict[tuple[str, frozenset[tuple[str, str]]], float]
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
CONFIG = """
device = {{ site = "test-site", device = "scraped" }}
source = {{ kind = "street", width = 640, height = 360, fps = 10.0, flow = [30.0, 30.0] }}
detector = {{ threads = 1 }}
counting = {{ interval_s = 10 }}
mqtt = {{ port = {mqtt} }}
store = {{ folder = "state" }}
metrics = {{ enabled = true, port = {metrics} }}
log = {{ format = "json" }}
"""


def parsed(text: str) -> Series:
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    samples = [sample for family in families for sample in family.samples]
    series = {(sample.name, frozenset(sample.labels.items())): float(sample.value) for sample in samples}
    assert len(series) == len(samples), "a series stands twice"
    return series


def value(series: Series, name: str, **labels: str) -> float:
    return series[name if name.startswith("process_") else f"edge_app_{name}", frozenset(labels.items())]


def scrape(port: int) -> tuple[str, Series]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Accept": "text/plain", "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, KIND)
        text = answer.read().decode()
    return text, parsed(text)


def soon(what: Callable[[], object], timeout: float = 10.0) -> None:
    """As `eventually`, of what does not wait itself."""

    def patiently() -> object:
        time.sleep(0.1)
        return what()

    eventually(patiently, timeout)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path / "program")
    yield program
    program.close()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


@needs_mosquitto
@pytest.mark.timeout(240)
def test_a_running_service_is_scraped(program: Program, tmp_path: Path) -> None:
    """First its port is taken and counting goes on; then it is scraped before the broker comes and after."""
    with socket.create_server((HOST, 0)) as taken, mosquitto(tmp_path / "broker") as broker:
        port = taken.getsockname()[1]
        broker.stop()
        program.start(CONFIG.format(mqtt=broker.port, metrics=port))
        soon(lambda: program.counted, 60)
        program.signal(signal.SIGTERM)
        soon(lambda: program.has_ended(), 30)
        (life,) = program.lives
        assert life.code == 0
        assert life.faults == [
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
    assert 0.5 < value(after, "interval_coverage_ratio", line="street") <= 1
    assert abs(value(after, "last_frame_timestamp_seconds") - time.time()) < 30
    assert 5e7 < value(after, "process_resident_memory_bytes") < 1e9
    told = {
        (labels["line"], labels["class"], labels["direction"]): n
        for (name, pairs), n in after.items()
        if name == "edge_app_vehicles_total" and (labels := dict(pairs))
    }
    assert len(told) == 8  # those that never came stand at 0
    assert sum(told.values()) > 0
    assert all(n <= log[key] for key, n in told.items())  # the log was read a moment later
    counted_by_stage(after)


def counted_by_stage(series: Series) -> None:
    frames = value(series, "frames_processed_total")
    for stage in ("detect", "track", "count", "latency"):
        bounds = sorted(
            (float(dict(pairs)["le"]), n)
            for (name, pairs), n in series.items()
            if name == "edge_app_stage_seconds_bucket" and ("stage", stage) in pairs
        )
        looks = [n for _, n in bounds]
        assert looks == sorted(looks)
        assert looks[-1] == value(series, "stage_seconds_count", stage=stage)
        assert abs(looks[-1] - frames) <= 4  # a look may be between its stages
    assert 0 < value(series, "stage_seconds_sum", stage="detect") <= value(series, "stage_seconds_sum", stage="latency")


def check_with_promtool(text: str) -> None:
    """Names, units and types by Prometheus' own rules."""
    assert PROMTOOL
    done = subprocess.run((PROMTOOL, "check", "metrics"), input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


class Scene:
    """All rooms, real ones: a camera and engines that do what the test says, and a broker that is not there."""

    def __init__(self, folder: Path, certificates: dict[str, Path] | None = None) -> None:
        self.case = Case(folder)
        vars(self.case.ledger).pop("record")  # the case's own, which wants each crossing on disk at once
        report = Report()
        self.outbox = Outbox(folder)
        self.session = session_to(free_port())
        self.publisher = Publisher(self.session, self.outbox, DEVICE, META, report.health, interval_s=60.0)
        quality = QualityWatch(None, None)
        rooms = (self.case.camera, self.case.service._pipeline, self.case.ledger, quality)
        report.rooms = Rooms(*rooms, self.publisher, self.case.service, folder, certificates or {})
        self.report = report
        self._text = exposition(DEVICE, report.rooms, ["main"], ["car", "motorcycle"])

    @property
    def now(self) -> Series:
        return parsed(self._text().decode())

    def close(self) -> None:
        self.session.close()
        self.outbox.close()
        self.case.ledger.close(NOON)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "state")
    yield scene
    scene.close()


def test_all_is_there_before_the_first_frame(scene: Scene) -> None:
    now = scene.now
    assert value(now, "frames_processed_total") == value(now, "last_frame_timestamp_seconds") == 0
    assert value(now, "vehicles_total", line="main", direction="left_to_right", **{"class": "car"}) == 0
    assert value(now, "outbox_oldest_age_seconds") == 0


def test_the_camera_is_in_one_state(scene: Scene) -> None:
    scene.case.camera.status = SourceStatus("frozen", reconnects=3, repeated=40)
    now = scene.now
    assert value(now, "camera_state", state="frozen") == 1
    assert value(now, "camera_state", state="ok") == 0
    assert (value(now, "camera_reconnects_total"), value(now, "camera_repeated_frames_total")) == (3, 40)


def test_a_broker_that_is_away_shows_in_queue_and_age(scene: Scene) -> None:
    count(scene.case.ledger, NOON + 1, line="main")
    scene.case.ledger.tick(NOON + 200)
    scene.publisher.step(0.01)
    now = scene.now
    assert value(now, "broker_connected") == 0
    assert value(now, "outbox_intervals") == 3
    assert value(now, "outbox_oldest_age_seconds") == pytest.approx(time.time() - (NOON + 60), abs=60)
    assert value(now, "interval_coverage_ratio", line="main") == 0


def test_a_full_disk_shows_until_it_is_freed(small_disk: Path) -> None:
    with contextlib.closing(Scene(small_disk / "state")) as scene:
        fill_and_free(scene, small_disk)


def fill_and_free(scene: Scene, small_disk: Path) -> None:
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 512):
            pass
    ledger = scene.case.ledger
    for n in range(400):
        count(ledger, NOON + 1 + n * 0.1, line="main")
    assert value(scene.now, "storage_fault") == 1
    assert value(scene.now, "unstored_crossings") == ledger.unstored > 0
    assert scene.report.health().unstored == ledger.unstored
    filler.unlink()
    ledger.tick(NOON + 50)
    assert value(scene.now, "storage_fault") == value(scene.now, "unstored_crossings") == 0


def test_a_clock_that_steps_back_shows(scene: Scene) -> None:
    ledger = scene.case.ledger
    count(ledger, NOON + 1, line="main")
    ledger.tick(NOON + 200)
    count(ledger, NOON + 10, line="main")
    assert value(scene.now, "clock_behind_seconds") == 170
    assert value(scene.now, "moved_crossings_total") == scene.report.health().moved == 1


def test_a_database_that_was_begun_anew_is_counted(scene: Scene) -> None:
    count(scene.case.ledger, NOON + 1, line="main")
    for part in scene.outbox._folder.glob(f"{FILE}*"):
        part.unlink()
    count(scene.case.ledger, NOON + 2, line="main")
    assert value(scene.now, "storage_damaged_total") == 1


@needs_openssl
def test_certificates_tell_their_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.sign("device", days=20)
    (tmp_path / "broken.pem").write_text("nothing")
    files = {"device": certificate, "authority": authority.ca, "broken": tmp_path / "broken.pem"}
    with contextlib.closing(Scene(tmp_path / "state", files)) as scene:
        now = scene.now
    ends = value(now, "certificate_expiry_timestamp_seconds", certificate="device")
    assert ends == pytest.approx(time.time() + 20 * 86_400, abs=120)
    assert value(now, "certificate_expiry_timestamp_seconds", certificate="authority") < ends
    assert value(now, "certificate_expiry_timestamp_seconds", certificate="broken") == 0  # long ago: an alert


# --- the server


@contextlib.contextmanager
def serving(text: Callable[[], bytes] = lambda: b"figures 1\n") -> Iterator[MetricsServer]:
    with MetricsServer(text, KIND) as server:
        yield server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as server:
        yield server.port


def send(port: int, data: bytes, timeout: float = 10.0) -> bytes:
    """Everything that comes back until the server closes; b"" too where it does so at once."""
    with socket.create_connection((HOST, port), timeout) as sock:
        with contextlib.suppress(OSError):  # it may be closed already
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(OSError):  # it may be closed already
            while part := sock.recv(65536):
                parts.append(part)
    return b"".join(parts)


GOOD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def works(port: int) -> bool:
    return send(port, GOOD).endswith(b"\r\n\r\nfigures 1\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GOOD, 200),
        (b"GET /metrics?x=%00&y HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET //metrics HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", 405),
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
        (b"\xff\x00\xfe \xff \x00\r\n\r\n", 400),
    ],
)
def test_every_request_gets_its_status(port: int, request_: bytes, status: int) -> None:
    head, _, body = send(port, request_).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert len(body) == (0 if request_.startswith(b"HEAD") else length)


@pytest.mark.parametrize(
    "unfinished", [b"", b"G", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"x" * 7000, b"GET /metrics HTTP/1.1\n\n"]
)
def test_who_leaves_before_the_end_gets_nothing(port: int, unfinished: bytes) -> None:
    assert send(port, unfinished) == b""
    assert works(port)


def test_a_request_without_an_end_is_cut_off(port: int) -> None:
    answer = send(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1_000_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert works(port)


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=300)
    | st.builds(lambda m, p, v: b" ".join((m, p, v)) + b"\r\n\r\n", st.binary(), st.binary(), st.binary())
)
def test_noise_is_answered_or_dropped_and_lets_nothing_in(port: int, noise: bytes) -> None:
    answer = send(port, noise)
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"400", b"404", b"405")


def test_the_server_is_alive_after_the_noise(port: int) -> None:
    assert works(port)


def test_those_who_say_nothing_keep_nobody_out_for_long(port: int) -> None:
    """More than the server takes at a time; each is sent away after five seconds, and nobody needs a thread."""
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(socket.create_connection((HOST, port), 10))
        assert works(port)
        for _ in range(20):
            stack.enter_context(socket.create_connection((HOST, port), 10))
        before = threading.active_count()
        assert send(port, GOOD, 60).endswith(b"figures 1\n")
        assert threading.active_count() == before


def test_a_flood_is_answered_at_a_bounded_rate(port: int) -> None:
    began = time.monotonic()
    for _ in range(50):
        assert works(port)
    assert time.monotonic() - began > 0.9


def test_who_does_not_read_is_dropped() -> None:
    """An answer larger than what lies in the buffers between."""
    with serving(lambda: b"x" * 30_000_000) as server, socket.create_connection((HOST, server.port), 10) as deaf:
        deaf.sendall(GOOD)
        soon(lambda: server._guests)
        soon(lambda: not server._guests, 20)


def test_the_text_is_made_no_more_often_than_twice_a_second() -> None:
    made: list[float] = []

    def text() -> bytes:
        made.append(time.monotonic())
        return b"figures 1\n"

    with serving(text) as server:
        for _ in range(100):
            assert works(server.port)
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(made))
    assert 1 <= len(made) <= 1 + (made[-1] - made[0]) / 0.5


def test_a_fault_is_told_once_and_the_server_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    faulty = True

    def text() -> bytes:
        if faulty:
            raise RuntimeError("no such figure")
        return b"figures 1\n"

    with serving(text) as server:
        for _ in range(3):
            assert send(server.port, GOOD).startswith(b"HTTP/1.1 500 ")
        faulty = False
        assert works(server.port)
    assert [record.message for record in caplog.records] == ["metrics cannot be gathered"]


def test_a_stop_waits_for_nobody_and_frees_the_port() -> None:
    with contextlib.ExitStack() as stack:
        with serving() as server:
            for _ in range(5):
                stack.enter_context(socket.create_connection((HOST, server.port), 10))
            assert works(server.port)
            began = time.monotonic()
        assert time.monotonic() - began < 3
        with socket.create_server((HOST, server.port)):
            pass


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_a_port_in_use_or_a_foreign_address_is_one_sentence(address: str) -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(MetricsError) as caught:
        MetricsServer(lambda: b"", KIND, address=address, port=taken.getsockname()[1])
    assert str(caught.value).startswith(f"no metrics: cannot listen on {address}:")
    assert "\n" not in str(caught.value)


def test_ipv6_loopback_is_served() -> None:
    try:
        server = MetricsServer(lambda: b"figures 1\n", KIND, address="::1")
    except MetricsError:
        pytest.skip("this machine has no IPv6")
    with server, socket.create_connection(("::1", server.port), 10) as sock:
        sock.sendall(GOOD)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")

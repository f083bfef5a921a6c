"""Test cameras, brokers and other instances that refuse, are missing or in use: one sentence, a fitting exit code.

"Camera in use" is the answer of a driver, which a machine without V4L2 lacks: only that answer is simulated. A port in
use is tested in tests/mqtt/test_embedded_broker.py.
"""

from __future__ import annotations

import errno
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge_app.checks.findings import findings
from edge_app.config.load import load
from edge_app.sources import opencv
from edge_app.sources.diagnosis import why_no_camera
from tests.support import rtsp_server
from tests.support.bad_input_cases import LINE, config, edge_app, one_sentence, running
from tests.support.brokers import Authority, Mosquitto, mosquitto, needs_mosquitto, needs_openssl, password_file
from tests.support.ports import free_port
from tests.support.rtsp_server import RtspServer
from tests.support.videos import write_video

needs_rtsp = pytest.mark.skipif(bool(rtsp_server.why_not()), reason=rtsp_server.why_not() or "-")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of a fifth of a second."""
    return write_video(tmp_path_factory.mktemp("video") / "short.mp4", range(5))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("plain")) as running:
        yield running


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only FAIL of a `check`, as one line."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found = [part for part in done.stdout.replace("\n      ", " ").splitlines() if part.startswith("FAIL")]
    assert len(found) == 1, done.stdout
    return found[0]


# --- cameras


@pytest.mark.long
@needs_mosquitto
def test_a_missing_camera(tmp_path: Path, plain: Mosquitto) -> None:
    text = f'[source]\nkind = "camera"\ndevice = "/dev/video97"\n[mqtt]\nport = {plain.port}'
    assert "source: There is no camera /dev/video97" in failure(edge_app("check", "--config", config(tmp_path, text)))


@pytest.mark.long
def test_a_camera_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "video0"
    device.touch()

    def busy(_descriptor: int, _request: int, _buffer: bytes) -> bytes:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(opencv, "why_no_camera", partial(why_no_camera, ioctl=busy))
    path = config(tmp_path, f'[source]\nkind = "camera"\ndevice = "{device}"\n[mqtt]\nport = {free_port()}')
    sentences = [f.sentence for f in findings(load(path), threading.Event()) if (f.level, f.what) == ("FAIL", "source")]
    assert len(sentences) == 1
    assert "is in use by another program" in sentences[0]


@pytest.mark.long
@needs_rtsp
@needs_mosquitto
def test_a_wrong_rtsp_password(tmp_path: Path, plain: Mosquitto) -> None:
    with RtspServer(login="viewer:secret") as server:
        text = f'[source]\nkind = "stream"\nurl = "{server.url}"\nusername = "viewer"\npassword = "wr0ng-one"\n'
        done = edge_app("check", "--config", config(tmp_path, f"{text}[mqtt]\nport = {plain.port}"))
    assert "refuses the user name or the password" in failure(done)
    assert "wr0ng-one" not in done.stdout + done.stderr


# --- lines


@pytest.mark.long
@needs_mosquitto
def test_a_line_at_the_edge_is_a_warning(tmp_path: Path, plain: Mosquitto, short: Path) -> None:
    edge = LINE.replace("0.5]", "0.99]")
    done = edge_app("check", "--config", config(tmp_path, f"[mqtt]\nport = {plain.port}", short, lines=edge))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn  lines[road]: lies at the very edge of the frame" in done.stdout.replace("\n      ", " ")


# --- broker


def broker_failure(folder: Path, short: Path, mqtt: str) -> str:
    """Return what `check` says about a broker, given by its [mqtt] table."""
    return failure(edge_app("check", "--config", config(folder, f"[mqtt]\n{mqtt}", short)))


def test_a_broker_that_is_not_running(tmp_path: Path, short: Path) -> None:
    assert "connection refused; is the broker running, and on this port?" in broker_failure(
        tmp_path, short, f"port = {free_port()}"
    )


def test_a_broker_with_an_unknown_host_name(tmp_path: Path, short: Path) -> None:
    assert "unknown host name" in broker_failure(tmp_path, short, 'host = "broker.invalid"')


@needs_mosquitto
def test_a_broker_that_refuses_the_login(tmp_path: Path, short: Path) -> None:
    passwords = password_file(tmp_path, "device", "right")
    with mosquitto(tmp_path / "guarded", f"password_file {passwords}", "allow_anonymous false") as guarded:
        sentence = broker_failure(tmp_path, short, f'port = {guarded.port}\nusername = "device"\npassword = "wr0ng"')
    assert "refuses us" in sentence
    assert "check user name" in sentence
    assert "wr0ng" not in sentence


@needs_mosquitto
@needs_openssl
def test_a_broker_with_a_foreign_certificate(tmp_path: Path, short: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = theirs.sign("server")
    settings = ("allow_anonymous true", f"cafile {theirs.ca}", f"certfile {certificate}", f"keyfile {key}")
    with mosquitto(tmp_path / "secure", *settings) as secure:
        sentence = broker_failure(tmp_path, short, f'port = {secure.port}\ntls = true\nca_file = "{ours.ca}"')
    assert "its certificate is not accepted" in sentence


def test_a_missing_ca_file(tmp_path: Path) -> None:
    text = f'[mqtt]\nport = 8883\ntls = true\nca_file = "{tmp_path / "absent.pem"}"'
    done = edge_app("run", "--config", config(tmp_path, text, lines=""))
    assert done.returncode == 2
    assert "is no readable PEM certificate" in one_sentence(done.stderr)


# --- another instance


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read the log of a service up to a line with this text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the service ended before it logged {text!r}")


@pytest.mark.long
@needs_mosquitto
def test_a_second_instance_on_the_same_state_folder(tmp_path: Path, plain: Mosquitto) -> None:
    with running(tmp_path, f"[mqtt]\nport = {plain.port}") as first:
        until(first, "connected with MQTT")
        second = edge_app("run", "--config", tmp_path / "edge-app.toml")
        assert second.returncode == 1
        sentences = [line for line in second.stderr.splitlines() if line.startswith("edge-app: ")]
        assert len(sentences) == 1
        assert f"is used by another process (pid {first.pid})" in sentences[0]
        first.terminate()
        _, err = first.communicate(timeout=20)
    assert first.returncode == 0
    assert "Traceback" not in err

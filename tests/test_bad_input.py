"""Every kind of bad input, through the real command line: one clear sentence, a fitting exit code, no traceback.

"Camera in use" needs a driver that says so, which a machine without V4L2 lacks: only that one answer is made up. The
only port on which the product itself listens is that of the demo's broker.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edge_app import cli
from edge_app.broker import HOST, embedded
from edge_app.commands.findings import findings
from edge_app.config_file import load
from edge_app.detectors.manifest import default_model
from edge_app.errors import BrokerError
from edge_app.sources import opencv
from edge_app.sources.reasons import why_no_camera
from tests import rtsp_server
from tests.brokers import (
    Authority,
    Mosquitto,
    free_port,
    mosquitto,
    needs_iotcore,
    needs_mosquitto,
    needs_openssl,
    password_file,
)
from tests.rtsp_server import RtspServer
from tests.videos import cut_off, write_video

LINE = '[[lines]]\nid = "road"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user or mount a small disk")
needs_rtsp = pytest.mark.skipif(bool(rtsp_server.why_not()), reason=rtsp_server.why_not() or "-")


def edge_app(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


PROGRAM = (sys.executable, "-m", "edge_app.cli")


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """The command line in this process: exit code, stdout and stderr of one call."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    yield call
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a fifth of a second."""
    return write_video(tmp_path_factory.mktemp("video") / "short.mp4", range(5))


def config(folder: Path, text: str, video: Path | None = None, lines: str = LINE) -> Path:
    """A configuration, with a video as its source."""
    path = folder / "edge-app.toml"
    source = f'[source]\nkind = "file"\npath = "{video}"\n' if video else ""
    path.write_text(f"{source}{text}\n{lines}")
    return path


def one_sentence(text: str) -> str:
    assert "Traceback" not in text
    (line,) = text.splitlines()
    assert line.startswith("edge-app: ")
    return line


# --- recordings and cameras


def test_no_such_file(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = here("count", tmp_path / "road.mp4")
    assert (code, out) == (1, "")
    assert "There is no video" in one_sentence(err)


def test_a_file_that_is_no_video(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = tmp_path / "road.mp4"
    path.write_text("not a video at all\n" * 100)
    code, out, err = here("count", path)
    assert (code, out) == (1, "")
    assert "is no video" in one_sentence(err)


def test_zero_frames(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = write_video(tmp_path / "road.avi", [], codec="MJPG")
    code, out, err = here("count", path)
    assert (code, out) == (1, "")
    assert "holds no picture" in one_sentence(err) or "is no video" in err


def test_a_video_that_ends_in_the_middle_is_counted_as_far_as_it_goes(
    here: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    whole = write_video(tmp_path / "whole.avi", range(100), codec="MJPG")
    result = tmp_path / "result.json"
    code, _, err = here("count", cut_off(whole, 0.5, tmp_path / "road.avi"), "--line", "a:0,0.5,1,0.5", "--out", result)
    assert code == 0
    assert "breaks off after" in " ".join(err.split())
    assert 30 < json.loads(result.read_text())["frames"] < 70


def test_a_recording_whose_index_was_never_written(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(50))
    code, out, err = here("count", cut_off(whole, 0.5, tmp_path / "road.mp4"))
    assert (code, out) == (1, "")
    assert "cut off before it was complete" in one_sentence(err)


def test_the_service_is_told_of_a_missing_recording_too(tmp_path: Path) -> None:
    done = edge_app("run", "--config", config(tmp_path, "", tmp_path / "absent.mp4"))
    assert done.returncode == 1
    assert "There is no video" in one_sentence(done.stderr)


def failures(done: subprocess.CompletedProcess[str]) -> str:
    """The one FAIL of a `check`, unwrapped."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found = [part for part in done.stdout.replace("\n      ", " ").splitlines() if part.startswith("FAIL")]
    assert len(found) == 1, done.stdout
    return found[0]


@needs_mosquitto
def test_no_such_camera(tmp_path: Path, plain: Mosquitto) -> None:
    text = f'[source]\nkind = "camera"\ndevice = "/dev/video97"\n[mqtt]\nport = {plain.port}'
    assert "source: There is no camera /dev/video97" in failures(edge_app("check", "--config", config(tmp_path, text)))


def test_a_camera_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "video0"
    device.touch()

    def busy(_descriptor: int, _request: int, _buffer: bytes) -> bytes:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(opencv, "why_no_camera", partial(why_no_camera, ioctl=busy))
    path = config(tmp_path, f'[source]\nkind = "camera"\ndevice = "{device}"\n[mqtt]\nport = {free_port()}')
    said = [f.sentence for f in findings(load(path), threading.Event()) if (f.level, f.what) == ("FAIL", "source")]
    assert len(said) == 1
    assert "is in use by another program" in said[0]


@needs_rtsp
@needs_mosquitto
def test_wrong_rtsp_password(tmp_path: Path, plain: Mosquitto) -> None:
    with RtspServer(login="viewer:secret") as server:
        text = f'[source]\nkind = "stream"\nurl = "{server.url}"\nusername = "viewer"\npassword = "wr0ng-one"\n'
        done = edge_app("check", "--config", config(tmp_path, f"{text}[mqtt]\nport = {plain.port}"))
    assert "refuses the user name or the password" in failures(done)
    assert "wr0ng-one" not in done.stdout + done.stderr


# --- configuration


def test_every_configuration_error_is_told_at_once(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    lines = '[[lines]]\nid = "{}"\nstart = {}\nend = {}\n'
    text = "[detector]\nthreds = 2\nscore = 1.5\n[mqtt]\nport = 70000"
    bad = lines.format("dot", [0.5, 0.5], [0.5, 0.5]) + lines.format("far", [0.1, 0.5], [1.4, 0.5])
    code, out, err = here("check", "--config", config(tmp_path, text, lines=bad))
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for part in (
        'detector.threds: unknown key (did you mean "threads"?)',
        "detector.score: ",
        "mqtt.port: ",
        "lines[dot].end: is the same point as start: the line has no length",
        "lines[far].end: ",
    ):
        assert part in err
    assert len(err.splitlines()) == 5


@pytest.mark.parametrize("command", ["check", "run"])
def test_two_lines_of_one_id(command: str, here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = here(command, "--config", config(tmp_path, "", lines=LINE * 2))
    assert (code, out) == (2, "")
    assert 'two lines have the id "road"' in one_sentence(err)


def test_no_configuration_file(here: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = here("run", "--config", tmp_path / "absent.toml")
    assert (code, out) == (2, "")
    assert "no such file" in one_sentence(err)


@needs_mosquitto
def test_a_line_at_the_edge_is_a_warning(tmp_path: Path, plain: Mosquitto, short: Path) -> None:
    edge = LINE.replace("0.5]", "0.99]")
    done = edge_app("check", "--config", config(tmp_path, f"[mqtt]\nport = {plain.port}", short, lines=edge))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn  lines[road]: lies at the very edge of the frame" in done.stdout.replace("\n      ", " ")


# --- model and manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the detector that ships, to be spoilt."""
    for path in (default_model(), default_model().with_suffix(".json")):
        shutil.copy(path, tmp_path / f"own{path.suffix}")
    return tmp_path / "own.tflite"


def rewrite(model: Path, **changes: object) -> None:
    path = model.with_suffix(".json")
    own = {"sha256": sha256(model.read_bytes()).hexdigest(), "stage": "candidate"}
    path.write_text(json.dumps(json.loads(path.read_text()) | own | changes))


def exchanged(model: Path) -> None:
    altered(model)
    rewrite(model, stage="production")


def without(model: Path) -> None:
    model.unlink()


def without_manifest(model: Path) -> None:
    model.with_suffix(".json").unlink()


def truncated(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100_000])
    rewrite(model)


def altered(model: Path) -> None:
    model.write_bytes(model.read_bytes() + b"\0")


def of_another_shape(model: Path) -> None:
    manifest = json.loads(model.with_suffix(".json").read_text())
    rewrite(model, input=manifest["input"] | {"width": 300, "height": 300})


def lying(model: Path) -> None:
    manifest = json.loads(model.with_suffix(".json").read_text())
    rewrite(model, labels=[*manifest["labels"], "truck"])


def no_json(model: Path) -> None:
    model.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without, "cannot read the model"),
        (without_manifest, "each model needs its .json beside it"),
        (truncated, "cannot load the model"),
        (altered, "is damaged or was replaced"),
        (of_another_shape, "they do not fit"),
        (exchanged, "says that it is in production"),
        (lying, "but the anchors of its manifest need"),
        (no_json, "is not valid at file"),
    ],
)
def test_a_model_that_does_not_fit(
    spoil: Callable[[Path], None],
    sentence: str,
    here: Callable[..., tuple[int, str, str]],
    model: Path,
    short: Path,
    tmp_path: Path,
) -> None:
    spoil(model)
    code, out, err = here("count", short, "--config", config(tmp_path, f'[detector]\nmodel = "{model}"'))
    assert (code, out) == (2, "")
    assert sentence in one_sentence(err)


# --- broker


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("plain")) as running:
        yield running


def checked(folder: Path, short: Path, mqtt: str) -> str:
    """What `check` says of this broker."""
    return failures(edge_app("check", "--config", config(folder, f"[mqtt]\n{mqtt}", short)))


def test_broker_refused(tmp_path: Path, short: Path) -> None:
    assert "connection refused; is the broker running, and on this port?" in checked(
        tmp_path, short, f"port = {free_port()}"
    )


def test_broker_unknown_host(tmp_path: Path, short: Path) -> None:
    assert "unknown host name" in checked(tmp_path, short, 'host = "broker.invalid"')


@needs_mosquitto
def test_broker_bad_login(tmp_path: Path, short: Path) -> None:
    passwords = password_file(tmp_path, "device", "right")
    with mosquitto(tmp_path / "guarded", f"password_file {passwords}", "allow_anonymous false") as guarded:
        said = checked(tmp_path, short, f'port = {guarded.port}\nusername = "device"\npassword = "wr0ng"')
    assert "refuses us" in said
    assert "check user name" in said
    assert "wr0ng" not in said


@needs_mosquitto
@needs_openssl
def test_broker_bad_certificate(tmp_path: Path, short: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = theirs.sign("server")
    settings = ("allow_anonymous true", f"cafile {theirs.ca}", f"certfile {certificate}", f"keyfile {key}")
    with mosquitto(tmp_path / "secure", *settings) as secure:
        said = checked(tmp_path, short, f'port = {secure.port}\ntls = true\nca_file = "{ours.ca}"')
    assert "its certificate is not accepted" in said


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    text = f'[mqtt]\nport = 8883\ntls = true\nca_file = "{tmp_path / "absent.pem"}"'
    done = edge_app("run", "--config", config(tmp_path, text, lines=""))
    assert done.returncode == 2
    assert "is no readable PEM certificate" in one_sentence(done.stderr)


@needs_iotcore
def test_a_port_in_use() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"cannot start on {HOST}:{port}"), embedded(port):
            pass


# --- state folder


@needs_root
def test_a_state_folder_that_is_read_only() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # others may read, and only root may write
        path = config(folder, "", lines="")
        user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": folder}
        environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
        if subprocess.run(
            [sys.executable, "-c", "import edge_app.cli"], env=environment, **user, check=False
        ).returncode:
            pytest.skip("another user cannot run this Python")
        done = edge_app("run", "--config", path, env=environment, **user)
    assert done.returncode == 1
    assert "permission denied" in one_sentence(done.stderr)
    assert "make it writable" in done.stderr


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this root may not mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_state_folder_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        (disk / "filler").write_bytes(bytes(64 * 1024))
        done = edge_app("run", "--config", config(tmp_path, f'[store]\nfolder = "{disk / "state"}"', lines=""))
    assert done.returncode == 1
    assert "make room on its disk" in one_sentence(done.stderr)


# --- starting and stopping


@contextmanager
def running(folder: Path, text: str = "") -> Iterator[subprocess.Popen[str]]:
    """The service on the rendered street."""
    path = config(folder, text, lines="")
    process = subprocess.Popen([*PROGRAM, "run", "--config", path], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], text: str) -> None:
    """Reads its log up to a line with this text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"it ended before it said {text!r}")


@needs_mosquitto
def test_a_second_instance_on_the_same_state_folder(tmp_path: Path, plain: Mosquitto) -> None:
    with running(tmp_path, f"[mqtt]\nport = {plain.port}") as first:
        until(first, "connected with MQTT")
        second = edge_app("run", "--config", tmp_path / "edge-app.toml")
        assert second.returncode == 1
        said = [line for line in second.stderr.splitlines() if line.startswith("edge-app: ")]
        assert len(said) == 1
        assert f"is used by another process (pid {first.pid})" in said[0]
        first.terminate()
        _, err = first.communicate(timeout=20)
    assert first.returncode == 0
    assert "Traceback" not in err


def test_sigterm_during_start_up(tmp_path: Path) -> None:
    """Before Python has begun to run the program, nothing but the kernel can answer: it ends by the signal itself."""
    for delay in (0.0, 0.1, 0.2, 0.4, 0.6, 0.9, 1.3, 2.0):
        with running(tmp_path) as process:
            time.sleep(delay)
            process.terminate()
            _, err = process.communicate(timeout=30)
        assert process.returncode in ((0, -signal.SIGTERM) if delay < 0.5 else (0,)), (delay, err)
        assert "Traceback" not in err, (delay, err)


def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    """The first one is waited for: here the broker never answers, which `check` gives five seconds."""
    with socket.create_server((HOST, 0)) as silent:
        path = config(tmp_path, f"[mqtt]\nport = {silent.getsockname()[1]}", lines="")
        arguments = [*PROGRAM, "check", "--config", str(path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while "state folder" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert err == "edge-app: stopped at once\n"

"""Test `edge-app setup`: the written configuration is valid, and after a mistake no file is left."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_app.cli import _parser
from edge_app.commands import setup as setup_command
from edge_app.commands._answers import source_table
from edge_app.commands._enrolment import read_enrolment
from edge_app.config.edit import ConfigText
from edge_app.config.load import load
from edge_app.errors import ConfigError
from edge_app.mqtt.embedded_broker import HOST
from tests.support.brokers import Authority, needs_openssl
from tests.support.city import City
from tests.support.ports import free_port

NEEDED = ("--site", "harbour", "--device", "pole-7", "--broker", "broker.example.org")


def setup(path: Path, *arguments: str) -> int:
    parsed = _parser().parse_args(["setup", "--config", str(path), "--no-check", *arguments])
    return int(parsed.main(parsed, threading.Event()))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    return tmp_path / "edge-app.toml"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    city = City(tmp_path_factory.mktemp("city"))
    city.run("init")
    return city


def test_options_alone_are_enough(path: Path) -> None:
    assert setup(path, *NEEDED, "--source", "rtsp://192.0.2.1/s", "--line", "quay:0.1,0.5,0.9,0.5") == 0
    config = load(path, {})
    assert (config.device.site, config.device.device) == ("harbour", "pole-7")
    assert (config.source.kind, config.source.redacted_address) == ("stream", "rtsp://192.0.2.1/s")
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("broker.example.org", 8883, True)
    assert config.lines[0].id == "quay"
    assert path.stat().st_mode & 0o007 == 0


def test_certificates_and_a_key_that_is_a_credential(path: Path, tmp_path: Path) -> None:
    assert setup(path, *NEEDED, "--ca", "/c/ca.pem", "--cert", "/c/device.pem") == 0
    (tmp_path / "mqtt_key").write_text("key")
    mqtt = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).mqtt
    assert (mqtt.ca_file, mqtt.cert_file, mqtt.key_file) == (
        Path("/c/ca.pem"),
        Path("/c/device.pem"),
        tmp_path / "mqtt_key",
    )
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.parametrize("code", [0, 1])
def test_a_failed_check_is_followed_by_how_to_answer_again(
    code: int, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_command, "INSTALLED", path)
    monkeypatch.setattr("edge_app.commands.check.main", lambda *_: code)
    parsed = _parser().parse_args(["setup", "--config", str(path), *NEEDED])
    assert parsed.main(parsed, threading.Event()) == code
    assert ("sudo edge-app setup --force" in capsys.readouterr().err) is (code == 1)


@pytest.mark.parametrize("drawn", [True, False])
def test_lines_are_drawn_where_they_count(
    drawn: bool, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_command, "INSTALLED", path)
    layer = path.with_name("edge-app.page.toml")
    if drawn:
        layer.write_text('[layer]\nrevision = 1\nauthor = "x"\nat = "2026-01-01T00:00:00Z"\n[privacy]\nmasks = []\n')
    assert setup(path, *NEEDED, "--source", "street") == 0
    assert ("edge-app page --fingerprint" in capsys.readouterr().err) is drawn
    if drawn:
        with pytest.raises(ConfigError, match="draw on the page of this device"):
            ConfigText(path)


def test_a_full_disk_is_told_as_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edge_app.system.files.write_atomic", refuse)
    with pytest.raises(ConfigError, match=r"\(no space left on device\): make room on the disk"):
        setup(path, *NEEDED)


def test_a_relative_state_folder_becomes_absolute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    assert setup(path, *NEEDED, "--state", "en/st") == 0
    assert load(path, {}).store.folder == path.parent / "en/st"
    assert f'"{path.parent}/en/st"' in path.read_text()


def test_without_encryption(path: Path) -> None:
    assert setup(path, *NEEDED, "--ca", "-") == 0
    assert (load(path, {}).mqtt.port, load(path, {}).mqtt.tls) == (1883, False)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--site", "Harbour 1"), "device.site"),
        (("--line", "main:1,2"), "must be ID:x0,y0,x1,y1"),
        (("--broker", "h:x"), "must be HOST or HOST:PORT"),
        (("--line", "main:0.1,0.5,0.1,0.5"), "no length"),
        (("--key", "/c/device.key"), "must be given together with"),
        (("--source", "rtsp://"), "source.url"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(path: Path, arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        setup(path, *NEEDED, *arguments)
    assert text in str(caught.value)
    assert list(path.parent.iterdir()) == []


def test_missing_required_options_are_named(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        setup(path, "--site", "harbour")
    assert [problem.split()[0] for problem in caught.value.problems] == ["--device", "--broker"]


def test_a_configuration_is_overwritten_only_with_force(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        setup(path, *NEEDED)
    assert path.read_text() == "mine"
    assert setup(path, *NEEDED, "--force") == 0


class Wizard:
    """`setup` on a real terminal: each answer is typed only when its question is to be read."""

    def __init__(self, path: Path) -> None:
        self._ours, theirs = pty.openpty()
        command = (sys.executable, "-m", "edge_app.cli", "setup", "--config", str(path), "--no-check")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_APP_")}
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment
        )
        os.close(theirs)
        self.shown, self._read = "", 0

    def answer(self, question: str, text: str) -> None:
        self._wait_for(question)
        os.write(self._ours, f"{text}\n".encode())

    def signal(self, question: str, number: int) -> None:
        self._wait_for(question)
        self._process.send_signal(number)

    def end(self) -> int:
        with contextlib.suppress(OSError):  # the terminal is gone
            while select.select([self._ours], [], [], 30)[0] and (part := os.read(self._ours, 4096)):
                self.shown += part.decode()
        os.close(self._ours)  # a further question is answered by the end of the terminal
        return self._process.wait(30)

    def _wait_for(self, question: str) -> None:
        while question not in self.shown[self._read :]:
            assert select.select([self._ours], [], [], 30)[0], f"not asked: {question}\n{self.shown}"
            self.shown += os.read(self._ours, 4096).decode()
        self._read = self.shown.index(question, self._read) + len(question)


def test_each_question_is_shown_when_it_is_asked(tmp_path: Path) -> None:
    path, port = tmp_path / "edge-app.toml", free_port()
    wizard = Wizard(path)
    wizard.answer("Enrolment file", "/no/such.p12")
    wizard.answer("There is no file /no/such.p12", "")
    wizard.answer("Site, such as", "")
    wizard.answer("Site, such as", "harbour")  # an empty answer is no site
    wizard.answer("Device, unique", "pole-7")
    wizard.answer("Camera: a number", "/dev/video9")
    wizard.answer("There is no camera /dev/video9", "street")
    wizard.answer("Counting line", "")
    wizard.answer("Broker, HOST", f"{HOST}:{port}")
    wizard.answer(f"Nothing answers at {HOST}, port {port}", "")  # Enter keeps it
    wizard.answer("Authority", "-")
    wizard.answer("User name at the broker", "pole-7")
    wizard.answer("Its password:", "not to be seen")
    assert wizard.end() == 0, wizard.shown
    assert "not to be seen" not in wizard.shown
    config = load(path, {})
    assert (config.device.device, config.source.kind, config.mqtt.port) == ("pole-7", "street", port)
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "not to be seen"
    assert (tmp_path / "edge-app.mqtt_password").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_at_once(number: int, tmp_path: Path) -> None:
    (tmp_path / "city.p12").touch()
    wizard = Wizard(tmp_path / "edge-app.toml")
    wizard.answer("Enrolment file", str(tmp_path / "city.p12"))
    wizard.signal("Password of city.p12", number)  # which is no wrong enrolment, and not asked for again
    assert wizard.end() == 2
    assert wizard.shown.rstrip().endswith("stopped before the last answer: nothing was written")


def test_a_login_that_the_camera_refuses_is_asked_for_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = "rtsp://192.0.2.9/live refuses the user name or the password: check source.username and source.password."
    tried: list[str] = []

    def answer(url: str, _: float) -> str:
        tried.append(url)
        return refused if len(tried) == 1 else ""

    monkeypatch.setattr("edge_app.sources.diagnosis.why_no_server", answer)
    terminal = io.StringIO("\n".join(["", "harbour", "pole-7", "viewer", "b4d", "viewer", "g00d", ""]))
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    options = ("--line", "main:0,0.5,1,0.5", "--broker", "127.0.0.1", "--ca", "-", "--username", "")
    assert setup(path, "--source", "rtsp://192.0.2.9/live", *options) == 0
    assert tried == ["rtsp://viewer:b4d@192.0.2.9/live", "rtsp://viewer:g00d@192.0.2.9/live"]
    password = load(path, {}).source.password
    assert password is not None
    assert password.get_secret_value() == "g00d"


@needs_openssl
@pytest.mark.parametrize("installed", [True, False])
def test_an_enrolment_file_answers_half_of_the_questions(
    installed: bool, path: Path, city: City, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = city.ca("enrol", "harbour", "pole-7", "broker.example.org:8884")
    file, password = city.folder / "issued/harbour.pole-7.p12", done.stderr.split()[-1]
    if installed:
        (path.parent / "credentials").mkdir()
    monkeypatch.setenv("EDGE_APP_ENROLMENT_PASSWORD", "wrong")
    with pytest.raises(ConfigError, match="this is not the password of"):
        setup(path, "--enrolment", str(file))
    assert not path.exists()
    monkeypatch.setenv("EDGE_APP_ENROLMENT_PASSWORD", password)
    assert setup(path, "--enrolment", str(file), "--source", "street") == 0
    key = path.parent / ("credentials/mqtt_key" if installed else "edge-app.mqtt_key")
    assert key.read_bytes() == (city.folder / "issued/harbour.pole-7.key").read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    config = load(path, {"CREDENTIALS_DIRECTORY": str(key.parent)} if installed else {})
    assert (config.device.site, config.mqtt.host, config.mqtt.port) == ("harbour", "broker.example.org", 8884)
    assert config.mqtt.ca_file is not None
    assert config.mqtt.ca_file.read_bytes() == (city.folder / "ca.pem").read_bytes()
    assert config.mqtt.key_file == key
    assert password not in capsys.readouterr().err


@needs_openssl
def test_what_is_no_enrolment_is_told(path: Path, city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_APP_ENROLMENT_PASSWORD", "x")
    for file, sentence in ((city.folder / "ca.pem", "no enrolment file"), (city.folder / "none.p12", "is no file")):
        with pytest.raises(ConfigError, match=sentence):
            setup(path, "--enrolment", str(file))
    monkeypatch.delenv("EDGE_APP_ENROLMENT_PASSWORD")
    for file, sentence in ((city.folder / "ca.pem", "EDGE_APP_ENROLMENT_PASSWORD"), (Path("~/n.p12"), "HOME/n.p12 is")):
        monkeypatch.setenv("HOME", "HOME")
        with pytest.raises(ConfigError, match=sentence):
            setup(path, "--enrolment", str(file))


@needs_openssl
@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("edge-app harbour/pole-8 b.example", "labelled harbour/pole-8, but its certificate is that of harbour/pole-7"),
        ("edge-app harbour/pöle-7 b.example", "is no enrolment of edge-app"),
    ],
)
def test_the_label_of_an_enrolment_is_not_believed(label: str, sentence: str, path: Path, city: City) -> None:
    issued, file = city.folder / "issued", path.with_name("own.p12")
    city.run("enrol", "harbour", "pole-7")
    export: list[str | Path] = [
        "openssl",
        "pkcs12",
        "-export",
        "-inkey",
        issued / "harbour.pole-7.key",
        "-passout",
        "pass:wörd",
    ]
    export += ["-in", issued / "harbour.pole-7.pem", "-certfile", city.folder / "ca.pem", "-name", label, "-out", file]
    subprocess.run(export, check=True, capture_output=True, timeout=30)
    with pytest.raises(ConfigError, match=sentence):
        read_enrolment(file, "wörd")


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("picamera", {"kind": "picamera", "device": "0"}),
        ("picamera:1", {"kind": "picamera", "device": "1"}),
        ("jetson-csi", {"kind": "gstreamer", "pipeline": "jetson-csi", "device": "0"}),
        ("192.0.2.10", {"kind": "stream", "url": "rtsp://192.0.2.10/"}),
        ("192.0.2.10:8554", {"kind": "stream", "url": "rtsp://192.0.2.10:8554/"}),
        ("[2001:db8::1]", {"kind": "stream", "url": "rtsp://[2001:db8::1]/"}),
        ("0", {"kind": "camera", "device": "0"}),
        ("/road.mp4", {"kind": "file", "path": "/road.mp4", "loop": True}),
    ],
)
def test_what_people_call_a_camera_is_understood(text: str, table: dict[str, object]) -> None:
    assert source_table(text) == table


@pytest.mark.parametrize(
    ("flag", "wrong", "sentence"),
    [
        ("site", "h\udcffx", "This has bytes that are no text in UTF-8."),
        ("site", "Harbour X", "may have only a-z, 0-9 and hyphens"),
        ("device", "pole_7", "may have only a-z, 0-9 and hyphens"),
        ("source", "rtsp://", "must be rtsp://"),
        ("source", "ftp://host/x", "must be rtsp://"),
        ("line", "main:1,2", "must be ID:x0,y0,x1,y1"),
        ("line", "main:0.1,0.5,0.1,0.5", "the line has no length"),
        ("line", "main:10,0.5,0.1,0.5", "at most 1"),
        ("broker", "mqtt://127.0.0.1:18831", "is a URL; write 127.0.0.1:18831"),
        ("broker", "mqtts://u:hidden@broker.example", "is a URL; write broker.example"),
        ("broker", "h:x", "must be HOST or HOST:PORT"),
        ("broker", "h:70000", "at most 65535"),
        ("broker", "a broker", "has a blank"),
    ],
)
def test_a_wrong_answer_is_asked_for_again_at_once(
    flag: str,
    wrong: str,
    sentence: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = {"site": "harbour", "device": "pole-7", "source": "street", "line": "", "broker": "[::1]:1884", "ca": "-"}
    typed = [text for name, answer in {**right, "username": ""}.items() for text in (*[wrong] * (name == flag), answer)]
    typed.insert(typed.index("[::1]:1884") + 1, "")  # nothing answers there; Enter keeps it
    monkeypatch.setattr("edge_app.sources.discovery.found_cameras", list)
    terminal = io.StringIO("\n".join(["", *typed, ""]))
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert setup(path) == 0
    shown = capsys.readouterr().err
    assert sentence in shown
    assert not {"--line", "--broker", "hidden"} & set(shown.replace(":", " ").split())
    mqtt = load(path, {}).mqtt
    assert (mqtt.host, mqtt.port, mqtt.tls) == ("::1", 1884, False)


def test_a_device_that_another_camera_has_is_asked_for_again_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.with_name("north.toml").write_text('[device]\nsite = "harbour"\ndevice = "pole-7"\n')
    terminal = io.StringIO("\n".join(["", "pole-7", "pole-8", ""]))
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr(setup_command, "INSTALLED", path)
    options = ("--line", "main:0,0.5,1,0.5", "--broker", "127.0.0.1", "--ca", "-", "--username", "")
    assert setup(path, "--site", "harbour", "--source", "street", *options) == 0
    assert "harbour/pole-7 is the site and device of" in capsys.readouterr().err
    assert load(path, {}).device.device == "pole-8"


@pytest.mark.long
@needs_openssl
def test_the_check_uses_the_credentials_of_the_service(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key as a credential and no broker there, the broker fails and not the configuration."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    (path.parent / "credentials").mkdir()
    authority = Authority(path.parent / "credentials")
    certificate, key = authority.sign("cam")
    key.rename(path.parent / "credentials" / "mqtt_key")
    files = ("--ca", str(authority.ca), "--cert", str(certificate))
    where = ("--broker", f"{HOST}:{free_port()}", "--state", str(path.parent / "state"), "--source", "street")
    command = ["setup", "--config", str(path), *NEEDED[:4], *where, *files]
    parsed = _parser().parse_args(command)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert parsed.main(parsed, threading.Event()) == 1
    failed = [line for line in out.getvalue().splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert "connection refused" in out.getvalue()

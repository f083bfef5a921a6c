"""Test `edge-app city setup`: what it writes is what the service reads, and a mistake leaves no file."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_app.city.config import database_url, load
from edge_app.cli import _parser
from edge_app.errors import ConfigError


def setup(path: Path, *arguments: str) -> int:
    parsed = _parser().parse_args(["city", "setup", "--config", str(path), "--no-check", *arguments])
    return int(parsed.main(parsed, threading.Event()))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    return tmp_path / "city.toml"


def test_options_alone_are_enough(path: Path) -> None:
    named = ("--broker", "broker.example:8884", "--broker-kind", "nats", "--origin", "https://counts.example")
    assert setup(path, *named, "--database", "127.0.0.1:5432/counts", "--database-user", "counts") == 0
    config = load(path, {"EDGE_APP_DATABASE_PASSWORD": "pw"})
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("broker.example", 8884, True)
    assert config.broker.kind == "nats"
    assert config.page.origin == "https://counts.example"
    assert database_url(config.database, path.parent) == "postgresql://counts:pw@127.0.0.1:5432/counts"


def test_secrets_of_an_installed_city_go_to_its_credentials(path: Path) -> None:
    credentials, key = path.parent / "credentials", path.parent / "here.key"
    credentials.mkdir()
    cert = path.parent / "city.pem"
    cert.write_text("certificate")
    key.write_text("-----BEGIN PRIVATE KEY-----\n")
    assert setup(path, "--broker", "broker.example", "--cert", str(cert), "--key", str(key)) == 0
    assert "key" not in path.read_text("utf-8")
    config = load(path, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert config.mqtt.key_file == credentials / "mqtt_key"
    assert (credentials / "mqtt_key").read_text("utf-8") == key.read_text("utf-8")
    assert (credentials / "mqtt_key").stat().st_mode & 0o077 == 0
    assert config.database.url == "sqlite:////var/lib/edge-app-city/city.sqlite3"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--broker is needed where there is no terminal to ask on"),
        (("--broker", "mqtt://x"), "--broker: This is a URL; write x"),
        (("--broker", "x", "--broker-kind", "kafka"), "--broker-kind: This is none of mqtt, nats, rabbitmq"),
        (("--broker", "x", "--database", "counts"), "--database: This must be HOST:PORT/NAME, such as"),
        (("--broker", "x", "--database", "127.0.0.1:port/counts"), "--database: This must be HOST:PORT/NAME, such as"),
        (("--broker", "x", "--database", "127.0.0.1:99999/counts"), "--database: This must be HOST:PORT/NAME, such as"),
        (("--broker", "x", "--cert", __file__, "--key", ""), "--key: A certificate needs its key."),
        (("--broker", "x", "--origin", "counts.example"), "--origin: This must be https://NAME or https://NAME:PORT"),
        (("--broker", "x", "--cert", "nowhere.pem"), "--cert: There is no file nowhere.pem"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_and_leaves_no_file(
    path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        setup(path, *arguments)
    assert sentence in str(refused.value)
    assert list(path.parent.iterdir()) == []


def test_a_configuration_that_exists_stays(path: Path) -> None:
    path.write_text("[mqtt]\n")
    with pytest.raises(ConfigError, match="exists already: edit it, or replace it with --force"):
        setup(path, "--broker", "x")
    assert path.read_text("utf-8") == "[mqtt]\n"


def test_a_stop_while_something_was_tried_writes_nothing(path: Path) -> None:
    parsed = _parser().parse_args(["city", "setup", "--config", str(path), "--no-check", "--broker", "x"])
    stop = threading.Event()
    stop.set()
    with pytest.raises(ConfigError, match="nothing was written"):
        parsed.main(parsed, stop)
    assert list(path.parent.iterdir()) == []


def test_a_folder_is_no_configuration_and_no_secret_is_written_for_it(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        setup(path, "--broker", "x", "--force")


def test_a_password_of_the_environment_goes_to_the_credentials_of_an_installed_city(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_APP_MQTT_PASSWORD", """it's "quoted" $HOME""")
    monkeypatch.setenv("EDGE_APP_DATABASE_PASSWORD", "of nobody")
    credentials = path.parent / "credentials"
    credentials.mkdir()
    assert setup(path, "--broker", "x", "--username", "anna") == 0
    config = load(path, {"CREDENTIALS_DIRECTORY": str(credentials)})  # as the unit hands it over
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == """it's "quoted" $HOME"""
    assert [file.name for file in credentials.iterdir()] == ["mqtt_password"]


def test_a_command_with_a_blank_in_its_path_can_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a city").mkdir()
    setup(tmp_path / "a city/city.toml", "--broker", "x")
    assert f"city serve --config '{tmp_path}/a city/city.toml'" in capsys.readouterr().err


def test_what_no_host_can_be_called_and_what_is_no_text_are_told_in_sentences(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    options = (
        "--broker-kind",
        "mqtt",
        "--ca",
        "-",
        "--username",
        "anna",
        "--database",
        "",
        "--database-user",
        "",
        "--page-port",
        "8800",
    )
    command = ("city", "setup", "--config", str(tmp_path / "city.toml"), "--no-check", *options, "--origin", "")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    asked = subprocess.Popen(
        (sys.executable, "-m", "edge_app", *command),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment,
    )
    os.close(theirs)
    try:
        os.write(ours, b"a..b\na..b\n\xff\xfe\n")
        _, told = asked.communicate(timeout=30)
    finally:
        asked.kill()
        os.close(ours)
    assert asked.returncode == 2
    assert b"The name a..b is unknown here." in told
    assert b"what was typed is no UTF-8 text" in told
    assert b"Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_it_asks_again_after_a_wrong_answer_and_shows_no_password(tmp_path: Path) -> None:
    answers = ("kafka", "", "localhost:1", "", "-", "anna", "broker-secret", "", "", "here", "")
    ours, theirs = pty.openpty()
    command = ("-m", "edge_app", "city", "setup", "--config", str(tmp_path / "city.toml"), "--no-check")
    asked = subprocess.Popen((sys.executable, *command), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = ""
    try:
        for answer in answers:
            seen += _until_asked(ours)
            os.write(ours, f"{answer}\n".encode())
        assert asked.wait(30) == 0, seen
    finally:
        asked.kill()
        os.close(ours)
    assert "This is none of mqtt, nats, rabbitmq." in seen
    assert "Nothing answers at localhost, port 1. Enter keeps it all the same." in seen
    assert "This must be https://NAME" in seen
    assert "broker-secret" not in seen
    mqtt = load(tmp_path / "city.toml", {}).mqtt
    assert (mqtt.host, mqtt.port, mqtt.username) == ("localhost", 1, "anna")
    assert mqtt.password is not None
    assert mqtt.password.get_secret_value() == "broker-secret"


def _until_asked(terminal: int) -> str:
    """Return what is shown until a prompt stands there."""
    seen = ""
    while not seen.endswith(": "):
        seen += os.read(terminal, 4096).decode()
    return seen


FORMER = """# of the city
[mqtt]
host = "broker.example"
tls = true
ca_file = "ca.pem"
username = "city"
password = "inline"
keepalive_s = 17

[database]
url = "postgresql://127.0.0.1:5432/counts"
username = "counts"
password_file = "database.password"

[page]
port = 8811
cors = ["https://map.example"]

[feeds]
country = "de"
publisher = "City of Example"
datex2 = true
"""


def test_force_changes_what_was_asked_and_nothing_else(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(FORMER)
    path.chmod(0o600)
    (path.parent / "database.password").write_text("pw\n")
    (path.parent / "ca.pem").write_text("authority")
    assert setup(path, "--force", "--origin", "https://counts.example", "--broker", "other.example:8884") == 0
    config = load(path, {})
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("other.example", 8884, True)
    assert (config.mqtt.ca_file, config.mqtt.keepalive_s) == (path.parent / "ca.pem", 17)
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "inline"
    assert database_url(config.database, path.parent) == "postgresql://counts:pw@127.0.0.1:5432/counts"
    assert (config.page.port, config.page.cors) == (8811, ("https://map.example",))
    assert (config.page.origin, config.feeds.datex2) == ("https://counts.example", True)
    assert path.stat().st_mode & 0o777 == 0o600  # there is a password in it
    before = path.with_name("city.toml.before")
    assert (before.read_text(), before.stat().st_mode & 0o777) == (FORMER, 0o600)
    assert str(before) in capsys.readouterr().err.replace("\n", "")


def test_a_user_that_goes_takes_the_password_along(path: Path) -> None:
    path.write_text(FORMER)
    (path.parent / "database.password").write_text("pw\n")
    (path.parent / "ca.pem").write_text("authority")
    assert setup(path, "--force", "--username", "", "--database", "", "--database-user", "") == 0
    config = load(path, {})
    assert (config.mqtt.username, config.mqtt.password, config.database.username) == (None, None, None)
    assert config.database.url == "sqlite:///city.sqlite3"
    assert config.feeds.datex2


def test_without_a_terminal_a_password_comes_from_a_file_or_its_lack_is_told(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_APP_DATABASE_PASSWORD", raising=False)
    named = ("--broker", "x", "--database", "127.0.0.1:5432/counts", "--database-user", "counts", "--page-port", "8802")
    assert setup(path, *named) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "No password of counts is given: EDGE_APP_DATABASE_PASSWORD or --database-password-file would" in told
    given = path.parent / "given"
    given.write_text("it's\n")
    assert setup(path, "--force", "--database-password-file", str(given)) == 0
    config = load(path, {})
    assert database_url(config.database, path.parent) == "postgresql://counts:it%27s@127.0.0.1:5432/counts"
    assert config.page.port == 8802
    assert (path.parent / "city.database_password").stat().st_mode & 0o077 == 0


def test_after_a_failed_check_the_next_step_is_to_correct_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parsed = _parser().parse_args(["city", "setup", "--config", str(path), "--broker", "localhost:1", "--ca", "-"])
    assert parsed.main(parsed, threading.Event()) == 1
    told = capsys.readouterr().err
    assert "Correct what FAIL tells above" in told
    assert "Next:" not in told

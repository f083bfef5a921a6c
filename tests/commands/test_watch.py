"""Test `edge-app watch`: its arguments, and a real broker that starts late and delivers nonsense."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.commands import watch
from edge_app.errors import BrokerError, ConfigError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.system.redaction import redacted
from tests.support.brokers import Authority, Mosquitto, mosquitto, needs_mosquitto, needs_openssl, run_until, session
from tests.support.ports import free_port
from tests.support.watch_cases import DEVICE, counts, row, status

# --- arguments

_WORD = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=("L", "N", "P", "S")), min_size=1)


@given(_WORD, _WORD, st.integers(1, 65535), st.sampled_from(["mqtt", "mqtts"]))
@settings(max_examples=100)
def test_every_login_survives_the_url(username: str, password: str, port: int, scheme: str) -> None:
    url = f"{scheme}://{quote(username, safe='')}:{quote(password, safe='')}@broker.example:{port}"
    (to,) = watch.endpoints(url, {})
    assert (to.host, to.port, to.username, to.password) == ("broker.example", port, username, password)
    assert (to.tls is not None) == (scheme == "mqtts")
    assert password not in str(to) or password in f"broker.example:{port}"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("mqtt://b", "b", 1883), ("mqtts://b/", "b", 8883), ("mqtt://[::1]:1884", "::1", 1884), ("MQTT://B", "b", 1883)],
)
def test_ports_and_hosts(url: str, host: str, port: int) -> None:
    (to,) = watch.endpoints(url, {})
    assert (to.host, to.port) == (host, port)


def test_the_password_of_a_user_may_come_from_the_environment() -> None:
    environment = {"EDGE_APP_MQTT_PASSWORD": "from outside"}
    assert watch.endpoints("mqtt://me@b", environment)[0].password == "from outside"
    assert watch.endpoints("mqtt://me:mine@b", environment)[0].password == "mine"
    assert watch.endpoints("mqtt://b", environment)[0].password == ""


@pytest.mark.parametrize(
    "url",
    ["b:1883", "http://u:secret@b", "mqtt://", "mqtt://u:secret@b:x", "mqtt://u:secret@b:70000", "mqtt://b:0",
     "mqtt://u:secret@[b", "mqtt://u:secret@b/topic", "mqtt://:secret@", "mqtt://u:secret@b?x=1", ""],
)  # fmt: skip
def test_a_wrong_url_is_one_sentence_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--broker: [^\n]+$") as caught:
        watch.endpoints(url, {})
    assert "secret" not in str(caught.value)
    assert redacted(str(caught.value)) == str(caught.value)  # our own words are no secret


def test_several_hosts_and_websockets() -> None:
    assert [to.host for to in watch.endpoints("mqtts://a,b,c:8884", {})] == ["a", "b", "c"]
    (to,) = watch.endpoints("wss://me:pw@b/some/path", {})
    assert (to.port, to.transport, to.path, to.tls is not None, to.username) == (
        443,
        "websockets",
        "/some/path",
        True,
        "me",
    )
    (to,) = watch.endpoints("ws://b:9001", {})
    assert (to.port, to.transport, to.path, to.tls) == (9001, "websockets", "/mqtt", None)


def test_an_authority_without_tls_is_refused() -> None:
    with pytest.raises(ConfigError, match="--ca-file"):
        watch.endpoints("mqtt://b", {}, Path("ca.pem"))


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ConfigError, match="--cert and --key: give both"):
        watch.endpoints("mqtts://b", {}, Path("ca.pem"), Path("reader.pem"))


@pytest.mark.parametrize("prefix", ["", "/", "traffic/#", "a/+/b", "a\nb"])
def test_a_wrong_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="--prefix"):
        watch.checked_prefix(prefix)


# --- with a real broker


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    watch.add_arguments(parser)
    return parser.parse_args(given)


@needs_mosquitto
def test_once_shows_what_the_broker_retains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mosquitto(tmp_path) as broker:
        with publishing(broker.port) as publish:
            publish(status("online"))
            publish(Message(f"{DEVICE.prefix}/latest/north", counts(1).payload, 1, True))
        assert watch.main(arguments("--broker", f"mqtt://{HOST}:{broker.port}", "--once"), threading.Event()) == 0
    text = capsys.readouterr().out
    assert "delft/cam-1  online" in text
    assert row(text, "north").split()[1:4] == ["12:01:00", "2", "0"]


@needs_mosquitto
@needs_openssl
def test_a_reader_shows_its_certificate_to_the_city_broker(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (certificate, key), (server, server_key) = authority.sign("reader"), authority.sign("broker")
    tls = (f"cafile {authority.ca}", f"certfile {server}", f"keyfile {server_key}")
    mutual = ("require_certificate true", "use_identity_as_username true")
    given = ("--once", "--ca-file", str(authority.ca))
    with mosquitto(tmp_path / "broker", *tls, *mutual) as broker:
        url = ("--broker", f"mqtts://{HOST}:{broker.port}")
        shown = arguments(*url, *given, "--cert", str(certificate), "--key", str(key))
        assert watch.main(shown, threading.Event()) == 0
        with pytest.raises(BrokerError):
            watch.main(arguments(*url, *given), threading.Event())


def test_once_without_a_broker_is_one_sentence() -> None:
    with pytest.raises(BrokerError, match="connection refused"):
        watch.main(arguments("--broker", f"mqtt://{HOST}:{free_port()}", "--once"), threading.Event())


@needs_mosquitto
def test_a_pipe_gets_lines_from_a_broker_that_is_late(tmp_path: Path) -> None:
    """Started before the broker, fed with nonsense, ended with Ctrl-C."""
    broker = Mosquitto(tmp_path)
    url = f"mqtt://someone:hidden@{HOST}:{broker.port}"
    command = (sys.executable, "-m", "edge_app.cli", "watch", "--broker", url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            stderr = process.stderr.readline()
            broker.start()
            with publishing(broker.port) as publish:
                for message in (status("online"), Message(f"{DEVICE.prefix}/latest/north", counts(1).payload, 1, True)):
                    publish(message)
                lines = [process.stdout.readline(), process.stdout.readline()]
                stderr += process.stderr.readline()
                publish(Message(f"{DEVICE.prefix}/counts/north", b"nonsense", 1))
                stderr += process.stderr.readline()
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(10)
            broker.kill()
    assert code == 0
    assert sorted(line.split(" ", 2)[2] for line in lines)[0] == "is online\n"
    assert any("north: car 2> 0<" in line for line in lines)
    assert [sentence.split("; ")[0].split(":")[-1].strip() for sentence in stderr.splitlines()] == [
        "connection refused",
        "connected",
        "1",
    ]
    assert "hidden" not in stderr


@contextlib.contextmanager
def publishing(port: int) -> Iterator[Callable[[Message], int]]:
    """Yield a function that publishes a message and waits for the acknowledgement."""
    writer = session(port, "writer")
    run_until(writer, Connected)

    def publish(message: Message) -> int:
        token = writer.publish(message)
        run_until(writer, Acked)
        return token

    try:
        yield publish
    finally:
        writer.close()

"""Real brokers for tests: mosquitto on a free port, certificates of the test's own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import pytest

from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Backoff, Endpoint
from edge_app.mqtt.events import Event, Message, Timing
from edge_app.mqtt.session import Session, Subscriber
from tests.support.ports import free_port

T = TypeVar("T")
QUICK = Backoff(min_s=0.02, max_s=0.1)
SHORT = Timing(connect=2.0, keepalive=5, ack=1.0)
"""For tests in which a loss is to be noticed soon."""
PATIENT = Timing()
"""The product's own: for tests in which nothing is lost, however busy the machine is."""

needs_mosquitto = pytest.mark.skipif(not shutil.which("mosquitto"), reason="needs the broker: apt install mosquitto")
needs_iotcore = pytest.mark.skipif(not find_spec("iotcore"), reason="needs iotcore: pip install edge-app[demo]")
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="makes certificates: apt install openssl")


def eventually(condition: Callable[[], T], timeout: float = 10.0) -> T:
    """Call `condition`, which should wait a little itself, until it returns a true value, and return that."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
    return value


class Mosquitto:
    """Mosquitto that can be killed and started again on its port.

    settings: more lines for its configuration. config: a whole configuration of the caller's instead, for `port`.
    """

    def __init__(self, folder: Path, *settings: str, config: Path | None = None, port: int = 0) -> None:
        self.port = port or free_port()
        self._config = config or folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        # Started by root, it would switch to a user that cannot read the test's files.
        lines = ("user root", "log_type all", f"listener {self.port} {HOST}", *(settings or ("allow_anonymous true",)))
        if config is None:
            self._config.write_text("\n".join(lines) + "\n")
        # A listener for WebSockets opens after the others.
        self._ports = {self.port} | {int(line.split()[1]) for line in settings if line.startswith("listener ")}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = ("mosquitto", "-c", str(self._config))
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError):
            for port in self._ports:
                socket.create_connection((HOST, port), 1).close()
            return True
        time.sleep(0.01)
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Send SIGKILL: it saves nothing and sends nothing."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """Send SIGTERM: it saves its state and disconnects its clients."""
        self._end(lambda process: process.terminate())

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, send: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process is not None:
            send(process)
            process.wait(10)


@contextlib.contextmanager
def mosquitto(folder: Path, *settings: str, config: Path | None = None, port: int = 0) -> Iterator[Mosquitto]:
    """A running one, see Mosquitto; it is killed at the end."""
    folder.mkdir(exist_ok=True)
    broker = Mosquitto(folder, *settings, config=config, port=port)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def password_file(folder: Path, username: str, password: str) -> Path:
    path = folder / "passwords"
    subprocess.run(("mosquitto_passwd", "-b", "-c", str(path), username, password), check=True, capture_output=True)
    return path


@dataclass(frozen=True)
class Authority:
    """Certificate authority of the test's own, with the certificates that it has signed for HOST."""

    folder: Path

    def __post_init__(self) -> None:
        self._openssl("req", "-x509", *_KEY, "-nodes", "-days", "2", "-subj", "/CN=test authority", out="ca")

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def sign(self, name: str, *, days: int = 2) -> tuple[Path, Path]:
        """Return certificate and key for HOST; with negative days the certificate has expired."""
        request = self.folder / f"{name}.csr"
        self._openssl("req", *_KEY, "-nodes", "-subj", f"/CN={name}", out=name, request=request)
        names = self.folder / "names"
        names.write_text(f"subjectAltName=IP:{HOST}\n")
        certificate = self.folder / f"{name}.pem"
        _run(
            *("openssl", "x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self._key("ca"))),
            *("-CAcreateserial", "-days", str(days), "-extfile", str(names), "-out", str(certificate)),
        )
        return certificate, self._key(name)

    def _key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def _openssl(self, *arguments: str, out: str, request: Path | None = None) -> None:
        target = request or self.folder / f"{out}.pem"
        _run("openssl", *arguments, "-keyout", str(self._key(out)), "-out", str(target))


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def session(port: int, name: str = "test", *, host: str = HOST, timing: Timing = PATIENT) -> Session:
    return Session(Endpoint(host, port), name, timing=timing, backoff=QUICK)


def run_until(subject: Session, kind: type[Event], count: int = 1, timeout: float = 10.0) -> list[Event]:
    """Return all events up to and including this number of events of a kind."""
    events: list[Event] = []

    def happened() -> bool:
        events.extend(subject.poll(0.05))
        return sum(isinstance(event, kind) for event in events) >= count

    eventually(happened, timeout)
    return events


class Reader(Subscriber):
    """A subscriber that can be waited for without losing what the broker sends at once."""

    def connect(self) -> bool:
        """Wait a little; return whether it is connected. What comes with the connection stays to be read."""
        if message := self.read(0.05):
            self._inbox.appendleft(message)
        return self.connected


@contextlib.contextmanager
def subscribed(port: int, *topics: str, name: str = "reader", keep: int = 0) -> Iterator[Subscriber]:
    """A subscriber that is connected already."""
    timing = replace(PATIENT, session_expiry=keep)
    reader = Reader(Session(Endpoint(HOST, port), name, timing=timing, backoff=QUICK), topics or ("#",))
    try:
        eventually(reader.connect)
        yield reader
    finally:
        reader.close()


def collect(reader: Subscriber, enough: Callable[[Sequence[Message]], bool], timeout: float = 10.0) -> list[Message]:
    """Read messages until `enough` is true of them, and return them."""
    messages: list[Message] = []

    def read() -> bool:
        message = reader.read(0.05)
        messages.extend([message] if message else [])
        return enough(messages)

    eventually(read, timeout)
    return messages

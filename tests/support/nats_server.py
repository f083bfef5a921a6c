"""A real NATS server with JetStream and MQTT for tests: a folder and ports of its own, killed and started at will."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.mqtt.embedded_broker import HOST
from tests.support.brokers import eventually
from tests.support.ports import free_port

needs_nats = pytest.mark.skipif(not shutil.which("nats-server"), reason="needs the broker: apt install nats-server")

PLAIN = """\
server_name: test
listen: "{host}:{queue_port}"
jetstream {{ store_dir: "{folder}/store" }}
mqtt {{ listen: "{host}:{port}" }}
"""


class NatsServer:
    """A server that is started by `start`. port: of MQTT. queue_port: of NATS. config: text of its configuration."""

    def __init__(self, folder: Path, config: str = "", *, port: int = 0, queue_port: int = 0) -> None:
        self.port, self.queue_port = port or free_port(), queue_port or free_port()
        self._log, self._config = folder / "nats.log", folder / "nats.conf"
        text = config or PLAIN.format(host=HOST, folder=folder, port=self.port, queue_port=self.queue_port)
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, waits: bool = True) -> None:
        """Start it and wait until it takes MQTT connections. waits: not for the first nodes of a cluster."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(("nats-server", "-c", str(self._config)), stdout=log, stderr=log)
        if waits:
            self.wait()

    def wait(self) -> None:
        """Wait until it takes MQTT connections."""
        eventually(self._answers, 60.0)

    @property
    def pid(self) -> int:
        """Number of the process, whose children belong to it."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Send SIGKILL: it saves nothing and sends nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError):
            for port in (self.port, self.queue_port):
                socket.create_connection((HOST, port), 1).close()
            return True
        time.sleep(0.02)
        return False


@contextlib.contextmanager
def nats_server(folder: Path, config: str = "", *, port: int = 0, queue_port: int = 0) -> Iterator[NatsServer]:
    """Run a server within the context."""
    folder.mkdir(exist_ok=True, parents=True)
    server = NatsServer(folder, config, port=port, queue_port=queue_port)
    server.start()
    try:
        yield server
    finally:
        server.kill()

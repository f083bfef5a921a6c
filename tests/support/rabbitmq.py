"""A real RabbitMQ node with MQTT for tests: a name, a folder and ports of its own, killed and started at will."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from edge_app.mqtt.embedded_broker import HOST
from tests.support.brokers import eventually
from tests.support.paths import ROOT
from tests.support.ports import free_port

PROGRAM: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one in PATH, which switches to a user that cannot read the test's files."""
needs_rabbitmq = pytest.mark.skipif(not PROGRAM.exists(), reason="needs the broker: apt install rabbitmq-server")

PLAIN = """\
listeners.tcp.1 = {host}:{queue_port}
mqtt.listeners.tcp.1 = {host}:{port}
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
log.file.level = warning
"""
_FEW_CORES: Final = (
    'SERVER_ADDITIONAL_ERL_ARGS="$SERVER_ADDITIONAL_ERL_ARGS +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"'
)


class RabbitMq:
    """A node that is started by `start`. config: text of its rabbitmq.conf.

    port: of MQTT. queue_port: of AMQP. distribution, names: of Erlang, for nodes and for looking them up.
    """

    def __init__(self, folder: Path, config: str = "", *, port: int = 0, queue_port: int = 0) -> None:
        self.port, self.queue_port = port or free_port(), queue_port or free_port()
        self._folder, self._log = folder, folder / "rabbitmq.out"
        text = config or PLAIN.format(host=HOST, port=self.port, queue_port=self.queue_port)
        (folder / "rabbitmq.conf").write_text(text)
        (folder / "plugins").write_text("[rabbitmq_mqtt, rabbitmq_auth_mechanism_ssl].\n")
        # As shipped, not the machine's own; and schedulers that do not spin: the tests have few cores.
        shipped = (ROOT / "deploy/city/rabbitmq-env.conf").read_text("utf-8")
        (folder / "env.conf").write_text(f"{shipped}{_FEW_CORES}\n", "utf-8")
        self._node = f"edge-app-{self.queue_port}@localhost"
        self.distribution, self.names = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes MQTT connections."""
        with self._log.open("ab") as log:
            self._epmd = self._epmd or subprocess.Popen(
                ("sh", "-c", ". ./env.conf; export ERL_EPMD_ADDRESS; exec epmd"),
                cwd=self._folder,
                env=self._environment(),
            )
            self._process = subprocess.Popen(
                [str(PROGRAM)], stdout=log, stderr=log, env=self._environment(), cwd="/", start_new_session=True
            )
        eventually(self._answers, 60.0)

    @property
    def pid(self) -> int:
        """Number of the process, whose children belong to it."""
        assert self._process is not None
        return self._process.pid

    def listens(self) -> set[tuple[str, int]]:
        """Return address and port where it, its helpers and the table of names listen."""
        assert self._epmd is not None
        helpers = psutil.Process(self.pid).children(recursive=True)
        mine = {self.pid, self._epmd.pid, *(one.pid for one in helpers)}
        listening = (one for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN)
        return {(one.laddr.ip, one.laddr.port) for one in listening if one.pid in mine}

    def kill(self) -> None:
        """Kill it and its helpers as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            eventually(lambda: not any(map(_open, (self.port, self.queue_port))))  # the shell ends before its child

    def close(self) -> None:
        """Kill it, with the table of names that Erlang wants beside it."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(10)

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": folder,  # of the cookie
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "ERL_EPMD_PORT": str(self.names),
        }

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return all(map(_open, (self.port, self.queue_port)))


def _open(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True


@contextlib.contextmanager
def rabbitmq(folder: Path, config: str = "", *, port: int = 0, queue_port: int = 0) -> Iterator[RabbitMq]:
    """Run a node within the context."""
    folder.mkdir(exist_ok=True, parents=True)
    node = RabbitMq(folder, config, port=port, queue_port=queue_port)
    try:
        node.start()
        yield node
    finally:
        node.close()

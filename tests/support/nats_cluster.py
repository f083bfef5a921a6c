"""A real NATS cluster of three nodes on loopback, on the shipped files without TLS and users; nodes killed at will."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_app.mqtt.embedded_broker import HOST
from tests.support.nats_server import NatsServer
from tests.support.paths import ROOT
from tests.support.ports import free_port

SHIPPED: Final = ROOT / "deploy" / "city"
_NODES: Final = 3
_WITHOUT: Final = (r"\n *tls \{[^}]*\}", r"\ninclude .*")
"""TLS and users."""


class NatsCluster:
    """Three nodes that are running when it is made. files: what stands for files of /etc/nats; without TLS if none."""

    kind = "nats"

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        inner = [free_port() for _ in range(_NODES)]
        self.nodes = [_node(folder / f"node-{number}", number, inner, files) for number in range(_NODES)]
        for node in self.nodes:
            node.start(waits=False)
        for node in self.nodes:
            node.wait()

    @property
    def ports(self) -> Sequence[int]:
        """Of MQTT."""
        return [node.port for node in self.nodes]

    @property
    def queue_ports(self) -> Sequence[int]:
        """Of NATS."""
        return [node.queue_port for node in self.nodes]

    def close(self) -> None:
        """Kill all that runs."""
        for node in self.nodes:
            node.kill()


def _node(folder: Path, number: int, inner: Sequence[int], files: Mapping[str, str]) -> NatsServer:
    folder.mkdir(parents=True)
    port, queue_port = free_port(), free_port()
    text = (SHIPPED / "nats.conf").read_text("utf-8") + (SHIPPED / "nats-cluster.conf").read_text("utf-8")
    for pattern in () if files else _WITHOUT:
        text, found = re.subn(pattern, "", text)
        assert found, pattern
    changed = {
        **files,
        **{f"nats://city-{name}:6222": f"nats://{HOST}:{of}" for name, of in enumerate(inner, start=1)},
        "server_name: city": f"server_name: city-{number + 1}",
        "0.0.0.0:6222": f"{HOST}:{inner[number]}",
        "0.0.0.0:4222": f"{HOST}:{queue_port}",
        "0.0.0.0:8883": f"{HOST}:{port}",
        "/var/lib/nats": str(folder / "store"),
    }
    for old, new in changed.items():
        assert old in text, old
        text = text.replace(old, new)
    return NatsServer(folder, text, port=port, queue_port=queue_port)


@contextmanager
def nats_cluster(folder: Path, files: Mapping[str, str] | None = None) -> Iterator[NatsCluster]:
    """Run a cluster within the context. files: see `NatsCluster`."""
    cluster = NatsCluster(folder, files or {})
    try:
        yield cluster
    finally:
        cluster.close()

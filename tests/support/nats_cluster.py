"""A real NATS cluster of three nodes on loopback, on the shipped files without TLS and users; nodes killed at will."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_app.mqtt.embedded_broker import HOST
from tests.support.brokers import free_port
from tests.support.nats_server import NatsServer
from tests.support.paths import ROOT

SHIPPED: Final = ROOT / "deploy" / "city"
_NODES: Final = 3
_WITHOUT: Final = (r"\n *tls \{[^}]*\}", r"\ninclude .*")
"""What is left out of the shipped files: certificates and users are tried by tests/deploy/test_city_brokers.py."""


class NatsCluster:
    """Three nodes that are running when it is made."""

    kind = "nats"

    def __init__(self, folder: Path) -> None:
        inner = [free_port() for _ in range(_NODES)]
        self.nodes = [_node(folder / f"node-{number}", number, inner) for number in range(_NODES)]
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


def _node(folder: Path, number: int, inner: Sequence[int]) -> NatsServer:
    folder.mkdir(parents=True)
    port, queue_port = free_port(), free_port()
    text = (SHIPPED / "nats.conf").read_text("utf-8") + (SHIPPED / "nats-cluster.conf").read_text("utf-8")
    for pattern in _WITHOUT:
        text, found = re.subn(pattern, "", text)
        assert found, pattern
    for name, of in enumerate(inner, start=1):
        text = _replaced(text, f"nats://city-{name}:6222", f"nats://{HOST}:{of}")
    text = _replaced(text, "server_name: city", f"server_name: city-{number + 1}")
    text = _replaced(text, "0.0.0.0:6222", f"{HOST}:{inner[number]}")
    text = _replaced(text, "0.0.0.0:4222", f"{HOST}:{queue_port}")
    text = _replaced(text, "0.0.0.0:8883", f"{HOST}:{port}")
    text = _replaced(text, "/var/lib/nats", str(folder / "store"))
    return NatsServer(folder, text, port=port, queue_port=queue_port)


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


@contextmanager
def nats_cluster(folder: Path) -> Iterator[NatsCluster]:
    """Run a cluster within the context."""
    cluster = NatsCluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()

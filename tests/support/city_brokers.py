"""The brokers of the city side, each with the queue that a worker reads from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from edge_app.city.inbox import BesideMqtt, Inbox, beside_topics, queued_topics, topics
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.session import Session
from tests.support.brokers import QUICK, mosquitto
from tests.support.nats_server import nats_server
from tests.support.rabbitmq import rabbitmq
from tests.support.relay import Relay

SETTINGS = (
    *("allow_anonymous true", "max_inflight_messages 1000", "persistence true", "autosave_on_changes true"),
    "autosave_interval 1",
)
KEEPALIVE_S = 5
ACK_WAIT_S = 1.5
"""After so long NATS gives a message to another worker."""

Ports: TypeAlias = int | Sequence[int]


class Server(Protocol):
    """A broker in a process of its own. port: of MQTT."""

    port: int

    @property
    def pid(self) -> int: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...


class Nodes(Protocol):
    """A broker of one node or more. ports, queue_ports: of MQTT and of its own protocol, of each node."""

    @property
    def kind(self) -> str: ...

    @property
    def ports(self) -> Sequence[int]: ...

    @property
    def queue_ports(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class Broker:
    """A running broker. kind: as in city.toml. queue_port: of its own protocol, 0 without one."""

    kind: str
    server: Server
    queue_port: int = 0

    @property
    def port(self) -> int:
        """Port of MQTT."""
        return self.server.port

    @property
    def ports(self) -> Sequence[int]:
        """The same, as of a cluster of one node."""
        return [self.port]

    @property
    def queue_ports(self) -> Sequence[int]:
        """Of its own protocol."""
        return [self.queue_port]


@dataclass(frozen=True)
class Behind:
    """A broker of one node that is reached through relays. kind: as in city.toml. queue: of its own protocol."""

    kind: str
    mqtt: Relay
    queue: Relay | None = None

    @property
    def ports(self) -> Sequence[int]:
        """Port of MQTT."""
        return [self.mqtt.port]

    @property
    def queue_ports(self) -> Sequence[int]:
        """Of its own protocol, 0 without one."""
        return [self.queue.port if self.queue else 0]

    @property
    def relays(self) -> Sequence[Relay]:
        """All that a worker goes through."""
        return [self.mqtt, *([self.queue] if self.queue else [])]


@contextmanager
def running(kind: str, folder: Path, *settings: str) -> Iterator[Broker]:
    """Run a broker of this kind within the context. settings: of mosquitto, instead of `SETTINGS`."""
    folder.mkdir(exist_ok=True, parents=True)
    if kind == "mqtt":
        with mosquitto(folder, *(settings or SETTINGS), f"persistence_location {folder}/") as server:
            yield Broker(kind, server)
        return
    run: Callable[[Path], AbstractContextManager[Server]] = nats_server if kind == "nats" else rabbitmq
    with run(folder) as other:
        yield Broker(kind, other, other.queue_port)  # type: ignore[attr-defined]


def inbox(
    port: Ports, kind: str, queue_port: Ports, root: str, name: str = "1", share: str = "", fleet: str = "yes"
) -> Inbox:
    """Return a worker's inbox.

    port, queue_port: those of all nodes of a cluster. root: of all topics; also of the names that the broker keeps.
    share: of a group.
    """
    group = f"city-{root.replace('/', '-')}"
    keep = kind == "mqtt"
    timing = Timing(connect=3.0, keepalive=KEEPALIVE_S, session_expiry=600 if keep else 0, by_hand=keep)
    session = Session(_endpoints(port), f"{group}-{name}", timing=timing, backoff=QUICK)
    if keep:
        return MqttInbox(session, topics(root, share=share and group, fleet=bool(fleet)))
    beside = MqttInbox(session, beside_topics(root), by_names=kind == "rabbitmq") if fleet else None
    addresses, queued = _endpoints(queue_port), queued_topics(root, fleet=bool(fleet))
    if kind == "nats":
        from edge_app.city.nats_inbox import NatsQueue

        return BesideMqtt(NatsQueue(addresses, queued, group=group, ack_wait_s=ACK_WAIT_S, backoff=QUICK), beside)
    from edge_app.city.rabbitmq_inbox import RabbitMqQueue

    return BesideMqtt(RabbitMqQueue(addresses, queued, group=group, backoff=QUICK), beside)


def _endpoints(ports: Ports) -> list[Endpoint]:
    return [Endpoint(HOST, port) for port in ([ports] if isinstance(ports, int) else ports)]

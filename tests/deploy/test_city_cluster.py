"""NATS on the shipped files, of three nodes: what a device sends arrives whichever node is killed, time after time."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_app.city.inbox import queued_topics
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Lost, Message, Timing
from edge_app.mqtt.identity import ROOT as TOPICS
from edge_app.mqtt.session import Session
from tests.deploy.test_city_brokers import users
from tests.support.brokers import QUICK, eventually, needs_openssl, run_until, subscribed
from tests.support.city import City, new_city
from tests.support.nats_cluster import SHIPPED, nats_cluster
from tests.support.nats_server import PLAIN, nats_server, needs_nats
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(180),
    needs_openssl,
    needs_nats,
    pytest.mark.skipif(not find_spec("nats"), reason="needs the extra `city`"),
]
OWN = f"{TOPICS}/harbour/pole-7/counts/a"


def placed(city: City, nodes: City, users_of: Path) -> dict[str, str]:
    """Return what stands for the files of /etc/nats."""
    return {
        "/etc/nats/node.": str(nodes.folder / "issued" / f"node.{HOST}."),
        "/etc/nats/nodes-ca.pem": str(nodes.folder / "ca.pem"),
        "/etc/nats/": f"{city.folder}/",
        "nats/users.conf": str(users_of),
    }


def test_what_a_device_sends_arrives_whichever_node_is_killed(tmp_path: Path) -> None:
    from edge_app.city.nats_inbox import NatsQueue

    city, nodes = new_city(tmp_path / "ca"), City(tmp_path / "nodes")
    nodes.run("init")
    nodes.run("node", HOST)
    (tmp_path / "users.conf").write_text(users("nats", city))
    with nats_cluster(tmp_path / "brokers", placed(city, nodes, Path("../../users.conf"))) as cluster:
        at = [Endpoint(HOST, port, tls=city.tls("harbour.pole-7")) for port in cluster.ports]
        device = Session(at, "edge-app-harbour.pole-7", protocol="3.1.1", timing=Timing(ack=5.0), backoff=QUICK)
        inner = [Endpoint(HOST, port, tls=city.tls("control.city")) for port in cluster.queue_ports]
        queue = NatsQueue(inner, queued_topics(TOPICS), ack_wait_s=5.0, backoff=QUICK)
        with closing(device), closing(queue):
            run_until(device, Connected, timeout=60.0)  # then there is a stream, which keeps what a worker wants
            eventually(lambda: queue.read(1, 0.1) or not queue.problem, 40.0)
            got = set[bytes]()
            for number, node in enumerate((*cluster.nodes, None)):
                for part in range(5):
                    deliver(device, f"{number} {part}".encode())
                receive(queue, got, 5 * (number + 1) + number)
                if node is not None:
                    node.kill()
                    deliver(device, f"{number} without".encode())
                    node.start()


def test_what_a_lost_connection_leaves_behind_is_forgotten(tmp_path: Path) -> None:
    """Each kill of a node leaves some: in half an hour they were twice as many as devices, and none came in."""
    import nats

    (line,) = re.findall(r"\n *consumer_inactive_threshold: .*", (SHIPPED / "nats.conf").read_text("utf-8"))
    port, queue_port = free_port(), free_port()
    text = PLAIN.format(host=HOST, folder=tmp_path, port=port, queue_port=queue_port)
    text = text.replace("mqtt {", "mqtt {" + line.replace("10m", "2s") + "\n")

    async def left() -> int:
        client = await nats.connect(f"nats://{HOST}:{queue_port}")
        try:
            return (await client.jetstream().stream_info("$MQTT_msgs")).state.consumer_count
        finally:
            await client.close()

    with nats_server(tmp_path / "broker", text, port=port, queue_port=queue_port):
        with subscribed(port, OWN, keep=3600):
            assert asyncio.run(left()) == 1
        assert asyncio.run(left()) == 1
        eventually(lambda: asyncio.run(left()) == 0, 30.0)


def deliver(device: Session, payload: bytes) -> None:
    """Publish until the broker has acknowledged, as a device does."""
    sent = list[int]()

    def acknowledged() -> bool:
        for event in device.poll(0.05):
            if isinstance(event, Lost):
                sent.clear()
            elif isinstance(event, Acked) and event.token in sent:
                return True
        if device.connected and not sent:
            sent.append(device.publish(Message(OWN, payload, qos=1)))
        return False

    eventually(acknowledged, 40.0)


def receive(queue: object, got: set[bytes], many: int) -> None:
    """Read until there are so many different payloads."""

    def all_came() -> bool:
        came = queue.read(100, 0.1)  # type: ignore[attr-defined]
        queue.acknowledge(came)  # type: ignore[attr-defined]
        got.update(one.payload for one in came)
        return len(got) >= many

    eventually(all_came, 40.0)

"""Which broker is read how, as city.toml says, and what is told of one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.city.config import CityConfig
from edge_app.city.inbox import queued_topics
from edge_app.city.service import open_inbox
from edge_app.errors import ConfigError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint, Tls
from tests.support.nats_server import nats_server, needs_nats
from tests.support.ports import free_port

PACKAGES = {"nats": "nats", "rabbitmq": "pika"}


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_broker_that_is_away_is_told_in_a_sentence(kind: str) -> None:
    pytest.importorskip(PACKAGES[kind], reason="needs the extra `city`")
    port = free_port()
    config = CityConfig.model_validate(
        {
            "mqtt": {"port": free_port()},
            "broker": {"kind": kind, "port": port},
            "ingest": {"shared": True, "ask": False},
        }
    )
    inbox = open_inbox(config)
    assert inbox.problem == f"broker {HOST}:{port}: not connected yet"
    assert not inbox.read(10, 0.01)
    assert inbox.problem == f"broker {HOST}:{port}: connection refused; is the broker running, and on this port?"
    inbox.close()


def test_a_prefix_with_a_dot_would_mean_two_levels() -> None:
    config = CityConfig.model_validate({"mqtt": {"prefix": "city.north"}, "broker": {"kind": "nats"}})
    with pytest.raises(ConfigError, match=r"mqtt\.prefix: may have no dot"):
        open_inbox(config)


def test_a_worker_that_does_not_ask_takes_counts_alone() -> None:
    assert queued_topics("t", fleet=False) == ("t/+/+/counts/+", "t/+/+/flows")
    assert "t/+/+/meta/+" in queued_topics("t")


@needs_nats
@pytest.mark.servers
def test_a_nats_server_without_tls_is_refused(tmp_path: Path) -> None:
    """By itself nats-py would go on in clear: whoever stands between could then read and forge everything."""
    nats = pytest.importorskip("edge_app.city.nats_inbox", reason="needs the extra `city`")
    with nats_server(tmp_path) as server:
        queue = nats.NatsQueue([Endpoint(HOST, server.queue_port, tls=Tls())], queued_topics("t"))
        assert not queue.read(1, 0.1)
        assert queue.problem == f"broker {HOST}:{server.queue_port}: offers no TLS, which mqtt.tls wants"
        queue.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"MSG a.b 1 5\r\nhello 7\r\n", (b"a.b", b"1", None, b"5")),
        (b"MSG a.b 12 $JS.ACK.x 5\r\n", (b"a.b", b"12", b"$JS.ACK.x", b"5")),
        (b"MSG a.b\tc\r\n 1 r 5\r\n", (b"a.b\tc\r\n", b"1", b"r", b"5")),
        (b"HMSG _INBOX.x 8  84 84\r\n", (b"_INBOX.x", b"8", b"", b"84", b"84")),
        (b"HMSG a.b\x0bc 8 r 12 90\r\n", (b"a.b\x0bc", b"8", b"r", b"12", b"90")),
    ],
)
def test_lines_of_nats_are_parted_by_single_spaces(line: bytes, told: tuple[bytes | None, ...]) -> None:
    pytest.importorskip("edge_app.city.nats_inbox")
    from nats.protocol import parser

    found = (parser.HMSG_RE if line.startswith(b"H") else parser.MSG_RE).match(line)
    assert found
    subject, sid, _, reply, *sizes = found.groups()
    assert (subject, sid, reply, *sizes) == told

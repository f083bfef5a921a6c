"""Run a real MQTT 5 broker on loopback for the demo: rumqttd from the iotcore wheel.

This is the only file that imports iotcore. The broker runs in a child process that watches a pipe from its parent, so
it ends whenever the parent ends, also when the parent is killed. Ctrl-C in the terminal does not end it: the messages
of a clean stop still arrive.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_app.errors import BrokerError

HOST: Final = "127.0.0.1"

# Without a settings file iotcore supports only MQTT 3.1.1. Sizes are in bytes; for each topic the router keeps at most
# max_segment_size * max_segment_count.
_SETTINGS: Final = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10

[v5.1]
name = "demo"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
"""


@contextlib.contextmanager
def embedded(port: int = 0) -> Iterator[int]:
    """Run a broker on 127.0.0.1 inside the context and yield its port.

    It asks for no login and supports only MQTT 5. port: 0 takes a free one.
    Raises BrokerError: when iotcore is not installed, the port is in use or the broker does not start.
    """
    try:
        from iotcore import Broker
    except ImportError as error:
        raise BrokerError("the demo's broker is not installed; get it with: pip install 'edge-app[demo]'") from error
    with tempfile.TemporaryDirectory(prefix="edge-app-broker-") as folder:
        settings = Path(folder) / "rumqttd.toml"
        port = port or _free_port()
        settings.write_text(_SETTINGS.format(host=HOST, port=port))
        broker = Broker(config_path=str(settings))
        try:
            broker.start()
        except (OSError, RuntimeError) as error:
            raise BrokerError(f"the demo's broker cannot start on {HOST}:{port} ({error})") from error
        try:
            yield port
        finally:
            broker.stop()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port

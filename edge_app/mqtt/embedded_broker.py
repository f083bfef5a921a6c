"""Run a real MQTT 5 broker on loopback for the demo: rumqttd from the iotcore wheel.

This is the only file that uses iotcore. The broker runs in a child process that watches a pipe from its parent, so it
ends whenever the parent ends, also when the parent is killed. Nothing else ends it: neither Ctrl-C in the terminal nor
the SIGTERM that systemd sends to all processes of a service; the messages of a clean stop still arrive.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from edge_app.errors import BrokerError, reason_of

HOST: Final = "127.0.0.1"
_START_S: Final = 10.0
_STOP_S: Final = 5.0
_LOOK_S: Final = 0.05
_HELD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that go to the parent alone."""
_CHILD: Final = """
import logging, os, sys, threading
sys.path[:] = [path for path in sys.path if path not in ("", ".")]  # a folder of that name is not the package
from iotcore import Broker
logging.getLogger("rumqttd").setLevel(logging.CRITICAL)  # its spans are told as errors, for every packet
def end():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
Broker(config_path=sys.argv[1]).run_forever()
"""

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
        import_module("iotcore")
    except ImportError as error:
        raise BrokerError("the demo's broker is not installed; get it with: pip install 'edge-app[demo]'") from error
    with tempfile.TemporaryDirectory(prefix="edge-app-broker-") as folder:
        settings = Path(folder) / "rumqttd.toml"
        try:
            port = _free_port(port)
        except OSError as error:
            raise BrokerError(f"the demo's broker cannot start on {HOST}:{port} ({reason_of(error)})") from error
        settings.write_text(_SETTINGS.format(host=HOST, port=port))
        with _child(settings) as child:
            _wait_for(child, port)
            yield port


@contextlib.contextmanager
def _child(settings: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the broker's process within the context."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)  # a child inherits what is held back
    try:
        child = subprocess.Popen((sys.executable, "-c", _CHILD, str(settings)), stdin=subprocess.PIPE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert child.stdin
    try:
        yield child
    finally:
        child.stdin.close()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for(child: subprocess.Popen[bytes], port: int) -> None:
    """Return when the broker takes connections. Raises BrokerError: when it ends before, or is too slow."""
    end = time.monotonic() + _START_S
    while child.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), _LOOK_S):
            return
        time.sleep(_LOOK_S)
    why = "it is too slow" if child.poll() is None else f"its process ended with {child.returncode}"
    raise BrokerError(f"the demo's broker cannot start on {HOST}:{port} ({why})")


def _free_port(port: int) -> int:
    """Return the port, or any for 0. Raises OSError: when it is in use."""
    with socket.create_server((HOST, port)) as free:
        return int(free.getsockname()[1])

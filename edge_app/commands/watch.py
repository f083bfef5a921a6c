"""`edge-app watch`: show the counts and states of every device under a topic prefix, as a subscriber receives them."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.console.device_table import DeviceTable
    from edge_app.mqtt.endpoint import Endpoint
    from edge_app.mqtt.events import Message
    from edge_app.mqtt.session import Subscriber

HELP = "show a live table of the counts and states of every device under a topic prefix"

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_ENCRYPTED: Final = ("mqtts", "wss")
_REDRAW_S: Final = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker",
        default="mqtt://127.0.0.1:1883",
        metavar="URL",
        help="mqtt://USER:PASSWORD@HOST:PORT, mqtts:// with TLS, ws:// and wss:// with a path for WebSockets; several "
        "hosts of one cluster with commas; better give the password in EDGE_APP_MQTT_PASSWORD (default: %(default)s)",
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="mqtts, wss: the authority to trust, PEM")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="mqtts, wss: certificate of this reader, PEM")
    parser.add_argument("--key", type=Path, metavar="FILE", help="mqtts, wss: key of that certificate, PEM")
    parser.add_argument(
        "--prefix",
        default="traffic/v1",
        help="beginning of the topics, with mqtt.prefix in front (default: %(default)s)",
    )
    parser.add_argument("--once", action="store_true", help="print the table once from the retained messages, and end")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Show the devices until a stop signal; return 0. Raises ConfigError, and BrokerError with --once."""
    import secrets

    from edge_app.console.device_table import DeviceTable
    from edge_app.mqtt.endpoint import Backoff
    from edge_app.mqtt.session import Session, Subscriber
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret

    to = endpoints(arguments.broker, os.environ, arguments.ca_file, arguments.cert, arguments.key)
    keep_secret(to[0].password)
    logs.setup("error")  # the session's warnings are shown beside the table
    devices = DeviceTable(checked_prefix(arguments.prefix))
    session = Session(to, f"edge-app-watch-{secrets.token_hex(4)}", backoff=Backoff(max_s=5.0))
    subscriber = Subscriber(session, devices.topics)
    try:
        if arguments.once:
            _once(devices, subscriber, stop)
        elif sys.stdout.isatty():
            _live(devices, subscriber, stop, " or ".join(str(address) for address in to))
        else:
            _lines(devices, subscriber, stop)
    finally:
        subscriber.close()
    return 0


def endpoints(
    url: str,
    environment: Mapping[str, str],
    ca_file: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
) -> list[Endpoint]:
    """Return the endpoints of a URL mqtt://USER:PASSWORD@HOST,HOST:PORT, mqtts://..., ws://.../PATH or wss://.../PATH.

    environment: gives the password in EDGE_APP_MQTT_PASSWORD when the URL has none. ca_file: authority to trust, PEM.
    cert, key: certificate and key of this reader, PEM, for a broker that requires them.
    Raises ConfigError: without showing the URL, which may contain a password.
    """
    from edge_app.mqtt.endpoint import PATH, Endpoint, Tls

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text would repeat the URL
        raise ConfigError("--broker: the port must be 1 to 65535, and only an IPv6 address stands in [ ]") from None
    hosts, websockets = (parts.hostname or "").split(","), parts.scheme in ("ws", "wss")
    strange = parts.query or (parts.path.strip("/") and not websockets) or not parts.path.isprintable()
    if parts.scheme not in _PORTS or not all(hosts) or port == 0 or strange or " " in parts.path:
        raise ConfigError(
            "--broker: must be mqtt://HOST:PORT or mqtts://HOST:PORT, ws://HOST:PORT/PATH or wss://HOST:PORT/PATH, "
            "with USER:PASSWORD@ if needed"
        )
    if (ca_file or cert or key) and parts.scheme not in _ENCRYPTED:
        raise ConfigError("--ca-file, --cert, --key: are used only with --broker mqtts://... or wss://...")
    if bool(cert) != bool(key):
        raise ConfigError("--cert and --key: give both, or none")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if username and not password:
        password = environment.get("EDGE_APP_MQTT_PASSWORD", "")
    tls = Tls(ca_file, cert, key) if parts.scheme in _ENCRYPTED else None
    way = ("websockets", parts.path or PATH) if websockets else ("tcp", PATH)
    return [Endpoint(host, port or _PORTS[parts.scheme], username, password, tls, *way) for host in hosts]  # type: ignore[arg-type]


def checked_prefix(prefix: str) -> str:
    """Return the prefix without slashes at its ends. Raises ConfigError when no topic can begin with it."""
    stripped = prefix.strip("/")
    if not stripped or not stripped.isprintable() or set(stripped) & set("+#"):
        raise ConfigError(f"--prefix: {prefix!r} must be the beginning of topics, such as traffic/v1, without + and #")
    return stripped


def _once(devices: DeviceTable, subscriber: Subscriber, stop: threading.Event) -> None:
    from edge_app.console import terminal
    from edge_app.console.tables import devices_view
    from edge_app.mqtt.session import retained

    for message in retained(subscriber, _messages(devices, subscriber, stop)):
        devices.add(message)
    terminal.stdout().print(devices_view(devices, _now()))
    _warn_unreadable(devices)


def _live(devices: DeviceTable, subscriber: Subscriber, stop: threading.Event, broker: str) -> None:
    from rich.live import Live

    from edge_app.console import terminal
    from edge_app.console.tables import watch_view

    console, drawn = terminal.stdout(), -_REDRAW_S
    with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        console.show_cursor(True)  # a second Ctrl-C ends the program at once and would leave the cursor hidden
        for message in _messages(devices, subscriber, stop):
            if message:
                devices.add(message)
            if time.monotonic() - drawn >= _REDRAW_S:
                drawn = time.monotonic()
                live.update(
                    watch_view(devices, _now(), broker, subscriber.problem, connected=subscriber.connected),
                    refresh=True,
                )


def _lines(devices: DeviceTable, subscriber: Subscriber, stop: threading.Event) -> None:
    from edge_app.console.tables import line_text

    problem = ""
    for message in _messages(devices, subscriber, stop):
        unreadable = devices.unreadable
        update = devices.add(message) if message else None
        if update:
            print(line_text(update), flush=True)
        if devices.unreadable > unreadable:
            _warn_unreadable(devices)
        if subscriber.problem != problem:
            problem = subscriber.problem
            print(f"edge-app: {problem or 'connected'}", file=sys.stderr)


def _messages(devices: DeviceTable, subscriber: Subscriber, stop: threading.Event) -> Iterator[Message | None]:
    """Yield each message, and None when none came for 0.1 s, until `stop` is set."""
    connected = False
    while not stop.is_set():
        message = subscriber.read(0.1)
        if subscriber.connected and not connected:
            devices.resume()
        connected = subscriber.connected
        yield message


def _warn_unreadable(devices: DeviceTable) -> None:
    if devices.unreadable:
        print(f"edge-app: unreadable messages so far: {devices.unreadable}", file=sys.stderr)


def _now() -> datetime:
    return datetime.now(timezone.utc)

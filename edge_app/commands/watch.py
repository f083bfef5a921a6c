"""`edge-app watch`: what every device under a topic prefix tells, as any subscriber hears it."""

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

from edge_app.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from edge_app.console.device_table import DeviceTable
    from edge_app.mqtt.connection import Message
    from edge_app.mqtt.endpoint import Endpoint
    from edge_app.mqtt.session import Subscriber

HELP = "a live table of the counts and states of every device under a topic prefix"

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_REDRAW_S: Final = 0.25
_QUIET_S: Final = 1.0
"""When nothing has come for so long, --once has seen all that the broker retains."""
_PATIENCE_S: Final = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker",
        default="mqtt://127.0.0.1:1883",
        metavar="URL",
        help="mqtt://USER:PASSWORD@HOST:PORT, mqtts:// with TLS; better give the password in EDGE_APP_MQTT_PASSWORD "
        "(default: %(default)s)",
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="mqtts: authority to trust, PEM")
    parser.add_argument("--prefix", default="traffic/v1", help="of the topics (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="print the table once, from what the broker has, and end")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """0 after SIGTERM or SIGINT; raises ConfigError, and BrokerError with --once."""
    import secrets

    from edge_app.console.device_table import DeviceTable
    from edge_app.mqtt.endpoint import Backoff
    from edge_app.mqtt.session import Session, Subscriber
    from edge_app.system import logging as logs
    from edge_app.system.redaction import keep_secret

    to = endpoint(arguments.broker, os.environ, arguments.ca_file)
    keep_secret(to.password)
    logs.setup("error")  # what the session would warn of is shown beside the table
    board = DeviceTable(checked_prefix(arguments.prefix))
    session = Session(to, f"edge-app-watch-{secrets.token_hex(4)}", backoff=Backoff(max_s=5.0))
    reader = Subscriber(session, board.topics)
    try:
        if arguments.once:
            _once(board, reader, stop)
        elif sys.stdout.isatty():
            _live(board, reader, stop, str(to))
        else:
            _lines(board, reader, stop)
    finally:
        reader.close()
    return 0


def endpoint(url: str, environment: Mapping[str, str], ca_file: Path | None = None) -> Endpoint:
    """Where a URL leads. The password may come from EDGE_APP_MQTT_PASSWORD. Raises ConfigError, never showing the URL,
    in which a password may stand."""
    from edge_app.mqtt.endpoint import Endpoint, Tls

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text would repeat the URL
        raise ConfigError("--broker: the port must be a number from 1 to 65535, and [ ] go round IPv6 alone") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0 or parts.path.strip("/") or parts.query:
        raise ConfigError("--broker: must be mqtt://HOST:PORT or mqtts://HOST:PORT, with USER:PASSWORD@ if needed")
    if ca_file and parts.scheme != "mqtts":
        raise ConfigError("--ca-file: is used only with --broker mqtts://...")
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if username and not password:
        password = environment.get("EDGE_APP_MQTT_PASSWORD", "")
    tls = Tls(ca_file) if parts.scheme == "mqtts" else None
    return Endpoint(parts.hostname, port or _PORTS[parts.scheme], username, password, tls)


def checked_prefix(prefix: str) -> str:
    """Without slashes at its ends. Raises ConfigError for what no topic can begin with."""
    stripped = prefix.strip("/")
    if not stripped or not stripped.isprintable() or set(stripped) & set("+#"):
        raise ConfigError(f"--prefix: {prefix!r} must be the beginning of topics, such as traffic/v1, without + and #")
    return stripped


def _once(board: DeviceTable, reader: Subscriber, stop: threading.Event) -> None:
    from edge_app.console import terminal
    from edge_app.console.tables import devices_view

    deadline = time.monotonic() + _PATIENCE_S
    heard: float | None = None
    for message in _messages(board, reader, stop):
        if reader.problem or (not reader.connected and time.monotonic() > deadline):
            raise BrokerError(reader.problem or f"the broker gives no answer within {_PATIENCE_S:g} s")
        if message:
            board.take(message)
        if reader.connected and (message or heard is None):
            heard = time.monotonic()
        if heard is not None and time.monotonic() - heard > _QUIET_S:
            break
    terminal.stdout().print(devices_view(board, _now()))
    _tell_unreadable(board)


def _live(board: DeviceTable, reader: Subscriber, stop: threading.Event, place: str) -> None:
    from rich.live import Live

    from edge_app.console import terminal
    from edge_app.console.tables import watch_view

    console, drawn = terminal.stdout(), -_REDRAW_S
    with Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live:
        console.show_cursor(True)  # a second Ctrl-C ends the program at once and would leave the terminal without one
        for message in _messages(board, reader, stop):
            if message:
                board.take(message)
            if time.monotonic() - drawn >= _REDRAW_S:
                drawn = time.monotonic()
                live.update(watch_view(board, _now(), place, reader.problem, connected=reader.connected), refresh=True)


def _lines(board: DeviceTable, reader: Subscriber, stop: threading.Event) -> None:
    from edge_app.console.tables import line_text

    told = ""
    for message in _messages(board, reader, stop):
        unreadable = board.unreadable
        news = board.take(message) if message else None
        if news:
            print(line_text(news), flush=True)
        if board.unreadable > unreadable:
            _tell_unreadable(board)
        if reader.problem != told:
            told = reader.problem
            print(f"edge-app: {told or 'connected'}", file=sys.stderr)


def _messages(board: DeviceTable, reader: Subscriber, stop: threading.Event) -> Iterator[Message | None]:
    """What arrives, and None now and then; ends with `stop`."""
    connected = False
    while not stop.is_set():
        message = reader.read(0.1)
        if reader.connected and not connected:
            board.resume()
        connected = reader.connected
        yield message


def _tell_unreadable(board: DeviceTable) -> None:
    if board.unreadable:
        print(f"edge-app: unreadable: {board.unreadable}", file=sys.stderr)


def _now() -> datetime:
    return datetime.now(timezone.utc)

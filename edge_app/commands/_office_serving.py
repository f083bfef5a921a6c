"""`edge-app fleet serve`: the process that holds the office's key, carries out orders and leads roll-outs."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.database.engine import Database
    from edge_app.city.desired import Genuine, Layer
    from edge_app.mqtt.session import Session


def run_serve(config: CityConfig, folder: Path, stop: threading.Event) -> int:
    """Hold the key until told to stop. Raises ConfigError, StoreError."""
    from edge_app.city.holding import hold
    from edge_app.city.service import opened
    from edge_app.system import logging as logs
    from edge_app.system.systemd import notify

    signing_key(config)  # a wrong one is told before anything waits
    logs.setup("info")
    with opened(config, folder) as database:
        notify("READY=1")
        name = hold(
            database,
            stop.is_set,
            wait=True,
            on_waiting=lambda: print("Another process of the office runs; this one waits for its end.", flush=True),
        )
        if name:
            print("This process holds the office's key: it carries out orders and leads roll-outs.", flush=True)
            lead_until(config, database, name, stop.is_set)
    return 0


def signing_key(config: CityConfig) -> Any:
    """Return the office's key. Raises ConfigError."""
    from edge_app.config.secrets import is_office_credential
    from edge_app.system.signatures import read_key

    if config.signing.key_file is None:
        raise ConfigError("no signing key: name it as signing.key_file in city.toml; `edge-app fleet key` makes one")
    key = read_key(config.signing.key_file)
    if config.signing.public_key not in (None, key.public_key):
        handed = is_office_credential(config.signing.key_file)
        where = " (the unit hands over office.key beside city.toml, whatever signing.key_file says)" if handed else ""
        raise ConfigError(
            f"signing.public_key is not that of {config.signing.key_file}{where}, which is {key.public_key}: "
            "a key of before belongs into signing.former"
        )
    return key


def genuine_of(config: CityConfig, key: Any) -> Genuine:
    """Return what tells which messages the office has signed. key: the present one."""
    return _genuine_by(config, key.public_key)


def known_genuine(config: CityConfig) -> Genuine | None:
    """Return the same without the private key, by the public one; None where the configuration does not name that."""
    return _genuine_by(config, config.signing.public_key) if config.signing.public_key else None


def _genuine_by(config: CityConfig, public_key: str) -> Genuine:
    from edge_app.city.desired import genuine
    from edge_app.system.key_names import key_name
    from edge_app.system.signatures import verify

    return genuine({key_name(public): public for public in (public_key, *config.signing.former)}, verify)


def session_of(config: CityConfig, process: str, longest_wait_s: float) -> Session:
    """Return a connection to the broker, not connected yet. longest_wait_s: between two attempts."""
    from edge_app.assembly.broker import endpoints_of
    from edge_app.city.inbox import GROUP
    from edge_app.mqtt.endpoint import Backoff
    from edge_app.mqtt.session import Session

    client = f"{GROUP}-{process}-{secrets.token_hex(4)}"  # RabbitMQ lets the city have queues of such names alone
    return Session(
        endpoints_of(config.mqtt), client, protocol=config.mqtt.protocol, backoff=Backoff(max_s=longest_wait_s)
    )


def lead_until(config: CityConfig, database: Database, name: str, stop: Callable[[], bool]) -> None:
    """Lead roll-outs, as the process with the key, until `stop` returns True; say what is wrong with the broker."""
    from edge_app.city.link import FleetLink
    from edge_app.city.office_process import OfficeProcess
    from edge_app.mqtt.identity import root_below

    key = signing_key(config)
    link = FleetLink(session_of(config, "office", 30.0), root_below(config.mqtt.prefix), genuine_of(config, key))
    process, told = OfficeProcess(database, link, key, name, refused_keys, by_names=config.broker.by_names), ""

    def over() -> bool:
        nonlocal told
        if link.problem not in ("", told):
            told = link.problem
            print(told, file=sys.stderr, flush=True)
        return stop()

    try:
        process.begin()
        process.run(over)
    finally:
        link.close()
        process.end()


def refused_keys(layer: Layer) -> Sequence[str]:
    """Return the keys of a layer that the office may not set."""
    from edge_app.config import layers

    return layers.refused_keys(layers.Layer("office", layer.set, layer.unset))

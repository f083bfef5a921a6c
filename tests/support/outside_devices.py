"""Devices that log in at a city's broker with certificates: nsenter -n ... python -m tests.support.outside_devices ....

FOLDER CA PORT NAME...: their files, the city's authority as deploy/broker/ca.sh makes it, the broker's port on
loopback, and devices of the site `ring` that are enrolled there. They count what drives by on a rendered curve until
standard input ends. `told` says afterwards, or meanwhile, what they have closed.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_app.city.simulator.device import SimulatedDevice
from edge_app.city.simulator.traffic import Street
from edge_app.config.model import Config, CountingConfig, DeviceConfig, LineConfig, MqttConfig, StoreConfig
from edge_app.records import VEHICLES
from edge_app.storage.sqlite import FILE
from edge_app.system import logging as logs
from tests.city.test_ingest import driving

SITE = "ring"
_BUSY = Street("Ring Road", 40_000.0, 0.5, ZoneInfo("UTC"))


def main(folder: Path, authority: Path, port: int, *names: str) -> None:
    """Count until standard input ends."""
    logs.setup("error")  # brokers are killed, and boots end connections
    with ExitStack() as stack:
        devices = []
        for name in names:
            devices.append(SimulatedDevice(_config(folder / name, authority, port, name), {"main": _BUSY}))
            stack.callback(devices[-1].close)
        with driving(devices):
            sys.stdin.read()


def told(folder: Path) -> tuple[int, int]:
    """Return how many intervals the devices have closed, and the vehicles in them, by their own files."""
    series = [one for file in folder.glob(f"*/{FILE}") for one in _series(file)]
    vehicles = sum(sum(ways.values()) for _, totals in series for ways in totals.values())
    return sum(seq for seq, _ in series), vehicles


def _series(file: Path) -> Iterator[tuple[int, dict[str, dict[str, int]]]]:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10.0)) as ledger:
        for seq, totals in ledger.execute("SELECT seq, totals FROM series"):
            yield seq, json.loads(totals)


def _config(folder: Path, authority: Path, port: int, name: str) -> Config:
    folder.mkdir(exist_ok=True)
    issued = authority / "issued"
    return Config(
        device=DeviceConfig(site=SITE, device=name),
        lines=(LineConfig(id="main", start=(0.1, 0.5), end=(0.9, 0.5), road="Ring Road"),),
        # a fast clock for the trial, faster than the configuration allows
        counting=CountingConfig(classes=VEHICLES).model_copy(update={"interval_s": 1}),
        mqtt=MqttConfig(
            host="127.0.0.1",
            port=port,
            tls=True,
            ca_file=authority / "ca.pem",
            cert_file=issued / f"{SITE}.{name}.pem",
            key_file=issued / f"{SITE}.{name}.key",
            keepalive_s=5,
        ),
        store=StoreConfig(folder=folder),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])

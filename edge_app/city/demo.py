"""Run a whole city in one process: broker, twenty devices, ingest, database and page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from edge_app.city.asking import Asking
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.inventory import put_sites
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing
from edge_app.city.inbox import topics
from edge_app.city.ingest import Worker
from edge_app.city.inventory import Attachment, Heading, SiteDescription
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.city.portion import Portion
from edge_app.city.records import Interval
from edge_app.city.simulator.device import SimulatedDevice
from edge_app.city.simulator.town import TIME_ZONE, Counter, counters, history
from edge_app.config.model import Config, CountingConfig, DeviceConfig, LineConfig, MqttConfig, StoreConfig
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.session import Session
from edge_app.records import VEHICLES
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

INTERVAL_S: Final = 10
_RECENT_DAYS: Final = 57
"""History of every counter: what the page of a street shows."""
_YEAR_OF: Final = 3
"""Counters with a year of it."""
_PUBLIC: Final = 4
"""Counters whose streets are on the public page."""
_WAYS: Final = ("into town", "out of town")
_LEAST: Final = 100
_MOST: Final = 2_000
"""Intervals of the history that are stored in one transaction."""
_DAY_S: Final = 86_400


@contextmanager
def running(folder: Path, *, on_stored: Callable[[Sequence[Interval]], None] = lambda _: None) -> Iterator[Database]:
    """Run everything but the page within the context and yield the database.

    folder: for the database and the state of the devices. on_stored: gets the new intervals of each batch.
    Raises BrokerError, StoreError.
    """
    with ExitStack() as stack:
        database = open_database(f"sqlite:///{folder / 'city.sqlite3'}")
        stack.callback(database.close)
        with database.begin() as connection:
            put_sites(connection, [_public(counter) for counter in counters()[:_PUBLIC]], "the demo", time.time())
        port = stack.enter_context(embedded())
        stop = threading.Event()
        session = Session(
            Endpoint(HOST, port), "edge-app-city-1", timing=Timing(session_expiry=3600, by_hand=True, keepalive=30)
        )
        inbox = MqttInbox(session, topics(ROOT))
        worker = Worker(inbox, database, ROOT, asking=Asking(), on_stored=on_stored)
        devices = [_device(counter, port, folder / counter.device) for counter in counters()]
        threads = [
            threading.Thread(target=worker.run, args=(stop.is_set,), name="ingest", daemon=True),
            threading.Thread(target=_drive, args=(devices, stop), name="traffic", daemon=True),
            threading.Thread(target=_remember, args=(database, stop), name="history", daemon=True),
        ]
        for thread in threads:
            start_thread(thread)
        try:
            yield database
        finally:
            stop.set()
            for thread in threads:
                thread.join(10.0)
            for device in devices:
                device.close()
            inbox.close()


def _public(counter: Counter) -> SiteDescription:
    """Return a site of the inventory that is on the public page; those of other counters make themselves."""
    return SiteDescription(
        id=f"{counter.district}-{counter.line}",
        road=counter.road,
        lat=counter.lat,
        lon=counter.lon,
        time_zone=TIME_ZONE,
        left_to_right=Heading(name=_WAYS[0], bearing_deg=counter.bearing),
        right_to_left=Heading(name=_WAYS[1], bearing_deg=(counter.bearing + 180) % 360),
        lanes=2,
        public=True,
        attachments=[Attachment(device=f"{counter.district}/{counter.device}", line=counter.line)],
    )


def _device(counter: Counter, port: int, folder: Path) -> SimulatedDevice:
    folder.mkdir()
    line = LineConfig(
        id=counter.line,
        start=(0.1, 0.6),
        end=(0.9, 0.6),
        road=counter.road,
        left_to_right_bearing_deg=counter.bearing,
        right_to_left_bearing_deg=(counter.bearing + 180) % 360,
        left_to_right=_WAYS[0],
        right_to_left=_WAYS[1],
    )
    config = Config(
        device=DeviceConfig(
            site=counter.district, device=counter.device, lat=counter.lat, lon=counter.lon, time_zone=TIME_ZONE
        ),
        lines=(line,),
        counting=CountingConfig(interval_s=INTERVAL_S, classes=VEHICLES),
        mqtt=MqttConfig(host=HOST, port=port),
        store=StoreConfig(folder=folder),
    )
    return SimulatedDevice(config, {counter.line: counter.street})


def _drive(devices: Sequence[SimulatedDevice], stop: threading.Event) -> None:
    while not stop.wait(1.0):
        for device in devices:
            device.turn()


def _remember(database: Database, stop: threading.Event) -> None:
    """Store what the counters have told before, as if it had come over the broker: first what a page shows."""
    storing, now, portion = Storing(), int(time.time()), Portion(_LEAST, _MOST)
    recent = now - _RECENT_DAYS * _DAY_S
    parts = [(counter, recent, now) for counter in counters()]
    parts += [(counter, now - 365 * _DAY_S, recent) for counter in counters()[:_YEAR_OF]]
    for counter, begin, end in parts:
        intervals = list(history(counter, begin, end))
        at = 0
        while at < len(intervals):
            if stop.is_set():
                return
            batch = intervals[at : at + portion.size]
            at += len(batch)
            portion.took(len(batch), _store(database, storing, batch))


def _store(database: Database, storing: Storing, batch: Sequence[Interval]) -> float:
    """Store a batch and add it up; return the time of the longer transaction, s."""
    with database.begin() as connection:
        begun = time.monotonic()
        storing.store(connection, batch, time.time())
    stored = time.monotonic() - begun
    with database.begin() as connection:
        begun = time.monotonic()
        roll_up(connection, len(batch))
    return max(stored, time.monotonic() - begun)

"""Put the parts of the city side together from its configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_app.assembly.broker import endpoints_of
from edge_app.city.asking import Asking
from edge_app.city.config import CityConfig, FeedsConfig, database_url
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.worker_lock import WorkerLock, worker_lock
from edge_app.city.feeds.datex2 import Publisher
from edge_app.city.following import following
from edge_app.city.inbox import GROUP, BesideMqtt, Inbox, Queue, beside_topics, queued_topics, topics
from edge_app.city.ingest import Worker
from edge_app.city.live import Live
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.city.records import Interval
from edge_app.errors import ConfigError
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import root_below
from edge_app.mqtt.session import Session
from edge_app.system.threads import start_thread

_STOP_S = 10.0


def open_configured(config: CityConfig, folder: Path) -> Database:
    """Return the configured database. folder: of the configuration's file. Raises ConfigError, StoreError."""
    return open_database(database_url(config.database, folder), archive=config.archive.folder)


@contextmanager
def working_alone(config: CityConfig, folder: Path) -> Iterator[WorkerLock]:
    """Hold the lock on the worker's name within the context. Raises StoreError: while another process has it."""
    with worker_lock(database_url(config.database, folder), client_id_of(config)) as lock:
        yield lock


@contextmanager
def opened(config: CityConfig, folder: Path) -> Iterator[Database]:
    """Yield the configured database, which is closed at the end. Raises ConfigError, StoreError: as above."""
    database = open_configured(config, folder)
    try:
        yield database
    finally:
        database.close()


def publisher_of(config: FeedsConfig) -> Publisher | None:
    """Return who publishes DATEX II, None where that feed is off."""
    if not config.datex2:
        return None
    return Publisher(config.country or "", config.publisher or "", config.language)


def shares(config: CityConfig) -> bool:
    """Return whether other workers may store what this one does not: they are dealt the same messages."""
    return config.ingest.shared or config.broker.kind != "mqtt"


@contextmanager
def telling(config: CityConfig, database: Database, live: Live) -> Iterator[Callable[[Sequence[Interval]], None]]:
    """Tell pages what is stored within the context, and yield what this process's worker is to call.

    Where other workers store too, all of it is read from the database.
    """
    if not shares(config):
        yield live.tell
        return
    with following(database, live):
        yield lambda _: None


def client_id_of(config: CityConfig) -> str:
    """Return the name by which the broker keeps messages for this worker."""
    return config.mqtt.client_id or f"{GROUP}-{config.ingest.worker}"


def timing_of(config: CityConfig) -> Timing:
    """Return how a worker connects to a broker that keeps its session: what waits there is not dropped."""
    return Timing(keepalive=config.mqtt.keepalive_s, session_expiry=config.ingest.session_s, by_hand=True)


def open_inbox(config: CityConfig) -> Inbox:
    """Return the inbox of a worker, not connected yet.

    Raises ConfigError: when the TLS files or the prefix cannot be used.
    Raises ImportError: when the package for the broker is missing.
    """
    mqtt, ingest, kind = config.mqtt, config.ingest, config.broker.kind
    root, fleet = root_below(mqtt.prefix), ingest.ask or not ingest.shared
    if kind == "mqtt":
        return MqttInbox(_session(config, keep=True), topics(root, share=GROUP if ingest.shared else "", fleet=fleet))
    if "." in root:
        raise ConfigError(
            f'mqtt.prefix: may have no dot with broker.kind = "{kind}", which puts one between all levels'
        )
    by_names = config.broker.by_names
    beside = MqttInbox(_session(config, keep=False), beside_topics(root), by_names=by_names) if fleet else None
    return BesideMqtt(open_queue(config, queued_topics(root, fleet=fleet), makes=fleet), beside)


def queue_addresses(config: CityConfig) -> list[Endpoint]:
    """Return where the queue of a broker with one is, with login and TLS. Raises ConfigError: see `open_inbox`."""
    port = config.broker.queue_port(tls=config.mqtt.tls)
    return [replace(address, port=port) for address in endpoints_of(config.mqtt)]


def open_queue(config: CityConfig, topics: Sequence[str], *, makes: bool = True) -> Queue:
    """Return the queue of a broker with one, NATS or RabbitMQ; otherwise like `open_inbox`.

    makes: it makes sure of what the broker needs for it, rather than use what is there.
    """
    if config.broker.kind == "nats":
        from edge_app.city.nats_inbox import NatsQueue

        return NatsQueue(queue_addresses(config), topics, makes=makes)
    from edge_app.city.rabbitmq_inbox import RabbitMqQueue

    return RabbitMqQueue(queue_addresses(config), topics, makes=makes)


def _session(config: CityConfig, *, keep: bool) -> Session:
    """Return a session. keep: the broker keeps it for the worker, whose messages are acknowledged by hand."""
    mqtt = config.mqtt
    timing = timing_of(config) if keep else Timing(keepalive=mqtt.keepalive_s)
    return Session(endpoints_of(mqtt), client_id_of(config), protocol=mqtt.protocol, timing=timing)


@contextmanager
def ingesting(
    config: CityConfig, database: Database, on_stored: Callable[[Sequence[Interval]], None] = lambda _: None
) -> Iterator[Worker]:
    """Run one worker in a thread within the context. on_stored: gets the new intervals of each batch.

    Raises ConfigError: when the TLS files cannot be used.
    """
    ingest = config.ingest
    inbox = open_inbox(config)
    root = root_below(config.mqtt.prefix)
    asking, pictures_s = Asking() if ingest.ask else None, config.reviews.keep_days * 86_400
    worker = Worker(
        inbox, database, root, asking=asking, on_stored=on_stored, shares=shares(config), pictures_s=pictures_s
    )
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,), name="ingest", daemon=True)
    start_thread(thread)
    try:
        yield worker
    finally:
        stop.set()
        thread.join(_STOP_S)
        if not thread.is_alive():  # an inbox belongs to one thread
            inbox.close()


@contextmanager
def archiving(config: CityConfig, database: Database) -> Iterator[Callable[[], int]]:
    """Move old days into the archive in a thread within the context, and yield how many are overdue.

    Without an archive there is no thread, and none ever is.
    """
    if database.archive is None:
        yield int
        return
    from edge_app.city.archiving import Archiving

    moving, stop = Archiving(database, database.archive, config.archive.minutes_days), threading.Event()
    thread = threading.Thread(target=moving.run, args=(stop.is_set,), name="archive", daemon=True)
    start_thread(thread)
    try:
        yield lambda: moving.tally.overdue
    finally:
        stop.set()
        thread.join(_STOP_S)

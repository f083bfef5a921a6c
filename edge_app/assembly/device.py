"""Build what a device is and says: identity, ledger, session, messages, publisher."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial

from edge_app import __version__
from edge_app.assembly.broker import build_endpoints
from edge_app.assembly.measures import build_geometry, closing_grace_s
from edge_app.config.model import Config
from edge_app.counting.pipeline import COUNTING_REVISION
from edge_app.measures.interval_sums import nothing
from edge_app.mqtt.command_desk import SignedWork
from edge_app.mqtt.config_desk import MAX_PACKET as MAX_OFFICE_PACKET
from edge_app.mqtt.connection import MAX_PACKET
from edge_app.mqtt.device_messages import DirectionMeta, Health, LineMeta, Location, Meta
from edge_app.mqtt.encoding import encode_counts
from edge_app.mqtt.events import Timing
from edge_app.mqtt.homeassistant import ANNOUNCED, Announcement, entities_of
from edge_app.mqtt.identity import Device
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session
from edge_app.records import DIRECTIONS, FLOWS, Line
from edge_app.rollout.office import Office
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import Outbox
from edge_app.system.clock import SteadyClock
from edge_app.system.machine import machine, no_releases
from edge_app.system.processor import processor


def build_device(config: Config, model: str) -> Device:
    """Return the device's identity in messages, with a new boot id for each start of the program.

    model: SHA-256 of the detector file.
    """
    d = config.device
    boot_id = secrets.token_hex(6)
    return Device(d.site, d.device, boot_id, __version__, model, counting_hash(config, model), config.mqtt.prefix)


def counting_hash(config: Config, model: str) -> str:
    """Return the hash of everything that changes a count. model: SHA-256 of the detector file."""
    settings = json.dumps(config.counting_settings(model, COUNTING_REVISION), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(settings.encode()).hexdigest()


def build_ledger(config: Config, device: Device, lines: Sequence[Line]) -> Ledger:
    """Open the ledger and lock the state folder for this process. Raises StoreError."""
    c, d = config.counting, config.device
    measures = nothing(lines, build_geometry(config))
    arms = [FLOWS] if FLOWS in measures else []
    return Ledger(
        config.store.folder,
        [*(line.id for line in lines), *arms],
        Counting(c.classes, c.interval_s, device.config[:12], device.model[:12], measures),
        device.boot_id,
        partial(encode_counts, device),
        names=(d.site, d.device),
        capacity=config.store.max_intervals,
        grace_s=closing_grace_s(lines),
    )


def build_session(config: Config, device: Device, installation: Callable[[], str]) -> Session:
    """Build the connection to the broker, not connected yet. Raises ConfigError when the TLS files do not fit."""
    return Session(
        build_endpoints(config),
        config.mqtt.client_id or device.client_id,
        protocol=config.mqtt.protocol,
        will=lambda: will(device, time.time(), installation()),
        qos=config.mqtt.command_qos,
        timing=Timing(
            keepalive=config.mqtt.keepalive_s, max_packet=MAX_OFFICE_PACKET if config.office.keys else MAX_PACKET
        ),
    )


def build_announcement(config: Config, device: Device, lines: Sequence[Line]) -> Announcement:
    """Build the announcement to Home Assistant; switched off, it removes what was announced before."""
    h, c = config.homeassistant, config.counting
    entities = entities_of(lines, c.classes, c.interval_s, speeds=config.geometry.given) if h.enabled else {}
    return Announcement(device, entities, prefix=h.prefix, record_file=config.store.folder / ANNOUNCED)


def build_meta(config: Config, device: Device, lines: Sequence[Line], model_name: str = "") -> Meta:
    """Return the message that describes the device. model_name: of the detector, for people."""
    d = config.device
    return Meta(
        site=d.site,
        device=d.device,
        location=Location(lat=d.lat, lon=d.lon) if d.lat is not None and d.lon is not None else None,
        time_zone=d.time_zone,
        lines=[_line_meta(line) for line in lines],
        classes=config.counting.classes,
        interval_s=config.counting.interval_s,
        model=device.model[:12],
        config=device.config[:12],
        version=__version__,
        counting=config.counting_settings(device.model, COUNTING_REVISION),
        model_name=model_name,
        processor=processor(),
        machine=machine(),
        takes_releases=not no_releases(config.store.folder),
    )


def _line_meta(line: Line) -> LineMeta:
    directions = {
        direction: DirectionMeta(name=line.names.get(direction), bearing_deg=line.bearings.get(direction))
        for direction in DIRECTIONS
        if direction in line.names or direction in line.bearings
    }
    return LineMeta(
        id=line.id,
        start=line.start,
        end=line.end,
        names=line.names,
        road=line.road,
        directions=directions,
        lanes=line.lanes,
        queue=line.queue,
        enters=line.enters,
    )


def build_publisher(
    config: Config,
    device: Device,
    lines: Sequence[Line],
    session: Session,
    outbox: Outbox,
    health: Callable[[], Health],
    installation: Callable[[], str],
    clock: SteadyClock,
    *,
    model_name: str = "",
    signed_work: SignedWork | None = None,
    utc: Callable[[], float] = time.time,
    office: Office | None = None,
    follows: bool = False,
) -> Publisher:
    """Build the publisher of counts, status, meta and health.

    health: returns the newest health message. model_name: of the detector, for people. utc: the system's clock, UTC s.
    office, follows, signed_work: see `Publisher`.
    """
    return Publisher(
        session,
        outbox,
        device,
        build_meta(config, device, lines, model_name),
        health,
        interval_s=config.counting.interval_s,
        installation=installation,
        latest=config.mqtt.latest,
        crossings=config.mqtt.crossings,
        birth_messages=build_announcement(config, device, lines).birth_messages,
        office=office,
        follows=follows,
        signed_work=signed_work,
        utc=lambda: clock.at(utc(), time.monotonic()),
    )

"""Simulated devices of a fleet: lean ones, many in a thread, and real ones with a thread and a file each."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from edge_app.assembly.counter import build_lines
from edge_app.assembly.device import build_device, build_meta
from edge_app.city.simulator.device import MODEL, SimulatedDevice
from edge_app.city.simulator.town import counters
from edge_app.city.simulator.traffic import Street
from edge_app.config.model import Config, CountingConfig, DeviceConfig, LineConfig, MqttConfig, StoreConfig
from edge_app.mqtt.connection import MAX_PACKET
from edge_app.mqtt.device_messages import Health, Meta, SourceHealth
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import Device
from edge_app.mqtt.presence import will
from edge_app.mqtt.session import ProtocolChoice
from edge_app.records import VEHICLES
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import CLOSES_S
from edge_app.storage.sqlite import Reader
from tests.support.lean_ledger import Counted, LeanLedger
from tests.support.lean_publisher import Carrier, LeanPublisher, LeanSession

SITES: Final = 40
"""Into how many sites of the topic the devices are put."""
ZONES: Final = 24
KINDS: Final = math.lcm(len(counters()), ZONES)
"""Devices whose numbers differ by a multiple of it look at the same street in the same time zone."""
_TIMING: Final = Timing(keepalive=30, max_packet=MAX_PACKET)
_SERIES: Final = "SELECT installation, line, seq, totals FROM series WHERE seq > 0"


@dataclass(frozen=True)
class Way:
    """How devices reach the broker. ports: of MQTT, of each node of a cluster. command_qos: see `MqttConfig`."""

    ports: Sequence[int]
    protocol: ProtocolChoice
    interval_s: int
    command_qos: int = 1


class FleetDevice(Protocol):
    """A device of a fleet. It belongs to one thread; `count` is called when it is due."""

    def start(self) -> None:
        """Switch it on."""
        ...

    def stop(self, *, goodbye: bool) -> None:
        """Switch it off; without a goodbye as a power cut does."""
        ...

    def set_clock(self, offset_s: float) -> None:
        """Set its clock wrong by so much."""
        ...

    def count(self) -> float:
        """Count what drove by; return in how many seconds it is due again."""
        ...

    @property
    def unsent(self) -> int: ...

    @property
    def delivered(self) -> int: ...

    @property
    def connected(self) -> bool: ...

    def counted(self) -> list[Counted]:
        """Return what it has counted and numbered, by its own tables."""
        ...


def config_of(number: int, way: Way, folder: Path) -> tuple[Config, Street]:
    """Return the configuration of a device, and the street that it looks at.

    It is one of the town's, busier or quieter, in a time zone of its own: it is rush hour somewhere at any time.
    """
    of, zone = counters()[number % len(counters())], f"Etc/GMT{number % ZONES - 11:+d}"
    config = Config(
        device=DeviceConfig(site=f"ring-{number % SITES}", device=f"pole-{number}", time_zone=zone),
        lines=(LineConfig(id=of.line, start=(0.1, 0.6), end=(0.9, 0.6), road=of.road),),
        counting=CountingConfig(classes=VEHICLES).model_copy(update={"interval_s": way.interval_s}),
        mqtt=MqttConfig(host=HOST, port=way.ports[0], protocol=way.protocol),
        store=StoreConfig(folder=folder),
    )
    busiest = of.street.busiest * (1 + number % 7) / 4
    return config, replace(of.street, name=f"{of.road} {number}", busiest=busiest, time_zone=ZoneInfo(zone))


@dataclass(frozen=True)
class Model:
    """What devices that look at the same street have in common, made once."""

    device: Device
    meta: Meta

    @classmethod
    def of(cls, config: Config) -> Model:
        """Return it for the street of a configuration."""
        device = build_device(config, MODEL)
        return cls(device, build_meta(config, device, build_lines(config)))


class LeanDevice:
    """A device that a carrier wakes. phase_s: by which it is late in each second, as no two processes are in step."""

    def __init__(self, number: int, way: Way, model: Model, street: Street, carrier: Carrier, phase_s: float) -> None:
        self._way, self._carrier, self._street, self._phase_s = way, carrier, street, phase_s
        names = {"site": f"ring-{number % SITES}", "device": f"pole-{number}"}
        self._device = replace(model.device, **names)
        self._meta = model.meta.model_copy(update=names)
        (line,) = model.meta.lines
        self._line, self._offset_s, self._before = line.id, 0.0, 0
        counting = Counting(VEHICLES, way.interval_s, self._device.config[:12], self._device.model[:12])
        self._ledger = LeanLedger(self._device, [self._line], counting)
        at = number % len(way.ports)  # every node of a cluster is the first of some devices
        self._addresses = [Endpoint(HOST, port) for port in (*way.ports[at:], *way.ports[:at])]
        self._publisher: LeanPublisher | None = None
        self._delivered = 0

    def start(self) -> None:
        """Switch it on, under another boot id."""
        self._device = device = replace(self._device, boot_id=secrets.token_hex(6))
        self._ledger.begin_run(device)
        self._before = int(self._utc())
        session = LeanSession(
            self._addresses,
            device.client_id,
            protocol=self._way.protocol,
            will=lambda: will(device, self._utc(), self._ledger.installation),
            qos=self._way.command_qos,
            timing=_TIMING,
        )
        self._publisher = LeanPublisher(
            session,
            self._ledger.outbox,
            device,
            self._meta,
            self._health,
            interval_s=self._way.interval_s,
            installation=lambda: self._ledger.installation,
            utc=self._utc,
        )
        self._carrier.add(self._publisher)

    def stop(self, *, goodbye: bool) -> None:
        """Switch it off."""
        publisher, self._publisher = self._publisher, None
        if publisher is None:
            return
        self._delivered += publisher.delivered
        connection = publisher.session._connection
        if goodbye:
            publisher.session.close()
        elif connection is not None:
            connection.close(goodbye=False)
        self._carrier.remove(publisher)

    def set_clock(self, offset_s: float) -> None:
        """Set its clock wrong by so much."""
        self._offset_s = offset_s
        self._before = int(self._utc())

    def count(self) -> float:
        """Count what drove by since the last time, and have closed intervals sent."""
        now = self._utc()
        second = int(now)
        drawn = self._street.crossings(self._line, self._before, second) if second > self._before else ()
        self._before = max(self._before, second)
        closed = self._ledger.record(now, list(drawn))
        if closed and self._publisher is not None:
            self._carrier.hurry(self._publisher)
        return self._due_in_s(now)

    def _due_in_s(self, now: float) -> float:
        into = (now - CLOSES_S - self._phase_s) % self._way.interval_s
        return self._way.interval_s - into

    @property
    def unsent(self) -> int:
        """Closed intervals that the broker has not acknowledged."""
        return len(self._ledger.outbox)

    @property
    def delivered(self) -> int:
        """Intervals that the broker has acknowledged."""
        return self._delivered + (self._publisher.delivered if self._publisher else 0)

    @property
    def connected(self) -> bool:
        """Whether the broker accepts it."""
        return self._publisher is not None and self._publisher.connected

    def counted(self) -> list[Counted]:
        """Return what its tables have. Raises AssertionError: when that is not every vehicle that was drawn."""
        found = self._ledger.counted_by_series()
        numbered = sum(sum(ways.values()) for one in found for ways in one.totals.values())
        assert numbered + self._ledger.still_open == self._ledger.counted
        return found

    def _health(self) -> Health:
        return Health(
            at=datetime.fromtimestamp(self._utc(), timezone.utc),
            frames_per_s=15,
            frames_dropped=0,
            unsent=self.unsent,
            source=SourceHealth(state="ok", width=1280, height=720),
            temperature_c=48.0,
            installation=self._ledger.installation,
            newest_seq=self._ledger.newest_seq,
        )

    def _utc(self) -> float:
        return time.time() + self._offset_s


class RealDevice:
    """The simulated device of the demo: the ledger's file, and the publisher in a thread of its own."""

    def __init__(self, number: int, way: Way, folder: Path) -> None:
        folder.mkdir()
        self._config, self._street = config_of(number, way, folder)
        self._offset_s, self._delivered = 0.0, 0
        self._running: SimulatedDevice | None = None

    def start(self) -> None:
        """Switch it on: its folder is that of before."""
        (line,) = self._config.lines
        self._running = SimulatedDevice(self._config, {line.id: self._street}, utc=lambda: time.time() + self._offset_s)

    def stop(self, *, goodbye: bool) -> None:  # noqa: ARG002
        """Switch it off; always with a goodbye, since a thread cannot be cut."""
        running, self._running = self._running, None
        if running is not None:
            self._delivered += running.publisher.delivered
            running.close()

    def set_clock(self, offset_s: float) -> None:
        """Set its clock wrong by so much."""
        self._offset_s = offset_s

    def count(self) -> float:
        """Count what drove by within the last second."""
        if self._running is not None:
            self._running.turn()
        return 1.0

    @property
    def unsent(self) -> int:
        """Closed intervals that the broker has not acknowledged."""
        return self._running.publisher.unsent if self._running else 0

    @property
    def delivered(self) -> int:
        """Intervals that the broker has acknowledged."""
        return self._delivered + (self._running.publisher.delivered if self._running else 0)

    @property
    def connected(self) -> bool:
        """Whether the broker accepts it."""
        return self._running is not None and self._running.publisher.connected

    def counted(self) -> list[Counted]:
        """Return what its file has."""
        reader = Reader.open(self._config.store.folder)
        assert reader is not None
        device = self._config.device
        with reader as file:
            rows = file.rows(_SERIES)
        return [
            Counted(device.site, device.device, line, of, seq, json.loads(totals)) for of, line, seq, totals in rows
        ]

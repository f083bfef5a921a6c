"""A city whose office leads roll-outs on a fleet: broker, ingest, database, server of bundles, and devices.

The time of all of them goes on when a test says so; what is real is all else: processes talk over a broker.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from edge_app.city.database.comparing import HOUR_S
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.orders import read_holder, take_over
from edge_app.city.database.rollouts import Kept, find_rollout, read_events, read_members
from edge_app.city.database.tables import COMPARED
from edge_app.city.desired import Layer, genuine
from edge_app.city.inbox import topics
from edge_app.city.ingest import Worker
from edge_app.city.link import FleetLink
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.city.office import Office
from edge_app.city.office_process import OfficeProcess
from edge_app.city.rollouts import start_rollout
from edge_app.config.layers import Layer as ConfigLayer
from edge_app.config.layers import refused_keys
from edge_app.detectors.bundle import pack
from edge_app.mqtt.commands import MAX_BUNDLE
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.session import Session
from edge_app.rollout.members import Member, Wanted
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import WantedRelease
from edge_app.system.key_names import key_name
from edge_app.system.signatures import SigningKey, make_key, verify
from tests.support.brokers import eventually, mosquitto
from tests.support.bundle_server import Behaviour, bundle_server
from tests.support.city_memory import WELL, add_figures, add_hours, add_lines
from tests.support.field_devices import FieldDevice, Time, one_way
from tests.support.paths import ROOT as PROJECT

SMALL: Final = PROJECT / "models" / "artefacts" / "ssdlite_mobilenet_v2_300x300.tflite"
BEGIN: Final = 1_796_083_200
"""2026-12-01 00:00 UTC."""
NEXT: Final = "0.2.0"
"""Version of a release that devices do not have at the begin."""
_DAYS: Final = 28
_STEP_S: Final = 600.0
_SHORT_S: Final = 40.0
"""While something is on trial time goes on in such steps: a trial takes two minutes."""
_MOST_TURNS: Final = 100
Counting = Callable[[str, int], tuple[Mapping[str, float], Mapping[str, float]]]
"""Function of device and hour, UTC s: vehicles by class, of the candidate and of the detector of before."""


@dataclass
class LedFleet:
    """A city and its devices, by name. candidate: SHA-256. bundle: what devices fetch."""

    time: Time
    port: int
    database: Database
    key: SigningKey
    devices: dict[str, FieldDevice]
    candidate: str
    bundle: dict[str, Any]
    leading: OfficeProcess | None = None
    killed: int = 0
    sick: dict[str, Any] = field(default_factory=dict)
    """Figures of devices with the new release that are not those of others."""
    _lines: dict[str, int] = field(default_factory=dict)
    _links: list[FleetLink] = field(default_factory=list)

    def begin(self, name: str, cascade: Cascade) -> Kept:
        """Start a roll-out of the candidate on all devices that the broker knows."""
        return self._start(name, WantedDetector("detector.fetched", self.candidate), self.bundle, cascade)

    def begin_release(self, name: str, cascade: Cascade) -> Kept:
        """Start a roll-out of the release `NEXT` on all devices that the broker knows; its archive is the bundle."""
        sha256 = self.bundle["sha256"]
        sums = f"{sha256}  edge-app-{NEXT}-{os.uname().machine}.tar.xz\n"
        signed = {"sums": sums, "sums_signature": base64.b64encode(bytes(64)).decode(), "older": False}
        return self._start(name, WantedRelease(sha256, NEXT), self.bundle | signed, cascade)

    def _start(self, name: str, wanted: Wanted, args: dict[str, Any], cascade: Cascade) -> Kept:
        known = Office(lambda: self._session("start"), ROOT, lambda: False).devices()
        with self.database.begin() as connection:
            return start_rollout(connection, name, wanted, args, known, cascade, "anna", self.time.now)[0]

    def remember(self, counting: Counting) -> None:
        """Let the city have some weeks of counts and of figures of all devices."""
        now, day_s = int(self.time.now) // HOUR_S * HOUR_S, 86_400
        with self.database.begin() as connection:
            self._lines = add_lines(connection, list(self.devices))
        for day in range(now - _DAYS * day_s, now, day_s):  # ingest wants its turns too
            hours = range(day, day + day_s, HOUR_S)
            lines = self._lines.items()
            counted = {(line, hour): counting(name, hour)[1] for hour in hours for name, line in lines}
            with self.database.begin() as connection:
                add_hours(connection, counted)
                if day >= now - 14 * day_s:
                    for name in self.devices:
                        add_figures(connection, name, day, day + day_s)

    def take_office(self) -> None:
        """Let a new process lead; one that led before is gone without a word."""
        self.killed += self.leading is not None
        with self.database.begin() as connection:
            holder = secrets.token_hex(4)
            assert take_over(connection, read_holder(connection), holder, self.time.now)
        link = FleetLink(self._session("office"), ROOT, self._genuine, quiet_s=0.3)
        self._links.append(link)
        self.leading = OfficeProcess(
            self.database, link, self.key, holder, _refused, look_s=0.1, clock=self.time, utc=self.time
        )
        self.leading.begin()

        def ready() -> bool:
            link.turn(0.05)
            return link.ready

        eventually(ready, 20)

    def rollout(self, name: str) -> tuple[Kept, list[Member], list[Any]]:
        """Return a roll-out with its devices and its history."""
        with self.database.connect() as connection:
            kept = find_rollout(connection, name)
            return kept, read_members(connection, kept.id), list(read_events(connection, kept.id))

    def drive(
        self,
        name: str,
        counting: Counting,
        over: Callable[[Kept], bool],
        *,
        hours: float,
        each_hour: Callable[[int], None] = lambda _: None,
    ) -> float:
        """Let time go on until a roll-out is where it should be; return the hours that took.

        each_hour: is called at the begin of every hour, with its number from 0.
        """
        began, hour = self.time.now, int(self.time.now) // HOUR_S
        while True:
            assert self.leading is not None
            self.leading.turn()
            kept, members, _ = self.rollout(name)
            if over(kept):
                return (self.time.now - began) / HOUR_S
            assert self.time.now - began < hours * HOUR_S, (kept, members)
            hurried = any(one.state in ("sent", "trying") for one in members) or kept.rollout.state == "taking_back"
            eventually(lambda: all(one.connected for one in self.devices.values() if one.alive), 60)
            self._let_answer()
            self.time.now += _SHORT_S if hurried else _STEP_S
            self._let_look()
            while int(self.time.now) // HOUR_S > hour:
                self._tell_hour(hour * HOUR_S, counting)
                hour += 1
                each_hour(hour - int(began) // HOUR_S)

    def _let_look(self) -> None:
        """Let devices do what is due by now, before the office judges them: on a busy machine that takes a while."""
        before = {name: one.looks for name, one in self.devices.items()}

        def looked() -> bool:
            self._links[-1].turn(0.02)
            return all(
                one.connected and one.looks > before[name] + 1 for name, one in self.devices.items() if one.alive
            )

        eventually(looked, 60)

    def _let_answer(self) -> None:
        """Take what devices are about to answer: on a busy machine no hour of theirs passes meanwhile."""
        link = self._links[-1]
        for _ in range(_MOST_TURNS):
            if not any(link.busy(name) for name, one in self.devices.items() if one.alive):
                return
            link.turn(0.05)

    def _tell_hour(self, hour: int, counting: Counting) -> None:
        if self._lines:
            self._tell_counts(hour, counting)
        told = 0
        for name, device in self.devices.items():
            if not device.connected:
                continue
            candidate, before = counting(name, hour)
            both = (candidate, before) if device.setting.model == self.candidate else (before, candidate)
            told += device.compare(hour, *map(one_way, both))

        def stored() -> bool:
            with self.database.connect() as connection:
                of_hour = select(func.count()).select_from(COMPARED).where(COMPARED.c.start == hour)
                return bool(connection.execute(of_hour).scalar_one() >= told)

        eventually(stored, 30)

    def _tell_counts(self, hour: int, counting: Counting) -> None:
        """Let the city have an hour of counts and figures; with the new release they are those of a candidate."""
        with self.database.begin() as connection:
            for name, device in self.devices.items():
                if not device.connected:
                    continue
                new = device.root.version == NEXT
                add_hours(connection, {(self._lines[name], hour): counting(name, hour)[0 if new else 1]})
                add_figures(connection, name, hour, hour + HOUR_S, {**WELL, **(self.sick if new else {})})

    def _genuine(self, topic: str, payload: bytes) -> bool:
        return genuine({key_name(self.key.public_key): self.key.public_key}, verify)(topic, payload)

    def _session(self, name: str) -> Session:
        return Session(Endpoint(HOST, self.port), f"{name}-{secrets.token_hex(3)}", timing=Timing(keepalive=30))

    def close(self) -> None:
        """End all connections."""
        for link in self._links:
            link.close()


def _refused(layer: Layer) -> Sequence[str]:
    return refused_keys(ConfigLayer("office", layer.set, layer.unset))


@contextmanager
def led_fleet(folder: Path, many: int, further: int = 0) -> Iterator[LedFleet]:
    """Yield a city with so many devices, harbour/pole-1 and so on, all of which are on. It begins at midnight, UTC.

    further: so many of them have a second camera, harbour/north-1 and so on.
    """
    manifest, content = pack(SMALL)
    assert len(content) < MAX_BUNDLE
    folder.mkdir(parents=True, exist_ok=True)
    clock, key = Time(BEGIN + 1.0), make_key(folder / "office.key")
    database = open_database(f"sqlite:///{folder / 'city.sqlite3'}")
    with ExitStack() as stack:
        stack.callback(database.close)
        broker = stack.enter_context(mosquitto(folder / "broker"))
        url, ca_file = stack.enter_context(bundle_server(folder, Behaviour(content)))
        stack.enter_context(_ingesting(database, broker.port))
        names = [f"harbour/pole-{number}" for number in range(1, many + 1)]
        devices = {
            name: FieldDevice(folder / name.replace("/", "."), name, broker.port, key.public_key, ca_file, clock)
            for name in names
        }
        for number in range(1, further + 1):
            name, first = f"harbour/north-{number}", devices[f"harbour/pole-{number}"]
            devices[name] = FieldDevice(
                folder / f"harbour.north-{number}", name, broker.port, key.public_key, ca_file, clock, first
            )
        for device in devices.values():
            device.start()
            stack.callback(device.stop)
        bundle = {"url": url, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        fleet = LedFleet(clock, broker.port, database, key, devices, manifest.sha256, bundle)
        stack.callback(fleet.close)
        eventually(lambda: all(device.connected for device in devices.values()), 60)
        yield fleet


@contextmanager
def _ingesting(database: Database, port: int) -> Iterator[Worker]:
    session = Session(Endpoint(HOST, port), "ingest", timing=Timing(keepalive=30, by_hand=True))
    inbox = MqttInbox(session, topics(ROOT))
    worker, stop = Worker(inbox, database, ROOT), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,), daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join()
        inbox.close()
        worker.raise_fault()

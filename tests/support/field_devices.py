"""Devices of a fleet that has an office: each takes configurations, fetches detectors and answers as real ones do.

Publisher, desks, trials, orders and bundles are those of every device. What counts is not there: comparisons come from
whoever drives the test, and so does the time.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from edge_app.errors import CommandError, ConfigError
from edge_app.mqtt.command_desk import SignedWork
from edge_app.mqtt.commands import Trust
from edge_app.mqtt.device_messages import Health, LineMeta, Meta, SourceHealth
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.encoding import ComparedCounts, encode_shadow
from edge_app.mqtt.endpoint import Backoff, Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import Device
from edge_app.mqtt.pieces import Parcel
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session
from edge_app.records import DIRECTIONS, VEHICLES, Counts
from edge_app.rollout.bundles import Bundles
from edge_app.rollout.office import InUse, Judged, Office, Proposed
from edge_app.rollout.orders import Orders
from edge_app.rollout.releases import Releases
from edge_app.rollout.switching import CountAnewError
from edge_app.rollout.trial import Facets
from edge_app.storage.counts import Counting
from edge_app.system.key_names import key_name
from edge_app.system.office_state import read_state
from edge_app.system.signatures import verify
from edge_app.system.signed import is_from, read_signed
from edge_app.system.tables import flat
from tests.support.lean_ledger import LeanLedger
from tests.support.simulated_root import SimulatedRoot

LINE: Final = "main"
_HOUR_S: Final = 3600


@dataclass(frozen=True)
class _CountsAnew:
    """A service that counts anew with each configuration. config: hash of the present one."""

    config: str

    def renew(self, _config: object) -> None:
        raise CountAnewError("it loads nothing")

    def settle(self) -> None: ...

    def step(self) -> None: ...


class Time:
    """Time of a city and its devices, which goes on when somebody says so. now: UTC s."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Setting:
    """What a device counts with. own: SHA-256 of the detector in its own file. broken: candidates that see nothing."""

    own: str
    bundles: Bundles
    topic: str
    keys: Mapping[str, str]
    broken: set[str] = field(default_factory=set)
    text: str = ""

    def values(self, text: str) -> dict[str, Any]:
        """Return what the office sets by a message, key by key."""
        signed = read_signed(json.loads(text)) if text else None
        return flat(json.loads(signed.document)["set"]) if signed is not None else {}

    def read(self, message: str) -> Proposed:
        """Return who wants what."""
        signed = read_signed(json.loads(message))
        if signed is None or not is_from(signed, self.topic, self.keys, verify):
            raise ConfigError("signature: is none of a key that this device trusts")
        document = json.loads(signed.document)
        detector = self.values(message).get("detector.fetched", "")
        return Proposed(document["revision"], document["author"], signed.key, detector)

    def judge(self, message: str) -> Judged:
        """Return the configuration of a message; another detector needs a new beginning."""
        values = self.values(message)
        for key in ("detector.fetched", "detector.shadow"):
            sha256 = values.get(key)
            if sha256 not in (None, self.own) and self.bundles.find(str(sha256)) is None:
                raise ConfigError(f"{key}: no detector {str(sha256)[:12]} is on this device: have it fetched first")
        return Judged(message, goes_on=values == self.values(self.text))

    def use(self, judged: Judged) -> None:
        """Have a message be the present one."""
        self.text = str(judged.config)

    def keep(self) -> None:
        """Nothing is read from a file here."""

    @property
    def in_use(self) -> InUse:
        """Return the revision in use."""
        signed = read_signed(json.loads(self.text)) if self.text else None
        return InUse(json.loads(signed.document)["revision"] if signed is not None else 0, (), ())

    @property
    def problem(self) -> str:
        """Return nothing: whatever was accepted is in use."""
        return ""

    @property
    def model(self) -> str:
        """SHA-256 of the detector in service."""
        return str(self.values(self.text).get("detector.fetched", self.own))

    @property
    def shadow(self) -> str:
        """SHA-256 of the one that counts beside, empty for none."""
        return str(self.values(self.text).get("detector.shadow", ""))


class FieldDevice:
    """A device with a thread of its own. name: SITE/DEVICE. own: SHA-256 of its detector. key: the office's, public.

    time: UTC s, of its clock and of its trials. broken: detectors with which no frame comes.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        port: int,
        own: str,
        key: str,
        ca_file: Path,
        time: Callable[[], float],
        *,
        broken: set[str] | None = None,
    ) -> None:
        self.name, self._folder, self._port, self._time = name, folder, port, time
        self._site, _, self._device_name = name.partition("/")
        folder.mkdir(parents=True, exist_ok=True)
        keys = {key_name(key): key}
        self._trust, self._ca_file = Trust(keys, verify), ca_file
        self.bundles = Bundles(folder / "detectors", ca_file)
        topic = f"traffic/v1/{name}/config/desired"
        self.setting = Setting(own, self.bundles, topic, keys, broken or set())
        self.root = SimulatedRoot(folder, time)
        self.present = ""
        """Detector in service, empty while it is off."""
        self.connected = False
        self._seq = 0
        self._comparing: Callable[[str, str], None] | None = None
        self._device: Device | None = None
        self._installation = secrets.token_hex(4)
        self._stop = threading.Event()
        self._stop.set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Switch it on."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Switch it off, as a power cut does."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.present, self.connected = "", False

    @property
    def alive(self) -> bool:
        """Return whether it is switched on, and has a program that starts."""
        return not self._stop.is_set() and not self.root.dead

    def compare(self, hour: int, in_service: Counts, beside: Counts) -> bool:
        """Tell what both detectors have counted in an hour, from its begin, UTC s; return whether there are two."""
        tell, device, shadow = self._comparing, self._device, self.setting.shadow
        if tell is None or device is None or not shadow or shadow == device.model:
            return False
        self._seq += 1
        one = ComparedCounts(
            *(LINE, hour, hour + _HOUR_S, _HOUR_S, self._seq, 54_000, shadow, "ef" * 32), beside, in_service
        )
        tell(*encode_shadow(device, one, self._installation))
        return True

    def _run(self) -> None:
        state = read_state(self._folder)
        self.setting.text = state.used
        first = Device(self._site, self._device_name, "boot", self.root.version, self.setting.model, "cd" * 32)
        ledger = LeanLedger(first, [LINE], Counting(VEHICLES, 60))
        follows = False
        while self.alive:
            self._live(ledger, follows=follows)
            follows = True
        self.connected = False
        ledger.close()

    def _live(self, ledger: LeanLedger, *, follows: bool) -> None:
        """Run until it is switched off or begins anew."""
        self.setting.text, again = read_state(self._folder).used, threading.Event()
        model = self.setting.model
        device = Device(self._site, self._device_name, secrets.token_hex(6), self.root.version, model, "cd" * 32)
        ledger.begin_run(device)
        sees = model not in self.setting.broken
        office = Office(
            self._folder,
            self.setting,
            running=_CountsAnew(device.config),
            facets=lambda: Facets(frames=sees, broker=True),
            again=again.set,
            utc=self._time,
            clock=self._time,
        )
        session = Session(
            Endpoint(HOST, self._port),
            device.client_id,
            will=lambda: will(device, self._time(), self._installation),
            timing=Timing(keepalive=5, max_packet=1 << 20),
            backoff=Backoff(min_s=0.1, max_s=0.5),
        )
        publisher = Publisher(
            *(session, ledger.outbox, device, self._meta(device), self._health),
            interval_s=60,
            installation=lambda: self._installation,
            office=office,
            follows=follows,
            signed_work=self._work(again, office.look_again),
            utc=self._time,
        )
        self._device, self._comparing, self.present = device, publisher.compare, model
        while not self._stop.is_set() and not again.is_set():
            publisher.step(0.02)
            office.step()
            self.connected = publisher.connected
            if self.root.step():
                again.set()
        self._comparing, self.connected = None, False
        connection = session._connection
        if connection is not None:
            connection.close(goodbye=again.is_set() and not self.root.dead)

    def _work(self, again: threading.Event, fetched: Callable[[], None]) -> SignedWork:
        orders = Orders(
            Device(self._site, self._device_name, "", "", "", ""),
            None,  # type: ignore[arg-type]  # it has no camera
            None,
            lambda: None,
            {},
            self.bundles,
            lambda: [sha256 for sha256 in (self.setting.model, self.setting.shadow) if sha256],
            self._stop,
            self._time,
            fetched,
        )
        return SignedWork(
            self._trust,
            synced=lambda: True,
            restart=again.set,
            harvest=orders.harvest,
            diagnose=orders.diagnose,
            snapshot=_no_picture,
            fetch=orders.fetch,
            releases=Releases(self._folder, self._stop, self._ca_file, self.root.places, self._time),
        )

    def _meta(self, device: Device) -> Meta:
        return Meta(
            site=device.site,
            device=device.device,
            location=None,
            time_zone="Europe/Amsterdam",
            lines=[LineMeta(id=LINE, start=(0.1, 0.6), end=(0.9, 0.6))],
            classes=VEHICLES,
            interval_s=60,
            model=device.model[:12],
            config=device.config[:12],
            version=device.version,
            counting={"model": device.model},
        )

    def _health(self) -> Health:
        return Health(
            at=datetime.fromtimestamp(self._time(), timezone.utc),
            frames_per_s=15.0,
            frames_dropped=0,
            unsent=0,
            source=SourceHealth(state="ok", width=1280, height=720),
        )


def _no_picture(*_: object) -> Parcel:
    raise CommandError("This device has no camera.")


def one_way(vehicles: Mapping[str, float]) -> Counts:
    """Return vehicles by class as counts of one direction."""
    return {name: {DIRECTIONS[0]: int(vehicles.get(name, 0)), DIRECTIONS[1]: 0} for name in VEHICLES}

"""Devices of a fleet that has an office: each takes configurations, fetches detectors and answers as real ones do.

Publisher, desks, trials, orders and bundles are those of every device. What counts is not there: comparisons come from
whoever drives the test, and so does the time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from edge_app.commands._office import OfficeConfigurations
from edge_app.config.last_good import choose
from edge_app.config.model import Config
from edge_app.detectors.manifest import default_model
from edge_app.detectors.manifest import load as load_manifest
from edge_app.errors import CommandError
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
from edge_app.rollout.bundles import FOLDER, Bundles
from edge_app.rollout.office import InUse, Judged, Office, Proposed
from edge_app.rollout.orders import Orders
from edge_app.rollout.releases import Releases
from edge_app.rollout.switching import CountAnewError
from edge_app.rollout.trial import Facets
from edge_app.storage.counts import Counting
from edge_app.system.key_names import key_name
from edge_app.system.machine import no_releases
from edge_app.system.office_state import NAME as OFFICE_STATE
from edge_app.system.signatures import verify
from tests.support.lean_ledger import LeanLedger
from tests.support.simulated_root import SimulatedRoot

LINE: Final = "main"
LINES: Final = f'[[lines]]\nid = "{LINE}"\nstart = [0.1, 0.6]\nend = [0.9, 0.6]\n'
OWN: Final = load_manifest(default_model())[0].sha256
"""SHA-256 of the detector that a device has of its own."""
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


class Setting:
    """What a device counts with: its own file and the office's layer, read and validated as on every device.

    folder: of both. name: SITE/DEVICE. keys: name -> public key of the office. more: further text of the file.
    """

    def __init__(self, folder: Path, name: str, keys: Mapping[str, str], more: str = "") -> None:
        self._path = folder / "edge-app.toml"
        self.broken = set[str]()
        """Candidates that see nothing."""
        self._site, _, self._device = name.partition("/")
        self.write(keys, more)

    def write(self, keys: Mapping[str, str], more: str = "") -> None:
        """Write the device's own file, and begin with it. keys, more: see above."""
        self._path.write_text(
            f'[device]\nsite = "{self._site}"\ndevice = "{self._device}"\n[store]\nfolder = "."\n[source]\n'
            f'kind = "camera"\n[office]\nkeys = {json.dumps([*keys.values()])}\n{LINES}{more}'
        )
        self.begin()

    def begin(self) -> None:
        """Use what is on disk, as a start does."""
        chosen = choose(self._path, None, {})
        self._config = chosen.config
        self._office = OfficeConfigurations(self._path, chosen, environment={})

    def read(self, message: str) -> Proposed:
        """Return who wants what."""
        return self._office.read(message)

    def judge(self, message: str) -> Judged:
        """Return the configuration with a message; another detector needs a new beginning."""
        judged = self._office.judge(message)
        assert isinstance(judged.config, Config)
        return Judged(judged.config, goes_on=judged.config.detector == self._config.detector)

    def use(self, judged: Judged) -> None:
        """Have the configuration that was judged last be the present one."""
        self._office.use(judged)
        assert isinstance(judged.config, Config)
        self._config = judged.config

    def keep(self) -> None:
        """Keep none for a day on which this one cannot be used."""

    @property
    def in_use(self) -> InUse:
        """What is in use."""
        return self._office.in_use

    @property
    def problem(self) -> str:
        """One sentence on why what was accepted is not in use."""
        return self._office.problem

    @property
    def model(self) -> str:
        """SHA-256 of the detector in service."""
        return self._config.detector.fetched or OWN

    @property
    def shadow(self) -> str:
        """SHA-256 of the one that counts beside, empty for none."""
        return self._config.detector.shadow_sha256


class FieldDevice:
    """A device with a thread of its own. name: SITE/DEVICE. key: the office's, public.

    time: UTC s, of its clock and of its trials. first: the first camera of its machine, None where it is that.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        port: int,
        key: str,
        ca_file: Path,
        time: Callable[[], float],
        first: FieldDevice | None = None,
    ) -> None:
        self.name, self._folder, self._port, self._time = name, folder, port, time
        self._site, _, self._device_name = name.partition("/")
        folder.mkdir(parents=True, exist_ok=True)
        keys = {key_name(key): key}
        self._trust, self._ca_file = Trust(keys, verify), ca_file
        self.bundles = Bundles(folder / FOLDER, ca_file)
        self.setting = Setting(folder, name, keys)
        self.first = first
        self.root: SimulatedRoot = SimulatedRoot(folder, time) if first is None else first.root
        self.present = ""
        """Detector in service, empty while it is off."""
        self.connected = False
        self.looks = 0
        """How often it has looked at what there is to do."""
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

    def forget(self) -> None:
        """Get a new state folder, as with a new SD card, while it is off."""
        shutil.rmtree(self._folder / FOLDER)
        (self._folder / OFFICE_STATE).unlink()

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
        self.setting.begin()
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
        self.setting.begin()
        again = threading.Event()
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
            self.looks += 1
            if self.root.step() if self.first is None else self.root.version != device.version:
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
            machine=hashlib.sha256(str(self.root.folder).encode()).hexdigest()[:12],
            takes_releases=not no_releases(self._folder, self.root.places),
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

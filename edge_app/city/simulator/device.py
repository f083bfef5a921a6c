"""Run a device whose vehicles are drawn and not seen: ledger, outbox and publisher are those of every device."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Final

from edge_app.assembly.counter import build_lines
from edge_app.assembly.device import build_device, build_ledger, build_publisher, build_session
from edge_app.city.records import SYNTHETIC
from edge_app.city.simulator.traffic import Street
from edge_app.config.model import Config
from edge_app.mqtt.device_messages import Health, SourceHealth
from edge_app.records import Crossing, Sums
from edge_app.storage.archive import Keep
from edge_app.storage.outbox import Outbox
from edge_app.system.clock import SteadyClock
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

MODEL: Final = "0" * 64
"""Hash of the detector that there is none of."""
_FRAMES_PER_S: Final = 15


class SimulatedDevice:
    """One device with one line for each street, publishing in a thread of its own until `close`.

    streets: line -> street. utc: clock of the device, UTC s.
    Raises StoreError: when its state folder cannot be used.
    """

    def __init__(self, config: Config, streets: Mapping[str, Street], *, utc: Callable[[], float] = time.time) -> None:
        self._config, self._streets, self._utc = config, streets, utc
        self._stop, self._stack = threading.Event(), ExitStack()
        self._done: dict[str, int] = {}
        self._frames = self._counted = 0
        self._waiting: list[Crossing] = []
        self._measured: list[tuple[str, float, Sums]] = []
        device = build_device(config, MODEL)
        self._ledger = build_ledger(config, device, build_lines(config))
        outbox = Outbox(config.store.folder, Keep(86_400.0, 50.0), self._ledger.standby)
        self._stack.callback(outbox.close)
        session = build_session(config, device, lambda: self._ledger.installation)
        self.publisher = build_publisher(
            config,
            device,
            build_lines(config),
            session,
            outbox,
            self._health,
            lambda: self._ledger.installation,
            SteadyClock(lambda: False),
            utc=utc,
        )
        run = self.publisher.run
        self._thread = threading.Thread(target=run, args=(self._stop,), name=device.client_id, daemon=True)
        start_thread(self._thread)

    def turn(self) -> None:
        """Let time pass until now: count what drove by since the last call."""
        now = self._utc()
        second = int(now)
        for line, street in self._streets.items():
            done = self._done.get(line, second - 1)
            for at in range(done, second):
                self._waiting += self._drawn(line, street, at)
            self._done[line] = second
        self._frames += 1
        crossings, self._waiting = self._waiting, []
        self._counted += len(crossings)
        self._ledger.record(now, crossings, 0, (SYNTHETIC,))
        measured, self._measured = self._measured, []
        for line, when, sums in measured:
            self._ledger.measure(line, when, sums)
        self._ledger.tick(now)

    @property
    def closed(self) -> int:
        """Intervals that were closed so far."""
        return sum(self._ledger.newest_seq.values())

    @property
    def vehicles(self) -> int:
        """Vehicles in the intervals that were closed so far; only while no `turn` runs."""
        still = sum(sum(ways.values()) for interval in self._ledger.open for ways in interval.counts.values())
        return self._counted - still

    def close(self) -> None:
        """Stop as a device stops: deliver for a moment, say goodbye."""
        self._stop.set()
        self._thread.join(10.0)
        self._ledger.close(self._utc())
        self._stack.close()

    def _drawn(self, line: str, street: Street, second: int) -> Iterator[Crossing]:
        if street.kmh and (speeds := street.speeds(second, second + 1, street.vehicles(second, second + 1))):
            self._measured.append((line, float(second), {"speed": speeds}))
        yield from street.crossings(line, second, second + 1, self._frames)

    def _health(self) -> Health:
        return Health(
            at=self._now(),
            frames_per_s=_FRAMES_PER_S,
            frames_dropped=0,
            unsent=self.publisher.unsent,
            source=SourceHealth(state="ok", width=1280, height=720),
            temperature_c=48.0,
            quality=(SYNTHETIC,),
            installation=self._ledger.installation,
            newest_seq=self._ledger.newest_seq,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._utc(), timezone.utc)

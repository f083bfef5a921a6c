"""Shared by the tests of the service: a scripted camera, and a service in front of which one vehicle drives by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from edge_app.errors import SourceEnded
from edge_app.records import Crossing, Frame, Quality
from edge_app.service import Service
from edge_app.sources import SourceStatus
from edge_app.system.clock import SteadyClock
from edge_app.system.threads import Latest
from tests.support.ledger_cases import open_ledger
from tests.support.scripted import DOWN, Scripted, ScriptedEngine, frames, pipeline
from tests.support.trajectories import Observation, Sensor

LONG = 10.0


class Camera:
    """A Source that delivers the frames put into its slot, and nothing otherwise."""

    def __init__(self, *, live: bool) -> None:
        self.live, self.status = live, SourceStatus("ok")
        self.slot, self.closed = Latest[Frame](lossless=True), threading.Event()

    def read(self, timeout: float) -> Frame | None:
        frame = self.slot.get(timeout)
        if frame is None and self.slot.finished:
            raise SourceEnded("over")
        return frame

    def close(self) -> None:
        self.slot.close()
        self.closed.set()


class IdlePublisher:
    """A publisher that publishes nothing."""

    stays = False

    def run(self, stop: threading.Event, _drain_s: float) -> None:
        stop.wait(LONG)


class Case:
    """A service in front of which one vehicle drives down past the line.

    wall, monotonic, clock: clocks of the service. counted: set as soon as the ledger has the crossing.
    """

    def __init__(
        self,
        folder: Path,
        *engines: ScriptedEngine,
        live: bool = True,
        wall: Callable[[], float] = lambda: 1_780_000_000.0,
        monotonic: Callable[[], float] = time.monotonic,
        clock: SteadyClock | None = None,
    ) -> None:
        self.looks: list[Observation] = Sensor().observe([DOWN], 5)
        self.camera, self.ledger = Camera(live=live), open_ledger(folder, ["main"])
        self.counted = threading.Event()
        record, self.crossings = self.ledger.record, list[Crossing]()

        def recorded(
            frame_at: float,
            crossings: list[Crossing],
            dropped: int,
            quality: Collection[Quality] = (),
            **looks: Collection[str],
        ) -> None:
            record(frame_at, crossings, dropped, quality, **looks)
            self.crossings += crossings
            if crossings:
                assert self.ledger.unstored == 0
                self.counted.set()

        self.ledger.record = recorded  # type: ignore[method-assign,assignment]
        self.detector = Scripted(self.looks, engines or (ScriptedEngine(), ScriptedEngine()))
        counts = pipeline(self.detector, classes=["car"])
        self.publisher = publisher = IdlePublisher()
        self.service = Service(
            self.camera,
            counts,
            self.ledger,
            publisher,  # type: ignore[arg-type]
            wall=wall,
            monotonic=monotonic,
            clock=clock,
        )

    @property
    def frames(self) -> list[Frame]:
        return frames(self.looks, Sensor())
